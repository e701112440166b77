"""Ternary codes (level + 1: 0, 1, 2) at 1.6 to 2 bits per weight."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .base import Bytes, Codes, Packing

ZERO = np.uint8(1)
"""Code of the weight 0, which fills incomplete bytes."""


@dataclass(frozen=True, kw_only=True)
class TritPacking(Packing):
    """Five trits per byte: ``v = sum(code_i * 3**(4 - i))``, 0 to 242.

    A block is cut into ``segments`` of (digits, stride): byte i of a segment holds the codes i,
    i + stride ... i + (digits - 1) * stride of its digits * stride codes; digits that a shorter
    segment lacks count as 0. Without segments, byte j holds codes 5 j to 5 j + 4 of a row, and
    a row's last byte is filled with the code of weight 0.

    ``scaled`` stores ``ceil(v * 256 / 243)`` instead of v: the digits then come out by multiplying
    by 3 and taking what leaves the low 8 bits. The other 13 bytes are refused either way.
    """

    segments: tuple[tuple[int, int], ...] = ()
    scaled: bool = False

    @property
    def _block_bytes(self) -> int:
        return sum(stride for _, stride in self.segments)

    @property
    def bits_per_weight(self) -> float:
        if not self.segments:
            return 1.6
        scale = self.scale.block_bytes if self.scale else 0
        return (self._block_bytes + scale) * 8 / sum(prod(part) for part in self.segments)

    def _payload_bytes(self, rows: int, columns: int) -> int:
        if not self.segments:
            return rows * -(-columns // 5)
        return rows * columns // self.row_multiple * self._block_bytes

    def _pack(self, codes: Codes) -> Bytes:
        if not self.segments:
            padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 5)), constant_values=ZERO)
            return self._join(padded.reshape(-1, 5))
        blocks = codes.reshape(-1, self.row_multiple)
        cuts = np.cumsum([prod(part) for part in self.segments])[:-1]
        parts = []
        for part, (digits, stride) in zip(
            np.split(blocks, cuts, axis=1), self.segments, strict=True
        ):
            trits = part.reshape(-1, digits, stride).swapaxes(1, 2)
            trits = np.pad(trits, ((0, 0), (0, 0), (0, 5 - digits)))
            parts.append(self._join(trits.reshape(-1, 5)).reshape(-1, stride))
        return np.concatenate(parts, axis=1).reshape(-1)

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        if not self.segments:
            return self._digits(payload).reshape(rows, -1)[:, :columns]
        blocks = payload.reshape(-1, self._block_bytes)
        cuts = np.cumsum([stride for _, stride in self.segments])[:-1]
        parts = []
        for part, (digits, stride) in zip(
            np.split(blocks, cuts, axis=1), self.segments, strict=True
        ):
            trits = self._digits(part.reshape(-1)).reshape(-1, stride, 5)[..., :digits]
            parts.append(trits.swapaxes(1, 2).reshape(len(blocks), -1))
        return np.concatenate(parts, axis=1).reshape(rows, columns)

    def _join(self, trits: Codes) -> Bytes:
        """Bytes (n,) of five digits each (n, 5)."""
        value = trits.astype(np.uint16) @ np.array([81, 27, 9, 3, 1], dtype=np.uint16)
        return ((value * 256 + 242) // 243 if self.scaled else value).astype(np.uint8)

    def _digits(self, data: Bytes) -> Codes:
        """Five digits (n, 5) of each byte (n,); bytes that are not used give some digits."""
        value = data.astype(np.uint16)
        if self.scaled:
            value = value * 243 // 256
        powers = np.array([81, 27, 9, 3, 1], dtype=np.uint16)
        return (value[:, None] // powers % 3).astype(np.uint8)


def _nibbles(indices: NDArray[np.uint8]) -> Bytes:
    """Two 4-bit indices per byte, the first in the high nibble; an odd end is filled with 0."""
    padded = np.pad(indices.reshape(-1), (0, indices.size % 2))
    return (padded[0::2] << np.uint8(4)) | padded[1::2]


def _indices(data: Bytes, count: int) -> NDArray[np.uint8]:
    return np.stack([data >> 4, data & np.uint8(15)], axis=1).reshape(-1)[:count]


@dataclass(frozen=True, kw_only=True)
class PairTablePacking(Packing):
    """TL1: two weights (a, b) as index 3 a + b + 4, 0 to 8, in 4 bits; two indices per byte.

    The first index is in the high nibble. A row of odd length ends with a pair whose b is the
    weight 0; an odd number of indices ends with a nibble of 0. bitnet.cpp further shuffles the
    bytes for the tiles of each compiled kernel: that step is left out.
    """

    @property
    def bits_per_weight(self) -> float:
        return 2.0

    def _payload_bytes(self, rows: int, columns: int) -> int:
        return -(-rows * -(-columns // 2) // 2)

    def _pack(self, codes: Codes) -> Bytes:
        padded = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)), constant_values=ZERO)
        return _nibbles(padded[:, 0::2] * np.uint8(3) + padded[:, 1::2])

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        index = _indices(payload, rows * -(-columns // 2))
        # the remainder makes unused indices 9 to 15 come back as another byte, hence refused
        pairs = np.stack([index // np.uint8(3) % np.uint8(3), index % np.uint8(3)], axis=1)
        return pairs.reshape(rows, -1)[:, :columns]


@dataclass(frozen=True, kw_only=True)
class TripleTablePacking(Packing):
    """TL2: three weights (a, b, c) as s = 9 a + 3 b + c: index abs(s), 0 to 13, and sign s < 0.

    Three parts follow each other: the indices (4 bits, two per byte, the first in the high nibble),
    the signs (16 per little-endian uint16, the first in bit 15), and the columns that ``tile``
    leaves over (K mod tile) as TL1. Each part takes the whole matrix row by row and is filled with
    0 bits. Index 14, 15 and a negative 0 are refused. As with TL1, bitnet.cpp's shuffle for
    compiled tiles is left out.
    """

    tile: int

    def __post_init__(self) -> None:
        if self.tile < 1 or self.tile % 3:
            raise InputError(
                f"packing '{self.name}': a tile of {self.tile} columns is not a multiple of 3"
            )

    @property
    def bits_per_weight(self) -> float:
        return 5 / 3

    @property
    def _rest(self) -> PairTablePacking:
        return PairTablePacking(name=self.name, symbols=self.symbols, source=self.source)

    def _sizes(self, rows: int, columns: int) -> tuple[int, int, int]:
        """Weights in triples per row, bytes of indices, bytes of signs."""
        whole = columns // self.tile * self.tile
        triples = rows * whole // 3
        return whole, -(-triples // 2), -(-triples // 16) * 2

    def _payload_bytes(self, rows: int, columns: int) -> int:
        whole, index_bytes, sign_bytes = self._sizes(rows, columns)
        rest = self._rest._payload_bytes(rows, columns - whole) if columns > whole else 0
        return index_bytes + sign_bytes + rest

    def _pack(self, codes: Codes) -> Bytes:
        whole, _, sign_bytes = self._sizes(*codes.shape)
        triples = codes[:, :whole].reshape(-1, 3).astype(np.int8) - 1
        sums = triples @ np.array([9, 3, 1], dtype=np.int8)
        signs = np.packbits(sums < 0)
        signs = np.pad(signs, (0, sign_bytes - len(signs))).reshape(-1, 2)[:, ::-1].reshape(-1)
        parts = [_nibbles(np.abs(sums).astype(np.uint8)), signs]
        if whole < codes.shape[1]:
            parts.append(self._rest._pack(codes[:, whole:]))
        return np.concatenate(parts)

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        whole, index_bytes, sign_bytes = self._sizes(rows, columns)
        index, signs, rest = np.split(payload, [index_bytes, index_bytes + sign_bytes])
        count = rows * whole // 3
        sums = _indices(index, count).astype(np.int8)
        negative = np.unpackbits(signs.reshape(-1, 2)[:, ::-1].reshape(-1), count=count)
        shifted = np.where(negative, -sums, sums) + 13
        powers = np.array([9, 3, 1], dtype=np.int8)
        triples = (shifted[:, None] // powers % 3).astype(np.uint8).reshape(rows, whole)
        if whole == columns:
            return triples
        return np.concatenate([triples, self._rest._unpack(rest, rows, columns - whole)], axis=1)
