"""A program: one GEMM as the machine sees it, tiled, padded and packed into stream beats.

Golden model, simulator and RTL test bench all read the same program.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS
from sw.formats import FormatFamily, float_layout
from sw.formats.floats import FloatParts
from sw.formats.pairs import stored_codes

from .machine import Machine
from .stages import RequantizerParameters, check_stages, special_words, with_specials

#: of a GEMM in every direction
LARGEST_SIZE = 1 << 30


@dataclass(frozen=True, kw_only=True)
class GemmShape:
    """``outputs (M, N) = activations (M, K) x weights (N, K)`` with groups along K.

    Parameters
    ----------
    m, n, k : tokens, output channels, inputs per output.
    group_size : weights that share a scale.
    """

    m: int
    n: int
    k: int
    group_size: int

    def __post_init__(self) -> None:
        for name in ("m", "n", "k", "group_size"):
            if getattr(self, name) < 1:
                raise InputError(f"GEMM {name} is {getattr(self, name)}, it must be at least 1")
            if getattr(self, name) > LARGEST_SIZE:
                raise InputError(
                    f"GEMM {name} is {getattr(self, name)}, it must be at most {LARGEST_SIZE}"
                )

    @property
    def macs(self) -> int:
        """Products of the GEMM, padding excluded."""
        return self.m * self.n * self.k


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How a GEMM falls onto an array: the counts that the job port takes, and the order.

    A tile pass is (column tile, row tile), row tiles innermost.
    """

    shape: GemmShape
    rows: int
    cols: int
    lanes: int

    @property
    def col_tiles(self) -> int:
        """Column tiles, the last one padded."""
        return -(-self.shape.n // self.cols)

    @property
    def row_tiles(self) -> int:
        """Row tiles, the last one padded."""
        return -(-self.shape.m // self.rows)

    @property
    def tiles(self) -> int:
        """Tile passes."""
        return self.col_tiles * self.row_tiles

    @property
    def groups(self) -> int:
        """Groups per tile."""
        return -(-self.shape.k // self.shape.group_size)

    @property
    def chunks(self) -> int:
        """Chunks of a full group."""
        return -(-min(self.shape.group_size, self.shape.k) // self.lanes)

    @property
    def last_chunks(self) -> int:
        """Chunks of the last group, which may be shorter."""
        rest = self.shape.k - (self.groups - 1) * self.shape.group_size
        return -(-rest // self.lanes)

    @property
    def tile_chunks(self) -> int:
        """Chunks of a tile pass."""
        return (self.groups - 1) * self.chunks + self.last_chunks

    def check_counters(self) -> None:
        """Refuse shapes beyond the counters of the job port."""
        for name, value, bits in (
            ("tiles", self.tiles, TILE_COUNT_BITS),
            ("groups", self.groups, GROUP_COUNT_BITS),
            ("chunks per group", self.chunks, GROUP_COUNT_BITS),
        ):
            if value >= 1 << bits:
                raise InputError(
                    f"the GEMM needs {value} {name}, a job has room for {(1 << bits) - 1}"
                )


def tiling(machine: Machine, shape: GemmShape) -> Tiling:
    """Tiling of ``shape`` on ``machine``."""
    array = machine.accelerator
    result = Tiling(shape=shape, rows=array.rows, cols=array.cols, lanes=array.lanes)
    result.check_counters()
    return result


def pack_bits(values: NDArray[np.int64], bits: int) -> NDArray[np.uint8]:
    """Pack the last axis, element 0 in the low bits; negative values in two's complement.

    Returns uint8 of shape ``values.shape[:-1] + (ceil(count * bits / 8),)``.
    """
    shifts = np.arange(bits)
    spread = (values[..., None] >> shifts & 1).astype(np.uint8)
    return np.packbits(spread.reshape(*values.shape[:-1], -1), axis=-1, bitorder="little")


def as_words(beats: NDArray[np.uint8], beat_bits: int) -> NDArray[np.uint32]:
    """Zero-pad byte beats (count, bytes) to whole 32-bit words, shape (count, words)."""
    words = -(-beat_bits // 32)
    padded = np.zeros((len(beats), 4 * words), dtype=np.uint8)
    padded[:, : beats.shape[1]] = beats
    return padded.view("<u4")


@dataclass(frozen=True, kw_only=True, eq=False)
class GemmProgram:
    """One GEMM on one machine.

    Parameters
    ----------
    machine : the machine it runs on.
    name : for messages.
    group_size : weights that share a scale.
    codes : uint8 (N, K) weight codes; uint16 for 16-bit formats.
    format_ids : uint8 (N, groups) member of the machine's family, per group.
    scale_codes : uint8 (N, groups), see :func:`sw.compile.scale_integers`.
    activations : int64 (M, K) within the activation range; codes of floating-point ones.
    zero_points : int64 (N, groups) in levels, or None where all are 0.
    specials : level of the special code in each member of the family, for a programmable machine;
        None leaves the family's own.
    requantizer : multipliers and shifts, of a machine that has a requantizer.
    """

    machine: Machine
    name: str
    group_size: int
    codes: NDArray[np.unsignedinteger]
    format_ids: NDArray[np.uint8]
    scale_codes: NDArray[np.uint8]
    activations: NDArray[np.int64]
    zero_points: NDArray[np.int64] | None = None
    specials: tuple[int | None, ...] | None = None
    requantizer: RequantizerParameters | None = None

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.activations.ndim != 2:
            raise InputError(f"{self.name}: codes and activations must be matrices")
        if self.codes.shape[1] != self.activations.shape[1]:
            raise InputError(
                f"{self.name}: weights have {self.codes.shape[1]} inputs, "
                f"activations {self.activations.shape[1]}"
            )
        per_group = (len(self.codes), self.tiling.groups)
        for field in ("format_ids", "scale_codes"):
            if getattr(self, field).shape != per_group:
                found = getattr(self, field).shape
                raise InputError(f"{self.name}: {field} have shape {found}, expected {per_group}")
        check_stages(self)
        if self.machine.family.pairs and self.group_size % 2 and self.tiling.groups > 1:
            raise InputError(f"{self.name}: group size {self.group_size} splits a pair")
        low, high = self.machine.activation_codes
        if self.activations.min() < low or self.activations.max() > high:
            raise InputError(f"{self.name}: activations leave the port's range {low}..{high}")
        if self.machine.accelerator.is_aligned:
            self._check_exponents()
        if self.format_ids.max() >= len(self.machine.family.members):
            raise InputError(
                f"{self.name}: format id {self.format_ids.max()} is not in family "
                f"'{self.machine.family.name}' of {len(self.machine.family.members)}"
            )

    def _check_exponents(self) -> None:
        """Refuse groups so long that truncation could outgrow an exponent's register."""
        widths, t = self.machine.floating, self.tiling
        steps = max(t.chunks, t.last_chunks) * self.machine.slots
        outer = widths.outer_exponent_after(t.groups, steps)
        for what, count, needed, bits in (
            ("steps", steps, widths.inner_exponent_after(steps), widths.inner_exponent_bits),
            ("groups", t.groups, outer, widths.outer_exponent_bits),
        ):
            if needed >> bits:
                raise InputError(
                    f"{self.name}: {count} {what} of truncated sums could reach exponent {needed}, "
                    f"the register has {bits} bits: take more mantissa bits, rounding nearest_even "
                    "or shorter groups"
                )

    @property
    def shape(self) -> GemmShape:
        """M, N, K and group size."""
        (n, k), m = self.codes.shape, len(self.activations)
        return GemmShape(m=m, n=n, k=k, group_size=self.group_size)

    @cached_property
    def tiling(self) -> Tiling:
        """Tile, group and chunk counts."""
        return tiling(self.machine, self.shape)

    @cached_property
    def group_of(self) -> NDArray[np.int64]:
        """Group of every input, shape (K,)."""
        return np.arange(self.shape.k) // self.group_size

    @cached_property
    def family(self) -> FormatFamily:
        """The machine's family, with the special values of this program."""
        family = self.machine.family
        return family if self.specials is None else with_specials(family, self.specials)

    @property
    def special_words(self) -> list[int]:
        """What a programmable machine is to hold: packed terms of each special value."""
        if not self.machine.accelerator.programmable:
            return []
        return special_words(self.machine.terms, self.family, self.machine.family.special_code)

    @cached_property
    def activation_parts(self) -> FloatParts:
        """Sign, significand and place of floating-point activations, (M, K)."""
        layout = float_layout(self.machine.accelerator.activation_format)
        return layout.take_apart(self.activations)

    @cached_property
    def activation_values(self) -> NDArray[Any]:
        """Activations as integers (M, K); floating-point ones in their unit, as Python integers."""
        if not self.machine.accelerator.has_floats:
            return self.activations
        parts = self.activation_parts
        magnitudes = parts.significand.astype(object) << parts.place.astype(object)
        return np.where(parts.negative, -magnitudes, magnitudes)

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """Weight levels, shape (N, K)."""
        return self.family.level_table[self.format_ids[:, self.group_of], self.codes]

    @cached_property
    def padded_levels(self) -> NDArray[np.int64]:
        """Weight levels with the missing columns of the last column tile, shape (N padded, K).

        Missing columns hold the padding code of the family's first format and have scale 0.
        """
        first = self.family.members[0]
        missing = self.tiling.col_tiles * self.tiling.cols - self.shape.n
        level = first.levels[first.padding_code]
        padding = np.full((missing, self.shape.k), level, dtype=np.int64)
        return np.concatenate([self.levels, padding])

    @cached_property
    def chunk_inputs(self) -> NDArray[np.int64]:
        """Input index of every (chunk of a tile, lane); -1 where a chunk is padded."""
        t = self.tiling
        starts = [
            group * self.group_size + chunk * t.lanes
            for group in range(t.groups)
            for chunk in range(t.last_chunks if group == t.groups - 1 else t.chunks)
        ]
        inputs = np.array(starts)[:, None] + np.arange(t.lanes)
        group = np.array(starts)[:, None] // self.group_size
        inside = (inputs < (group + 1) * self.group_size) & (inputs < self.shape.k)
        return np.where(inside, inputs, -1)

    @cached_property
    def weight_beats(self) -> NDArray[np.uint32]:
        """Beats of each column tile, shape (col_tiles, beats, words)."""
        t, family = self.tiling, self.family
        n_padded = t.col_tiles * t.cols
        padding = np.array([f.padding_code for f in family.members], dtype=np.int64)
        codes = np.zeros((n_padded, t.tile_chunks, t.lanes), dtype=np.int64)
        inside = self.chunk_inputs >= 0
        of_group = self.group_of[np.where(inside, self.chunk_inputs, 0)]
        of_group = np.where(inside, of_group, of_group[:, :1])
        fill = padding[self.format_ids[:, of_group]]
        codes[: self.shape.n] = np.where(inside, self.codes[:, self.chunk_inputs], fill)
        codes[self.shape.n :] = padding[0]
        if family.pairs:
            codes = stored_codes(codes, family.stored_bits)
        tiled = codes.reshape(t.col_tiles, t.cols, t.tile_chunks, t.lanes).swapaxes(1, 2)
        chunks = pack_bits(tiled.reshape(-1, t.cols * t.lanes), family.stored_bits)
        headers = self._header_bytes()
        beat_bits = self.machine.weight_beat_bits
        chunk_words = as_words(chunks, beat_bits).reshape(t.col_tiles, t.tile_chunks, -1)
        header_words = as_words(headers, beat_bits).reshape(t.col_tiles, t.groups, -1)
        before = np.arange(t.groups) * t.chunks  # chunks in front of each header
        beats = np.insert(chunk_words, before, header_words, axis=1)
        if self.requantizer is None:
            return beats
        parameters = as_words(self._parameter_bytes(self.requantizer), beat_bits)
        return np.concatenate([parameters[:, None], beats], axis=1)

    def _parameter_bytes(self, parameters: RequantizerParameters) -> NDArray[np.uint8]:
        """Parameter beats, shape (col_tiles, bytes): multipliers, then shifts."""
        config = self.machine.accelerator.requantizer
        assert config is not None
        fields = [
            (parameters.multipliers, config.multiplier_bits),
            (parameters.shifts, config.shift_bits),
        ]
        return self._beat_fields([(values[:, None], bits) for values, bits in fields])

    def _header_bytes(self) -> NDArray[np.uint8]:
        """Header beats, shape (col_tiles * groups, bytes): scales, format ids, zero points."""
        array = self.machine.accelerator
        fields: list[tuple[NDArray, int]] = [
            (self.scale_codes, array.scale.code_bits),
            (self.format_ids, self.machine.family.id_bits),
        ]
        if self.zero_points is not None:
            fields.append((self.zero_points, array.zero_point_bits))
        return self._beat_fields(fields)

    def _beat_fields(self, fields: list[tuple[NDArray, int]]) -> NDArray[np.uint8]:
        """Beats of whole column tiles from (values (N, count), bits): (col_tiles * count, bytes).

        Field by field, column 0 in the low bits; missing columns are 0.
        """
        t = self.tiling
        parts = []
        for source, bits in fields:
            padded = np.zeros((t.col_tiles * t.cols, source.shape[1]), dtype=np.int64)
            padded[: self.shape.n] = source
            tiled = padded.reshape(t.col_tiles, t.cols, -1).swapaxes(1, 2)
            spread = tiled.reshape(-1, t.cols)[..., None] >> np.arange(bits) & 1
            parts.append(spread.reshape(len(spread), -1))
        bits_of_beat = np.concatenate(parts, axis=1).astype(np.uint8)
        return np.packbits(bits_of_beat, axis=1, bitorder="little")

    @cached_property
    def activation_beats(self) -> NDArray[np.uint32]:
        """Beats of each row tile, shape (row_tiles, tile_chunks, words)."""
        t = self.tiling
        padded = np.zeros((t.row_tiles * t.rows, t.tile_chunks, t.lanes), dtype=np.int64)
        inside = self.chunk_inputs >= 0
        padded[: self.shape.m] = np.where(inside, self.activations[:, self.chunk_inputs], 0)
        tiled = padded.reshape(t.row_tiles, t.rows, t.tile_chunks, t.lanes).swapaxes(1, 2)
        beats = pack_bits(tiled.reshape(-1, t.rows * t.lanes), self.machine.activation_width)
        words = as_words(beats, self.machine.activation_beat_bits)
        return words.reshape(t.row_tiles, t.tile_chunks, -1)

    def unpack_results(
        self, beats: NDArray[np.uint8], weights_outside: bool = True
    ) -> NDArray[np.int64]:
        """Outputs (M, N) from the bytes of result beats (tiles * rows, bytes), padding dropped.

        Parameters
        ----------
        weights_outside : column tiles are the outer loop, else row tiles.
        """
        t, width = self.tiling, self.machine.result_bits // 8
        outer, inner = (t.col_tiles, t.row_tiles) if weights_outside else (t.row_tiles, t.col_tiles)
        raw = np.ascontiguousarray(beats).view(np.uint8)[:, : t.cols * width]
        raw = raw.reshape(outer, inner, t.rows, t.cols, width)
        values = np.zeros(raw.shape[:-1], dtype=np.int64)
        for byte in range(width):
            values |= raw[..., byte].astype(np.int64) << (8 * byte)
        spare = 64 - 8 * width
        values = values << spare >> spare
        tiles = values if weights_outside else values.swapaxes(0, 1)
        outputs = tiles.transpose(1, 2, 0, 3).reshape(t.row_tiles * t.rows, -1)
        return outputs[: self.shape.m, : self.shape.n]
