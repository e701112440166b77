"""Streams and tile buffers in time: when words are accepted, and beats offered to the array.

``docs/timing.md`` is the specification. Times are cycles after the one that accepts the job.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from configs.timing import BUFFER_CYCLES, START_CYCLES
from sw.compile import Tiling
from sw.compile.transfers import OperandPort

LONG_AGO = -(1 << 40)


class Stream:
    """A stream whose words are accepted in order, each after its own idle cycles."""

    def __init__(self, gaps: NDArray[np.int64]) -> None:
        self.gaps: Sequence[int] = gaps.tolist()
        self.index = 0
        self.accepted = 0

    def accept(self, room: int) -> int:
        """Accept the next word, not before cycle ``room``; returns the cycle."""
        gap = self.gaps[self.index] if self.index < len(self.gaps) else 0
        self.index += 1
        self.accepted = max(self.accepted + 1 + gap, room, START_CYCLES)
        return self.accepted

    def accept_all(self, count: int, room: int) -> int:
        """Accept ``count`` words, none before cycle ``room``; returns the last one's cycle."""
        if self.index >= len(self.gaps):
            self.index += count
            self.accepted = max(self.accepted + 1, room, START_CYCLES) + count - 1
            return self.accepted
        for _ in range(count):
            self.accept(room)
        return self.accepted

    def state(self) -> tuple[int, ...]:
        """Times that what follows depends on."""
        return (self.accepted,)

    def shift(self, cycles: int) -> None:
        """Move the state ``cycles`` later."""
        self.accepted += cycles


class DirectInput(Stream):
    """A stream of beats straight into the array's queues."""

    def beat(self, room: int) -> int:
        """The next beat enters its queue, not before cycle ``room``; returns the cycle."""
        return self.accept(room)

    def skip(self, tiles: int) -> None:
        """Nothing is kept that tiles would change."""


class BufferedInput:
    """A stream of words, collected to beats in a tile buffer, read from there pass after pass.

    Parameters
    ----------
    port : words of a beat.
    t : tiles of the job.
    passes : passes that read a tile before it leaves the buffer.
    gaps : idle cycles before each word.
    """

    def __init__(
        self, port: OperandPort, t: Tiling, *, passes: int, gaps: NDArray[np.int64]
    ) -> None:
        self.words: list[int] = port.beat_words(t).tolist()
        self.passes = passes
        self.stream = Stream(gaps)
        self.written: list[int] = []  # when each beat of the tile being read was complete
        self.beat_index = 0
        self.pass_index = 0
        self.accepted = 0  # the latest beat entered its queue
        self.released = [LONG_AGO, LONG_AGO]  # the tiles two before and one before left

    def beat(self, room: int) -> int:
        """The next beat enters its queue, not before cycle ``room``; returns the cycle."""
        if self.pass_index == 0 and self.beat_index == 0:
            self._load()
        read = max(self.written[self.beat_index] + BUFFER_CYCLES - 1, self.accepted)
        self.accepted = max(read + 1, room)
        self.beat_index += 1
        if self.beat_index == len(self.words):
            self.beat_index = 0
            self.pass_index += 1
            if self.pass_index == self.passes:
                self.pass_index = 0
                self.released = [self.released[1], read]
        return self.accepted

    def _load(self) -> None:
        """All words of the next tile; a half is free once the tile two before was released."""
        room = self.released[0] + 1
        self.written = [self.stream.accept_all(count, room) for count in self.words]

    def state(self) -> tuple[int, ...]:
        """Times that what follows depends on, between two tiles, up to the next load.

        Times too early to matter any more are replaced by the latest that does not matter.
        """
        if self.pass_index:  # the tile is read again
            return (self.accepted, *(max(time, self.accepted - 1) for time in self.written))
        released = (max(time, self.stream.accepted) for time in self.released)
        return (self.accepted, self.stream.accepted, *released)

    def shift(self, cycles: int) -> None:
        """Move the state ``cycles`` later; of a tile that is read again, its reading."""
        self.accepted += cycles
        if not self.pass_index:
            self.stream.shift(cycles)
            self.released = [time + cycles for time in self.released]

    def skip(self, tiles: int) -> None:
        """Count passes that were not simulated."""
        if self.pass_index:
            self.pass_index += tiles
