"""Write the tables of docs/accumulators.md and the pictures from docs/widths.json.

bitsmith widths --trained docs/narrow_training.json --tokens 2048 --output out   # out/widths.json

python docs/make_widths.py            rewrite what stands between the markers
python docs/make_widths.py --check    exit with 1 if that would change anything
"""

import json
import sys
from pathlib import Path
from typing import Any

from pages import between_markers, rewrite, table

from bitsmith.report.style import CSS, MARK_CSS
from bitsmith.report.widths import STYLES, widths_chart

PAGE = Path(__file__).with_name("accumulators.md")
MEASURED = PAGE.with_name("widths.json")
TRAINED = PAGE.with_name("narrow_training.json")
#: share of the floating-point quality at which A2Q compares LUTs
KEPT = 0.992
#: names of the tables in the page, by task
TABLES = {"scribe_1m": "widths of scribe_1m", "digits_mlp": "widths of digits_mlp"}


def widths_table(rows: list[dict[str, Any]]) -> str:
    """A row per width, a column per method, and the LUTs of the methods that keep to it."""
    methods = [method for method in STYLES if any(row["method"] == method for row in rows)]
    found = {(row["method"], row["inner_bits"]): row for row in rows}
    wide = found["wide", 32]
    shown = []
    for bits in sorted({row["inner_bits"] for row in rows} - {32}):
        at = [found.get((method, bits)) for method in methods]
        kept = [row["luts"] for row in at if row and row["proved"] and row["luts"]]
        luts = f"{min(kept)} to {max(kept)}" if kept and min(kept) < max(kept) else ""
        cells = [_value(row) for row in at]
        shown.append([str(bits), *cells, luts or (str(kept[0]) if kept else "-")])
    shown.append(["32", *[_value(wide)] * len(methods), str(wide["luts"])])
    return table(["P_I", *(STYLES[method][0] for method in methods), "LUTs"], shown)


def _value(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    if row["higher_is_better"]:
        return f"{100 * row['value']:.1f}"
    return f"{row['value']:.3f}"


def kept_table(tasks: dict[str, list[dict[str, Any]]]) -> str:
    """Of every method the narrowest width that keeps :data:`KEPT` of the floating-point quality."""
    lines = []
    for name, rows in tasks.items():
        wide = next(row for row in rows if row["method"] == "wide")
        for method, (title, _, _) in STYLES.items():
            enough = [r for r in rows if r["method"] == method and _quality(r) >= KEPT]
            if not enough:
                continue
            least = min(enough, key=lambda row: row["inner_bits"])
            cells = [name, title, str(least["inner_bits"]), f"{100 * _quality(least):.1f}%"]
            if least["luts"] is None:
                cells += ["-", "-"]
            else:
                cells.append(f"{wide['luts'] / least['luts']:.2f}")
                cells.append(f"{wide['area_um2'] / least['area_um2']:.2f}")
            lines.append([*cells, "yes" if least["proved"] else "no"])
    header = ["task", "method", "P_I", "of float", "LUTs: 32 bits over this", "area, likewise"]
    return table([*header, "proved"], lines)


def _quality(row: dict[str, Any]) -> float:
    """Share of the floating-point model's: of accuracy, or of its bits per byte over these."""
    pair = row["value"], row["float_value"]
    return pair[0] / pair[1] if row["higher_is_better"] else pair[1] / pair[0]


def trained_digits(rows: list[dict[str, Any]]) -> str:
    """A row per width, a column per method and width of the inputs."""
    columns = [(method, bits) for bits in (4, 8) for method in ("a2q", "a2q_plus")]
    seeds: dict[Any, list[float]] = {}
    for row in rows:
        if row["task"] == "digits":
            key = row["method"], row["activation_bits"], row["inner_bits"]
            seeds.setdefault(key, []).append(100 * row["value"])
    widths = sorted({bits for _, _, bits in seeds if bits is not None})
    lines = [
        [str(p), *(_mean(seeds.get((method, bits, p))) for method, bits in columns)] for p in widths
    ]
    free = [_mean(seeds.get(("none", bits, None))) for _, bits in columns]
    header = [f"{STYLES[method][0].split(',')[0]}, {bits}-bit inputs" for method, bits in columns]
    return table(["P", *header], [*lines, ["no budget", *free]])


def _mean(values: list[float] | None) -> str:
    return "-" if not values else f"{sum(values) / len(values):.1f} ({len(values)})"


def trained_language(rows: list[dict[str, Any]]) -> str:
    """A row per run."""
    lines = [
        [
            row["method"],
            str(row["inner_bits"] or "-"),
            f"{row['before']:.3f}",
            f"{row['value']:.3f}",
            f"{100 * row['sparsity']:.0f}%",
            str(row["proved_bits"]),
        ]
        for row in rows
        if row["task"] == "scribe_1m"
    ]
    return table(["method", "P", "before", "after", "zeros", "proved P"], lines)


def picture(rows: list[dict[str, Any]]) -> str:
    """The chart as a file of its own, colours included."""
    opening = '<svg xmlns="http://www.w3.org/2000/svg" '
    svg = widths_chart(rows).replace("<svg ", opening, 1)
    return svg.replace(">", f"><style>{CSS}{MARK_CSS}</style>", 1) + "\n"


def main() -> int:
    """Rewrite, or compare."""
    tasks = json.loads(MEASURED.read_text())["tasks"]
    stale = 0
    for name, rows in tasks.items():
        path = PAGE.with_name(f"widths_{name}.svg")
        if not path.is_file() or path.read_text() != picture(rows):
            if "--check" in sys.argv[1:]:
                print(
                    f"docs/{path.name} is stale: run 'python docs/make_widths.py'", file=sys.stderr
                )
                stale = 1
            else:
                path.write_text(picture(rows))
    tables = {TABLES[name]: widths_table(rows) for name, rows in tasks.items()}
    tables["kept widths"] = kept_table(tasks)
    trained = json.loads(TRAINED.read_text())
    tables["trained digits"] = trained_digits(trained)
    tables["trained scribe_1m"] = trained_language(trained)

    def page(text: str) -> str:
        return between_markers(text, "make_widths.py", tables)

    return rewrite(PAGE, page, "make_widths.py", __doc__) or stale


if __name__ == "__main__":
    sys.exit(main())
