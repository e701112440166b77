"""Write the tables of docs/edge_study.md from docs/edge_study.json.

python docs/make_edge_study.py            rewrite what stands between the markers
python docs/make_edge_study.py --check    exit with 1 if that would change anything
python docs/make_edge_study.py --measure  evaluate the sweeps again first: some minutes on one core
"""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("edge_study.md")
MEASURED = PAGE.with_name("edge_study.json")
BITMOD = "BitMoD's"
#: shares of FP16's perplexity that count as equal: they come from two publications
SAME_QUALITY = 0.01
Row = dict[str, Any]


def seconds(value: float) -> str:
    """A time with three digits."""
    return f"{value:.3g}"


def interval(row: Row, name: str) -> str:
    """A figure and its interval."""
    return f"{row[name]:.3g} ({row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g})"


def quality_text(row: Row) -> str:
    """Perplexity, and its ratio to the unquantized model's."""
    if row["perplexity"] is None:
        return "-"
    return f"{row['perplexity']:g} ({row['of_fp16']:.3f})"


def points(found: dict[str, Row]) -> str:
    """How many were evaluated."""
    lines = [
        [model, f"{one['points']:,}", f"{one['feasible']:,}", str(len(one["groups"]))]
        for model, one in found.items()
    ]
    return table(["model", "points", "of 2 mm2 and possible clock", "PEs with formats"], lines)


def picks(measured: Row, pick: str) -> str:
    """One kind of point of every PE and format, the fastest first."""
    rows = [row for row in measured["groups"] if pick in row["picks"]]
    rows.sort(key=lambda row: row["picks"][pick]["latency_s"])
    lines = []
    for row in rows:
        point = row["picks"][pick]
        lines.append(
            [
                row["pe"],
                f"`{row['format']}`",
                point["design"],
                seconds(point["prefill_s"]),
                f"{1e3 * point['s_per_token']:.1f}",
                f"{point['latency_s']:.1f}",
                interval(point, "energy_j"),
                interval(point, "area_mm2"),
                quality_text(row),
            ]
        )
    header = ["PE", "weights", "design", "prefill s", "ms per token", "256 + 256 s", "energy J"]
    return table([*header, "area mm2", "perplexity (of FP16)"], lines)


def literature(measured: Row) -> str:
    """The paper's arrays, with the memory of the study and with that of the paper."""
    beside = {row["name"]: row for row in measured["with_sram"]}
    lines = []
    for row in measured["literature"]:
        for place, figures in (("none", row), ("512 + 512 KiB", beside[row["name"]])):
            lines.append(
                [
                    row["name"],
                    place,
                    seconds(figures["prefill_s"]),
                    f"{1e3 * figures['s_per_token']:.1f}",
                    f"{figures['latency_s']:.1f}",
                    interval(figures, "energy_j"),
                    interval(figures, "area_mm2"),
                ]
            )
    header = ["accelerator", "SRAM", "prefill s", "ms per token", "256 + 256 s", "energy J"]
    return table([*header, "area mm2"], lines)


def group(measured: Row, pe: str, weights: str) -> Row:
    """One PE with one format."""
    (row,) = (r for r in measured["groups"] if (r["pe"], r["format"]) == (pe, weights))
    found: Row = row
    return found


def dominance(measured: Row, weights: str) -> str:
    """Points of the front of BitMoD's PE that others dominate."""
    mine = group(measured, BITMOD, weights)
    lines = []
    for row in measured["groups"]:
        if row is mine:
            continue
        count = mine["dominated_by"][f"{row['pe']} {row['format']}"]
        back = row["dominated_by"][f"{BITMOD} {weights}"]
        lines.append(
            [
                row["pe"],
                f"`{row['format']}`",
                quality_text(row),
                f"{count} of {mine['front']}",
                f"{back} of {row['front']}",
            ]
        )
    header = ["PE", "weights", "perplexity (of FP16)", f"of BitMoD's `{weights}` dominated"]
    return table([*header, "of its own dominated by them"], lines)


def rivals(measured: Row, weights: str, same_weights: bool) -> tuple[Row, Row]:
    """BitMoD's PE with its format, and the fastest other with the same format, or with any whose
    quality is the same or better; of equally fast ones the smallest."""
    mine = group(measured, BITMOD, weights)
    limit = None if mine["of_fp16"] is None else mine["of_fp16"] + SAME_QUALITY
    others = [
        row
        for row in measured["groups"]
        if row["pe"] != BITMOD
        and (limit is None or (row["of_fp16"] or math.inf) <= limit)
        and (row["format"] == weights or not same_weights)
    ]
    points = [row["picks"]["least latency"] for row in others]
    limit = 1.01 * min(point["latency_s"] for point in points)
    near = [row for row, p in zip(others, points, strict=True) if p["latency_s"] <= limit]
    return mine, min(near, key=lambda row: row["picks"]["least latency"]["area_mm2"])


def verdict(measured: Row, weights: str, *, same_weights: bool = False) -> str:
    """BitMoD's PE against the fastest other, point by point."""
    mine, other = rivals(measured, weights, same_weights)
    lines = []
    for pick in mine["picks"]:
        if pick not in other["picks"]:
            continue
        one, two = mine["picks"][pick], other["picks"][pick]
        lines += [
            [pick, BITMOD, f"`{weights}`", one["design"], *compared(one, one)],
            [pick, other["pe"], f"`{other['format']}`", two["design"], *compared(two, one)],
        ]
    header = ["best by", "PE", "weights", "design", "prefill s", "ms per token", "energy J"]
    return table([*header, "area mm2", "at the clock's low end: prefill s, ms per token"], lines)


def compared(point: Row, base: Row) -> list[str]:
    """Figures of a point, and how often they fit into those of another."""

    def with_ratio(name: str, scale: float = 1.0) -> str:
        ratio = "" if point is base else f" ({base[name] / point[name]:.2f}x)"
        return f"{scale * point[name]:.3g}{ratio}"

    slow = f"{with_ratio('slow_prefill_s')}, {with_ratio('slow_s_per_token', 1e3)}"
    saved = "" if point is base else f", {base['energy_j'] / point['energy_j']:.2f}x"
    return [
        with_ratio("prefill_s"),
        with_ratio("s_per_token", 1e3),
        interval(point, "energy_j") + saved,
        interval(point, "area_mm2"),
        slow,
    ]


def floor(measured: Row, bits: dict[str, float]) -> str:
    """Shortest decode step by stored bits."""
    known = measured["bounds"]
    lines = [
        [
            name,
            f"{stored:.3f}",
            f"{known['weights'] * stored / 8e9:.2f}",
            f"{1e3 * known['weights'] * stored / 8 / known['bytes_per_s']:.1f}",
        ]
        for name, stored in bits.items()
    ]
    return table(["weights", "bits", "GB of a step", "ms at least"], lines)


LLAMA_BITS = {
    "FP16": 16.0,
    "INT8, a scale per channel": 8.0,
    "INT4, 8-bit scale and 4-bit zero point per 128": 4 + 12 / 128,
    "BitMoD FP4, 8-bit scale and 2-bit selector per 128": 4 + 10 / 128,
    "OliVe, 8-bit scale per 128": 4 + 8 / 128,
    "BitMoD FP3": 3 + 10 / 128,
}
BITNET_BITS = {"4-bit formats": 4.0, "BitMoD FP3, a scale per channel": 3.0, "ternary": 2.0}


def tables() -> dict[str, str]:
    """Every table of the page by the name in its marker."""
    found = json.loads(MEASURED.read_text())
    llama, bitnet = found["Llama-3-8B"], found["BitNet-2B4T"]
    makers: dict[str, Callable[[], str]] = {
        "points": lambda: points(found),
        "llama bounds": lambda: floor(llama, LLAMA_BITS),
        "llama literature": lambda: literature(llama),
        "llama latency": lambda: picks(llama, "least latency"),
        "llama verdict": lambda: verdict(llama, "bitmod_fp4"),
        "llama same weights": lambda: verdict(llama, "bitmod_fp4", same_weights=True),
        "llama dominance": lambda: dominance(llama, "bitmod_fp4"),
        "bitnet bounds": lambda: floor(bitnet, BITNET_BITS),
        "bitnet literature": lambda: literature(bitnet),
        "bitnet latency": lambda: picks(bitnet, "least latency"),
        "bitnet verdict": lambda: verdict(bitnet, "bitmod_fp3"),
    }
    return {name: make() for name, make in makers.items()}


def page(text: str) -> str:
    """``text`` with fresh tables between the markers."""
    return between_markers(text, "make_edge_study.py", tables())


def main() -> int:
    """Measure if asked to, then rewrite the page, or compare."""
    if "--measure" in sys.argv:
        from measure_edge_study import measure  # slow to import

        sys.argv.remove("--measure")
        measure()
    return rewrite(PAGE, page, "make_edge_study.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
