"""Write the tables of docs/fpga_model.md from costmodel/fpga/fits.

python docs/make_fpga_model.py            rewrite what stands between the markers
python docs/make_fpga_model.py --check    exit with 1 if that would change anything
"""

import json
import sys
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("fpga_model.md")
FITS = PAGE.parent.parent / "costmodel" / "fpga" / "fits"
NAMES = {"ecp5": "ECP5", "ice40": "iCE40", "xc7": "7 series"}
#: components whose prices are shown
PRICED = ("serial_pe", "dequantizer")
Fit = dict[str, Any]


def read(name: str) -> Fit:
    """One file of fits."""
    found: Fit = json.loads((FITS / f"{name}.json").read_text())
    return found


def _shown(error: dict[str, Any]) -> str:
    mean, worst = error["mean_percent"], error["worst_percent"]
    return f"{mean:.1f} / {worst:.1f} ({error['fitted']} + {error['held_out']})"


def errors(fits: dict[str, Fit]) -> str:
    """Mean and worst error of every component on held-out rows."""
    names = list(dict.fromkeys(name for fit in fits.values() for name in fit["components"]))
    rows = [["**whole core**", *(f"**{_shown(fit['core']['error'])}**" for fit in fits.values())]]
    for name in names:
        models = [fit["components"].get(name) for fit in fits.values()]
        cells = [_shown(model["error"]) if model else "-" for model in models]
        label = name.replace("+dsp", "` with multiplier blocks, `").strip("`, ")
        rows.append([f"`{label}`" if "`" not in label else f"`{label}", *cells])
    return table(["", *(NAMES[family] for family in fits)], rows)


def flip_flops(fits: dict[str, Fit]) -> str:
    """The count of flip-flops against synthesis."""
    rows = []
    for family, fit in fits.items():
        found = fit["flip_flops"]
        exact = f"{found['exact']} of {found['rows']}"
        rows.append([NAMES[family], exact, f"{found['worst_percent']:.2f}"])
    return table(["family", "cores without a difference", "largest difference, %"], rows)


def prices(fits: dict[str, Fit]) -> str:
    """Look-up tables that one of each amount takes."""
    rows = []
    for component in PRICED:
        models = [fit["components"][component]["terms"] for fit in fits.values()]
        for term in dict.fromkeys(term for model in models for term in model):
            cells = [f"{model[term]:.2f}" if term in model else "-" for model in models]
            rows.append([f"`{component}`", f"`{term}`", *cells])
    return table(["component", "one of", *(NAMES[family] for family in fits)], rows)


def composition(fits: dict[str, Fit]) -> str:
    """What a core is the sum of."""
    models = [fit["core"]["terms"] for fit in fits.values()]
    terms = dict.fromkeys(term for model in models for term in model)
    rows = [
        [f"`{term}`", *(f"{model[term]:.2f}" if term in model else "-" for model in models)]
        for term in terms
    ]
    return table(["one of", *(NAMES[family] for family in fits)], rows)


def clock(fit: Fit) -> str:
    """Prices of the period on ECP5, and the error of the clock."""
    model, error = fit["model"], fit["model"]["error"]
    rows = [[f"`{term}`", f"{price:.3f}"] for term, price in model["terms"].items()]
    measured = [row["fmax_mhz"][0] for row in fit["rows"]]
    rows += [
        ["runs: fitted, held out", f"{error['fitted']}, {error['held_out']}"],
        ["clocks, MHz", f"{min(measured):.0f} to {max(measured):.0f}"],
        ["error on average, %", f"{error['mean_percent']:.1f}"],
        ["at worst, %", f"{error['worst_percent']:.1f}"],
    ]
    spread = [
        100 * (max(row["fmax_mhz"]) - min(row["fmax_mhz"])) / min(row["fmax_mhz"])
        for row in fit["rows"]
        if len(row["fmax_mhz"]) > 1
    ]
    if spread:
        found = f"{max(spread):.1f} at most, on {len(spread)} cores"
        rows.append(["difference between placer seeds, %", found])
    return table(["ns of the period for one of", ""], rows)


def page(text: str) -> str:
    """The page with fresh tables."""
    fits = {family: read(family) for family in NAMES}
    return between_markers(
        text,
        "make_fpga_model.py",
        {
            "errors": errors(fits),
            "prices": prices(fits),
            "composition": composition(fits),
            "flip-flops": flip_flops(fits),
            "clock": clock(read("fmax")),
        },
    )


if __name__ == "__main__":
    sys.exit(rewrite(PAGE, page, "make_fpga_model.py", __doc__))
