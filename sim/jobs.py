"""Jobs as the simulator's recurrences take them: many shapes on one machine, in columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.timing import (
    BUFFER_CYCLES,
    GROUP_COUNT_BITS,
    HEADER_QUEUE_GROUPS,
    PARAMETER_QUEUE_TILES,
    QUEUE_CYCLES,
    START_CYCLES,
    TILE_COUNT_BITS,
    decode_cycles,
    dequantizer_cycles,
    dot_cycles,
    inner_cycles,
    result_cycles,
)
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import activation_port, check_buffers, weight_port

from . import state

Column = NDArray[np.int64]
#: what may differ between the machines of :class:`Jobs`
DESIGN_SETTINGS = ("rows", "cols", "lanes", "queue_beats", "rows_per_dequantizer")


def _ceil(a: Column, b: Column | int) -> Column:
    return -(-a // b)


@dataclass(frozen=True, kw_only=True, eq=False)
class Jobs:
    """GEMMs on one machine, one job each; every property is an int64 column (jobs,).

    Parameters
    ----------
    machine : the machine.
    m, n, k, group_size : tokens, output channels, inputs, weights that share a scale.
    designs : settings of the array, of :data:`DESIGN_SETTINGS`, in which the jobs' machines differ
        from ``machine``; jobs that do not fit are then not refused (:attr:`fits`).

    Raises
    ------
    InputError : a shape exceeds the job port's counters, or a tile does not fit into a buffer.
    """

    machine: Machine
    m: Column
    n: Column
    k: Column
    group_size: Column
    designs: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.designs or self.fits.all():
            return
        for index in np.flatnonzero(~self.fits)[:1]:
            tiling(self.machine, self.shape(index))  # says what is wrong
        for beats in (self.tile_weight_beats, self.tile_chunks):
            check_buffers(self.machine, tiling(self.machine, self.shape(int(np.argmax(beats)))))

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the job port can count a job, and the buffers hold its tiles."""
        return self.counted & self.held

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Whether the job port can count a job."""
        return (
            (self.tiles < 1 << TILE_COUNT_BITS)
            & (self.groups < 1 << GROUP_COUNT_BITS)
            & (self.chunks < 1 << GROUP_COUNT_BITS)
        )

    @cached_property
    def held(self) -> NDArray[np.bool_]:
        """Whether the buffers, if there are any, hold a job's tiles."""
        buffers = self.machine.accelerator.buffers
        if buffers is None:
            return np.ones(len(self), dtype=bool)
        return (self.tile_weight_beats <= buffers.weight_beats) & (
            self.tile_chunks <= buffers.activation_beats
        )

    def setting(self, name: str) -> Any:
        """A setting of the array, or a column of them."""
        given = self.designs.get(name)
        return getattr(self.machine.accelerator, name) if given is None else given

    @classmethod
    def of(cls, machine: Machine, *shapes: GemmShape) -> "Jobs":
        """Jobs of single shapes."""
        fields = np.array([[s.m, s.n, s.k, s.group_size] for s in shapes], dtype=np.int64)
        m, n, k, group_size = fields.T
        return cls(machine=machine, m=m, n=n, k=k, group_size=group_size)

    def __len__(self) -> int:
        return len(self.m)

    def shape(self, index: int) -> GemmShape:
        """The shape of one job."""
        m, n, k, g = (int(c[index]) for c in (self.m, self.n, self.k, self.group_size))
        return GemmShape(m=m, n=n, k=k, group_size=g)

    @property
    def has_parameters(self) -> bool:
        """Whether every tile begins with a beat of requantizer parameters."""
        return self.machine.accelerator.requantizer is not None

    @cached_property
    def col_tiles(self) -> Column:
        """Column tiles, the last one padded."""
        return _ceil(self.n, self.setting("cols"))

    @cached_property
    def row_tiles(self) -> Column:
        """Row tiles, the last one padded."""
        return _ceil(self.m, self.setting("rows"))

    @cached_property
    def tiles(self) -> Column:
        """Tile passes."""
        return self.col_tiles * self.row_tiles

    @cached_property
    def groups(self) -> Column:
        """Groups per tile."""
        return _ceil(self.k, self.group_size)

    @cached_property
    def chunks(self) -> Column:
        """Chunks of a full group."""
        return _ceil(np.minimum(self.group_size, self.k), self.setting("lanes"))

    @cached_property
    def last_chunks(self) -> Column:
        """Chunks of the last group, which may be shorter."""
        rest = self.k - (self.groups - 1) * self.group_size
        return _ceil(rest, self.setting("lanes"))

    @cached_property
    def tile_chunks(self) -> Column:
        """Chunks of a tile pass."""
        return (self.groups - 1) * self.chunks + self.last_chunks

    @cached_property
    def inner_tiles(self) -> Column:
        """Tile passes of the inner loop."""
        return self.row_tiles if self._weights_stay else self.col_tiles

    @cached_property
    def _weights_stay(self) -> bool:
        return weight_port(self.machine).stationary

    @cached_property
    def _used_bits(self) -> dict[str, Any]:
        """Used bits of each kind of beat, and of a row of results: numbers or columns."""
        array, machine = self.machine.accelerator, self.machine
        cols, lanes = self.setting("cols"), self.setting("lanes")
        weights, activations = weight_port(machine), activation_port(machine)
        # a beat has so many bits for each column, weight or activation
        bits = {kind: used // array.cols * cols for kind, used in weights.kinds.items()}
        bits["chunk"] = weights.kinds["chunk"] // (array.cols * array.lanes) * cols * lanes
        per_activation = activations.kinds["chunk"] // (array.rows * array.lanes)
        return bits | {
            "activations": per_activation * self.setting("rows") * lanes,
            "results": machine.result_bits * cols,
        }

    @cached_property
    def beat_bits(self) -> dict[str, Any]:
        """Widths of the array's beats: ``weight``, ``activation``, ``result``."""
        used = dict(self._used_bits)
        found = {"activation": used.pop("activations"), "result": used.pop("results")}
        found["weight"] = reduce(np.maximum, used.values())
        return {name: _ceil(bits, 8) * 8 for name, bits in found.items()}

    @cached_property
    def _words(self) -> dict[str, Any]:
        """Stream words of each kind of beat, and of a row of results: numbers or columns."""
        streams, bits = self.machine.accelerator.streams, self._used_bits
        widths: dict[str, Any] = dict.fromkeys(bits, streams.weight_bits)
        widths["activations"] = streams.activation_bits
        widths["results"] = streams.result_bits
        # a stream that is as wide as a beat carries it in one word
        return {
            kind: 1 if width == "auto" else -(-bits[kind] // width)
            for kind, width in widths.items()
        }

    @cached_property
    def tile_weight_beats(self) -> Column:
        """Beats of a tile of weights."""
        return self.groups + self.tile_chunks + self.has_parameters

    @cached_property
    def tile_weight_words(self) -> Column:
        """Words of a tile of weights."""
        words = self._words
        return (
            self.groups * words["header"]
            + self.tile_chunks * words["chunk"]
            + words.get("parameters", 0)
        )

    @cached_property
    def tile_activation_words(self) -> Column:
        """Words of a tile of activations."""
        return self.tile_chunks * self._words["activations"]

    @cached_property
    def tile_result_words(self) -> Column:
        """Words of a tile of results."""
        words = self.setting("rows") * self._words["results"]
        return np.full(len(self), words, dtype=np.int64)

    def _packets(self, stays: bool) -> Column:
        """Tiles of an operand that cross its stream."""
        if self.machine.accelerator.buffers is None:
            return self.tiles
        if stays:
            return self.tiles // self.inner_tiles
        return np.where(self.inner_tiles == 1, 1, self.tiles)

    @cached_property
    def weight_packets(self) -> Column:
        """Tiles of weights that cross the stream."""
        return self._packets(self._weights_stay)

    @cached_property
    def activation_packets(self) -> Column:
        """Tiles of activations that cross the stream."""
        return self._packets(not self._weights_stay)

    @cached_property
    def words(self) -> dict[str, Column]:
        """Words that cross each stream: ``weight_words`` and so on."""
        return {
            "weight_words": self.weight_packets * self.tile_weight_words,
            "activation_words": self.activation_packets * self.tile_activation_words,
            "result_words": self.tiles * self.tile_result_words,
        }

    @cached_property
    def word_bits(self) -> dict[str, Any]:
        """Widths of the streams, by the same names: numbers, or columns where machines differ."""
        streams = self.machine.accelerator.streams
        widths = {
            name: getattr(streams, f"{name}_bits") for name in ("weight", "activation", "result")
        }
        return {
            f"{name}_words": self.beat_bits[name] if width == "auto" else width
            for name, width in widths.items()
        }

    @cached_property
    def slots(self) -> int:
        """Cycles per chunk."""
        return self.machine.slots

    @cached_property
    def macs(self) -> Column:
        """Products asked for, padding excluded."""
        return self.m * self.n * self.k

    @cached_property
    def peak_macs_per_cycle(self) -> float:
        """Products per cycle of the array without any loss."""
        array = self.machine.accelerator
        return array.rows * array.cols * array.lanes / self.slots

    @cached_property
    def parameters(self) -> NDArray[np.int64]:
        """What :func:`sim.kernel.run_job` takes, int64 (jobs, PARAMETERS)."""
        array, words = self.machine.accelerator, self._words
        # dequantizers that serve other numbers of rows take other times
        served = self.setting("rows_per_dequantizer") - array.rows_per_dequantizer
        later = served * array.scale_pass_cycles
        found = np.zeros((len(self), state.PARAMETERS), dtype=np.int64)
        constants: dict[int, Any] = {
            state.SLOTS: self.slots,
            state.DEQUANTIZER: dequantizer_cycles(array) + later,
            state.RESULT: result_cycles(array) + later,
            state.SUM: decode_cycles(array) + dot_cycles(array) + inner_cycles(array),
            state.QUEUE: self.setting("queue_beats"),
            state.BUFFERED: array.buffers is not None,
            state.PARAMETER_WORDS: words.get("parameters", 0),
            state.HEADER_WORDS: words["header"],
            state.WEIGHT_WORDS: words["chunk"],
            state.ACTIVATION_WORDS: words["activations"],
            state.START: START_CYCLES,
            state.USE: QUEUE_CYCLES,
            state.READ: BUFFER_CYCLES - 1,
            state.HEADER_QUEUE: HEADER_QUEUE_GROUPS,
            state.PARAMETER_QUEUE: PARAMETER_QUEUE_TILES,
        }
        stays = self._weights_stay
        resident = np.where(self.inner_tiles == 1, self.tiles, 1)
        columns = {
            state.TILES: self.tiles,
            state.GROUPS: self.groups,
            state.CHUNKS: self.chunks,
            state.LAST_CHUNKS: self.last_chunks,
            state.INNER: self.inner_tiles,
            state.WEIGHT_PASSES: self.inner_tiles if stays else resident,
            state.ACTIVATION_PASSES: resident if stays else self.inner_tiles,
            state.RESULT_WORDS: self.tile_result_words,
        }
        for column, value in {**constants, **columns}.items():
            found[:, column] = value
        return found
