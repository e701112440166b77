"""Rounding groups of weights to nearest: the best format, scale and codes of each group.

    weight ~= level * unit * scale            scale: a float16 value

Scale rules. ``absmax`` (BitMoD, HPCA 2025, Algorithm 1): the largest level stands for the group's
largest magnitude. ``percentile`` (Wu et al., arXiv:2004.09602): for the smallest magnitude that at
least so many percent of the group's magnitudes do not exceed; for the largest one where that is 0.
``mse`` (a sweep as in ANT, MICRO 2022): for the share of the largest magnitude, of :data:`SHARES`,
with the least sum of squared errors, the first of equals.

Arithmetic, operation by operation: :mod:`sw.quantize.kernels`. ``float16`` is that of the released
BitMoD quantizer (`bitmod_quant/quant_utils/quant_weight.py`), bit for bit: steps stay within
1e-5 .. 1e4, squared errors overflow from errors of 256 and vanish below about 2**-12, and formats
that tie for that reason leave the choice to the first. Its measure of errors is only used for
``absmax`` without importance: there is nothing published to match otherwise, and float32 squares
choose better. In ``float32`` a group whose scale would round to 0 gets scale 0.

Ties between two levels go to the lower one; a single format of consecutive integers (``int4``)
rounds them to the even one instead, as the release does, unless its own rule is ``lower``.

Quantizing dequantized weights again changes nothing in ``float32``, for scales of at least 2**-14,
where the formats end alike on both sides, or with ``absmax`` and ``mse`` where a family has both
mirror images of a lopsided format (BitMoD). It does change them

- where the shorter side of a lopsided format clips the largest magnitude (``int4_full`` or
  ``bitmod_fp4_ea_pos`` alone, any family of such formats with ``percentile``): the scale shrinks
- where the scale is a float16 denormal, too coarse to keep the largest magnitude on its level
- in ``float16``, by a unit in the last place: ``fl16(fl16(L * step) / L)`` need not be ``step``
"""

import itertools
import math
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import FormatFamily, NumberFormat

from .loops import Grids
from .matrix import half_unit

SCALE_RULES = ("absmax", "mse", "percentile")
ARITHMETICS = ("float16", "float32")
#: shares of the largest magnitude that ``mse`` tries, in this order: 1, 0.975 .. 0.15
SHARES = tuple(share / 40 for share in range(40, 5, -1))
LARGEST_SCALE = float(np.finfo(np.float16).max)
#: of a level, a power of two below the end of float32
LARGEST_VALUE = 2.0**126
#: of a weight in float16, as the released quantizer limits its steps
LARGEST_HALF = 1e4

Fitted = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def _floor32(value: Fraction) -> np.float32:
    """Largest float32 that is not above ``value``."""
    nearest = np.float32(float(value))
    return nearest if Fraction(float(nearest)) <= value else np.nextafter(nearest, -np.inf)


def _member(member: NumberFormat, half: bool, unit: Fraction) -> tuple[NDArray, NDArray, bool]:
    """Grid values and cuts, float32, and whether the values are consecutive integers."""
    if half:
        values = (member.grid * float(unit)).astype(np.float16).astype(np.float32)
        cuts = (values[1:] + values[:-1]) / 2
    else:
        levels = [int(level) for level in member.grid]
        values = np.array(levels, dtype=np.float32)
        middles = [Fraction(a + b, 2) for a, b in itertools.pairwise(levels)]
        cuts = np.array([_floor32(middle) for middle in middles], dtype=np.float32)
    return values, cuts, bool(np.all(np.diff(values) == 1))


@cache
def grids(family: FormatFamily, arithmetic: str) -> Grids:
    """Tables of a family for the loops.

    Raises
    ------
    InputError : codes wider than 8 bits, or values that leave the arithmetic's range.
    """
    half = arithmetic == "float16"
    if family.bits > 8:
        raise InputError(
            f"format '{family.name}' has {family.bits}-bit codes, a quantizer takes at most 8"
        )
    unit = half_unit(family)
    finest = unit if half else max(family.unit, Fraction(1))
    largest = float(family.max_magnitude * finest)
    if largest > (LARGEST_SCALE if half else LARGEST_VALUE):
        raise InputError(
            f"values of '{family.name}' reach {largest:g}, "
            f"beyond the {arithmetic} of scales and weights"
        )
    parts = [_member(member, half, unit) for member in family.members]
    width = max(len(values) for values, _, _ in parts)
    counts = np.array([len(values) for values, _, _ in parts], dtype=np.int64)
    codes = [member.encode(member.grid).astype(np.uint8) for member in family.members]
    single = len(parts) == 1 and family.members[0].ties != "lower"
    ends = [np.abs(values).max() for values, _, _ in parts]
    if not half:
        ends = [float(member.max_magnitude * family.unit) for member in family.members]

    def rows(arrays: list[NDArray], length: int, end: float) -> NDArray:
        filled = [np.pad(a, (0, length - len(a)), constant_values=end) for a in arrays]
        return np.ascontiguousarray(np.stack(filled))

    return Grids(
        half=half,
        values=rows([values for values, _, _ in parts], width, 0),
        cuts=rows([cuts for _, cuts, _ in parts], width - 1, np.inf),
        codes=rows(codes, width, 0),
        counts=counts,
        even=np.array([single and run for _, _, run in parts]),
        largest=np.array(ends, dtype=np.float32),
        unit=np.float32(unit / family.unit if half else family.unit),
    )


def check_settings(rule: str, percentile: float, arithmetic: str) -> None:
    """Refuse an unknown rule or arithmetic, or a percentile outside 0 < p <= 100."""
    if rule not in SCALE_RULES:
        raise unknown_name("scale rule", rule, SCALE_RULES)
    if arithmetic not in ARITHMETICS:
        raise unknown_name("arithmetic", arithmetic, ARITHMETICS)
    if not 0 < percentile <= 100:
        raise InputError(f"percentile is {percentile}, valid are more than 0 up to 100")


def check_importance(importance: ArrayLike | None, shape: tuple[int, ...]) -> NDArray | None:
    """Weights of squared errors as float32 of ``shape``: finite and not negative."""
    if importance is None:
        return None
    with np.errstate(over="ignore"):
        array = np.asarray(importance, dtype=np.float32)
    if array.shape != shape:
        raise InputError(f"importance must have shape {shape}, not {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all()):
        raise InputError("importance must be finite and not negative")
    return np.ascontiguousarray(array)


def percentile_magnitudes(groups: NDArray[np.float32], percentile: float) -> NDArray[np.float32]:
    """Smallest magnitude (R,) that at least ``percentile`` % of a row's do not exceed.

    The percentage is taken as the decimal number that it prints as. Where that magnitude is 0, the
    largest one.
    """
    size = groups.shape[1]
    place = math.ceil(Fraction(str(float(percentile))) * size / 100) - 1
    sizes = np.abs(groups)
    sizes.partition(place, axis=1)
    return np.where(sizes[:, place] > 0, sizes[:, place], sizes[:, place:].max(axis=1))


def fit_checked(
    groups: NDArray[np.float32],
    importance: NDArray[np.float32] | None,
    *,
    family: FormatFamily,
    rule: str,
    percentile: float,
    arithmetic: str,
) -> Fitted:
    """:func:`fit_groups` on float32 groups known to be finite and within range, C order.

    ``importance`` is (P, size) here: group ``r`` takes row ``r % P``.
    """
    from . import kernels  # numba is slow to import, and only quantizing needs it

    tables = grids(family, arithmetic)
    if rule == "percentile":
        reference = percentile_magnitudes(groups, percentile)
    else:
        reference = kernels.magnitudes(groups)
    return kernels.fit(
        groups,
        reference,
        tables,
        shares=np.array(SHARES if rule == "mse" else SHARES[:1], dtype=np.float32),
        importance=importance,
        published=tables.half and rule == "absmax" and importance is None,
    )


def largest_weight(family: FormatFamily, arithmetic: str) -> float:
    """Largest magnitude that can be quantized: the scale must be a finite float16."""
    if arithmetic == "float16":
        return LARGEST_HALF
    divisor = float(grids(family, arithmetic).largest.min())
    return min(LARGEST_SCALE * divisor, float(np.finfo(np.float32).max))


def fit_groups(
    groups: ArrayLike,
    family: FormatFamily,
    *,
    rule: str = "absmax",
    percentile: float = 99.9,
    importance: ArrayLike | None = None,
    arithmetic: str = "float32",
) -> Fitted:
    """Quantize groups of weights, each with a format and scale of its own.

    Parameters
    ----------
    groups : real (R, size), finite, one group per row; rounded to ``arithmetic`` first.
    family : formats to choose from in each group.
    rule : ``absmax``, ``mse`` or ``percentile``.
    percentile : share of the magnitudes for that rule, in percent.
    importance : weights of the squared errors, (R, size) or (size,), finite, not negative; they
        matter where formats or scales are chosen by error.
    arithmetic : ``float32``, or ``float16`` for the released quantizer's.

    Returns
    -------
    codes uint8 (R, size), format ids uint8 (R,), scales float32 (R,) with float16 values.

    Raises
    ------
    InputError : anything else, or magnitudes beyond :func:`largest_weight`.
    """
    check_settings(rule, percentile, arithmetic)
    array = as_float32(groups, "groups", half=arithmetic == "float16")
    if array.ndim != 2 or not array.shape[1]:
        raise InputError(f"groups must be 2-D (groups, weights) and not empty, not {array.shape}")
    per_group = importance is not None and np.ndim(importance) == 2
    weights = check_importance(importance, array.shape if per_group else array.shape[1:])
    limit = largest_weight(family, arithmetic)
    if np.abs(array).max(initial=0) > limit:
        raise InputError(f"groups hold {np.abs(array).max()}, {arithmetic} takes up to {limit:g}")
    return fit_checked(
        array,
        None if weights is None else weights.reshape(-1, array.shape[1]),
        family=family,
        rule=rule,
        percentile=percentile,
        arithmetic=arithmetic,
    )


def as_float32(values: ArrayLike, what: str, *, half: bool = False) -> NDArray[np.float32]:
    """Finite real values as a C-ordered float32 array, rounded to float16 first if ``half``.

    Raises
    ------
    InputError : values that are not numbers, or not finite once rounded.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} must be real numbers, not {array.dtype}")
    with np.errstate(over="ignore"):
        if half:
            array = array.astype(np.float16)
        array = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise InputError(f"{what} hold {array[place]} at {place}: all must be finite")
    return array


def nearest_codes(
    values: ArrayLike, family: FormatFamily, ids: ArrayLike, scales: ArrayLike
) -> NDArray[np.uint8]:
    """Codes of the levels nearest to ``values``, with formats and scales given.

    The arithmetic is ``float32``: ``values / (scale * unit)``, then the nearest level. A scale of 0
    gives the level nearest to 0.

    Parameters
    ----------
    values : real (R, n), finite.
    family : the formats.
    ids : whole numbers (R,), index of each row's format in ``family.members``.
    scales : (R,), finite and not negative.

    Returns
    -------
    uint8 (R, n).

    Raises
    ------
    InputError : anything else.
    """
    from . import kernels

    wanted = as_float32(values, "values")
    chosen = np.asarray(ids)
    steps = np.ascontiguousarray(scales, dtype=np.float32)
    if wanted.ndim != 2 or chosen.shape != wanted.shape[:1] or steps.shape != wanted.shape[:1]:
        raise InputError(
            f"values {wanted.shape}, ids {chosen.shape} and scales {steps.shape} do not go together"
        )
    if chosen.dtype.kind not in "ui" or (
        chosen.size and not 0 <= chosen.min() <= chosen.max() < len(family.members)
    ):
        raise InputError(f"ids must be whole numbers from 0 to {len(family.members) - 1}")
    if not (np.isfinite(steps).all() and (steps >= 0).all()):
        raise InputError("scales must be finite and not negative")
    members = np.ascontiguousarray(chosen, dtype=np.uint8)
    return kernels.nearest(wanted, members, steps, grids(family, "float32"))
