"""The head: what was asked, of how many points, and why the others were refused."""

from collections.abc import Mapping
from typing import Any

from configs.expressions import written

from ...report.markup import Markup, join, paragraph, section, table, tag
from ...report.units import count, percent
from ..export import flow
from ..metrics import METRICS
from ..result import StudyResult

#: values of an axis that are listed before the rest is only counted
_VALUES = 12
#: reasons that get a row of their own
_REASONS = 15


def head(result: StudyResult, facts: Mapping[str, str]) -> Markup:
    """Name, key figures, the question."""
    sweep = result.space.sweep
    tiles = [
        (count(result.space.size), "points in the space"),
        (count(result.evaluated), "evaluated"),
        (f"{count(result.feasible)}", f"feasible, {_share(result)} of those evaluated"),
        (count(len(result.front)), "on the Pareto front"),
    ]
    stated = (tag("span", tag("b", name), " ", text) for name, text in facts.items())
    return join(
        tag("p", "bitsmith explore", class_="eyebrow"),
        tag("h1", sweep.name),
        paragraph(sweep.description, class_="sub"),
        tag("div", *(tag("div", tag("b", a), tag("span", b), class_="tile") for a, b in tiles),
            class_="tiles"),
        tag("div", *stated, class_="facts"),
        section("question", "The question", "", _objectives(result), _space(result)),
        _refused(result),
    )  # fmt: skip


def _share(result: StudyResult) -> str:
    return percent(result.feasible / result.evaluated) if result.evaluated else "none"


def _objectives(result: StudyResult) -> Markup:
    sweep = result.space.sweep
    wanted = [
        tag("li", "as ", "little" if METRICS[name].better == "less" else "much", " ",
            tag("code", name), f" as possible: {METRICS[name].text}")
        for name in sweep.objectives
    ]  # fmt: skip
    limits = [
        tag("li", tag("code", text if isinstance(text, str) else flow(text)))
        for text in sweep.constraints
    ]
    method = sweep.search.method
    how = "every point" if method == "exhaustive" else (
        f"{method} search, {count(sweep.search.points)} points, seed {sweep.search.seed}"
    )  # fmt: skip
    return tag(
        "div",
        tag("div", tag("h3", "Objectives"), tag("ul", *wanted)),
        tag("div", tag("h3", "Constraints"), tag("ul", *limits) if limits else paragraph("none")),
        tag("div", tag("h3", "How points were chosen"), paragraph(how)),
        class_="columns",
    )


def _space(result: StudyResult) -> Markup:
    sweep = result.space.sweep
    fixed = [(name, tag("code", _short(value))) for name, value in sweep.base.items()]
    axes = []
    for axis in result.space.axes:
        texts = [written(value) for value in axis.values]
        more = f" and {len(texts) - _VALUES} more" if len(texts) > _VALUES else ""
        where = sweep.when.get(axis.path)
        axes.append(
            (
                tag("code", axis.path),
                join(tag("code", ", ".join(texts[:_VALUES])), more),
                tag("code", where) if where else "",
                count(len(texts)),
            )
        )
    return tag(
        "div",
        tag("div", tag("h3", "Axes"), table(("axis", "values", "only when", "values"), axes,
                                            text_columns=3)),
        tag("div", tag("h3", "The same for all points"), table(("file", "value"), fixed,
                                                               text_columns=2)),
        class_="columns",
    )  # fmt: skip


def _short(value: Any) -> str:
    text = written(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _refused(result: StudyResult) -> Markup | None:
    """Reasons with counts, the commonest first."""
    if not result.refused:
        return None
    ordered = sorted(result.refused.items(), key=lambda item: (-item[1], item[0]))
    total = sum(result.refused.values())
    rows: list[tuple[str, str, str]] = [
        (reason, count(number), percent(number / result.evaluated))
        for reason, number in ordered[:_REASONS]
    ]
    if rest := ordered[_REASONS:]:
        number = sum(number for _, number in rest)
        rows.append(
            (f"{len(rest)} other reasons", count(number), percent(number / result.evaluated))
        )
    return tag(
        "details",
        tag("summary", f"Why {count(total)} points are not feasible"),
        table(("reason", "points", "of those evaluated"), rows),
        open="open" if len(rows) <= 6 else None,
    )
