"""Tables that are readable without the script: the front, its knees, the fidelity ladder."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from configs.expressions import written

from ...report.markup import Markup, join, paragraph, section, table, tag
from ...report.units import count, percent, si, significant
from ..export import names_of
from ..ladder import Promotion, summary
from ..metrics import METRICS
from ..result import StudyResult
from .figures import QUOTED, Shown, axis_labels

#: rows of the front's table; all of them are in points.csv
ROWS = 500
#: units that take an SI prefix
_PREFIXED = ("s", "J", "W", "bytes", "J s")


def quantity(name: str, value: float) -> str:
    """A metric's value with its unit, four digits."""
    if not np.isfinite(value):
        return "-"
    unit = METRICS[name].unit if name in METRICS else ""
    if unit in _PREFIXED:
        return si(value, "B" if unit == "bytes" else unit, 4)
    return f"{significant(value, 4)} {'' if unit == '1' else unit}".strip()


def front_table(result: StudyResult, points: Shown) -> Markup:
    """One row a point of the front, sorted by a click on a heading."""
    places = points.places[: points.front]
    names, metrics = names_of(result), result.table.metrics
    climbed = {p.number for p in result.promotions}
    if len(places) > ROWS:
        named = [int(result.table.numbers[p]) in names for p in places]
        even = np.linspace(0, len(places) - 1, ROWS).astype(int)
        kept = np.union1d(even, np.flatnonzero(named))
        places = places[kept]
    settings = {int(p): result.space.settings(int(result.table.numbers[p])) for p in places}
    axes = [
        (axis, label)
        for axis, label in zip(result.space.axes, axis_labels(result), strict=True)
        if len({written(given.get(axis.path)) for given in settings.values()}) > 1
    ]
    shown = [n for n in _table_metrics(result) if n in metrics]
    heads = ["point", "name", *(label for _, label in axes), *shown, "checked"]
    rows = []
    for place, given in settings.items():
        number = int(result.table.numbers[place])
        quoted = QUOTED in metrics and metrics[QUOTED][place] > 0
        cells = [
            tag("button", str(number), type="button", class_="link", data_point=str(number)),
            ", ".join(names.get(number, ())),
            *(written(given[axis.path]) if axis.path in given else "" for axis, _ in axes),
            *(_cell(name, float(metrics[name][place]), quoted) for name in shown),
            "yes" if number in climbed else "",
        ]
        rows.append((number, cells))
    missing = len(result.front) - len(places)
    return section(
        "points",
        "Front as a table",
        f"{count(len(places))} of {count(len(result.front))} points; all are in points.csv"
        if missing
        else f"{count(len(places))} points",
        _sortable(heads, rows),
    )


def _table_metrics(result: StudyResult) -> tuple[str, ...]:
    """Objectives, then metrics that a constraint names."""
    texts = " ".join(text for text in result.space.sweep.constraints if isinstance(text, str))
    wanted = [*result.space.sweep.objectives, *(name for name in METRICS if name in texts)]
    return tuple(dict.fromkeys(wanted))


def _cell(name: str, value: float, quoted: bool) -> Markup:
    """A figure; sorted by its value, not by its text."""
    mark = " (quoted)" if quoted and METRICS[name].source == "quality" else ""
    return tag("span", quantity(name, value) + mark, data_value=f"{value!r}")


def _sortable(heads: list[str], rows: list[tuple[int, list[Any]]]) -> Markup:
    cells = [
        tag("th", tag("button", text, type="button", class_="sort", data_column=str(index)),
            scope="col")
        for index, text in enumerate(heads)
    ]  # fmt: skip
    body = [
        tag("tr", *(tag("td", cell) for cell in row), id=f"row-{number}") for number, row in rows
    ]
    inner = tag("table", tag("thead", tag("tr", *cells)), tag("tbody", *body), id="front-table")
    return tag("div", inner, class_="scroll tall", tabindex=0)


def knee_table(result: StudyResult) -> Markup:
    """Points with a name, and the baselines beside them."""
    names = [name for name in _table_metrics(result) if name in result.table.metrics]
    rows: list[list[Any]] = []
    for knee, place in result.knees.items():
        number = str(int(result.table.numbers[place]))
        link = tag("button", number, type="button", class_="link", data_point=number)
        known = {n: float(column[place]) for n, column in result.table.metrics.items()}
        quoted = known.get("quality_quoted", 0.0) > 0
        rows.append([knee, link, *(_cell(name, known[name], quoted) for name in names)])
    head = ("name", "point", *names)
    others = [
        [baseline.name, *(_of_baseline(baseline.metrics, name) for name in names),
         baseline.note + ("; quality is a published figure" if baseline.quoted else "")]
        for baseline in result.baselines
    ]  # fmt: skip
    return section(
        "knees",
        "Knees and baselines",
        "",
        table(head, rows, text_columns=2) if rows else paragraph("No point has a name."),
        join(tag("h3", "Accelerators of the literature"), _baselines(names, others))
        if others
        else None,
    )


def _baselines(names: list[str], rows: list[list[Any]]) -> Markup:
    cells = [[row[0], row[-1], *row[1:-1]] for row in rows]
    return table(("name", "how its figures are known", *names), cells, text_columns=2)


def _of_baseline(metrics: Mapping[str, float], name: str) -> str:
    return quantity(name, metrics[name]) if name in metrics else "-"


def ladder_section(result: StudyResult) -> Markup:
    """What higher rungs found, and by how much the rungs below were off."""
    errors = [
        (
            row.rung,
            row.metric,
            count(row.points),
            percent(row.mean, 2),
            percent(row.worst, 2),
            f"{row.swapped} of {row.pairs}",
        )
        for row in summary(result.promotions)
    ]
    steps = [row for promotion in result.promotions for row in _steps(promotion)]
    if not steps:
        return section(
            "ladder", "Fidelity", "", paragraph("No point climbed above the model.", class_="skip")
        )
    heads = ("point", "rung", "metric", "figure", "rung below", "rung below off by", "note")
    return section(
        "ladder",
        "Fidelity",
        "model, stepped simulator, synthesis, RTL",
        paragraph(
            "Every figure of the front is the model's. Some points were computed again by slower "
            "and more faithful means; the difference is that of the faster figure from the slower."
        ),
        table(
            ("rung", "metric", "points", "mean difference", "worst", "pairs that change places"),
            errors,
            text_columns=2,
        ),
        tag(
            "details",
            tag("summary", f"Every figure, {count(len(steps))} rows"),
            table(heads, steps, text_columns=3, class_="ladder"),
            open="open" if len(steps) <= 20 else None,
        ),
    )


def _steps(promotion: Promotion) -> list[tuple[Any, ...]]:
    number = str(promotion.number)
    link = tag("button", number, type="button", class_="link", data_point=number)
    off = promotion.errors
    rows = [
        (
            link,
            promotion.rung,
            metric,
            quantity(metric, value),
            quantity(metric, promotion.lower[metric]) if metric in promotion.lower else "-",
            _percent(off[metric]) if metric in off else "-",
            promotion.note if index == 0 else "",
        )
        for index, (metric, value) in enumerate(promotion.figures.items())
    ]
    return rows or [(link, promotion.rung, "-", "-", "-", "-", promotion.note)]


def _percent(share: float) -> str:
    """A relative error with its sign; exactly none is said so."""
    if share == 0:
        return "0"
    if abs(share) < 5e-5:
        return "below 0.01 %"
    return f"{100 * share:+.2f} %" if np.isfinite(share) else "-"
