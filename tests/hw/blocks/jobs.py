"""Jobs as the control blocks see them: counts of tiles, groups and chunks, and a place in them."""

import random
from dataclasses import dataclass

from .block import Values

_FIELDS = (24, 16, 16, 16)


@dataclass(frozen=True)
class Job:
    """Counts of a job, each at least 1."""

    tiles: int
    groups: int
    chunks: int
    last_chunks: int

    @property
    def packed(self) -> int:
        """Bits of ``job_layout``: tiles (24), groups, chunks, last_chunks (16 each), low first."""
        counts, packed, shift = (self.tiles, self.groups, self.chunks, self.last_chunks), 0, 0
        for count, width in zip(counts, _FIELDS, strict=True):
            packed |= count << shift
            shift += width
        return packed

    @classmethod
    def unpacked(cls, packed: int) -> "Job":
        """The inverse of ``packed``."""
        return cls(
            packed & 0xFFFFFF, packed >> 24 & 0xFFFF, packed >> 40 & 0xFFFF, packed >> 56 & 0xFFFF
        )


def draw_job(rng: random.Random, *, large: float = 0.01) -> Job:
    """A job of a few chunks; now and then one whose counts have bits everywhere."""
    if rng.random() < large:
        counts = [rng.randrange(1, 1 << rng.choice((3, width))) for width in _FIELDS]
        return Job(*counts)
    return Job(rng.randint(1, 3), rng.randint(1, 4), rng.randint(1, 5), rng.randint(1, 5))


def wide_jobs() -> list[Job]:
    """Jobs with one count of ``2**bit + 1``: an end seen by the low bits alone comes too early."""
    jobs = []
    for place, width in enumerate(_FIELDS):
        for bit in range(3, width):
            counts = [1, 1, 1, 1]
            counts[place] = (1 << bit) + 1
            if place == 2:  # chunks of groups that are not the last
                counts[1] = 3
            jobs.append(Job(*counts))
    return jobs


class Place:
    """Where a job stands: tile, group and chunk, or not active."""

    def __init__(self) -> None:
        self.active = False
        self.tile = self.group = self.chunk = 0

    def start(self) -> None:
        """Begin a job at its first chunk."""
        self.active = True
        self.tile = self.group = self.chunk = 0

    def flags(self, packed_job: int) -> Values:
        """Ends that the place lies on; without meaning while not active."""
        job = Job.unpacked(packed_job)
        last_group = self.group == job.groups - 1
        return {
            "last_chunk": self.chunk == (job.last_chunks if last_group else job.chunks) - 1,
            "last_group": last_group,
            "last_tile": self.tile == job.tiles - 1,
        }

    def advance(self, flags: Values) -> None:
        """Leave a chunk whose flags these are."""
        self.chunk += 1
        if flags["last_chunk"]:
            self.chunk, self.group = 0, self.group + 1
            if flags["last_group"]:
                self.group, self.tile = 0, self.tile + 1
                self.active = not flags["last_tile"]
