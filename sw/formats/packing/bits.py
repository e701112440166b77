"""Codes of 1 to 8 bits: one dense stream, or split into planes of fields."""

from dataclasses import dataclass

import numpy as np

from configs.errors import InputError

from .base import Buffer, Bytes, Codes, Packing, Shape


@dataclass(frozen=True, kw_only=True)
class DensePacking(Packing):
    """One stream of bits, least significant bit first, in the codes and in the bytes.

    Code i takes bits ``i * bits`` to ``i * bits + bits - 1`` of the stream; bit j of the stream is
    bit ``j % 8`` of byte ``j // 8``. Rows follow each other without a gap. Every length is taken;
    the last byte is filled with 0 bits.
    """

    bits: int

    @property
    def bits_per_weight(self) -> float:
        return float(self.bits)

    def _payload_bytes(self, rows: int, columns: int) -> int:
        return -(-rows * columns * self.bits // 8)

    def _pack(self, codes: Codes) -> Bytes:
        # eight codes make ``bits`` whole bytes
        eights = np.zeros((-(-codes.size // 8), 8), dtype=np.uint8)
        eights.reshape(-1)[: codes.size] = codes.reshape(-1)
        words = np.zeros(len(eights), dtype="<u8")
        for place in range(8):
            words |= eights[:, place].astype("<u8") << np.uint64(place * self.bits)
        stream = np.ascontiguousarray(words.view(np.uint8).reshape(-1, 8)[:, : self.bits])
        return stream.reshape(-1)[: -(-codes.size * self.bits // 8)]

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        eights = -(-rows * columns // 8)
        stream = np.zeros(eights * self.bits, dtype=np.uint8)
        stream[: len(payload)] = payload
        padded = np.zeros((eights, 8), dtype=np.uint8)
        padded[:, : self.bits] = stream.reshape(-1, self.bits)
        words = padded.reshape(-1).view("<u8")
        codes = np.empty((eights, 8), dtype=np.uint8)
        for place in range(8):
            field = words >> np.uint64(place * self.bits)
            codes[:, place] = field & np.uint64((1 << self.bits) - 1)
        return codes.reshape(-1)[: rows * columns].reshape(rows, columns)


@dataclass(frozen=True, kw_only=True)
class PlanePacking(Packing):
    """Every code cut into fields of ``widths`` bits, the most significant first.

    Each field's plane is stored on its own, the first one first, code 0 in the high bits of the
    plane's first byte. Every length is taken; each plane ends with 0 bits up to a whole byte.

    Examples: FP6 with widths (2, 4) puts {S, E2} into the first plane and {E1, E0, M1, M0} into
    the second; (4, 2) parts sign and exponent from the mantissa; widths (1,) * n are the bit planes
    of Any-Precision, of which the first b are the codes at b bits. FP6-LLM and Any-Precision then
    shuffle whole bytes for the threads of a GPU: that step is left out.
    """

    widths: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Width of a code."""
        return sum(self.widths)

    @property
    def bits_per_weight(self) -> float:
        return float(self.bits)

    def _payload_bytes(self, rows: int, columns: int) -> int:
        return sum(-(-rows * columns * width // 8) for width in self.widths)

    def _pack(self, codes: Codes) -> Bytes:
        bits = np.unpackbits(codes.reshape(-1, 1), axis=1)[:, 8 - self.bits :]
        fields = np.split(bits, np.cumsum(self.widths)[:-1], axis=1)
        return np.concatenate([np.packbits(field) for field in fields])

    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        fields, begin = [], 0
        for width in self.widths:
            count = rows * columns * width
            end = begin - (-count // 8)
            fields.append(np.unpackbits(payload[begin:end], count=count).reshape(-1, width))
            begin = end
        bits = np.concatenate(fields, axis=1)
        bits = np.pad(bits, ((0, 0), (8 - self.bits, 0)))
        return np.packbits(bits, axis=1).reshape(rows, columns)

    def unpack_top(self, data: Buffer, count: Shape, *, planes: int) -> Codes:
        """Only the first ``planes`` fields of each code: its most significant bits.

        Raises
        ------
        InputError : ``planes`` is not one of 1 to the number of planes; malformed data.
        """
        if not isinstance(planes, int) or not 1 <= planes <= len(self.widths):
            raise InputError(
                f"packing '{self.name}' has {len(self.widths)} planes, {planes!r} cannot be read"
            )
        kept = sum(self.widths[:planes])
        return self.unpack(data, count) >> np.uint8(self.bits - kept)
