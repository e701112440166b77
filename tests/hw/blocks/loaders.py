"""The loaders: input streams to queues."""

import random
from collections import deque

from amaranth.lib import wiring

from configs.timing import HEADER_QUEUE_GROUPS, PARAMETER_QUEUE_TILES
from hw.array import ActivationLoader, WeightLoader

from .block import RESET, Block, Model, Outputs, Stimulus, Values, first
from .jobs import Job, Place, draw_job, wide_jobs

PACES = (0.1, 0.5, 0.9, 1.0)


class LoaderModel(Model):
    """One stream; its kinds of beat, in the order in which a packet has them, each with a queue.

    Per tile one ``parameters``, per group one ``header``, then ``chunk`` beats.
    """

    def __init__(self, depths: dict[str, int], widths: dict[str, int]) -> None:
        super().__init__()
        self.depths, self.widths = depths, widths
        self._reset()

    def _reset(self) -> None:
        self.queues: dict[str, deque[int]] = {name: deque() for name in self.depths}
        self.place = Place()
        self.kind = next(iter(self.depths))

    def step(self, inputs: Values) -> Outputs:
        kind, place, queue = self.kind, self.place, self.queues[self.kind]
        room = len(queue) < self.depths[kind]
        ready = place.active and room
        accepted = ready and inputs["beats__valid"]
        self.seen[f"no room for a {kind}"] += place.active and inputs["beats__valid"] and not room
        outputs: Outputs = {"beats__ready": int(ready), "error": 0}
        for name, waiting in self.queues.items():
            outputs[f"{name}__valid"] = int(bool(waiting))
            if waiting:
                outputs[f"{name}__payload"] = waiting[0]
                if inputs[f"{name}__ready"]:
                    waiting.popleft()
        if accepted:
            self.seen["transaction"] += 1
            queue.append(inputs["beats__payload"] % (1 << self.widths[kind]))
            outputs["error"] = self._accept(kind, inputs)
        if inputs["start"]:
            place.start()
        if inputs[RESET]:
            self._reset()
            del outputs["error"]  # the job need not hold any more
        return outputs

    def _accept(self, kind: str, inputs: Values) -> int:
        """Move on by one beat; whether ``last`` was wrong."""
        flags = self.place.flags(inputs["job"])
        ends_group = kind == "chunk" and flags["last_chunk"]
        ends_tile = ends_group and flags["last_group"]
        if kind == "chunk":
            self.place.advance(flags)
        kinds = list(self.queues)
        back = 0 if ends_tile else kinds.index("header") if ends_group and len(kinds) > 1 else None
        if back is not None:
            self.kind = kinds[back]
        elif kind != "chunk":
            self.kind = kinds[kinds.index(kind) + 1]
        wrong = inputs["last"] != ends_tile
        self.seen["wrong last" if wrong else "right last"] += wrong or ends_tile
        self.seen["job"] += not self.place.active
        return int(wrong)


class LoaderBlock(Block):
    """One loader; with widths for chunks only the activation loader."""

    def __init__(self, *, beat_bits: int, depth: int, **widths: int) -> None:
        self.kind = "weight_loader" if "header" in widths else "activation_loader"
        self.variant = f"{beat_bits}_{depth}" + "_parameters" * ("parameters" in widths)
        depths = {
            "parameters": PARAMETER_QUEUE_TILES,
            "header": HEADER_QUEUE_GROUPS,
            "chunk": depth,
        }
        self.depths = {kind: queue for kind, queue in depths.items() if kind in widths}
        self.widths = widths
        self.parameters = {"beat_bits": beat_bits, "depth": depth, "chunk_bits": widths["chunk"]}
        if "header" in widths:
            self.parameters["header_bits"] = widths["header"]
            self.parameters["parameter_bits"] = widths.get("parameters", 0)
        events = ("transaction", "wrong last", "right last", "job")
        self.must_see = (*events, *(f"no room for a {kind}" for kind in widths))

    def component(self) -> wiring.Component:
        loader = WeightLoader if "header" in self.depths else ActivationLoader
        return loader(**self.parameters)

    def model(self) -> Model:
        return LoaderModel(self.depths, self.widths)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Jobs with a stream before, during and after each, and queues popped at many paces."""
        while True:
            paces = {name: rng.choice(PACES) for name in ("offer", *self.depths)}
            if rng.randrange(4) == 0:  # all queues but one wait for nobody
                paces = dict.fromkeys(paces, 1.0) | {rng.choice(list(self.depths)): 0.03}
            yield from self._job(draw_job(rng), paces, rng.choice((0, 1, 5)), rng)

    def corners(self) -> Stimulus:
        """Counts with high bits: the walker must see them."""
        rng, paces = random.Random(0), dict.fromkeys(("offer", *self.depths), 1.0)
        for job in wide_jobs():
            yield from first(self._job(job, paces, 0, rng), 10)
            yield {RESET: 1, "job": job.packed}

    def _job(self, job: Job, paces: dict[str, float], idle: int, rng: random.Random) -> Stimulus:
        """One job, started after ``idle`` cycles; an offered beat stays until it is accepted."""
        beat_bits, kinds = self.parameters["beat_bits"], list(self.depths)
        tile_beats = (job.groups - 1) * job.chunks + job.last_chunks
        tile_beats += job.groups * ("header" in kinds) + ("parameters" in kinds)
        left, started, offer = job.tiles * tile_beats, False, Values()
        while left:
            if not offer and rng.random() < paces["offer"]:
                last = left == 1 if rng.randrange(8) else rng.getrandbits(1)
                offer = {"beats__payload": rng.getrandbits(beat_bits), "last": last}
            start = not started and idle == 0
            inputs = offer | {"beats__valid": bool(offer), "start": start}
            inputs |= {f"{kind}__ready": rng.random() < paces[kind] for kind in kinds}
            if started or start:
                inputs["job"] = job.packed
            outputs = yield inputs
            if offer and outputs["beats__ready"]:
                offer, left = {}, left - 1
            started, idle = started or start, idle - 1


BLOCKS = [
    LoaderBlock(header=20, chunk=32, beat_bits=32, depth=4),
    LoaderBlock(parameters=37, header=33, chunk=30, beat_bits=40, depth=5),
    LoaderBlock(chunk=32, beat_bits=32, depth=4),
    LoaderBlock(chunk=60, beat_bits=64, depth=2),
]
