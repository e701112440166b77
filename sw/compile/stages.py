"""What a program adds for a machine's optional stages: zero points, specials, requantization."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.accelerator import RequantizerConfig
from configs.errors import InputError
from sw.formats import FormatFamily, TermTable

from .scales import largest_code

if TYPE_CHECKING:
    from .program import GemmProgram


@dataclass(frozen=True, kw_only=True, eq=False)
class RequantizerParameters:
    """Dyadic requantization, ``(sum * multiplier + half) >> shift``, one pair per output channel.

    Parameters
    ----------
    multipliers : int64 (N,), not negative.
    shifts : int64 (N,), not negative.
    """

    multipliers: NDArray[np.int64]
    shifts: NDArray[np.int64]

    def part(self, channels: slice) -> "RequantizerParameters":
        """Those of some output channels."""
        return RequantizerParameters(
            multipliers=self.multipliers[channels], shifts=self.shifts[channels]
        )


def dyadic(ratios: ArrayLike, config: RequantizerConfig) -> RequantizerParameters:
    """The nearest ``multiplier / 2**shift`` to each ratio, with as many bits as there are.

    Parameters
    ----------
    ratios : output step of the accumulator over step of the INT8 output, (N,); finite, not
        negative (HAWQ-V3, ICML 2021: input scale times weight scale over output scale).

    Raises
    ------
    InputError : a ratio that is negative, not finite, or too large for the multiplier.
    """
    wide = np.asarray(ratios, dtype=np.float64)
    if wide.ndim != 1 or not np.isfinite(wide).all() or (wide < 0).any():
        raise InputError("requantization ratios must be finite numbers, none negative")
    largest = (1 << config.multiplier_bits) - 1
    if (wide > largest).any():
        raise InputError(
            f"a requantization ratio of {wide.max():g} exceeds the multiplier's {largest}"
        )
    exponents = np.frexp(wide)[1]
    limit = (1 << config.shift_bits) - 1
    shifts = np.clip(config.multiplier_bits - exponents, 0, limit)
    multipliers = np.floor(np.ldexp(wide, shifts) + 0.5)
    # rounding up may need one bit more than there is
    over = (multipliers > largest) & (shifts > 0)
    shifts = np.where(over, shifts - 1, shifts)
    multipliers = np.floor(np.ldexp(wide, shifts) + 0.5).clip(0, largest)
    return RequantizerParameters(
        multipliers=multipliers.astype(np.int64), shifts=shifts.astype(np.int64)
    )


def with_specials(family: FormatFamily, specials: Sequence[int | None]) -> FormatFamily:
    """``family`` whose special code means ``specials[i]`` in member i (None: unused)."""
    code = family.special_code
    if code is None or len(specials) != len(family.members):
        raise InputError(
            f"'{family.name}' takes {len(family.members) if code is not None else 0} special "
            f"values, not {len(specials)}"
        )
    members = tuple(
        replace(m, levels=(*m.levels[:code], level, *m.levels[code + 1 :]), codebook_values=None)
        for m, level in zip(family.members, specials, strict=True)
    )
    return replace(family, members=members)


def special_value_bits(terms: TermTable) -> int:
    """Width of a special value as the hardware holds it: its packed terms, slot 0 low."""
    return (2 + terms.exponent_bits) * terms.slots


def special_words(terms: TermTable, family: FormatFamily, code: int | None) -> list[int]:
    """Special value of each member as the hardware holds it: one packed term per slot, 0 low.

    A term has the bits present, negative, exponent from the low bit up.
    """
    words = []
    for member in family.members:
        level = None if code is None else member.levels[code]
        width = 2 + terms.exponent_bits
        packed = [terms.packed(level, slot) << width * slot for slot in range(terms.slots)]
        words.append(sum(packed))
    return words


def check_stages(program: "GemmProgram") -> None:
    """Refuse a program that asks for a stage its machine lacks, or the other way round."""
    array, name = program.machine.accelerator, program.name
    largest = largest_code(array.scale)
    if program.scale_codes.max() > largest:
        raise InputError(
            f"{name}: scale code {program.scale_codes.max()} is beyond the {largest} of the "
            f"machine's {array.scale.format} scales"
        )
    if (program.zero_points is None) != (array.zero_point_bits == 0):
        state = "has no" if program.zero_points is not None else "needs"
        raise InputError(f"{name}: accelerator '{array.name}' {state} zero points")
    if program.zero_points is not None:
        _check_zero_points(program, program.zero_points)
    if (program.requantizer is None) != (array.requantizer is None):
        state = "has no" if program.requantizer is not None else "needs parameters of its"
        raise InputError(f"{name}: accelerator '{array.name}' {state} requantizer")
    if program.requantizer is not None and array.requantizer is not None:
        _check_requantizer(program, program.requantizer, array.requantizer)
    if program.specials is not None:
        _check_specials(program, program.specials)


def _check_zero_points(program: "GemmProgram", zero_points: NDArray[np.int64]) -> None:
    machine, name = program.machine, program.name
    if zero_points.shape != program.scale_codes.shape:
        wanted = program.scale_codes.shape
        raise InputError(f"{name}: zero_points have shape {zero_points.shape}, expected {wanted}")
    half = 1 << machine.accelerator.zero_point_bits - 1
    if zero_points.min() < -half or zero_points.max() >= half:
        raise InputError(
            f"{name}: zero points {zero_points.min()}..{zero_points.max()} leave the machine's "
            f"{-half}..{half - 1}"
        )
    longest = min(program.group_size, program.shape.k)
    if longest > machine.group_inputs:
        raise InputError(
            f"{name}: a group of {longest} inputs is longer than the {machine.group_inputs} that "
            "the machine's activation sums have room for"
        )


def _check_requantizer(
    program: "GemmProgram", found: RequantizerParameters, config: RequantizerConfig
) -> None:
    wanted = (program.shape.n,)
    for field, values, bits in (
        ("multipliers", found.multipliers, config.multiplier_bits),
        ("shifts", found.shifts, config.shift_bits),
    ):
        if values.shape != wanted:
            raise InputError(f"{program.name}: {field} have shape {values.shape}, not {wanted}")
        if values.min() < 0 or values.max() >> bits:
            raise InputError(
                f"{program.name}: {field} {values.min()}..{values.max()} leave 0..{(1 << bits) - 1}"
            )


def _check_specials(program: "GemmProgram", specials: tuple[int | None, ...]) -> None:
    machine = program.machine
    if not machine.accelerator.programmable:
        raise InputError(
            f"{program.name}: accelerator '{machine.accelerator.name}' is not programmable"
        )
    known = sorted(machine.terms.terms)
    for level in specials:
        if level is not None and level not in known:
            raise InputError(
                f"{program.name}: special value {level} cannot be formed in "
                f"{machine.terms.slots} slots, valid are {', '.join(map(str, known))}"
            )
