"""Places where the script draws, with their controls; all of them reachable by keyboard."""

from collections.abc import Iterable

from ...report.markup import Markup, escape, join, paragraph, section, tag
from ...report.units import count
from ..metrics import METRICS
from ..result import StudyResult
from .figures import NEAR_SHARE, Shown, axis_labels, known_metrics

Option = tuple[str, str]


def front_section(result: StudyResult, points: Shown) -> Markup:
    """Scatter of all points shown, with selectors, and the chosen point beside it."""
    objectives = result.space.sweep.objectives
    x = objectives[0]
    y = objectives[1] if len(objectives) > 1 else next(
        (metric.name for metric in known_metrics(result) if metric.name != x), x
    )  # fmt: skip
    color = objectives[2] if len(objectives) > 2 else ""
    controls = tag(
        "div",
        _choice("choice-x", "Across", _columns(result), x),
        _check("log-x", "log"),
        _choice("choice-y", "Up", _columns(result), y),
        _check("log-y", "log"),
        _choice("choice-color", "Colour", [("", "none"), *_columns(result)], color),
        _check("show-others", "other points", checked=True),
        _check("show-intervals", "intervals", checked=points.front <= 60),
        class_="controls",
    )
    return section(
        "front",
        "Pareto front",
        _drawn(result, points),
        controls,
        tag(
            "div",
            tag("div", id="front-plot", class_="plot", role="img",
                aria_label="Scatter plot of the points; the table of the front has its figures"),
            tag("aside", id="card", class_="card", aria_live="polite"),
            class_="beside",
        ),
        paragraph(
            "The dotted line joins what is best in this view where both axes have a better end. "
            "Click on a point, or choose one under ",
            tag("a", "One point", href="#detail"),
            ", to see its settings. A hollow mark means that the quality of the point is a "
            "published figure, not measured here.",
            class_="note",
        ),
    )  # fmt: skip


def _drawn(result: StudyResult, points: Shown) -> str:
    """How many points there are in the plot, and of how many."""
    others = len(points.places) - points.front
    rest = result.feasible - len(result.front)
    if others >= rest:
        return f"all {count(result.feasible)} feasible points"
    return (
        f"all {count(points.front)} points of the front, {count(others)} of the other "
        f"{count(rest)} feasible points, drawn by lot"
    )


def parallel_section(result: StudyResult, points: Shown) -> Markup:
    """Parallel coordinates of the front and what is near it."""
    near = len(points.near)
    beside = f" and {count(near)} points within {NEAR_SHARE:.0%} of it" if near else ""
    return section(
        "parallel",
        "Parallel coordinates",
        f"front{beside}",
        tag(
            "div",
            tag("div", id="parallel-plot", class_="plot", role="img",
                aria_label="Parallel coordinates; the table of the front has the figures"),
            class_="scroll",
        ),
        tag(
            "div",
            tag("button", "Show all lines", id="clear-ranges", type="button", disabled="disabled"),
            tag("span", id="ranges", class_="dim", role="status"),
            class_="controls",
        ),
        paragraph(
            "One line is one point: solid on the front, dashed near it. Up is better on the axes "
            "of metrics. Drag along an axis to keep the lines that pass there, then along others "
            "to narrow them down; click on a line to see its point.",
            class_="note",
        ),
    )  # fmt: skip


def detail_section() -> Markup:
    """One point: metrics, layers, fidelity, files."""
    return section(
        "detail",
        "One point",
        "",
        tag(
            "div",
            tag("label", "Point ", tag("select", id="point"), class_="choice"),
            tag("button", "Previous", id="previous", type="button"),
            tag("button", "Next", id="next", type="button"),
            class_="controls",
        ),
        tag("div", id="detail-body"),
        tag("h3", "Layers"),
        tag("div", id="layer-plot", class_="plot", role="img",
            aria_label="Time and energy by layer; the same figures are in the table below"),
        tag("div", id="detail-rows"),
        tag("h3", "Files for bitsmith"),
        tag(
            "div",
            tag("button", "Run configuration", id="show-run", type="button", aria_pressed="true"),
            tag("button", "Accelerator", id="show-accelerator", type="button",
                aria_pressed="false"),
            tag("button", "Download", id="download", type="button"),
            tag("span", id="file-name", class_="dim"),
            class_="controls",
        ),
        tag("pre", id="yaml", tabindex=0, aria_label="File of the chosen point"),
    )  # fmt: skip


def _columns(result: StudyResult) -> list[Option]:
    """What an axis of the plot may show: metrics, then settings that differ."""
    metrics = [(m.name, f"{m.name}: {METRICS[m.name].text}") for m in known_metrics(result)]
    axes = zip(result.space.axes, axis_labels(result), strict=True)
    return metrics + [(axis.path, label) for axis, label in axes if len(axis.values) > 1]


def _choice(name: str, label: str, options: Iterable[Option], chosen: str) -> Markup:
    items = (
        tag("option", text, value=value, selected="selected" if value == chosen else None)
        for value, text in options
    )
    return tag("label", f"{label} ", tag("select", *items, id=name), class_="choice")


def _check(name: str, label: str, *, checked: bool = False) -> Markup:
    box = Markup(f'<input type="checkbox" id="{escape(name)}"{" checked" if checked else ""}/>')
    return tag("label", join(box, " ", label), class_="check")
