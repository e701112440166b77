"""Second buffer of the outer results: drains one row per beat while the next tile computes."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


class ResultDrain(wiring.Component):
    """Hold a tile of results and send it row by row.

    Timing
    ------
    ``load`` in one cycle, first row offered in the next. Must not be loaded while it holds rows.

    Parameters
    ----------
    rows, cols : int
        Shape of a tile.
    bits : int
        Width of a result, P_O.
    result_bits : int
        Width of a result in a beat; results are sign-extended.

    Members
    -------
    results : ``In(ArrayLayout(signed(bits), rows * cols))``
        The tile, row by row.
    load : ``In(1)``
        Take the tile.
    job_end : ``In(1)``
        The tile is the job's last; taken with ``load``.
    beats : ``Out(stream.Signature(cols * result_bits))``
        One row per beat, column 0 in the low bits.
    last : ``Out(1)``
        The offered beat ends the job.
    tile_done : ``Out(1)``
        The tile's last beat is accepted.
    """

    def __init__(self, *, rows: int, cols: int, bits: int, result_bits: int) -> None:
        self.rows = rows
        self.cols = cols
        self.result_bits = result_bits
        super().__init__(
            {
                "results": In(data.ArrayLayout(signed(bits), rows * cols)),
                "load": In(1),
                "job_end": In(1),
                "beats": Out(stream.Signature(cols * result_bits)),
                "last": Out(1),
                "tile_done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = len(self.results[0])
        held = Signal(data.ArrayLayout(self.results.shape().elem_shape, len(self.results)))
        remaining = Signal(range(self.rows + 1))
        ends_job = Signal()
        for col in range(self.cols):
            wide = self.beats.payload.word_select(col, self.result_bits)
            m.d.comb += wide.eq(held[col])
        m.d.comb += [
            self.beats.valid.eq(remaining != 0),
            self.last.eq(ends_job & (remaining == 1)),
            self.tile_done.eq(self.beats.valid & self.beats.ready & (remaining == 1)),
        ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += remaining.eq(remaining - 1)
            m.d.sync += held.as_value().eq(held.as_value() >> (self.cols * bits))
        with m.If(self.load):
            m.d.sync += [
                held.eq(self.results),
                remaining.eq(self.rows),
                ends_job.eq(self.job_end),
            ]
        return m
