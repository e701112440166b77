"""Speed of the cycle simulator against the batch RTL: ``python -m benchmarks.simulator``.

Both take the same GEMM, and their cycle counts are compared first. Building the RTL is not timed;
of each, the best of several runs counts.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.schema import AcceleratorConfig
from hw.benches.batch import BatchBench
from sim import simulate_gemm
from sw.compile import GemmProgram, GemmShape, Machine
from sw.formats import get_family

SHAPE = GemmShape(m=32, n=128, k=512, group_size=64)
_SEED = 1


def _machine() -> Machine:
    array = AcceleratorConfig(name="measured_4x4x4", rows=4, cols=4, lanes=4)
    return Machine(accelerator=array, family=get_family("bitmod_fp4"), inner_bits=20, outer_bits=34)


def _program(machine: Machine) -> GemmProgram:
    """Random codes and activations, every code and format id in use."""
    random = np.random.default_rng(_SEED)
    groups = -(-SHAPE.k // SHAPE.group_size)
    family = machine.family
    low, high = machine.accelerator.integer_range
    return GemmProgram(
        machine=machine,
        name="benchmark",
        group_size=SHAPE.group_size,
        codes=random.integers(0, 1 << family.bits, (SHAPE.n, SHAPE.k), dtype=np.uint8),
        format_ids=random.integers(0, len(family.members), (SHAPE.n, groups), dtype=np.uint8),
        scale_codes=random.integers(1, 256, (SHAPE.n, groups), dtype=np.uint8),
        activations=random.integers(low, high + 1, (SHAPE.m, SHAPE.k)),
    )


def _best_s(run: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(repeats: int) -> dict[str, Any]:
    """Cycles per second of RTL and simulator, and their ratios.

    Raises
    ------
    RuntimeError : RTL and simulator disagree about the cycles.
    """
    machine = _machine()
    program = _program(machine)
    with BatchBench(machine) as bench:
        rtl = bench.run(program).total_cycles
        cycles = simulate_gemm(machine, SHAPE).total_cycles
        if not rtl == cycles == simulate_gemm(machine, SHAPE, stepped=True).total_cycles:
            raise RuntimeError(f"the RTL took {rtl} cycles, the simulator says {cycles}")
        rtl_s = _best_s(lambda: bench.run(program), repeats)
    fast_s = _best_s(lambda: simulate_gemm(machine, SHAPE), repeats)
    stepped_s = _best_s(lambda: simulate_gemm(machine, SHAPE, stepped=True), repeats)
    return {
        "array": machine.accelerator.name,
        "m": SHAPE.m,
        "n": SHAPE.n,
        "k": SHAPE.k,
        "cycles": cycles,
        "rtl_cycles_per_s": round(cycles / rtl_s),
        "stepped_cycles_per_s": round(cycles / stepped_s),
        "simulator_cycles_per_s": round(cycles / fast_s),
        "stepped_over_rtl": round(rtl_s / stepped_s, 2),
        "simulator_over_rtl": round(rtl_s / fast_s, 2),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(max(1, options.repeats))
    if options.json:
        print(json.dumps(found, indent=1, allow_nan=False))
        return
    print(
        f"{found['array']}, M x N x K = {found['m']} x {found['n']} x {found['k']}: "
        f"{found['cycles']:,} cycles, RTL and simulator alike"
    )
    for label, key in (
        ("batch RTL", "rtl"),
        ("simulator, every tile", "stepped"),
        ("simulator", "simulator"),
    ):
        ratio = "" if key == "rtl" else f"  {found[f'{key}_over_rtl']:>8,.1f} x the RTL"
        print(f"{label:24}{found[f'{key}_cycles_per_s']:>14,} cycles/s{ratio}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
