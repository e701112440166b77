"""Where the time of every kind of GEMM goes, and how far it is from the machine's limits."""

from collections.abc import Sequence
from typing import Any

from sim.export import grouped_rows
from sim.results import STALLS

from .charts import Bars, Panel, Shares, color, panel_chart, stacked_bar
from .context import MOST_ROWS, Row, Run, place_and_kind
from .cycles import percent_tick
from .markup import Markup, join, legend, paragraph, section, table, tag
from .roofline import Point, roofline_chart
from .units import count, percent, significant

_MEANING = {
    "compute": "a slot is issued",
    "dequantizer": "waiting for the dequantizer",
    "operands": "waiting for operands on chip",
    "output": "waiting for results to leave",
    "fill": "before the first slot",
    "drain": "behind the last slot",
    "dram": "what an infinitely fast memory would save",
    "host": "between jobs",
}
_PHASES = {"prefill": "Prefill", "decode": "Decode"}
_SERIES = {"prefill": ("c0", "prefill: circles"), "decode": ("c1", "decode: squares")}
_OTHER = "other kinds"
_NONE = "\u2013"
#: from this share on, the rest gets a bar of its own
_DOMINANT = 0.8


def timing_section(run: Run) -> Markup | None:
    """Stalls, utilization and roofline; None where the run has no such timing.

    Reads ``timing`` of simulate.json (:func:`sim.export.timing_json`).
    """
    timing = run["simulate"].get("timing")
    if timing is None:
        return None
    bandwidth = timing["roofline"]["bytes_per_cycle"]
    rows = grouped_rows(timing["rows"], bytes_per_cycle=bandwidth)
    _name(rows)
    parts = [_total(timing["stalls"])]
    for phase, title in _PHASES.items():
        chosen = [row for row in rows if row["phase"] == phase]
        if chosen:
            parts.append(_phase(chosen, title))
    return section("timing", "Timing by GEMM", "simulate.json", *parts, _roofline(rows, bandwidth))


def _name(rows: list[dict[str, Any]]) -> None:
    """Give rows a short ``label``, unique within a phase."""
    kinds = [(row["phase"], place_and_kind(row["first"])[1]) for row in rows]
    for row, kind in zip(rows, kinds, strict=True):
        row["label"] = kind[1] if kinds.count(kind) == 1 else row["name"]


def _total(stalls: dict[str, int]) -> Markup:
    """What all cycles are spent on."""
    total = sum(stalls.values()) or 1
    parts = [(name, float(stalls[name]), color(i)) for i, name in enumerate(STALLS)]
    entries = [
        (shade, f"{name}: {count(cycles)} ({percent(cycles / total, 2)}), {_MEANING[name]}")
        for name, cycles, shade in parts
    ]
    first, zoomed = max(parts, key=lambda part: part[1]), None
    rest = [part for part in parts if part is not first and part[1]]
    if rest and first[1] > _DOMINANT * total:
        share = percent(1 - first[1] / total, 2)
        zoomed = join(
            tag("h3", f"The {share} that is not {first[0]}, enlarged"),
            stacked_bar(rest, "Cycles apart from the largest part", height=20),
        )
    return join(
        tag("h3", "All cycles, by what they are spent on"),
        stacked_bar(parts, "All cycles, by what they are spent on"),
        zoomed,
        legend(entries),
    )


def _phase(rows: Sequence[dict[str, Any]], title: str) -> Markup:
    """Share of the phase, stalls and utilization of every kind of GEMM."""
    total = sum(row["cycles"] for row in rows)
    shown = _limited(rows)
    places = [
        Row(label=_times(row), title=row["name"], layers=(row["name"],), band=index % 2)
        for index, row in enumerate(shown)
    ]
    panels: list[Panel] = [
        Bars(
            title="share of cycles",
            values=[[row["cycles"] / total] for row in shown],
            show=percent_tick,
            notes=[percent(row["cycles"] / total) for row in shown],
            weight=0.8,
        ),
        Shares(
            title="its cycles, by what they are spent on (colours above)",
            names=STALLS,
            values=[{name: row[name] / row["cycles"] for name in STALLS} for row in shown],
            weight=1.8,
        ),
        Bars(
            title="utilization",
            values=[[row["utilization"]] for row in shown],
            show=percent_tick,
            notes=[percent(row["utilization"]) for row in shown],
            high=1.0,
            colors=["c2"] * len(shown),
            weight=0.8,
        ),
    ]
    return join(
        tag("h3", f"{title}: {count(total)} cycles"),
        panel_chart(places, panels, f"{title}: cycles, stalls and utilization of every GEMM"),
    )


def _times(row: dict[str, Any]) -> str:
    """Label with the number of layers."""
    return f"{row['label']} \u00d7 {row['layers']}" if row["layers"] > 1 else str(row["label"])


def _limited(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Not more rows than a chart can show: the smallest ones together."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    largest = set(sorted(range(len(rows)), key=lambda i: -rows[i]["cycles"])[: MOST_ROWS - 1])
    kept = [row for index, row in enumerate(rows) if index in largest]
    rest = [row for index, row in enumerate(rows) if index not in largest]
    most = sum(row["peak_macs_per_cycle"] * row["cycles"] for row in rest)
    other = {name: sum(row[name] for row in rest) for name in ("cycles", *STALLS, "layers")}
    useful = sum(row["macs"] for row in rest)
    return [*kept, {**other, "label": _OTHER, "name": _OTHER, "utilization": useful / most}]


def _roofline(rows: Sequence[dict[str, Any]], bandwidth: float | None) -> Markup:
    """The plot and its numbers."""
    title = tag("h3", "Roofline")
    points = _points(rows)
    if bandwidth is None or not points:
        return join(title, paragraph("The run has no memory: there is no limit but the array's."))
    peaks = sorted({row["peak_macs_per_cycle"] for row in rows})
    drawn = roofline_chart(
        points,
        peaks=peaks,
        bytes_per_cycle=bandwidth,
        label="Products per cycle against products per byte of DRAM traffic",
    )
    return join(
        title,
        paragraph(
            "Left of the ridge the DRAM is the limit, right of it the array. What lies far below "
            "both loses its time to padding, filling or waiting. A marker's area is its share of "
            "the phase's cycles; the largest are named, and pointing at one shows its numbers.",
            " Dashed level lines are the peaks for operands that take more slots."
            if len(peaks) > 1
            else None,
        ),
        legend([_SERIES[phase] for phase in _PHASES if phase in {row["phase"] for row in rows}]),
        drawn,
        _numbers(rows),
    )


def _points(rows: Sequence[dict[str, Any]]) -> list[Point]:
    totals = {
        phase: sum(row["cycles"] for row in rows if row["phase"] == phase) for phase in _PHASES
    }
    return [
        Point(
            label=str(row["label"]),
            title=(
                f"{row['name']}, {row['phase']}: {significant(row['macs_per_byte'])} MACs/byte, "
                f"{significant(row['attained_macs_per_cycle'])} of at most "
                f"{significant(row['limit_macs_per_cycle'])} MACs/cycle"
            ),
            x=row["macs_per_byte"],
            y=row["attained_macs_per_cycle"],
            share=row["cycles"] / totals[row["phase"]],
            series=int(row["phase"] == "decode"),
        )
        for row in rows
        if row["macs_per_byte"] and row["attained_macs_per_cycle"]
    ]


def _numbers(rows: Sequence[dict[str, Any]]) -> Markup:
    """The points as a table."""
    chosen = sorted(rows, key=lambda row: -row["cycles"])[:MOST_ROWS]
    lines = [
        [
            _times(row),
            row["phase"],
            row["bound"],
            row["verified"],
            count(row["cycles"]),
            _NONE if row["macs_per_byte"] is None else significant(row["macs_per_byte"]),
            significant(row["attained_macs_per_cycle"]),
            significant(row["limit_macs_per_cycle"]),
            percent(row["attained_macs_per_cycle"] / row["limit_macs_per_cycle"]),
            _NONE
            if row["dram_refetch_factor"] is None
            else f"{significant(row['dram_refetch_factor'])}\u00d7",
        ]
        for row in rows
        if row in chosen
    ]
    header = ["GEMM", "phase", "bound", "cycles by", "cycles", "MACs/byte", "MACs/cycle", "limit"]
    return table([*header, "of limit", "refetch"], lines, text_columns=4)
