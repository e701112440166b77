"""Designs that ``benchmarks.float_pe`` measures: they compute what their names say."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from benchmarks import float_points
from benchmarks.float_mac import RoundingMac
from benchmarks.float_pe import setting_name, shares, size
from hw.pe import FloatSum
from sw.formats import float_layout

pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")

LAYOUT = float_layout("float16")
#: float16's own significand with a sign, and room for every exponent
FLOAT16 = FloatSum(bits=12, exponent_bits=7, rounding="nearest_even", normalization="full")


def taken_apart(value: np.float16) -> dict[str, int]:
    parts = LAYOUT.take_apart(value.view(np.uint16))
    return {
        "significand": int(parts.significand),
        "negative": int(parts.negative),
        "place": int(parts.place),
    }


@pytest.mark.parametrize("spread", [1, 40])
def test_rounding_mac_is_numpy_float16(spread):
    """Multiplication and addition of numpy's float16, normal products."""
    rng = np.random.default_rng(spread)
    size = 400
    weights, inputs = (
        np.float16(rng.normal(size=size) * rng.choice([1, spread], size) + 0.01) for _ in range(2)
    )
    inputs[::7] = 0
    # halfway cases
    inputs[::3] = np.float16(1.5)
    ends = rng.random(size) < 0.1
    mac = RoundingMac(layout=LAYOUT, floating=FLOAT16)
    found: list[float] = []

    async def bench(ctx):
        for step in range(size + 1):
            if step < size:
                ctx.set(mac.weight, taken_apart(weights[step]))
                ctx.set(mac.activation, taken_apart(inputs[step]))
            ctx.set(mac.last, int(step > 0 and ends[step - 1]))
            if step:
                total = ctx.get(mac.group_sum)
                found.append(total.mantissa * 2.0 ** (total.exponent + 2 * LAYOUT.unit_exponent))
            await ctx.tick()

    simulator = Simulator(mac)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    total, expected = np.float16(0), []
    for step in range(size):
        total = np.float16(total + np.float16(weights[step] * inputs[step]))
        expected.append(float(total))
        if ends[step]:
            total = np.float16(0)
    assert found == expected


@pytest.fixture(scope="module")
def everything():
    return float_points.designs(full=True)


def test_every_design_has_all_parts(everything):
    for design in everything[:: len(everything) // 12]:
        assert all(build().signature for build in design.components().values())
    quick = float_points.designs(full=False)
    names = {(d.name, d.machine) for d in everything}
    # the quick choice is part of the full one
    assert {(d.name, d.machine) for d in quick} <= names


def test_sweep_has_every_setting_of_the_accuracy_figures(everything):
    swept = {
        (s.guard_bits, s.mantissa_bits, s.rounding)
        for s in (d.machine.accelerator.floating for d in everything if d.table == "sweep")
        if s.alignment == "row"
    }
    assert len(swept) == 6 * 6 * 2


def test_every_weight_width_has_ours_and_the_baselines(everything):
    for bits in (8, 6, 4, 3):
        names = {d.name for d in everything if d.table == "weights" and bits in d.weight_bits}
        assert {"serial, row aligned", "serial, aligning", "serial, exact"} <= names
        assert {"FP16 MAC, fused", "FP16 MAC, product rounded", "FP16 x INT8"} <= names
    four = {d.name for d in everything if 4 in d.weight_bits}
    assert {"ANT x FP16", "ANT x INT8", "OliVe x FP16", "OliVe x INT8", "INT4 x INT8"} <= four


def test_shares_by_hand():
    design = next(iter(float_points.ours(4)))
    # 4 lanes in 2 slots
    assert design.macs_per_cycle == 2
    parts = {
        name: {"ecp5": {"lut": lut}}
        for name, lut in (
            ("pe", 100),
            ("activations", 16),
            ("column", 8),
            ("dequantizer", 50),
            ("dequantizers", 160),
        )
    }
    assert shares(design, parts) == {"ecp5": {"pe": 50, "share": 51.5, "dequantized": 61.5}}
    assert size({"area_um2": 7.5}) == 7.5
    setting = {"datapath": "aligned", "normalization": "right", "rounding": "nearest_even"}
    assert setting_name(setting | {"guard_bits": 3, "mantissa_bits": 16}) == "3/16 nearest"
    assert setting_name(None) == "integer"
