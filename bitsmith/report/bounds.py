"""The page of `bitsmith bounds`: what every layer needs, proved, observed and by the formulas."""

from typing import Any

from .charts import panel_chart
from .context import Row, chart_rows
from .document import document
from .marks import Marks, Series, mark_legend
from .markup import Markup, join, paragraph, section, table, tag
from .units import significant

_STAGES = {"inner": "P_I, one group", "outer": "P_O, all groups"}


def bounds_page(result: dict[str, Any]) -> str:
    """The document of a result of `bitsmith bounds`, see :mod:`bitsmith.bounds`."""
    rows = chart_rows([layer["name"] for layer in result["layers"]])
    title = f"Accumulator widths: {result['source']}"
    body = join(
        tag("h1", title),
        tag("p", _what(result), class_="sub"),
        _verdict(result),
        section("picture", "Width per layer", "", *_pictures(result, rows)),
        section("layers", "Layers", "", _layers(result, rows)),
        _sufficient(result),
        _costs(result),
        tag("footer", "Written by bitsmith. Widths are bits in two's complement."),
    )
    return document(f"bitsmith: {title}", body)


def _what(result: dict[str, Any]) -> str:
    low, high = result["layers"][0]["input_low"], result["layers"][0]["input_high"]
    return (
        f"order of additions: {result['order']}; activations {low}..{high} in the first layer; "
        f"modes: inner {result['inner_mode']}, outer {result['outer_mode']}"
    )


def _verdict(result: dict[str, Any]) -> Markup:
    overflows, has = result["overflows"], result["machine_inner_bits"]
    if overflows:
        first = overflows[0]
        return tag(
            "div",
            tag("strong", f"\u2717 Not safe: {len(overflows):,} channels can overflow. "),
            f"The first, channel {first['channel']} of {first['layer']}, reaches {first['low']:,} "
            f".. {first['high']:,} in its {first['stage']} accumulator and needs "
            f"{first['needed_bits']} bits.",
            class_="alarm",
        )
    if has is None:
        return paragraph(f"Every layer is safe with {_widths(result)}.")
    return paragraph(
        tag("strong", "\u2713 Proved: ", class_="good"),
        f"no input can overflow P_I = {has} or P_O = {result['machine_outer_bits']} bits; "
        f"{_widths(result)} suffice.",
    )


def _widths(result: dict[str, Any]) -> str:
    inner = f"P_I = {result['inner_bits']}"
    return inner if result["outer_bits"] is None else f"{inner} and P_O = {result['outer_bits']}"


def _pictures(result: dict[str, Any], rows: list[Row]) -> list[Markup]:
    entries = {layer["name"]: layer for layer in result["layers"]}
    panels, legend_of, limits = [], list[Series](), list[str]()
    for stage, title in _STAGES.items():
        if result[f"{stage}_bits"] is None:
            continue
        series = [
            Series(name=name, shape=shape, color=color, values=_values(rows, entries, path))
            for name, shape, color, path in _kinds(stage)
        ]
        if found := result.get("sufficient"):
            enough = [found["widths"][stage]["saturate"]] * len(rows)
            name = f"keeps {found['metric']} (saturate, all layers alike)"
            series.append(Series(name=name, shape="triangle", color="c5", values=enough))
        limit = result[f"machine_{stage}_bits"]
        named = {} if limit is None else {"the machine has": limit}
        limits += [name for name in named if name not in limits]
        panels.append(Marks(title=title, series=series, limits=named))
        known = {one.name for one in legend_of}
        legend_of += [one for one in series if one.name not in known]
    return [
        paragraph("A row of several layers shows the neediest of them."),
        mark_legend(legend_of, limits),
        panel_chart(rows, panels, "Accumulator widths by layer"),
    ]


def _kinds(stage: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Name, shape, colour and place in a layer's entry of every kind of width."""
    bits = f"{stage}_bits"
    formulas = [
        ("data types (K, M, N)", "ring", "c7", ("dtype_bound_bits",)),
        ("L1 norm (A2Q)", "ring", "c4", ("l1_bound_bits",)),
        ("A2Q+ (not a proof)", "cross", "c1", ("a2q_plus_bits",)),
    ]
    return [
        *(formulas if stage == "inner" else []),
        ("proved: saturate, flag", "square", "c3", ("needed", "saturate", bits)),
        ("proved: wrap", "circle", "c0", ("needed", "wrap", bits)),
        ("observed", "diamond", "c2", ("observed", bits)),
    ]


def _values(
    rows: list[Row], entries: dict[str, dict[str, Any]], path: tuple[str, ...]
) -> list[int | None]:
    found = []
    for row in rows:
        values = [_at(entries[name], path) for name in row.layers]
        found.append(max((v for v in values if v is not None), default=None))
    return found


def _at(entry: Any, path: tuple[str, ...]) -> int | None:
    for key in path:
        entry = None if entry is None else entry.get(key)
    return entry


def _layers(result: dict[str, Any], rows: list[Row]) -> Markup:
    entries = {layer["name"]: layer for layer in result["layers"]}
    shown = [
        max((entries[n] for n in row.layers), key=lambda e: (e["inner_bits"], e["outer_bits"] or 0))
        for row in rows
    ]
    header = ["layer", "P_I wrap", "P_I saturate", "data types", "A2Q", "A2Q+", "unsound channels"]
    header += ["P_O", "worst channel", "observed P_I", "observed P_O"]
    lines = []
    for row, entry in zip(rows, shown, strict=True):
        observed = entry.get("observed") or {}
        values = [
            entry["needed"]["wrap"]["inner_bits"],
            entry["needed"]["saturate"]["inner_bits"],
            *(entry[key] for key in ("dtype_bound_bits", "l1_bound_bits", "a2q_plus_bits")),
            entry["a2q_plus_unsound"],
            entry["outer_bits"],
            entry["worst_channel"],
            *(observed.get(f"{stage}_bits") for stage in _STAGES),
        ]
        lines.append([row.title, *("\u2013" if v is None else str(v) for v in values)])
    return join(
        table(header, lines, text_columns=1),
        paragraph(
            "Data types, A2Q and A2Q+ are formulas of the literature for one group in mode wrap. "
            "A2Q+'s holds only for weights whose positive and negative sums are equal: in the "
            "channels counted as unsound it gives too few bits.",
            class_="dim",
        ),
    )


def _sufficient(result: dict[str, Any]) -> Markup | None:
    """Quality against width, where it was measured."""
    found = result.get("sufficient")
    if found is None:
        return None
    lines = [
        [
            row["stage"],
            row["mode"],
            str(row["width"]),
            significant(row["value"]),
            f"{100 * row['increase']:+.2f}%",
            f"{row['events']:,}",
        ]
        for row in found["rows"]
    ]
    header = ["stage", "mode", "bits", found["metric"], "to wide registers", "overflows"]
    return section(
        "sufficient",
        "What keeps accuracy",
        "",
        paragraph(
            f"Measured on {found['tokens']:,} tokens with one register narrowed at a time; a "
            f"width keeps accuracy where {found['metric']} grows by at most "
            f"{100 * found['tolerance']:g}%. Measured, not proved."
        ),
        table(header, lines, text_columns=2),
    )


def _costs(result: dict[str, Any]) -> Markup | None:
    found = result.get("cost")
    if found is None:
        return None
    lines = [
        [
            name,
            f"P_I {entry['inner_bits']}, P_O {entry['outer_bits']}",
            f"{entry['area_um2']:,.0f}",
            significant(entry["energy_pj_per_mac"]),
            f"{entry['luts']:,}",
        ]
        for name, entry in (("this machine", found), ("32-bit accumulators", found["wide"]))
    ]
    lines += [
        [
            f"one more bit of P_{stage[0].upper()}",
            "",
            f"+{entry['area_um2']:,.0f} ({entry['area_percent']:.2f}%)",
            f"{entry['energy_percent']:+.2f}%",
            f"{entry['luts']:+.1f}",
        ]
        for stage, entry in found["per_bit"].items()
    ]
    header = ["", "widths", "area, um2", "pJ per product, on chip", "LUTs"]
    return section(
        "cost",
        "What a bit costs",
        "",
        table(header, lines, text_columns=2),
        paragraph(
            f"Area and energy of the whole machine by the cost model ({found['technology']}); "
            f"LUTs of {found['luts_of']}, synthesized.",
            class_="dim",
        ),
    )
