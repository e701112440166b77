"""The tile buffer reads what was written, in order, and overwrites nothing before its last pass."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib.data import StructLayout, View

from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS
from hw.memory import TileBuffer
from sw.compile.transfers import OperandPort

from .checks import Checks
from .streams import keeps_offer, progresses

_SHAPE = ("groups", "chunks", "last_chunks")


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """A small tile buffer under jobs of any number of tiles and passes.

    Assumed: tiles fit into half the buffer, packets end with their tiles, and a job starts when the
    one before has been read.

    Parameters
    ----------
    kinds : bits by kind of beat, of ``"parameters"``, ``"header"`` and ``"chunk"``.
    stream_bits : width of a word.
    half_beats : beats in each half.
    fitting : only tiles that fit; without it the claim is false.
    """

    kinds: dict[str, int]
    stream_bits: int
    half_beats: int
    fitting: bool = True

    def build(self, m: Module) -> Checks:
        """Any words, any back-pressure."""
        return _Harness(self, m).checks

    @property
    def port(self) -> OperandPort:
        """The buffer's port."""
        words = -(-max(self.kinds.values()) // self.stream_bits)
        return OperandPort(
            name="tiles",
            kinds=self.kinds,
            beat_bits=words * self.stream_bits,
            stream_bits=self.stream_bits,
            half_beats=self.half_beats,
            stationary=True,
        )


class _Harness:
    """The job, where writer and reader are in it, and one beat that is followed."""

    def __init__(self, spec: Tiles, m: Module) -> None:
        self.m, self.checks, self.port = m, Checks(m), spec.port
        self.headers = int("header" in spec.kinds)
        self.parameters = int("parameters" in spec.kinds)
        self.small = spec.half_beats.bit_length() + 1  # bits of counts inside a tile
        self.places = max(1, (spec.half_beats - 1).bit_length())
        m.submodules.buffer = self.buffer = TileBuffer(port=self.port)
        self._job(spec.fitting)
        self._written()
        self._read()
        self._counts()
        self._follow()

    def _see(self, name: str, shape) -> Signal:
        return self.checks.observe(f"buffer.{name}", shape)

    def _job(self, fitting: bool) -> None:
        """Jobs one after another."""
        m, checks, buffer = self.m, self.checks, self.buffer
        self.unread = Signal(TILE_COUNT_BITS, name="passes_left")
        self.passes = Signal(TILE_COUNT_BITS, name="passes_per_tile")
        self.length = Signal(GROUP_COUNT_BITS + 1, name="tile_beats")
        self.shape = {name: Signal(GROUP_COUNT_BITS, name=f"job_{name}") for name in _SHAPE}
        tiles = checks.any_input("new_tiles", TILE_COUNT_BITS)
        passes = checks.any_input("new_passes", TILE_COUNT_BITS)
        shape = {name: checks.any_input(f"new_{name}", GROUP_COUNT_BITS) for name in _SHAPE}
        checks.assume("passes of a tile", (passes != 0) & (passes <= tiles))
        checks.assume("a tile fits", self._fits(shape, 0 if fitting else 1))
        idle = (self.unread == 0) & ~buffer.beats.valid
        self.start = Signal(name="start_of_job")
        m.d.comb += [
            self.start.eq(checks.any_input("wish_to_start", 1) & idle),
            self.length.eq(self._beats(self.shape)),
            buffer.start.eq(self.start),
            buffer.tiles.eq(tiles),
            buffer.passes.eq(self.passes),
            buffer.job.tiles.eq(checks.any_input("any_tiles", TILE_COUNT_BITS)),
            # the walker looks a step ahead: the job is there with its start
            *(
                buffer.job[name].eq(Mux(self.unread != 0, self.shape[name], shape[name]))
                for name in _SHAPE
            ),
        ]
        with m.If(self.start):
            m.d.sync += [self.unread.eq(tiles), self.passes.eq(passes)]
            m.d.sync += [self.shape[name].eq(shape[name]) for name in _SHAPE]
        possible = (self.passes != 0) & self._fits(self.shape, 0 if fitting else 1)
        checks.always("a job is possible", (self.unread == 0) | possible)

    def _beats(self, shape: dict[str, Signal]) -> Value:
        """Beats of a tile, if its counts are small."""
        groups, chunks, last = (shape[name][: self.small] for name in _SHAPE)
        others = Mux(groups == 1, 0, (groups - 1) * (chunks + self.headers))
        return (others + last + self.headers + self.parameters)[: GROUP_COUNT_BITS + 1]

    def _fits(self, shape: dict[str, Signal], more: int) -> Value:
        """Counts of at least 1, and not too many beats."""
        groups, chunks, last = shape.values()
        most = self.port.half_beats + more
        small = (groups <= most) & (last <= most) & ((groups == 1) | (chunks <= most))
        counts = (groups != 0) & (chunks != 0) & (last != 0)
        return counts & small & (self._beats(shape) <= most)

    def _written(self) -> None:
        """Words into beats into tiles."""
        m, checks, buffer, port = self.m, self.checks, self.buffer, self.port
        self.beat = Signal(range(port.half_beats + 1), name="beat_written")
        self.most = most = max(port.words.values())
        self.word = Signal(range(max(2, most)), name="word_written")
        self.so_far = Signal(most * port.stream_bits, name="words_so_far")
        m.d.comb += [
            buffer.words.valid.eq(checks.any_input("valid", 1)),
            buffer.words.payload.eq(checks.any_input("payload", port.stream_bits)),
        ]
        header = self._position()
        words: Value = Mux(header, port.words.get("header", 1), port.words["chunk"])
        if self.parameters:
            words = Mux(self.beat == 0, port.words["parameters"], words)
        self.words = words
        self.accepted = accepted = buffer.words.valid & buffer.words.ready
        self.beat_ends = accepted & (self.word == words - 1)
        tile_ends = self.beat_ends & (self.beat == self.length - 1)
        self.loaded = Signal(name="tile_loaded")
        m.d.comb += [self.loaded.eq(tile_ends), buffer.last.eq(tile_ends)]
        shifted = buffer.words.payload << (self.word * port.stream_bits)
        self.whole = (self.so_far | shifted)[: len(self.so_far)]
        with m.If(accepted):
            m.d.sync += [self.word.eq(self.word + 1), self.so_far.eq(self.whole)]
        with m.If(self.beat_ends):
            m.d.sync += [self.word.eq(0), self.so_far.eq(0), self.beat.eq(self.beat + 1)]
        with m.If(self.loaded):
            m.d.sync += self.beat.eq(0)
        checks.always(
            "word", (self._see("word", len(self.word)) == self.word) & (self.word < words)
        )
        here = self._see("filled", self.places) == self.beat
        unused = (self.beat == 0) & (self.word == 0)
        checks.always("beat", here & Mux(self.unread != 0, self.beat < self.length, unused))
        self._walks(header)
        wrong = buffer.short | buffer.long | buffer.too_large
        checks.always("no error", ~wrong)

    def _position(self) -> Value:
        """Group and chunk of the beat that arrives; whether it is a header."""
        self.group = Signal(self.small, name="group_written")
        self.chunk = Signal(self.small, name="chunk_written")
        self.header = Signal(init=self.headers, name="header_comes")
        self.first = Signal(init=self.parameters, name="parameters_come")
        return self.header

    def _walks(self, header: Value) -> None:
        """Position of the next beat: parameters, then for each group a header and its chunks."""
        m, checks = self.m, self.checks
        groups, chunks, last = (self.shape[name] for name in _SHAPE)
        last_group = self.group == groups - 1
        limit = Mux(last_group, last, chunks)
        with m.If(self.beat_ends):
            with m.If(self.first):
                m.d.sync += self.first.eq(0)
            with m.Elif(header):
                m.d.sync += self.header.eq(0)
            with m.Elif(self.chunk == limit - 1):
                m.d.sync += [self.chunk.eq(0), self.header.eq(self.headers)]
                m.d.sync += self.group.eq(Mux(last_group, 0, self.group + 1))
                m.d.sync += self.first.eq(last_group & self.parameters)
            with m.Else():
                m.d.sync += self.chunk.eq(self.chunk + 1)
        see = self._see
        nears = Mux(last_group, groups == 1, self.group + 2 == groups)
        # the walker's counters are two and three places ahead
        at = Cat(
            see("walker.chunk", GROUP_COUNT_BITS) == self.chunk + 2,
            see("walker.group", GROUP_COUNT_BITS) == self.group + 3,
            see("walker.last_chunk", 1) == (self.chunk == limit - 1),
            see("walker.last_group", 1) == last_group,
            see("walker.group_nears", 1) == nears,
            see("walker.one_chunk", 1) == (chunks == 1),
            see("walker.one_last_chunk", 1) == (last == 1),
            see("walker.one_group", 1) == (groups == 1),
            see("walker.two_groups", 1) == (groups == 2),
        ).all()
        kinds = (see("header_next", 1) == header) & (see("parameters_next", 1) == self.first)
        checks.always("walker", (self.unread == 0) | at)
        checks.always("kind of beat", kinds)
        before = self.group * (chunks[: self.small] + self.headers)
        here = before + self.chunk + (self.headers & ~header) + (self.parameters & ~self.first)
        fresh = (self.group == 0) & (self.chunk == 0)
        inside = (self.group < groups) & (self.chunk < limit) & (here == self.beat)
        at_start = (header == self.headers) & (self.first == self.parameters)
        checks.always("position", Mux(self.unread != 0, inside, fresh & at_start))
        in_order = (~header | (self.chunk == 0)) & (
            ~self.first | (fresh & (header == self.headers))
        )
        possible = (self.headers | ~header) & (self.parameters | ~self.first)
        checks.always("kinds in order", in_order & possible)

    def _read(self) -> None:
        """Beats of the oldest tile, pass after pass."""
        m, checks, buffer = self.m, self.checks, self.buffer
        self.full = Signal(range(3), name="tiles_full")
        self.place = Signal(range(self.port.half_beats + 1), name="beat_read")
        self.done = Signal(TILE_COUNT_BITS, name="passes_done")
        free = ~buffer.beats.valid | buffer.beats.ready
        m.d.comb += buffer.beats.ready.eq(checks.any_input("ready", 1))
        self._late()
        there = (self.seen_full != 0) | (self.place < self.seen_beat)
        self.reading = Signal(name="reads")
        m.d.comb += self.reading.eq((self.unread != 0) & there & free)
        pass_ends = self.reading & (self.seen_full != 0) & (self.place == self.length - 1)
        self.released = Signal(name="tile_released")
        last_pass = (self.done == self.passes - 1) | (self.unread == 1)
        m.d.comb += self.released.eq(pass_ends & last_pass)
        with m.If(self.reading):
            m.d.sync += self.place.eq(self.place + 1)
        with m.If(pass_ends):
            m.d.sync += [
                self.place.eq(0),
                self.unread.eq(self.unread - 1),
                self.done.eq(self.done + 1),
            ]
        with m.If(self.released):
            m.d.sync += self.done.eq(0)
        m.d.sync += self.full.eq(self.full + self.loaded - self.released)
        m.d.sync += self.seen_full.eq(self.seen_full + self.late_loaded - self.released)
        self._reader(there)
        offer = buffer.beats.payload
        keeps_offer(m, checks, "beats", buffer.beats.valid, buffer.beats.ready, offer)

    def _reader(self, there: Value) -> None:
        """What the reader's registers hold; ``there``: the beat whose turn it is can be read."""
        checks, see = self.checks, self._see
        checks.always("full in 0 to 2", (see("full", range(3)) == self.full) & (self.full <= 2))
        checks.always("place", see("address", self.places) == self.place)
        limit = Mux(self.seen_full != 0, self.length - 1, self.seen_beat)
        checks.always(
            "only what was written", Mux(self.unread != 0, self.place <= limit, self.place == 0)
        )
        checks.always("passes left", see("unread", TILE_COUNT_BITS) == self.unread)
        ahead = (see("ahead", TILE_COUNT_BITS) - 2)[:TILE_COUNT_BITS] == self.done
        final = (self.done == self.passes - 1) | (self.unread == 1)
        told = (see("last_pass", 1) == final) & (see("one_pass", 1) == (self.passes == 1))
        done = ahead & (see("started", 1) | (self.unread == 0) | told)
        nothing = (self.full == 0) & (self.beat == 0) & (self.word == 0) & (self.done == 0)
        checks.always("nothing at the start", ~see("started", 1) | nothing)
        checks.always(
            "passes done", done & Mux(self.unread != 0, self.done < self.passes, self.done == 0)
        )
        known, length = see("length_known", 1), see("length", self.places)
        checks.always("length", ~known | (self.unread == 0) | (length == self.length - 1))
        checks.always("length is known", known | (self.seen_full == 0))
        busy, ends = self.unread != 0, known & (self.place == self.length - 1)
        checks.always("passes are left", see("any_unread", 1) == busy)
        checks.always("a beat is there", see("available", 1) == there)
        checks.always("the tile's last", ~busy | (see("at_end", 1) == ends))
        # the memory need not define what a row is while it is written (no_rw_check)
        same = see("read__addr", self.places + 1) == see("write__addr", self.places + 1)
        both = self.reading & see("write__en", self.most).any() & same
        checks.always("no row is read and written", ~both)
        checks.always("reads when it can", see("reading", 1) == self.reading)

    def _late(self) -> None:
        """What the reader knows of the writer: all but the cycle before."""
        m, checks, see = self.m, self.checks, self._see
        self.seen_full = Signal(range(3), name="tiles_seen_full")
        self.seen_beat = Signal.like(self.beat, name="beat_seen")
        self.late_loaded = Signal(name="tile_was_loaded")
        late_beat = Signal(name="beat_has_ended")
        m.d.sync += [
            self.seen_beat.eq(self.beat),
            self.late_loaded.eq(self.loaded),
            late_beat.eq(self.beat_ends),
        ]
        checks.always("filled", see("written_filled", self.places) == self.seen_beat)
        registers = {"beat": late_beat, "loaded": self.late_loaded, "full": self.seen_full}
        for name, value in registers.items():
            checks.always(f"written {name}", see(f"written_{name}", len(value)) == value)
        checks.always("tiles seen", self.seen_full + self.late_loaded == self.full)
        last = (self.beat == 0) & (self.seen_beat == self.length - 1) & late_beat
        beats = Mux(self.late_loaded, last, self.seen_beat + late_beat == self.beat)
        checks.always("beats seen", beats)

    def _counts(self) -> None:
        """As many tiles as the passes need, and no more."""
        m, checks = self.m, self.checks
        missing = self._see("missing", TILE_COUNT_BITS)
        any_missing = self._see("any_missing", 1)
        checks.always("tiles are missing", any_missing == (missing != 0))
        twice = Signal(TILE_COUNT_BITS + 1)
        m.d.comb += twice.eq(self.passes << 1)
        covered = Mux(self.full == 0, 0, Mux(self.full == 1, self.passes, twice))
        owed = self.unread + self.done  # passes of the tiles that are here, and of those to come
        enough = (owed <= covered) & ((self.full == 0) | (owed > covered - self.passes))
        right = Mux(missing != 0, owed == missing + covered, enough)
        checks.always("tiles as needed", right)
        between = (self.full == 0) & (missing == 0)
        checks.always("nothing left", (self.unread != 0) | between)
        stopped = (missing == 0) & ((self.beat != 0) | (self.word != 0))
        checks.always("no tile too many", ~stopped)
        checks.always(
            "words wait for a half", self.buffer.words.ready == ((missing != 0) & (self.full != 2))
        )
        wanted = (self.unread != 0) & self.buffer.beats.ready & (self.seen_full != 0)
        progresses(m, checks, "offers", wanted, self.buffer.beats.valid, cycles=2)
        checks.reachable("both halves full", self.full == 2)
        again = Signal()
        m.d.sync += again.eq(again | (self.released & (self.done != 0)))
        checks.reachable("a tile after one that was read twice", again & self.released)
        if self.port.half_beats > 1:
            early = self.reading & (self.full == 0)
            checks.reachable("a beat read while its tile arrives", early)

    def _follow(self) -> None:
        """One beat, chosen freely: its row keeps it until its tile is released."""
        checks, port = self.checks, self.port
        read_half = self._see("read_half", 1)
        write_half = self._see("write_half", 1)
        checks.always("halves", write_half == (read_half ^ self.full[0]))
        between = (self.beat == 0) & (self.word == 0)
        checks.always("nothing arrives while both are full", (self.full != 2) | between)
        chosen = self._choice(write_half)
        depth = (1 << self.places) + port.half_beats
        memory = Array(self._row(row) for row in range(depth))
        where = Cat(self.seen_beat[: self.places], write_half ^ self.late_loaded)
        checks.always("where it is written", self._see("write__addr", self.places + 1) == where)
        row = memory[Cat(chosen.place, chosen.half)]
        age = chosen.age
        inside = Mux(age == self.full, chosen.place < self.beat, chosen.place < self.length)
        here = (chosen.half == (read_half ^ age[0])) & (age <= self.full) & (age <= 1) & inside
        checks.always("the followed beat is in its half", ~chosen.valid | here)
        kept = ((row ^ chosen.value) & chosen.mask) == 0
        checks.always("its row is kept", ~chosen.valid | kept)
        current = memory[Cat(self.beat[: self.places], write_half)]
        part = Signal(len(self.so_far), name="part_mask")
        self.m.d.comb += part.eq((1 << (self.word * port.stream_bits)) - 1)
        arriving = ((current & part) == self.so_far) | (self.full == 2)
        checks.always("words of the beat that arrives", arriving & ((self.so_far & ~part) == 0))
        self._leaves(chosen)

    def _row(self, row: int) -> Value:
        """A row of the memory, once it is written what was accepted in the cycle before."""
        see, bits = self._see, self.port.stream_bits
        enable, here = see("write__en", self.most), see("write__addr", self.places + 1) == row
        mask = Cat((here & bit).replicate(bits) for bit in enable)
        payload = see("payload", bits).replicate(self.most)
        return (see(f"memory[{row}]", len(self.so_far)) & ~mask) | (payload & mask)

    def _choice(self, write_half: Value) -> View:
        """The beat that is followed: where, what it is, and how many tiles are before its own."""
        m, bits = self.m, len(self.so_far)
        fields = {"valid": 1, "half": 1, "age": 2, "place": self.places}
        chosen = Signal(StructLayout(fields | {"value": bits, "mask": bits}), name="followed")
        choose = self.checks.any_input("choose", 1) & self.beat_ends & ~chosen.valid
        used = Signal(bits, name="used_bits")
        m.d.comb += used.eq((1 << (self.words * self.port.stream_bits)) - 1)
        with m.If(choose):
            m.d.sync += [
                chosen.valid.eq(1),
                chosen.half.eq(write_half),
                chosen.age.eq(self.full - self.released),
                chosen.place.eq(self.beat),
                chosen.value.eq(self.whole),
                chosen.mask.eq(used),
            ]
        with m.If(chosen.valid & self.released):
            m.d.sync += [chosen.age.eq(chosen.age - 1), chosen.valid.eq(chosen.age != 0)]
        return chosen

    def _leaves(self, chosen: View) -> None:
        """Whenever it is read, it is offered next, and stays."""
        m, checks, beats = self.m, self.checks, self.buffer.beats
        expects = Signal(name="expects")
        expected = Signal(len(self.so_far), name="expected_beat")
        mask = Signal(len(self.so_far), name="expected_mask")
        hit = chosen.valid & (chosen.age == 0) & (chosen.place == self.place)
        stays = beats.valid & ~beats.ready
        m.d.sync += expects.eq(Mux(self.reading, hit, expects & stays))
        with m.If(self.reading):
            m.d.sync += [expected.eq(chosen.value), mask.eq(chosen.mask)]
        offered = beats.valid & (((beats.payload ^ expected) & mask) == 0)
        checks.always("the followed beat leaves in its turn", ~expects | offered)
        checks.reachable("a followed beat leaves", expects)
