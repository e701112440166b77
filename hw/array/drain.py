"""Second buffer of the outer results: drains one row per beat while the next tile computes."""

import itertools

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from configs.accelerator import RequantizerConfig
from hw.dequant import FloatEncoder, Requantizer


class ResultDrain(wiring.Component):
    """Hold a tile of results and send it row by row, requantized or as float32 if wanted.

    Timing
    ------
    ``load`` in one cycle, first row offered in the next, two cycles later with a requantizer, one
    with an encoder. Must not be loaded while it holds rows.

    Parameters
    ----------
    rows, cols : int
        Shape of a tile.
    bits : int
        Width of a result, P_O.
    result_bits : int
        Width of a result in a beat; results are sign-extended.
    requantizer : :class:`configs.accelerator.RequantizerConfig` or None
        Requantize each row on its way out.
    float_exponents : tuple of int or None
        Make float32 of each row: bits of the exponent that lies above a result's mantissa, and the
        binary logarithm of what mantissa 1 with exponent 0 stands for.

    Members
    -------
    results : ``In(ArrayLayout(signed(bits), rows * cols))``
        The tile, row by row.
    load : ``In(1)``
        Take the tile.
    job_end : ``In(1)``
        The tile is the job's last; taken with ``load``.
    parameters : ``In(cols * (multiplier_bits + shift_bits))``
        Multipliers, then shifts, of the tile; must hold until ``tile_done``; absent without a
        requantizer.
    beats : ``Out(stream.Signature(cols * result_bits))``
        One row per beat, column 0 in the low bits.
    last : ``Out(1)``
        The offered beat ends the job.
    tile_done : ``Out(1)``
        The tile's last beat is accepted.
    """

    def __init__(
        self,
        *,
        rows: int,
        cols: int,
        bits: int,
        result_bits: int,
        requantizer: RequantizerConfig | None,
        float_exponents: tuple[int, int] | None = None,
    ) -> None:
        self.rows = rows
        self.cols = cols
        self.bits = bits
        self.result_bits = result_bits
        self.requantizer = requantizer
        self.float_exponents = float_exponents
        members = {
            "results": In(data.ArrayLayout(signed(bits), rows * cols)),
            "load": In(1),
            "job_end": In(1),
            "beats": Out(stream.Signature(cols * result_bits)),
            "last": Out(1),
            "tile_done": Out(1),
        }
        if requantizer is not None:
            width = requantizer.multiplier_bits + requantizer.shift_bits
            members["parameters"] = In(cols * width)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held = Signal(self.results.shape(), reset_less=True)
        pending = Signal()
        # of the row to send
        index = Signal(range(self.rows), name="index") if self.rows > 1 else Const(0, 1)
        last_row = index == self.rows - 1 if self.rows > 1 else pending
        ends_job = Signal()
        tile_end = Signal()
        taken = Signal()
        row = self._row(held.as_value(), index)
        marks = Cat(last_row, ends_job & last_row)
        if self.float_exponents is not None:
            offered, sent_marks = self._encoded(m, row, pending, marks, taken)
        elif self.requantizer is None:
            offered, sent_marks = row, marks
            m.d.comb += self.beats.valid.eq(pending)
            m.d.comb += taken.eq(self.beats.valid & self.beats.ready)
        else:
            offered, sent_marks = self._requantized(m, row, pending, marks, taken)
        for col in range(self.cols):
            m.d.comb += self.beats.payload.word_select(col, self.result_bits).eq(offered[col])
        m.d.comb += [
            Cat(tile_end, self.last).eq(sent_marks),
            self.tile_done.eq(self.beats.valid & self.beats.ready & tile_end),
        ]
        # a tile of one row has no index
        advance, restart = ([index.eq(index + 1)], [index.eq(0)]) if self.rows > 1 else ([], [])
        with m.If(taken):
            m.d.sync += [*advance, pending.eq(~last_row)]
        with m.If(self.load):
            m.d.sync += [
                held.eq(self.results),
                *restart,
                pending.eq(1),
                ends_job.eq(self.job_end),
            ]
        return m

    def _row(self, held: Value, index: Value) -> data.View:
        """The next row to send.

        Rows stay where they are and are selected: moving them all with every beat accepted would
        make one long path, from the other side's ready to every flip-flop.
        """
        bits = self.cols * self.bits
        rows: list[Value] = [held.word_select(row, bits) for row in range(self.rows)]
        for bit in index:
            pairs = itertools.zip_longest(rows[::2], rows[1::2])
            rows = [low if high is None else Mux(bit, high, low) for low, high in pairs]
        return data.View(data.ArrayLayout(signed(self.bits), self.cols), rows[0])

    def _requantized(self, m: Module, row, valid, marks, taken: Signal):
        """Send ``row`` through the requantizer; its output payload and marks."""
        config = self.requantizer
        assert config is not None
        m.submodules.requantizer = requantizer = Requantizer(
            cols=self.cols,
            bits=self.bits,
            multiplier_bits=config.multiplier_bits,
            shift_bits=config.shift_bits,
        )
        m.d.comb += Cat(requantizer.multipliers, requantizer.shifts).eq(self.parameters)
        return self._behind(m, requantizer, row, valid, marks, taken)

    def _encoded(self, m: Module, row, valid, marks, taken: Signal):
        """Send ``row`` through the encoder; its output payload and marks."""
        assert self.float_exponents is not None
        exponent_bits, unit_exponent = self.float_exponents
        m.submodules.encoder = encoder = FloatEncoder(
            cols=self.cols,
            bits=self.bits - exponent_bits,
            exponent_bits=exponent_bits,
            unit_exponent=unit_exponent,
        )
        return self._behind(m, encoder, row, valid, marks, taken)

    def _behind(self, m: Module, stage, row, valid, marks, taken: Signal):
        """Connect ``stage`` between ``row`` and the output; its output payload and marks."""
        m.d.comb += [
            stage.values.payload.as_value().eq(row.as_value()),
            stage.values.valid.eq(valid),
            stage.marks.eq(marks),
            taken.eq(valid & stage.values.ready),
            self.beats.valid.eq(stage.beats.valid),
            stage.beats.ready.eq(self.beats.ready),
        ]
        return stage.beats.payload, stage.beats_marks
