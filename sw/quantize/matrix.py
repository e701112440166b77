"""A quantized weight matrix: codes, one format id and one scale per group of a row."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import DTypeLike, NDArray

from configs.errors import InputError, unknown_name
from sw.formats import FormatFamily, get_family
from sw.formats.terms import MAX_LEVEL_BITS

#: of group scales that a recipe may ask for; block formats bring their own
SCALE_FORMATS = ("float16", "uint8")
#: stored scale formats: bits of a group scale, bits of the float32 factor of a channel or matrix
_STORED_SCALES = {"float16": (16, 0), "uint8": (8, 32), "e8m0": (8, 0), "e4m3": (8, 32)}
SCALE_CODE_MAX = 255
E8M0_BIAS, E8M0_MAX = 127, 254
#: of float8_e4m3fn, the NaN left out
E4M3_CODE_MAX = 0x7E
#: bits of a stored zero point
ZERO_POINT_BITS = 8
FLOAT16_EXACT_INTEGERS = 2048
#: whose codes are looked up at a time
CHECKED_WEIGHTS = 1 << 20
_MANTISSA_BITS = 53
#: beyond every float64 exponent
_FAR = 1 << 20


def half_unit(family: FormatFamily) -> Fraction:
    """Value of level 1 in the family's float16 arithmetic: 1 (levels as they are), or the unit.

    The published quantizer works on integer levels (FP4 grids times 2). Levels that float16 does
    not hold exactly (FP8), and units that are not a power of two, are taken as values instead.
    """
    numerator, denominator = family.unit.numerator, family.unit.denominator
    power_of_two = not (numerator & (numerator - 1) or denominator & (denominator - 1))
    largest = max(member.max_magnitude for member in family.members)
    return Fraction(1) if power_of_two and largest <= FLOAT16_EXACT_INTEGERS else family.unit


def scale_values(scale_format: str, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Value of scale codes, float32, exact: ``uint8`` integers, E8M0 powers of two, E4M3."""
    if scale_format == "e8m0":
        return np.ldexp(np.float32(1), codes.astype(np.int32) - E8M0_BIAS)
    if scale_format == "e4m3":
        values = get_family("float8_e4m3fn").members[0].values[: E4M3_CODE_MAX + 1]
        return np.array(values, dtype=np.float32)[codes]
    return codes.astype(np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedMatrix:
    """Weights of one linear layer: ``weight ~= (level - zero point) * unit * scale``.

    N is the number of output channels, K of input channels. Groups run along K; the last group
    of a row is shorter where ``group_size`` does not divide K.

    Parameters
    ----------
    family : formats that the groups may use; codes of at most 8 bits, or a single 16-bit format
        with int64 levels (``float16``: weights that are only cast).
    group_size : weights per group, at least 1; larger than K means one group per row.
    codes : uint8 (N, K); uint16 where codes are wider than 8 bits.
    format_ids : uint8 (N, groups), index of the group's format in ``family.members``.
    scales : float32 (N, groups), the effective scale: float16 values, or the float32 product of
        ``scale_values(scale_codes)`` and ``channel_scales``.
    scale_codes : uint8 (N, groups), stored scales of 8 bits, or None.
    channel_scales : float32 (N,), one factor per output channel, or None.
    scale_format : ``"float16"`` without scale codes; with them ``"uint8"`` (second-level
        quantized, the default), ``"e8m0"`` or ``"e4m3"`` (block formats; all channels of ``"e4m3"``
        share the tensor's factor).
    zero_points : int16 (N, groups), in levels, or None where all are 0.
    group_rows : output channels that share scale, format and zero point; all arrays still hold
        one entry per row.
    residual : what this matrix leaves, quantized as a further matrix that is added, or None.

    Raises
    ------
    InputError : a shape, dtype or value that contradicts the above.
    """

    family: FormatFamily
    group_size: int
    codes: NDArray[np.unsignedinteger]
    format_ids: NDArray[np.uint8]
    scales: NDArray[np.float32]
    scale_codes: NDArray[np.uint8] | None = None
    channel_scales: NDArray[np.float32] | None = None
    scale_format: str = ""
    zero_points: NDArray[np.int16] | None = None
    group_rows: int = 1
    residual: "QuantizedMatrix | None" = None

    def __post_init__(self) -> None:
        check_group_size(self.group_size)
        check_group_size(self.group_rows, "group_rows")
        wide = self.family.bits > 8
        single = self.family.bits == 16 and len(self.family.members) == 1
        if wide and (not single or self.family.max_magnitude >> MAX_LEVEL_BITS):
            raise InputError(
                f"format '{self.family.name}' has {self.family.bits}-bit codes, a quantized matrix "
                "holds at most 8, or float16"
            )
        if not isinstance(self.codes, np.ndarray) or self.codes.ndim != 2 or not self.codes.size:
            raise InputError(
                "codes must be a non-empty 2-D array (output channels, input channels)"
            )
        per_group = (self.codes.shape[0], self.groups)
        self._check_array("codes", np.uint16 if wide else np.uint8, self.codes.shape)
        self._check_array("format_ids", np.uint8, per_group)
        self._check_array("scales", np.float32, per_group)
        if (self.scale_codes is None) != (self.channel_scales is None):
            raise InputError("scale_codes and channel_scales must be given together")
        if self.scale_codes is not None:
            self._check_array("scale_codes", np.uint8, per_group)
            self._check_array("channel_scales", np.float32, per_group[:1])
        if self.zero_points is not None:
            self._check_array("zero_points", np.int16, per_group)
        if self.residual is not None and self.residual.shape != self.shape:
            raise InputError(f"residual is {self.residual.shape}, the matrix {self.shape}")
        self._set_scale_format()
        self._check_codes()
        self._check_scales()

    def _check_array(self, field: str, dtype: type, shape: tuple[int, ...]) -> None:
        array = getattr(self, field)
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            what = (
                f"{array.dtype} {array.shape}"
                if isinstance(array, np.ndarray)
                else type(array).__name__
            )
            raise InputError(f"{field} must be {np.dtype(dtype)} {shape}, not {what}")

    def _set_scale_format(self) -> None:
        """Fill in the default, refuse a format that contradicts the arrays."""
        coded = self.scale_codes is not None
        if not self.scale_format:
            object.__setattr__(self, "scale_format", "uint8" if coded else "float16")
        if self.scale_format not in _STORED_SCALES:
            raise unknown_name("scale format", self.scale_format, _STORED_SCALES)
        if coded == (self.scale_format == "float16"):
            raise InputError(
                f"{self.scale_format} scales {'have no' if coded else 'need'} scale codes"
            )

    def _check_codes(self) -> None:
        members = self.family.members
        if self.format_ids.max() >= len(members):
            raise InputError(
                f"format_ids holds {self.format_ids.max()}, "
                f"'{self.family.name}' has formats 0..{len(members) - 1}"
            )
        if self.codes.max() >= 1 << self.family.bits:
            raise InputError(
                f"codes holds {self.codes.max()}, codes of '{self.family.name}' "
                f"end at {(1 << self.family.bits) - 1}"
            )
        used = np.array([[level is not None for level in m.levels] for m in members])
        if used.all():
            return
        rows = max(1, CHECKED_WEIGHTS // self.codes.shape[1])
        for first in range(0, len(self.codes), rows):
            part = slice(first, first + rows)
            codes, ids = self.codes[part], self.format_ids[part]
            good = used[0][codes] if len(used) == 1 else used[self.expand(ids), codes]
            if not good.all():
                raise InputError(
                    f"codes holds {codes[~good][0]}, which has no level in its group's "
                    f"format of '{self.family.name}'"
                )

    def _check_scales(self) -> None:
        if not np.isfinite(self.scales).all() or (self.scales < 0).any():
            raise InputError("scales must be finite and not negative")
        if self.scale_codes is None or self.channel_scales is None:
            with np.errstate(over="ignore"):
                rounded = self.scales.astype(np.float16).astype(np.float32)
            if not np.array_equal(rounded, self.scales):
                bad = self.scales[rounded != self.scales][0]
                raise InputError(f"scales holds {bad}, which is not a float16 value")
            return
        largest = {"e8m0": E8M0_MAX, "e4m3": E4M3_CODE_MAX}.get(self.scale_format, SCALE_CODE_MAX)
        if self.scale_codes.max() > largest:
            raise InputError(
                f"scale_codes holds {self.scale_codes.max()}, {self.scale_format} ends at {largest}"
            )
        values = scale_values(self.scale_format, self.scale_codes)
        if not np.array_equal(values * self.channel_scales[:, None], self.scales):
            raise InputError("scales must equal the values of scale_codes times channel_scales")

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K): output channels, input channels."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def groups(self) -> int:
        """Groups per row, a ragged last one included."""
        return -(-self.codes.shape[1] // self.group_size)

    @property
    def _table_index(self) -> NDArray[np.unsignedinteger]:
        """Row-major position of every weight in ``family.level_table``, (N, K)."""
        if len(self.family.members) == 1:
            return self.codes
        ids = self.expand(self.format_ids).astype(np.uint16)
        return ids * np.uint16(1 << self.family.bits) + self.codes

    def expand(self, per_group: NDArray) -> NDArray:
        """Repeat a (N, groups) array along each group's weights, (N, K), same dtype."""
        length = self.codes.shape[1]
        return np.repeat(per_group, min(self.group_size, length), axis=1)[:, :length]

    @property
    def levels(self) -> NDArray[np.int64]:
        """Integer level of every weight, int64 (N, K)."""
        return self.family.level_table.ravel()[self._table_index]

    def dequantize(self, dtype: DTypeLike = np.float32) -> NDArray[np.floating]:
        """Weights (N, K) as float16, float32 or float64.

        Each weight is one product, rounded once, of the level's value and the group scale. In
        float16 it is the product of the published quantizer, bit for bit.
        """
        kind = np.dtype(dtype)
        if kind not in (np.float16, np.float32, np.float64):
            raise InputError(f"cannot dequantize to {kind}: choose float16, float32 or float64")
        unit = half_unit(self.family) if kind == np.float16 else self.family.unit
        steps = self.expand((self.scales * float(self.family.unit / unit)).astype(kind))
        if self.zero_points is None:
            values = (self.family.level_table * float(unit)).astype(kind).ravel()
            weights = values[self._table_index] * steps
        else:
            distance = self.levels - self.expand(self.zero_points)
            weights = (distance * float(unit)).astype(kind) * steps
        return weights if self.residual is None else weights + self.residual.dequantize(kind)

    @property
    def planes(self) -> tuple["QuantizedMatrix", ...]:
        """This matrix and its residuals, each by itself: they add up to the weights."""
        rest = self.residual.planes if self.residual is not None else ()
        return (replace(self, residual=None), *rest)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per weight: code, format id, scales and zero point, of all planes."""
        scale_bits, factor_bits = _STORED_SCALES[self.scale_format]
        factors = 1 if self.scale_format == "e4m3" else self.shape[0]
        zero_bits = 0 if self.zero_points is None else ZERO_POINT_BITS
        shared = self.groups * -(-self.shape[0] // self.group_rows)
        stored = shared * (self.family.id_bits + scale_bits + zero_bits) + factors * factor_bits
        bits = self.family.stored_bits + stored / self.codes.size
        return bits if self.residual is None else bits + self.residual.bits_per_weight

    @property
    def format_mix(self) -> dict[str, float]:
        """Share of the groups that use each member, by member name, in member order."""
        counts = np.bincount(self.format_ids.ravel(), minlength=len(self.family.members))
        shares = counts / self.format_ids.size
        return {m.name: float(s) for m, s in zip(self.family.members, shares, strict=True)}

    def with_uint8_scales(self) -> "QuantizedMatrix":
        """The same codes with 8-bit second-level scales (VS-Quant; BitMoD III-C).

        E8M0 and E4M3 scales of a channel that are whole multiples, up to 255, of a common power of
        two become those multiples: nothing is rounded. Otherwise
        ``channel_scale = max(scales) / 255`` and ``scale_code = scale / channel_scale`` rounded
        half to even (both float32), clipped to [1, 255] for every group that holds a non-zero
        level, so that no such group vanishes. Already ``uint8``: itself.
        """
        if self.scale_format == "uint8":
            return self
        used = self.used_groups
        channel = self.scales.max(axis=1) / np.float32(SCALE_CODE_MAX)
        channel = np.where(channel > 0, channel, np.float32(1)).astype(np.float32)
        if self.scale_codes is not None and self.channel_scales is not None:
            values = np.where(used, scale_values(self.scale_format, self.scale_codes), 0)
            exact, units = exact_scale_codes(values)
            channel = np.where(exact, units * self.channel_scales, channel).astype(np.float32)
        codes = np.rint(self.scales / channel[:, None]).clip(0, SCALE_CODE_MAX)
        codes = np.where(used, codes.clip(min=1), 0 if self.scale_codes is not None else codes)
        codes = codes.astype(np.uint8)
        return replace(
            self,
            scales=codes * channel[:, None],
            scale_codes=codes,
            channel_scales=channel,
            scale_format="uint8",
            residual=None if self.residual is None else self.residual.with_uint8_scales(),
        )

    @property
    def used_groups(self) -> NDArray[np.bool_]:
        """Which groups hold a weight that is not 0, (N, groups)."""
        starts = np.arange(self.groups) * self.group_size
        if self.zero_points is None:
            nonzero = (self.family.level_table != 0).ravel()[self._table_index]
        else:
            nonzero = self.levels != self.expand(self.zero_points)
        return np.logical_or.reduceat(nonzero, starts, axis=1) & (self.scales > 0)


def exact_scale_codes(
    scales: NDArray[np.floating],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which rows of scales (N, groups) are multiples up to 255 of a power of two, and that power.

    Returns
    -------
    bool (N,) and float64 (N,); a row of zeros counts, with 1.
    """
    wide = scales.astype(np.float64)
    fractions, exponents = np.frexp(wide)
    integers = np.ldexp(fractions, _MANTISSA_BITS).astype(np.int64)
    lowest = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    places = np.where(wide > 0, exponents - _MANTISSA_BITS + lowest, _FAR)
    place = np.where((wide > 0).any(axis=1), places.min(axis=1), 0)
    multiples = np.ldexp(wide, -place[:, None].astype(np.int32))
    return multiples.max(axis=1) <= SCALE_CODE_MAX, np.ldexp(1.0, place.astype(np.int32))


def check_group_size(group_size: object, name: str = "group_size") -> None:
    """Refuse anything but a positive int."""
    if isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {group_size!r}")
