"""Weights as a sum of planes: matrices of few levels, each an extra pass of the same PE.

    weight ~= sum over planes of  level * scale of the plane's group

A plane has what a quantized matrix has (codes, one format, scales per group of a row), so a machine
runs each plane as one pass and adds the results. Scales are not negative and are float16 values;
levels are chosen after the scales are rounded; groups too small for float16 get scale 0. Fits are
computed in float64. Trit-planes are in `trit_planes.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .format import FormatFamily
from .tables import get_family

DUAL_BINARY = FormatFamily(
    name="dual_binary",
    members=tuple(get_family(f"dual_binary_{sign}").members[0] for sign in ("pos", "neg")),
)
"""The two planes of DB-LLM: bits that count +1, and bits that count -1."""

#: shares of the largest scale that dual binarization tries
CLIP_SHARES = tuple(share / 50 for share in range(50, 14, -1))

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One pass: codes of one format with a scale per group.

    Attributes
    ----------
    family, member : the codes' format is ``family.members[member]``.
    codes : uint8 (N, K).
    group_size : weights per group along K; the last group of a row may be shorter.
    scales : float32 (N, groups), not negative, float16 values.
    """

    family: FormatFamily
    member: int = 0
    codes: NDArray[np.uint8]
    group_size: int
    scales: NDArray[np.float32]

    @property
    def levels(self) -> NDArray[np.int64]:
        """Level of every weight, int64 (N, K)."""
        return self.family.members[self.member].decode(self.codes)

    def dequantize(self) -> Array:
        """This plane's share of the weights, exact, float64 (N, K)."""
        columns = self.codes.shape[1]
        steps = np.repeat(self.scales.astype(np.float64), self.group_size, axis=1)[:, :columns]
        return self.levels * float(self.family.unit) * steps


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaneSum:
    """Weights as the sum of planes of one shape, in the order of their passes."""

    planes: tuple[Plane, ...]

    def dequantize(self) -> Array:
        """Weights, float64 (N, K): the planes' shares added in order."""
        return np.sum([plane.dequantize() for plane in self.planes], axis=0)


def checked_weights(weights: ArrayLike) -> Array:
    """Weights (N, K) in float64; anything but finite numbers in a matrix is refused."""
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise InputError("weights must be a non-empty 2-D array of finite numbers")
    return array


def grouped(array: Array, group_size: int) -> Array:
    """Weights (N, groups, group_size), a shorter last group filled with zeros."""
    if isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1:
        raise InputError(f"group_size must be a whole number of at least 1, not {group_size!r}")
    padded = np.pad(array, ((0, 0), (0, -array.shape[1] % group_size)))
    return padded.reshape(len(array), -1, group_size)


def half_scales(scales: Array) -> NDArray[np.float32]:
    """Scales rounded to float16 values."""
    with np.errstate(over="ignore"):
        halves = scales.astype(np.float16)
    if np.isinf(halves).any():
        raise InputError(f"a scale of {scales.max():g} is beyond float16: scale the weights down")
    return halves.astype(np.float32)


def plane_of(
    family: FormatFamily,
    levels: NDArray,
    scales: NDArray[np.float32],
    columns: int,
    *,
    member: int = 0,
) -> Plane:
    """A plane from levels (N, groups, size) and scales (N, groups)."""
    flat = levels.reshape(len(levels), -1)[:, :columns]
    codes = family.members[member].encode(flat).astype(np.uint8)
    return Plane(
        family=family, member=member, codes=codes, group_size=levels.shape[2], scales=scales
    )


def dual_binary(weights: ArrayLike, *, group_size: int = 128) -> PlaneSum:
    """DB-LLM's start: ``w ~= 2 s b1 - s b2`` with bits b1, b2, so the values -s, 0, s, 2 s.

    ``b1 = w >= s / 2`` and ``b2 = w - 2 s b1 <= -s / 2``. Per group, s is that of
    ``CLIP_SHARES * max(max w / 2, max -w)``, float16 values, with the least sum of squared errors,
    the largest of equals (provisional: the paper's s comes from its 2-bit quantizer). Training
    would then move the two scales apart.
    """
    array = checked_weights(weights)
    groups = grouped(array, group_size)
    top = np.maximum(groups.max(axis=2) / 2, -groups.min(axis=2))
    least = np.full(top.shape, np.inf)
    scales = np.zeros(top.shape, dtype=np.float32)
    for share in CLIP_SHARES:
        half = half_scales(share * top)
        first, second = _dual_bits(groups, half)
        step = half.astype(np.float64)[..., None]
        error = ((2 * step * first - step * second - groups) ** 2).sum(axis=2)
        better = error < least
        scales[better], least[better] = half[better], error[better]
    first, second = _dual_bits(groups, scales)
    doubled = half_scales(2 * scales.astype(np.float64))
    columns = array.shape[1]
    return PlaneSum(
        planes=(
            plane_of(DUAL_BINARY, first.astype(np.int64), doubled, columns),
            plane_of(DUAL_BINARY, -second.astype(np.int64), scales, columns, member=1),
        )
    )


def _dual_bits(
    groups: Array, scales: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bits b1 and b2 (N, groups, size); none where the scale is 0."""
    step = scales.astype(np.float64)[..., None]
    first = (groups >= step / 2) & (step > 0)
    return first, (groups - 2 * step * first <= -step / 2) & (step > 0)


def residual_planes(weights: ArrayLike, *, bits: int, terms: int, keep: float = 1.0) -> PlaneSum:
    """REx (arXiv:2203.14645): each term quantizes what the terms before it leave.

    Every term is symmetric int{bits} with a scale max|rest| / (2**(bits - 1) - 1) per output
    channel; no error ever grows with another term.

    Parameters
    ----------
    bits : 2 to 8.
    terms : planes, at least 1.
    keep : from the second term on, only this fraction of the output channels (rounded up, those
        with the largest sum of squares left) get one; the others' levels are 0. In (0, 1].
        Provisional: the paper chooses groups by their importance.
    """
    array = checked_weights(weights)
    if bits not in range(2, 9):
        raise InputError(f"residual planes have 2 to 8 bits, not {bits!r}")
    if isinstance(terms, bool) or not isinstance(terms, int) or terms < 1:
        raise InputError(f"residual planes need 1 term or more, not {terms!r}")
    if not 0 < keep <= 1:
        raise InputError(f"the kept fraction of channels lies in (0, 1], not {keep!r}")
    family = get_family(f"int{bits}")
    rest, planes = array, []
    for term in range(terms):
        scales = half_scales(np.abs(rest).max(axis=1, keepdims=True) / ((1 << bits - 1) - 1))
        if term and keep < 1:
            kept = int(np.ceil(keep * len(array)))
            order = np.argsort(-(rest**2).sum(axis=1), kind="stable")
            scales[order[kept:]] = 0
        step = scales.astype(np.float64)
        quotient = np.divide(rest, step, out=np.zeros_like(rest), where=step > 0)
        codes = family.members[0].cast(quotient).astype(np.uint8)
        plane = Plane(family=family, codes=codes, group_size=array.shape[1], scales=scales)
        rest = rest - plane.dequantize()
        planes.append(plane)
    return PlaneSum(planes=tuple(planes))


def nested_read(stored: Plane, bits: int) -> Plane:
    """Read a store of integers at fewer bits (Double Rounding, recalled, so provisional).

    Level ``clip(round(q / 2**(h - bits)))``, ties to even, clipped to the levels of the narrower
    format; scale ``s * 2**(h - bits)``.

    Parameters
    ----------
    stored : a plane of ``int{h}`` or ``int{h}_full``; the result has the same kind.
    bits : 2 to h.
    """
    name, _, kind = stored.family.name.partition("_")
    if not name.startswith("int") or not name[3:].isdigit() or kind not in ("", "full"):
        raise InputError(f"nested reads need integers, not '{stored.family.name}'")
    shift = stored.family.bits - bits
    if bits not in range(2, stored.family.bits + 1):
        raise InputError(
            f"'{stored.family.name}' can be read at 2 to {stored.family.bits} bits, not {bits!r}"
        )
    family = get_family(f"int{bits}_{kind}" if kind else f"int{bits}")
    grid = family.members[0].grid
    levels = np.rint(stored.levels / (1 << shift)).clip(grid[0], grid[-1]).astype(np.int64)
    return Plane(
        family=family,
        codes=family.members[0].encode(levels).astype(np.uint8),
        group_size=stored.group_size,
        scales=half_scales(stored.scales.astype(np.float64) * (1 << shift)),
    )
