"""SCALE-Sim's reports: its columns to the letter, and figures that fit each other."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from configs.errors import InputError
from sim.activity import Activity
from sim.array import CycleReport
from sim.export import write_scalesim
from sim.results import PhaseTiming, Roofline, Traffic, WorkloadTiming
from sw.workloads import Gemm, Workload

from .samples import timings

#: first lines of the reports that SCALE-Sim 3.0.0 wrote for a run of two GEMMs
HEADERS = {
    "COMPUTE_REPORT.csv": (
        "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
        "Mapping Efficiency %, Compute Util %,\n"
    ),
    "BANDWIDTH_REPORT.csv": (
        "LayerID, Avg IFMAP SRAM BW, Avg FILTER SRAM BW, Avg OFMAP SRAM BW, Avg IFMAP DRAM BW, "
        "Avg FILTER DRAM BW, Avg OFMAP DRAM BW,\n"
    ),
    "DETAILED_ACCESS_REPORT.csv": (
        "LayerID, SRAM IFMAP Start Cycle, SRAM IFMAP Stop Cycle, SRAM IFMAP Reads, "
        "SRAM Filter Start Cycle, SRAM Filter Stop Cycle, SRAM Filter Reads, "
        "SRAM OFMAP Start Cycle, SRAM OFMAP Stop Cycle, SRAM OFMAP Writes, "
        "DRAM IFMAP Start Cycle, DRAM IFMAP Stop Cycle, DRAM IFMAP Reads, "
        "DRAM Filter Start Cycle, DRAM Filter Stop Cycle, DRAM Filter Reads, "
        "DRAM OFMAP Start Cycle, DRAM OFMAP Stop Cycle, DRAM OFMAP Writes,\n"
    ),
}
STALLS = {
    "compute": 1000, "dequantizer": 30, "operands": 20, "output": 10, "fill": 7, "drain": 40,
    "dram": 140, "host": 4,
}  # fmt: skip
PHASE = PhaseTiming(
    gemm=Gemm(name="q_proj", m=3, n=5, k=64, count=2),
    report=CycleReport(
        total_cycles=624, causes={}, counters={}, macs=960, peak_macs_per_cycle=16.0
    ),
    jobs=2,
    steps=1,
    cycles=sum(STALLS.values()),
    causes={},
    stalls=STALLS,
    activity=Activity(
        slots=1000, macs=12_000, activation_bits=81, weight_bits=4_953, result_bits=2_473
    ),
    traffic=Traffic(
        weight_bytes=600, kv_bytes=20, activation_bytes=247, result_bytes=2470, ideal_bytes=3000
    ),
)


def timing(*phases: PhaseTiming) -> WorkloadTiming:
    return WorkloadTiming(
        workload=Workload(name="w", prefill=tuple(p.gemm for p in phases)),
        prefill=phases,
        decode=(),
        roofline=Roofline(peak_macs_per_cycle=16.0, bytes_per_cycle=4.0),
        clock_mhz=500.0,
    )


def read(text: str) -> list[dict[str, float]]:
    """As SCALE-Sim's own reader splits it: at commas with blanks; one more column, empty."""
    header, *lines = [re.split(r"\s*,\s*", line) for line in text.splitlines()]
    assert all(len(line) == len(header) and line[-1] == "" for line in [header, *lines])
    assert len(set(header)) == len(header)
    return [dict(zip(header[:-1], map(float, line[:-1]), strict=True)) for line in lines]


def reports(timed: WorkloadTiming) -> tuple[list[dict[str, float]], ...]:
    with TemporaryDirectory() as folder:
        paths = write_scalesim(Path(folder) / "run", timed)
        assert [path.name for path in paths] == list(HEADERS)
        texts = [path.read_text() for path in paths]
        assert sorted(paths) == sorted((Path(folder) / "run").iterdir())
    for text, header in zip(texts, HEADERS.values(), strict=True):
        assert text.startswith(header)
        assert all(line.endswith(",") for line in text.splitlines())
    return tuple(read(text) for text in texts)


def test_by_hand(tmp_path: Path) -> None:
    """1251 cycles, of which 7 fill and 4 lie between jobs: 1240 remain."""
    write_scalesim(tmp_path, timing(PHASE, PHASE))
    rows = {name: (tmp_path / name).read_text().splitlines()[1] for name in HEADERS}
    compute = [1251, 1240, 200, 100 * 12_000 / (16 * 1240), 75.0, 100 * 12_000 / (16 * 1070)]
    assert rows["COMPUTE_REPORT.csv"] == ", ".join(map(str, [0, *compute])) + ","
    words = [11 / 1240, 0.5, 0.25, 247 / 1247, 620 / 1247, 2470 / 1247]
    assert rows["BANDWIDTH_REPORT.csv"] == ", ".join(map(str, [0, *words])) + ","
    assert rows["DETAILED_ACCESS_REPORT.csv"] == (
        "0, 0, 1239, 11, 0, 1239, 620, 0, 1239, 310, -7, 1239, 247, -7, 1239, 620, -7, 1239, 2470,"
    )
    assert (tmp_path / "COMPUTE_REPORT.csv").read_text().splitlines()[2].startswith("1, 1251, ")


@settings(deadline=None)
@given(timings())
def test_figures_fit_each_other(timed) -> None:
    compute, bandwidth, access = reports(timed)
    assert len(compute) == len(bandwidth) == len(access) == len(timed.phases)
    for index, phase in enumerate(timed.phases):
        row, speed, count = compute[index], bandwidth[index], access[index]
        assert row["LayerID"] == speed["LayerID"] == count["LayerID"] == index
        stalls, total = phase.stalls, row["Total Cycles"]
        assert row["Total Cycles (incl. prefetch)"] == phase.cycles
        assert total == stalls["compute"] + stalls["drain"] + row["Stall Cycles"]
        assert phase.cycles - total == stalls["fill"] + stalls["host"]
        assert 0 < row["Overall Util %"] <= row["Compute Util %"] * (1 + 1e-9)
        assert row["Compute Util %"] <= row["Mapping Efficiency %"] * (1 + 1e-9) <= 100 * (1 + 1e-8)
        for name, access_name in (("IFMAP", "Reads"), ("Filter", "Reads"), ("OFMAP", "Writes")):
            for memory in ("SRAM", "DRAM"):
                first = count[f"{memory} {name} Start Cycle"]
                span = count[f"{memory} {name} Stop Cycle"] - first + 1
                words = count[f"{memory} {name} {access_name}"]
                assert speed[f"Avg {name.upper()} {memory} BW"] * span == pytest.approx(words)
        dram = sum(count[f"DRAM {n}"] for n in ("IFMAP Reads", "Filter Reads", "OFMAP Writes"))
        assert dram == phase.traffic.total_bytes


def test_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(InputError, match="cannot write"):
        write_scalesim(tmp_path / "file" / "run", timing(PHASE))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
