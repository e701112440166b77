"""The speed benchmarks: what is timed does the work, limits are read the right way round."""

import functools
import json
import sys

import numpy as np
import pytest

from benchmarks import simulator_speed, speed_targets
from benchmarks.peers import ours
from benchmarks.peers.cases import cases
from benchmarks.peers.measure import PeerError, Usage
from sim import simulate_workload


def test_repetitions_simulate_the_case() -> None:
    machine = ours.machine()
    timing = simulate_workload(
        machine,
        cases()["q_proj_decode"].workload,
        group_size=ours.GROUP_SIZE,
        memory=ours.memory(machine.accelerator.clock_mhz),
    )
    warm, cold = ours.measure("q_proj_decode", 3), ours.measure("q_proj_decode", 0)
    assert warm["cycles"] == cold["cycles"] == timing.total_cycles
    assert timing.roofline.bytes_per_cycle == pytest.approx(64)
    assert timing.roofline.peak_macs_per_cycle == 1024
    assert warm["warm_s"] > 0 and cold["cold_s"] > 0


def test_repetitions_that_disagree_are_refused(monkeypatch) -> None:
    calls = []

    class Timing:
        @property
        def total_cycles(self) -> int:
            return len(calls)

    def other(machine: object, workload: object, **settings: object) -> Timing:
        calls.append((machine, workload))
        return Timing()

    forgotten = []
    monkeypatch.setattr(ours, "simulate_workload", other)
    monkeypatch.setattr(ours, "forget", lambda: forgotten.append(len(calls)))
    with pytest.raises(RuntimeError, match="disagree"):
        ours.measure("q_proj_decode", 2)
    assert forgotten == [0, 1, 2]
    # no call meets the machine of another, and the first does not know the sizes of the case
    machines = [machine for machine, _ in calls]
    assert all(a != b for i, a in enumerate(machines) for b in machines[:i])
    sizes = [{(g.m, g.n, g.k) for g in work.prefill} for _, work in calls]
    assert sizes[1] == sizes[2] and not sizes[0] & sizes[1]


def test_caches_of_the_simulator_are_emptied(monkeypatch) -> None:
    def cached(module: str) -> functools._lru_cache_wrapper:
        def double(value: int) -> int:
            return 2 * value

        double.__module__ = module
        return functools.lru_cache(double)

    kept, forgotten = cached("simple"), (cached("sim"), cached("sim.a"), cached("sw.compile.b"))
    for function in (kept, *forgotten):
        function(1)
    ours.forget()
    assert kept.cache_info().currsize == 1
    assert [function.cache_info().currsize for function in forgotten] == [0, 0, 0]


@pytest.mark.parametrize(
    ("most", "limit", "value", "met"),
    [
        (True, 2.0, 1.9, True),
        (True, 2.0, 2.0, False),
        (False, 2.0, 2.0, True),
        (False, 2.0, 1.9, False),
        (False, None, 1.0, None),
    ],
)
def test_limits(most: bool, limit: float | None, value: float, met: bool | None) -> None:
    target = simulator_speed.Target(
        measurement="m", label="l", figure="f", unit="u", limit=limit, most=most
    )
    assert target.met(value) is met


def test_a_measurement_that_fails_is_said(monkeypatch, capsys) -> None:
    def pretend(command: list[str], folder: object) -> Usage:
        if command[-1] == "points":
            raise PeerError("'python' ended with 1: no points")
        found = {"cpu_s": 0.01, "cycles_per_s": 2e7, "events_per_s": 1.0}
        return Usage(cpu_s=1.0, wall_s=1.0, peak_mb=600.0, output=f"noise\n{json.dumps(found)}\n")

    monkeypatch.setattr(simulator_speed, "run", pretend)
    monkeypatch.setattr(sys, "argv", ["simulator_speed"])
    simulator_speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2] for line in lines if " met " in line or " missed " in line][:3] == [
        *("met", "met", "missed")
    ]
    assert any(line.endswith("not measured: 'python' ended with 1: no points") for line in lines)
    assert lines[-1] == "memory: 600 MB at most (target < 500 MB: missed)"


def test_every_target_has_its_measurement() -> None:
    assert {target.measurement for target in simulator_speed.TARGETS} == set(speed_targets.TARGETS)


def test_the_traced_job_stalls(monkeypatch) -> None:
    small = speed_targets.TRACED.__class__(m=32, n=64, k=256, group_size=128)
    monkeypatch.setattr(speed_targets, "TRACED", small)
    found = speed_targets.traced()
    assert found["slots"] == 2
    # 8 tiles of 64 chunks, 2 slots each, one cycle late each
    assert found["cycles"] > found["stalled_cycles"] + 8 * 64 * 2
    assert found["stalled_cycles"] > 0.9 * 8 * 64
    assert found["events"] > 0.9 * 8 * 64


def test_points_are_different_designs_and_real_ones(monkeypatch) -> None:
    monkeypatch.setattr(speed_targets, "POINTS", 40)
    found = speed_targets.points()
    assert found["points"] == found["fitting"] == 40
    assert found["shapes"] == 3
    assert found["points_per_minute"] == pytest.approx(2 * 60 * 40 / found["cpu_s"])
    assert found["points_per_minute_wall"] == pytest.approx(60 * 40 / found["wall_s"])
    designs = speed_targets._designs(500)
    rows = {tuple(int(column[i]) for column in designs.values()) for i in range(500)}
    assert len(rows) == 500
    monkeypatch.setattr(speed_targets, "simulate_points", lambda *a, **k: np.array([[1, 2, 3]]))
    with pytest.raises(RuntimeError, match="other cycles"):
        speed_targets.points()
