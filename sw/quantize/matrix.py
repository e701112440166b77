"""A quantized weight matrix: codes, one format id and one scale per group of a row."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import DTypeLike, NDArray

from configs.errors import InputError
from sw.formats import FormatFamily

SCALE_FORMATS = ("float16", "uint8")
CHANNEL_SCALE_BITS = 32
SCALE_CODE_MAX = 255
FLOAT16_EXACT_INTEGERS = 2048


def half_unit(family: FormatFamily) -> Fraction:
    """Value of level 1 in the family's float16 arithmetic: 1 (levels as they are), or the unit.

    The published quantizer works on integer levels (FP4 grids times 2). Levels that float16 does
    not hold exactly (FP8), and units that are not a power of two, are taken as values instead.
    """
    numerator, denominator = family.unit.numerator, family.unit.denominator
    power_of_two = not (numerator & (numerator - 1) or denominator & (denominator - 1))
    largest = max(member.max_magnitude for member in family.members)
    return Fraction(1) if power_of_two and largest <= FLOAT16_EXACT_INTEGERS else family.unit


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedMatrix:
    """Weights of one linear layer: ``weight ~= level * unit * scale``.

    N is the number of output channels, K of input channels. Groups run along K; the last group
    of a row is shorter where ``group_size`` does not divide K.

    Parameters
    ----------
    family : formats that the groups may use; codes are at most 8 bits wide.
    group_size : weights per group, at least 1; larger than K means one group per row.
    codes : uint8 (N, K).
    format_ids : uint8 (N, groups), index of the group's format in ``family.members``.
    scales : float32 (N, groups), the effective scale; float16 values unless second-level
        quantized, then ``scale_codes * channel_scales``.
    scale_codes : uint8 (N, groups), second-level quantized scales, or None.
    channel_scales : float32 (N,), one scale per output channel, or None.

    Raises
    ------
    InputError : a shape, dtype or value that contradicts the above.
    """

    family: FormatFamily
    group_size: int
    codes: NDArray[np.uint8]
    format_ids: NDArray[np.uint8]
    scales: NDArray[np.float32]
    scale_codes: NDArray[np.uint8] | None = None
    channel_scales: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_group_size(self.group_size)
        if self.family.bits > 8:
            raise InputError(
                f"format '{self.family.name}' has {self.family.bits}-bit codes, "
                "a quantized matrix holds at most 8"
            )
        if not isinstance(self.codes, np.ndarray) or self.codes.ndim != 2 or not self.codes.size:
            raise InputError(
                "codes must be a non-empty 2-D array (output channels, input channels)"
            )
        per_group = (self.codes.shape[0], self.groups)
        self._check_array("codes", np.uint8, self.codes.shape)
        self._check_array("format_ids", np.uint8, per_group)
        self._check_array("scales", np.float32, per_group)
        if (self.scale_codes is None) != (self.channel_scales is None):
            raise InputError("scale_codes and channel_scales must be given together")
        if self.scale_codes is not None:
            self._check_array("scale_codes", np.uint8, per_group)
            self._check_array("channel_scales", np.float32, per_group[:1])
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
        if not used.all():
            good = used.ravel()[self._table_index]
            if not good.all():
                raise InputError(
                    f"codes holds {self.codes[~good][0]}, which has no level in its group's "
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
        elif not np.array_equal(self.scale_codes * self.channel_scales[:, None], self.scales):
            raise InputError("scales must equal scale_codes * channel_scales")

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K): output channels, input channels."""
        return self.codes.shape[0], self.codes.shape[1]

    @property
    def groups(self) -> int:
        """Groups per row, a ragged last one included."""
        return -(-self.codes.shape[1] // self.group_size)

    @property
    def scale_format(self) -> str:
        """``"uint8"`` with second-level quantized scales, else ``"float16"``."""
        return "float16" if self.scale_codes is None else "uint8"

    @property
    def _table_index(self) -> NDArray[np.uint16]:
        """Row-major position of every weight in ``family.level_table``, (N, K)."""
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
        values = (self.family.level_table * float(unit)).astype(kind)
        steps = (self.scales * float(self.family.unit / unit)).astype(kind)
        return values.ravel()[self._table_index] * self.expand(steps)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per weight: code, format id, group scale and (uint8) channel scale."""
        scale_bits, channel_bits = (16, 0) if self.scale_codes is None else (8, CHANNEL_SCALE_BITS)
        per_row = self.groups * (self.family.id_bits + scale_bits) + channel_bits
        return self.family.stored_bits + per_row / self.codes.shape[1]

    @property
    def format_mix(self) -> dict[str, float]:
        """Share of the groups that use each member, by member name, in member order."""
        counts = np.bincount(self.format_ids.ravel(), minlength=len(self.family.members))
        shares = counts / self.format_ids.size
        return {m.name: float(s) for m, s in zip(self.family.members, shares, strict=True)}

    def with_uint8_scales(self) -> "QuantizedMatrix":
        """The same codes with second-level quantized scales (VS-Quant; BitMoD III-C).

        ``channel_scale = max(group scales of the channel) / 255``; ``scale_code = scale /
        channel_scale`` rounded half to even (both float32), clipped to [1, 255] for every group
        that holds a non-zero level, so that no such group vanishes. Already quantized: itself.
        """
        if self.scale_codes is not None:
            return self
        channel = self.scales.max(axis=1) / np.float32(SCALE_CODE_MAX)
        channel = np.where(channel > 0, channel, np.float32(1)).astype(np.float32)
        codes = np.rint(self.scales / channel[:, None]).clip(0, SCALE_CODE_MAX)
        starts = np.arange(self.groups) * self.group_size
        nonzero = (self.family.level_table != 0).ravel()[self._table_index]
        nonzero = np.logical_or.reduceat(nonzero, starts, axis=1) & (self.scales > 0)
        codes = np.where(nonzero, codes.clip(min=1), codes).astype(np.uint8)
        scales = codes * channel[:, None]
        return replace(self, scales=scales, scale_codes=codes, channel_scales=channel)


def check_group_size(group_size: object) -> None:
    """Refuse anything but a positive int."""
    if isinstance(group_size, bool) or not isinstance(group_size, int) or group_size < 1:
        raise InputError(f"group_size must be a whole number of at least 1, not {group_size!r}")
