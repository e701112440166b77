"""Write the tables of docs/area.md from docs/area_measured.json.

python docs/make_area.py            rewrite what stands between the markers
python docs/make_area.py --check    exit with 1 if that would change anything
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("area.md")
MEASURED = PAGE.with_name("area_measured.json")
NAMES = {"xc7": "7 series", "ecp5": "ECP5", "ice40": "iCE40"}
DESIGNS = {
    "serial": "serial PE",
    "parallel": "terms in parallel",
    "multiplier": "multipliers, LUTs only",
    "multiplier_dsp": "multipliers, DSPs",
}
Row = dict[str, Any]


def targets_of(rows: list[Row]) -> list[str]:
    """Targets in the order in which they were measured."""
    return list(dict.fromkeys(target for row in rows for target in row["targets"]))


def named(target: str) -> str:
    """A target as a column heading."""
    return NAMES.get(target, target)


def _each(rows: list[Row], shown: Callable[[dict[str, Any]], str], *labels: Callable[[Row], str]):
    """One line per row: labels, then every target."""
    targets = targets_of(rows)
    return [
        [label(row) for label in labels]
        + [shown(row["targets"][t]) if t in row["targets"] else "-" for t in targets]
        for row in rows
    ]


def cells(found: dict[str, Any]) -> str:
    """LUTs and flip-flops, or area and delay."""
    if "lut" not in found:
        return f"{found['area_um2']:,.0f} um2, {found['delay_ps'] / 1000:.2f} ns"
    dsp = f" + {found['dsp']} DSP" if found["dsp"] else ""
    return f"{found['lut']:,}{dsp} / {found['flip_flops']}"


def _format(row: Row) -> str:
    exponent = "" if row["exponent_bits"] is None else f", {row['exponent_bits']} exponent bit"
    return f"`{row['format']}`" + (exponent + "s" if row["exponent_bits"] == 2 else exponent)


def _per_mac(found: dict[str, Any]) -> str:
    dsp = f" + {found['dsp']:g} DSP" if found["dsp"] else ""
    digits = 0 if found["pe"] >= 200 else 1
    return f"{found['pe']:,.{digits}f} / **{found['share']:,.{digits}f}**{dsp}"


def per_mac(measured: Row, lanes: set[int]) -> str:
    """LUTs, or um2, per effective product and cycle: PE alone / with its share."""
    rows = [row for row in measured["per_mac"] if row["lanes"] in lanes]
    header = ["weights", "format", "design", "lanes", "products per cycle"]
    lines = _each(
        rows,
        _per_mac,
        lambda row: measured["weights"][row["format"]],
        _format,
        lambda row: DESIGNS[row["design"]],
        lambda row: str(row["lanes"]),
        lambda row: f"{row['macs_per_cycle']:.3g}",
    )
    return table(header + [named(t) for t in targets_of(rows)], lines)


def parts(measured: Row) -> str:
    """PEs, columns and dequantizers of the comparison."""
    rows = [
        row
        for row in measured["rows"]
        if row["table"] == "headline" and row["lanes"] == measured["headline_lanes"]
    ]
    header = ["part", "format", "design", "P_I"]
    lines = _each(
        rows,
        cells,
        lambda row: row["part"],
        _format,
        lambda row: DESIGNS.get(row["design"], row["design"]),
        lambda row: str(row["inner_bits"]),
    )
    return table(header + [named(t) for t in targets_of(rows)], lines)


def sweep(measured: Row, name: str, heading: str) -> str:
    """One table of the benchmark, a line per setting."""
    rows = [row for row in measured["rows"] if row["table"] == name]
    formats = len({row["format"] for row in rows}) > 1
    header = [heading, *(["format"] if formats else []), "P_I", "products per cycle"]
    lines = _each(
        rows,
        cells,
        lambda row: row["setting"],
        *([_format] if formats else []),
        lambda row: str(row["inner_bits"]),
        lambda row: f"{row['macs_per_cycle']:.3g}",
    )
    return table(header + [named(t) for t in targets_of(rows)], lines)


def shared(measured: Row) -> str:
    """Dequantizers per row of PEs."""
    rows = [row for row in measured["rows"] if row["table"] == "sharing"]
    per_row = [
        row
        | {
            "targets": {
                target: {
                    key: value if key == "delay_ps" else round(value / row["outputs"], 1)
                    for key, value in found.items()
                }
                for target, found in row["targets"].items()
            }
        }
        for row in rows
    ]
    lines = _each(per_row, cells, lambda row: row["setting"])
    return table(["rows", *map(named, targets_of(rows))], lines)


def steps(measured: Row, name: str) -> str:
    """Versions of PE and dequantizer for one format, in order."""
    rows = [r for r in measured["rows"] if r["table"] == "steps" and r["format"] == name]
    versions = {
        "first": "as first written",
        **measured["steps"],
        "present": "`SerialPE`: chains of four lanes, joined by a tree",
        "compressor": "instead of the chain: one sum, made a carry-save tree by Yosys",
    }
    dequantizers = {
        "first": "as first written: high bit first, product register",
        "resets": "cleared by resets, no enable on the product",
        "present": "`SerialDequantizer`: low bit first, no product register",
    }
    lines = _each(
        rows,
        cells,
        lambda row: "PE" if row["part"] == "pe" else "dequantizer",
        lambda row: (versions if row["part"] == "pe" else dequantizers)[row["design"]],
    )
    return table(["part", "version", *map(named, targets_of(rows))], lines)


def finn_luts(*, weight_bits: int, activation_bits: int, lanes: int, inner_bits: int) -> float:
    """LUTs per product by FINN's own estimate for one PE without activation function.

    ``lut_estimation`` of its matrix-vector unit (after Blott et al., FINN-R, 2018), the constant
    300 of a unit left out.
    """
    both = weight_bits + activation_bits
    products = lanes * (2 * -(-both // 6) - 1) * both
    tree = both * (2 * lanes - 1)
    return 1.1 * (products + tree + inner_bits) / lanes


def estimates(measured: Row) -> str:
    """FINN's estimate beside the pairings measured here."""
    rows = []
    for name, bits in (("int8", 8), ("int4", 4), ("int3", 3), ("ternary", 2)):
        inner = next(row["inner_bits"] for row in measured["rows"] if row["format"] == name)
        luts = [
            finn_luts(weight_bits=bits, activation_bits=8, lanes=lanes, inner_bits=inner)
            for lanes in (4, 8, 16)
        ]
        rows.append([measured["weights"][name], str(bits), *(f"{value:.1f}" for value in luts)])
    return table(["weights", "bits", "4 lanes", "8 lanes", "16 lanes"], rows)


def tables() -> dict[str, str]:
    """Every table of the page by the name in its marker."""
    measured = json.loads(MEASURED.read_text())
    return {
        "headline": per_mac(measured, {measured["headline_lanes"]}),
        "more lanes": per_mac(measured, {8, 16}),
        "parts": parts(measured),
        "lanes": sweep(measured, "lanes", "lanes"),
        "slots": sweep(measured, "slots", "slots"),
        "accumulator": sweep(measured, "accumulator", "inner accumulator"),
        "adders": sweep(measured, "adders", "adders"),
        "modes": sweep(measured, "modes", "mode"),
        "activations": sweep(measured, "activations", "activations"),
        "pipeline": sweep(measured, "pipeline", "registers"),
        "scales": sweep(measured, "scales", "scale"),
        "array": sweep(measured, "array", "array"),
        "sharing": shared(measured),
        "steps int4": steps(measured, "int4"),
        "steps ternary": steps(measured, "ternary"),
        "finn": estimates(measured),
    }


def page(text: str) -> str:
    """``text`` with fresh tables between the markers."""
    return between_markers(text, "make_area.py", tables())


def main() -> int:
    """Rewrite the page, or compare."""
    return rewrite(PAGE, page, "make_area.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
