"""Blocks of one PE, as in ``hw/pe/``."""

from hw.pe import dot_bits
from hw.pe.serial import CHAIN_LANES
from sw.compile import Machine

from .structure import (
    INCREMENT_GATES,
    XOR_GATES,
    Structure,
    accumulator,
    compressor,
    left_shifter,
    register,
)


def pe_blocks(machine: Machine) -> list[tuple[str, int, Structure]]:
    """(block, instances in a PE, parts of one) of ``SerialPE``, without :func:`sign_bits`."""
    return [
        ("pe.products", machine.accelerator.lanes, _lane_product(machine)),
        ("pe.lane_sum", 1, _lane_sum(machine)),
        ("pe.inner_accumulator", 1, _inner_accumulator(machine)),
    ]


def _sum_bits(machine: Machine, lanes: int) -> int:
    """Width of a sum of ``lanes`` lanes: not beyond an inner accumulator that wraps."""
    array = machine.accelerator
    exact = dot_bits(
        terms=machine.terms,
        lanes=lanes,
        activation_bits=array.activation_bits,
        activation_signed=array.activation_signed,
    )
    if array.inner_accumulator.mode != "wrap":
        return exact
    return min(exact, machine.inner_bits - min(machine.terms.base_shifts))


def _lane_product(machine: Machine) -> Structure:
    """Shift by the lane's exponent, gate, invert; optional register."""
    array = machine.accelerator
    largest = max(term.exponent for row in machine.terms.terms.values() for term in row)
    width = array.activation_bits + largest
    product = left_shifter(array.activation_bits, largest)
    product += Structure(gates=width * (1 + XOR_GATES))
    if "products" in array.pipeline:
        product += register(min(width, _sum_bits(machine, array.lanes)))
    return product


def sign_bits(machine: Machine) -> int:
    """Bits beside the registered products of a PE that are the same in all rows.

    The signs of the lanes, or their count; products of unsigned activations have a sign as well.
    """
    array = machine.accelerator
    if "products" not in array.pipeline:
        return 0
    if array.adders == "chain" or array.lanes == 1:
        return array.lanes
    return array.lanes.bit_length() + (0 if array.activation_signed else array.lanes)


def _lane_sum(machine: Machine) -> Structure:
    """Adders of the lanes and the register of their sum."""
    lanes = machine.accelerator.lanes
    if machine.accelerator.adders == "chain":
        adders = _chains(machine, lanes)
    else:
        # a row of few bits adds the number of negative lanes
        rows = [_sum_bits(machine, number) for number in range(2, lanes + 1)]
        adders = compressor([lanes.bit_length(), *rows])
    return adders + register(_sum_bits(machine, lanes))


def _chains(machine: Machine, lanes: int) -> Structure:
    """Chains of subtractors, and a tree that joins them."""
    total, parts, widths = _sum_bits(machine, lanes), Structure(), []
    for start in range(0, lanes, CHAIN_LANES):
        length = min(CHAIN_LANES, lanes - start)
        # the first lane of a chain is subtracted from nothing
        parts += Structure(gates=_sum_bits(machine, 1) * INCREMENT_GATES)
        for number in range(2, length + 1):
            parts += Structure(adder_bits=_sum_bits(machine, number))
        widths.append(_sum_bits(machine, length))
    while len(widths) > 1:
        pairs = zip(widths[::2], widths[1::2], strict=False)
        joined = [min(max(pair) + 1, total) for pair in pairs]
        parts += Structure(adder_bits=sum(joined))
        widths = joined + widths[len(widths) & ~1 :]
    return parts


def _inner_accumulator(machine: Machine) -> Structure:
    """Base shift, optional register, inner accumulator."""
    array, shifts = machine.accelerator, set(machine.terms.base_shifts)
    mode, largest = array.inner_accumulator.mode, max(shifts)
    total = _sum_bits(machine, array.lanes)
    parts = Structure(mux2_bits=(len(shifts) - 1) * total, gates=largest)
    if "shift" in array.pipeline:
        # zeros are not kept, nor bits above an accumulator that wraps
        top = total + largest if mode != "wrap" else min(total + largest, machine.inner_bits)
        parts += register(top - min(shifts))
    return parts + accumulator(machine.inner_bits, total + largest, mode)
