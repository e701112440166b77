"""Write the tables of docs/fpga.md from docs/fpga.json.

python docs/make_fpga.py            rewrite what stands between the markers
python docs/make_fpga.py --check    exit with 1 if that would change anything
"""

import json
import sys
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("fpga.md")
MEASURED = PAGE.with_name("fpga.json")
#: order of the table
WEIGHTS = ("W8A8", "W4A8", "W3A8", "W2A8, ternary")
Row = dict[str, Any]


def figures(row: Row) -> list[str]:
    """LUTs, flip-flops, DSP blocks, clock, operations."""
    used = row["used"]
    seeds = ", ".join(f"{seed['fmax_mhz']:.1f}" for seed in row["seeds"])
    return [
        f"{used['lut']:,}",
        f"{used['flip_flops']:,}",
        str(used["dsp"]),
        f"**{row['fmax_mhz']:.1f}** ({seeds})",
        f"{row['gops']:.2f}",
        f"**{row['gops_per_klut']:.3f}**",
    ]


_FIGURES = ["LUTs", "flip-flops", "DSPs", "Fmax in MHz (seeds)", "GOPS", "GOPS per kLUT"]


def arrays(measured: Row) -> str:
    """Arrays with serial PEs beside those with multipliers."""
    rows = [row for row in measured["rows"] if not row["complete"]]
    rows.sort(key=lambda row: (WEIGHTS.index(row["weights"]), row["name"] != "serial"))
    lines = [
        [row["weights"], row["name"], f"`{row['format']}`", str(row["slots"]), *figures(row)]
        for row in rows
    ]
    return table(["weights", "PEs", "format", "slots", *_FIGURES], lines)


def whole(measured: Row) -> str:
    """Complete accelerators."""
    rows = [row for row in measured["rows"] if row["complete"]]
    if not rows:
        return f"Not measured yet: `{measured['command']}`."
    lines = [
        [
            f"`{row['name']}`",
            row["target"],
            f"`{row['format']}`",
            *figures(row),
            f"{row['percent']['lut']:.1f} %",
            str(row["used"]["bram"]),
            f"{row['gops'] * row['utilization']:.2f} ({100 * row['utilization']:.0f} %)",
        ]
        for row in rows
    ]
    header = ["accelerator", "target", "weights", *_FIGURES, "of the LUTs", "block RAMs"]
    return table([*header, "GOPS of the GEMM"], lines)


def tables() -> dict[str, str]:
    """Every table of the page by the name in its marker."""
    measured = json.loads(MEASURED.read_text())
    return {"arrays": arrays(measured), "whole": whole(measured)}


def page(text: str) -> str:
    """``text`` with fresh tables between the markers."""
    return between_markers(text, "make_fpga.py", tables())


def main() -> int:
    """Rewrite the page, or compare."""
    return rewrite(PAGE, page, "make_fpga.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
