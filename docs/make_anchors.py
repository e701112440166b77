"""Write the tables of docs/anchors.md and docs/anchors.svg from docs/anchors.json.

python docs/make_anchors.py            rewrite what stands between the markers, and the picture
python docs/make_anchors.py --check    exit with 1 if that would change anything
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pages import between_markers, table

from bitsmith.report.markup import Markup, join, tag
from bitsmith.report.style import CSS
from bitsmith.report.svg import drawing, line, text, ticks, titled

PAGE = Path(__file__).with_name("anchors.md")
PICTURE = PAGE.with_suffix(".svg")
MEASURED = PAGE.with_suffix(".json")
#: library of the ratios, and the second reading of the same node
LIBRARY, OTHER = "sg13g2", "sky130"
TARGETS = {"sg13g2": "sg13g2, um2", "sky130": "sky130, um2", "ecp5": "ECP5, LUTs"}
#: panels of the picture: target, unit; accumulators that stand in them, and their colours
PANELS = (("sg13g2", "um2, sg13g2"), ("ecp5", "LUTs, ECP5"))
SHADES = {"`Accumulator`, wrap": "c0", "`Accumulator`, saturate": "c5", "`Accumulator`, flag": "c2"}
Row = dict[str, Any]


def figure(value: float) -> str:
    """A number with three digits that count, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def span(values: list[float]) -> str:
    """Expected value and its limits."""
    value, low, high = values
    return f"**{value:.2f}** ({low:.2f} to {high:.2f})"


def comparison(measured: Row, group: str, quantity: str) -> str:
    """One line per published figure and counterpart of ours."""
    rows = [r for r in measured["rows"] if (r["group"], r["quantity"]) == (group, quantity)]
    unit, node = rows[0]["unit"], rows[0]["node_nm"]
    both = all(OTHER in row["measured"] for row in rows)
    header = ["what", f"published, {unit}", "ours", "130 nm", "scaled", "ours / published"]
    header += [f"{OTHER} / published"] * both + ["notes"]
    lines, last = [], ""
    for row in rows:
        own = row["measured"][LIBRARY]
        name = row["name"] if row["node_nm"] == node else f"{row['name']} ({row['node_nm']} nm)"
        lines.append(
            [
                name if name != last else "",
                figure(row["value"]) if name != last else "",
                row["ours"],
                figure(own["own"]),
                figure(own["scaled"]),
                span(own["ratio"]),
                *([f"{row['measured'][OTHER]['ratio'][0]:.2f}"] if both else []),
                ", ".join(row["notes"]),
            ]
        )
        last = name
    return table(header, lines)


def notes(measured: Row) -> str:
    """Notes that rows refer to."""
    used = {note for row in measured["rows"] for note in row["notes"]}
    return "\n".join(
        f"- **{name}**: {said}" for name, said in measured["notes"].items() if name in used
    )


def outside(measured: Row) -> str:
    """Rows beyond the factor, for the summary."""
    factor = measured["factor"]
    rows = measured["rows"]
    ratios = [row["measured"][LIBRARY]["ratio"] for row in rows]
    inside = sum(1 / factor <= ratio[0] <= factor for ratio in ratios)
    touched = sum(ratio[1] <= 1 <= ratio[2] for ratio in ratios)
    lines = [
        [
            row["group"],
            row["name"],
            row["quantity"],
            row["ours"],
            f"{row['measured'][LIBRARY]['ratio'][0]:.2f}",
            ", ".join(row["notes"]),
        ]
        for row, ratio in zip(rows, ratios, strict=True)
        if not 1 / factor <= ratio[0] <= factor
    ]
    head = (
        f"{inside} of {len(rows)} lines lie between {1 / factor:g} and {factor:g} times the "
        f"published figure; in {touched} the interval of the scaling holds the published figure. "
        "The others:"
    )
    header = ["table", "what", "quantity", "ours", "ratio", "notes"]
    return f"{head}\n\n{table(header, lines)}"


def sources(measured: Row) -> str:
    """Sources, and the rows that they are of."""
    found: dict[str, list[str]] = {}
    for row in measured["rows"]:
        found.setdefault(row["source"], []).append(row["name"])
    parts = [f"- {source}" for source in found]
    slopes = next(s["source"] for s in measured["sweeps"] if "source" in s)
    return "\n".join([*parts, f"- {slopes}", f"- {measured['finn'][0]['source']}"])


def slopes(measured: Row) -> str:
    """Growth per accumulator bit and how straight it is."""
    header = ["what", "P_I", *(f"{name} per bit (R^2)" for name in TARGETS.values())]
    lines = []
    for sweep in measured["sweeps"]:
        bits = sweep["widths"]
        fits = [sweep["targets"].get(target) for target in TARGETS]
        lines.append(
            [
                sweep["name"],
                f"{bits[0]} to {bits[-1]}",
                *(f"{fit['slope']:.4g} ({fit['r2']:.4f})" if fit else "-" for fit in fits),
            ]
        )
    return table(header, lines)


def shares(measured: Row) -> str:
    """One accumulator bit over a whole MAC of 32, published and ours."""
    header = ["what", "published", "ours, sg13g2", "ratio", "ours, sky130", "ratio"]
    lines = []
    for sweep in measured["sweeps"]:
        if "published_share_per_bit" not in sweep:
            continue
        published = sweep["published_share_per_bit"]
        line_ = [sweep["name"], f"{100 * published:.2f} %"]
        for target in (LIBRARY, OTHER):
            share = sweep["targets"][target]["share_per_bit"]
            line_ += [f"{100 * share:.2f} %", f"**{share / published:.2f}**"]
        lines.append(line_)
    return f"{table(header, lines)}\n\n{measured['slope_note']}"


def finn(measured: Row) -> str:
    """FINN's estimate and LUTs of 7 series."""
    header = ["weights x activations", "lanes", "P_I", "FINN, LUTs", "ours, LUTs", "ratio"]
    lines = [
        [
            f"W{row['weight_bits']}A{row['activation_bits']}",
            str(row["lanes"]),
            str(row["accumulator_bits"]),
            f"{row['published']:.1f}",
            str(row["ours"]),
            f"**{row['ratio']:.2f}**",
        ]
        for row in measured["finn"]
    ]
    return f"{table(header, lines)}\n\n{measured['finn_note']}"


def tables(measured: Row) -> dict[str, str]:
    """Every table of the page by the name in its marker."""
    made = {
        "outside": outside(measured),
        "notes": notes(measured),
        "sources": sources(measured),
        "slopes": slopes(measured),
        "shares": shares(measured),
        "finn": finn(measured),
    }
    for group, quantity in dict.fromkeys((r["group"], r["quantity"]) for r in measured["rows"]):
        made[f"{group}: {quantity}"] = comparison(measured, group, quantity)
    return made


class Panel:
    """One target: what accumulators take over their width, with the fitted lines."""

    left, top, width, height, step = 64.0, 48.0, 380.0, 260.0, 470.0

    def __init__(self, measured: Row, index: int) -> None:
        self.target, self.unit = PANELS[index]
        self.sweeps = [s for s in measured["sweeps"] if s["name"] in SHADES]
        self.start = self.left + index * self.step
        highest = max(max(s["targets"][self.target]["values"]) for s in self.sweeps)
        self.marks = ticks(highest)

    def place(self, bits: float, value: float) -> tuple[float, float]:
        """Where a point stands."""
        x = self.start + bits / 32 * self.width
        return x, self.top + self.height * (1 - value / self.marks[-1])

    def frame(self) -> Markup:
        """Axes and grid."""
        end = self.start + self.width
        parts = [text(self.start, self.top - 12, self.unit, class_="strong")]
        for value in self.marks:
            y = self.place(0, value)[1]
            parts.append(line(self.start, y, end, y, "grid"))
            parts.append(
                text(self.start - 6, y + 4, f"{value:,.0f}", class_="small dim", anchor="end")
            )
        bottom = self.top + self.height
        for bits in range(0, 33, 8):
            x = self.place(bits, 0)[0]
            parts.append(text(x, bottom + 16, str(bits), class_="small dim", anchor="middle"))
        middle = self.start + self.width / 2
        parts.append(text(middle, bottom + 34, "accumulator bits", class_="small", anchor="middle"))
        return join(*parts)

    def series(self, sweep: Row, number: int) -> Markup:
        """Points, line, and name with the slope."""
        shade, fit = SHADES[sweep["name"]], sweep["targets"][self.target]
        first, last = (
            self.place(bits, fit["constant"] + fit["slope"] * bits)
            for bits in (sweep["widths"][0], sweep["widths"][-1])
        )
        path = f"M{first[0]:.1f} {first[1]:.1f}L{last[0]:.1f} {last[1]:.1f}"
        parts = [tag("path", d=path, fill="none", stroke=f"var(--{shade})", stroke_width=1.2)]
        for bits, value in zip(sweep["widths"], fit["values"], strict=True):
            x, y = self.place(bits, value)
            dot = tag("circle", cx=round(x, 1), cy=round(y, 1), r=3.0, class_=shade)
            parts.append(titled(dot, f"{bits} bits: {value:g}"))
        mode = sweep["name"].split(", ")[1]
        said = f"{mode}: {fit['slope']:.4g} per bit, R^2 {fit['r2']:.4f}"
        y = self.top + 16 + 18 * number
        parts.append(tag("circle", cx=self.start + 14, cy=y - 4, r=4.0, class_=shade))
        parts.append(text(self.start + 24, y, said, class_="small"))
        return join(*parts)


def picture(measured: Row) -> str:
    """Accumulators on both targets."""
    parts = []
    for index in range(len(PANELS)):
        panel = Panel(measured, index)
        parts.append(panel.frame())
        parts += [panel.series(sweep, number) for number, sweep in enumerate(panel.sweeps)]
    width, height = Panel.left + len(PANELS) * Panel.step, Panel.top + Panel.height + 48
    svg = drawing(width, height, "Area and LUTs of accumulators over their width", *parts)
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    return svg.replace("<svg ", opening, 1).replace(">", f"><style>{CSS}</style>", 1) + "\n"


def main() -> int:
    """Rewrite page and picture, or compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when stale")
    check = parser.parse_args().check
    measured = json.loads(MEASURED.read_text())
    page = between_markers(PAGE.read_text(), "make_anchors.py", tables(measured))
    stale = 0
    for path, made in ((PAGE, page), (PICTURE, picture(measured))):
        if path.exists() and path.read_text() == made:
            continue
        if check:
            print(f"docs/{path.name} is stale: run 'python docs/make_anchors.py'", file=sys.stderr)
            stale = 1
        else:
            path.write_text(made)
    return stale


if __name__ == "__main__":
    sys.exit(main())
