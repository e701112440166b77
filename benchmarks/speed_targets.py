"""One measurement of the simulator's speed: ``python -m benchmarks.speed_targets NAME``.

``python -m benchmarks.simulator_speed`` runs each in a process of its own. Prints JSON.
"""

import argparse
import dataclasses
import json
import math
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.cases import PREFILL_TOKENS, block
from benchmarks.peers.ours import forget, unseen
from configs.schema import load_axis
from sim import Rate, Rates, WorkloadTiming, simulate_gemm, simulate_workload, trace_gemm
from sim.points import simulate_points
from sim.trace import KINDS
from sw.compile import GemmShape, Machine
from sw.formats import get_family
from sw.workloads import model_workload

GROUP_SIZE = 128
CORES = 2
POINTS = 50_000
TRACED = GemmShape(m=256, n=4096, k=4096, group_size=GROUP_SIZE)


def _machine(preset: str, **sizes: Any) -> Machine:
    """A preset with the paper's 4-bit mixture; widths do not change the cycles."""
    array = load_axis("accelerator", preset)
    return Machine(
        accelerator=dataclasses.replace(array, **sizes),
        family=get_family("bitmod_fp4"),
        inner_bits=24,
        outer_bits=40,
    )


def _narrow(machine: Machine) -> Rates:
    """The pace of a memory with two thirds of the bandwidth that the array could use."""
    pace = Rate(cycles=(3 * machine.slots, 2))
    return Rates(weights=pace, activations=pace)


def _cpu_s(call: Callable[[Machine], Any], machine: Machine, repeats: int) -> tuple[float, Any]:
    """Median CPU seconds of several calls after a first one, nothing kept, and the last result."""
    call(machine)
    times, result = [], None
    for number in range(repeats):
        fresh = unseen(machine, number)
        forget()
        start = time.process_time()
        result = call(fresh)
        times.append(time.process_time() - start)
    return statistics.median(times), result


def whole_model(attention: str) -> dict[str, Any]:
    """Llama-2-7B, all layers, prefill of 256 tokens and 256 decode steps, in the fast view."""
    described = load_axis("workload", "llama2_7b")
    workload = model_workload(
        described.architecture,
        "llama2_7b",
        prefill_tokens=256,
        decode_steps=256,
        attention="array" if attention == "array" else "host",
    )
    memory = load_axis("memory", "ddr4")

    def simulate(machine: Machine) -> WorkloadTiming:
        return simulate_workload(machine, workload, group_size=GROUP_SIZE, memory=memory)

    seconds, timing = _cpu_s(simulate, _machine("bitmod_32x32x4"), 9)
    return {"cpu_s": seconds, "cycles": timing.total_cycles, "gemms": len(timing.phases)}


def traced() -> dict[str, Any]:
    """One GEMM with its trace on a 16 x 16 x 4 array of 2 slots, stalled by its operands.

    Once, so that the memory of the process is that of one trace.
    """
    machine = _machine("bitmod_32x32x4", rows=16, cols=16)
    supply = _narrow(machine)
    trace_gemm(machine, dataclasses.replace(TRACED, m=1, n=1), supply)  # loads the code
    start = time.process_time()
    report, trace = trace_gemm(machine, TRACED, supply)
    seconds = time.process_time() - start
    waits = [KINDS.index(kind) for kind in ("wait_weights", "wait_activations")]
    stalled = sum(int(trace.events["cycles"][trace.events["kind"] == kind].sum()) for kind in waits)
    return {
        "cpu_s": seconds,
        "slots": machine.slots,
        "cycles": report.total_cycles,
        "stalled_cycles": stalled,
        "events": len(trace.events),
        "cycles_per_s": report.total_cycles / seconds,
        "events_per_s": len(trace.events) / seconds,
    }


def points() -> dict[str, Any]:
    """Designs per minute on two cores, each with the linear layers of one Llama-2-7B block.

    The designs are drawn without repetition. Equal shapes of the block are simulated once.
    ``points_per_minute`` is worked out from CPU time, as if both cores were free all the time;
    ``points_per_minute_wall`` is what remains beside other programs.

    Raises
    ------
    RuntimeError : a design has other cycles than its own machine.
    """
    machine, designs = _machine("bitmod_32x32x4"), _designs(POINTS + 1)
    sizes = dict.fromkeys((gemm.m, gemm.n, gemm.k) for gemm in block(PREFILL_TOKENS))
    shapes = [GemmShape(m=m, n=n, k=k, group_size=GROUP_SIZE) for m, n, k in sizes]
    # the first design loads the code and is compared
    first = {name: values[:1] for name, values in designs.items()}
    alone = simulate_points(machine, first, shapes)[0].tolist()
    built = _machine("bitmod_32x32x4", **{name: int(value[0]) for name, value in first.items()})
    if alone != [simulate_gemm(built, shape).total_cycles for shape in shapes]:
        raise RuntimeError(f"the design {first} has other cycles than its machine")
    rest = {name: values[1:] for name, values in designs.items()}
    times = []
    for _ in range(3):
        began, used = time.perf_counter(), time.process_time()
        cycles = simulate_points(machine, rest, shapes, threads=CORES)
        times.append((time.perf_counter() - began, time.process_time() - used))
    wall_s, cpu_s = min(times)  # the least disturbed: both cores are needed
    return {
        "points": POINTS,
        "shapes": len(shapes),
        "fitting": int((cycles >= 0).all(axis=1).sum()),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "points_per_minute": 60 * CORES * POINTS / cpu_s,
        "points_per_minute_wall": 60 * POINTS / wall_s,
    }


def _designs(count: int) -> dict[str, NDArray[np.int64]]:
    """So many different arrays, up to 64 x 64 x 16."""
    sizes = {"rows": (2, 64), "cols": (2, 64), "lanes": (1, 16), "queue_beats": (2, 16)}
    spans = [high - low + 1 for low, high in sizes.values()]
    drawn = np.random.default_rng(1).choice(math.prod(spans), count, replace=False)
    columns = np.unravel_index(drawn, spans)
    return {
        name: low + column.astype(np.int64)
        for (name, (low, _)), column in zip(sizes.items(), columns, strict=True)
    }


TARGETS: dict[str, Callable[[], dict[str, Any]]] = {
    "whole_model": lambda: whole_model("host"),
    "whole_model_attention": lambda: whole_model("array"),
    "points": points,
    "traced": traced,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=TARGETS)
    options = parser.parse_args()
    found = TARGETS[options.name]()
    print(json.dumps(found | {"cores": os.cpu_count()}, allow_nan=False))


if __name__ == "__main__":
    main()
