"""Blocks of machines with floating-point activations: edge of the array, sums, results."""

from hw.array.parts import inner_sum, outer_sum
from hw.pe import FloatSum
from sw.compile import Machine
from sw.compile.machine import FLOAT32_BITS
from sw.formats import FloatLayout, float_layout

from .structure import (
    COMPARE_GATES,
    INCREMENT_GATES,
    NEGATE_GATES,
    Structure,
    adder,
    compressor,
    enabled_register,
    leading_place,
    left_shifter,
    register,
    right_shifter,
    short_adder,
)

#: of float32; numbers below ``2**-126`` are subnormal
_MANTISSA, _FIELD_BITS, _LEAST_EXPONENT = 23, 8, 126


def layout_of(machine: Machine) -> FloatLayout:
    """Format of a machine's activations."""
    return float_layout(machine.accelerator.activation_format)


def aligns_inside(machine: Machine) -> bool:
    """Whether products are aligned in the PE."""
    return machine.accelerator.is_aligned and machine.floating.in_pe


def largest_of(count: int, bits: int) -> Structure:
    """Largest of some numbers: comparisons, each with a choice."""
    return Structure(gates=bits * COMPARE_GATES, mux2_bits=bits).times(count - 1)


def activations(machine: Machine) -> Structure:
    """``FloatActivations`` of one row: fields, alignment or fixed point, registers."""
    array, layout = machine.accelerator, layout_of(machine)
    places = layout.largest_place.bit_length()
    field_bits = layout.exponent_bits
    # hidden bit, Inf and NaN, exponent less 1, gates of both
    fields = Structure(
        gates=2 * field_bits + field_bits * INCREMENT_GATES + layout.significand_bits + places
    )
    if layout.only_ones:
        fields += Structure(gates=layout.mantissa_bits)
    invalid = register(1) + Structure(gates=array.lanes)
    if not array.is_aligned:
        bits = layout.fixed_bits
        if array.inner_accumulator.mode == "wrap":
            bits = min(bits, machine.inner_bits - min(machine.terms.base_shifts))
        fixed = left_shifter(layout.significand_bits, layout.largest_place) + register(bits)
        fixed += Structure(gates=bits * NEGATE_GATES)
        return (fields + fixed).times(array.lanes) + invalid
    if aligns_inside(machine):
        parts = register(layout.significand_bits + 1 + places)
        return (fields + parts).times(array.lanes) + invalid
    if array.lanes == 1:
        # the only place is the largest one: nothing moves, guard bits stay 0
        magnitude = layout.significand_bits
        lane = fields + register(magnitude + 1) + Structure(gates=magnitude * NEGATE_GATES)
        return lane + register(places) + invalid
    common = largest_of(array.lanes, places) + register(places) + Structure(gates=places)
    guard = array.floating.guard_bits
    magnitude = layout.significand_bits + guard
    nearest = array.floating.rounding == "nearest_even"
    lane = fields + short_adder(places)
    lane += right_shifter(magnitude, places, zero_filled=True, zeros=guard, sticky=nearest)
    if nearest:
        lane += Structure(gates=magnitude * INCREMENT_GATES)
    lane += Structure(gates=magnitude * NEGATE_GATES) + register(magnitude + 1)
    return lane.times(array.lanes) + common + invalid


def float_accumulator(
    floating: FloatSum, *, addend_bits: int, addend_exponent_bits: int, depth: int = 1
) -> Structure:
    """``hw.pe.FloatAccumulator``: operands, alignment, sum, move to the mantissa's width."""
    width = max(addend_bits, floating.bits)
    exponent = max(addend_exponent_bits, floating.exponent_bits)
    held = depth * (floating.bits + floating.exponent_bits)
    parts = register(held) + Structure(gates=held)
    if depth > 1:
        parts += Structure(mux2_bits=held)
    # differences both ways, of which one says which operand leads; the operands change places
    parts += short_adder(2 * exponent) + Structure(mux2_bits=2 * width + 2 * exponent)
    if floating.normalization == "full":
        return parts + _normalized(floating, addend_bits, width, exponent)
    nearest = floating.rounding == "nearest_even"
    parts += right_shifter(width, exponent, sticky=nearest)
    # what rounds the smaller operand is a third one
    parts += compressor([width + 1] * (1 + nearest))
    places = width + 1 - floating.bits
    return parts + _moved(floating, total=width + 1, places=places, exponent=exponent)


def _normalized(floating: FloatSum, addend_bits: int, width: int, exponent: int) -> Structure:
    """The exact sum on guard places and how far it moves; an addend of 0 is told apart."""
    guard = floating.guard_places(addend_bits)
    zero = Structure(gates=addend_bits + exponent)
    total = width + guard + 1
    parts = zero + right_shifter(width + guard, exponent, sticky=True)
    # and whether the sum is 0
    parts += adder(total) + Structure(gates=total)
    # zeros below the sum, so that what a cancellation leaves can move left
    filled = total + floating.bits - 1
    # smallest shift that keeps the exponent above 0, the larger of both shifts
    shift_bits = (filled - floating.bits).bit_length()
    parts += short_adder(exponent + shift_bits) + Structure(mux2_bits=2 * shift_bits)
    return parts + _moved(floating, total=filled, places=filled - floating.bits, exponent=exponent)


def _moved(floating: FloatSum, *, total: int, places: int, exponent: int) -> Structure:
    """Leading place, shift by up to ``places``, rounding, exponent."""
    nearest = floating.rounding == "nearest_even"
    shift_bits = places.bit_length()
    # places that differ from the sign
    parts = Structure(xor_gates=places) + leading_place(places)
    parts += right_shifter(total, shift_bits, kept=floating.bits + 1, sticky=nearest)
    parts += short_adder(exponent)
    if nearest:
        # rounding up, and what no longer fits then
        parts += Structure(gates=floating.bits * (INCREMENT_GATES + 1) + exponent * INCREMENT_GATES)
    return parts


def inner_accumulator(machine: Machine, addend_bits: int) -> Structure:
    """Inner accumulator of an aligned machine."""
    return float_accumulator(
        inner_sum(machine),
        addend_bits=addend_bits,
        addend_exponent_bits=machine.floating.addend_exponent_bits,
    )


def exponent_stages(machine: Machine, stages: int) -> int:
    """Bits that hold a row's exponent on its way to the inner accumulators, in ``stages``."""
    if not machine.accelerator.is_aligned or aligns_inside(machine):
        return 0
    return stages * machine.floating.place_bits


def dequantizer_blocks(machine: Machine) -> list[tuple[str, Structure]]:
    """(block, parts) of one ``FloatDequantizer``."""
    rows = machine.accelerator.rows_per_dequantizer
    return [
        ("dequantizer.group_sums", held_sums(machine)),
        ("dequantizer.product", product(machine)),
        ("dequantizer.outer_accumulator", outer_accumulator(machine, rows)),
    ]


def held_sums(machine: Machine) -> Structure:
    """Group sums that are served or wait: loaded, or taken from the one behind, or held."""
    rows = machine.accelerator.rows_per_dequantizer
    held = enabled_register(rows * machine.inner_sum_bits)
    return held + Structure(mux2_bits=(rows - 1) * machine.inner_sum_bits)


def _scaled_exponent_bits(machine: Machine) -> int:
    """Bits of a product's exponent."""
    largest = (1 << machine.floating.inner_exponent_bits) - 1
    return (largest + machine.accelerator.scale.barrel_shift).bit_length()


def product(machine: Machine) -> Structure:
    """Product register, to whose upper part the mantissa is added, and the exponent."""
    scale, bits = machine.accelerator.scale, machine.inner_bits
    exponent = _scaled_exponent_bits(machine)
    parts = register(bits + scale.serial_bits) + enabled_register(exponent)
    # the mantissa is gated by the scale's bit, the upper part by the end of a pass
    parts += Structure(gates=2 * bits) + adder(bits + 1)
    return parts + short_adder(exponent if scale.barrel_shift else 0)


def outer_accumulator(machine: Machine, depth: int) -> Structure:
    """``depth`` outer sums; products and exponents are gated but once a pass."""
    exponent, addend = _scaled_exponent_bits(machine), machine.floating.product_sum_bits
    return Structure(gates=addend + exponent) + float_accumulator(
        outer_sum(machine), addend_bits=addend, addend_exponent_bits=exponent, depth=depth
    )


def encoder_column(machine: Machine) -> Structure:
    """One column of ``FloatEncoder``: magnitude, leading one, rounding, fields."""
    assert machine.float_exponents is not None
    exponent_bits, unit = machine.float_exponents
    bits = machine.outer_bits
    width = max(bits, _MANTISSA + 1)
    places = (bits - 1).bit_length()
    parts = Structure(gates=bits * NEGATE_GATES) + leading_place(bits)
    # leading one to the top, zeros from below; exponent field
    for place in range(places):
        parts += Structure(mux2_bits=bits - (1 << place), gates=1 << place)
    field_bits = max(exponent_bits, _FIELD_BITS) + 1
    parts += short_adder(field_bits)
    normal = unit + _LEAST_EXPONENT >= 0
    if not normal:
        # subnormal results move right again
        parts += right_shifter(width, places, kept=_MANTISSA + 2, sticky=True, zero_filled=True)
        parts += short_adder(2 * field_bits)
    # 0; where sums reach it, infinity
    parts += Structure(gates=FLOAT32_BITS)
    if unit + (1 << exponent_bits) + bits > _LEAST_EXPONENT:
        parts += Structure(gates=field_bits * COMPARE_GATES + FLOAT32_BITS)
    if not normal or width > _MANTISSA + 1:
        parts += Structure(gates=width - (_MANTISSA + 1) + FLOAT32_BITS * INCREMENT_GATES)
    # low bits of a result stay 0 where sums have fewer, unless subnormal ones bring them down
    missing = max(0, _MANTISSA + 1 - bits) if normal else 0
    return parts + enabled_register(FLOAT32_BITS - missing)
