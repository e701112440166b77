"""The queue: words in order, at any pace."""

import random
from collections import deque

from amaranth.lib import wiring

from hw.array import Queue

from .block import RESET, Block, Model, Outputs, Stimulus, Values

PACES = (0.0, 0.1, 0.5, 0.9, 1.0)


class QueueModel(Model):
    """Words that were taken and not yet passed on."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.kept: deque[int] = deque()

    def step(self, inputs: Values) -> Outputs:
        kept = self.kept
        room, there = len(kept) < self.depth, bool(kept)
        outputs: Outputs = {"words__ready": int(room), "head__valid": int(there)}
        self.seen["full"] += not room
        if there:
            outputs["head__payload"] = kept[0]
            self.seen["refused"] += not inputs["head__ready"]
        if there and inputs["head__ready"]:
            kept.popleft()
            self.seen["transaction"] += 1
            self.seen["in and out"] += bool(inputs["words__valid"]) and room
        if room and inputs["words__valid"]:
            kept.append(inputs["words__payload"])
        if inputs[RESET]:
            kept.clear()
        return outputs


class QueueBlock(Block):
    """A queue of one width and depth."""

    kind = "queue"
    must_see = ("transaction", "refused", "full")

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        self.variant = f"{width}_{depth}"
        if depth > 1:
            self.must_see = (*self.must_see, "in and out")

    def component(self) -> wiring.Component:
        return Queue(width=self.width, depth=self.depth)

    def model(self) -> Model:
        return QueueModel(self.depth)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Any words, at paces that change now and then."""
        while True:
            offer, take = rng.choice(PACES), rng.choice(PACES)
            for _ in range(rng.choice((3, 30))):
                word = {"words__payload": rng.getrandbits(self.width)}
                paces = {"words__valid": rng.random() < offer, "head__ready": rng.random() < take}
                yield word | paces

    def exhaustive(self) -> Stimulus | None:
        """Every sequence of seven cycles of a small queue."""
        return self._all_sequences() if self.width < 4 else None

    def _all_sequences(self) -> Stimulus:
        for bits in range(4**7):
            for cycle in range(7):
                valid, ready = bits >> 2 * cycle & 1, bits >> 2 * cycle + 1 & 1
                yield {
                    RESET: cycle == 0,
                    "words__valid": valid,
                    "words__payload": cycle % (1 << self.width),
                    "head__ready": ready,
                }


BLOCKS = [QueueBlock(3, 1), QueueBlock(3, 2), QueueBlock(3, 3), QueueBlock(40, 4), QueueBlock(8, 5)]
