"""A number format: the one definition that every other part of bitsmith reads."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

Ties = Literal["even", "lower", "away", "zero"]
#: integers: int64, or Python's own in an object array where int64 is too narrow
Integers = NDArray[Any]


def integer_array(values: Sequence[Any]) -> Integers:
    """``values`` (nested sequences of one shape) as int64, or as Python integers if wider."""
    exact = np.array(values, dtype=object)
    wide = exact.size and max(exact.max(), -exact.min()) >> 63
    return exact if wide else exact.astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class NumberFormat:
    """A table from code to level.

    A code stands for the real value ``level * unit``; levels are integers of any size, and the
    unit folds into the scale, so that all arithmetic below the scale is exact. Arrays of levels
    are int64 unless the format's own levels are wider (bfloat16, float8_e8m0fnu): then they hold
    Python integers.

    Parameters
    ----------
    name : canonical name (ml_dtypes / OCP / BitMoD spelling).
    bits : code width in bits.
    levels : ``2**bits`` integers by code; ``None`` marks a code that no encoder emits.
    unit : value of level 1.
    specials : code -> nan, inf or -inf; such codes have no level. The first NaN listed is the one
        that :meth:`cast` gives.
    ties : how :meth:`cast` rounds halfway cases: to the even code, to the lower level, away from
        zero (0 itself: up), or to the level nearer to zero.
    codebook_values : published real value by code where the levels only come near it (code books
        on an integer grid, square roots); None where ``level * unit`` is the value.
    provisional : the source was recalled, not read; docs/formats.md keeps the mark.
    source : where the table is published.
    """

    name: str
    bits: int
    levels: tuple[int | None, ...]
    unit: Fraction = Fraction(1)
    specials: Mapping[int, float] = field(default_factory=dict)
    ties: Ties = "lower"
    codebook_values: tuple[float | None, ...] | None = None
    provisional: bool = False
    source: str

    def __post_init__(self) -> None:
        if len(self.levels) != 1 << self.bits:
            raise InputError(
                f"format '{self.name}' has {len(self.levels)} levels, "
                f"its {self.bits}-bit code needs {1 << self.bits}"
            )
        if all(level is None for level in self.levels):
            raise InputError(f"format '{self.name}' has no level at all")
        for code in self.specials:
            if self.levels[code] is not None:
                raise InputError(f"format '{self.name}': code {code} is special and has a level")
        if self.codebook_values is not None and len(self.codebook_values) != len(self.levels):
            raise InputError(f"format '{self.name}': one code book value per code is needed")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NumberFormat):
            return NotImplemented
        return self is other or self._key == other._key

    def __hash__(self) -> int:
        return hash((self.name, self.bits, self.unit))

    @property
    def _key(self) -> tuple[object, ...]:
        """Everything that makes formats equal; specials as text, because nan is not nan."""
        specials = sorted((code, str(value)) for code, value in self.specials.items())
        fields = (self.name, self.bits, self.levels, self.unit, self.ties, self.codebook_values)
        return (*fields, specials, self.provisional, self.source)

    @cached_property
    def _code_by_level(self) -> dict[int, int]:
        """Lowest code of every level, levels in rising order."""
        lowest: dict[int, int] = {}
        for code, level in enumerate(self.levels):
            if level is not None:
                lowest.setdefault(level, code)
        return dict(sorted(lowest.items()))

    @cached_property
    def _grid_codes(self) -> NDArray[np.int64]:
        """Lowest code of every level of :attr:`grid`, shape (count,)."""
        return _frozen(np.array(list(self._code_by_level.values()), dtype=np.int64))

    @cached_property
    def grid(self) -> Integers:
        """Distinct levels in rising order, shape (count,), read-only."""
        return _frozen(integer_array(list(self._code_by_level)))

    @cached_property
    def max_magnitude(self) -> int:
        """Largest absolute level."""
        return max(abs(level) for level in self.levels if level is not None)

    @property
    def values(self) -> tuple[float | None, ...]:
        """Real value of every code: level times unit, nan or inf for specials, None if unused."""
        up, down = self.unit.as_integer_ratio()
        return tuple(
            self.specials.get(code) if level is None else level * up / down
            for code, level in enumerate(self.levels)
        )

    @cached_property
    def _cuts(self) -> NDArray[np.float64]:
        """Least float64 that :meth:`cast` rounds to each level but the lowest, (count - 1,).

        Found in exact arithmetic, so that no cast ever rounds twice.
        """
        cuts = []
        scale = 2 * self.unit.denominator
        for below, (level, code) in itertools.pairwise(self._code_by_level.items()):
            numerator = (below[0] + level) * self.unit.numerator
            middle = numerator / scale
            top, bottom = middle.as_integer_ratio()
            error = top * scale - numerator * bottom
            if error == 0:
                rounds_up = {
                    "even": code % 2 == 0,
                    "lower": False,
                    "away": middle >= 0,
                    "zero": middle < 0,
                }[self.ties]
            else:
                rounds_up = error > 0
            cuts.append(middle if rounds_up else math.nextafter(middle, math.inf))
        return np.array(cuts, dtype=np.float64)

    def cast(self, values: ArrayLike) -> NDArray[np.int64]:
        """Codes of the nearest values (any shape), saturating: inf becomes the largest level.

        The value compared is ``level * unit`` (not the posit rule, which rounds bit strings).
        Halfway cases follow :attr:`ties`; of two codes for one level the lower wins, so a result
        of zero is +0. NaN needs a code for it.

        Raises
        ------
        InputError : a NaN in a format that has none.
        """
        wanted = np.asarray(values, dtype=np.float64)
        nan = np.isnan(wanted)
        index = np.searchsorted(self._cuts, np.where(nan, 0.0, wanted), side="right")
        codes = self._grid_codes[index]
        if nan.any():
            nan_codes = [code for code, value in self.specials.items() if math.isnan(value)]
            if not nan_codes:
                raise InputError(f"format '{self.name}' has no code for NaN")
            codes = np.where(nan, nan_codes[0], codes)
        return codes

    @property
    def padding_code(self) -> int:
        """Code that pads ragged chunks and missing columns: level 0, or the first code used.

        Padded chunk positions meet activation 0, so either adds nothing. Missing columns meet real
        activations: without a level 0 their (discarded) sums may set a column's sticky bit.
        """
        if 0 in self.levels:
            return self.levels.index(0)
        return next(code for code, level in enumerate(self.levels) if level is not None)

    @cached_property
    def _level_by_code(self) -> Integers:
        """Level of every code, 0 where there is none."""
        return integer_array([level or 0 for level in self.levels])

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """Whether a code has a level."""
        return np.array([level is not None for level in self.levels])

    def decode(self, codes: ArrayLike) -> Integers:
        """Levels of ``codes`` (any shape); unused or out-of-range codes are refused."""
        codes = np.asarray(codes)
        if codes.size and (codes.min() < 0 or codes.max() >= len(self.levels)):
            bad = codes[(codes < 0) | (codes >= len(self.levels))].flat[0]
            raise InputError(f"code {bad} is outside 0..{len(self.levels) - 1} of '{self.name}'")
        if not self._used[codes].all():
            bad = codes[~self._used[codes]].flat[0]
            raise InputError(f"code {bad} has no level in '{self.name}'")
        return self._level_by_code[codes]

    def encode(self, levels: ArrayLike) -> NDArray[np.unsignedinteger]:
        """Codes of exact ``levels`` (any shape); the lowest code wins where two share a level."""
        grid = self.grid
        levels = np.asarray(levels, dtype=grid.dtype)
        index = np.minimum(np.searchsorted(grid, levels), len(grid) - 1)
        if not np.array_equal(grid[index], levels):
            bad = levels[grid[index] != levels].flat[0]
            raise InputError(f"level {bad} does not exist in '{self.name}'")
        codes: NDArray[np.unsignedinteger] = self._grid_codes[index].astype(
            np.uint8 if self.bits <= 8 else np.uint16
        )
        return codes


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def sign_magnitude(
    name: str, magnitudes: Sequence[int], *, minus_zero: int | None, **fields: Any
) -> NumberFormat:
    """Sign bit on top of an index into ``magnitudes``.

    Parameters
    ----------
    magnitudes : ``2**(bits - 1)`` levels by code, the first being 0.
    minus_zero : level of the code "minus 0", or None to leave it unused.
    fields : remaining fields of :class:`NumberFormat`.
    """
    negative = [minus_zero if code == 0 else -level for code, level in enumerate(magnitudes)]
    return NumberFormat(
        name=name, bits=len(magnitudes).bit_length(), levels=(*magnitudes, *negative), **fields
    )


def from_values(name: str, values: Sequence[Fraction | None], **fields: Any) -> NumberFormat:
    """Format of exact ``values`` by code (None: no level), on the coarsest unit that fits all."""
    used = [value for value in values if value is not None]
    denominator = math.lcm(*(value.denominator for value in used))
    unit = Fraction(math.gcd(*(int(value * denominator) for value in used)), denominator)
    levels = tuple(None if value is None else int(value / unit) for value in values)
    bits = (len(values) - 1).bit_length()
    return NumberFormat(name=name, bits=bits, levels=levels, unit=unit, **fields)


@dataclass(frozen=True, kw_only=True)
class FormatFamily:
    """Formats that may be mixed per group inside one layer.

    Members share code width and unit; a group's *format id* is its member's index.

    Parameters
    ----------
    name : canonical name.
    members : the formats.
    pairs : codes are stored as outlier-victim pairs (:mod:`sw.formats.pairs`): the top bit of a
        code, which marks an outlier, is not stored; the outlier's neighbour, a zero, is stored as
        the identifier instead.
    """

    name: str
    members: tuple[NumberFormat, ...]
    pairs: bool = False

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError(f"family '{self.name}' has no members")
        widths = {member.bits for member in self.members}
        units = {member.unit for member in self.members}
        if len(widths) > 1 or len(units) > 1:
            raise InputError(
                f"members of family '{self.name}' differ in code width or unit: "
                f"widths {sorted(widths)}, units {sorted(map(str, units))}"
            )

    @property
    def bits(self) -> int:
        """Code width in bits."""
        return self.members[0].bits

    @property
    def stored_bits(self) -> int:
        """Bits of a code in memory and on the weight stream."""
        return self.bits - self.pairs

    @property
    def unit(self) -> Fraction:
        """Value of level 1."""
        return self.members[0].unit

    @property
    def id_bits(self) -> int:
        """Bits of a group's format id; 0 for a single format."""
        return (len(self.members) - 1).bit_length()

    @cached_property
    def special_code(self) -> int | None:
        """The one code whose level differs between members (BitMoD's special value), or None.

        None also where several codes differ, and for a single format.
        """
        codes = range(1 << self.bits)
        differing = [c for c in codes if len({m.levels[c] for m in self.members}) > 1]
        return differing[0] if len(differing) == 1 else None

    @property
    def all_levels(self) -> tuple[int, ...]:
        """Union of the members' levels in rising order."""
        return tuple(sorted({int(v) for member in self.members for v in member.grid}))

    @property
    def max_magnitude(self) -> int:
        """Largest absolute level of any member."""
        return max(member.max_magnitude for member in self.members)

    @property
    def level_table(self) -> Integers:
        """Levels by (format id, code), shape (members, 2**bits); unused codes read 0."""
        return integer_array([[v or 0 for v in m.levels] for m in self.members])
