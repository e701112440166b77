"""Elements of HTML and SVG; whatever is not marked as markup gets escaped."""

import html
from collections.abc import Sequence

#: elements without content, written as one self-closing tag
_EMPTY = frozenset({"br", "meta", "rect", "line", "circle", "path"})
Attribute = str | int | float | None


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None


def escape(text: str) -> Markup:
    """``text`` as HTML; control characters, which no XML can hold, become question marks."""
    clean = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
    return Markup(html.escape(clean))


def join(*children: Child) -> Markup:
    """Children one after another; plain text is escaped, None is nothing."""
    parts = [c if isinstance(c, Markup) else escape(str(c)) for c in children if c is not None]
    return Markup("".join(parts))


def number(value: float) -> str:
    """Coordinate with at most one decimal."""
    return f"{value:.1f}".removesuffix(".0")


def tag(name: str, *children: Child, **attributes: Attribute) -> Markup:
    """One element.

    Parameters
    ----------
    name : element name.
    children : content; plain text is escaped.
    attributes : ``class_`` is ``class``, and other underscores are hyphens; None leaves one out.
    """
    words = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        text = number(value) if isinstance(value, int | float) else str(value)
        words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    opening = " ".join(words)
    if name in _EMPTY:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{join(*children)}</{name}>")


def table(
    header: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    text_columns: int = 1,
    class_: str = "",
) -> Markup:
    """Table whose first ``text_columns`` columns are text and whose others are numbers."""

    def cells(kind: str, row: Sequence[Child]) -> Markup:
        return tag(
            "tr",
            *(
                tag(kind, cell, class_=None if index < text_columns else "number")
                for index, cell in enumerate(row)
            ),
        )

    return tag(
        "div",
        tag(
            "table",
            tag("thead", cells("th", header)),
            tag("tbody", *(cells("td", row) for row in rows)),
        ),
        class_=f"scroll {class_}".strip(),
    )


def section(anchor: str, title: str, source: str, *children: Child) -> Markup:
    """A part of the page, with the files that its numbers come from."""
    heading = tag("h2", title, " ", tag("small", source) if source else None)
    return tag("section", heading, *children, id=anchor)


def paragraph(*children: Child, class_: str | None = None) -> Markup:
    """Running text."""
    return tag("p", *children, class_=class_)


def legend(entries: list[tuple[str, str]]) -> Markup:
    """Colour classes and what they stand for."""
    items = [
        tag("span", tag("i", class_=f"swatch {color}"), " ", text, class_="entry")
        for color, text in entries
    ]
    return tag("div", *items, class_="legend")
