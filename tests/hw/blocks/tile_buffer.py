"""The tile buffer: words into beats, and tiles read again and again."""

import random

from amaranth.lib import wiring

from hw.memory import TileBuffer
from sw.compile.transfers import OperandPort

from .block import RESET, Block, Model, Outputs, Stimulus, Values, first
from .jobs import Job, Place, wide_jobs

PACES = (0.2, 0.5, 0.9, 1.0, 1.0)


class BufferModel(Model):
    """Two halves: tiles as lists of beats, the oldest being read, the youngest being filled.

    After a packet that does not fit, outputs have no meaning until a reset: the job control resets
    the buffer.
    """

    def __init__(self, port: OperandPort) -> None:
        super().__init__()
        self.port = port
        self.kinds = list(port.kinds)
        self._reset()

    def _reset(self) -> None:
        self.whole: list[list[tuple[int, int]]] = []  # tiles: beats and their meaningful bits
        self.partial: list[tuple[int, int]] = []  # beats of the tile that arrives
        self.seen_whole, self.seen_beats = 0, 0  # what the reader knows of the two
        self.words: list[int] = []  # of the beat that arrives
        self.kind = self.kinds[0]
        self.place = Place()
        self.wanted = self.unread = 0  # passes without a tile, passes not read to the end
        self.pass_ = self.beat = 0  # where the reader is
        self.offered: tuple[int, int] | None = None
        self.lost = False

    def step(self, inputs: Values) -> Outputs:
        if self.lost:
            if inputs[RESET]:
                self._reset()
            return {}
        outputs: Outputs = {
            "words__ready": int(self.wanted > 0 and len(self.whole) < 2),
            "beats__valid": int(self.offered is not None),
            **dict.fromkeys(("short", "long", "too_large"), 0),
        }
        if self.offered is not None:
            outputs["beats__payload"] = self.offered
        self.seen["both halves full"] += self.wanted > 0 and len(self.whole) == 2
        free = self.offered is None or bool(inputs["beats__ready"])
        self.seen["transaction"] += self.offered is not None and free
        if free:
            self.offered = None
            if self.unread:
                self._read(inputs["passes"])
        self.seen_whole, self.seen_beats = len(self.whole), len(self.partial)
        if outputs["words__ready"] and inputs["words__valid"]:
            outputs |= self._accept(inputs)
        if inputs["start"]:
            self.place.start()
            self.wanted = self.unread = inputs["tiles"]
        if inputs[RESET]:
            self._reset()
            # the job need not hold any more, so what a word means is open
            for name in ("short", "long", "too_large"):
                del outputs[name]
        return outputs

    def _read(self, passes: int) -> None:
        """Read the next beat, if it was there two cycles before."""
        complete = self.seen_whole > 0
        tile = self.whole[0] if self.whole else self.partial
        if self.beat == (len(tile) if complete else self.seen_beats):
            return
        self.seen["read while it arrives"] += not complete
        self.offered = tile[self.beat]
        self.beat += 1
        if complete and self.beat == len(tile):
            self.beat, self.pass_, self.unread = 0, self.pass_ + 1, self.unread - 1
            self.seen["read again"] += self.pass_ > 1
            if self.pass_ == passes or not self.unread:
                self.seen["left early"] += self.pass_ < passes
                self.whole.pop(0)
                self.pass_ = 0

    def _accept(self, inputs: Values) -> Outputs:
        """Take a word; errors."""
        port, kind = self.port, self.kind
        self.words.append(inputs["words__payload"])
        complete = len(self.words) == port.words[kind]
        flags = self.place.flags(inputs["job"])
        ends = complete and kind == "chunk" and flags["last_chunk"] and flags["last_group"]
        if complete:
            self._beat(kind, flags)
        errors = {"short": bool(inputs["last"]) and not ends, "long": ends and not inputs["last"]}
        errors["too_large"] = complete and not ends and len(self.partial) == port.half_beats
        for name, wrong in errors.items():
            self.seen[name] += wrong
            self.lost = self.lost or bool(wrong)
        if ends:
            self.whole.append(self.partial)
            self.partial, self.kind = [], self.kinds[0]
            self.wanted = max(0, self.wanted - inputs["passes"])
            self.seen["tile"] += 1
        return {name: int(wrong) for name, wrong in errors.items()}

    def _beat(self, kind: str, flags: Values) -> None:
        """The last word of a beat has come."""
        port = self.port
        value = sum(word << place * port.stream_bits for place, word in enumerate(self.words))
        self.partial.append((value, (1 << port.kinds[kind]) - 1))
        self.words = []
        if kind == "chunk":
            self.place.advance(flags)
            self.place.active = True  # how many tiles there are is not the walker's matter here
            if flags["last_chunk"] and "header" in self.kinds:
                self.kind = "header"
        else:
            self.kind = self.kinds[self.kinds.index(kind) + 1]


class BufferBlock(Block):
    """A buffer of one port."""

    kind = "tile_buffer"

    def __init__(self, *, stream_bits: int, half_beats: int, **kinds: int) -> None:
        unit = min(8, stream_bits)  # streams have whole bytes; here also a bit or two
        beat_bits = unit * -(-max(kinds.values()) // unit)
        self.port = OperandPort(
            name="weights" if "header" in kinds else "activations",
            kinds=kinds,
            beat_bits=beat_bits,
            stream_bits=stream_bits,
            half_beats=half_beats,
            stationary=True,
        )
        words = "_".join(str(count) for count in self.port.words.values())
        self.variant = f"{stream_bits}_{half_beats}_words_{words}"
        events = ("transaction", "tile", "both halves full", "read again", "left early", "long")
        self.must_see = (*events, "too_large")
        if half_beats > 1 or max(self.port.words.values()) > 1:
            self.must_see += ("short",)
        if half_beats > 1:
            self.must_see += ("read while it arrives",)

    def component(self) -> wiring.Component:
        return TileBuffer(port=self.port)

    def model(self) -> Model:
        return BufferModel(self.port)

    def stimulus(self, rng: random.Random) -> Stimulus:
        """Jobs; one whose packet does not fit ends in a reset."""
        while True:
            trouble = rng.choice(("", "", "short", "long", "large"))
            job, passes = self._draw(rng, large=trouble == "large")
            yield from self._job(job, passes, rng, wrong=trouble)

    def _draw(self, rng: random.Random, *, large: bool) -> tuple[Job, int]:
        """A job and how often each tile is read; its tiles fit unless they are to be ``large``."""
        passes = rng.choice((1, 2, 3, 5))
        tiles = passes * rng.choice((1, 1, 3)) + rng.choice(
            (0, passes // 2, rng.randint(0, passes))
        )
        kinds, half = self.port.kinds, self.port.half_beats
        while True:
            groups, chunks = rng.randint(1, 3), rng.randint(1, max(2, min(half, 4)))
            job = Job(tiles, groups, chunks, rng.randint(1, chunks))
            beats = (groups - 1) * chunks + job.last_chunks
            beats += groups * ("header" in kinds) + ("parameters" in kinds)
            fits = beats == half or (beats < half and rng.randrange(2) == 0)
            if beats > half if large else fits:
                return job, passes

    def _job(
        self,
        job: Job,
        passes: int,
        rng: random.Random,
        *,
        wrong: str = "",
        paces: tuple[float, float] | None = None,
    ) -> Stimulus:
        """One job; an offered word stays until it is accepted."""
        offer, take = paces or (rng.choice(PACES), rng.choice(PACES))
        errors = ("short", "long", "too_large")
        for _ in range(rng.choice((0, 1, 4))):
            yield {"start": 0, "words__valid": rng.getrandbits(1), "beats__ready": 1}
        begin = {"job": job.packed, "start": 1, "tiles": job.tiles}
        yield begin | {"words__valid": 0, "beats__ready": 1}
        ends = self._ends(job)
        left, place, word = job.tiles * len(self._beats(job)), 0, Values()
        while left:
            if not word and rng.random() < offer:
                flip = wrong == "long" and ends[place]
                flip = flip or (wrong == "short" and rng.randrange(len(ends)) == 0)
                payload = rng.getrandbits(self.port.stream_bits)
                word = {"words__payload": payload, "last": ends[place] != flip}
            held = {"job": job.packed, "passes": passes, "start": 0}
            ready = rng.random() < take
            inputs = held | word | {"words__valid": bool(word)}
            outputs = yield inputs | {"beats__ready": ready}
            if not outputs or any(outputs[name] for name in errors):
                yield {"start": 0, "words__valid": 0}
                yield {RESET: 1, "job": job.packed}
                return
            if word and outputs["words__ready"]:
                word, place = {}, (place + 1) % len(ends)
            left -= bool(outputs["beats__valid"]) and ready

    def _beats(self, job: Job) -> list[str]:
        """Kinds of the beats of a tile."""
        kinds = self.port.kinds
        beats = ["parameters"] * ("parameters" in kinds)
        for group in range(job.groups):
            chunks = job.last_chunks if group == job.groups - 1 else job.chunks
            beats += ["header"] * ("header" in kinds) + ["chunk"] * chunks
        return beats

    def _ends(self, job: Job) -> list[bool]:
        """``last`` of every word of a tile."""
        words = sum(self.port.words[kind] for kind in self._beats(job))
        return [False] * (words - 1) + [True]

    def corners(self) -> Stimulus:
        """A tile that is read thousands of times; counts with high bits: they must be seen."""
        rng = random.Random(0)
        if len(self.port.kinds) <= self.port.half_beats:
            long = Job(5000, 1, 1, 1)
            yield from self._job(long, 5000, rng, paces=(1.0, 1.0))
            yield {RESET: 1, "job": long.packed}
        for job in wide_jobs():
            yield from first(self._job(job, 1, rng, paces=(1.0, 1.0)), 40)
            yield {RESET: 1, "job": job.packed}


BLOCKS = [
    BufferBlock(chunk=32, stream_bits=32, half_beats=1),
    BufferBlock(chunk=12, stream_bits=32, half_beats=3),
    BufferBlock(chunk=37, stream_bits=8, half_beats=2),
    BufferBlock(chunk=4, stream_bits=2, half_beats=4),
    BufferBlock(header=20, chunk=32, stream_bits=32, half_beats=8),
    BufferBlock(parameters=37, header=9, chunk=30, stream_bits=8, half_beats=9),
    BufferBlock(parameters=2, header=1, chunk=2, stream_bits=1, half_beats=4),
]
