"""What every packing has in common: checks, shapes, scales stored among the codes."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint8]
Buffer = bytes | bytearray | memoryview | Bytes
Shape = int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ScaleField:
    """Scales stored among the packed codes, as raw little-endian values.

    Parameters
    ----------
    dtype : numpy dtype of one scale: ``"u1"`` (an E8M0 or E4M3 code), ``"<f2"`` or ``"<f4"``.
    block : weights of one storage block; None where the whole tensor is the block.
    count : scales in one storage block.
    place : scales before or after the codes of their block.
    filler_bytes : bytes after the scales, written as 0, not read.
    """

    dtype: str
    block: int | None
    count: int = 1
    place: Literal["before", "after"]
    filler_bytes: int = 0

    @property
    def block_bytes(self) -> int:
        """Bytes that the scales add to one storage block, filler included."""
        return self.count * np.dtype(self.dtype).itemsize + self.filler_bytes

    def blocks(self, weights: int) -> int:
        """Storage blocks of a tensor."""
        return 1 if self.block is None else weights // self.block

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the scales of codes of ``shape``: () for one scale per tensor."""
        if self.block is None:
            return ()
        return (*shape[:-1], shape[-1] * self.count // self.block)

    def join(self, payload: Bytes, scales: NDArray[Any], weights: int) -> Bytes:
        """Put the scales beside the packed codes."""
        blocks = self.blocks(weights)
        raw = scales.astype(self.dtype).reshape(blocks, self.count).view(np.uint8)
        parts = [payload.reshape(blocks, -1), raw]
        if self.place == "before":
            parts.reverse()
        parts.append(np.zeros((blocks, self.filler_bytes), dtype=np.uint8))
        return np.concatenate(parts, axis=1).reshape(-1)

    def split(self, data: Bytes, weights: int) -> tuple[Bytes, NDArray[Any]]:
        """Packed codes and flat scales of packed data."""
        rows = data.reshape(self.blocks(weights), -1)
        rows = rows[:, : rows.shape[1] - self.filler_bytes]
        width = self.block_bytes - self.filler_bytes
        if self.place == "before":
            raw, payload = rows[:, :width], rows[:, width:]
        else:
            payload, raw = rows[:, :-width], rows[:, -width:]
        scales = np.ascontiguousarray(raw).view(self.dtype).reshape(-1)
        return np.ascontiguousarray(payload).reshape(-1), scales.astype(
            scales.dtype.newbyteorder("=")
        )


@dataclass(frozen=True, kw_only=True)
class Packing(ABC):
    """Codes to bytes and back, exactly: every accepted byte string has one meaning.

    Codes of any shape are packed row by row, a row being the last axis. :meth:`unpack` refuses
    whatever :meth:`pack` would not have written: unused patterns, set padding bits, a wrong length.

    Parameters
    ----------
    name : name in the registry.
    symbols : codes are 0 to ``symbols - 1``.
    row_multiple : a row's length must be a multiple of this: other lengths are refused. Packings
        with multiple 1 take every length and pad; their docstrings say with what.
    scale : scales stored among the codes, or None.
    source : where the layout is published.
    """

    name: str
    symbols: int
    row_multiple: int = 1
    scale: ScaleField | None = None
    source: str

    @property
    @abstractmethod
    def bits_per_weight(self) -> float:
        """Stored bits per weight of long rows, block scales but no scale per tensor included."""

    @abstractmethod
    def _payload_bytes(self, rows: int, columns: int) -> int:
        """Bytes of the codes alone."""

    @abstractmethod
    def _pack(self, codes: Codes) -> Bytes:
        """Bytes of checked codes (rows, columns)."""

    @abstractmethod
    def _unpack(self, payload: Bytes, rows: int, columns: int) -> Codes:
        """Codes (rows, columns) of bytes of the right length; malformed ones may give any codes."""

    def _misfit(self, codes: Codes) -> str | None:
        """Why codes (rows, columns) cannot be held though each is in range, or None."""
        return None

    def packed_bytes(self, count: Shape) -> int:
        """Bytes of codes of a shape, scales included.

        Raises
        ------
        InputError : a shape that the packing does not take.
        """
        shape = self._check_shape(count)
        scales = 0
        if self.scale:
            scales = self.scale.blocks(prod(shape)) * self.scale.block_bytes
        return self._payload_bytes(prod(shape[:-1]), shape[-1]) + scales

    def scale_shape(self, count: Shape) -> tuple[int, ...]:
        """Shape of the scales beside codes of a shape; refused where the packing has none."""
        if not self.scale:
            raise InputError(f"packing '{self.name}' stores no scales")
        return self.scale.shape(self._check_shape(count))

    def pack(self, codes: ArrayLike, scales: ArrayLike | None = None) -> Bytes:
        """Pack integer codes (any shape, not empty) into uint8 (bytes,).

        Parameters
        ----------
        scales : :meth:`scale_shape` of the codes' shape, of exactly the stored dtype; only, and
            always, for packings that store scales.

        Raises
        ------
        InputError : codes out of range, empty, or of a length that the packing does not take;
            scales missing, unwanted, or of another shape or dtype.
        """
        array = np.asarray(codes)
        if array.dtype.kind not in "iu":
            raise InputError(f"packing '{self.name}' takes integer codes, not {array.dtype}")
        shape = self._check_shape(array.shape)
        wrong = (array < 0) | (array >= self.symbols)
        if wrong.any():
            raise InputError(
                f"packing '{self.name}': code {array[wrong][0]} at weight "
                f"{np.flatnonzero(wrong)[0]} is outside 0..{self.symbols - 1}"
            )
        rows = array.astype(np.uint8).reshape(-1, shape[-1])
        self._check_fit(rows)
        payload = self._pack(rows)
        if self.scale is None:
            if scales is not None:
                raise InputError(f"packing '{self.name}' stores no scales")
            return payload
        return self.scale.join(payload, self._check_scales(scales, shape), array.size)

    def unpack(self, data: Buffer, count: Shape) -> Codes:
        """Codes, uint8, of packed ``data``: ``count`` of them, or an array of that shape.

        Raises
        ------
        InputError : too few or too many bytes, or bytes that :meth:`pack` never writes.
        """
        shape = self._check_shape(count)
        payload = self._check_data(data, shape)
        if self.scale:
            payload = self.scale.split(payload, prod(shape))[0]
        codes = self._unpack(payload, prod(shape[:-1]), shape[-1])
        wrong = codes >= self.symbols
        if wrong.any():
            raise InputError(
                f"packing '{self.name}': weight {np.flatnonzero(wrong)[0]} has the unused code "
                f"{codes[wrong][0]}, codes end at {self.symbols - 1}"
            )
        self._check_fit(codes)
        wrong = self._pack(codes) != payload
        if wrong.any():
            at = np.flatnonzero(wrong)[0]
            raise InputError(
                f"packing '{self.name}': byte {at} of the codes is {payload[at]}, "
                "which no codes are packed to"
            )
        return codes.reshape(shape)

    def unpack_scales(self, data: Buffer, count: Shape) -> NDArray[Any]:
        """Scales of packed ``data``, shape :meth:`scale_shape`, raw: uint8 codes or floats."""
        shape = self.scale_shape(count)
        codes_shape = self._check_shape(count)
        assert self.scale is not None
        _, scales = self.scale.split(self._check_data(data, codes_shape), prod(codes_shape))
        return scales.reshape(shape)

    def _check_shape(self, count: Shape) -> tuple[int, ...]:
        shape = count if isinstance(count, tuple) else (count,)
        whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in shape)
        if not shape or not whole or min(shape) < 1:
            raise InputError(
                f"packing '{self.name}': a count or shape of at least 1 weight is needed, "
                f"not {count!r}"
            )
        if shape[-1] % self.row_multiple:
            raise InputError(
                f"packing '{self.name}' takes rows of a multiple of {self.row_multiple} weights, "
                f"not {shape[-1]}"
            )
        return tuple(int(n) for n in shape)

    def _check_fit(self, codes: Codes) -> None:
        misfit = self._misfit(codes)
        if misfit:
            raise InputError(f"packing '{self.name}': {misfit}")

    def _check_scales(self, scales: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[Any]:
        assert self.scale is not None
        wanted, dtype = self.scale.shape(shape), np.dtype(self.scale.dtype).newbyteorder("=")
        array = np.asarray(scales)
        if scales is None or array.dtype != dtype or array.shape != wanted:
            given = "none" if scales is None else f"{array.dtype} {array.shape}"
            raise InputError(
                f"packing '{self.name}' stores scales of {dtype.name} {wanted}, not {given}"
            )
        return array

    def _check_data(self, data: Buffer, shape: tuple[int, ...]) -> Bytes:
        array = data if isinstance(data, np.ndarray) else np.frombuffer(data, dtype=np.uint8)
        if array.dtype != np.uint8 or array.ndim != 1:
            raise InputError(
                f"packing '{self.name}': packed data is a row of bytes, "
                f"not {array.dtype} {array.shape}"
            )
        wanted = self.packed_bytes(shape)
        if len(array) != wanted:
            raise InputError(
                f"packing '{self.name}': {prod(shape)} weights take {wanted} bytes, "
                f"{len(array)} given"
            )
        return array
