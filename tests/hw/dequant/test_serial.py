"""The serial dequantizer: scales, zero points, shared rows, modes."""

import pytest
from amaranth.sim import Simulator

from hw.dequant import SerialDequantizer

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("serial_dequantizer")["cycles"] >= CYCLES


@pytest.mark.parametrize("group_sum", [-(1 << 14), (1 << 14) - 1])
def test_15_bit_sums_times_8_bit_scales_need_23_bits(group_sum: int) -> None:
    """The published design has 21; 22 overflow too, and nothing before the outer sum may."""
    for bits, fits in ((23, True), (22, False)):
        dequantizer = SerialDequantizer(
            group_bits=15,
            corrected_bits=15,
            activation_sum_bits=0,
            zero_point_bits=0,
            scale_bits=8,
            barrel_shift=0,
            bits=bits,
            mode="flag",
            rows=1,
        )
        seen = []

        async def bench(ctx, dequantizer=dequantizer, seen=seen) -> None:
            ctx.set(dequantizer.group_sums[0], group_sum)
            ctx.set(dequantizer.load, 1)
            await ctx.tick()
            ctx.set(dequantizer.load, 0)
            ctx.set(dequantizer.scale_bit, 1)  # scale 255
            for _ in range(8):
                seen.append((ctx.get(dequantizer.results[0]), ctx.get(dequantizer.overflow)))
                await ctx.tick()

        simulator = Simulator(dequantizer)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
        assert any(overflow for _, overflow in seen) != fits
        assert (seen[-1][0] == group_sum * 255) == fits
