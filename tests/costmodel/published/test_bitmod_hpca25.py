"""Energy of the published simulator: its 60 figures, a second implementation, what is corrected."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodel.published import PointEnergy, point_energy
from sim.published import VARIANTS, Modelling, Point, published_rows, time_point
from sim.published.points import point_of
from tests.sim.published.second import evaluate
from tests.sim.published.test_bitmod_hpca25 import ids, of, rows

ROWS = published_rows()


def energy(point: Point, modelling: Modelling) -> PointEnergy:
    return point_energy(point, time_point(point, modelling), modelling)


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_published_energies(row) -> None:
    """Published in whole uJ, some cut off and some rounded."""
    found = energy(row.point, VARIANTS["2024"])
    assert abs(found.onchip_uj - row.onchip_uj) < 1
    assert abs(found.total_uj - row.total_uj) < 1


@settings(max_examples=100, deadline=None)
@given(row=rows(), variant=st.sampled_from(["2024", "2025"]))
def test_equals_a_second_implementation(row: dict, variant: str) -> None:
    if variant == "2024":
        row["batch"] = 1
    point = point_of(row, "row", Path())
    _, onchip, total = evaluate(row, point.model, variant)
    found = energy(point, VARIANTS[variant])
    assert found.onchip_uj == pytest.approx(onchip, rel=1e-9)
    assert found.total_uj == pytest.approx(total, rel=1e-9)


def test_full_width_reads() -> None:
    """Half-width buffers of bit-serial arrays are read twice a step, four times for INT8 values."""
    full, linear = Modelling(full_width=True), Modelling()
    for name in ("bitmod-lossy", "bitmod-lossless"):
        for phase in ("prefill", "decode"):
            point = of(name, phase)
            ratio = energy(point, full).sram_read_pj / energy(point, linear).sram_read_pj
            assert ratio == pytest.approx(2)
    for phase in ("prefill", "decode"):
        assert energy(of("fp16", phase), full) == energy(of("fp16", phase), linear)
        assert energy(of("ant", phase), full) == energy(of("ant", phase), linear)
    point = of("bitmod-lossy", "decode")
    timing = time_point(point, Modelling(per_head=True))
    scores = replace(timing, operations=timing.operations[-2:-1])
    buffers = point.weight_buffer, point.activation_buffer
    assert [buffer.width_bits for buffer in buffers] == [512, 512]
    # 4 lanes x 64 rows x 8 bits, 4 lanes x 16 columns x 16 bits
    expected = 32 * scores.operations[0].steps * (4 * buffers[0].read_pj + 2 * buffers[1].read_pj)
    found = point_energy(point, scores, Modelling(per_head=True, full_width=True))
    assert found.sram_read_pj == pytest.approx(expected)


def test_elements_lie_in_nibbles() -> None:
    """5.5 bits take 8: 32 rows need 256 bits of a buffer that is 192 wide."""
    point = of("ant", "prefill")
    point = replace(point, weight_buffer=replace(point.weight_buffer, width_bits=192))
    reads = [energy(point, Modelling(full_width=full)).sram_read_pj for full in (False, True)]
    once = point.weight_buffer.read_pj, point.activation_buffer.read_pj
    assert reads[1] / reads[0] == pytest.approx((2 * once[0] + once[1]) / sum(once))


@pytest.mark.parametrize(
    ("accelerator", "synthesised", "encoder"),
    [
        ("fp16", 0.77, 0),
        ("ant", 0.613, 0),
        ("olive", 0.613, 0),
        ("bitmod-lossy", 0.586, 1.86 / 64),
        ("bitmod-lossless", 0.586, 1.86 / 64),
    ],
)
def test_pe_energies(accelerator: str, synthesised: float, encoder: float) -> None:
    point = of(accelerator, "decode")
    plain = energy(point, Modelling()).pe_pj
    corrected = energy(point, Modelling(synthesised_pe=True, encoder=True)).pe_pj
    assert corrected / plain == pytest.approx((synthesised + encoder) / point.pe_pj)


def test_table_x() -> None:
    """A tile of 8 x 8 PEs: 37.5 mW, and 39.36 mW with its encoder."""
    point = replace(of("bitmod-lossy", "prefill"), rows=8, cols=8)
    timing = time_point(point, Modelling())
    cycles = sum(t.operation.count * t.compute_cycles for t in timing.operations)
    one = point_energy(point, timing, Modelling(synthesised_pe=True)).pe_pj / cycles / 1.5
    both = Modelling(synthesised_pe=True, encoder=True)
    assert one == pytest.approx(37.5, abs=0.01)
    assert point_energy(point, timing, both).pe_pj / cycles / 1.5 == pytest.approx(39.36, abs=0.01)


@pytest.mark.parametrize("accelerator", ["fp16", "ant", "bitmod-lossy"])
def test_accumulators(accelerator: str) -> None:
    """down_proj of Llama-2-7B, one token: 64 x 16 outputs per tile, 64 tiles, 86 groups."""
    point = of(accelerator, "decode")
    timing = time_point(point, Modelling())
    (down,) = (t for t in timing.operations if t.operation.name == "down")
    one = replace(timing, operations=(down,))
    found = point_energy(point, one, Modelling(accumulators=True)).scaling_pj
    outputs = 32 * 64 * 64 * 16
    per_output = {"fp16": 0.0, "ant": 0.49, "bitmod-lossy": 0.49 + 86 * 0.28}[accelerator]
    assert found == pytest.approx(1.5 * outputs * per_output)
    assert point_energy(point, one, Modelling()).scaling_pj == 0


def test_the_sum_is_the_total() -> None:
    every = PointEnergy(pe_pj=1e6, scaling_pj=2e6, sram_read_pj=3e6, sram_write_pj=4e6, dram_pj=5e6)
    assert (every.onchip_uj, every.total_uj) == (10, 15)
    json.dumps(every.total_uj)
