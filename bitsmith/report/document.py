"""An HTML document that needs no network and no scripts."""

from .markup import Markup, join, tag
from .style import CSS, MARK_CSS, PAGE_CSS


def document(title: str, body: Markup) -> str:
    """The whole document; the same input gives the same text.

    ASCII with character references, so that it does not matter in which encoding it is written.
    """
    head = join(
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        Markup(f"<style>{CSS}{MARK_CSS}{PAGE_CSS}</style>"),
    )
    html = tag("html", tag("head", head), tag("body", body), lang="en")
    text = f"<!DOCTYPE html>\n{html}\n"
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")
