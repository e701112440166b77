"""Write the tables of docs/calibration.md and what docs/calibration/ holds, from committed files.

python docs/make_calibration.py            rewrite them
python docs/make_calibration.py --check    exit with 1 if that would change anything

No cell library is needed: samples and fits are committed in costmodel/calibration.
"""

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from pages import between_markers, table

from bitsmith.report.markup import Markup, tag
from bitsmith.report.style import CSS
from bitsmith.report.svg import drawing, line, text, titled
from costmodel.calibration import AsicFit, load_fit
from costmodel.calibration.asic import Prediction, predict
from costmodel.calibration.calibrate import FOLDER, committed
from costmodel.calibration.rows import Sample, read_sample

PAGE = Path(__file__).with_name("calibration.md")
MADE = PAGE.with_suffix("")
SCRIPT = "make_calibration.py"
#: what the issue asks of held-out rows: mean, worst; and of delays, mean
TARGETS = {"area": (5.0, 15.0), "delay": (15.0, None)}
USES = {"held_out": "c2", "beyond": "c4", "fit": "c0"}
#: of the picture: largest error shown, pixels
MOST_PERCENT, WIDTH, HEIGHT, LEFT, TOP = 30.0, 560.0, 240.0, 52.0, 34.0


def libraries() -> list[str]:
    """Names of the committed fits."""
    return committed()


@cache
def _sample(name: str) -> Sample:
    return read_sample(FOLDER / "samples" / f"{name}.json")


@cache
def _predictions(name: str) -> tuple[Prediction, ...]:
    return tuple(predict(load_fit(name), _sample(name).rows))


def rows(name: str) -> str:
    """Predicted and measured figures of every row, as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["component", "use", "format", "group_size", "inputs", "settings"]
        + [f"{kind}_{unit}" for unit in ("area_um2", "delay_ps") for kind in ("measured", "model")]
        + ["area_error_percent", "delay_error_percent"]
    )
    for found in _predictions(name):
        point, measured = found.row.point, found.row.measured
        settings = json.dumps(point.array, separators=(",", ":"))
        errors = (found.area_error_percent, found.delay_error_percent)
        writer.writerow(
            [
                *(point.component, point.use, point.format, point.group_size, point.inputs),
                settings,
                *(measured.area_um2, f"{found.area_um2:.1f}"),
                *(measured.delay_ps, f"{found.delay_ps:.0f}"),
                *(f"{error:.1f}" for error in errors),
            ]
        )
    return buffer.getvalue()


def picture(name: str) -> str:
    """Error of the predicted area against the measured one, on a logarithmic axis."""
    found = [p for p in _predictions(name) if p.row.point.use in USES]
    sizes = [math.log10(p.row.measured.area_um2) for p in found]
    low, high = math.floor(min(sizes)), math.ceil(max(sizes))

    def place(area_um2: float, percent: float) -> tuple[float, float]:
        x = LEFT + (math.log10(area_um2) - low) / (high - low) * WIDTH
        shown = max(-MOST_PERCENT, min(MOST_PERCENT, percent))
        return x, TOP + (1 - shown / MOST_PERCENT) * HEIGHT / 2

    parts = [*_axes(low, high, place)]
    for use in reversed(USES):
        for p in found:
            if p.row.point.use == use:
                x, y = place(p.row.measured.area_um2, p.area_error_percent)
                label = f"{p.row.point.component}, {use}: {p.area_error_percent:+.1f} %"
                dot = tag("circle", cx=round(x, 1), cy=round(y, 1), r=3.0, class_=USES[use])
                parts.append(titled(dot, label))
    for index, (use, shade) in enumerate(USES.items()):
        x = LEFT + 10 + 110 * index
        parts.append(tag("circle", cx=x, cy=14, r=4.0, class_=shade))
        parts.append(text(x + 9, 18, use.replace("_", " "), class_="small"))
    svg = drawing(LEFT + WIDTH + 36, TOP + HEIGHT + 40, f"Errors of the area in {name}", *parts)
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    return svg.replace("<svg ", opening, 1).replace(">", f"><style>{CSS}</style>", 1) + "\n"


def _axes(
    low: int, high: int, place: Callable[[float, float], tuple[float, float]]
) -> Iterator[Markup]:
    for percent in range(-int(MOST_PERCENT), int(MOST_PERCENT) + 1, 10):
        x, y = place(10.0**low, percent)
        yield line(x, y, x + WIDTH, y, "limit" if percent == 0 else "grid")
        yield text(x - 6, y + 4, f"{percent:+d} %", class_="small", anchor="end")
    for power in range(low, high + 1):
        x, y = place(10.0**power, -MOST_PERCENT)
        yield line(x, TOP, x, y, "grid")
        yield text(x, y + 16, f"{10**power:,}", class_="small", anchor="middle")
    yield text(LEFT + WIDTH / 2, TOP + HEIGHT + 34, "measured um2", class_="small", anchor="middle")


def errors(kind: str) -> str:
    """Errors of the held-out rows by component, then of all, beyond the range, and fitted."""
    fits = [load_fit(name) for name in libraries()]
    header = ["component"]
    for fit in fits:
        header += [f"{fit.name}: fitted", "held out", "mean %", "worst %", "interval %"]
    models = [fit.area_um2 if kind == "area" else fit.delay_ps for fit in fits]
    lines = []
    for component in fits[0].summary[kind]["components"]:
        cells = [f"`{component}`"]
        for model in models:
            e = model[component].error
            cells += [str(e.fitted), str(e.held_out), f"{e.mean_percent:.1f}"]
            cells += [f"{e.worst_percent:.1f}", f"{e.interval_percent:.1f}"]
        lines.append(cells)
    for use, label in (("held_out", "**all held out**"), ("beyond", "beyond"), ("fit", "fitted")):
        cells = [label]
        for fit in fits:
            e = fit.summary[kind][use]
            cells += ["", str(e["rows"]), f"{e['mean_percent']:.1f}", f"{e['worst_percent']:.1f}"]
            cells += [""]
        lines.append(cells)
    return table(header, lines)


def coefficients(name: str, kind: str) -> str:
    """What one of something takes, by component."""
    fit = load_fit(name)
    models = fit.area_um2 if kind == "area" else fit.delay_ps
    names = list(dict.fromkeys(n for model in models.values() for n in sorted(model.terms)))
    lines = [
        [f"`{component}`", *(f"{m.terms[n]:.3g}" if n in m.terms else "" for n in names)]
        for component, m in models.items()
    ]
    return table(["component", *(f"`{n}`" for n in names)], lines)


def verdict() -> str:
    """Targets of the issue beside what was reached."""
    lines = []
    for name in libraries():
        for kind, (mean, worst) in TARGETS.items():
            e = load_fit(name).summary[kind]["held_out"]
            reached = e["mean_percent"] <= mean and (worst is None or e["worst_percent"] <= worst)
            target = f"mean {mean:g} %" + (f", worst {worst:g} %" if worst else "")
            found = f"mean {e['mean_percent']:.1f} %, worst {e['worst_percent']:.1f} %"
            rows = str(e["rows"])
            lines.append([name, kind, target, found, rows, "yes" if reached else "**no**"])
    return table(["library", "figure", "target", "held out", "rows", "reached"], lines)


def worst(name: str, count: int = 8) -> str:
    """Held-out rows whose area is furthest off."""
    found = [p for p in _predictions(name) if p.row.point.use == "held_out"]
    found.sort(key=lambda p: -abs(p.area_error_percent))
    return table(
        ["component", "format", "settings", "measured um2", "error %"],
        [
            [
                f"`{p.row.point.component}`",
                f"`{p.row.point.format}`",
                ", ".join(f"{k} {_short(v)}" for k, v in p.row.point.array.items()),
                f"{p.row.measured.area_um2:,.0f}",
                f"{p.area_error_percent:+.1f}",
            ]
            for p in found[:count]
        ],
    )


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{k} {v}" for k, v in value.items()) + ")"
    return "+".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def origin() -> str:
    """What was measured with what."""
    fits: list[AsicFit] = [load_fit(name) for name in libraries()]
    return table(
        [
            "fit",
            "library",
            "process",
            "supply",
            "clock",
            "seed",
            "rows",
            "leakage",
            "tools",
            "SHA-256",
        ],
        [
            [
                f"`{f.name}`",
                f.description,
                f"{f.node_nm:g} nm",
                f"{f.volts:g} V",
                f"{f.period_ps:,.0f} ps",
                str(f.seed),
                str(len(_sample(f.name).rows)),
                "-" if f.leakage_mw_per_mm2 is None else f"{f.leakage_mw_per_mm2:.3g} mW/mm2",
                ", ".join(f"{tool} {version}" for tool, version in f.tools.items()),
                f"`{f.liberty_sha256[:12]}`",
            ]
            for f in fits
        ],
    )


def page(old: str) -> str:
    """``old`` with fresh tables between the markers."""
    tables = {"verdict": verdict(), "origin": origin()}
    tables |= {f"errors {kind}": errors(kind) for kind in ("area", "delay")}
    for name in libraries():
        tables |= {f"{name} {kind}": coefficients(name, kind) for kind in ("area", "delay")}
        tables[f"{name} worst"] = worst(name)
    return between_markers(old, SCRIPT, tables)


def files() -> Iterator[tuple[Path, str]]:
    """Everything that is made, with what it should contain."""
    for name in libraries():
        yield MADE / f"{name}.csv", rows(name)
        yield MADE / f"{name}.svg", picture(name)
    yield PAGE, page(PAGE.read_text())


def main() -> int:
    """Rewrite, or compare."""
    parser = argparse.ArgumentParser(prog=SCRIPT, description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when stale")
    check, stale = parser.parse_args().check, 0
    for path, content in files():
        if path.is_file() and path.read_text() == content:
            continue
        stale += 1
        if check:
            print(f"{path.name} is stale: run 'python docs/{SCRIPT}'", file=sys.stderr)
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
    return int(bool(check and stale))


if __name__ == "__main__":
    sys.exit(main())
