"""Many designs at once: what each alone takes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import (
    AcceleratorConfig,
    AccumulatorConfig,
    BufferConfig,
    RequantizerConfig,
    StreamConfig,
)
from configs.schema import load_axis
from costmodel import Technology, cost
from costmodel.clocks import fmax_points
from costmodel.points import PointPrices, Range, cost_points
from sim import Activity, Traffic
from sim.points import point_activities
from sw.compile import GemmShape, Machine, resolve_machine, worst_case_widths
from sw.formats import get_family

SHAPES = [GemmShape(m=5, n=70, k=96, group_size=32), GemmShape(m=1, n=9, k=40, group_size=8)]
SETTINGS = {
    "rows": st.integers(1, 40),
    "cols": st.integers(1, 40),
    "lanes": st.sampled_from((2, 4, 6)),
    "queue_beats": st.sampled_from((2, 4, 9)),
}
SATURATING = AccumulatorConfig(mode="saturate")
KINDS = {
    "plain": ("int4", {}),
    "special values": ("bitmod_fp4", {"programmable": True}),
    "zero points": ("int4", {"zero_point_bits": 4, "pipeline": ("operands", "control")}),
    "saturating": ("ternary", {"adders": "compressor", "inner_accumulator": SATURATING}),
    "buffers": ("int8", {"buffers": BufferConfig(weight_beats=200, activation_beats=100)}),
    "floats": ("bitmod_fp4", {"activation_format": "float16"}),
    "narrow streams": (
        "bitmod_fp4",
        {
            "buffers": BufferConfig(weight_beats=200, activation_beats=100),
            "streams": StreamConfig(weight_bits=64, activation_bits=24, result_bits=40),
        },
    ),
    "requantizer": ("int4", {"requantizer": RequantizerConfig()}),
    "narrow results": ("int4", {"streams": StreamConfig(result_bits=56)}),
}


def machine_of(kind: str) -> Machine:
    name, options = KINDS[kind]
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=4, **options)
    family = get_family(name)
    widths = worst_case_widths(array, family, group_size=32, k=96)
    return resolve_machine(array, family, *widths, group_inputs=32)


@pytest.fixture(scope="module", params=["sg13g2_130nm", "generic_28nm"])
def technology(request) -> Technology:
    return Technology.of(load_axis("technology", request.param))


@st.composite
def designs(draw) -> dict[str, list[int]]:
    count = draw(st.integers(1, 8))
    chosen = draw(st.sets(st.sampled_from(sorted(SETTINGS)), min_size=1))
    found = {name: [draw(SETTINGS[name]) for _ in range(count)] for name in chosen}
    if draw(st.booleans()) and "rows" in found:
        found["rows_per_dequantizer"] = [draw(st.sampled_from((1, r))) for r in found["rows"]]
    return found


@pytest.mark.parametrize("kind", sorted(KINDS))
@settings(max_examples=12, deadline=None)
@given(points=designs(), memory=st.sampled_from((None, "ddr4", "bitmod_ddr4")))
def test_every_point_costs_what_it_costs_alone(kind, technology, points, memory) -> None:
    machine = machine_of(kind)
    columns = {name: np.array(values) for name, values in points.items()}
    activities = point_activities(machine, columns, SHAPES, threads=1)
    behind, traffic, crossed = None, None, None
    if memory is not None:
        behind = load_axis("memory", memory)
        crossed = Traffic(weight_bytes=10**4, kv_bytes=7, activation_bytes=10**3, result_bytes=99)
        traffic = {n: np.full(len(activities["macs"]), v) for n, v in vars(crossed).items()}
    found = cost_points(machine, columns, activities, technology, memory=behind, traffic=traffic)
    for index in range(len(activities["macs"])):
        settings_of = {name: values[index] for name, values in points.items()}
        one = replace(machine, accelerator=replace(machine.accelerator, **settings_of))
        activity = Activity(**{name: int(c[index]) for name, c in activities.items()})
        alone = cost(one, activity, technology, memory=behind, traffic=crossed)
        for name, estimate in (
            ("area_um2", alone.area),
            ("on_chip_energy_pj", alone.energy_at("on_chip")),
            ("dram_energy_pj", alone.energy_at("dram")),
        ):
            ranges: Range = getattr(found, name)
            for limit in ("value", "low", "high"):
                expected = getattr(estimate, limit)
                assert getattr(ranges, limit)[index] == pytest.approx(expected, rel=1e-12, abs=0), (
                    name
                )


def test_some_of_the_points_cost_the_same(technology) -> None:
    machine = machine_of("narrow streams")
    points = {"rows": np.arange(1, 13), "lanes": np.array([2, 4, 6] * 4)}
    activities = point_activities(machine, points, SHAPES, threads=1)
    whole = PointPrices.of(machine, points, technology)
    places = np.array([1, 2, 7, 10])
    some = whole.take(places)
    assert some.area_um2.value.tolist() == whole.area_um2.value[places].tolist()
    part = {name: column[places] for name, column in activities.items()}
    pairs = zip(whole.energies_pj(activities), some.energies_pj(part), strict=True)
    for energies, chosen in pairs:
        assert chosen.high == pytest.approx(energies.high[places], rel=1e-12)


@pytest.mark.parametrize("kind", ["plain", "floats", "requantizer"])
def test_every_point_has_the_clock_that_it_has_alone(kind, technology) -> None:
    """With a requantizer results of many rows and columns are on the slowest path."""
    machine = machine_of(kind)
    rng = np.random.default_rng(5)
    count = 60
    points = {
        "rows": 2 * rng.integers(1, 129, count),
        "cols": rng.integers(1, 257, count),
        "lanes": rng.choice([2, 64], count),
        "queue_beats": rng.choice([2, 9, 1024], count),
        "rows_per_dequantizer": rng.choice([1, 2], count),
    }
    found = fmax_points(machine, points, technology)
    for index in range(count):
        settings_of = {name: int(values[index]) for name, values in points.items()}
        one = replace(machine, accelerator=replace(machine.accelerator, **settings_of))
        alone = technology.fmax_mhz(one)
        for limit in ("value", "low", "high"):
            assert getattr(found, limit)[index] == getattr(alone, limit)
    assert kind != "requantizer" or len(set(found.value.tolist())) > 4
