"""Soak: over a thousand random jobs on the complete accelerator, RTL = golden = simulator.

Ten machines here, sixty more in ``make agreement``. Every machine runs its jobs back to back. Each
job is simulated fast, stepped and traced, and the RTL must show the figures of all three: total
and every counter, with words that come at once, after idle cycles, or at the pace of a DRAM.
"""

import numpy as np
import pytest

from bitsmith.verify import CaseResult
from sim import simulate_gemm

from .soak import BUFFERS, FLOATS_EVERY, Soak, SoakCase, expected_causes, output_stalls
from .test_random_jobs import assert_agreement

pytestmark = pytest.mark.rtl
MACHINES, JOBS = 10, 110
SWEEP_MACHINES, SWEEP_JOBS = 60, 100
#: jobs of each machine on which the fast view may skip, so that both views are compared in full,
#: and those of them behind a memory
SKIPPING_JOBS, MEMORY_JOBS = 75, 45


def soak(seed: int, jobs: int) -> None:
    """Run the jobs of a seed."""
    drawn = Soak.draw(seed, jobs)
    cases = drawn.cases()
    results = assert_agreement(drawn.machine, cases)
    for case, result in zip(cases, results, strict=True):
        assert_views(case, result)
    assert len(results) == jobs
    shares = jobs / JOBS
    assert sum(case.skips for case in cases) >= int(shares * SKIPPING_JOBS)
    assert sum(case.rates is not None for case in cases) >= int(shares * MEMORY_JOBS)
    causes = {cause: sum(r.causes[cause] for r in results) for cause in results[0].causes}
    never = [cause for cause in expected_causes(drawn.machine) if not causes[cause]]
    assert not never, f"causes that never occurred: {never}"


def assert_views(case: SoakCase, result: CaseResult) -> None:
    """RTL = every view: ``verify`` has compared it with one of them, total and counters."""
    views = case.views()
    for name, report in views.items():
        assert report == views["gaps"], f"{case.name}: {name}"
        figures = (report.total_cycles, report.counters["busy"], report.causes)
        assert figures == (result.rtl_cycles, result.rtl_cycles, result.causes), case.name


@pytest.mark.parametrize("seed", range(MACHINES))
def test_soak(seed: int) -> None:
    soak(seed, JOBS)


@pytest.mark.agreement
@pytest.mark.parametrize("seed", range(MACHINES, MACHINES + SWEEP_MACHINES))
def test_sweep(seed: int) -> None:
    soak(seed, SWEEP_JOBS)


def test_the_budget_is_a_thousand_jobs_and_all_kinds_of_machines() -> None:
    machines = [Soak.draw(seed, 3).machine for seed in range(MACHINES)]
    arrays = [built.accelerator for built in machines]
    assert MACHINES <= 10 and MACHINES * JOBS >= 1000 and SWEEP_MACHINES >= 60
    # both views against the RTL, fast without lists of gaps
    assert MACHINES * SKIPPING_JOBS >= 300 and MACHINES * MEMORY_JOBS >= 300
    found = {None if a.buffers is None else a.buffers.stationary for a in arrays}
    assert found == {None, "weights", "activations"}
    assert sum(a.has_floats for a in arrays) == MACHINES // FLOATS_EVERY
    assert any(a.requantizer for a in arrays) and any(a.programmable for a in arrays)
    assert len({a.streams for a in arrays}) == MACHINES and 2 * len(BUFFERS) <= MACHINES
    assert np.mean([a.rows * a.cols * a.lanes for a in arrays]) > 10


def test_memories_hold_jobs_back() -> None:
    """Of the jobs behind a memory many wait for it, and some do not; every stream does."""
    slower, shares = [], []
    for seed in range(MACHINES):
        for case in (c for c in Soak.draw(seed, JOBS).cases()[:40] if c.rates is not None):
            free = simulate_gemm(case.program.machine, case.program.shape)
            paced = case.views()["fast"]
            slower.append(paced.total_cycles / free.total_cycles)
            shares.append([paced.causes[name] > free.causes[name] for name in free.causes])
    assert np.mean(np.array(slower) > 1.1) > 0.3 and min(slower) < 1.05
    waits = dict(zip(free.causes, np.mean(shares, axis=0), strict=True))
    assert min(waits[name] for name in ("output", "weights", "activations")) > 0.1, waits


def test_every_cause_takes_a_share() -> None:
    """Over the jobs above (by the simulator, which agrees with the RTL on every counter)."""
    shares: dict[str, float] = {}
    stalls = 0
    for seed in range(MACHINES):
        drawn = Soak.draw(seed, JOBS)
        cases = drawn.cases()[::11]
        reports = [simulate_gemm(drawn.machine, c.program.shape, c.gaps) for c in cases]
        total = sum(report.total_cycles for report in reports)
        for cause in reports[0].causes:
            share = sum(report.causes[cause] for report in reports) / total
            shares[cause] = shares.get(cause, 0) + share / MACHINES
        stalls += output_stalls(cases)
    assert min(shares.values()) > 0.02, f"too little of a cause: {shares}"
    assert stalls > 100, "results hardly held the array back"
