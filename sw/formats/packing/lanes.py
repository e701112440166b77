"""Layouts that put codes far apart into one byte: MXFP4, NVFP4, TQ2_0, I2_S; OliVe's pairs."""

from dataclasses import dataclass

import numpy as np

from configs.errors import InputError

from .base import Bytes, Codes, Packing, Shape

IDENTIFIER = 0b1000
"""OliVe: the code that marks a victim and makes its neighbour an outlier."""
DISABLED_OUTLIERS = (0b0000, 0b1000)
"""OliVe: outlier codes with exponent and mantissa 0 are not used, so none looks like a victim."""


@dataclass(frozen=True, kw_only=True)
class LanePacking(Packing):
    """``lanes = 8 / bits`` codes per byte, ``stride`` apart.

    Byte i of a run of ``stride`` bytes holds the codes i, i + stride, i + 2 stride ... of
    ``lanes * stride`` codes; the first of them lies in the low bits, or in the high bits if
    ``high_first``. Rows of other lengths than a multiple of ``row_multiple`` are refused.
    """

    bits: int
    stride: int
    high_first: bool = False

    @property
    def bits_per_weight(self) -> float:
        block = self.scale.block if self.scale else None
        return self.bits + (self.scale.block_bytes * 8 / block if self.scale and block else 0)

    @property
    def _shifts(self) -> Bytes:
        shifts = np.arange(0, 8, self.bits, dtype=np.uint8)
        return (shifts[::-1] if self.high_first else shifts).reshape(1, -1, 1)

    def _stride(self, columns: int) -> int:
        return self.stride

    def _payload_bytes(self, rows: int, columns: int) -> int:
        return rows * columns * self.bits // 8

    def _pack(self, codes: Codes) -> Bytes:
        runs = codes.reshape(-1, 8 // self.bits, self._stride(codes.shape[1]))
        return np.bitwise_or.reduce(runs << self._shifts, axis=1).reshape(-1)

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        runs = payload.reshape(-1, 1, self._stride(columns)) >> self._shifts
        return (runs & np.uint8((1 << self.bits) - 1)).reshape(rows, columns)


@dataclass(frozen=True, kw_only=True)
class RowLanePacking(LanePacking):
    """Like :class:`LanePacking`, but the codes of one byte come from as many adjacent rows.

    Byte i of a group of rows holds column i of each. Shapes (N, K) with N a multiple of the lanes.
    """

    stride: int = 0

    def _stride(self, columns: int) -> int:
        return columns

    def _check_shape(self, count: Shape) -> tuple[int, ...]:
        shape = super()._check_shape(count)
        lanes = 8 // self.bits
        if len(shape) != 2 or shape[0] % lanes:
            raise InputError(
                f"packing '{self.name}' takes matrices of a multiple of {lanes} rows, "
                f"not shape {shape}"
            )
        return shape


@dataclass(frozen=True, kw_only=True)
class PairPacking(LanePacking):
    """OliVe outlier-victim pairs: one aligned byte per pair, the even column in the low nibble.

    Two 4-bit codes; the identifier 1000 marks a victim, its partner is then an abfloat outlier.
    Rows of odd length are refused, and so are pairs with no meaning: two identifiers, or an
    identifier beside the disabled outlier 0000.
    """

    def _misfit(self, codes: Codes) -> str | None:
        pairs = codes.reshape(-1, 2)
        victim = pairs == IDENTIFIER
        wrong = (victim & np.isin(pairs[:, ::-1], DISABLED_OUTLIERS)).any(axis=1)
        if not wrong.any():
            return None
        at = np.flatnonzero(wrong)[0]
        left, right = pairs[at]
        return (
            f"pair {at} is ({left:04b}, {right:04b}), but the identifier 1000 stands beside "
            "an outlier, never beside 0000 or 1000"
        )
