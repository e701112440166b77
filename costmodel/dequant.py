"""Blocks of the dequantizers and of what serves them, as in ``hw/dequant/``."""

from configs.accelerator import RequantizerConfig
from configs.timing import dequantizer_cycles, dot_cycles, inner_cycles
from sw.compile import Machine
from sw.compile.machine import REQUANTIZED_BITS

from . import floating
from .structure import (
    COMPARE_GATES,
    INCREMENT_GATES,
    NEGATE_GATES,
    Structure,
    accumulator,
    adder,
    compressor,
    counter,
    enabled_register,
    left_shifter,
    multiplier,
    register,
)


def dequantizer_blocks(machine: Machine) -> list[tuple[str, Structure]]:
    """(block, parts) of one ``SerialDequantizer`` or ``FloatDequantizer``."""
    array = machine.accelerator
    if array.is_aligned:
        return floating.dequantizer_blocks(machine)
    blocks = [("dequantizer.group_sums", held_sum(machine) + waiting_sums(machine))]
    if array.zero_point_bits:
        blocks.append(("dequantizer.correction", _correction(machine)))
    if array.scale.barrel_shift:
        held, barrel = _held_bits(machine), array.scale.barrel_shift
        wraps = array.outer_accumulator.mode == "wrap"
        kept = min(held + barrel, machine.outer_bits) if wraps else held + barrel
        shifter = left_shifter(held, barrel, kept=kept)
        blocks.append(("dequantizer.shifter", shifter))
    outer = outer_accumulator(machine, array.rows_per_dequantizer)
    blocks.append(("dequantizer.outer_accumulator", outer))
    return blocks


def _held_bits(machine: Machine) -> int:
    """Width of the group sum in turn, doubled: not beyond an outer accumulator that wraps."""
    array = machine.accelerator
    bits = machine.corrected_bits + array.scale.serial_bits - 1
    return min(bits, machine.outer_bits) if array.outer_accumulator.mode == "wrap" else bits


def held_sum(machine: Machine) -> Structure:
    """Group sum in turn: loaded or doubled, corrected, taken from those that wait."""
    array, bits = machine.accelerator, _held_bits(machine)
    sources = 1 + (array.zero_point_bits > 0) + (array.rows_per_dequantizer > 1)
    return register(bits) + Structure(mux2_bits=sources * bits)


def waiting_sums(machine: Machine) -> Structure:
    """Group sums of the other rows: loaded, or taken from the one behind, or held."""
    waiting = (machine.accelerator.rows_per_dequantizer - 1) * machine.inner_bits
    return enabled_register(waiting) + Structure(mux2_bits=waiting)


def _correction(machine: Machine) -> Structure:
    """Multiple of the activation sum: gated by the zero point's bit, negated, added."""
    bits = multiple_bits(machine)
    gates = bits + (bits + 1) * NEGATE_GATES
    return Structure(gates=gates) + adder(machine.corrected_bits)


def outer_accumulator(machine: Machine, depth: int) -> Structure:
    """``depth`` outer sums: the group sum is gated by the scale's bit and added to one."""
    array = machine.accelerator
    addend = _held_bits(machine) + array.scale.barrel_shift
    gates = Structure(gates=addend)
    return gates + accumulator(
        machine.outer_bits, addend, array.outer_accumulator.mode, depth=depth
    )


def header_stages(machine: Machine) -> int:
    """Headers that wait in a column between decoding and dequantizer."""
    array = machine.accelerator
    ahead = dot_cycles(array) + inner_cycles(array)
    return max(1, -(-ahead // dequantizer_cycles(array)))


def used_code_bits(machine: Machine) -> int:
    """Bits of a scale code that mean something: an E4M3 scale has no sign."""
    scale = machine.accelerator.scale
    return scale.code_bits - (scale.format == "e4m3")


def column_scale(machine: Machine) -> Structure:
    """``ColumnScale``: waiting headers, scale decoder, rotating scale and zero point, shift."""
    array = machine.accelerator
    scale, zero_point_bits = array.scale, array.zero_point_bits
    waiting = header_stages(machine) * (used_code_bits(machine) + zero_point_bits)
    rotating = zero_point_bits + rotating_scale_bits(machine)
    parts = enabled_register(waiting + rotating + scale.barrel_shift.bit_length())
    return parts + Structure(mux2_bits=rotating) + _scale_decoder(machine)


def rotating_scale_bits(machine: Machine) -> int:
    """Multiplier bits of one column; a single bit is always 1, one register serves all columns."""
    bits = machine.accelerator.scale.serial_bits
    return bits if bits > 1 else 0


def _scale_decoder(machine: Machine) -> Structure:
    """``ScaleDecoder``: hidden bit and exponent of E4M3; with serial shifts, the shift itself."""
    scale = machine.accelerator.scale
    parts = Structure()
    if scale.format == "e4m3":
        # any exponent bit set; exponent less 1, or 0
        parts += Structure(gates=3 + 4 * INCREMENT_GATES + 4)
    if scale.largest_shift and not scale.barrel_shift:
        width = scale.significand_bits
        for stage in range(scale.largest_shift.bit_length()):
            # bits between zeros on either side need a gate only
            shift = 1 << stage
            both = max(0, width - shift)
            width = min(width + shift, scale.integer_bits)
            parts += Structure(mux2_bits=both, gates=width - both)
    return parts


def running_sum(machine: Machine) -> Structure:
    """One row of ``ActivationSums``: lanes of a chunk, its delay, the sum over a group."""
    array, bits = machine.accelerator, machine.activation_sum_bits
    delay = dot_cycles(array) + inner_cycles(array) - 1
    # one lane after the other is added
    rows = [min(array.activation_bits + lane.bit_length(), bits) for lane in range(1, array.lanes)]
    width = rows[-1] if rows else array.activation_bits
    lanes = compressor(rows) + register(delay * width)
    # other cycles add nothing, and a group's last one clears
    return lanes + register(bits) + adder(bits) + Structure(gates=width + bits)


def multiple_bits(machine: Machine) -> int:
    """Width of an activation sum times the highest bit of a zero point."""
    return machine.activation_sum_bits + machine.accelerator.zero_point_bits - 1


def activation_multiples(machine: Machine) -> Structure:
    """Taking turns in ``ActivationSums``: the multiple in use, the sums that wait."""
    multiple = multiple_bits(machine)
    waiting = (machine.accelerator.rows_per_dequantizer - 1) * machine.activation_sum_bits
    # the multiple doubles or is loaded, those that wait take the sum behind them or are loaded
    return enabled_register(multiple + waiting) + Structure(mux2_bits=multiple + waiting)


def activation_sums(machine: Machine) -> Structure:
    """``ActivationSums`` of the rows that share a dequantizer."""
    rows = machine.accelerator.rows_per_dequantizer
    return running_sum(machine).times(rows) + activation_multiples(machine)


def dequantizer_control(machine: Machine) -> Structure:
    """``DequantizerControl``: bits and rows left, what the group begins and ends."""
    array = machine.accelerator
    bits = (max(2, array.scale_pass_cycles) - 1).bit_length()
    rows = (array.rows_per_dequantizer - 1).bit_length()
    comparisons = Structure(gates=bits * COMPARE_GATES)
    # active, tile end, job end; the multiplier of single-bit scales
    single = array.scale.serial_bits == 1
    return counter(bits + rows) + comparisons + enabled_register(3 + single)


def requantizer_column(config: RequantizerConfig, bits: int) -> Structure:
    """One column of ``Requantizer``: product, shift, rounding, clipping."""
    width = bits + config.multiplier_bits
    product = multiplier(bits, config.multiplier_bits) + enabled_register(width)
    shifter = Structure(mux2_bits=config.shift_bits * width)
    rounding = Structure(gates=width * INCREMENT_GATES)
    # bits above the result agree with its sign, or the result is a bound
    clipping = Structure(gates=width - REQUANTIZED_BITS, mux2_bits=REQUANTIZED_BITS)
    return product + shifter + rounding + clipping + enabled_register(REQUANTIZED_BITS)


def mark_bits(machine: Machine) -> int:
    """Bits beside a row on its way out: valid, tile end, job end.

    Every row of a one-row tile ends it.
    """
    return 2 if machine.accelerator.rows == 1 else 3


def requantizer_control(machine: Machine) -> Structure:
    """Both stages' valid bit and marks in ``Requantizer``."""
    return enabled_register(2 * mark_bits(machine))
