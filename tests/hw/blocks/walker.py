"""The walker: position inside a job."""

import itertools
import random

from amaranth.lib import wiring

from hw.array import Walker

from .block import RESET, Block, Model, Outputs, Stimulus, Values, first
from .jobs import Job, Place, draw_job, wide_jobs


class WalkerModel(Model):
    """Counts chunks of groups of tiles."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()

    def step(self, inputs: Values) -> Outputs:
        place = self.place
        outputs: Outputs = {"active": int(place.active)}
        if place.active and not inputs[RESET]:
            flags = place.flags(inputs["job"])
            outputs |= flags
            if inputs["advance"]:
                self.seen["transaction"] += 1
                place.advance(flags)
                self.seen["job"] += not place.active
        if inputs["start"]:
            place.start()
        if inputs[RESET]:
            self.place = Place()
        return outputs


class WalkerBlock(Block):
    """The one walker there is."""

    kind = "walker"
    variant = ""
    must_see = ("transaction", "job")

    def component(self) -> wiring.Component:
        return Walker()

    def model(self) -> Model:
        return WalkerModel()

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Job after job; the job port is noise while no job runs."""
        while True:
            for _ in range(rng.choice((0, 0, 1, 3))):
                yield {"start": 0, "advance": 0}
            yield from self._job(draw_job(rng), rng.choice((0.1, 0.5, 0.9, 1.0)), rng)

    def _job(self, job: Job, pace: float, rng: random.Random) -> Stimulus:
        """Start a job and walk to its end, advancing with probability ``pace``."""
        outputs = yield {"job": job.packed, "start": 1, "advance": 0}
        left = ((job.groups - 1) * job.chunks + job.last_chunks) * job.tiles
        while left:
            advance = rng.random() < pace
            outputs = yield {"job": job.packed, "start": 0, "advance": advance}
            assert outputs["active"]
            left -= advance

    def corners(self) -> Stimulus:
        """Counters at the ends of their ranges."""
        rng = random.Random(0)
        for job in (Job(1, 1, 1, 0xFFFF), Job(1, 0xFFFF, 1, 1), Job(0x10000, 1, 1, 1)):
            yield from self._job(job, 1.0, rng)
        for job in wide_jobs():
            yield from first(self._job(job, 1.0, rng), 600)
            yield {RESET: 1, "job": job.packed}

    def exhaustive(self) -> Stimulus | None:
        """Every job whose counts are 1 to 3, back to back."""
        return self._small_jobs()

    def _small_jobs(self) -> Stimulus:
        rng = random.Random(0)
        for counts in itertools.product((1, 2, 3), repeat=4):
            yield from self._job(Job(*counts), 1.0, rng)


BLOCKS = [WalkerBlock()]
