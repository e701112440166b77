"""A whole workload in time: every GEMM a job, or several, one after another.

The fast view: all jobs of a workload in one call of the recurrences, equal ones once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.memory import MemoryConfig
from configs.timing import CAUSES, COUNTER_BITS, REGISTER_CYCLES
from sw.compile import GemmShape, Machine
from sw.workloads import Workload

from . import kernel, state
from .activity import jobs_activity
from .array import CycleReport
from .jobs import Column, Jobs
from .memory import Supply
from .passes import GemmKind, phase_entries
from .results import PhaseTiming, Roofline, Traffic, WorkloadTiming

#: cycles from one job's last result to the acceptance of the next job: its start bit is written
#: when ``busy`` has fallen
JOB_GAP_CYCLES = REGISTER_CYCLES
#: cycles from which on the RTL's counters wrap
COUNTED = 1 << COUNTER_BITS


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedJobs:
    """Jobs and their cycles.

    Attributes
    ----------
    supply : the jobs, and the memory behind them.
    found : as :func:`sim.kernel.run_jobs` fills it, int64 (jobs, FOUND).
    free : total cycles, causes ... with words that come at once.
    """

    supply: Supply
    found: NDArray[np.int64]
    free: NDArray[np.int64]

    @classmethod
    def run(cls, jobs: Jobs, memory: MemoryConfig | None) -> "TimedJobs":
        """Simulate."""
        supply = Supply(jobs=jobs, memory=memory)
        free = _run(jobs, Supply(jobs=jobs, memory=None).rates)
        return cls(supply=supply, found=_run(jobs, supply.rates) if memory else free, free=free)

    @property
    def cycles(self) -> Column:
        """Total cycles of each job."""
        return self.found[:, state.F_TOTAL]

    def report(self, index: int) -> CycleReport:
        """The report of one job."""
        jobs, found = self.supply.jobs, self.found[index].tolist()
        total = found[state.F_TOTAL]
        return CycleReport(
            total_cycles=total,
            causes=dict(zip(CAUSES, found[state.F_CAUSES :], strict=True)),
            counters={
                "busy": total,
                "tiles": int(jobs.tiles[index]),
                **{name: int(words[index]) for name, words in jobs.words.items()},
            },
            macs=int(jobs.macs[index]),
            peak_macs_per_cycle=jobs.peak_macs_per_cycle,
            fill=found[state.F_FIRST] - 1,
            drain=total - found[state.F_LAST],
        )

    def causes(self, repeats: Column) -> dict[str, int]:
        """Cycles by cause, of all jobs, each ``repeats`` times."""
        totals = repeats @ self.found[:, state.F_CAUSES :]
        return dict(zip(CAUSES, totals.tolist(), strict=True))

    def stalls(self, repeats: Column) -> dict[str, int]:
        """Cycles by :data:`sim.results.STALLS`, of all jobs, each ``repeats`` times."""
        total, first, last, *causes = (int(x) for x in repeats @ self.free)
        jobs = int(repeats.sum())
        cause = dict(zip(CAUSES, causes, strict=True))
        fill, drain = first - jobs, total - last
        return {
            "compute": cause["compute"],
            "dequantizer": cause["dequantizer"],
            "operands": cause["weights"] + cause["activations"] - fill,
            "output": cause["output"] - drain,
            "fill": fill,
            "drain": drain,
            "dram": int(repeats @ self.cycles) - total,
            "host": jobs * JOB_GAP_CYCLES,
        }

    def traffic(self, repeats: Column, *, cached: bool) -> Traffic:
        """Bytes of all jobs, each ``repeats`` times; ``cached``: the (N, K) matrix is a cache."""
        columns = self.supply.traffic_columns(cached=cached)
        return Traffic(**{name: int(repeats @ column) for name, column in columns.items()})


def _run(jobs: Jobs, rates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Results of all jobs; those that differ in nothing that takes time are run once."""
    wanted = np.hstack([jobs.parameters, rates.reshape(len(jobs), -1)])
    _, chosen, places = np.unique(wanted, axis=0, return_index=True, return_inverse=True)
    found = np.zeros((len(chosen), state.FOUND), dtype=np.int64)
    kernel.run_jobs(jobs.parameters[chosen], rates[chosen], found)
    return found[places.ravel()]


def simulate_workload(
    machine: Machine,
    workload: Workload,
    *,
    group_size: int | Mapping[str, int],
    memory: MemoryConfig | None = None,
    kv_machine: Machine | None = None,
    kv_group_size: int = 128,
) -> WorkloadTiming:
    """Cycles of every GEMM of a workload.

    Parameters
    ----------
    machine : the machine.
    workload : GEMMs in the order of execution, one job each; equal ones are simulated once.
    group_size : weights that share a scale, of all layers or by layer name.
    memory : what stands behind the streams; without it words come at once.
    kv_machine : the same array with the decoders for keys and values, where their format is not of
        the machine's family; bitsmith's RTL decodes one family, so those jobs are of another build.
    kv_group_size : keys or values that share a scale.

    Raises
    ------
    InputError : a layer without group size, or a GEMM that the machine cannot run.
    """
    cache_machine = kv_machine or machine
    entries = [e for phase in phase_entries(workload, group_size, kv_group_size) for e in phase]
    timed = _time(dict.fromkeys(e.kind for e in entries), machine, cache_machine, memory)
    verified = cache_machine.family.name == machine.family.name
    once = {
        (steps, kind): _figures(kind, steps, *timed[kind], verified=verified)
        for steps, kind in dict.fromkeys((e.steps, e.kind) for e in entries)
    }
    phases = tuple(
        PhaseTiming(gemm=e.gemm, steps=e.steps, **once[e.steps, e.kind]) for e in entries
    )
    return WorkloadTiming(
        workload=workload,
        prefill=phases[: len(workload.prefill)],
        decode=phases[len(workload.prefill) :],
        roofline=_roofline(machine, phases, memory),
        clock_mhz=machine.accelerator.clock_mhz,
    )


def _roofline(
    machine: Machine, phases: tuple[PhaseTiming, ...], memory: MemoryConfig | None
) -> Roofline:
    """The limits of a machine; of several formats the highest peak."""
    one = Jobs.of(machine, GemmShape(m=1, n=1, k=1, group_size=1))
    return Roofline(
        peak_macs_per_cycle=max(phase.report.peak_macs_per_cycle for phase in phases),
        bytes_per_cycle=Supply(jobs=one, memory=memory).bytes_per_cycle,
    )


def _time(
    wanted: dict[GemmKind, None],
    machine: Machine,
    cache_machine: Machine,
    memory: MemoryConfig | None,
) -> dict[GemmKind, tuple[TimedJobs, Column]]:
    """Timed jobs of every kind, and the passes of each."""
    timed = {}
    for cached, built in ((False, machine), (True, cache_machine)):
        shapes = {kind: kind.shapes for kind in wanted if kind.cached == cached}
        if not shapes:
            continue
        m, n, k, group_size = np.concatenate([found for found, _ in shapes.values()]).T.copy()
        jobs = Jobs(machine=built, m=m, n=n, k=k, group_size=group_size)
        everything, start = TimedJobs.run(jobs, memory), 0
        for kind, (found, passes) in shapes.items():
            repeats = np.zeros(len(jobs), dtype=np.int64)
            repeats[start : start + len(found)] = passes
            timed[kind] = everything, repeats
            start += len(found)
    return timed


def _figures(
    kind: GemmKind, steps: int, timed: TimedJobs, passes: Column, *, verified: bool
) -> dict[str, Any]:
    """All that :class:`PhaseTiming` says beside the GEMM's name."""
    repeats = passes * kind.jobs_a_pass(steps)
    stalls = timed.stalls(repeats)
    return {
        "report": timed.report(int(np.argmax(passes > 0))),
        "jobs": int(repeats.sum()),
        "cycles": sum(stalls.values()),
        "causes": timed.causes(repeats),
        "stalls": stalls,
        "activity": jobs_activity(timed.supply.jobs, timed.cycles, repeats),
        "traffic": timed.traffic(repeats, cached=kind.cached),
        "verified": (verified or not kind.cached)
        and int(timed.cycles[repeats > 0].max()) < COUNTED,
    }
