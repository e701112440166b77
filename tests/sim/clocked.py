"""A second model of a job with tile buffers, from docs/timing.md alone, one clock at a time.

Slow and plain: every queue, register and half of a buffer is a number that a clock advances.
"""

from configs.timing import (
    CAUSES,
    HEADER_QUEUE_GROUPS,
    PARAMETER_QUEUE_TILES,
    dequantizer_cycles,
    result_cycles,
)
from sim import Gaps
from sw.compile import GemmShape, Machine, Tiling, tiling


class Source:
    """Offers words one after another, each after its own idle cycles."""

    def __init__(self, gaps, total: int) -> None:
        self.gaps, self.total, self.index = list(gaps), total, 0
        self.idle = self._gap()
        self.cycle, self.accepted = 0, []  # cycles that took a word

    def _gap(self) -> int:
        return self.gaps[self.index] if self.index < len(self.gaps) else 0

    @property
    def offered(self) -> bool:
        """Whether a word is there in this cycle."""
        return self.index < self.total and not self.idle

    def clock(self, taken: bool) -> None:
        """The end of a cycle."""
        self.cycle += 1
        if taken:
            self.accepted.append(self.cycle)
            self.index += 1
            self.idle = self._gap()
        elif self.idle:
            self.idle -= 1


class Buffer:
    """Two halves in front of the queues, and the register between."""

    def __init__(self, kinds: str, words: dict[str, int], tiles: int, passes: int, gaps) -> None:
        self.kinds = kinds  # of a tile's beats
        self.tiles, self.passes = tiles, passes
        self.words = [words[kind] for kind in kinds]
        count = -(-tiles // passes)
        self.source = Source(gaps, count * sum(self.words))
        self.ends = []  # words of the job up to the end of each beat of it
        for _ in range(count):
            for size in self.words:
                self.ends.append((self.ends[-1] if self.ends else 0) + size)
        self.complete = 0  # beats of the job whose words have come
        self.written = 0  # those that are in the memory, a cycle later
        self.released = 0  # tiles
        self.read = 0  # beats that went into the register, all passes
        self.register = ""  # kind of the beat in it

    def clock(self, taken: bool) -> None:
        """The end of a cycle; ``taken``: the register's beat entered its queue."""
        length = len(self.kinds)
        tile = self.source.index // sum(self.words)
        word = self.source.offered and tile < self.released + 2
        pass_, beat = divmod(self.read, length)
        there = pass_ < self.tiles and pass_ // self.passes * length + beat < self.written
        reads = there and (not self.register or taken)
        self.source.clock(word)
        self.written = self.complete
        while self.complete < len(self.ends) and self.ends[self.complete] <= self.source.index:
            self.complete += 1
        if taken:
            self.register = ""
        if reads:
            self.register = self.kinds[beat]
            self.read += 1
            if beat == length - 1 and ((pass_ + 1) % self.passes == 0):
                self.released += 1


def word_counts(machine: Machine) -> tuple[dict[str, int], dict[str, int], int]:
    """Words of each kind of beat: weights, activations; of a row of results."""
    array = machine.accelerator

    def cut(used: int, stream: int | str) -> int:
        return 1 if isinstance(stream, str) else -(-used // stream)

    bits = {"h": machine.header_bits, "c": machine.chunk_bits, "p": machine.parameter_bits or 1}
    streams = array.streams
    weights = {kind: cut(used, streams.weight_bits) for kind, used in bits.items()}
    activations = {"c": cut(machine.activation_chunk_bits, streams.activation_bits)}
    return weights, activations, cut(machine.result_beat_bits, streams.result_bits)


def buffers(machine: Machine, t: Tiling, gaps: Gaps) -> tuple[Buffer, Buffer]:
    """Those of weights and of activations."""
    array = machine.accelerator
    assert array.buffers is not None
    weights, activations, _ = word_counts(machine)
    chunks = [t.chunks] * (t.groups - 1) + [t.last_chunks]
    kinds = "".join("h" + "c" * count for count in chunks)
    kinds = "p" * (array.requantizer is not None) + kinds
    weights_stay = array.buffers.stationary == "weights"
    inner = t.row_tiles if weights_stay else t.col_tiles
    stays, other = inner, (t.tiles if inner == 1 else 1)
    passes = (stays, other) if weights_stay else (other, stays)
    return (
        Buffer(kinds, weights, t.tiles, passes[0], gaps.weights),
        Buffer("c" * sum(chunks), activations, t.tiles, passes[1], gaps.activations),
    )


class Slots:
    """The array: which slot is next, and why it waits."""

    def __init__(self, machine: Machine, t: Tiling) -> None:
        self.slots, self.array = machine.slots, machine.accelerator
        chunks = [t.chunks] * (t.groups - 1) + [t.last_chunks]
        #: (ends group, ends tile) of every slot
        self.work = [
            (last, last and group == t.groups - 1)
            for _ in range(t.tiles)
            for group, count in enumerate(chunks)
            for slot in range(count * self.slots)
            for last in [slot == count * self.slots - 1]
        ]
        self.position = 0
        self.ended = -(1 << 30)  # the last slot of a group
        self.pending = False  # results of a tile

    def cause(self, cycle: int, queues: dict[str, int]) -> str:
        """What this cycle is spent on."""
        done = self.position == len(self.work)
        ends_group, ends_tile = (False, False) if done else self.work[self.position]
        if done or (ends_tile and self.pending):
            return "output"
        if ends_group and cycle < self.ended + dequantizer_cycles(self.array):
            return "dequantizer"
        if not queues["h"] or not queues["c"]:
            return "weights"
        return "compute" if queues["a"] else "activations"


def clocked(machine: Machine, shape: GemmShape, gaps: Gaps) -> tuple[int, dict[str, int]]:
    """Total cycles and causes of a job on a machine with buffers."""
    return clocked_words(machine, shape, gaps)[:2]


def clocked_words(
    machine: Machine, shape: GemmShape, gaps: Gaps
) -> tuple[int, dict[str, int], list[list[int]]]:
    """The same, and the cycles that accept the words of each stream."""
    t, array = tiling(machine, shape), machine.accelerator
    weights, activations = buffers(machine, t, gaps)
    tile_words = t.rows * word_counts(machine)[2]
    results = Source(gaps.results, t.tiles * tile_words)
    slots = Slots(machine, t)
    depths = {"h": HEADER_QUEUE_GROUPS, "c": array.queue_beats, "p": PARAMETER_QUEUE_TILES}
    depths["a"] = array.queue_beats
    queues = dict.fromkeys(depths, 0)
    causes, cycle, available, arriving = dict.fromkeys(CAUSES, 0), 0, 0, []
    while results.index < results.total:
        cycle += 1
        if arriving and arriving[0] == cycle:
            arriving.pop(0)
            available = tile_words
        takes = bool(weights.register) and queues[weights.register] < depths[weights.register]
        takes_a = bool(activations.register) and queues["a"] < depths["a"]
        sends = results.offered and available > 0
        cause = slots.cause(cycle, queues)
        causes[cause] += 1
        if takes:
            queues[weights.register] += 1
        queues["a"] += takes_a
        if sends:
            available -= 1
            if not available:
                slots.pending = False
                queues["p"] -= array.requantizer is not None
        if cause == "compute":
            ends_group, ends_tile = slots.work[slots.position]
            slots.position += 1
            if slots.position % machine.slots == 0:
                queues["c"] -= 1
                queues["a"] -= 1
            if ends_group:
                queues["h"] -= 1
                slots.ended = cycle
            if ends_tile:
                slots.pending = True
                arriving.append(cycle + result_cycles(array))
        weights.clock(takes)
        activations.clock(takes_a)
        results.clock(sends)
    sources = (weights.source, activations.source, results)
    return cycle, causes, [source.accepted for source in sources]
