"""OliVe: outlier-victim pairs, two 4-bit codes that mean something only together.

    code of a pair      left value      right value
    (a, b)              normal(a)       normal(b)
    (a, 1000)           outlier(a)      0, the victim
    (1000, b)           0, the victim   outlier(b)

A pair is two neighbours in a row, (0, 1), (2, 3) ...; 1000 is the identifier. Packed, a pair is one
byte with the left code in the low nibble (packing ``olive4``; which nibble is this project's
choice), and is decoded from that byte alone.

Source: OliVe (ISCA 2023) and its release; levels are in units of the normal format's step.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

from .format import FormatFamily, NumberFormat
from .packing import IDENTIFIER
from .tables import get_family

BothOutliers = Literal["left", "larger"]


@dataclass(frozen=True, kw_only=True)
class PairFormat:
    """Normal levels and abfloat outliers in aligned pairs of 4-bit codes.

    An outlier code is sign, two exponent bits e and a mantissa bit m, and stands for
    ``+-(2 + m) << (e + bias)``. e = m = 0 is not used, with either sign: so 1000 is never an
    outlier, and 0000 beside an identifier never arises.

    Parameters
    ----------
    name : canonical name.
    normal : 4-bit format without a level at 1000, so that no normal code is the identifier.
    bias : added to the outlier's exponent; every outlier must exceed every normal level.
    both_outliers : which of two outliers in a pair stays: the ``left`` one (the release) or the
        ``larger`` one, the left of equals (the paper).
    """

    name: str
    normal: NumberFormat
    bias: int
    both_outliers: BothOutliers = "left"

    def __post_init__(self) -> None:
        if self.both_outliers not in ("left", "larger"):
            raise unknown_name("rule for two outliers", self.both_outliers, ("left", "larger"))
        if self.normal.bits != 4 or self.normal.levels[IDENTIFIER] is not None:
            raise InputError(
                f"pair format '{self.name}': normal format '{self.normal.name}' must have 4 bits "
                "and leave code 1000, the identifier, unused"
            )
        if 0 not in self.normal.levels:
            raise InputError(f"pair format '{self.name}': '{self.normal.name}' has no level 0")
        smallest = 3 << self.bias
        if smallest <= self.normal.max_magnitude:
            raise InputError(
                f"pair format '{self.name}': bias {self.bias} puts outliers from {smallest} among "
                f"normal levels up to {self.normal.max_magnitude}"
            )

    @cached_property
    def outlier_levels(self) -> tuple[int | None, ...]:
        """Outlier level of every 4-bit code, None for the two that are not used."""
        magnitudes = [(2 + (c & 1)) << ((c >> 1) + self.bias) for c in range(8)]
        return (None, *magnitudes[1:], None, *(-level for level in magnitudes[1:]))

    @cached_property
    def _grid(self) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.bool_]]:
        """All levels in rising order, their codes, and which are outliers."""
        entries = [(int(v), int(self.normal.encode([v])[0]), False) for v in self.normal.grid]
        entries += [(v, c, True) for c, v in enumerate(self.outlier_levels) if v is not None]
        levels, codes, outliers = zip(*sorted(entries), strict=True)
        return np.array(levels), np.array(codes, dtype=np.uint8), np.array(outliers)

    @property
    def bits_per_weight(self) -> float:
        """4: pairs cost nothing beyond the codes."""
        return 4.0

    @property
    def all_levels(self) -> tuple[int, ...]:
        """Normal and outlier levels in rising order."""
        return tuple(self._grid[0].tolist())

    @cached_property
    def byte_table(self) -> tuple[tuple[int, int] | None, ...]:
        """Levels (left, right) of every byte, left code in the low nibble; None: no meaning."""
        return tuple(self._pair_levels(byte & 15, byte >> 4) for byte in range(256))

    def _pair_levels(self, left: int, right: int) -> tuple[int, int] | None:
        """Levels of a pair of codes, as a decoder at the border of the array forms them."""
        if left == IDENTIFIER or right == IDENTIFIER:
            outlier = self.outlier_levels[left if right == IDENTIFIER else right]
            if outlier is None:
                return None
            return (outlier, 0) if right == IDENTIFIER else (0, outlier)
        one, two = self.normal.levels[left], self.normal.levels[right]
        return None if one is None or two is None else (one, two)

    def encode(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Codes of finite real values (N, K), in units of the normal step.

        Each value goes to the nearest level, normal or outlier; halfway cases to the higher one
        (the later entry of the release's rising grid). Then the partner of an outlier becomes its
        victim. An odd K gets a last column of zeros.

        Returns
        -------
        uint8 (N, K rounded up to even).

        Raises
        ------
        InputError : not a non-empty matrix of finite numbers.
        """
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or not array.size or not np.isfinite(array).all():
            raise InputError(
                f"pair format '{self.name}': values must be a non-empty 2-D array of finite numbers"
            )
        levels, codes, outliers = self._grid
        pairs = np.pad(array, ((0, 0), (0, array.shape[1] % 2))).reshape(len(array), -1, 2)
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, pairs, side="right")
        outlier = outliers[nearest]
        keep_right = outlier[..., 1] & ~outlier[..., 0]
        if self.both_outliers == "larger":
            magnitude = np.abs(levels[nearest])
            keep_right |= outlier.all(axis=2) & (magnitude[..., 1] > magnitude[..., 0])
        victim = np.stack([keep_right, outlier[..., 0] & ~keep_right], axis=2)
        return np.where(victim, IDENTIFIER, codes[nearest]).reshape(len(array), -1).astype(np.uint8)

    def decode(self, codes: ArrayLike, *, columns: int | None = None) -> NDArray[np.int64]:
        """Levels of codes (N, even K), one lookup per pair.

        Parameters
        ----------
        columns : keep only the first ones, to drop the column that padded an odd K.

        Raises
        ------
        InputError : codes that are not whole pairs of 4-bit integers; pairs with no meaning.
        """
        array = np.asarray(codes)
        if array.ndim != 2 or not array.size or array.dtype.kind not in "iu" or array.shape[1] % 2:
            raise InputError(
                f"pair format '{self.name}': codes must be a non-empty integer array (N, K), K even"
            )
        if array.min() < 0 or array.max() > 15:
            raise InputError(f"pair format '{self.name}': codes lie in 0..15")
        if columns is not None and columns not in (array.shape[1] - 1, array.shape[1]):
            raise InputError(
                f"pair format '{self.name}': {array.shape[1]} codes in a row are not {columns} "
                "values in pairs"
            )
        left, right = array[:, 0::2].astype(np.int64), array[:, 1::2].astype(np.int64)
        used = np.array([pair is not None for pair in self.byte_table])
        table = np.array([pair or (0, 0) for pair in self.byte_table], dtype=np.int64)
        pairs = left | right << 4
        if not used[pairs].all():
            n, pair = np.argwhere(~used[pairs])[0]
            raise InputError(
                f"pair format '{self.name}': row {n}, pair {pair} is "
                f"({left[n, pair]:04b}, {right[n, pair]:04b}), which has no meaning"
            )
        return table[pairs].reshape(array.shape)[:, :columns]

    @cached_property
    def family(self) -> FormatFamily:
        """The codes behind the pair decoder: bit 4 marks an outlier, a victim is code 0."""
        stream = NumberFormat(
            name=self.name,
            bits=5,
            levels=(*self.normal.levels, *self.outlier_levels),
            source="OliVe (ISCA 2023)",
        )
        return FormatFamily(name=self.name, members=(stream,), pairs=True)

    def stream(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """5-bit codes of stored ones (N, even K): what the pair decoder makes of them."""
        pairs = codes.reshape(len(codes), -1, 2)
        outlier = pairs[..., ::-1] == IDENTIFIER
        expanded = np.where(pairs == IDENTIFIER, 0, pairs | outlier.astype(np.uint8) << 4)
        return expanded.reshape(codes.shape).astype(np.uint8)


def stored_codes(codes: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Stored codes of ``bits + 1``-bit ones (..., even count), the inverse of the pair decoder.

    Raises
    ------
    InputError : two outliers in a pair, or an outlier beside anything but code 0.
    """
    pairs = codes.reshape(*codes.shape[:-1], -1, 2)
    outlier = pairs >> bits == 1
    victim = outlier[..., ::-1]
    if (victim & (pairs != 0)).any():
        raise InputError("a pair holds an outlier beside a weight that is not 0")
    stored = np.where(victim, 1 << (bits - 1), pairs & (1 << bits) - 1)
    return stored.reshape(codes.shape)


def without_crowded_pairs(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Codes (N, K) with every outlier's neighbour made a victim; of two the left one stays."""
    columns = codes.shape[1]
    pairs = np.pad(codes, ((0, 0), (0, columns % 2))).reshape(len(codes), -1, 2)
    outlier = pairs >> bits == 1
    victim = np.stack([outlier[..., 1] & ~outlier[..., 0], outlier[..., 0]], axis=2)
    return np.where(victim, 0, pairs).reshape(len(codes), -1)[:, :columns].astype(np.uint8)


@cache
def pair_formats(both_outliers: BothOutliers = "left") -> dict[str, PairFormat]:
    """The listed pair formats by name."""
    normals = {"olive4": ("int4", 2), "olive4_flint": ("flint4s", 3)}
    return {
        name: PairFormat(
            name=name,
            normal=get_family(normal).members[0],
            bias=bias,
            both_outliers=both_outliers,
        )
        for name, (normal, bias) in normals.items()
    }


def get_pair_format(name: str, *, both_outliers: BothOutliers = "left") -> PairFormat:
    """The pair format called ``name``: ``olive4`` (normal int4) or ``olive4_flint`` (flint4s).

    Raises
    ------
    InputError : no such format (the nearest name is given), or rule for two outliers.
    """
    known = pair_formats(both_outliers)
    if name not in known:
        raise unknown_name("pair format", name, known)
    return known[name]
