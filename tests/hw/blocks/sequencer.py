"""The sequencer: when each slot issues, and what every other cycle waits for."""

import itertools
import random

from amaranth.lib import wiring

from configs.timing import CAUSES
from hw.array import Sequencer

from .block import RESET, Block, Model, Outputs, Stimulus, Values, first
from .jobs import Job, Place, draw_job, wide_jobs

_COUNTER_BITS = 40
PACES = (0.1, 0.5, 0.9, 1.0)


class SequencerModel(Model):
    """The rule of docs/timing.md, cycle by cycle."""

    def __init__(self, slots: int, dequantizer_cycles: int) -> None:
        super().__init__()
        self.slots, self.dequantizer_cycles = slots, dequantizer_cycles
        self._reset()

    def _reset(self) -> None:
        self.place, self.slot, self.busy = Place(), 0, False
        self.draining = False  # results of a finished tile are not all accepted
        self.cycle, self.group_ended = 0, -self.dequantizer_cycles
        self.counts = dict.fromkeys(CAUSES, 0)

    def step(self, inputs: Values) -> Outputs:
        flags = self._flags(inputs["job"]) if self.place.active else {}
        cause = self._cause(flags, inputs) if self.busy else None
        valid = cause == "compute"
        counted = sum(self.counts[name] << _COUNTER_BITS * i for i, name in enumerate(CAUSES))
        outputs: Outputs = {
            "issue": self._issue(flags) if valid else (0, 1),
            "chunk_done": int(valid and self._last_slot),
            "group_done": int(valid and flags["group_end"]),
            "busy": int(self.busy),
            "counts": counted,
        }
        if cause:
            self.counts[cause] += 1
            self.seen[cause] += 1
        if inputs["tile_done"]:
            self.draining, self.busy = False, self.place.active
            self.seen["job"] += not self.busy
        if valid:
            self._pass(flags)
        if inputs["start"]:
            self.place.start()
            self.busy, self.counts = True, dict.fromkeys(CAUSES, 0)
        self.cycle += 1
        if inputs[RESET]:
            self._reset()
            # the job need not hold any more
            for name in ("issue", "chunk_done", "group_done"):
                del outputs[name]
        return outputs

    @property
    def _last_slot(self) -> bool:
        return self.slot == self.slots - 1

    def _flags(self, job: int) -> Values:
        """Ends on which the next slot lies, beside those of its chunk."""
        flags = self.place.flags(job)
        flags["group_end"] = self._last_slot and flags["last_chunk"]
        flags["tile_end"] = flags["group_end"] and flags["last_group"]
        return flags

    def _cause(self, flags: Values, inputs: Values) -> str:
        """What this busy cycle counts for."""
        if not flags or (flags["tile_end"] and self.draining):
            return "output"
        if flags["group_end"] and self.cycle < self.group_ended + self.dequantizer_cycles:
            return "dequantizer"
        if not (inputs["header_valid"] and inputs["weights_valid"]):
            return "weights"
        return "compute" if inputs["activations_valid"] else "activations"

    def _issue(self, flags: Values) -> int:
        """Bits of ``issue_layout``: valid lowest, slot, and the ends that the slot lies on."""
        width = max(1, (self.slots - 1).bit_length())
        ends = (flags["group_end"], flags["tile_end"], flags["tile_end"] and flags["last_tile"])
        return 1 | self.slot << 1 | sum(bool(e) << 1 + width + i for i, e in enumerate(ends))

    def _pass(self, flags: Values) -> None:
        """A slot has issued."""
        self.seen["transaction"] += 1
        if flags["group_end"]:
            self.group_ended = self.cycle
        if flags["tile_end"]:
            self.draining = True
        if self._last_slot:
            self.place.advance(flags)
        self.slot = (self.slot + 1) % self.slots


class SequencerBlock(Block):
    """One number of slots and dequantizer time."""

    kind = "sequencer"
    must_see = ("transaction", "job", *(cause for cause in CAUSES if cause != "dequantizer"))

    def __init__(self, slots: int, dequantizer_cycles: int) -> None:
        self.slots, self.dequantizer_cycles = slots, dequantizer_cycles
        self.variant = f"{slots}_{dequantizer_cycles}"
        if dequantizer_cycles > slots:  # else nothing waits for it
            self.must_see = (*self.must_see, "dequantizer")

    def component(self) -> wiring.Component:
        return Sequencer(slots=self.slots, dequantizer_cycles=self.dequantizer_cycles)

    def model(self) -> Model:
        return SequencerModel(self.slots, self.dequantizer_cycles)

    def stimulus(self, rng: random.Random) -> Stimulus:
        while True:
            yield from self._job(draw_job(rng), rng)

    def _job(self, job: Job, rng: random.Random, fast: bool = False) -> Stimulus:
        """One job; operands stay until popped, results are accepted some time after their tile."""
        names = ("header_valid", "weights_valid", "activations_valid")
        paces = {name: 1.0 if fast else rng.choice(PACES) for name in names}
        drain = 1 if fast else rng.choice((1, 5, 30))
        here = dict.fromkeys(names, False)
        for _ in range(0 if fast else rng.choice((0, 0, 2))):
            yield {"start": 0, "tile_done": 0}
        yield {"job": job.packed, "start": 1, "tile_done": 0}
        tiles, draining = job.tiles, 0
        while tiles:
            here = {name: here[name] or rng.random() < paces[name] for name in names}
            done = draining == 1
            controls = {"job": job.packed, "start": 0, "tile_done": done}
            outputs = yield {name: int(value) for name, value in here.items()} | controls
            tiles, draining = tiles - done, max(0, draining - 1)
            if outputs["chunk_done"]:
                here["weights_valid"] = here["activations_valid"] = False
            if outputs["group_done"]:
                here["header_valid"] = False
            if self._ends_tile(outputs["issue"]):
                draining = rng.randint(1, drain)

    def _long_waits(self, job: Job) -> Stimulus:
        """A job that waits thousands of cycles for each cause, so that all counters grow."""
        yield {"job": job.packed, "start": 1, "tile_done": 0}
        waiting = 0
        for cycle in range(1 << 20):
            inputs = {"job": job.packed, "start": 0, "header_valid": 1}
            inputs["weights_valid"] = cycle > 5000
            inputs["activations_valid"] = cycle > 10000
            inputs["tile_done"] = waiting == 1
            outputs = yield inputs
            waiting = max(0, waiting - 1)
            if self._ends_tile(outputs["issue"]):
                waiting = 5000
            if not outputs["busy"]:
                return

    def _ends_tile(self, issue: int | tuple[int, int]) -> bool:
        """Whether the slot issued now is its tile's last."""
        width = max(1, (self.slots - 1).bit_length())
        return isinstance(issue, int) and bool(issue >> 2 + width & 1)

    def corners(self) -> Stimulus:
        """Counts with high bits: the walker must see them."""
        rng = random.Random(0)
        for job in wide_jobs():
            yield from first(self._job(job, rng, fast=True), 10 * self.slots)
            yield {RESET: 1, "job": job.packed}
        yield from self._long_waits(Job(2, 1200, 1, 1))

    def exhaustive(self) -> Stimulus | None:
        """Every job whose counts are 1 to 3, back to back, nothing missing."""
        return self._small_jobs()

    def _small_jobs(self) -> Stimulus:
        rng = random.Random(0)
        for counts in itertools.product((1, 2, 3), repeat=4):
            yield from self._job(Job(*counts), rng, fast=True)


BLOCKS = [SequencerBlock(*pair) for pair in ((2, 8), (1, 1), (3, 19), (4, 5))]
