"""The time of a workload as tables: one row per GEMM, and equal layers together."""

import re
from collections.abc import Sequence
from typing import Any

from ..results import STALLS, PhaseTiming, WorkloadTiming

#: a number that is a part of a name by itself, as that of a block
_NUMBER = re.compile(r"(?<![^./])\d+(?![^./])")
#: columns that add up over layers
_SUMS = (
    *("jobs", "cycles", *STALLS, "macs"),
    *("weight_bytes", "kv_bytes", "activation_bytes", "result_bytes", "ideal_bytes"),
)
#: columns that are equal where layers are
_SAME = (
    *("phase", "operand", "m", "n", "k", "grows", "count", "steps"),
    *("peak_macs_per_cycle", "verified"),
)
#: an empty cell of the text
_NONE = "-"


def timing_rows(timing: WorkloadTiming) -> list[dict[str, Any]]:
    """One row per GEMM and phase, in the order of execution.

    Columns (docs/outputs.md says more): ``name``, ``phase``, ``operand``, ``m``, ``n``, ``k``,
    ``grows`` (empty where nothing does), ``count``, ``steps``, ``jobs``, ``cycles``, a column per
    stall (cycles), ``utilization``, ``mapping_efficiency``, ``macs``, ``weight_bytes``,
    ``kv_bytes``, ``activation_bytes``, ``result_bytes``, ``ideal_bytes``, ``dram_refetch_factor``,
    ``macs_per_byte``, ``attained_macs_per_cycle``, ``limit_macs_per_cycle``,
    ``peak_macs_per_cycle``, ``bound`` ("compute" or "memory"), ``verified`` ("RTL" or "analytic").
    What needs traffic is None without.
    """
    share = timing.roofline.bytes_per_cycle
    prefill = [_row(phase, "prefill", share) for phase in timing.prefill]
    return prefill + [_row(phase, "decode", share) for phase in timing.decode]


def timing_json(timing: WorkloadTiming) -> dict[str, Any]:
    """The same for ``simulate.json``, where the report finds it.

    ``stalls``: cycles by stall; ``roofline``: ``peak_macs_per_cycle``, and ``bytes_per_cycle`` and
    ``ridge_macs_per_byte``, None without a memory; ``rows``: :func:`timing_rows`.
    """
    roofline = timing.roofline
    return {
        "stalls": timing.stalls(),
        "roofline": {
            "peak_macs_per_cycle": roofline.peak_macs_per_cycle,
            "bytes_per_cycle": roofline.bytes_per_cycle,
            "ridge_macs_per_byte": roofline.ridge_macs_per_byte,
        },
        "rows": timing_rows(timing),
    }


def _row(phase: PhaseTiming, name: str, bytes_per_cycle: float | None) -> dict[str, Any]:
    gemm = phase.gemm
    return {
        "name": gemm.name,
        "phase": name,
        "operand": gemm.operand,
        "m": gemm.m,
        "n": gemm.n,
        "k": gemm.k,
        "grows": gemm.grows or "",
        "count": gemm.count,
        "steps": phase.steps,
        **_figures(
            {
                "jobs": phase.jobs,
                "cycles": phase.cycles,
                **{stall: phase.stalls[stall] for stall in STALLS},
                "macs": phase.activity.macs,
                **vars(phase.traffic),
            },
            phase.report.peak_macs_per_cycle,
            bytes_per_cycle,
        ),
        "verified": "RTL" if phase.verified else "analytic",
    }


def _figures(sums: dict[str, Any], peak: float, bytes_per_cycle: float | None) -> dict[str, Any]:
    """Columns from ``jobs`` to ``bound``: the sums and what follows from them."""
    macs, cycles, ideal = sums["macs"], sums["cycles"], sums["ideal_bytes"]
    moved = sum(sums[f"{kind}_bytes"] for kind in ("weight", "kv", "activation", "result"))
    intensity = macs / moved if moved else None
    limit = peak
    if bytes_per_cycle is not None and intensity is not None:
        limit = min(peak, intensity * bytes_per_cycle)
    first = ("jobs", "cycles", *STALLS)
    return {
        **{name: sums[name] for name in first},
        "utilization": macs / (peak * cycles),
        "mapping_efficiency": macs / (peak * sums["compute"]) if sums["compute"] else None,
        **{name: sums[name] for name in _SUMS if name not in first},
        "dram_refetch_factor": moved / ideal if ideal else None,
        "macs_per_byte": intensity,
        "attained_macs_per_cycle": macs / cycles,
        "limit_macs_per_cycle": limit,
        "peak_macs_per_cycle": peak,
        "bound": "memory" if limit < peak else "compute",
    }


def grouped_rows(
    rows: Sequence[dict[str, Any]], *, bytes_per_cycle: float | None
) -> list[dict[str, Any]]:
    """Equal layers as one row, in the order of their first.

    Layers are equal when their names differ only in numbers between dots or slashes, and phase,
    operand, sizes, peak and ``verified`` are the same.

    Parameters
    ----------
    rows : of :func:`timing_rows`, or the same from JSON.
    bytes_per_cycle : of the roofline.

    Returns
    -------
    The same columns, sums over the layers and what follows from them. ``name`` has the range of
    each number, e.g. ``layers.0-31.self_attn.q_proj``; ``layers`` is how many there are and
    ``first`` the first one's name.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        key = (_NUMBER.sub("#", row["name"]), *(row[name] for name in _SAME))
        groups.setdefault(key, []).append(row)
    grouped = []
    for members in groups.values():
        first = members[0]
        sums = {name: sum(member[name] for member in members) for name in _SUMS}
        grouped.append(
            {
                **first,
                **_figures(sums, first["peak_macs_per_cycle"], bytes_per_cycle),
                "name": _together([member["name"] for member in members]),
                "layers": len(members),
                "first": first["name"],
            }
        )
    return grouped


def _together(names: list[str]) -> str:
    """Names that differ in their numbers only as one, e.g. ``layers.0-2,5.q_proj``."""
    numbers = zip(*([int(n) for n in _NUMBER.findall(name)] for name in names), strict=True)
    ranges = iter([_ranges(sorted(set(column))) for column in numbers])
    return _NUMBER.sub(lambda _: next(ranges), names[0])


def _ranges(numbers: list[int]) -> str:
    """Sorted numbers as ``0-2,5``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in parts)


def timing_text(timing: WorkloadTiming) -> str:
    """The same for the terminal: a table per phase, a line per kind of layer."""
    rows = grouped_rows(timing_rows(timing), bytes_per_cycle=timing.roofline.bytes_per_cycle)
    parts = []
    for phase, steps in (("prefill", 1), ("decode", timing.workload.decode_steps)):
        chosen = [row for row in rows if row["phase"] == phase]
        if chosen:
            parts.append(_phase_text(chosen, phase, steps, timing.clock_mhz))
    return "\n\n".join(parts)


def _phase_text(rows: list[dict[str, Any]], phase: str, steps: int, clock_mhz: float) -> str:
    total = sum(row["cycles"] for row in rows)
    most = sum(row["peak_macs_per_cycle"] * row["cycles"] for row in rows)
    seconds = total / clock_mhz / 1e6
    time = f"{seconds:,.2f} s" if seconds >= 1 else f"{1e3 * seconds:.4g} ms"
    title = (
        f"{phase}{f' of {steps:,} steps' if phase == 'decode' else ''}: {total:,} cycles, "
        f"{time} at {clock_mhz:g} MHz, "
        f"utilization {100 * sum(row['macs'] for row in rows) / most:.1f}%"
    )
    header = ["layer", "M x N x K", "cycles", "share", "util.", "mapping", "waits most for"]
    header += ["MACs/byte", "refetch", "bound", "by"]
    return title + "\n" + _aligned(header, [_cells(row, total) for row in rows])


def _cells(row: dict[str, Any], total: int) -> list[str]:
    """One line of the text."""
    times = f" x{row['layers']}" if row["layers"] > 1 else ""
    sizes = "x".join(f"{row[name]}{'+' * (row['grows'] == name)}" for name in "mnk")
    longest = max((name for name in STALLS if name != "compute"), key=lambda name: row[name])
    waits = f"{longest} {100 * row[longest] / row['cycles']:.0f}%" if row[longest] else _NONE

    def number(value: float | None, text: str) -> str:
        return _NONE if value is None else format(value, text)

    return [
        f"{row['name']}{times}",
        f"{row['count']} of {sizes}" if row["count"] > 1 else sizes,
        f"{row['cycles']:,}",
        f"{100 * row['cycles'] / total:.1f}%",
        f"{100 * row['utilization']:.1f}%",
        number(row["mapping_efficiency"], ".1%"),
        waits,
        number(row["macs_per_byte"], ",.4g"),
        number(row["dram_refetch_factor"], ".3g"),
        row["bound"],
        row["verified"],
    ]


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width; text to the left, what starts with a digit to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(cell[0].isdigit() or cell == _NONE for cell in column[1:]) for column in columns]
    right[0] = False
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
