"""A few words between a stream and the array."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Queue(wiring.Component):
    """First in, first out.

    Whether there is room and whether there is a word are flip-flops, and while there is room the
    free place is written in every cycle: nothing that arrives late drives the many write enables
    of a wide queue.

    Timing
    ------
    A word taken in one cycle is offered in the next. One word in and one out per cycle.

    Parameters
    ----------
    width : int
        Bits of a word.
    depth : int
        Words that fit, at least 1.

    Members
    -------
    words : ``In(stream.Signature(width))``
        Words to keep.
    head : ``Out(stream.Signature(width))``
        The oldest word.

    Raises
    ------
    ValueError
        The depth is below 1.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth}")
        self.depth = depth
        super().__init__(
            {"words": In(stream.Signature(width)), "head": Out(stream.Signature(width))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # a place has an address of a bit at least: Verilog has no wires without bits
        places = max(2, self.depth)
        storage = Memory(shape=len(self.words.payload), depth=places, init=[])
        m.submodules.storage = storage
        write, read = storage.write_port(), storage.read_port(domain="comb")
        produce = Signal(range(places))
        consume = Signal(range(places))
        room = Signal(init=1)
        push = self.words.valid & room
        pop = self.head.valid & self.head.ready
        after_push, after_pop = self._after(produce), self._after(consume)
        m.d.comb += [
            write.addr.eq(produce),
            write.data.eq(self.words.payload),
            write.en.eq(room),
            read.addr.eq(consume),
            self.words.ready.eq(room),
            self.head.payload.eq(read.data),
        ]
        with m.If(push):
            m.d.sync += produce.eq(after_push)
        with m.If(pop):
            m.d.sync += consume.eq(after_pop)
        with m.If(push & ~pop):
            m.d.sync += [self.head.valid.eq(1), room.eq(after_push != consume)]
        with m.If(pop & ~push):
            m.d.sync += [self.head.valid.eq(after_pop != produce), room.eq(1)]
        return m

    def _after(self, place: Signal):
        """The next place."""
        return Mux(place == self.depth - 1, 0, (place + 1)[: len(place)])
