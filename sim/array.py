"""The PE array in time: when each slot issues, and what every other cycle waits for.

``docs/timing.md`` is the specification. Times are cycles after the one that accepts the job.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import (
    CAUSES,
    HEADER_QUEUE_GROUPS,
    PARAMETER_QUEUE_TILES,
    QUEUE_CYCLES,
    START_CYCLES,
    dequantizer_cycles,
    result_cycles,
)
from sw.compile import GemmShape, Machine, Tiling, tiling
from sw.compile.transfers import (
    OperandPort,
    activation_port,
    check_buffers,
    inner_tiles,
    result_words,
    stream_counts,
    weight_port,
)

from .streams import LONG_AGO, BufferedInput, DirectInput, Stream


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """Idle cycles of the test bench: before word i is offered, before word j is accepted.

    Counted from the cycle after the previous word of the stream, for the first one from the cycle
    after the job. Missing entries are 0.
    """

    weights: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    activations: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    results: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class CycleReport:
    """Time of one job.

    Attributes
    ----------
    total_cycles : from the cycle that accepts the job to the one that accepts the last result.
    causes : cycles by cause; they add up to ``total_cycles``.
    counters : ``busy`` cycles, ``tiles``, and the words of each stream.
    macs : products asked for, padding excluded.
    peak_macs_per_cycle : products per cycle of the array without any loss.
    """

    total_cycles: int
    causes: dict[str, int]
    counters: dict[str, int]
    macs: int
    peak_macs_per_cycle: float

    @property
    def utilization(self) -> float:
        """Share of the array's peak that the job reached."""
        return self.macs / (self.peak_macs_per_cycle * self.total_cycles)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Where the job stood when a state was first seen."""

    tile: int
    issued: int
    causes: dict[str, int]


class _Queue:
    """When the oldest beat of a queue left it."""

    def __init__(self, depth: int) -> None:
        self.left = deque([LONG_AGO] * depth, maxlen=depth)

    def room(self) -> int:
        """First cycle in which the next beat fits."""
        return self.left[0] + 1

    def pop(self, cycle: int) -> None:
        """The head leaves in ``cycle``."""
        self.left.append(cycle)


class ArraySimulator:
    """Steps through a job chunk by chunk.

    Parameters
    ----------
    machine : array shape, slots, queue depth.
    shape : the GEMM.
    gaps : the test bench's idle cycles, or none.
    """

    def __init__(self, machine: Machine, shape: GemmShape, gaps: Gaps | None = None) -> None:
        gaps = gaps or Gaps()
        array = machine.accelerator
        self.tiling: Tiling = tiling(machine, shape)
        self.machine = machine
        self.slots = machine.slots
        check_buffers(machine, self.tiling)
        self.inner_tiles = inner_tiles(machine, self.tiling)
        #: tiles after which everything may be as before
        self.round_tiles = self.inner_tiles if array.buffers else 1
        self.weights = self._input(weight_port(machine), gaps.weights)
        self.activations = self._input(activation_port(machine), gaps.activations)
        self.results = Stream(gaps.results)
        self.row_words = result_words(machine)
        self.parameters_queue = _Queue(PARAMETER_QUEUE_TILES)
        self.headers_queue = _Queue(HEADER_QUEUE_GROUPS)
        self.weights_queue = _Queue(array.queue_beats)
        self.activations_queue = _Queue(array.queue_beats)
        self.causes = dict.fromkeys(CAUSES, 0)
        self.issued = START_CYCLES - 1  # cycle of the latest slot
        self.group_ended = LONG_AGO  # issue of the latest last slot of a group
        self.tile_done = LONG_AGO  # last result beat of the previous tile accepted
        self.periodic = not any(g.size for g in (gaps.weights, gaps.activations, gaps.results))

    def _input(self, port: OperandPort, gaps: NDArray[np.int64]) -> DirectInput | BufferedInput:
        """How an operand's beats reach the array."""
        if not port.half_beats:
            return DirectInput(gaps)
        resident = self.tiling.tiles if self.inner_tiles == 1 else 1
        passes = self.inner_tiles if port.stationary else resident
        return BufferedInput(port, self.tiling, passes=passes, gaps=gaps)

    def _wait(self, until: tuple[int, int, int, int]) -> None:
        """Issue one slot once every ``until`` has passed, counting waits by priority."""
        cycle = self.issued + 1
        for cause, end in zip(CAUSES, until, strict=False):
            if end > cycle:
                self.causes[cause] += end - cycle
                cycle = end
        self.causes["compute"] += 1
        self.issued = cycle

    def _chunk(self, header: int, *, ends_group: bool, ends_tile: bool) -> None:
        """Issue the slots of one chunk whose header is usable from cycle ``header``."""
        weights = self.weights.beat(self.weights_queue.room()) + QUEUE_CYCLES
        activations = self.activations.beat(self.activations_queue.room()) + QUEUE_CYCLES
        operands = (max(header, weights), activations)
        free = self.group_ended + dequantizer_cycles(self.machine.accelerator)
        for slot in range(self.slots):
            last = slot == self.slots - 1
            drained = self.tile_done + 1 if last and ends_tile else LONG_AGO
            dequantized = free if last and ends_group else LONG_AGO
            self._wait((drained, dequantized, *operands))
        self.weights_queue.pop(self.issued)
        self.activations_queue.pop(self.issued)

    def _tile(self) -> None:
        """One tile pass and its result beats."""
        t, array = self.tiling, self.machine.accelerator
        if array.requantizer is not None:
            self.weights.beat(self.parameters_queue.room())
        for group in range(t.groups):
            ends_tile = group == t.groups - 1
            header = self.weights.beat(self.headers_queue.room()) + QUEUE_CYCLES
            chunks = t.last_chunks if ends_tile else t.chunks
            for chunk in range(chunks):
                last = chunk == chunks - 1
                self._chunk(header, ends_group=last, ends_tile=last and ends_tile)
            self.headers_queue.pop(self.issued)
            self.group_ended = self.issued
        offered = self.issued + result_cycles(array)
        self.tile_done = self.results.accept_all(t.rows * self.row_words, offered)
        if array.requantizer is not None:
            self.parameters_queue.pop(self.tile_done)

    @property
    def _queues(self) -> tuple[_Queue, ...]:
        """The queues in use; one that nothing ever leaves would keep states from repeating."""
        used = (self.headers_queue, self.weights_queue, self.activations_queue)
        requantizer = self.machine.accelerator.requantizer
        return used if requantizer is None else (self.parameters_queue, *used)

    def _state(self) -> tuple[int, ...]:
        """Everything the next tile depends on, relative to the latest slot."""
        absolute = [
            *self.weights.state(),
            *self.activations.state(),
            self.group_ended,
            self.tile_done,
            *(time for queue in self._queues for time in queue.left),
        ]
        return tuple(time - self.issued for time in absolute)

    def _shift(self, cycles: int) -> None:
        """Move the state ``cycles`` later."""
        self.issued += cycles
        self.group_ended += cycles
        self.tile_done += cycles
        for stream in (self.weights, self.activations, self.results):
            stream.shift(cycles)
        for queue in self._queues:
            queue.left = deque([t + cycles for t in queue.left], maxlen=queue.left.maxlen)

    def run(self) -> CycleReport:
        """Simulate the whole job.

        Without gaps, tiles of one round of the inner loop are alike, and so are rounds. As soon as
        the state between two tiles, or between two rounds, repeats, what follows is known up to the
        end of the round, or of the job, and is skipped exactly.
        """
        rounds: dict[tuple[int, ...], _Seen] = {}
        tiles: dict[tuple[int, ...], _Seen] = {}
        tile = 0
        while tile < self.tiling.tiles:
            if self.periodic:
                between_rounds = tile % self.round_tiles == 0
                if between_rounds:
                    tiles.clear()
                end = self.tiling.tiles if between_rounds else self._round_end(tile) - 1
                tile += self._skip(tile, end, rounds if between_rounds else tiles)
            self._tile()
            tile += 1
        self.causes["output"] += self.tile_done - self.issued
        array = self.machine.accelerator
        return CycleReport(
            total_cycles=self.tile_done,
            causes=dict(self.causes),
            counters={
                "busy": self.tile_done,
                "tiles": self.tiling.tiles,
                **stream_counts(self.machine, self.tiling),
            },
            macs=self.tiling.shape.macs,
            peak_macs_per_cycle=array.rows * array.cols * array.lanes / self.slots,
        )

    def _round_end(self, tile: int) -> int:
        """The first tile of the next round."""
        return (tile // self.round_tiles + 1) * self.round_tiles

    def _skip(self, tile: int, end: int, seen: dict[tuple[int, ...], _Seen]) -> int:
        """Repeat what followed an equal state, not beyond tile ``end - 1``; returns tiles skipped.

        One tile at least is left.
        """
        state = self._state()
        if state not in seen:
            seen[state] = _Seen(tile=tile, issued=self.issued, causes=dict(self.causes))
            return 0
        before = seen[state]
        period = tile - before.tile
        repeats = (end - 1 - tile) // period
        if repeats < 1:
            return 0
        gained = {cause: self.causes[cause] - before.causes[cause] for cause in CAUSES}
        self._shift(repeats * (self.issued - before.issued))
        for cause in CAUSES:
            self.causes[cause] += repeats * gained[cause]
        for stream in (self.weights, self.activations):
            stream.skip(repeats * period)
        return repeats * period


def simulate_gemm(machine: Machine, shape: GemmShape, gaps: Gaps | None = None) -> CycleReport:
    """Cycles of one GEMM on one machine, exactly as the RTL takes them.

    Raises
    ------
    InputError : a gap is negative, or the shape exceeds the machine's counters.
    """
    if gaps and any((g < 0).any() for g in (gaps.weights, gaps.activations, gaps.results)):
        raise InputError("gaps must not be negative")
    return ArraySimulator(machine, shape, gaps).run()
