"""Block formats: elements of one number format that share a scale.

    value = element value * element unit * block scale (* tensor scale)

The formats by name are in `block_tables.py`. Encoding works in float64, exact but for these steps:

- E8M0 scales are powers of two found by exponents alone; dividing by one is exact.
- E4M3 and float16 scales: ``amax / largest element`` (then ``/ tensor scale``) are float64
  divisions, followed by one rounding to the nearest scale, ties to even. Elements are cast from
  the float64 quotient by the product of the rounded scales.

Decoding is exact. A last block of a row that is shorter is a block of its own. Zero blocks get
scale code 0 and elements 0. NaN and infinite inputs are refused.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name

from .format import NumberFormat
from .tables import get_family

ScaleFormat = Literal["e8m0", "e4m3", "float16"]
SCALE_BITS = {"e8m0": 8, "e4m3": 8, "float16": 16}
RULES = {
    "e8m0": ("floor_emax", "ceil_noclip", "floor_amax"),
    "e4m3": ("amax",),
    "float16": ("amax",),
}
Rounding = Literal["even", "away", "lower"]
E8M0_BIAS, E8M0_NAN = 127, 255
E4M3_MAX = 448


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockCodes:
    """A matrix in a block format.

    Attributes
    ----------
    codes : uint8 (N, K), element codes.
    scale_codes : (N, blocks), uint8 for E8M0 and E4M3, uint16 bit patterns for float16.
    format_ids : uint8 (N, blocks), index of the block's format in the element family.
    tensor_scale : float32 scale of the whole matrix, 1 where the format has none.
    """

    codes: NDArray[np.uint8]
    scale_codes: NDArray[np.uint8] | NDArray[np.uint16]
    format_ids: NDArray[np.uint8]
    tensor_scale: np.float32


@cache
def _rounding(member: NumberFormat, ties: Rounding) -> NumberFormat:
    return member if member.ties == ties else replace(member, ties=ties)


@cache
def _values(member: NumberFormat) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Value of every code (nan and inf included), and which codes have none."""
    unused = np.array([value is None for value in member.values])
    return np.array([0.0 if v is None else v for v in member.values]), unused


@dataclass(frozen=True, kw_only=True)
class BlockFormat:
    """Elements of one family in blocks along the rows, each block with a scale.

    Parameters
    ----------
    name : canonical name.
    element : family of the elements, at most 8 bits. With several members (RaZeR) each block uses
        the one with the least sum of squared errors, the first of equals.
    block_size : elements per block.
    scale_format : ``e8m0``; ``e4m3`` without its sign; ``float16``, not negative.
    rule : the block's scale from its largest magnitude ``amax`` and the largest element.
        ``floor_emax``: 2**(floor(log2 amax) - floor(log2 largest)), as OCP, may clip amax;
        ``ceil_noclip``: the least power of two with which amax does not clip;
        ``floor_amax``: 2**floor(log2 amax), whatever the elements;
        ``amax``: amax / largest, rounded to the scale format.
    rounding : of elements, ties to the ``even`` code, ``away`` from zero (the default mode of the
        microxcaling library), or to the ``lower`` value.
    element_unit : factor on the element values.
    two_level : whether a float32 scale per tensor, max|v| / (largest * 448), precedes E4M3 scales.
    symmetric : keep the most negative two's complement code out of encodings.
    scale_reference : format that gives ``largest`` for every member of the element family; None:
        each member's own largest magnitude, so that a block's scale depends on its format.
    provisional : the encoding rule was recalled, not read.
    """

    name: str
    element: str
    block_size: int
    scale_format: ScaleFormat
    rule: str
    rounding: Rounding = "even"
    element_unit: Fraction = Fraction(1)
    two_level: bool = False
    symmetric: bool = False
    scale_reference: str | None = None
    provisional: bool = False
    source: str

    def __post_init__(self) -> None:
        if self.scale_format not in RULES:
            raise unknown_name("scale format", self.scale_format, RULES)
        if self.rule not in RULES[self.scale_format]:
            raise unknown_name(
                f"scale rule of {self.scale_format} scales", self.rule, RULES[self.scale_format]
            )
        if self.rounding not in get_args(Rounding):
            raise unknown_name("rounding", self.rounding, get_args(Rounding))
        size = self.block_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"block format '{self.name}': block size {size!r} is not 1 or more")
        if self.two_level and self.scale_format != "e4m3":
            raise InputError(f"block format '{self.name}': a tensor scale needs e4m3 scales")
        if get_family(self.element).bits > 8:
            raise InputError(f"block format '{self.name}': elements have at most 8 bits")

    @property
    def members(self) -> tuple[NumberFormat, ...]:
        """Formats that a block may use, with this format's rounding."""
        return tuple(_rounding(m, self.rounding) for m in get_family(self.element).members)

    @property
    def largest(self) -> Fraction:
        """Largest element magnitude, element unit included, that the tensor scale is made for."""
        return self._largest(self.members[0])

    def _largest(self, member: NumberFormat) -> Fraction:
        """Largest element magnitude that the scale of a block in ``member`` is made for."""
        if self.scale_reference:
            member = get_family(self.scale_reference).members[0]
        top = int(member.grid[-1]) if self.symmetric else member.max_magnitude
        return top * member.unit * self.element_unit

    @property
    def bits_per_weight(self) -> float:
        """Code, block scale and format id; without the 32 bits of a tensor scale."""
        family = get_family(self.element)
        return family.bits + (SCALE_BITS[self.scale_format] + family.id_bits) / self.block_size

    def encode(self, values: ArrayLike) -> BlockCodes:
        """Quantize finite real values (N, K), not empty.

        Raises
        ------
        InputError : another shape; NaN or infinite values; values beyond the scales' range.
        """
        wanted = np.asarray(values, dtype=np.float64)
        if wanted.ndim != 2 or not wanted.size:
            raise InputError(f"block format '{self.name}': values must be a non-empty 2-D array")
        if not np.isfinite(wanted).all():
            place = tuple(np.argwhere(~np.isfinite(wanted))[0].tolist())
            raise InputError(
                f"block format '{self.name}': value {wanted[place]} at {place} is not finite"
            )
        rows, columns = wanted.shape
        padded = np.pad(wanted, ((0, 0), (0, -columns % self.block_size)))
        blocks = padded.reshape(rows, -1, self.block_size)
        tensor_scale = self._tensor_scale(float(np.abs(wanted).max()))
        codes, scale_codes, ids = self._encode_blocks(blocks, float(tensor_scale))
        return BlockCodes(
            codes=codes.reshape(rows, -1)[:, :columns],
            scale_codes=scale_codes,
            format_ids=ids,
            tensor_scale=tensor_scale,
        )

    def decode(self, coded: BlockCodes) -> NDArray[np.float64]:
        """Exact values (N, K); all of a block is NaN if its scale is.

        Raises
        ------
        InputError : shapes or dtypes that do not fit, codes without a value, a negative or
            infinite scale.
        """
        self._check(coded)
        family = get_family(self.element)
        scales = self._scales(coded.scale_codes) * float(coded.tensor_scale)
        tables = [_values(member) for member in family.members]
        ids = self._expand(coded.format_ids, coded.codes.shape[1])
        unused = np.array([table[1] for table in tables])[ids, coded.codes]
        if unused.any():
            raise InputError(
                f"block format '{self.name}': code {coded.codes[unused][0]} has no value"
            )
        elements = np.array([table[0] for table in tables])[ids, coded.codes]
        return elements * float(self.element_unit) * self._expand(scales, coded.codes.shape[1])

    def _expand(self, per_block: NDArray, columns: int) -> NDArray:
        """Repeat (N, blocks) along each block's elements, (N, columns)."""
        return np.repeat(per_block, self.block_size, axis=1)[:, :columns]

    def _tensor_scale(self, amax: float) -> np.float32:
        if not self.two_level or amax == 0:
            return np.float32(1)
        exact = amax / (float(self.largest) * E4M3_MAX)
        if exact > float(np.finfo(np.float32).max):
            raise InputError(
                f"block format '{self.name}': value {amax:g} is beyond a float32 tensor scale"
            )
        return np.float32(max(exact, float(np.finfo(np.float32).tiny)))

    def _scale_codes(
        self, amax: NDArray[np.float64], largest: float, tensor_scale: float
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        if self.scale_format == "e8m0":
            # amax = f * 2**e with 1/2 <= f < 1, so floor(log2 amax) = e - 1; log2 would round
            fraction, exponent = np.frexp(amax)
            reference, shift = np.frexp(largest)
            exponent = exponent - (1 if self.rule == "floor_amax" else shift)
            if self.rule == "ceil_noclip":
                exponent = exponent + (fraction > reference)
            codes = np.clip(exponent + E8M0_BIAS, 0, E8M0_NAN - 1)
            return np.where(amax > 0, codes, 0).astype(np.uint8)
        wanted = amax / largest / tensor_scale
        if self.scale_format == "e4m3":
            return get_family("float8_e4m3fn").members[0].cast(wanted).astype(np.uint8)
        with np.errstate(over="ignore"):
            halves = wanted.astype(np.float16)
        if np.isinf(halves).any():
            raise InputError(
                f"block format '{self.name}': value {amax.max():g} is beyond a float16 scale"
            )
        return halves.view(np.uint16)

    def scales(self, coded: BlockCodes) -> NDArray[np.float64]:
        """Block scales, float64 (N, blocks), without tensor scale and element unit."""
        return self._scales(coded.scale_codes)

    def _scales(self, codes: NDArray) -> NDArray[np.float64]:
        """Block scales of their codes, NaN included."""
        if self.scale_format == "e8m0":
            exponents = codes.astype(np.int64) - E8M0_BIAS
            return np.where(codes == E8M0_NAN, np.nan, np.ldexp(1.0, exponents))
        if self.scale_format == "e4m3":
            scales = _values(get_family("float8_e4m3fn").members[0])[0][codes]
            negative = codes >= 0x80
        else:
            scales = np.ascontiguousarray(codes).view(np.float16).astype(np.float64)
            negative = np.signbit(scales) | np.isinf(scales)
        if negative.any():
            raise InputError(
                f"block format '{self.name}': scale code {codes[negative][0]} "
                "is negative or infinite"
            )
        return scales

    def _encode_blocks(
        self, blocks: NDArray[np.float64], tensor_scale: float
    ) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.uint8]]:
        """Codes (N, blocks, size), scale codes and format ids (N, blocks)."""
        amax = np.abs(blocks).max(axis=2)
        codes = np.zeros(blocks.shape, dtype=np.uint8)
        ids = np.zeros(amax.shape, dtype=np.uint8)
        least = np.full(amax.shape, np.inf)
        scale_codes = np.zeros(amax.shape, dtype=np.uint16)
        for index, member in enumerate(self.members):
            found_scales = self._scale_codes(amax, float(self._largest(member)), tensor_scale)
            scales = self._scales(found_scales) * tensor_scale
            step = (scales * float(self.element_unit))[..., None]
            quotient = np.divide(blocks, step, out=np.zeros_like(blocks), where=step > 0)
            if self.symmetric:
                limit = float(int(member.grid[-1]) * member.unit)
                quotient = quotient.clip(-limit, limit)
            found = member.cast(quotient).astype(np.uint8)
            error = np.zeros(amax.shape)
            if len(self.members) > 1:
                error = ((_values(member)[0][found] * step - blocks) ** 2).sum(axis=2)
            better = error < least
            codes[better], scale_codes[better] = found[better], found_scales[better]
            ids[better], least[better] = index, error[better]
        return codes, scale_codes.astype(found_scales.dtype), ids

    def _check(self, coded: BlockCodes) -> None:
        codes, family = coded.codes, get_family(self.element)
        if codes.ndim != 2 or not codes.size or codes.dtype != np.uint8:
            raise InputError(f"block format '{self.name}': codes must be uint8 (N, K), not empty")
        shape = (codes.shape[0], -(-codes.shape[1] // self.block_size))
        dtype = np.uint16 if self.scale_format == "float16" else np.uint8
        for part, wanted in ((coded.scale_codes, dtype), (coded.format_ids, np.uint8)):
            if part.shape != shape or part.dtype != wanted:
                raise InputError(
                    f"block format '{self.name}': scale codes and format ids must be "
                    f"{np.dtype(wanted)} {shape}, not {part.dtype} {part.shape}"
                )
        if codes.max() >> family.bits or coded.format_ids.max() >= len(family.members):
            raise InputError(
                f"block format '{self.name}': codes end at {(1 << family.bits) - 1}, "
                f"format ids at {len(family.members) - 1}"
            )
