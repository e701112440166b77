"""Points per minute of ``bitsmith explore``: ``python -m benchmarks.explore_speed``.

Every point is all of Llama-3-8B, prefill and decode steps, behind LPDDR5, with cycles, energy, area
and clock, exactly as :class:`bitsmith.job.Job` of it alone. Two processes share the points, as
workers of a study do. Processor time counts, which other work on the machine does not change much;
wall time is beside it. With ``--peer``, ZigZag and AccelForge take the distinct GEMMs of one point,
on hardware of their own, in the same run. They search mappings; a point here has its schedule, and
shares what the points of a study have in common.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.peers import accelforge, zigzag
from benchmarks.peers.measure import Measurement, row_of
from bitsmith.explore import evaluate
from bitsmith.explore.space import Chunk, Space
from bitsmith.job import Job
from configs.sweep import SweepConfig
from sim import points as sim_points
from sw.workloads import Gemm

#: points per minute on two cores, and how many times less processor time than a peer a point takes
TARGET_PER_MINUTE, TARGET_TIMES = 1e6, 1000
PROCESSES = 2
PEERS: dict[str, Callable[[Sequence[Gemm]], Measurement]] = {
    zigzag.NAME: zigzag.measure,
    accelforge.NAME: accelforge.measure,
}
#: what is timed inside: the part's name, and the function as it is found there
PARTS: dict[str, tuple[Any, str]] = {
    "time: columns of jobs, rates, activity": (evaluate, "workload_points"),
    "time: longest paths": (sim_points, "straight_cycles"),
    "time: recurrences": (sim_points.kernel, "run_jobs"),
    "prices of arrays": (evaluate.PointPrices, "of"),
    "clocks": (evaluate, "fmax_points"),
    "energies": (evaluate, "cost_metrics"),
}
#: parts inside the first one
INSIDE = ("time: longest paths", "time: recurrences")


def space(side: int, lanes: list[int], queues: list[int]) -> Space:
    """Arrays of up to ``side`` rows and columns."""
    sizes = list(range(1, side + 1))
    sweep = SweepConfig(
        name="speed",
        description="",
        base={
            "workload": "llama3_8b",
            "quantization": "bitmod_fp4",
            "accelerator": "bitmod_32x32x4",
            "technology": "generic_28nm",
            "memory": "lpddr5",
        },
        axes={
            "accelerator.lanes": lanes,
            "accelerator.queue_beats": queues,
            "accelerator.rows": sizes,
            "accelerator.cols": sizes,
        },
        objectives=("energy_j", "area_mm2", "latency_s"),
    )
    return Space.of(sweep, Path())


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add up the processor time of every part."""

    def around(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            started = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[part] += time.process_time() - started

        return call

    patches = [patch.object(o, n, around(p, getattr(o, n))) for p, (o, n) in PARTS.items()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def work(asked: Space, chunks: list[Chunk]) -> dict[str, Any]:
    """Evaluate some chunks, after a few points that load what is loaded once."""
    evaluator = evaluate.Evaluator(asked)
    first = chunks[0]
    few = {name: column[:2] for name, column in first.columns.items()}
    evaluator.run(replace(first, numbers=first.numbers[:2], columns=few))
    spent = dict.fromkeys(PARTS, 0.0)
    with timed(spent):
        began, started = time.time(), time.process_time()
        feasible = sum(int(evaluator.run(chunk).feasible.sum()) for chunk in chunks)
        return {
            "points": sum(map(len, chunks)),
            "feasible": feasible,
            "cpu_s": time.process_time() - started,
            "wall": (began, time.time()),
            "spent_s": spent,
        }


def measure(side: int, lanes: list[int], queues: list[int]) -> dict[str, Any]:
    """Times of all points on two processes."""
    asked = space(side, lanes, queues)
    chunks = list(asked.chunks())
    shares = [chunks[i::PROCESSES] for i in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        done = pool.starmap(work, [(asked, share) for share in shares if share])
    points, cpu_s = sum(d["points"] for d in done), sum(d["cpu_s"] for d in done)
    wall_s = max(d["wall"][1] for d in done) - min(d["wall"][0] for d in done)
    spent = {part: sum(d["spent_s"][part] for d in done) for part in PARTS}
    spent["time: columns of jobs, rates, activity"] -= sum(spent[part] for part in INSIDE)
    spent["all else"] = cpu_s - sum(spent.values())
    return {
        "points": points,
        "feasible": sum(d["feasible"] for d in done),
        "processes": len(done),
        "points_per_minute": round(60 * PROCESSES * points / cpu_s),
        "points_per_minute_wall": round(60 * points / wall_s),
        "target_per_minute": TARGET_PER_MINUTE,
        "load": os.getloadavg()[0],
        "cpu_us_per_point": round(cpu_s / points * 1e6, 2),
        "cpu_us": {part: round(s / points * 1e6, 2) for part, s in spent.items()},
    }


def distinct_gemms() -> list[Gemm]:
    """The GEMMs of one point, prefill and decode, each size once."""
    asked = space(1, [4], [4])
    workload = Job(config=asked.config(asked.settings(0))).timed_workload
    distinct: dict[tuple[int, int, int], Gemm] = {}
    for gemm in (*workload.prefill, *workload.decode):
        distinct.setdefault((gemm.m, gemm.n, gemm.k), gemm)
    return [replace(gemm, name=f"gemm_{i}") for i, gemm in enumerate(distinct.values())]


def peers(cpu_us_per_point: float) -> dict[str, Any]:
    """Rows of the peers on the GEMMs of one point; ``times`` leaves out what they import."""
    gemms = distinct_gemms()
    rows = [row_of(name, "point", measure_peer, gemms) for name, measure_peer in PEERS.items()]
    for row in rows:
        if row["measured"]:
            row["times"] = round(row["work_s"] * 1e6 / cpu_us_per_point)
    return {"peer_gemms": len(gemms), "peers": rows, "target_times": TARGET_TIMES}


def print_peers(found: dict[str, Any]) -> None:
    """A line for every peer."""
    for row in found["peers"]:
        if not row["measured"]:
            print(f"{row['tool']}: {row['reason']}")
            continue
        print(
            f"{row['tool']}: {row['work_s']:.2f} s of processor time (and {row['import_s']:.2f} s "
            f"of imports) for the {found['peer_gemms']} distinct GEMMs of one point, "
            f"{row['cycles']:,} cycles; {row['times']:,} times as long "
            f"(target {found['target_times']:,})"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=96, help="largest number of rows and columns")
    parser.add_argument("--lanes", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--queues", type=int, nargs="+", default=[4, 8], help="beats of a queue")
    parser.add_argument(
        "--peer", action="store_true", help="ZigZag and AccelForge too; installs them once"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.side, options.lanes, options.queues)
    if options.peer:
        found |= peers(found["cpu_us_per_point"])
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{found['points']:,} points: {found['points_per_minute']:,} per minute by the processor "
        f"time of {PROCESSES} cores (target {TARGET_PER_MINUTE:,.0f}), "
        f"{found['points_per_minute_wall']:,} by wall time at a load of {found['load']:.1f}; "
        f"{found['cpu_us_per_point']} us of processor time each"
    )
    for part, us in found["cpu_us"].items():
        print(f"  {us:8.2f} us  {part}")
    if options.peer:
        print_peers(found)


if __name__ == "__main__":
    main()
