"""Many designs at once: what each alone takes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, AccumulatorConfig, BufferConfig
from configs.schema import load_axis
from costmodel import Technology, cost
from costmodel.points import Range, cost_points
from sim import Activity
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
@given(points=designs())
def test_every_point_costs_what_it_costs_alone(kind, technology, points) -> None:
    machine = machine_of(kind)
    columns = {name: np.array(values) for name, values in points.items()}
    activities = point_activities(machine, columns, SHAPES, threads=1)
    found = cost_points(machine, columns, activities, technology)
    for index in range(len(activities["macs"])):
        settings_of = {name: values[index] for name, values in points.items()}
        one = replace(machine, accelerator=replace(machine.accelerator, **settings_of))
        activity = Activity(**{name: int(c[index]) for name, c in activities.items()})
        alone = cost(one, activity, technology)
        for name, estimate in (
            ("area_um2", alone.area),
            ("on_chip_energy_pj", alone.energy_at("on_chip")),
            ("dram_energy_pj", alone.energy_at("dram")),
        ):
            ranges: Range = getattr(found, name)
            for limit in ("value", "low", "high"):
                expected = getattr(estimate, limit)
                assert getattr(ranges, limit)[index] == pytest.approx(expected, rel=1e-9), name
