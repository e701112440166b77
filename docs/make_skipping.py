"""Write the tables of docs/skipping.md from what ``python -m benchmarks.skipping`` measured.

python docs/make_skipping.py            rewrite what stands between the markers
python docs/make_skipping.py --check    exit with 1 if that would change anything
"""

import json
import sys
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("skipping.md")
MEASURED = PAGE.with_name("skipping.json")
MAIN = {"cols": 32, "lanes": 4}
SHARED, OWN = "zero_terms shared array", "zero_terms own array"


def times(value: float | None) -> str:
    """A speed-up."""
    return "-" if value is None else f"{value:.2f}"


def at(found: dict[str, Any], way: str, depth: int | None, depths: list[int | None]) -> str:
    """Speed-up of one way to skip."""
    return times(found["speed_ups"][way][depths.index(depth)])


def formats(measured: dict[str, Any], model: str) -> str:
    """One row per format on the large array."""
    rows, depths = [], measured["depths"]
    for found in measured["rows"]:
        if found["model"] != model or not MAIN.items() <= found.items():
            continue
        shifts = ", ".join(map(str, found["base_shifts"]))
        rows.append(
            [
                f"`{found['recipe']}`",
                f"{found['slots']} ({shifts})",
                f"{100 * found['zero_weights']:.1f}%",
                f"{found['table_terms']:.2f}",
                f"{found['fewest_terms']:.2f}",
                at(found, "zero_weights shared array", None, depths),
                at(found, SHARED, 0, depths),
                at(found, SHARED, 2, depths),
                *(at(found, OWN, depth, depths) for depth in (0, 1, 2, 8)),
                at(found, "zero_terms own column", 2, depths),
                times(found["balanced"]),
            ]
        )
    header = ["weights", "slots (base shifts)", "zero", "terms", "fewest", "weights, group"]
    header += ["shared, 0", "shared, 2", "own, 0", "own, 1", "own, 2", "own, 8", "own, column, 2"]
    return table([*header, "balanced"], rows)


def arrays(measured: dict[str, Any], model: str) -> str:
    """Formats measured on several arrays: one row per array, smallest first."""
    depths = measured["depths"]
    found = [row for row in measured["rows"] if row["model"] == model]
    sizes = sorted({(row["cols"] * row["lanes"], row["lanes"], row["cols"]) for row in found})
    by_key = {(row["recipe"], row["cols"], row["lanes"]): row for row in found}
    swept = [
        recipe
        for recipe in dict.fromkeys(row["recipe"] for row in found)
        if all((recipe, cols, lanes) in by_key for _, lanes, cols in sizes)
    ]
    rows = [
        [f"{cols} x {lanes}"]
        + [
            at(by_key[recipe, cols, lanes], OWN, depth, depths)
            for recipe in swept
            for depth in (0, 2, None)
        ]
        for _, lanes, cols in sizes
    ]
    names = ("depth 0", "depth 2", "group")
    header = ["columns x lanes", *(f"`{recipe}`, {name}" for recipe in swept for name in names)]
    return table(header, rows)


def page(text: str) -> str:
    """``text`` with fresh tables between the markers."""
    measured = json.loads(MEASURED.read_text())
    models = dict.fromkeys(row["model"] for row in measured["rows"])
    made = {model: formats(measured, model) for model in models}
    made["arrays"] = arrays(measured, "smollm2_135m")
    return between_markers(text, "make_skipping.py", made)


def main() -> int:
    """Rewrite the page, or compare."""
    return rewrite(PAGE, page, "make_skipping.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
