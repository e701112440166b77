"""What an input stream does with words that no job wants."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamGuard(wiring.Component):
    """Pass words on, or discard them after a job was stopped.

    While ``discard`` is high every word is accepted and dropped. If a packet is unfinished when it
    falls, its rest is dropped too, so that the next job begins with a packet.

    Timing
    ------
    Combinational from input to output.

    Parameters
    ----------
    stream_bits : int
        Width of the stream.

    Members
    -------
    words : ``In(stream.Signature(stream_bits))``
        The stream.
    last : ``In(1)``
        The offered word ends a packet.
    through : ``Out(stream.Signature(stream_bits))``
        Words of jobs.
    through_last : ``Out(1)``
        ``last`` of ``through``.
    discard : ``In(1)``
        Drop what arrives.
    clear : ``In(1)``
        ``discard`` falls in the next cycle.
    flush : ``In(1)``
        Forget an unfinished packet.
    draining : ``Out(1)``
        The rest of a packet is dropped.
    passed : ``Out(1)``
        A word was accepted from ``through``.
    """

    def __init__(self, *, stream_bits: int) -> None:
        super().__init__(
            {
                "words": In(stream.Signature(stream_bits)),
                "last": In(1),
                "through": Out(stream.Signature(stream_bits)),
                "through_last": Out(1),
                "discard": In(1),
                "clear": In(1),
                "flush": In(1),
                "draining": Out(1),
                "passed": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        in_packet = Signal()  # of a packet
        in_packet_next = Signal()
        dropping = self.discard | self.draining
        accepted = self.words.valid & self.words.ready
        m.d.comb += [
            self.through.payload.eq(self.words.payload),
            self.through.valid.eq(self.words.valid & ~dropping),
            self.through_last.eq(self.last),
            self.words.ready.eq(dropping | self.through.ready),
            self.passed.eq(self.through.valid & self.through.ready),
            in_packet_next.eq(Mux(accepted, ~self.last, in_packet)),
        ]
        m.d.sync += [
            in_packet.eq(in_packet_next),
            self.draining.eq((self.draining | self.clear) & in_packet_next),
        ]
        with m.If(self.flush):
            m.d.sync += [in_packet.eq(0), self.draining.eq(0)]
        return m
