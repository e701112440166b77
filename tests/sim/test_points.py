"""Many designs at once: the cycles of each alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, BufferConfig
from configs.errors import InputError
from configs.memory import MemoryConfig
from configs.schema import load_axis
from sim import Activity, Traffic, gemm_activity, simulate_gemm, simulate_workload
from sim.points import MISFITS, point_activities, simulate_points, workload_points
from sw.compile import GemmShape, Machine
from sw.formats import get_family
from sw.workloads import Gemm, Workload

from .test_buffers import machines, shapes
from .test_memory import memories
from .test_workload import workloads


@st.composite
def designs(draw) -> dict[str, list[int]]:
    count = draw(st.integers(1, 4))
    rows = [draw(st.integers(1, 6)) for _ in range(count)]
    other = {
        "cols": st.integers(1, 9),
        "lanes": st.integers(1, 9),
        "queue_beats": st.integers(2, 9),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(other))))
    found = {name: [draw(other[name]) for _ in range(count)] for name in chosen}
    found["rows"] = rows
    found["rows_per_dequantizer"] = [draw(st.sampled_from((1, row))) for row in rows]
    return found


@settings(max_examples=200, deadline=None)
@given(machine=machines(), points=designs(), sizes=st.lists(shapes(30), min_size=1, max_size=3))
def test_every_point_is_simulated_as_if_alone(machine: Machine, points, sizes) -> None:
    found = simulate_points(machine, {k: np.array(v) for k, v in points.items()}, sizes, threads=2)
    assert found.shape == (len(points["rows"]), len(sizes))
    for index, row in enumerate(found.tolist()):
        settings_of = {name: values[index] for name, values in points.items()}
        one = replace(machine, accelerator=replace(machine.accelerator, **settings_of))
        assert row == [simulate_gemm(one, shape).total_cycles for shape in sizes]


@settings(max_examples=100, deadline=None)
@given(machine=machines(), points=designs(), sizes=st.lists(shapes(30), min_size=1, max_size=3))
def test_every_point_does_what_it_does_alone(machine: Machine, points, sizes) -> None:
    """Every count of its activity, each shape as often as it is run."""
    repeats = range(1, len(sizes) + 1)
    columns = {k: np.array(v) for k, v in points.items()}
    found = point_activities(machine, columns, sizes, repeats=repeats, threads=1)
    for index in range(len(points["rows"])):
        settings_of = {name: values[index] for name, values in points.items()}
        one = replace(machine, accelerator=replace(machine.accelerator, **settings_of))
        alone = Activity()
        for shape, times in zip(sizes, repeats, strict=True):
            alone += gemm_activity(one, shape, simulate_gemm(one, shape)).times(times)
        row = {name: int(column[index]) for name, column in found.items()}
        fits = (simulate_points(one, {"rows": columns["rows"][index : index + 1]}, sizes) > 0).all()
        assert Activity(**row) == (alone if fits else replace(alone, busy_cycles=-1))


def test_what_does_not_fit_is_marked() -> None:
    array = AcceleratorConfig(
        name="t",
        rows=2,
        cols=2,
        lanes=2,
        buffers=BufferConfig(weight_beats=20, activation_beats=16),
    )
    family = get_family("int4")
    machine = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    points = {"lanes": np.array([1, 2, 4])}
    small, large = (GemmShape(m=1, n=1, k=k, group_size=8) for k in (16, 32))
    huge = GemmShape(m=1 << 20, n=1 << 20, k=1, group_size=1)
    fits = simulate_points(machine, points, [small, large, huge]) > 0
    assert fits.tolist() == [[True, False, False], [True, True, False], [True, True, False]]


@pytest.mark.parametrize(
    "points, message",
    [
        ({}, "one value a point"),
        ({"rows": [1, 2], "cols": [1]}, "one value a point"),
        ({"rows": []}, "rows must be 1 to 256 everywhere"),
        ({"row": [1]}, "unknown setting of the points 'row': did you mean 'rows'"),
        ({"rows": [0]}, "rows must be 1 to 256 everywhere"),
        ({"queue_beats": [1]}, "queue_beats must be 2 to 1024 everywhere"),
        ({"rows": [3], "rows_per_dequantizer": [2]}, "must divide the rows"),
    ],
)
def test_points_that_cannot_be(points, message: str) -> None:
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=2)
    machine = Machine(accelerator=array, family=get_family("int4"), inner_bits=20, outer_bits=34)
    columns = {name: np.array(values, dtype=np.int64) for name, values in points.items()}
    with pytest.raises(InputError, match=message):
        simulate_points(machine, columns, [GemmShape(m=1, n=1, k=1, group_size=1)])


@settings(max_examples=60, deadline=None)
@given(
    machine=machines(),
    points=designs(),
    workload=workloads(),
    memory=st.none() | memories(),
    group_size=st.integers(1, 24),
)
def test_a_workload_takes_what_it_takes_alone(
    machine: Machine, points, workload, memory, group_size
) -> None:
    """Cycles, activity and traffic of both phases; attention on a machine of other formats."""
    cache = replace(machine, family=get_family("int6"))
    columns = {name: np.array(values) for name, values in points.items()}
    options = {"group_size": group_size, "memory": memory, "kv_group_size": 5}
    found = workload_points(machine, columns, workload, kv_machine=cache, threads=1, **options)
    for index in range(len(points["rows"])):
        settings_of = {name: values[index] for name, values in points.items()}
        one, other = (
            replace(m, accelerator=replace(machine.accelerator, **settings_of))
            for m in (machine, cache)
        )
        try:
            alone = simulate_workload(one, workload, kv_machine=other, **options)
        except InputError as error:
            assert found.misfit[index] == MISFITS.index("a buffer is too small for a tile"), error
            continue
        assert found.misfit[index] == 0
        phases = ((found.prefill, alone.prefill), (found.decode, alone.decode))
        for phase, gemms in phases:
            assert phase.cycles[index] == sum(gemm.cycles for gemm in gemms)
            peak = sum(gemm.report.peak_macs_per_cycle * gemm.cycles for gemm in gemms)
            assert phase.peak_macs[index] == pytest.approx(peak, rel=1e-12)
            activity = sum((gemm.activity for gemm in gemms), start=Activity())
            assert {n: int(c[index]) for n, c in phase.activity.items()} == vars(activity)
            traffic = sum((gemm.traffic for gemm in gemms), start=Traffic())
            assert {n: int(c[index]) for n, c in phase.traffic.items()} == vars(traffic)


def test_points_that_cannot_run_a_workload_say_why() -> None:
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=2)
    family = get_family("int4")
    machine = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    points = {"rows": np.array([1, 256]), "cols": np.array([1, 256])}

    def misfit(m: int, n: int, k: int, memory: MemoryConfig | None = None, **changes) -> list[str]:
        gemm = Gemm(name="one", m=m, n=n, k=k)
        small = Gemm(name="two", m=1, n=1, k=1)
        one = replace(machine, accelerator=replace(array, **changes))
        workload = Workload(name="t", prefill=(small, gemm), decode=(), decode_steps=0)
        found = workload_points(one, points, workload, group_size=8, memory=memory)
        return [MISFITS[place] for place in found.misfit]

    assert misfit(1 << 13, 1 << 13, 1) == [MISFITS[1], ""]
    buffers = BufferConfig(weight_beats=20, activation_beats=16)
    assert misfit(1, 1, 64, buffers=buffers) == [MISFITS[2]] * 2
    lpddr4 = load_axis("memory", "lpddr4")
    share = replace(lpddr4.dram.burst_efficiency, value=0.01)
    slow = replace(lpddr4.dram, bus_bits=8, transfers_mt_s=1, burst_efficiency=share)
    sizes = (1 << 12, 1 << 11, 1 << 18)
    assert misfit(*sizes, replace(lpddr4, dram=slow), clock_mhz=5000) == [MISFITS[3], ""]
    assert misfit(*sizes, lpddr4, clock_mhz=5000) == ["", ""]
