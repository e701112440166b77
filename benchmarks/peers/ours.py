"""The simulator on the same GEMMs: ``python -m benchmarks.peers.ours CASE``, prints JSON.

In a process of its own, so that its memory and its imports can be measured. Nothing is carried
over between repetitions: each has a machine of its own, and the caches of functions below ``sim``
and ``sw.compile`` are emptied before it. The tables of the number format stay: they belong to
the machine, not to the simulation.
"""

import argparse
import dataclasses
import functools
import gc
import json
import statistics
import time
from typing import Any

from configs.figure import Figure
from configs.memory import DramConfig, MemoryConfig
from configs.schema import load_axis
from sim import simulate_workload
from sw.compile import Machine
from sw.formats import get_family
from sw.workloads import Gemm, Workload

from .cases import cases

GROUP_SIZE = 128
DRAM_BYTES_PER_CYCLE = 64
_FORGOTTEN = ("sim.", "sw.compile.")


def machine() -> Machine:
    """32 x 32 PEs of 4 lanes, 4 slots for INT8: 1024 products per cycle."""
    return Machine(
        accelerator=load_axis("accelerator", "bitmod_32x32x4"),
        family=get_family("int8"),
        inner_bits=24,
        outer_bits=40,
    )


def memory(clock_mhz: float) -> MemoryConfig:
    """A DRAM that delivers 64 bytes in every cycle."""
    whole = Figure(value=1.0, kind="quoted", source="64 B/cycle are a condition of the comparison")
    none = Figure(value=0.0, kind="quoted", source="energy is not part of the comparison")
    dram = DramConfig(
        bus_bits=8 * DRAM_BYTES_PER_CYCLE,
        transfers_mt_s=clock_mhz,
        burst_efficiency=whole,
        refresh_efficiency=whole,
        energy_pj_per_bit=none,
    )
    return MemoryConfig(name="flat_64", description="64 B/cycle", dram=dram)


def forget() -> None:
    """Empty the caches of the simulator's functions."""
    for found in gc.get_objects():
        if isinstance(found, functools._lru_cache_wrapper):
            module = getattr(found, "__module__", None) or ""
            if f"{module}.".startswith(_FORGOTTEN):
                found.cache_clear()


def unseen(template: Machine, number: int) -> Machine:
    """An equal machine that no cache knows."""
    array = dataclasses.replace(template.accelerator, name=f"measured_{number}")
    return dataclasses.replace(template, accelerator=array)


def _smaller(workload: Workload) -> Workload:
    """GEMMs of other sizes, to load code before the measurement."""
    gemms = tuple(
        Gemm(name=g.name, m=g.m + 1, n=g.n // 2 + 1, k=g.k // 2 + 1) for g in workload.prefill
    )
    return Workload(name="warm_up", prefill=gemms)


def measure(name: str, repeats: int) -> dict[str, Any]:
    """CPU seconds of one case; ``repeats`` 0 makes one cold call only.

    Returns ``import_s``, ``machine_s`` (resolving formats and terms), ``cold_s`` (first call of
    the process) or ``warm_s`` (median of the repetitions), ``cycles``.

    Raises
    ------
    RuntimeError : repetitions disagree about the cycles.
    """
    import_s = time.process_time()
    workload = cases()[name].workload
    began = time.process_time()
    built = machine()
    machine_s = time.process_time() - began
    dram = memory(built.accelerator.clock_mhz)

    def once(number: int, work: Workload) -> tuple[float, int]:
        fresh = unseen(built, number)
        forget()
        gc.collect()
        start = time.process_time()
        timing = simulate_workload(fresh, work, group_size=GROUP_SIZE, memory=dram)
        return time.process_time() - start, timing.total_cycles

    found: dict[str, Any] = {"case": name, "import_s": import_s, "machine_s": machine_s}
    if not repeats:
        found["cold_s"], found["cycles"] = once(0, workload)
        return found
    once(0, _smaller(workload))
    runs = [once(1 + i, workload) for i in range(repeats)]
    if len({cycles for _, cycles in runs}) > 1:
        raise RuntimeError("repetitions disagree about the cycles")
    times = [seconds for seconds, _ in runs]
    found |= {"warm_s": statistics.median(times), "first_s": times[0], "cycles": runs[0][1]}
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", choices=sorted(cases()))
    parser.add_argument("--repeats", type=int, default=20, help="0: one cold call")
    options = parser.parse_args()
    print(json.dumps(measure(options.case, options.repeats), allow_nan=False))


if __name__ == "__main__":
    main()
