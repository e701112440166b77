"""The stream guard: words of jobs pass, words that no job wants are dropped."""

import random

from amaranth.lib import wiring

from hw.bus import StreamGuard

from .block import RESET, Block, Model, Outputs, Stimulus, Values

PACES = (0.1, 0.5, 0.9, 1.0)


class GuardModel(Model):
    """Whether a packet is open on the outer side, and whether its rest is unwanted."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.unwanted = False

    def step(self, inputs: Values) -> Outputs:
        dropping = bool(inputs["discard"]) or self.unwanted
        offered, taker = bool(inputs["words__valid"]), bool(inputs["through__ready"])
        outputs: Outputs = {
            "words__ready": int(dropping or taker),
            "through__valid": int(offered and not dropping),
            "passed": int(offered and not dropping and taker),
            "draining": int(self.unwanted),
        }
        if outputs["through__valid"]:
            outputs |= {
                "through__payload": inputs["words__payload"],
                "through_last": inputs["last"],
            }
        if offered and outputs["words__ready"]:
            self.seen["dropped" if dropping else "transaction"] += 1
            self.open = not inputs["last"]
            if not self.open:
                self.seen["packet drained"] += self.unwanted
        if not self.open:
            self.unwanted = False
        elif inputs["clear"]:
            self.unwanted = True
            self.seen["packet cut"] += 1
        if inputs["flush"]:
            self.seen["flushed inside"] += self.open
            self.open = self.unwanted = False
        if inputs[RESET]:
            self.open = self.unwanted = False
        return outputs


class GuardBlock(Block):
    """A guard of one width."""

    kind = "stream_guard"
    must_see = (*("transaction", "dropped", "packet cut", "packet drained", "flushed inside"),)

    def __init__(self, stream_bits: int) -> None:
        self.stream_bits = stream_bits
        self.variant = str(stream_bits)

    def component(self) -> wiring.Component:
        return StreamGuard(stream_bits=self.stream_bits)

    def model(self) -> Model:
        return GuardModel()

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Packets without end; jobs that are stopped, cleared and flushed at any time."""
        word: Values = {}
        while True:
            offer, take, end = rng.choice(PACES), rng.choice(PACES), rng.choice((0.05, 0.3, 1.0))
            stopped = rng.choice((0, 0, 1, 2, 10))
            for left in range(stopped + rng.choice((1, 3, 30)), 0, -1):
                if not word and rng.random() < offer:
                    payload = rng.getrandbits(self.stream_bits)
                    word = {"words__payload": payload, "last": rng.random() < end}
                discard = left <= stopped
                flush = rng.random() < 0.03
                controls = {"discard": discard, "clear": discard and left == 1, "flush": flush}
                controls |= {"words__valid": bool(word), "through__ready": rng.random() < take}
                outputs = yield word | controls
                if word and outputs["words__ready"]:
                    word = {}

    def exhaustive(self) -> Stimulus | None:
        """Every control in every state, reached through a reset and two words."""
        return self._all_controls()

    def _all_controls(self) -> Stimulus:
        idle = {"words__valid": 0, "discard": 0, "clear": 0, "flush": 0, "through__ready": 1}
        word = {"words__valid": 1, "last": 0, "words__payload": 1}
        opening, cutting = idle | word, idle | {"discard": 1, "clear": 1}
        for before in ([], [opening], [opening, cutting]):
            for bits in range(64):
                names = ("words__valid", "last", "through__ready", "discard", "clear", "flush")
                cycle = {name: bits >> place & 1 for place, name in enumerate(names)}
                last = cycle | {"words__payload": bits}
                for step in ({RESET: 1}, *before, last, idle):
                    yield dict(step)


BLOCKS = [GuardBlock(bits) for bits in (1, 8, 40)]
