"""Blocks of one PE, as in ``hw/pe/``."""

from hw.pe import dot_bits
from hw.pe.base import PART_LANES
from hw.pe.serial import CHAIN_LANES
from sw.compile import Machine

from .floating import aligns_inside, inner_accumulator, largest_of
from .structure import (
    INCREMENT_GATES,
    Structure,
    accumulator,
    adder,
    compressor,
    left_shifter,
    multiplier,
    register,
    right_shifter,
    short_adder,
)


def pe_blocks(machine: Machine) -> list[tuple[str, int, Structure]]:
    """(block, instances in a PE, parts of one) of a PE, without :func:`sign_bits`."""
    lanes = machine.accelerator.lanes
    blocks = [("pe.products", lanes, _lane_product(machine))]
    if aligns_inside(machine):
        blocks.append(("pe.alignment", lanes, _alignment(machine)))
        blocks.append(("pe.exponents", 1, _exponents(machine)))
    blocks.append(("pe.lane_sum", 1, _lane_sum(machine)))
    blocks.append(("pe.inner_accumulator", 1, _inner_accumulator(machine)))
    return blocks


def _magnitude(machine: Machine) -> int:
    """Largest magnitude of an activation as integer lanes take it."""
    bits, is_signed = machine.value_shape
    return 1 << bits - 1 if is_signed else (1 << bits) - 1


def _bounded(machine: Machine, exact: int) -> int:
    """A width not beyond an inner accumulator that wraps."""
    array = machine.accelerator
    if array.is_aligned or array.inner_accumulator.mode != "wrap":
        return exact
    return min(exact, machine.inner_bits - min(machine.terms.base_shifts))


def sum_bits(machine: Machine, lanes: int) -> int:
    """Width of a sum of ``lanes`` lanes."""
    terms = machine.terms
    if aligns_inside(machine):
        return (lanes * machine.floating.largest_lane).bit_length() + 1
    if machine.accelerator.pe == "multiplier":
        exact = (lanes * _magnitude(machine) * terms.largest_term).bit_length() + 1
        return _bounded(machine, exact)
    bits, is_signed = machine.value_shape
    exact = dot_bits(terms=terms, lanes=lanes, activation_bits=bits, activation_signed=is_signed)
    return _bounded(machine, exact)


def _lane_product(machine: Machine) -> Structure:
    """One lane's product; optional register."""
    if aligns_inside(machine):
        return _aligning_product(machine)
    if machine.accelerator.pe == "multiplier":
        return _multiplied(machine)
    largest = machine.terms.largest_exponent
    activation_bits, _ = machine.value_shape
    width = _bounded(machine, activation_bits + largest)
    # shift by the lane's exponent, gate, invert
    product = left_shifter(activation_bits, largest, kept=width)
    product += Structure(gates=width, xor_gates=width)
    if "products" in machine.accelerator.pipeline:
        product += register(min(width, sum_bits(machine, machine.accelerator.lanes)))
    return product


def _multiplied(machine: Machine) -> Structure:
    """Product with a digit, shifted by its exponent."""
    terms, (activation_bits, _) = machine.terms, machine.value_shape
    bits, largest = activation_bits + terms.digit_bits, terms.largest_exponent
    kept = _bounded(machine, bits + largest)
    product = multiplier(activation_bits, terms.digit_bits, kept=kept)
    product += left_shifter(bits, largest, kept=kept)
    if "products" in machine.accelerator.pipeline:
        exact = (_magnitude(machine) * terms.largest_term).bit_length() + 1
        product += register(_bounded(machine, exact))
    return product


def _aligning_product(machine: Machine) -> Structure:
    """Significand times digit and the exponent of the product."""
    terms, widths = machine.terms, machine.floating
    significand, exponent = widths.layout.significand_bits, widths.addend_exponent_bits
    digit = terms.digit_bits
    if digit == 1:
        product = Structure(gates=significand)
    else:
        product = multiplier(significand, digit) + Structure(gates=digit - 1)
    # sign; sum of the exponents, gated where there is no product
    product += Structure(xor_gates=1, gates=exponent)
    if terms.exponent_bits:
        product += short_adder(exponent)
    if "products" in machine.accelerator.pipeline:
        product += register(significand + (digit if digit > 1 else 0) + 1 + exponent)
    return product


def _alignment(machine: Machine) -> Structure:
    """Distance to the largest exponent, shift with guard bits, rounding, inversion."""
    widths = machine.floating
    inverted = Structure(xor_gates=widths.product_bits)
    if machine.accelerator.lanes == 1:
        return inverted
    exponent = widths.addend_exponent_bits
    nearest = machine.accelerator.floating.rounding == "nearest_even"
    guard = machine.accelerator.floating.guard_bits
    shifter = right_shifter(
        widths.product_bits, exponent, zero_filled=True, zeros=guard, sticky=nearest
    )
    return short_adder(exponent) + shifter + inverted


def _exponents(machine: Machine) -> Structure:
    """Largest exponent of the lanes, and its registers up to the accumulator."""
    array, bits = machine.accelerator, machine.floating.addend_exponent_bits
    stages = 1 + len({"sums", "shift"} & set(array.pipeline))
    return largest_of(array.lanes, bits) + register(bits * stages)


def sign_bits(machine: Machine) -> int:
    """Bits beside the registered products and parts of a PE that are the same in all rows.

    The signs of the lanes, or their count; products of unsigned activations have a sign as well.
    """
    array = machine.accelerator
    if array.pe == "multiplier" or aligns_inside(machine):
        return 0
    _, is_signed = machine.value_shape
    counted = array.adders == "compressor" and array.lanes > 1
    bits = 0
    if "products" in array.pipeline:
        bits += array.lanes.bit_length() if counted else array.lanes
        bits += array.lanes if counted and not is_signed else 0
    if "sums" in array.pipeline:
        parts = _part_lanes(machine)
        if array.adders == "chain":
            bits += len(parts) - 1
        else:
            bits += array.lanes.bit_length() + (counted and parts[-1] == 1 and not is_signed)
    return bits


def _part_lanes(machine: Machine) -> list[int]:
    """Lanes of every part whose sum stage ``sums`` registers."""
    lanes = machine.accelerator.lanes
    return [min(PART_LANES, lanes - first) for first in range(0, lanes, PART_LANES)]


def _part_bits(machine: Machine, number: int, lanes: int) -> int:
    """Bits of a registered part in a PE, without what is the same in all rows."""
    array = machine.accelerator
    single = lanes == 1
    if aligns_inside(machine):
        if array.lanes == 1:
            # the guard bits and the bit that completes a negative one are its sign
            return machine.floating.product_bits + 2
        return machine.floating.product_bits + array.floating.guard_bits + (2 if single else 4)
    if array.pe == "multiplier" or (array.adders == "chain" and not number):
        return sum_bits(machine, lanes)
    # lanes as they are: the sign of a single unsigned one is that of its term
    _, is_signed = machine.value_shape
    value_bits = sum_bits(machine, 1) - 1 + (not is_signed)
    return _bounded(machine, value_bits - (not is_signed) if single else value_bits + 1)


def _parts(machine: Machine) -> Structure:
    """Sums of the parts, their registers, and what joins them."""
    array, parts, widths = machine.accelerator, Structure(), []
    chain = array.pe == "serial" and array.adders == "chain" and not aligns_inside(machine)
    for number, lanes in enumerate(_part_lanes(machine)):
        width = _part_bits(machine, number, lanes)
        parts += register(width) + adder(width).times(lanes - 1)
        if chain and number == 0:
            # the first lane is subtracted from nothing
            parts += Structure(gates=sum_bits(machine, 1) * INCREMENT_GATES)
        widths.append(width)
    if chain:
        return parts + _joined(machine, widths)
    rows = [sum_bits(machine, PART_LANES * count) for count in range(2, len(widths))]
    rows += [sum_bits(machine, array.lanes)] if len(widths) > 1 else []
    ones = array.pe == "serial" or aligns_inside(machine)
    return parts + compressor([array.lanes.bit_length(), *rows] if ones else rows)


def _lane_sum(machine: Machine) -> Structure:
    """Adders of the lanes and the register of their sum."""
    lanes = machine.accelerator.lanes
    rows = [sum_bits(machine, number) for number in range(2, lanes + 1)]
    if "sums" in machine.accelerator.pipeline:
        adders = _parts(machine)
    elif aligns_inside(machine):
        # a bit per lane completes its two's complement or rounds it
        adders = compressor([lanes.bit_length(), *rows])
    elif machine.accelerator.pe == "multiplier":
        adders = compressor(rows)
    elif machine.accelerator.adders == "chain":
        adders = _chains(machine, lanes)
    else:
        # a row of few bits adds the number of negative lanes
        adders = compressor([lanes.bit_length(), *rows])
    kept = sum_bits(machine, lanes)
    if aligns_inside(machine) and lanes == 1:
        # nothing moves into the guard bits
        kept -= machine.accelerator.floating.guard_bits
    return adders + register(kept)


def _chains(machine: Machine, lanes: int) -> Structure:
    """Chains of subtractors, and a tree that joins them."""
    parts, widths = Structure(), []
    for start in range(0, lanes, CHAIN_LANES):
        length = min(CHAIN_LANES, lanes - start)
        # the first lane of a chain is subtracted from nothing
        parts += Structure(gates=sum_bits(machine, 1) * INCREMENT_GATES)
        for number in range(2, length + 1):
            parts += adder(sum_bits(machine, number))
        widths.append(sum_bits(machine, length))
    return parts + _joined(machine, widths)


def _joined(machine: Machine, widths: list[int]) -> Structure:
    """Tree of adders for numbers of these widths."""
    total, parts = sum_bits(machine, machine.accelerator.lanes), Structure()
    while len(widths) > 1:
        pairs = zip(widths[::2], widths[1::2], strict=False)
        joined = [min(max(pair) + 1, total) for pair in pairs]
        for bits in joined:
            parts += adder(bits)
        widths = joined + widths[len(widths) & ~1 :]
    return parts


def _inner_accumulator(machine: Machine) -> Structure:
    """Base shift, optional register, inner accumulator."""
    array, shifts = machine.accelerator, set(machine.terms.base_shifts)
    mode, largest = array.inner_accumulator.mode, max(shifts)
    total = sum_bits(machine, array.lanes)
    parts = Structure(mux2_bits=(len(shifts) - 1) * total, gates=largest)
    if "shift" in array.pipeline:
        # zeros are not kept, nor bits above an accumulator that wraps
        parts += register(_shifted_bits(machine) - min(shifts))
    if array.is_aligned:
        return parts + inner_accumulator(machine, total + largest)
    return parts + accumulator(machine.inner_bits, total + largest, mode)


def _shifted_bits(machine: Machine) -> int:
    """Width of a lane sum behind its base shift."""
    array = machine.accelerator
    top = sum_bits(machine, array.lanes) + max(machine.terms.base_shifts)
    wraps = not array.is_aligned and array.inner_accumulator.mode == "wrap"
    return min(top, machine.inner_bits) if wraps else top
