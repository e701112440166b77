"""A number format: the one definition that every other part of bitsmith reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """A table from code to level.

    A code stands for the real value ``level * unit``; levels are integers, and the unit folds
    into the scale, so that all arithmetic below the scale is exact.

    Parameters
    ----------
    name : canonical name (ml_dtypes / OCP / BitMoD spelling).
    bits : code width in bits.
    levels : ``2**bits`` integers by code; ``None`` marks a code that no encoder emits.
    unit : value of level 1.
    specials : code -> nan, inf or -inf; such codes have no level.
    ties : how :meth:`cast` rounds halfway cases: to the even code, to the lower level, or away
        from zero.
    provisional : the source was recalled, not read; docs/formats.md keeps the mark.
    source : where the table is published.
    """

    name: str
    bits: int
    levels: tuple[int | None, ...]
    unit: Fraction = Fraction(1)
    specials: Mapping[int, float] = field(default_factory=dict)
    ties: Literal["even", "lower", "away"] = "lower"
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

    def __hash__(self) -> int:
        return hash((self.name, self.levels))

    @property
    def grid(self) -> NDArray[np.int64]:
        """Distinct levels in rising order, shape (count,)."""
        return np.array(sorted({v for v in self.levels if v is not None}), dtype=np.int64)

    @property
    def max_magnitude(self) -> int:
        """Largest absolute level."""
        return max(abs(level) for level in self.levels if level is not None)

    @property
    def values(self) -> tuple[float | None, ...]:
        """Real value of every code: level times unit, nan or inf for specials, None if unused."""
        return tuple(
            self.specials.get(code) if level is None else float(level * self.unit)
            for code, level in enumerate(self.levels)
        )

    def cast(self, values: ArrayLike) -> NDArray[np.int64]:
        """Codes of the nearest values (any shape), saturating: inf becomes the largest level.

        Halfway cases follow :attr:`ties`; of two codes for one level the lower wins, so a result
        of zero is +0. NaN needs a code for it.

        Raises
        ------
        InputError : a NaN in a format that has none.
        """
        wanted = np.asarray(values, dtype=np.float64)
        grid = self.grid
        code_of = np.array([self.levels.index(int(level)) for level in grid])
        scaled = np.nan_to_num(wanted, nan=0.0, posinf=np.inf, neginf=-np.inf) / float(self.unit)
        upper = np.searchsorted(grid, scaled).clip(1, max(1, len(grid) - 1))
        upper = np.minimum(upper, len(grid) - 1)
        lower = np.maximum(upper - 1, 0)
        clipped = scaled.clip(grid[0], grid[-1])
        below, above = clipped - grid[lower], grid[upper] - clipped
        prefer_upper = {
            "even": code_of[upper] % 2 == 0,
            "lower": np.zeros(upper.shape, dtype=bool),
            "away": clipped > 0,
        }[self.ties]
        codes = code_of[np.where((above < below) | ((above == below) & prefer_upper), upper, lower)]
        if np.isnan(wanted).any():
            nan_codes = [code for code, value in self.specials.items() if np.isnan(value)]
            if not nan_codes:
                raise InputError(f"format '{self.name}' has no code for NaN")
            codes = np.where(np.isnan(wanted), nan_codes[0], codes)
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

    def decode(self, codes: ArrayLike) -> NDArray[np.int64]:
        """Levels of ``codes`` (any shape); unused or out-of-range codes are refused."""
        codes = np.asarray(codes)
        if codes.size and (codes.min() < 0 or codes.max() >= len(self.levels)):
            bad = codes[(codes < 0) | (codes >= len(self.levels))].flat[0]
            raise InputError(f"code {bad} is outside 0..{len(self.levels) - 1} of '{self.name}'")
        used = np.array([level is not None for level in self.levels])
        if not used[codes].all():
            bad = codes[~used[codes]].flat[0]
            raise InputError(f"code {bad} has no level in '{self.name}'")
        return np.array([level or 0 for level in self.levels], dtype=np.int64)[codes]

    def encode(self, levels: ArrayLike) -> NDArray[np.unsignedinteger]:
        """Codes of exact ``levels`` (any shape); the lowest code wins where two share a level."""
        levels = np.asarray(levels, dtype=np.int64)
        grid = self.grid
        code_of = np.array([self.levels.index(int(level)) for level in grid])
        code_of = code_of.astype(np.uint8 if self.bits <= 8 else np.uint16)
        index = np.minimum(np.searchsorted(grid, levels), len(grid) - 1)
        if not np.array_equal(grid[index], levels):
            bad = levels[grid[index] != levels].flat[0]
            raise InputError(f"level {bad} does not exist in '{self.name}'")
        return code_of[index]


@dataclass(frozen=True, kw_only=True)
class FormatFamily:
    """Formats that may be mixed per group inside one layer.

    Members share code width and unit; a group's *format id* is its member's index.
    """

    name: str
    members: tuple[NumberFormat, ...]

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
    def unit(self) -> Fraction:
        """Value of level 1."""
        return self.members[0].unit

    @property
    def id_bits(self) -> int:
        """Bits of a group's format id; 0 for a single format."""
        return (len(self.members) - 1).bit_length()

    @property
    def all_levels(self) -> tuple[int, ...]:
        """Union of the members' levels in rising order."""
        return tuple(sorted({int(v) for member in self.members for v in member.grid}))

    @property
    def max_magnitude(self) -> int:
        """Largest absolute level of any member."""
        return max(member.max_magnitude for member in self.members)

    @property
    def level_table(self) -> NDArray[np.int64]:
        """Levels by (format id, code), shape (members, 2**bits); unused codes read 0."""
        return np.array([[v or 0 for v in m.levels] for m in self.members], dtype=np.int64)
