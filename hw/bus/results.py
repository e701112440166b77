"""Result rows onto the result stream, and a proper end for the packet of a stopped job."""

from amaranth import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class ResultPort(wiring.Component):
    """Cut rows into stream words; after ``close``, finish the packet.

    A word that was offered when the job was stopped stays until it is accepted, as AXI4-Stream
    demands. If that leaves a packet open, one more word without bytes (``keep`` 0) ends it.

    Timing
    ------
    Combinational from ``rows`` to ``words``. The first word of a row is offered with the row, which
    is accepted with its last word.

    Parameters
    ----------
    row_bits : int
        Width of a row, whole bytes.
    stream_bits : int
        Width of the stream, whole bytes.

    Members
    -------
    rows : ``In(stream.Signature(row_bits))``
        Rows of results.
    rows_last : ``In(1)``
        The offered row ends the job.
    close : ``In(1)``
        The job was stopped. ``rows`` is not looked at while ``closing`` is high, and must offer
        nothing between that and the next job.
    words : ``Out(stream.Signature(stream_bits))``
        The stream.
    keep : ``Out(stream_bits // 8)``
        Bytes of the offered word that are results.
    last : ``Out(1)``
        The offered word ends the packet.
    closing : ``Out(1)``
        The packet of a stopped job is not finished yet.
    """

    def __init__(self, *, row_bits: int, stream_bits: int) -> None:
        self.row_bits = row_bits
        self.stream_bits = stream_bits
        super().__init__(
            {
                "rows": In(stream.Signature(row_bits)),
                "rows_last": In(1),
                "close": In(1),
                "words": Out(stream.Signature(stream_bits)),
                "keep": Out(stream_bits // 8),
                "last": Out(1),
                "closing": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = -(-self.row_bits // self.stream_bits)
        word = Signal(range(max(2, count)))
        final = word == count - 1
        rest = self.row_bits - (count - 1) * self.stream_bits
        open_ = Signal()  # words of an unfinished packet were sent
        held = Signal(self.stream_bits)
        held_keep = Signal(self.stream_bits // 8)
        held_last = Signal()
        holding = Signal()  # a word that was offered when the job was stopped
        ending = Signal()  # the word without bytes
        row = Cat(self.rows.payload, Const(0, count * self.stream_bits - self.row_bits))
        parts = Array(row.word_select(index, self.stream_bits) for index in range(count))
        accepted = self.words.valid & self.words.ready
        m.d.comb += self.closing.eq(holding | ending)
        with m.If(self.closing):
            m.d.comb += [
                self.words.valid.eq(1),
                self.words.payload.eq(Mux(holding, held, 0)),
                self.keep.eq(Mux(holding, held_keep, 0)),
                self.last.eq(held_last | ending),
            ]
        with m.Else():
            m.d.comb += [
                self.words.valid.eq(self.rows.valid),
                self.words.payload.eq(parts[word]),
                self.keep.eq(Mux(final, (1 << rest // 8) - 1, (1 << self.stream_bits // 8) - 1)),
                self.last.eq(self.rows_last & final),
                self.rows.ready.eq(self.words.ready & final),
            ]
        with m.If(accepted):
            m.d.sync += [word.eq(Mux(final, 0, word + 1)), open_.eq(~self.last)]
        unfinished = Mux(accepted, ~self.last, open_)
        # the word of every cycle, so that what stops a job need not reach all these registers
        with m.If(~self.closing):
            m.d.sync += [
                held.eq(self.words.payload),
                held_keep.eq(self.keep),
                held_last.eq(self.last),
            ]
        with m.If(self.close):
            m.d.sync += word.eq(0)
            with m.If(self.words.valid & ~self.words.ready):
                m.d.sync += holding.eq(1)
            with m.Elif(unfinished):
                m.d.sync += ending.eq(1)
        with m.Elif(self.closing & self.words.ready):
            m.d.sync += [word.eq(0), holding.eq(0), ending.eq(holding & ~held_last)]
        return m
