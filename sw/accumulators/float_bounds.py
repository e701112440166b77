"""How far an aligned machine's outputs can be from exact ones, whatever the activations.

The proof is in docs/numerics.md, "Error bound".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.compile.floating import FloatWidths
from sw.compile.scales import scale_integers, scale_parts

from .checks import Integers, integer_array
from .float_registers import Register, TooWide, Units, slots, units_of
from .schedule import Schedule

#: weights handled at a time, so that memory does not grow with the layer
_BLOCK_WEIGHTS = 1 << 20
_FLOAT32_BITS = 24
#: results below this do not overflow float32
_FLOAT32_END = Fraction(2) ** 128 - Fraction(2) ** 103


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatBounds:
    """Largest possible errors of a layer on an aligned machine, per output channel.

    Outputs are counted as they leave the machine: sums of level, scale integer and activation.

    Attributes
    ----------
    errors : largest |machine - exact| of results that do not overflow float32, Fractions (N,).
    largest : largest |exact output|, Fractions (N,).
    inner_exponents, outer_exponents : no accumulator's exponent is larger, int64 (N,).
    overflows : bool (N,), a result might not fit float32.
    """

    errors: NDArray[Any]
    largest: NDArray[Any]
    inner_exponents: NDArray[np.int64]
    outer_exponents: NDArray[np.int64]
    overflows: NDArray[np.bool_]

    @property
    def relative(self) -> NDArray[np.float64]:
        """``errors / largest`` in float64, rounded up; 0 for a channel that is always 0."""
        pairs = zip(self.errors, self.largest, strict=True)
        return np.array([_float_above(e / m if m else Fraction(0)) for e, m in pairs])

    @property
    def exact(self) -> NDArray[np.bool_]:
        """Channels in which nothing is ever rounded, (N,)."""
        return np.array([not error for error in self.errors]) & ~self.overflows

    @property
    def bit_exact(self) -> bool:
        """Whether every result of the layer is the exact one."""
        return bool(self.exact.all())


def _float_above(value: Fraction) -> float:
    """The nearest float64 that is not below ``value``."""
    near = float(value)
    return near if Fraction(near) >= value else float(np.nextafter(near, np.inf))


def layer_float_bounds(
    levels: ArrayLike,
    *,
    widths: FloatWidths,
    group_size: int,
    scale_codes: NDArray[np.uint8],
    largest_activation: Fraction | float | None = None,
    padding: NDArray[np.int64] | None = None,
) -> FloatBounds:
    """Worst case of one layer over all activations up to a magnitude.

    Parameters
    ----------
    levels : integer weights (N, K).
    widths : the aligned machine: lanes, terms, alignment, roundings and mantissas.
    group_size : weights that share a scale.
    scale_codes : as the machine takes them, (N, groups).
    largest_activation : no activation is larger in magnitude; ``None`` for the format's largest.
    padding : level that lanes without an input hold, (N, groups); ``None`` for 0.

    Raises
    ------
    InputError : arrays that do not fit together, a level without terms, a negative magnitude.
    """
    whole = integer_array(levels, "levels", ndim=2)
    schedule = Schedule(
        length=whole.shape[1], group_size=group_size, lanes=widths.array.lanes, terms=None
    )
    shape = (len(whole), schedule.groups)
    if scale_codes.shape != shape:
        raise InputError(f"scale codes have shape {scale_codes.shape}, the layer needs {shape}")
    padding = np.zeros(shape, dtype=np.int64) if padding is None else padding
    units = units_of(widths, largest_activation)
    rows = max(1, _BLOCK_WEIGHTS // schedule.length)
    parts = []
    for first in range(0, len(whole), rows):
        block = slice(first, first + rows)
        arguments = (units, whole[block], group_size, scale_codes[block], padding[block])
        try:
            parts.append(_block_bounds(*arguments, np.int64))
        except TooWide:
            parts.append(_block_bounds(*arguments, object))
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])
    }
    return FloatBounds(**joined)


def is_bit_exact(levels: ArrayLike, **settings: Any) -> bool:
    """Whether no rounding can happen; arguments as :func:`layer_float_bounds`."""
    return layer_float_bounds(levels, **settings).bit_exact


def _block_bounds(
    units: Units,
    levels: Integers,
    group_size: int,
    scale_codes: NDArray[np.uint8],
    padding: Integers,
    kind: Any,
) -> FloatBounds:
    """Bounds of some channels, magnitudes in ``kind``."""
    widths, scale, count = units.widths, units.widths.array.scale, len(levels)
    scales = scale_integers(scale, scale_codes).astype(kind)
    shifts = scale_parts(scale, scale_codes)[1]
    l1 = np.abs(levels).astype(kind)
    starts = range(0, levels.shape[1], group_size)
    sums = np.stack([l1[:, s : s + group_size].sum(axis=1) for s in starts], axis=1)
    total = [int(t) * units.quarters for t in (sums.astype(object) * scales).sum(axis=1)]
    widest = (int(sums.max()) + widths.terms.worst_escape * levels.shape[1]) * units.quarters
    if kind is np.int64 and max(widest, *total) >> 56:
        raise TooWide
    zeros = common_zeros(scale_integers(scale, scale_codes))
    outer = Register(
        units,
        bits=widths.outer_bits,
        full=False,
        exact_below=zeros + units.guard - units.base,
        kind=kind,
    )
    errors, reached = np.zeros(count, dtype=object), np.zeros(count, dtype=kind)
    inner_exponents = np.zeros(count, dtype=np.int64)
    for group, start in enumerate(starts):
        own, exponent = _group_error(
            units, levels[:, start : start + group_size], padding[:, group], kind
        )
        if kind is np.int64 and int(own.max()) * int(scales.max()) >> 58:
            raise TooWide
        reached = reached + (sums[:, group] * units.quarters + own) * scales[:, group]
        outer.add(reached, exponent + shifts[:, group])
        errors = errors + own.astype(object) * scales[:, group]
        inner_exponents = np.maximum(inner_exponents, exponent)
    errors = errors + outer.error
    results = [int(m) + int(e) for m, e in zip(reached, outer.error, strict=True)]
    converted = [_conversion_error(units, m) for m in results]
    return FloatBounds(
        errors=_objects(units.real(int(e)) + c for e, c in zip(errors, converted, strict=True)),
        largest=_objects(units.real(t) for t in total),
        inner_exponents=inner_exponents + units.base,
        outer_exponents=outer.exponent + units.base,
        overflows=np.array([units.real(m) >= _FLOAT32_END for m in results]),
    )


def _group_error(
    units: Units, levels: Integers, padding: Integers, kind: Any
) -> tuple[Integers, NDArray[np.int64]]:
    """Error of one group's sum and its largest exponent, (n,)."""
    widths, count = units.widths, len(levels)
    inner = Register(
        units,
        bits=widths.inner_bits,
        full=widths.array.floating.normalization == "full",
        exact_below=np.full(count, units.guard - units.base),
        kind=kind,
    )
    lanes = np.zeros(count, dtype=kind)
    for slot in slots(units, levels, padding, kind):
        lanes = lanes + slot.lane_error
        inner.add(slot.sums + (lanes if widths.in_pe else 0), slot.exponent)
    return inner.error + lanes, inner.exponent


def _objects(values: Iterator[Fraction]) -> NDArray[Any]:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    array[:] = listed
    return array


def common_zeros(scales: NDArray[np.int64]) -> NDArray[np.int64]:
    """Zeros at the low end of all scales of a channel, (N,); 0 where all are 0."""
    together = np.bitwise_or.reduce(scales, axis=1)
    return np.array([(v & -v).bit_length() - 1 if v else 0 for v in together.tolist()])


def _conversion_error(units: Units, quarters: int) -> Fraction:
    """Largest error of the conversion to float32 of a sum of up to so many quarters."""
    most = units.real(quarters) / units.widths.layout.unit
    if units.widths.outer_bits <= _FLOAT32_BITS + 1 or most <= 1 << _FLOAT32_BITS:
        return Fraction(0)
    # most < 2**places smallest subnormals: half a last place there
    places = int(most).bit_length()
    return Fraction(2) ** (places - _FLOAT32_BITS - 1) * units.widths.layout.unit
