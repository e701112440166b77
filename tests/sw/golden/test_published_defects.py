"""Defects of the Verilog released with BitMoD (HPCA 2025), and what this machine does instead.

``published_*`` are models of the released blocks, written from descriptions of what they do; the
first two return the figures that the Verilog was seen to return. Each test gives the input, the
published figure and the exact one, and runs the RTL of this project on it (docs/numerics.md, "What
the published RTL does").
"""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.dequant import FloatDequantizer
from hw.pe import FloatAccumulator, FloatSum
from hw.terms import SpecialTerms, TermDecoder
from sw.formats import family_terms, get_family
from sw.golden.floating import Rounding, Sums, accumulate

#: widths of the paper's PE: accumulator mantissa and exponent, addend behind its base shift, scale
MANTISSA_BITS, EXPONENT_BITS, ADDEND_BITS, SCALE_BITS = 15, 6, 23, 8
#: and of the released dequantizer's register
PRODUCT_BITS = 21
REGISTER = FloatSum(bits=MANTISSA_BITS, exponent_bits=EXPONENT_BITS, rounding="truncate")
#: the default outer accumulator
OUTER = FloatSum(bits=25, exponent_bits=EXPONENT_BITS, rounding="truncate")


def simulated(component, bench, *, clocked=True):
    simulator = Simulator(component)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def wrapped(value, bits):
    return (value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)


def published_accumulate(mantissa, exponent, dot, place):
    """Only the accumulator is ever shifted right; an addend with a smaller exponent is not."""
    total = (mantissa >> max(0, place - exponent)) + dot
    exponent = max(exponent, place)
    while wrapped(total, MANTISSA_BITS) != total:
        total, exponent = total >> 1, exponent + 1
    return total, exponent


def test_group_accumulation_shifts_the_smaller_operand():
    """Published: 8192 * 2**4 counts as 8192 * 2**10 where the register's exponent is 10."""
    steps = [(8192, 10), (8192, 4)]
    exact = sum(dot << place for dot, place in steps)

    published = (0, 0)
    for dot, place in steps:
        published = published_accumulate(*published, dot, place)
    assert published[0] << published[1] == 16777216

    zero = np.zeros(1, dtype=np.int64)
    golden, rule = Sums(zero, zero), Rounding(bits=MANTISSA_BITS, rounding="truncate")
    for dot, place in steps:
        golden = accumulate(golden, zero + dot, zero + place, rule)
    assert int(golden.mantissa[0]) << int(golden.exponent[0]) == exact == 8519680

    block = FloatAccumulator(
        floating=REGISTER, addend_bits=ADDEND_BITS, addend_exponent_bits=EXPONENT_BITS
    )
    found = []

    async def bench(ctx):
        for dot, place in steps:
            ctx.set(block.addend, dot)
            ctx.set(block.exponent, place)
            found.append(ctx.get(block.next.mantissa) << ctx.get(block.next.exponent))
            await ctx.tick()

    simulated(block, bench)
    assert found == [8192 << 10, exact]


class PublishedDequantizer:
    """One scale bit per cycle, high bit first, into 21 bits that a new group does not clear."""

    def __init__(self):
        self.register = 0

    def group(self, mantissa, scale):
        for place in reversed(range(SCALE_BITS)):
            addend = mantissa if scale >> place & 1 else 0
            self.register = wrapped(2 * self.register + addend, PRODUCT_BITS)
        return self.register


def dequantized(tiles):
    """Results of the RTL after every group; ``tiles`` are lists of (mantissa, scale)."""
    block = FloatDequantizer(
        inner=REGISTER, outer=OUTER, scale_bits=SCALE_BITS, barrel_shift=0, rows=1
    )
    found = []

    async def group(ctx, mantissa, scale, last):
        ctx.set(block.group_sums[0].mantissa, mantissa)
        ctx.set(block.load, 1)
        await ctx.tick()
        ctx.set(block.load, 0)
        for place in range(SCALE_BITS):
            ctx.set(block.scale_bit, scale >> place & 1)
            ctx.set(block.last, place == SCALE_BITS - 1)
            await ctx.tick()
        ctx.set(block.last, 0)
        ctx.set(block.accumulate, 1)
        ctx.set(block.clear, last)
        result = block.results[0]
        found.append(ctx.get(result.mantissa) << ctx.get(result.exponent))
        await ctx.tick()
        ctx.set(block.accumulate, 0)
        ctx.set(block.clear, 0)

    async def bench(ctx):
        for tile in tiles:
            for index, (mantissa, scale) in enumerate(tile):
                await group(ctx, mantissa, scale, index == len(tile) - 1)

    simulated(block, bench)
    return found


def test_the_dequantizer_starts_every_group_anew():
    """Published: the second group is added to the first one's product times 2**8."""
    published = PublishedDequantizer()
    assert [published.group(100, 13), published.group(100, 13)] == [1300, 334100]
    # as groups of two tiles, and as two groups of one, whose products the outer sum adds
    assert dequantized([[(100, 13)], [(100, 13)]]) == [1300, 1300]
    assert dequantized([[(100, 13), (100, 13)]]) == [1300, 1300 + 1300]


@pytest.mark.parametrize(
    ("mantissa", "scale", "wrong"), [(16000, 255, -114304), (-16384, 255, 16384)]
)
def test_the_dequantizer_has_room_for_every_product(mantissa, scale, wrong):
    """A 15-bit sum times an 8-bit scale needs 23 bits; published: 21."""
    assert PublishedDequantizer().group(mantissa, scale) == wrong
    assert dequantized([[(mantissa, scale)]]) == [mantissa * scale]


#: FP4 magnitudes by the low three bits of a code, in halves
_HALVES = (0, 1, 2, 3, 4, 6, 8, 12)


def published_fp4(code):
    """Value of an FP4 code, in halves: leading zeros as exponent, lowest bit as "found"."""
    halves = 16 if code == 0b1000 else _HALVES[code & 7]
    windows = [(halves >> 1 & 15, 1), (halves & 15, 0)]  # I3 I2 I1 I0 and I2 I1 I0 F0
    total = 0
    for window, base_shift in windows:
        leading_zeros = min(4 - window.bit_length(), 3)
        total += (window & 1) << leading_zeros + base_shift
    return -total if code >> 3 and code != 0b1000 else total


def decoded(family, terms, code, format_id):
    """Value of a code by the RTL's terms."""
    decoder = TermDecoder(family=family, terms=terms)
    chooser = SpecialTerms(family=family, terms=terms, programmable=False)
    specials, found = [], []

    async def special(ctx):
        ctx.set(chooser.format_id, format_id)
        for slot in range(terms.slots):
            ctx.set(chooser.slot, slot)
            specials.append(ctx.get(chooser.term.as_value()))

    async def decode(ctx):
        ctx.set(decoder.code, code)
        for slot, base_shift in enumerate(terms.base_shifts):
            ctx.set(decoder.slot, slot)
            ctx.set(decoder.special.as_value(), specials[slot])
            present, negative, exponent = (
                ctx.get(getattr(decoder.term, name)) for name in ("present", "negative", "exponent")
            )
            found.append((present * (-1 if negative else 1) << exponent) << base_shift)

    simulated(chooser, special, clocked=False)
    simulated(decoder, decode, clocked=False)
    return sum(found)


def test_the_decoder_forms_every_fp4_level():
    """Published: only 0 is right, special value fixed at 8, 3 cycles; here: all right, 2 slots."""
    family = get_family("bitmod_fp4")
    terms = family_terms(family)
    assert terms.slots == 2
    assert family.unit == Fraction(1, 2)
    wrong = []
    for format_id, member in enumerate(family.members):
        for code, level in enumerate(member.levels):
            assert decoded(family, terms, code, format_id) == level
            if published_fp4(code) != level:
                wrong.append((format_id, code))
    # 6 has no bit in the windows' lowest places; the special value is 8 whatever the format says
    assert (published_fp4(0b0111), family.members[0].levels[0b0111]) == (0, 12)
    assert family.members[0].levels[family.special_code] != 16
    assert (0, family.special_code) in wrong
    assert len(wrong) == len(family.members) * 15
