"""Write the tables of docs/float_area.md from docs/float_area.json.

python docs/make_float_area.py            rewrite what stands between the markers
python docs/make_float_area.py --check    exit with 1 if that would change anything
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("float_area.md")
MEASURED = PAGE.with_name("float_area.json")
NAMES = {"xc7": "7 series", "ecp5": "ECP5", "ice40": "iCE40"}
Row = dict[str, Any]
#: published areas in um2, 28 nm: a tile of PEs at 1 GHz, and blocks without and with registers
PUBLISHED = {
    "per PE of a tile": (1517.0, 1989.5),
    "without registers": (1221.6, 1733.5),
    "with registers": (1793.7, 1968.7),
}
ENCODER, ARRAY = 2419.0, 97090.0
#: what stands for the published FP16 PE, and for the PE that runs all weight widths
BASELINES = ("FP16 MAC, product rounded", "FP16 MAC, fused")
ALL_FORMATS = "int8"


def targets_of(rows: list[Row]) -> list[str]:
    """FPGAs, then libraries."""
    found = {target for row in rows for target in row["parts"]["pe"]}
    return [*(t for t in NAMES if t in found), *sorted(found - NAMES.keys())]


def named(target: str) -> str:
    """A target as a column heading."""
    return NAMES.get(target, target)


def setting(row: Row) -> str:
    """Setting of a row in a few words."""
    found = row["setting"]
    if found is None:
        return f"P_I {row['inner_bits']}"
    if found["datapath"] == "exact":
        return f"exact, P_I {row['inner_bits']}"
    if found["normalization"] == "full":
        return {12: "float16 sum", 25: "float32 sum"}[found["mantissa_bits"]]
    rounding = {"truncate": "truncate", "nearest_even": "nearest"}[found["rounding"]]
    return f"{found['guard_bits']}/{found['mantissa_bits']} {rounding}"


def cells(found: Row) -> str:
    """LUTs and flip-flops, or area and delay."""
    if "lut" not in found:
        return f"{found['area_um2']:,.0f} um2, {found['delay_ps'] / 1000:.2f} ns"
    dsp = f" + {found['dsp']} DSP" if found["dsp"] else ""
    return f"{found['lut']:,}{dsp} / {found['flip_flops']}"


def size(found: Row) -> float:
    """LUTs, or um2."""
    return found["lut"] if "lut" in found else found["area_um2"]


def _each(rows: list[Row], part: str, *labels: Callable[[Row], str]) -> str:
    """A table of one part: labels, then every target."""
    targets = targets_of(rows)
    return "\n".join(
        f"| {' | '.join([*(label(row) for label in labels), *shown])} |"
        for row in rows
        for shown in [
            [cells(row["parts"][part][t]) if t in row["parts"][part] else "-" for t in targets]
        ]
    )


def _headed(header: list[str], rows: list[Row], body: str) -> str:
    columns = [*header, *map(named, targets_of(rows))]
    return f"| {' | '.join(columns)} |\n| {' | '.join(['---'] * len(columns))} |\n{body}"


def of_table(measured: Row, name: str) -> list[Row]:
    """Rows of one table."""
    return [row for row in measured["rows"] if row["table"] == name]


def per_product(measured: Row, bits: int) -> str:
    """Area per effective product and cycle for weights of one width."""
    rows = [row for row in of_table(measured, "weights") if bits in row["weight_bits"]]
    lines = []
    for row in rows:
        line = [row["name"], f"`{row['format']}`", setting(row), str(row["lanes"])]
        line.append(f"{row['macs_per_cycle']:.3g}")
        shown = {target: _products(found) for target, found in row["shares"].items()}
        lines.append(line + [shown.get(target, "-") for target in targets_of(rows)])
    header = ["PE", "weights", "setting", "lanes", "products per cycle"]
    return table(header + [named(t) for t in targets_of(rows)], lines)


def _products(found: Row) -> str:
    """PE alone / with its share of row and column, and where it was measured the dequantizer."""
    text = f"{found['pe']:,.0f} / **{found['share']:,.0f}**"
    return text + (f" / {found['dequantized']:,.0f}" if "dequantized" in found else "")


def pes(measured: Row) -> str:
    """Every PE with its delay."""
    rows = [*of_table(measured, "weights"), *of_table(measured, "dsp")]
    body = _each(
        rows,
        "pe",
        lambda row: row["name"] + (", DSPs" if row["dsp"] else ""),
        lambda row: f"`{row['format']}`",
        setting,
        lambda row: str(row["lanes"]),
    )
    return _headed(["PE", "weights", "setting", "lanes"], rows, body)


def _distinct(rows: list[Row], part: str) -> list[Row]:
    """The first row with each circuit of a part."""
    seen: dict[str, Row] = {}
    for row in rows:
        if part in row["parts"]:
            seen.setdefault(json.dumps(row["parts"][part]), row)
    return list(seen.values())


def _activations(row: Row) -> str:
    found = row["setting"]
    if found is None:
        return "integers: registers"
    if found["datapath"] == "exact":
        return "float16 to fixed point"
    if found["alignment"] == "pe":
        return "float16, taken apart"
    return f"float16, aligned, {found['guard_bits']} guard bits, {found['rounding']}"


def edge(measured: Row) -> str:
    """What stands in front of rows and columns."""
    rows = of_table(measured, "weights")
    activations = _distinct(rows, "activations")
    columns = _distinct(rows, "column")
    kind = {True: "terms", False: "digits"}
    body = "\n".join(
        [
            _each(
                activations, "activations", lambda r: "row", _activations, lambda r: str(r["lanes"])
            ),
            _each(
                columns,
                "column",
                lambda row: "column",
                lambda row: f"`{row['format']}`, {kind[row['name'].startswith('serial')]}",
                lambda row: str(row["lanes"]),
            ),
        ]
    )
    return _headed(["part", "of what", "lanes"], rows, body)


def dequantizers(measured: Row) -> str:
    """Dequantizers of one PE and of a column's."""
    rows = of_table(measured, "weights")
    parts = (("dequantizer", "1"), ("dequantizers", str(measured["tile"])))
    body = "\n".join(
        _each(
            _distinct(rows, part),
            part,
            lambda row: setting(row) + (f", `{row['format']}`" if "P_I" in setting(row) else ""),
            lambda row, count=count: count,
        )
        for part, count in parts
    )
    return _headed(["of which sums", "PEs"], rows, body)


def published(measured: Row) -> str:
    """Serial PEs over the float16 multiply-accumulate, beside the published ratios."""
    rows = [*of_table(measured, "weights"), *of_table(measured, "released")]
    bases = [next(row for row in rows if row["name"] == name) for name in BASELINES]
    ours = [
        row
        for row in rows
        if row["name"].startswith("serial")
        and row["lanes"] == 4
        and row["format"] in (ALL_FORMATS, "bitmod_fp4")
    ]
    targets, lines = targets_of(ours), []
    for row in ours:
        released = ", as released" if row["table"] == "released" else ""
        line = [row["name"] + released, f"`{row['format']}`", setting(row)]
        for target in targets:
            if target not in row["parts"]["pe"]:
                line.append("-")
                continue
            alone = size(row["parts"]["pe"][target])
            own = alone + size(row["parts"]["dequantizer"][target])
            ratios = [
                f"{alone / size(base['parts']['pe'][target]):.2f} "
                f"({own / size(base['parts']['pe'][target]):.2f})"
                for base in bases
            ]
            line.append(" / ".join(ratios))
        lines.append(line)
    return table(["PE", "weights", "setting", *map(named, targets)], lines)


def encoders(measured: Row) -> str:
    """Share of the columns' decoders in the area of a tile."""
    tile, lines = measured["tile"], []
    rows = [
        row
        for row in of_table(measured, "weights")
        if row["name"] in ("serial, row aligned", "serial, aligning")
        and setting(row) == "3/16 nearest"
        and row["lanes"] == 4
    ]
    libraries = [t for t in targets_of(rows) if "area_um2" in rows[0]["parts"]["pe"][t]]
    for row in rows:
        line = [row["name"], f"`{row['format']}`"]
        for target in libraries:
            parts = {name: found[target] for name, found in row["parts"].items()}
            array = tile * tile * (parts["pe"]["area_um2"] + parts["dequantizer"]["area_um2"])
            column = parts["column"]
            shares = [
                tile * area / array * 100
                for area in (column["area_um2"] - column["sequential_um2"], column["area_um2"])
            ]
            line.append(f"{shares[0]:.2f} % / {shares[1]:.2f} %")
        lines.append(line)
    return table(["PE", "weights", *map(named, libraries)], lines)


def sweep(measured: Row, name: str, rounding: str, target: str) -> str:
    """Area of a PE by guard bits and mantissa bits, and with all that belongs to it."""
    rows = [
        row
        for row in of_table(measured, "sweep")
        if row["name"] == name and row["setting"]["rounding"] == rounding
    ]
    guards = sorted({row["setting"]["guard_bits"] for row in rows})
    mantissas = sorted({row["setting"]["mantissa_bits"] for row in rows})
    found = {(r["setting"]["guard_bits"], r["setting"]["mantissa_bits"]): r for r in rows}
    lines = [
        [str(guard)]
        + [
            f"{size(row['parts']['pe'][target]):,.0f} / "
            f"**{row['shares'][target]['dequantized'] * row['macs_per_cycle']:,.0f}**"
            for row in (found[guard, mantissa] for mantissa in mantissas)
        ]
        for guard in guards
    ]
    return table(["guard bits", *(f"{mantissa} bits" for mantissa in mantissas)], lines)


def tables() -> dict[str, str]:
    """Every table of the page by the name in its marker."""
    measured = json.loads(MEASURED.read_text())
    made = {f"weights {bits}": per_product(measured, bits) for bits in (8, 6, 4, 3)}
    made |= {
        "pes": pes(measured),
        "edge": edge(measured),
        "dequantizers": dequantizers(measured),
        "published": published(measured),
        "encoders": encoders(measured),
    }
    for name in ("row aligned", "aligning"):
        for rounding in ("truncate", "nearest_even"):
            made[f"sweep {name} {rounding}"] = sweep(
                measured, f"serial, {name}", rounding, "sg13g2"
            )
    return made


def page(text: str) -> str:
    """``text`` with fresh tables between the markers."""
    return between_markers(text, "make_float_area.py", tables())


def main() -> int:
    """Rewrite the page, or compare."""
    return rewrite(PAGE, page, "make_float_area.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
