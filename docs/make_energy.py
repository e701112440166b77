"""Write the tables of docs/energy.md from the committed calibration.

python docs/make_energy.py            rewrite what stands between the markers
python docs/make_energy.py --check    exit with 1 if that would change anything
"""

import json
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

PAGE = Path(__file__).with_name("energy.md")
CALIBRATION = PAGE.parents[1] / "costmodel" / "calibration"
NAME = "sg13g2"
_KINDS = {
    "other_layers": "same cores, other layers",
    "other_cores": "other cores, same layers",
    "other_cores_and_layers": "other cores, other layers",
    "held_out": "all of them",
}
Content = dict[str, Any]


def opensta(fit: Content) -> str:
    """Both energies per netlist."""
    lines = [
        [
            f"`{row['weights']}`",
            f"{row['cells']:,}",
            f"{row['ours_pj']:.2f}",
            f"{row['theirs_pj']:.2f}",
            f"{row['difference_percent']:+.2f} %",
            f"{row['full_pj']:.2f}",
        ]
        for row in fit["opensta"]["rows"]
    ]
    header = ["weights", "cells", "here", "OpenSTA", "difference", "here, whole library"]
    return table(header, lines)


def components(fit: Content) -> str:
    """Prices and errors per component."""
    lines = []
    for name, model in fit["energy_pj"].items():
        error, terms = model["error"], model["terms"]
        prices = ", ".join(f"{term} {1000 * price:.3g}" for term, price in terms.items())
        lines.append(
            [
                f"`{name}`",
                prices,
                f"{error['fitted']} / {error['held_out']}",
                f"{error['mean_percent']:.1f} %",
                f"{error['worst_percent']:.1f} %",
            ]
        )
    return table(["component", "fJ per amount", "jobs fitted / held out", "mean", "worst"], lines)


def cores(fit: Content) -> str:
    """Errors of whole cores."""
    lines = []
    for key, words in _KINDS.items():
        found = fit["summary"][key]
        lines.append(
            [
                words,
                str(found["jobs"]),
                f"{found['data_mean_percent']:.1f} %",
                f"{found['data_worst_percent']:.1f} %",
                f"**{found['with_clock_mean_percent']:.1f} %**",
                f"**{found['with_clock_worst_percent']:.1f} %**",
            ]
        )
    header = ["left out of the fit", "jobs", "data: mean", "worst", "with clock: mean", "worst"]
    return table(header, lines)


def data(fit: Content) -> str:
    """Energy over that of real data."""
    factors = [fit["data_factors"][kind] for kind in ("random", "zero_rich")]
    lines = [
        [f"`{name}`", *(f"{f['value']:.2f} ({f['low']:.2f} to {f['high']:.2f})" for f in found)]
        for name in factors[0]
        for found in [[factor[name] for factor in factors]]
    ]
    return table(["component", "random", "zero-rich"], lines)


def constant(fit: Content) -> str:
    """Clock and leakage."""
    rows = [
        ("clock, pJ per flip-flop bit and cycle", fit["clock_energy_pj_per_bit"], 4),
        ("leakage, mW per mm2 of cells", fit["leakage_mw_per_mm2"], 5),
    ]
    lines = [
        [name, *(f"{found[key]:.{digits}f}" for key in ("value", "low", "high"))]
        for name, found, digits in rows
    ]
    return table(["", "mean", "least", "most"], lines)


def doubtful(fit: Content) -> str:
    """What flip-flop tables may give twice."""
    summary = fit["summary"]
    lines = [
        ["load of flip-flops, in their tables as well", f"{summary['load_twice_percent']:.1f} %"],
        ["second output of flip-flops", f"{summary['second_output_percent']:.1f} %"],
    ]
    return table(["may be counted twice", "of data and clock energy"], lines)


def sample_of(sample: Content) -> str:
    """The cores."""
    lines = []
    for core in sample["cores"]:
        array = core["core"]["array"]
        shape = "x".join(str(array[key]) for key in ("rows", "cols", "lanes"))
        rest = {
            k: v
            for k, v in array.items()
            if k not in ("rows", "cols", "lanes", "queue_beats", "inner_accumulator")
        }
        words = ", ".join(_setting(k, v) for k, v in rest.items())
        cells = f"{core['cells']:,}"
        use = core["core"]["use"].replace("_", " ")
        lines.append([f"`{core['weights']}`", shape, words, cells, use])
    return table(["weights", "array", "settings", "cells", "use"], lines)


def _setting(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(str(v) for v in value.values())
    if isinstance(value, list):
        value = " ".join(value)
    return f"{name} {value}".strip()


def page(text: str) -> str:
    """``text`` with fresh tables."""
    fit = json.loads((CALIBRATION / "fits" / f"{NAME}_energy.json").read_text())
    sample = json.loads((CALIBRATION / "samples" / f"energy_{NAME}.json").read_text())
    made = {maker.__name__: maker(fit) for maker in (opensta, components, cores, data)}
    made |= {maker.__name__: maker(fit) for maker in (constant, doubtful)}
    return between_markers(text, "make_energy.py", made | {"sample": sample_of(sample)})


if __name__ == "__main__":
    raise SystemExit(rewrite(PAGE, page, "make_energy.py", __doc__))
