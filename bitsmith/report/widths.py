"""The page of `bitsmith widths`: quality against width, and against what the width costs."""

from typing import Any

from .curves import Curve, CurvePanel, curve_chart
from .document import document
from .markup import Markup, join, paragraph, section, table, tag
from .units import significant

#: method -> name, shape and colour
STYLES = {
    "a2q": ("A2Q, after training", "circle", "c0"),
    "a2q_plus": ("A2Q+, after training", "square", "c2"),
    "axe": ("AXE, with error feedback", "triangle", "c4"),
    "axe_rtn": ("AXE, without", "diamond", "c3"),
    "a2q trained": ("A2Q, trained", "ring", "c0"),
    "a2q_plus trained": ("A2Q+, trained", "ring", "c2"),
    "saturate": ("nothing done, saturating", "cross", "c5"),
    "wrap": ("nothing done, wrapping", "cross", "c1"),
}


def widths_page(tasks: dict[str, list[dict[str, Any]]]) -> str:
    """The document; rows of :func:`bitsmith.widths.width_rows` by task."""
    body = join(
        tag("h1", "Quality against accumulator width"),
        tag(
            "p",
            "Quantizers that keep to a width, and registers that are narrowed with nothing done "
            "about it. Filled marks: proved, no input can overflow. Crosses: not proved.",
            class_="sub",
        ),
        *(_task(name, rows) for name, rows in tasks.items()),
        tag("footer", "Written by bitsmith."),
    )
    return document("bitsmith: quality against accumulator width", body)


def _task(name: str, rows: list[dict[str, Any]]) -> Markup:
    return section(
        name,
        name,
        "",
        widths_chart(rows),
        paragraph(_wide_text(rows)),
        table(_HEADER, [_line(row) for row in rows], text_columns=1),
    )


def widths_chart(rows: list[dict[str, Any]]) -> Markup:
    """The metric against the width of P_I, and against the LUTs of one PE."""
    first = rows[0]
    return curve_chart(
        [
            CurvePanel(
                title="against P_I, bits",
                x_label="inner accumulator, bits",
                curves=_curves(rows, "inner_bits"),
            ),
            CurvePanel(
                title="against hardware",
                x_label="LUTs of one PE with its dequantizer and decoder (ECP5)",
                curves=_curves([row for row in rows if row["luts"] is not None], "luts"),
            ),
        ],
        y_label=first["metric"],
        y_range=_range(rows),
        level=("floating point", first["float_value"]),
        show=lambda value: f"{value:g}",
        label=f"{first['metric']} of {first['task']} against accumulator width and LUTs",
    )


def _range(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """From the floating-point value to where quality is of no interest."""
    best = rows[0]["float_value"]
    if rows[0]["higher_is_better"]:
        return 0.5 * best, min(1.0, 1.04 * best)
    return 0.97 * best, 1.6 * best


def _curves(rows: list[dict[str, Any]], key: str) -> list[Curve]:
    curves = []
    for method, (name, shape, color) in STYLES.items():
        found = sorted((r for r in rows if r["method"] == method), key=lambda r: r["inner_bits"])
        points = [(r[key], r["value"], _note(r)) for r in found]
        if points:
            curves.append(Curve(name=name, shape=shape, color=color, points=points))
    return curves


def _note(row: dict[str, Any]) -> str:
    return f"P_I {row['inner_bits']}, {row['metric']} {significant(row['value'], 4)}"


def _wide_text(rows: list[dict[str, Any]]) -> str:
    wide = next(row for row in rows if row["method"] == "wide")
    return (
        f"With accumulators of {wide['inner_bits']} bits: {significant(wide['value'], 4)} "
        f"{wide['metric']}, {wide['area_um2']:,.0f} um2, {wide['luts']} LUTs a PE; the weights as "
        f"they are need P_I {wide['proved_inner_bits']}. Points beyond the scale are drawn at its "
        "edge."
    )


_HEADER = ["method", "P_I", "value", "proved", "P_O", "wrong sums", "zeros", "um2", "LUTs"]


def _line(row: dict[str, Any]) -> list[str]:
    name = STYLES[row["method"]][0] if row["method"] in STYLES else "32-bit accumulators"
    area = row["area_um2"]
    return [
        name,
        str(row["inner_bits"]),
        significant(row["value"], 4),
        "yes" if row["proved"] else "no",
        _or_dash(row["proved_outer_bits"]),
        f"{row['events']:,}",
        f"{100 * row['sparsity']:.1f}%",
        "\u2013" if area is None else f"{area:,.0f}",
        _or_dash(row["luts"]),
    ]


def _or_dash(value: int | None) -> str:
    return "\u2013" if value is None else str(value)
