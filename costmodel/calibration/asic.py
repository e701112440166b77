"""Area and delay of a cell library: from measured rows to a fit.

Area is a sum over what a structure contains, each component with prices of its own; prices that few
rows say little about are held near those of all components together, and a flip-flop is never less
than the library's cell. Delay is a sum over what the longest path passes. Arrays and cores are the
sum of their blocks, and as slow as their slowest part, times what synthesis makes of the whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from costmodel.linear import COVERAGE, FitError, LinearModel, fit_terms

from .components import COMPONENTS
from .depth import Passed, paths
from .files import WHOLE, AsicFit, Models, amounts, blocks_um2, longest_part_ps
from .rows import Row, Sample

#: how strongly prices are held near those of all components, see :func:`fit_terms`
HOLD = 0.01
#: components with fewer held-out rows take the interval of all, if that is wider
FEW_ROWS = 20
_FLIP_FLOPS = "flip_flop_bits"
#: of all components together every price is at least this: um2 and ps
_LEAST_UM2, _LEAST_PS = 2.0, 5.0
#: rounds of choosing the longest path of every row, then fitting to them
_ROUNDS = 15

Prices = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One row beside what a fit says of it."""

    row: Row
    area_um2: float
    delay_ps: float

    @property
    def area_error_percent(self) -> float:
        """Predicted against measured area, with its sign."""
        return (self.area_um2 / self.row.measured.area_um2 - 1) * 100

    @property
    def delay_error_percent(self) -> float:
        """Predicted against measured delay, with its sign."""
        return (self.delay_ps / self.row.measured.delay_ps - 1) * 100


def fit_sample(sample: Sample) -> AsicFit:
    """Fit the rows to be fitted to, and judge the fit by those that were held out."""
    fit = AsicFit(
        **sample.origin,
        area_um2=_area_models(sample.rows),
        delay_ps=_delay_models(sample.rows),
        summary={},
    )
    return replace(fit, summary=summary(predict(fit, sample.rows)))


def predict(fit: AsicFit, rows: Sequence[Row]) -> list[Prediction]:
    """What a fit says of measured rows."""
    return [
        Prediction(
            row=row,
            area_um2=fit.area_um2[row.point.component].value(_contents(fit.area_um2, row)),
            delay_ps=fit.delay(row.point.component, row.point.machine).value,
        )
        for row in rows
    ]


def summary(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Errors in per cent: what was held out, also by component; beyond the sampled range; fitted.

    Keys are ``area`` and ``delay``, below them ``held_out``, ``beyond``, ``fit`` and
    ``components``, with ``rows``, ``mean_percent`` and ``worst_percent`` each.
    """
    errors: dict[str, Callable[[Prediction], float]] = {
        "area": lambda p: p.area_error_percent,
        "delay": lambda p: p.delay_error_percent,
    }
    found: dict[str, Any] = {}
    for kind, error in errors.items():
        uses = {
            use: [p for p in predictions if p.row.point.use == use]
            for use in ("held_out", "beyond", "fit")
        }
        found[kind] = {use: _errors(rows, error) for use, rows in uses.items() if rows}
        names = dict.fromkeys(p.row.point.component for p in uses["held_out"])
        found[kind]["components"] = {
            name: _errors([p for p in uses["held_out"] if p.row.point.component == name], error)
            for name in names
        }
    return found


def _errors(
    rows: Sequence[Prediction], error: Callable[[Prediction], float]
) -> dict[str, float | int]:
    found = [abs(error(row)) for row in rows]
    return {
        "rows": len(found),
        "mean_percent": round(float(np.mean(found)), 2),
        "worst_percent": round(max(found), 2),
    }


def _contents(models: Models, row: Row) -> dict[str, float]:
    """What a row's area is a sum over; of arrays and cores the area of their blocks."""
    component, machine = row.point.component, row.point.machine
    if component in WHOLE:
        return blocks_um2(models, machine, COMPONENTS[component].blocks)
    return amounts(COMPONENTS[component].structure(machine))


def _area_models(rows: Sequence[Row]) -> Models:
    """Prices of every component, arrays and cores last."""
    parts = [row for row in rows if row.point.use == "fit" and row.point.component not in WHOLE]
    found = [_contents({}, row) for row in parts]
    areas = [row.measured.area_um2 for row in parts]
    cells = (
        row.measured.sequential_um2 / content[_FLIP_FLOPS]
        for row, content in zip(parts, found, strict=True)
        if content[_FLIP_FLOPS]
    )
    least = {_FLIP_FLOPS: median(cells)}
    names = [name for name in found[0] if any(content[name] for content in found)]
    common = fit_terms(found, areas, names, least=least)
    near = {n: max(common.get(n, 0.0), least.get(n, 0.0) + _LEAST_UM2) for n in names}

    def fit(contents: Sequence[dict[str, float]], measured: Sequence[float]) -> Prices:
        used = [name for name in contents[0] if any(content[name] for content in contents)]
        if not set(used) <= set(near):
            return fit_terms(contents, measured, used)
        return fit_terms(contents, measured, used, least=least, near=near, hold=HOLD)

    models: Models = {}
    judged = {}
    for component in COMPONENTS:
        own = [row for row in rows if row.point.component == component]
        contents = {id(row): _contents(models, row) for row in own}
        fitted = [row for row in own if row.point.use == "fit"]
        prices = fit(
            [contents[id(row)] for row in fitted], [row.measured.area_um2 for row in fitted]
        )
        judged[component] = _judged(
            prices,
            own,
            lambda model, row, contents=contents: model.value(contents[id(row)]),  # type: ignore[misc]
            lambda row: row.measured.area_um2,
        )
        models[component] = judged[component][0]
    return _widened(judged)


def _delay_models(rows: Sequence[Row]) -> Models:
    """Delays of every component, arrays and cores last."""
    fitted = [row for row in rows if row.point.use == "fit"]
    parts = [row for row in fitted if row.point.component not in WHOLE]
    common = _fit_longest([_paths({}, row) for row in parts], [_delay(row) for row in parts])
    near = {name: max(price, _LEAST_PS) for name, price in common.items()}
    models: Models = {}
    judged = {}
    for component in COMPONENTS:
        own = [row for row in rows if row.point.component == component]
        candidates = {id(row): _paths(models, row) for row in own}
        used = [row for row in own if row.point.use == "fit"]
        prices = _fit_longest(
            [candidates[id(row)] for row in used],
            [_delay(row) for row in used],
            near=None if component in WHOLE else near,
        )
        judged[component] = _judged(
            prices,
            own,
            lambda model, row, found=candidates: max(map(model.value, found[id(row)])),  # type: ignore[misc]
            _delay,
        )
        models[component] = judged[component][0]
    return _widened(judged)


def _delay(row: Row) -> float:
    return row.measured.delay_ps


def _paths(models: Models, row: Row) -> list[Passed]:
    component, machine = row.point.component, row.point.machine
    if component in WHOLE:
        return [longest_part_ps(models, component, machine)]
    return paths(component, machine)


def _fit_longest(
    candidates: Sequence[list[Passed]], delays: Sequence[float], *, near: Prices | None = None
) -> Prices:
    """Prices of what paths pass, and with them the longest path of every row."""
    names = sorted({name for found in candidates for path in found for name in path})
    expected = {name: (near or {}).get(name, _LEAST_PS) for name in names}
    prices: Prices = dict.fromkeys(names, 100.0) if near is None else expected
    for _ in range(_ROUNDS):
        longest = [
            max(found, key=lambda path: sum(prices.get(n, 0) * path[n] for n in path))
            for found in candidates
        ]
        hold = HOLD if near is not None else 0.0
        found = fit_terms(longest, delays, names, near=expected, hold=hold)
        if found == prices:
            break
        prices = found
    return prices


def _judged(
    prices: Prices,
    rows: Sequence[Row],
    predicted: Callable[[LinearModel, Row], float],
    measured: Callable[[Row], float],
) -> tuple[LinearModel, list[float]]:
    """A model with its errors on what was held out, and those errors in per cent."""
    held_out = [row for row in rows if row.point.use == "held_out"]
    nothing = FitError(fitted=0, held_out=0, mean_percent=0, worst_percent=0, interval_percent=0)
    model = LinearModel(terms=prices, error=nothing)
    found = [predicted(model, row) for row in held_out]
    wanted = [measured(row) for row in held_out]
    error = FitError.of(found, wanted, fitted=sum(row.point.use == "fit" for row in rows))
    errors = [abs(f / w - 1) * 100 for f, w in zip(found, wanted, strict=True)]
    return replace(model, error=error), errors


def _widened(judged: dict[str, tuple[LinearModel, list[float]]]) -> Models:
    """Where few rows were held out, an interval is at least that of all held-out rows."""
    every = [error for _, errors in judged.values() for error in errors]
    common = round(float(np.quantile(every, COVERAGE, method="higher")), 3)

    def wide(model: LinearModel) -> LinearModel:
        found = model.error
        if found.held_out >= FEW_ROWS or found.interval_percent >= common:
            return model
        return replace(model, error=replace(found, interval_percent=common))

    return {name: wide(model) for name, (model, _) in judged.items()}
