"""How operands and results cross the streams: words of a beat, packets of a job."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .machine import Machine
from .program import GemmProgram, Tiling


@dataclass(frozen=True, kw_only=True)
class OperandPort:
    """One operand's way in.

    Attributes
    ----------
    name : ``weights`` or ``activations``.
    kinds : used bits of each kind of beat: ``parameters``, ``header``, ``chunk``.
    beat_bits : width of a beat inside.
    stream_bits : width of the stream.
    half_beats : beats in each half of the buffer; 0 without buffers.
    stationary : a tile stays in the buffer while those of the other operand pass by.
    """

    name: str
    kinds: dict[str, int]
    beat_bits: int
    stream_bits: int
    half_beats: int
    stationary: bool

    @property
    def words(self) -> dict[str, int]:
        """Stream words of each kind of beat."""
        return {kind: -(-bits // self.stream_bits) for kind, bits in self.kinds.items()}

    def beat_words(self, t: Tiling) -> NDArray[np.int64]:
        """Stream words of every beat of a tile, in order."""
        words, chunks = self.words, np.full(t.tile_chunks, self.words["chunk"])
        if "header" not in words:
            return chunks
        beats = np.insert(chunks, np.arange(t.groups) * t.chunks, words["header"])
        return np.concatenate([[words["parameters"]], beats]) if "parameters" in words else beats

    def beats(self, t: Tiling) -> int:
        """Beats of a tile."""
        headers = t.groups if "header" in self.kinds else 0
        return t.tile_chunks + headers + ("parameters" in self.kinds)

    def packets(self, t: Tiling) -> "Packets":
        """Which tiles cross the stream, one packet each."""
        outer, inner = _loops(t, self.name, self.stationary)
        if not self.half_beats:
            if self.name == "weights":
                return Packets(count=t.tiles, repeat=t.row_tiles, images=t.col_tiles)
            return Packets(count=t.tiles, repeat=1, images=t.row_tiles)
        if self.stationary:
            return Packets(count=outer, repeat=1, images=outer)
        return Packets(count=1 if inner == 1 else t.tiles, repeat=1, images=inner)


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The packets of a job: packet ``p`` carries tile ``(p // repeat) % images``."""

    count: int
    repeat: int
    images: int


def _loops(t: Tiling, name: str, stationary: bool) -> tuple[int, int]:
    """Tiles of the outer and of the inner loop."""
    weights_outside = (name == "weights") == stationary
    return (t.col_tiles, t.row_tiles) if weights_outside else (t.row_tiles, t.col_tiles)


def weight_port(machine: Machine) -> OperandPort:
    """The weights' way in."""
    kinds = {"header": machine.header_bits, "chunk": machine.chunk_bits}
    if machine.parameter_bits:
        kinds = {"parameters": machine.parameter_bits, **kinds}
    array = machine.accelerator
    return OperandPort(
        name="weights",
        kinds=kinds,
        beat_bits=machine.weight_beat_bits,
        stream_bits=_resolved(array.streams.weight_bits, machine.weight_beat_bits),
        half_beats=array.buffers.weight_beats if array.buffers else 0,
        stationary=array.buffers is None or array.buffers.stationary == "weights",
    )


def activation_port(machine: Machine) -> OperandPort:
    """The activations' way in."""
    array = machine.accelerator
    return OperandPort(
        name="activations",
        kinds={"chunk": machine.activation_chunk_bits},
        beat_bits=machine.activation_beat_bits,
        stream_bits=_resolved(array.streams.activation_bits, machine.activation_beat_bits),
        half_beats=array.buffers.activation_beats if array.buffers else 0,
        stationary=array.buffers is not None and array.buffers.stationary == "activations",
    )


def _resolved(bits: int | str, beat_bits: int) -> int:
    return beat_bits if isinstance(bits, str) else bits


def result_stream_bits(machine: Machine) -> int:
    """``m_axis_results_tdata`` width."""
    return _resolved(machine.accelerator.streams.result_bits, machine.result_beat_bits)


def result_words(machine: Machine) -> int:
    """Stream words of a row of results."""
    return -(-machine.result_beat_bits // result_stream_bits(machine))


def stream_counts(machine: Machine, t: Tiling) -> dict[str, int]:
    """Words that cross each stream in a job: ``weight_words`` and so on."""
    ports = {"weight_words": weight_port(machine), "activation_words": activation_port(machine)}
    counts = {
        name: port.packets(t).count * int(port.beat_words(t).sum()) for name, port in ports.items()
    }
    return {**counts, "result_words": t.tiles * t.rows * result_words(machine)}


def inner_tiles(machine: Machine, t: Tiling) -> int:
    """Tile passes of the inner loop."""
    port = weight_port(machine)
    return _loops(t, port.name, port.stationary)[1]


def weights_outside(machine: Machine) -> bool:
    """Whether column tiles are the outer loop."""
    return weight_port(machine).stationary


def check_buffers(machine: Machine, *tilings: Tiling) -> None:
    """Refuse GEMMs of which one tile does not fit into half a buffer.

    Raises
    ------
    InputError : with the smallest size that works for all of them.
    """
    if machine.accelerator.buffers is None:
        return
    for port, key in (
        (weight_port(machine), "weight_beats"),
        (activation_port(machine), "activation_beats"),
    ):
        needed, t = max(((port.beats(t), t) for t in tilings), key=lambda found: found[0])
        if needed > port.half_beats:
            raise InputError(
                f"a tile of K {t.shape.k} with groups of {t.shape.group_size} takes {needed} beats "
                f"of {port.name}, buffers: {key} is {port.half_beats}: set it to {needed} or more"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Transfers:
    """A program as the streams carry it.

    Parameters
    ----------
    program : the job.

    Raises
    ------
    InputError : a tile does not fit into half a buffer.
    """

    program: GemmProgram

    def __post_init__(self) -> None:
        check_buffers(self.program.machine, self.program.tiling)

    @property
    def machine(self) -> Machine:
        """The program's machine."""
        return self.program.machine

    @cached_property
    def weights(self) -> NDArray[np.uint32]:
        """Words of each column tile's packet, (col_tiles, words, 32-bit words)."""
        port = weight_port(self.machine)
        beat_words = port.beat_words(self.program.tiling)
        return stream_words(self.program.weight_beats, beat_words, port.stream_bits)

    @cached_property
    def activations(self) -> NDArray[np.uint32]:
        """Words of each row tile's packet, (row_tiles, words, 32-bit words)."""
        port = activation_port(self.machine)
        beat_words = port.beat_words(self.program.tiling)
        return stream_words(self.program.activation_beats, beat_words, port.stream_bits)

    @cached_property
    def shape_registers(self) -> dict[str, int]:
        """What the shape registers are to hold."""
        t = self.program.tiling
        return {
            "TILES": t.tiles,
            "INNER_TILES": inner_tiles(self.machine, t),
            "GROUPS": t.groups,
            "CHUNKS": t.chunks,
            "LAST_CHUNKS": t.last_chunks,
        }

    @cached_property
    def stream_words(self) -> dict[str, int]:
        """Words of the job on each stream."""
        return stream_counts(self.machine, self.program.tiling)

    @property
    def result_count(self) -> int:
        """Result words of the job."""
        return self.stream_words["result_words"]

    def outputs(self, words: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Outputs (M, N) from result words (result_count, 32-bit words), padding dropped."""
        count = result_words(self.machine)
        raw = as_bytes(words, result_stream_bits(self.machine))
        rows = raw.reshape(len(words) // count, -1)[:, : self.machine.result_beat_bits // 8]
        return self.program.unpack_results(rows, weights_outside(self.machine))


def stream_words(
    beats: NDArray[np.uint32], beat_words: NDArray[np.int64], stream_bits: int
) -> NDArray[np.uint32]:
    """Beats (tiles, beats, 32-bit words) cut into stream words (tiles, words, 32-bit words).

    Parameters
    ----------
    beat_words : stream words of each beat; its upper bits beyond them are zeros.
    stream_bits : width of the stream, whole bytes.
    """
    size, most = stream_bits // 8, int(beat_words.max())
    raw = np.ascontiguousarray(beats).view(np.uint8)
    cut = np.zeros((*raw.shape[:2], most * size), dtype=np.uint8)
    kept = min(raw.shape[2], most * size)
    cut[..., :kept] = raw[..., :kept]
    used = np.arange(most) < beat_words[:, None]
    words = cut.reshape(*raw.shape[:2], most, size)[:, used]
    padded = np.zeros((*words.shape[:2], 4 * -(-size // 4)), dtype=np.uint8)
    padded[..., :size] = words
    return padded.view("<u4")


def as_bytes(words: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """The used bytes of words (count, 32-bit words), (count, bits / 8)."""
    raw = np.ascontiguousarray(words).view(np.uint8)
    return raw.reshape(len(words), -1)[:, : bits // 8]
