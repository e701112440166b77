"""The page: question, front, parallel coordinates, one point in detail, tables."""

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from configs.errors import InputError

from ...hashes import code_hash
from ...report.markup import escape, join, tag
from ...report.style import CSS, PAGE_CSS
from ..result import StudyResult
from .figures import payload, script_json, shown
from .head import head
from .plots import detail_section, front_section, parallel_section
from .tables import front_table, knee_table, ladder_section

_SCRIPTS = ("values.js", "cloud.js", "front.js", "parallel.js", "detail.js", "main.js")
#: nothing is fetched, whatever the page holds
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
_LINKS = {
    "question": "Question",
    "front": "Pareto front",
    "parallel": "Parallel coordinates",
    "detail": "One point",
    "points": "Front as a table",
    "knees": "Knees and baselines",
    "ladder": "Fidelity",
}


def page(result: StudyResult, facts: Mapping[str, str]) -> str:
    """The whole document; the same input gives the same text.

    Parameters
    ----------
    facts : what else is known of the study, such as its time, by name.

    Raises
    ------
    InputError : plotly is not installed; the message names the extra.
    """
    plotly = plotly_script()
    points = shown(result)
    body = join(
        head(result, {**facts, "code": code_hash()[:12]}),
        tag("nav", *(tag("a", text, href=f"#{anchor}") for anchor, text in _LINKS.items())),
        front_section(result, points),
        parallel_section(result, points),
        detail_section(),
        front_table(result, points),
        knee_table(result),
        ladder_section(result),
        tag("footer", "Written by bitsmith. All of it is in this one file; it asks no network."),
        tag("div", id="tip", class_="tip", hidden="hidden", aria_hidden="true"),
    )
    name = " ".join(result.space.sweep.name.split())
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"/>',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        tag("title", f"bitsmith explore: {name}"),
        f"<style>{CSS}{PAGE_CSS}{_file('style.css')}</style></head>",
        tag("body", body).removesuffix("</body>"),
        f'<script type="application/json" id="study">{script_json(payload(result, points))}'
        "</script>",
        f"<script>{plotly}</script>",
        f"<script>{''.join(map(_file, _SCRIPTS))}</script>",
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def plotly_script() -> str:
    """The library's own copy of plotly.js.

    Raises
    ------
    InputError : it is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError("the report needs plotly: install bitsmith[explore]") from None
    script = str(get_plotlyjs())
    if "</script" in script.lower():
        raise InputError("this version of plotly cannot be put into a page: it closes its script")
    return script


def _file(name: str) -> str:
    folder: Traversable = resources.files(__package__)
    return (folder / name).read_text(encoding="utf-8")
