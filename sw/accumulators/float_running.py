"""How far one job's outputs can be from exact ones on an aligned machine, from its exponents.

The proof is in docs/numerics.md, "Error bound". Python integers, in halves of the machine's unit.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.compile import GemmProgram
from sw.compile.floating import FloatWidths
from sw.compile.scales import scale_integers, scale_parts
from sw.golden.floating import Sums, accumulate, float_steps, outer_rule

from .float_bounds import common_zeros

Int64 = NDArray[np.int64]
#: significant bits of the results
_FLOAT32_BITS = 24


def running_bound(program: GemmProgram) -> NDArray[Any]:
    """A bound on |machine - exact| of every output, Fractions (M, N).

    In the outputs' own unit: sums of level, scale integer and activation. It follows from the
    exponents that occur in the job, and holds for results that are not infinite.

    Raises
    ------
    InputError : the machine is not an aligned one.
    """
    machine, array = program.machine, program.machine.accelerator
    if not array.is_aligned:
        raise InputError(f"accelerator '{array.name}' is exact: there is no error to bound")
    guard = array.floating.guard_bits
    inner, groups = _inner_errors(program, _Errors(widths=machine.floating, lowest=guard))
    scales = scale_integers(array.scale, program.scale_codes).astype(object)
    multipliers, shifts = scale_parts(array.scale, program.scale_codes)
    outer = Sums(np.zeros_like(groups[0].mantissa), np.zeros_like(groups[0].exponent))
    rule, total = outer_rule(machine.floating), np.zeros(outer.mantissa.shape, dtype=object)
    # what all scales of a channel are multiples of, so are its outer sums
    lowest = guard + common_zeros(scale_integers(array.scale, program.scale_codes))
    errors = _Errors(widths=machine.floating, lowest=lowest)
    for group, sums in enumerate(groups):
        exponent = sums.exponent + shifts[:, group]
        after = accumulate(outer, sums.mantissa * multipliers[:, group], exponent, rule)
        total = total + inner[group] * scales[:, group] + errors.step(outer, exponent, after)
        outer = after
    total = total + _conversion(outer, lowest)
    unit = Fraction(2) ** (machine.floating.layout.unit_exponent - guard - 1)
    return np.asarray(np.frompyfunc(lambda halves: halves * unit, 1, 1)(total))


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """Largest errors of single roundings, in halves of the unit.

    Attributes
    ----------
    widths : the machine.
    lowest : every number is a multiple of ``2**lowest``: no rounding at such an exponent.
    """

    widths: FloatWidths
    lowest: Any

    @property
    def nearest(self) -> bool:
        """Rounding to nearest."""
        return self.widths.array.floating.rounding == "nearest_even"

    def dropped(self, low: Int64, exponent: Int64) -> NDArray[Any]:
        """Of a multiple of ``2**low`` (and of ``2**lowest``), rounded at ``exponent``."""
        low = np.maximum(low, self.lowest)
        places, lowest = exponent.astype(object), low.astype(object)
        largest = 1 << places if self.nearest else (2 << places) - (2 << lowest)
        return np.where(exponent > low, largest, 0)

    def step(self, before: Sums, exponent: Int64, after: Sums, *, full: bool = False) -> NDArray:
        """Of one accumulator step that adds a number of ``exponent``."""
        # a register at 0 is a multiple of everything
        low = np.where(before.mantissa == 0, exponent, np.minimum(before.exponent, exponent))
        if full or not self.nearest:
            return self.dropped(low, after.exponent)
        larger = np.maximum(before.exponent, exponent)
        return self.dropped(low, larger) + self.dropped(larger, after.exponent)


def _inner_errors(program: GemmProgram, errors: _Errors) -> tuple[NDArray[Any], list[Sums]]:
    """Errors of every group's sum (groups, M, N), and the sums."""
    full = errors.widths.array.floating.normalization == "full"
    shape = (program.tiling.groups, program.shape.m, program.shape.n)
    found, groups = np.zeros(shape, dtype=object), []
    zeros = np.zeros(shape[1:], dtype=np.int64)
    sums, inputs = Sums(zeros, zeros), iter(program.chunk_inputs)
    held: NDArray[np.int64] = program.chunk_inputs[0]
    for step in float_steps(program):
        if step.chunk == step.slot == 0:
            groups.append(sums)
            sums = Sums(zeros, zeros)
        if step.slot == 0:
            held = next(inputs)
        lanes, exponent = _lane_errors(program, errors, step.group, held, step.slot)
        found[step.group] += lanes + errors.step(sums, exponent, step.sums, full=full)
        sums = step.sums
    return found, [*groups[1:], sums]


def _lane_errors(
    program: GemmProgram, errors: _Errors, group: int, inputs: Int64, slot: int
) -> tuple[NDArray[Any], Int64]:
    """Errors of one slot's lanes (M, N), and its exponent; a row's errors with the first slot."""
    there = inputs >= 0
    parts = program.activation_parts.of_inputs(inputs[there])
    levels, inexact = program.levels[:, inputs[there]], parts.significand != 0
    if not errors.widths.in_pe:
        place = parts.place.max(axis=1, keepdims=True)
        low = np.where(inexact, parts.place + errors.lowest, place)
        lost = errors.dropped(low, np.broadcast_to(place, low.shape))
        exponent = np.broadcast_to(place, (len(low), len(levels)))
        weights = np.abs(levels).astype(object) if slot == 0 else np.zeros_like(levels, object)
        return lost @ weights.T, exponent
    members = program.family.members
    padding = [members[i].levels[members[i].padding_code] for i in program.format_ids[:, group]]
    extra = np.array(padding, dtype=np.int64)[:, None].repeat((~there).sum(), axis=1)
    digits, exponents = errors.widths.terms.digits(np.concatenate([levels, extra], axis=1))
    count = (~there).sum()
    places = np.pad(parts.place, ((0, 0), (0, count)))[:, None, :] + exponents[slot]
    places = np.where(digits[slot] != 0, places, 0)
    largest = places.max(axis=2, keepdims=True)
    used = np.pad(inexact, ((0, 0), (0, count)))[:, None, :] & (digits[slot] != 0)
    low = np.where(used, places + errors.lowest, largest)
    lost = errors.dropped(low, np.broadcast_to(largest, low.shape)).sum(axis=2)
    base_shift = errors.widths.terms.base_shifts[slot]
    return lost * (1 << base_shift), largest[:, :, 0]


def _conversion(outer: Sums, lowest: Int64) -> NDArray[Any]:
    """Half a last place of float32, where it is above what all sums are multiples of."""
    halves = np.frompyfunc(_half_float32, 3, 1)(outer.mantissa, outer.exponent, lowest)
    return np.asarray(halves).astype(object)


def _half_float32(mantissa: int, exponent: int, lowest: int) -> int:
    """Half a last place of float32, in halves of the unit; 0 where all bits fit."""
    last = abs(int(mantissa)).bit_length() - _FLOAT32_BITS + int(exponent)
    return 1 << last if last > max(lowest, exponent) else 0
