"""Fit the FPGA predictors to synthesis.

python -m costmodel.fpga.calibrate --family ecp5

Synthesizes the points of :mod:`costmodel.fpga.rows` (results are kept, so that an interrupted run
goes on), fits every component on its fitted rows, then what a core adds to its components, and
writes ``fits/FAMILY.json`` and ``samples/FAMILY.json``. Held-out rows are never fitted to.
"""

import argparse
import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from costmodel.linear import FitError, LinearModel, fit_terms

from .amounts import Amounts, component_amounts
from .predict import (
    FITS,
    PREDICTED,
    WITH_DSP,
    FlipFlopError,
    FpgaFit,
    component_estimates,
    core_amounts,
    counted_flip_flops,
    has_models,
    load_fit,
)
from .rows import SEED, Row, measured_rows, read_rows
from .terms import CORE_TERMS, TERMS
from .yosys import keep

SAMPLES = Path(__file__).with_name("samples")
CORE = "core"
#: family with the most rows; a price of the others that it lacks is expected to be small
REFERENCE, LEAST_PRICE = "ecp5", 0.02
#: how strongly prices may be held near those of the reference
HOLDS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
#: with fewer points fitted there is no model of a component, without and with multiplier blocks
LEAST_FITTED = (2, 4)


def fit_prices(
    amounts: Sequence[Amounts],
    luts: Sequence[int],
    names: Sequence[str],
    reference: LinearModel | None,
) -> dict[str, float]:
    """Prices by least squares; near those of another family where that predicts more.

    How near is chosen by leaving each row out in turn, of the fitted ones only.
    """
    if reference is None:
        return fit_terms(amounts, luts, names)
    ratio = float(np.median([n / reference.value(a) for n, a in zip(luts, amounts, strict=True)]))
    near = {name: max(ratio * reference.terms.get(name, 0.0), LEAST_PRICE) for name in names}

    def left_out(hold: float) -> float:
        off = 0.0
        for number, (amount, lut) in enumerate(zip(amounts, luts, strict=True)):
            others = [n for n in range(len(luts)) if n != number]
            chosen, wanted = [amounts[n] for n in others], [luts[n] for n in others]
            prices = fit_terms(chosen, wanted, names, near=near, hold=hold)
            off += abs(sum(p * amount.get(name, 0) for name, p in prices.items()) / lut - 1)
        return off

    return fit_terms(amounts, luts, names, near=near, hold=min(HOLDS, key=left_out))


def fit_model(
    amounts: Sequence[Amounts],
    rows: Sequence[Row],
    names: Sequence[str],
    reference: LinearModel | None = None,
) -> LinearModel:
    """Model of one kind of rows, with its error on those that are held out."""
    fitted = [n for n, row in enumerate(rows) if row.point.use == "fit"]
    held_out = [n for n, row in enumerate(rows) if row.point.use == "held_out"]
    luts = [row.used.lut for row in rows]
    chosen = [amounts[n] for n in fitted]
    prices = fit_prices(chosen, [luts[n] for n in fitted], names, reference)
    predicted = [sum(p * row.get(name, 0) for name, p in prices.items()) for row in amounts]
    error = FitError.of(
        [predicted[n] for n in held_out], [luts[n] for n in held_out], fitted=len(fitted)
    )
    return LinearModel(terms=prices, error=error)


def fit_components(rows: Sequence[Row], family: str) -> dict[str, LinearModel]:
    """Models of all components, with and without multiplier blocks.

    Families with fewer rows than ECP5 have its prices as a start, if its fit is there.
    """
    found = {}
    start: Mapping[str, LinearModel] = {}
    if family != REFERENCE and (FITS / f"{REFERENCE}.json").is_file():
        start = load_fit(REFERENCE).components
    for component, names in TERMS.items():
        for dsp in (False, True):
            # what takes no look-up tables has no relative error
            chosen = [
                row
                for row in rows
                if row.point.component == component and row.dsp == dsp and row.used.lut
            ]
            fitted = sum(row.point.use == "fit" for row in chosen)
            if fitted < LEAST_FITTED[dsp] or fitted == len(chosen):
                continue
            amounts = [component_amounts(component, row.point.machine, family) for row in chosen]
            name = component + WITH_DSP * dsp
            found[name] = fit_model(amounts, chosen, names, start.get(name))
    return found


def fit_core(
    rows: Sequence[Row], family: str, components: Mapping[str, LinearModel]
) -> LinearModel:
    """Model of a core's look-up tables, from those of its components."""
    nothing = LinearModel(terms={}, error=FitError.of([1], [1], fitted=0))
    unknown = FlipFlopError(rows=0, exact=0, worst_percent=0.0)
    parts = FpgaFit(family=family, components=components, core=nothing, flip_flops=unknown)
    chosen, amounts = [], []
    for row in rows:
        machine = row.point.machine
        if row.point.component == CORE and has_models(machine, parts, dsp=row.dsp):
            chosen.append(row)
            amounts.append(core_amounts(machine, component_estimates(machine, parts, dsp=row.dsp)))
    return fit_model(amounts, chosen, CORE_TERMS)


def compare_flip_flops(rows: Sequence[Row], family: str) -> FlipFlopError:
    """How far the count of cores is from synthesis, where no register moves into a block."""
    chosen = [row for row in rows if row.point.component == CORE and not row.dsp]
    counted = [counted_flip_flops(row.point.machine, family) for row in chosen]
    found = [row.used.flip_flops for row in chosen]
    shares = [abs(c / f - 1) for c, f in zip(counted, found, strict=True)]
    return FlipFlopError(
        rows=len(found),
        exact=sum(c == f for c, f in zip(counted, found, strict=True)),
        worst_percent=round(100 * max(shares), 3),
    )


def fit_rows(rows: Sequence[Row], family: str) -> dict[str, Any]:
    """What a file in ``fits`` says."""
    components = fit_components(rows, family)
    core = fit_core(rows, family, components)
    return {
        "family": family,
        "command": f"python -m costmodel.fpga.calibrate --family {family}",
        "versions": {"pyosys": importlib.metadata.version("pyosys")},
        "components": {name: model.to_json() for name, model in components.items()},
        "core": core.to_json(),
        "flip_flops": asdict(compare_flip_flops(rows, family)),
    }


def calibrate_fpga(
    family: str,
    out: Path = FITS,
    *,
    workers: int = 0,
    seed: int = SEED,
    samples: Path = SAMPLES,
    again: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Synthesize, fit and write one family.

    Parameters
    ----------
    out, samples : folders of the fit and of the rows that it was made from.
    workers : runs at a time; all cores by default.
    seed : of the sample.
    again : synthesize; else fit to the rows that are there.
    say : is told what is done.

    Raises
    ------
    InputError : no predictors for the family, or no rows where there should be some.
    """
    if family not in PREDICTED:
        raise InputError(f"no predictors for '{family}': choose of {', '.join(PREDICTED)}")
    path = samples / f"{family}.json"
    if again:
        rows = measured_rows(family, seed=seed, workers=workers, say=say)
        content = {"seed": seed, "rows": [row.to_json() for row in rows]}
        _write(path, content)
    elif not path.is_file():
        raise InputError(f"no rows for {family}: leave --fit-only out to synthesize them")
    fit = fit_rows(read_rows(path), family)
    _write(out / f"{family}.json", fit)
    # what was read before may be the file that is replaced
    load_fit.cache_clear()
    core = fit["core"]["error"]
    say(
        f"{family}: cores {core['mean_percent']:.1f} % on average, {core['worst_percent']:.1f} % "
        f"at worst, on {core['held_out']} held out"
    )
    return fit


def _write(path: Path, content: dict[str, Any]) -> None:
    """JSON with a row a line where there are many."""
    text = json.dumps(content, indent=1)
    if "rows" in content:
        rows = ",\n".join(json.dumps(row) for row in content["rows"])
        others = json.dumps({k: v for k, v in content.items() if k != "rows"})
        text = f'{others[:-1]}, "rows": [\n{rows}\n]}}'
    keep(path, f"{text}\n".encode())
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m costmodel.fpga.calibrate", description="Fit the FPGA predictors."
    )
    parser.add_argument("--family", choices=PREDICTED, required=True)
    parser.add_argument("--workers", type=int, default=0, help="runs at a time; 0: all cores")
    parser.add_argument("--seed", type=int, default=SEED, help="of the sample")
    parser.add_argument("--fit-only", action="store_true", help="to the rows that are committed")
    found = parser.parse_args(arguments)
    try:
        calibrate_fpga(
            found.family,
            workers=found.workers,
            seed=found.seed,
            again=not found.fit_only,
            say=lambda line: print(line, flush=True),
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
