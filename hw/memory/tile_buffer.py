"""Double-buffered tiles of one operand: one half fills while the other is read."""

from amaranth import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from configs.timing import TILE_COUNT_BITS
from hw.array import Walker, job_layout
from sw.compile.transfers import OperandPort


class _Held:
    """What the two halves hold, as the writer or the reader sees it.

    ``full`` halves, ``filled`` beats in the half that fills; ``beat`` and ``loaded`` complete a
    beat and its tile.
    """

    def __init__(self, prefix: str, places: int) -> None:
        self.full = Signal(range(3), name=f"{prefix}full")
        self.filled = Signal(places, name=f"{prefix}filled")
        self.beat = Signal(name=f"{prefix}beat")
        self.loaded = Signal(name=f"{prefix}loaded")
        self.events = (self.filled, self.beat, self.loaded)


class TileBuffer(wiring.Component):
    """Load engine and block RAM of one operand.

    A tile is one packet of the stream. Its beats are collected word by word in the half that is
    free, and offered to the array in order, over and over, as often as the job needs the tile. A
    beat can be read as soon as it is complete, also while the rest of its tile still arrives.

    Timing
    ------
    A beat whose last word is accepted in cycle 0 is offered from cycle 3 (``BUFFER_CYCLES``). One
    word and one beat per cycle. Words are accepted while a half is free: from the cycle after the
    one that reads the last beat of a tile's last pass.

    Parameters
    ----------
    port : :class:`sw.compile.transfers.OperandPort`
        Beats, words, and the size of a half.

    Members
    -------
    job : ``In(job_layout())``
        Must hold from ``start`` to the end of the job.
    start : ``In(1)``
        Begin a job.
    tiles : ``In(24)``
        Tile passes of the job, with ``start``.
    passes : ``In(24)``
        Passes that read a tile; must hold from the cycle after ``start``.
    words : ``In(stream.Signature(port.stream_bits))``
        The stream.
    last : ``In(1)``
        The offered word ends a packet.
    beats : ``Out(stream.Signature(port.beat_bits))``
        Beats for the array.
    short, long, too_large : ``Out(1)``
        The accepted word ends a packet too early; should have ended it; leaves no room for the
        rest of its tile.
    """

    def __init__(self, *, port: OperandPort) -> None:
        self.port = port
        super().__init__(
            {
                "job": In(job_layout()),
                "start": In(1),
                "tiles": In(TILE_COUNT_BITS),
                "passes": In(TILE_COUNT_BITS),
                "words": In(stream.Signature(port.stream_bits)),
                "last": In(1),
                "beats": Out(stream.Signature(port.beat_bits)),
                "short": Out(1),
                "long": Out(1),
                "too_large": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        places = max(1, (port.half_beats - 1).bit_length())
        most = max(port.words.values())
        word_bits = port.beat_bits if most == 1 else port.stream_bits
        row = unsigned(most * word_bits)
        # a row that is written is never read in the same cycle
        attributes = {"no_rw_check": 1}
        m.submodules.memory = memory = Memory(
            shape=row, depth=(1 << places) + port.half_beats, init=[], attrs=attributes
        )
        write = memory.write_port(granularity=word_bits)
        read = memory.read_port()
        # what arrives is written a cycle later, and the reader knows of it from then on
        arrives, written = _Held("", places), _Held("written_", places)
        m.d.sync += [w.eq(a) for w, a in zip(written.events, arrives.events, strict=True)]
        self._fill(m, write, arrives)
        released = self._read(m, read, written)
        for held in (arrives, written):
            m.d.sync += held.full.eq(held.full + held.loaded - released)
        m.d.comb += self.beats.payload.eq(read.data)
        return m

    def _fill(self, m: Module, write, held: _Held) -> None:
        """Words into the free half."""
        port, words = self.port, self.port.words
        m.submodules.walker = walker = Walker()
        write_half = Signal()
        word = Signal(range(max(2, *words.values())))
        payload = Signal(port.stream_bits, reset_less=True)
        header_next = Signal(init=int("header" in words))
        parameters_next = Signal(init=int("parameters" in words))
        chunk_next = ~header_next & ~parameters_next
        tile_end = Signal()
        beat_end = Signal()
        accepted = self.words.valid & self.words.ready
        words_of_beat = Mux(header_next, words.get("header", 1), words["chunk"])
        if "parameters" in words:
            words_of_beat = Mux(parameters_next, words["parameters"], words_of_beat)
        m.d.comb += [
            walker.job.eq(self.job),
            walker.start.eq(self.start),
            walker.advance.eq(held.beat & chunk_next),
            tile_end.eq(chunk_next & walker.last_chunk & walker.last_group),
            beat_end.eq(word + 1 == words_of_beat),
            held.beat.eq(accepted & beat_end),
            held.loaded.eq(held.beat & tile_end),
            self.words.ready.eq(self._missing(m, held.loaded) & (held.full != 2)),
            self.short.eq(accepted & self.last & ~(beat_end & tile_end)),
            self.long.eq(held.loaded & ~self.last),
            self.too_large.eq(held.beat & ~tile_end & (held.filled == port.half_beats - 1)),
            write.data.eq(payload.replicate(len(write.en))),
        ]
        m.d.sync += [
            payload.eq(self.words.payload),
            write.addr.eq(Cat(held.filled, write_half)),
            write.en.eq(accepted << word),
        ]
        with m.If(accepted):
            m.d.sync += word.eq(Mux(beat_end, 0, word + 1))
            with m.If(beat_end):
                m.d.sync += held.filled.eq(held.filled + 1)
                m.d.sync += parameters_next.eq(0)
                with m.If(~parameters_next & int("header" in words)):
                    m.d.sync += header_next.eq(chunk_next & walker.last_chunk)
        with m.If(held.loaded):
            m.d.sync += [
                held.filled.eq(0),
                write_half.eq(~write_half),
                parameters_next.eq(int("parameters" in words)),
            ]

    def _missing(self, m: Module, loaded: Signal) -> Signal:
        """Whether the job needs tiles that have not been loaded."""
        missing = Signal(TILE_COUNT_BITS)  # passes that no tile was loaded for
        any_missing = Signal()
        more = missing > self.passes
        with m.If(loaded):
            m.d.sync += [missing.eq(Mux(more, missing - self.passes, 0)), any_missing.eq(more)]
        with m.If(self.start):
            m.d.sync += [missing.eq(self.tiles), any_missing.eq(self.tiles != 0)]
        return any_missing

    def _read(self, m: Module, read, held: _Held) -> Signal:
        """Beats out of the other half, pass after pass; returns the pulse that releases a tile."""
        read_half = Signal()
        unread = Signal(TILE_COUNT_BITS)  # passes of the job still to be read, this one included
        any_unread = Signal()
        # worked out a pass ahead: this pass is the tile's last; how far the one after the next is
        last_pass = Signal()
        ahead = Signal(TILE_COUNT_BITS, init=2)
        one_pass = Signal()
        started = Signal()
        reading = Signal()
        released = Signal()
        address = Signal(len(held.filled))
        available, at_end = self._place(m, held, address, reading, last_pass)
        m.d.comb += [
            reading.eq(any_unread & available & (~self.beats.valid | self.beats.ready)),
            released.eq(reading & at_end & last_pass),
            read.addr.eq(Cat(address, read_half)),
            read.en.eq(reading),
        ]
        m.d.sync += self.beats.valid.eq(reading | (self.beats.valid & ~self.beats.ready))
        m.d.sync += [one_pass.eq(self.passes == 1), started.eq(self.start)]
        with m.If(started):  # nothing is there to be read yet
            m.d.sync += last_pass.eq((self.passes == 1) | (unread == 1))
        with m.If(reading & at_end):
            m.d.sync += [
                ahead.eq(ahead + 1),
                unread.eq(unread - 1),
                any_unread.eq(unread != 1),
                last_pass.eq((ahead == self.passes) | (unread == 2)),
            ]
        with m.If(released):
            m.d.sync += [ahead.eq(2), last_pass.eq(one_pass | (unread == 2))]
            m.d.sync += read_half.eq(~read_half)
        with m.If(self.start):
            m.d.sync += [unread.eq(self.tiles), any_unread.eq(self.tiles != 0)]
        return released

    def _place(self, m: Module, held: _Held, address: Signal, reading, last_pass):
        """Walk through a tile; returns whether its beat is there, and whether it is the last.

        Both are flip-flops: the next address is one of three, each compared with what it may meet
        while it is not yet known which one it will be.
        """
        full, filled = held.full, held.filled
        length = Signal(len(address))  # of a tile, less 1
        length_known = Signal()
        available = Signal()
        at_end = Signal()
        with m.If(held.loaded):
            m.d.sync += [length.eq(filled), length_known.eq(1)]
        with m.If(self.start):
            m.d.sync += length_known.eq(0)

        following = (address + 1)[: len(address)]

        def next_is(limit: Signal) -> Value:
            moved = Mux(at_end, limit == 0, following == limit)
            return Mux(reading, moved, address == limit)

        is_filled = next_is(filled)
        still_full = Mux(reading & at_end & last_pass, full == 2, full.any())
        known_end = Mux(held.loaded, is_filled, length_known & next_is(length))
        m.d.sync += [
            available.eq(still_full | held.beat | ~is_filled),
            at_end.eq(known_end & ~self.start),
        ]
        with m.If(reading):
            m.d.sync += address.eq(Mux(at_end, 0, following))
        return available, at_end
