"""What every layer needs of the two accumulators, against what the machine has."""

from typing import Any

from .charts import Dots, Panel, panel_chart
from .context import Run
from .header import widths_are_worst_case
from .markup import Markup, join, legend, paragraph, section, table, tag
from .units import significant

#: overflowing channels that are listed
_LISTED = 12
_STAGES = {"inner": "P_I", "outer": "P_O"}


def accumulator_section(run: Run) -> Markup:
    """Needed widths, overflows and witnesses; of an aligned machine the errors of its results."""
    if run.skipped("bounds") is not None:
        body = _skipped(run)
    elif "bit_exact" in run["bounds"]:
        return section("accumulators", "Rounding errors", "bounds.json", _errors(run))
    else:
        body = _proved(run)
    return section("accumulators", "Accumulator widths", "bounds.json, rtl.json", body)


def _errors(run: Run) -> Markup:
    """Largest errors of an aligned floating-point datapath."""
    bounds, entries = run["bounds"], run.by_layer("bounds")
    rows = []
    for row in run.rows:
        known = [entries[name] for name in row.layers if name in entries]
        if not known:
            continue
        worst = max(known, key=lambda entry: entry["relative_error"])
        exact = all(entry["bit_exact"] for entry in known)
        error, relative = (significant(worst[key]) for key in ("error", "relative_error"))
        rows.append([row.title, error, relative, "yes" if exact else "no"])
    header = ["layer", "largest error", "relative", "bit-exact"]
    return join(
        _verdict(bounds) if bounds["overflows"] else None,
        paragraph(
            "How far a result can be from the exact one, for every activation up to "
            f"{bounds['largest_activation']:g}, by the lane, step and conversion roundings of this "
            "machine. Relative to the largest output of the channel. Proved, not measured: real "
            "errors are smaller.",
            " A row is a kind of layer, with its worst." if run.grouped else None,
        ),
        table(header, rows, text_columns=1),
    )


def _skipped(run: Run) -> Markup:
    """Without weights there is only the worst case of the format."""
    rtl = run["rtl"]
    held = (
        "Both were set to the worst case: they hold for all weights of the format and all "
        "activations of the input port."
        if widths_are_worst_case(run)
        else "At least one of them was set by hand, and nothing here shows that it suffices."
    )
    return join(
        tag("p", f"Not done: {run.skipped('bounds')}.", class_="skip"),
        paragraph(
            f"The machine has P_I = {rtl['inner_bits']} bits ({rtl['inner_mode']}) and "
            f"P_O = {rtl['outer_bits']} bits ({rtl['outer_mode']}). ",
            held,
        ),
    )


def _proved(run: Run) -> Markup:
    """Verdict, chart and witnesses."""
    bounds = run["bounds"]
    panels: list[Panel] = []
    for stage, name in _STAGES.items():
        if bounds[f"{stage}_bits"] is None:
            continue
        limit, mode = bounds[f"machine_{stage}_bits"], bounds[f"{stage}_mode"]
        title = f"{name}, {stage}: machine has {limit} bits ({mode})"
        panels.append(_panel(run, stage, title, limit))
    many = " A row is a kind of layer; the dot is its neediest layer." if run.grouped else None
    return join(
        _verdict(bounds),
        paragraph(
            "Bits in two's complement that a layer needs for every activation the input port can "
            "carry, on this machine's schedule of partial sums. Exact, not estimated: one bit less "
            "fails for the input that bounds.json gives.",
            many,
        ),
        legend(
            [
                ("c0", "needed by the layer (its neediest channel)"),
                ("c3", "from the least to the most demanding channel"),
                ("c5", "more than the machine has (\u00d7)"),
            ]
        ),
        panel_chart(run.rows, panels, "Needed and available accumulator widths"),
        _witnesses(bounds),
    )


def _panel(run: Run, stage: str, title: str, limit: int) -> Dots:
    """Widths of one accumulator stage."""
    entries, key = run.by_layer("bounds"), f"{stage}_bits"
    values: list[int | None] = []
    spread: list[tuple[int, int] | None] = []
    for row in run.rows:
        known = [entries[name] for name in row.layers if name in entries]
        needed = [entry[key] for entry in known if entry[key] is not None]
        channels = [channel[key] for entry in known for channel in entry.get("channels", [])]
        channels = [bits for bits in channels if bits is not None] or needed
        values.append(max(needed, default=None))
        spread.append((min(channels), max(channels)) if channels else None)
    return Dots(title=title, values=values, spread=spread, limit=limit)


def _verdict(bounds: dict[str, Any]) -> Markup:
    """Proved safe, or what overflows."""
    overflows = bounds["overflows"]
    if not overflows:
        return paragraph(
            tag("strong", "\u2713 Proved: ", class_="good"),
            "no input can overflow an accumulator of this machine with these weights.",
        )
    channels = {(found["layer"], found["channel"]) for found in overflows}
    rows = [
        [
            found["layer"],
            found["stage"],
            str(found["channel"]),
            str(found["needed_bits"]),
            str(bounds[f"machine_{found['stage']}_bits"]),
            f"{found['low']:,} .. {found['high']:,}",
        ]
        for found in overflows[:_LISTED]
    ]
    header = ["layer", "stage", "channel", "bits needed", "bits there", "range"]
    rest = len(overflows) - len(rows)
    return tag(
        "div",
        tag("strong", f"\u2717 Not safe: some input overflows {len(channels):,} channels."),
        table(list(header), [list(row) for row in rows], text_columns=2),
        f"and {rest:,} more in bounds.json" if rest else None,
        class_="alarm",
    )


def _witnesses(bounds: dict[str, Any]) -> Markup | None:
    """For each stage, the witness of the layer that needs most."""
    sentences = []
    for stage, name in _STAGES.items():
        found = [
            (witness, layer["name"])
            for layer in bounds["layers"]
            for witness in layer.get("witnesses", [])
            if witness["stage"] == stage
        ]
        if found:
            witness, layer = max(found, key=lambda pair: pair[0]["bits"])
            sentences.append(
                f"{name} {witness['bits']}: channel {witness['channel']} of {layer} reaches "
                f"{witness['value']:,} in group {witness['group']}"
            )
    if not sentences:
        return None
    return paragraph("Witnesses of the largest needs. ", "; ".join(sentences), ".", class_="dim")
