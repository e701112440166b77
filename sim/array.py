"""The PE array in time: when each slot issues, and what every other cycle waits for.

``docs/timing.md`` is the specification. Times are cycles after the one that accepts the job.
"""

from collections import deque
from collections.abc import Sequence
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

_LONG_AGO = -(1 << 40)


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """Idle cycles of the test bench: before beat i is offered, before beat j is accepted.

    Counted from the cycle after the previous beat of the stream, for the first one from the cycle
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
    macs : products asked for, padding excluded.
    peak_macs_per_cycle : products per cycle of the array without any loss.
    """

    total_cycles: int
    causes: dict[str, int]
    macs: int
    peak_macs_per_cycle: float

    @property
    def utilization(self) -> float:
        """Share of the array's peak that the job reached."""
        return self.macs / (self.peak_macs_per_cycle * self.total_cycles)


class _Stream:
    """Input stream: when its beats are accepted into a queue of bounded depth."""

    def __init__(self, gaps: NDArray[np.int64]) -> None:
        self.gaps: Sequence[int] = gaps.tolist()
        self.index = 0
        self.accepted = 0

    def accept(self, room: int) -> int:
        """Accept the next beat, not before cycle ``room``; returns the cycle."""
        gap = self.gaps[self.index] if self.index < len(self.gaps) else 0
        self.index += 1
        self.accepted = max(self.accepted + 1 + gap, room, START_CYCLES)
        return self.accepted


class _Queue:
    """When the oldest beat of a queue left it."""

    def __init__(self, depth: int) -> None:
        self.left = deque([_LONG_AGO] * depth, maxlen=depth)

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
        self.weights = _Stream(gaps.weights)
        self.activations = _Stream(gaps.activations)
        self.results = _Stream(gaps.results)
        self.parameters_queue = _Queue(PARAMETER_QUEUE_TILES)
        self.headers_queue = _Queue(HEADER_QUEUE_GROUPS)
        self.weights_queue = _Queue(array.queue_beats)
        self.activations_queue = _Queue(array.queue_beats)
        self.causes = dict.fromkeys(CAUSES, 0)
        self.issued = START_CYCLES - 1  # cycle of the latest slot
        self.group_ended = _LONG_AGO  # issue of the latest last slot of a group
        self.tile_done = _LONG_AGO  # last result beat of the previous tile accepted
        self.periodic = not any(g.size for g in (gaps.weights, gaps.activations, gaps.results))

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
        weights = self.weights.accept(self.weights_queue.room()) + QUEUE_CYCLES
        activations = self.activations.accept(self.activations_queue.room()) + QUEUE_CYCLES
        operands = (max(header, weights), activations)
        free = self.group_ended + dequantizer_cycles(self.machine.accelerator)
        for slot in range(self.slots):
            last = slot == self.slots - 1
            drained = self.tile_done + 1 if last and ends_tile else _LONG_AGO
            dequantized = free if last and ends_group else _LONG_AGO
            self._wait((drained, dequantized, *operands))
        self.weights_queue.pop(self.issued)
        self.activations_queue.pop(self.issued)

    def _tile(self) -> None:
        """One tile pass and its result beats."""
        t, array = self.tiling, self.machine.accelerator
        if array.requantizer is not None:
            self.weights.accept(self.parameters_queue.room())
        for group in range(t.groups):
            ends_tile = group == t.groups - 1
            header = self.weights.accept(self.headers_queue.room()) + QUEUE_CYCLES
            chunks = t.last_chunks if ends_tile else t.chunks
            for chunk in range(chunks):
                last = chunk == chunks - 1
                self._chunk(header, ends_group=last, ends_tile=last and ends_tile)
            self.headers_queue.pop(self.issued)
            self.group_ended = self.issued
        offered = self.issued + result_cycles(array)
        for _ in range(t.rows):
            self.tile_done = self.results.accept(offered)
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
            self.weights.accepted,
            self.activations.accepted,
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
            stream.accepted += cycles
        for queue in self._queues:
            queue.left = deque([t + cycles for t in queue.left], maxlen=queue.left.maxlen)

    def run(self) -> CycleReport:
        """Simulate the whole job.

        Without gaps every tile is alike, so as soon as the state repeats, the tiles that follow
        are known and are skipped exactly.
        """
        seen: dict[tuple[int, ...], tuple[int, int, dict[str, int]]] = {}
        tile = 0
        while tile < self.tiling.tiles:
            state = self._state()
            if self.periodic and state in seen:
                tile += self._skip(tile, *seen[state])
                self.periodic = False
                continue
            seen[state] = (tile, self.issued, dict(self.causes))
            self._tile()
            tile += 1
        self.causes["output"] += self.tile_done - self.issued
        array = self.machine.accelerator
        return CycleReport(
            total_cycles=self.tile_done,
            causes=dict(self.causes),
            macs=self.tiling.shape.macs,
            peak_macs_per_cycle=array.rows * array.cols * array.lanes / self.slots,
        )

    def _skip(self, tile: int, since: int, issued: int, causes: dict[str, int]) -> int:
        """Repeat the period that began at tile ``since``; returns the tiles skipped."""
        period = tile - since
        repeats = (self.tiling.tiles - tile) // period
        gained = {cause: self.causes[cause] - causes[cause] for cause in CAUSES}
        self._shift(repeats * (self.issued - issued))
        for cause in CAUSES:
            self.causes[cause] += repeats * gained[cause]
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
