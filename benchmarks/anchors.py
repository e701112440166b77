"""Published figures beside ours: ``python -m benchmarks.anchors [--write]``.

Our components are synthesized with the open 130 nm libraries, as everywhere (no wires, typical
corner, no clock asked for), scaled to the node of the published figure by
:mod:`costmodel.scaling`, and divided by it. Nothing is fitted to what is published. Synthesis is
kept by content: an interrupted run goes on where it was.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.hdl import UnusedElaboratable

from benchmarks.anchor_points import FINN_POINTS, GROWTH, Ours, Row, Sweep, finn_mac, rows, sweeps
from benchmarks.anchor_reasons import FINN_NOTE, NOTES, SLOPE_NOTE, notes
from benchmarks.liberty import Library
from benchmarks.synthesis import library_script
from benchmarks.targets import libraries, map_fpga
from configs.errors import InputError
from costmodel.fpga import statistics
from costmodel.published.anchors import (
    FINN_SOURCE,
    LEAST_R2,
    SLOPE_SOURCE,
    SLOPES,
    UNITS,
    Quantity,
    finn_luts,
)
from costmodel.scaling import scale
from hw.emit import to_rtlil

MEASURED = Path(__file__).parents[1] / "docs" / "anchors.json"
#: name of the top module in every synthesis of the benchmarks: what was kept is found again
TOP = "measured"
#: library of the energies and of the ratios; another one is shown beside it
LIBRARY = "sg13g2"
NODE_NM, VOLTS = 130, 1.2
#: its flip-flop, and how often bits of random independent data change
FLIP_FLOP, TOGGLE = "sg13g2_dfrbp_1", 0.5
SUPPLIES = {"sg13g2": VOLTS, "sky130": 1.8}
#: beyond these a row needs a reason
FACTOR = 2.0
ACTIVITY = (
    "internal energy of every cell and half C V^2 of its inputs, half of all outputs change per "
    "operation, glitches and wires not counted"
)
Cells = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A component in a library.

    Attributes
    ----------
    area_um2, sequential_um2 : cell area, and that of flip-flops.
    delay_ps : longest path, without wires.
    cells : cells by name.
    """

    area_um2: float
    sequential_um2: float
    delay_ps: float
    cells: Cells


def map_cells(build: Callable[[], Any], liberty: Path, *, small: bool = False) -> Mapped:
    """Synthesize a component; equal ones are synthesized once.

    Parameters
    ----------
    build : makes the component.
    liberty : library.
    small : for area, by ABC's own script and with Booth's multipliers, not by ours for delay.
    """
    lines = [f"synth -flatten -top {TOP}", *library_script(liberty)]
    if small:
        lines = [
            f"synth -flatten -booth -top {TOP}",
            f"dfflibmap -liberty {liberty}",
            f"abc -liberty {liberty}",
            "opt_clean -purge",
        ]
    found = statistics(lines, to_rtlil(build(), TOP), liberty)
    return Mapped(
        area_um2=found["area"],
        sequential_um2=found.get("sequential_area", 0.0),
        delay_ps=found["delay_ps"],
        cells=found["num_cells_by_type"],
    )


def cell_energy_pj(cells: Cells, library: Library, *, registers: bool) -> float:
    """Energy per operation of a netlist by its cells alone, see :data:`ACTIVITY`.

    Flip-flops, where they count, pay both clock edges and new data in half of the cycles.
    """
    logic = {
        name: count
        for name, count in cells.items()
        if name != FLIP_FLOP
        and list(library.cells[name].groups("pin"))
        and _has_inputs(library, name)
    }
    energy = library.netlist_pj(logic)
    if registers:
        change = library.register_pj(FLIP_FLOP, clock="CLK", data="D", output="Q")
        edges = library.clock_pj(FLIP_FLOP, "CLK")
        energy += cells.get(FLIP_FLOP, 0) * (change + edges)
    return energy


def _has_inputs(library: Library, name: str) -> bool:
    """Constants have none and take no energy."""
    pins = (pin for _, pin in library.cells[name].groups("pin"))
    return any(pin.values.get("direction") == "input" for pin in pins)


def own_figure(ours: Ours, quantity: Quantity, liberty: Path, library: Library | None) -> float:
    """Our figure at 130 nm: um2, pJ or ps."""
    total = 0.0
    for part in ours.parts:
        mapped = map_cells(part.build, liberty, small=ours.small)
        if quantity == "delay":
            total = max(total, mapped.delay_ps)
        elif quantity == "area":
            kept = mapped.area_um2 - (0.0 if ours.registers else mapped.sequential_um2)
            total += part.count * kept
        else:
            assert library is not None
            energy_pj = cell_energy_pj(mapped.cells, library, registers=ours.registers)
            total += part.count * energy_pj
    return total


def compare(row: Row, found: dict[str, Path], energies: Library) -> dict[str, Any]:
    """One line of the page."""
    anchor, measured = row.anchor, {}
    for name, liberty in found.items():
        if anchor.quantity == "energy" and name != LIBRARY:
            continue
        own = own_figure(row.ours, anchor.quantity, liberty, energies)
        factor = scale(
            anchor.quantity,
            from_nm=NODE_NM,
            from_volts=SUPPLIES.get(name, VOLTS),
            to_nm=anchor.node_nm,
            to_volts=anchor.volts,
        )
        ours = [own * f for f in (factor.value, factor.low, factor.high)]
        measured[name] = {
            "own": round(own, 4),
            "factor": [float(f"{f:.4g}") for f in (factor.value, factor.low, factor.high)],
            "scaled": float(f"{ours[0]:.4g}"),
            "ratio": [float(f"{o / anchor.value:.4g}") for o in ours],
        }
    method = ACTIVITY if anchor.quantity == "energy" else "synthesis"
    return asdict(anchor) | {
        "unit": UNITS[anchor.quantity],
        "ours": row.ours.what,
        "registers": row.ours.registers,
        "method": method,
        "measured": measured,
        "notes": list(notes(anchor)),
    }


def line_fit(widths: tuple[int, ...], values: list[float]) -> dict[str, float]:
    """Least squares line: slope per bit, value at 0 bits, and R^2 (1 for a constant)."""
    slope, constant = np.polyfit(widths, values, 1)
    spread = float(np.var(values))
    left = float(np.mean((np.polyval((slope, constant), widths) - values) ** 2))
    return {
        "slope": float(f"{slope:.5g}"),
        "constant": float(f"{constant:.5g}"),
        "r2": round(1 - left / spread, 6) if spread else 1.0,
    }


def sweep_row(sweep: Sweep, found: dict[str, Path]) -> dict[str, Any]:
    """Area, and LUTs of ECP5, over the accumulator's width, with their lines."""
    targets: dict[str, list[float]] = {
        name: [
            round(map_cells(partial(sweep.build, width), liberty, small=sweep.small).area_um2, 1)
            for width in sweep.widths
        ]
        for name, liberty in found.items()
    }
    if not sweep.small:
        targets["ecp5"] = [
            map_fpga(to_rtlil(sweep.build(width), TOP), "ecp5")["lut"] for width in sweep.widths
        ]
    made: dict[str, Any] = {
        "name": sweep.name,
        "widths": list(sweep.widths),
        "required": sweep.required,
        "targets": {
            name: {"values": values} | line_fit(sweep.widths, values)
            for name, values in targets.items()
        },
    }
    published = next((s for s in SLOPES if s.bits == sweep.multiplier_bits), None)
    if published is not None:
        made["published_share_per_bit"] = round(published.share_per_bit, 5)
        made["source"] = SLOPE_SOURCE
        for each in made["targets"].values():
            share = each["slope"] / each["values"][sweep.widths.index(32)]
            each["share_per_bit"] = round(share, 5)
    return made


def finn_row(weight_bits: int, activation_bits: int, lanes: int) -> dict[str, Any]:
    """FINN's estimate and a 7 series synthesis of the same PE."""
    mac = finn_mac(weight_bits, activation_bits, lanes)
    accumulator_bits = weight_bits + activation_bits + GROWTH
    estimate = finn_luts(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        lanes=lanes,
        accumulator_bits=accumulator_bits,
    )
    luts = map_fpga(to_rtlil(mac, TOP), "xc7")["lut"]
    return {
        "weight_bits": weight_bits,
        "activation_bits": activation_bits,
        "lanes": lanes,
        "accumulator_bits": accumulator_bits,
        "published": round(estimate, 1),
        "ours": luts,
        "ratio": round(luts / estimate, 3),
        "source": FINN_SOURCE,
    }


def measure() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row with the name of its list, as it is measured.

    Raises
    ------
    InputError : the library of the ratios is not beside the checkout.
    """
    with libraries(None) as found:
        if LIBRARY not in found:
            raise InputError(f"library '{LIBRARY}' is not beside the checkout: nothing to compare")
        energies = Library(found[LIBRARY], volts=VOLTS, toggle=TOGGLE)
        for sweep in sweeps():
            yield "sweeps", sweep_row(sweep, found)
        for point in FINN_POINTS:
            yield "finn", finn_row(*point)
        for row in rows():
            yield "rows", compare(row, found, energies)


def show(name: str, row: dict[str, Any]) -> str:
    """A row in one line."""
    if name == "sweeps":
        fits = ", ".join(
            f"{target} {fit['slope']:.4g} per bit, R^2 {fit['r2']:.4f}"
            for target, fit in row["targets"].items()
        )
        return f"{row['name']}: {fits}"
    if name == "finn":
        bits = f"W{row['weight_bits']}A{row['activation_bits']}, {row['lanes']} lanes"
        return f"FINN {bits}: {row['published']} LUTs, ours {row['ours']}, {row['ratio']:.2f}"
    shown = "; ".join(
        f"{library} {m['scaled']:.4g}, ratio {m['ratio'][0]:.2f} "
        f"({m['ratio'][1]:.2f} to {m['ratio'][2]:.2f})"
        for library, m in row["measured"].items()
    )
    return (
        f"{row['group']}: {row['name']}, {row['quantity']}: {row['value']:.4g} {row['unit']}; "
        f"{shown} [{row['ours']}]\n    notes: {', '.join(row['notes'])}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"write docs/{MEASURED.name}")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UnusedElaboratable)
    texts = {"notes": NOTES, "slope_note": SLOPE_NOTE, "finn_note": FINN_NOTE}
    made: dict[str, Any] = {"least_r2": LEAST_R2, "factor": FACTOR} | texts
    for name, row in measure():
        made.setdefault(name, []).append(row)
        print(show(name, row), flush=True)
    if options.write:
        MEASURED.write_text(json.dumps(made, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
