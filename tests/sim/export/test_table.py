"""Tables: every figure from its definition, and equal layers together without a loss."""

import csv
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.tables import write_csv
from sim.export import grouped_rows, timing_rows, timing_text
from sim.export.table import _together
from sim.results import STALLS

from .samples import llama, phase_timing, timings
from .test_scalesim import PHASE, timing

SUMS = (
    *("jobs", "cycles", *STALLS, "macs"),
    *("weight_bytes", "kv_bytes", "activation_bytes", "result_bytes", "ideal_bytes"),
)


def test_by_hand() -> None:
    """12000 products and 3337 bytes in 1251 cycles, at 16 products and 4 bytes a cycle."""
    assert timing_rows(timing(PHASE)) == [
        {
            "name": "q_proj", "phase": "prefill", "operand": "weights", "m": 3, "n": 5, "k": 64,
            "grows": "", "count": 2, "steps": 1, "jobs": 2, "cycles": 1251,
            "compute": 1000, "dequantizer": 30, "operands": 20, "output": 10, "fill": 7,
            "drain": 40, "dram": 140, "host": 4,
            "utilization": 12_000 / (16 * 1251), "mapping_efficiency": 0.75, "macs": 12_000,
            "weight_bytes": 600, "kv_bytes": 20, "activation_bytes": 247, "result_bytes": 2470,
            "ideal_bytes": 3000, "dram_refetch_factor": 3337 / 3000,
            "macs_per_byte": 12_000 / 3337, "attained_macs_per_cycle": 12_000 / 1251,
            "limit_macs_per_cycle": 4 * 12_000 / 3337, "peak_macs_per_cycle": 16.0,
            "bound": "memory", "verified": "RTL",
        }
    ]  # fmt: skip


@settings(deadline=None)
@given(timings())
def test_rows_are_what_results_say(timed) -> None:
    """Against the properties of PhaseTiming and Roofline."""
    rows = timing_rows(timed)
    json.dumps(rows, allow_nan=False)
    assert [row["phase"] for row in rows] == ["prefill"] * len(timed.prefill) + ["decode"] * len(
        timed.decode
    )
    for row, phase in zip(rows, timed.phases, strict=True):
        assert sum(row[name] for name in STALLS) == row["cycles"] == phase.cycles
        assert row["utilization"] == pytest.approx(phase.utilization)
        assert row["verified"] == ("RTL" if phase.verified else "analytic")
        roofline = replace(timed.roofline, peak_macs_per_cycle=phase.report.peak_macs_per_cycle)
        if phase.traffic.total_bytes == 0:
            assert row["macs_per_byte"] is None and row["bound"] == "compute"
            assert row["limit_macs_per_cycle"] == roofline.peak_macs_per_cycle
            continue
        assert row["macs_per_byte"] == pytest.approx(phase.macs_per_byte)
        limit = roofline.limit(phase.macs_per_byte)
        assert row["limit_macs_per_cycle"] == pytest.approx(limit)
        left = roofline.ridge_macs_per_byte
        assert row["bound"] == (
            "memory" if left is not None and phase.macs_per_byte < left else "compute"
        )


@settings(deadline=None)
@given(timings())
def test_nothing_is_lost_in_groups(timed) -> None:
    rows = timing_rows(timed)
    groups = grouped_rows(rows, bytes_per_cycle=timed.roofline.bytes_per_cycle)
    assert sum(group["layers"] for group in groups) == len(rows)
    for name in SUMS:
        assert sum(group[name] for group in groups) == sum(row[name] for row in rows)
    for group in groups:
        inside = [row for row in rows if belongs(row, group)]
        assert len(inside) == group["layers"]
        assert group["first"] == inside[0]["name"]
        assert group["cycles"] == sum(row["cycles"] for row in inside)
        assert group["utilization"] == pytest.approx(
            sum(row["utilization"] * row["cycles"] for row in inside) / group["cycles"]
        )
        if group["layers"] == 1:
            assert group == rows[rows.index(inside[0])] | {
                "layers": 1, "first": inside[0]["name"], "name": group["name"],
            }  # fmt: skip


def belongs(row: dict, group: dict) -> bool:
    """Whether a layer is one that the group's name stands for."""
    same = ("phase", "operand", "m", "n", "k", "grows", "count", "peak_macs_per_cycle", "verified")
    if any(row[name] != group[name] for name in same):
        return False
    mine, others = re.split(r"([./])", row["name"]), re.split(r"([./])", group["name"])
    return len(mine) == len(others) and all(map(matches, mine, others))


def matches(part: str, pattern: str) -> bool:
    """Whether a part of a name is the pattern or a number within its ranges."""
    if not re.fullmatch(r"[\d,-]+", pattern) or not part.isdecimal():
        return part == pattern
    ranges = [entry.split("-") for entry in pattern.split(",")]
    return any(int(ends[0]) <= int(part) <= int(ends[-1]) for ends in ranges)


@given(st.sets(st.integers(0, 30), min_size=1))
def test_ranges_of_numbers(numbers) -> None:
    """The ranges hold these numbers and no others."""
    together = _together([f"layers.{number}.w1" for number in numbers])
    found = re.fullmatch(r"layers\.([\d,-]+)\.w1", together)[1]
    held = set()
    for entry in found.split(","):
        ends = [int(end) for end in entry.split("-")]
        held |= set(range(ends[0], ends[-1] + 1))
    assert held == numbers
    assert found.count(",") == sum(n + 1 not in numbers for n in numbers) - 1


def test_what_is_not_equal_stays_apart() -> None:
    """Other sizes, formats of other names, counts of formulas."""
    one = replace(PHASE, gemm=replace(PHASE.gemm, name="layers.0.w1"))
    others = [
        replace(one, gemm=replace(one.gemm, name="layers.1.w1", n=6)),
        replace(one, gemm=replace(one.gemm, name="layers.1.w2")),
        replace(one, gemm=replace(one.gemm, name="layers.2.w1"), verified=False),
        replace(one, gemm=replace(one.gemm, name="layers1.w1")),
    ]
    rows = timing_rows(timing(one, *others))
    assert len(grouped_rows(rows, bytes_per_cycle=4.0)) == 5
    two = replace(one, gemm=replace(one.gemm, name="layers.7.w1"))
    [group] = grouped_rows(timing_rows(timing(one, two)), bytes_per_cycle=4.0)
    assert group["name"] == "layers.0,7.w1"
    assert group["macs"] == 24_000 and group["macs_per_byte"] == 12_000 / 3337


def test_a_model_is_a_few_lines() -> None:
    timed = llama(blocks=32)
    text = timing_text(timed)
    phases = text.split("\n\n")
    assert [len(phase.splitlines()) for phase in phases] == [13, 13]
    assert "layers.0-31.self_attn.q_proj x32" in text
    assert f"decode of 128 steps: {timed.decode_cycles:,} cycles" in phases[1]
    assert f"prefill: {timed.prefill_cycles:,} cycles" in phases[0]
    assert "32 of 1x513+x128" in phases[1]
    assert "analytic" in text and "memory" in text
    seconds = timed.decode_cycles / 500e6
    assert f"{seconds:,.2f} s at 500 MHz" in phases[1]


def test_utilization_of_a_phase_is_of_all_its_time() -> None:
    """An idle GEMM of another peak counts with its own peak."""
    slow = replace(
        PHASE,
        gemm=replace(PHASE.gemm, name="other"),
        report=replace(PHASE.report, peak_macs_per_cycle=32.0),
    )
    share = 2 * 12_000 / (1251 * (16 + 32))
    assert f"utilization {100 * share:.1f}%" in timing_text(timing(PHASE, slow))


@settings(deadline=None)
@given(timings())
def test_text_of_anything(timed) -> None:
    """Every line of a table is as wide as its header says, and the shares are all of it."""
    rows = grouped_rows(timing_rows(timed), bytes_per_cycle=timed.roofline.bytes_per_cycle)
    lines = timing_text(timed).splitlines()
    phases = 1 + bool(timed.decode)
    assert len(lines) == len(rows) + 3 * phases + phases - 1
    rules = [line for line in lines if re.fullmatch(r"[- ]+", line) and "  " in line]
    assert len(rules) == phases


def test_without_memory() -> None:
    phase = phase_timing(PHASE.gemm, bytes_per_cycle=None)
    bare = replace(phase, traffic=type(phase.traffic)())
    [row] = timing_rows(timing(bare))
    assert row["macs_per_byte"] is None and row["dram_refetch_factor"] is None
    assert row["bound"] == "compute"
    assert timing_text(timing(bare)).splitlines()[-1].split()[-4:] == ["-", "-", "compute", "RTL"]


def test_as_csv(tmp_path) -> None:
    rows = timing_rows(llama(blocks=2))
    write_csv(tmp_path / "timing.csv", rows)
    with (tmp_path / "timing.csv").open(newline="") as file:
        back = list(csv.DictReader(file))
    assert len(back) == len(rows)
    for row, read in zip(rows, back, strict=True):
        assert {name: str(value) for name, value in row.items()} == read
