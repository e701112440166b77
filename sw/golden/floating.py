"""Golden model of aligned floating-point datapaths (docs/numerics.md, "Floating point").

A number here is ``mantissa * 2**exponent`` in units of the activation format's smallest subnormal
times ``2**-guard_bits``, both int64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sw.compile.floating import FloatWidths
from sw.compile.program import GemmProgram
from sw.compile.scales import scale_parts
from sw.formats.floats import FloatParts

Int64 = NDArray[np.int64]


class Sums(NamedTuple):
    """Accumulators: mantissas and exponents, int64 of one shape."""

    mantissa: Int64
    exponent: Int64


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """How an accumulator of ``bits`` rounds; ``full``: the exact sum, once."""

    bits: int
    rounding: str
    full: bool = False


def shifted_right(values: Int64, places: Int64, rounding: str) -> Int64:
    """``values / 2**places``, rounded down or to the nearest, ties to even."""
    far = np.minimum(places, 62)
    floor = values >> far
    if rounding == "truncate":
        return floor
    rest = values - (floor << far)
    half = np.where(far > 0, np.int64(1) << np.maximum(far - 1, 0), 1)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))


def shifted_magnitudes(values: Int64, places: Int64, rounding: str) -> Int64:
    """As :func:`shifted_right`, but of the magnitudes."""
    return np.sign(values) * shifted_right(np.abs(values), places, rounding)


def accumulate(sums: Sums, addend: Int64, exponent: Int64, rule: Rounding) -> Sums:
    """One step: ``sums + addend * 2**exponent``, rounded to ``rule.bits`` of mantissa."""
    if rule.full:
        nearest = rule.rounding == "nearest_even"
        pairs = _exact_step(*sums, addend, exponent, rule.bits, nearest)
        return Sums(*(np.asarray(part).astype(np.int64) for part in pairs))
    largest = np.maximum(sums.exponent, exponent)
    total = shifted_right(addend, largest - exponent, rule.rounding)
    total = total + shifted_right(sums.mantissa, largest - sums.exponent, rule.rounding)
    places = np.zeros_like(largest)
    half = 1 << rule.bits - 1
    while True:
        mantissa = shifted_right(total, places, rule.rounding)
        over = (mantissa >= half) | (shifted_right(total, places, "truncate") < -half)
        if not over.any():
            return Sums(mantissa, largest + places)
        places = places + over


def _exact_scalar(
    mantissa: int, exponent: int, addend: int, place: int, bits: int, nearest: bool
) -> tuple[int, int]:
    """The exact sum of two numbers, rounded once to ``bits``."""
    if not addend:
        return mantissa, exponent
    lowest = min(exponent, place)
    total = (mantissa << exponent - lowest) + (addend << place - lowest)
    if not total:
        return 0, 0
    result = max(0, lowest + abs(total).bit_length() - bits)
    while True:
        drop = result - lowest
        if drop <= 0:
            floor = rounded = total << -drop
        else:
            floor = rounded = total >> drop
            rest, half = total - (floor << drop), 1 << drop - 1
            if nearest and (rest > half or (rest == half and floor & 1)):
                rounded += 1
        if -(1 << bits - 1) <= floor and rounded < 1 << bits - 1:
            return rounded, result
        result += 1


_exact_step = np.frompyfunc(_exact_scalar, 6, 2)


class FloatStep(NamedTuple):
    """The inner accumulators after one slot, mantissas and exponents (M, N)."""

    group: int
    chunk: int
    slot: int
    sums: Sums


def inner_rule(widths: FloatWidths) -> Rounding:
    """How the inner accumulators of a machine round."""
    floating = widths.array.floating
    full = floating.normalization == "full"
    return Rounding(bits=widths.inner_bits, rounding=floating.rounding, full=full)


def outer_rule(widths: FloatWidths) -> Rounding:
    """How the outer accumulators of a machine round."""
    return Rounding(bits=widths.outer_bits, rounding=widths.array.floating.rounding)


def float_steps(program: GemmProgram) -> Iterator[FloatStep]:
    """Every step of an aligned machine's schedule: group, chunk, slot (innermost).

    Raises
    ------
    AssertionError : the term table does not add up to the levels.
    """
    machine, widths = program.machine, program.machine.floating
    terms, rule = machine.terms, inner_rule(machine.floating)
    # behind the inputs, what a lane without one gets in each group: activation 0, padding code
    padding = np.array([member.levels[member.padding_code] for member in program.family.members])
    levels = np.concatenate([program.levels, padding[program.format_ids]], axis=1)
    if not np.array_equal(terms.partial_levels(levels)[-1], levels):
        raise AssertionError("the term table does not add up to the levels")
    digits, exponents = terms.digits(levels)
    missing = ((0, 0), (0, program.tiling.groups))
    given = program.activation_parts
    parts = FloatParts(
        negative=np.pad(given.negative, missing),
        significand=np.pad(given.significand, missing),
        place=np.pad(given.place, missing),
        invalid=np.pad(given.invalid, missing),
    )
    zeros = np.zeros((program.shape.m, program.shape.n), dtype=np.int64)
    sums, group, chunk = Sums(zeros, zeros), -1, 0
    for inputs in program.chunk_inputs:
        chunk += 1
        if program.group_of[inputs[0]] != group:
            group, chunk, sums = int(program.group_of[inputs[0]]), 0, Sums(zeros, zeros)
        inputs = np.where(inputs < 0, program.shape.k + group, inputs)
        lanes = parts.of_inputs(inputs)
        for slot, base_shift in enumerate(terms.base_shifts):
            digit, place = digits[slot][:, inputs], exponents[slot][:, inputs]
            share = _in_pe if widths.in_pe else _in_row
            dot, exponent = share(widths, lanes, digit, place)
            sums = accumulate(sums, dot << base_shift, exponent, rule)
            yield FloatStep(group, chunk, slot, sums)


def _guarded(widths: FloatWidths, lanes: FloatParts) -> Int64:
    """Signed significands with guard places below."""
    guarded = lanes.significand << widths.array.floating.guard_bits
    return np.where(lanes.negative, -guarded, guarded)


def _in_row(
    widths: FloatWidths, lanes: FloatParts, digits: Int64, exponents: Int64
) -> tuple[Int64, Int64]:
    """A slot's sum (M, N) and exponent (M, 1): activations aligned once per row."""
    largest = lanes.place.max(axis=1, keepdims=True)
    values = shifted_magnitudes(
        _guarded(widths, lanes), largest - lanes.place, widths.array.floating.rounding
    )
    return values @ (digits << exponents).T, np.broadcast_to(largest, (len(values), len(digits)))


def _in_pe(
    widths: FloatWidths, lanes: FloatParts, digits: Int64, exponents: Int64
) -> tuple[Int64, Int64]:
    """A slot's sum and exponent, (M, N): products aligned in every PE."""
    products = _guarded(widths, lanes)[:, None, :] * digits
    places = np.where(digits != 0, lanes.place[:, None, :] + exponents, 0)
    largest = places.max(axis=2)
    aligned = shifted_magnitudes(
        products, largest[..., None] - places, widths.array.floating.rounding
    )
    return aligned.sum(axis=2), largest


def float_gemm(program: GemmProgram) -> tuple[Sums, Sums]:
    """Outer sums (M, N) and group sums (groups, M, N) of an aligned machine."""
    machine = program.machine
    shape = (program.tiling.groups, program.shape.m, program.shape.n)
    groups = Sums(np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64))
    for step in float_steps(program):
        groups.mantissa[step.group], groups.exponent[step.group] = step.sums
    multipliers, shifts = scale_parts(machine.accelerator.scale, program.scale_codes)
    rule = outer_rule(machine.floating)
    outer = Sums(np.zeros(shape[1:], dtype=np.int64), np.zeros(shape[1:], dtype=np.int64))
    for group in range(shape[0]):
        scaled = groups.mantissa[group] * multipliers[:, group]
        outer = accumulate(outer, scaled, groups.exponent[group] + shifts[:, group], rule)
    return outer, groups


def float32_codes(sums: Sums, unit_exponent: int) -> Int64:
    """Bits of ``mantissa * 2**(exponent + unit_exponent)`` in float32, as signed 32-bit integers.

    Mantissas up to 53 bits are exact in float64, so there is one rounding.
    """
    with np.errstate(over="ignore", under="ignore"):
        wide = np.ldexp(
            sums.mantissa.astype(np.float64), (sums.exponent + unit_exponent).astype(np.int32)
        )
        return wide.astype(np.float32).view(np.int32).astype(np.int64)


def _float32_scalar(value: int, unit_exponent: int) -> float:
    """A Python integer times a power of two, rounded once to float32."""
    drop = max(0, abs(value).bit_length() - 24, -149 - unit_exponent)
    floor = abs(value) >> drop
    rest, half = abs(value) - (floor << drop), (1 << drop) >> 1
    if drop and (rest > half or (rest == half and floor & 1)):
        floor += 1
    return float(np.ldexp(float(-floor if value < 0 else floor), drop + unit_exponent))


_float32_values = np.frompyfunc(_float32_scalar, 2, 1)


def exact_float32_codes(sums: NDArray[np.object_], unit_exponent: int) -> Int64:
    """As :func:`float32_codes`, of Python integers of any size."""
    with np.errstate(over="ignore"):
        values = np.asarray(_float32_values(sums, unit_exponent)).astype(np.float64)
        return values.astype(np.float32).view(np.int32).astype(np.int64)
