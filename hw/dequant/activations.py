"""Activation sums of a group, for the zero points of asymmetric weights."""

from itertools import pairwise

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class ActivationSums(wiring.Component):
    """Sum the activations of ``rows`` tokens over a group, and offer each sum's multiples.

    The sums run beside the PEs, once per chunk. Afterwards the rows take turns as in
    :class:`hw.dequant.SerialDequantizer`: ``multiple`` is the sum of the row in turn, then twice,
    four times ... that, one doubling per zero point bit.

    Timing
    ------
    Activations in cycle 0; ``accumulate`` and ``load`` of the same chunk ``delay`` cycles later;
    ``multiple`` from the cycle after ``load``.

    Parameters
    ----------
    rows : int
        Tokens.
    lanes : int
        Activations per token and chunk.
    activation_bits : int
        Width of an activation.
    activation_signed : bool
        Two's complement activations, or unsigned ones.
    bits : int
        Width of a group's sum.
    zero_point_bits : int
        Bits of a zero point.
    delay : int
        Registers between the lanes and the sum, at least 1.

    Members
    -------
    activations : ``In(ArrayLayout(ArrayLayout(..., lanes), rows))``
        Activations of a chunk.
    accumulate : ``In(1)``
        First slot of the chunk.
    load : ``In(1)``
        Last slot of a group: the sums start anew from 0. May be the first of its chunk too.
    correct : ``In(1)``
        A zero point bit is used.
    last : ``In(1)``
        The pass ends: the next row comes in turn; absent for one row.
    multiple : ``Out(signed(bits + zero_point_bits - 1))``
        Activation sum of the row in turn times the weight of the zero point bit.
    """

    def __init__(
        self,
        *,
        rows: int,
        lanes: int,
        activation_bits: int,
        activation_signed: bool,
        bits: int,
        zero_point_bits: int,
        delay: int,
    ) -> None:
        self.rows = rows
        self.lanes = lanes
        self.bits = bits
        self.delay = delay
        shape = (signed if activation_signed else unsigned)(activation_bits)
        members = {
            "activations": In(data.ArrayLayout(data.ArrayLayout(shape, lanes), rows)),
            "accumulate": In(1),
            "load": In(1),
            "correct": In(1),
            "multiple": Out(signed(bits + zero_point_bits - 1)),
        }
        if rows > 1:
            members["last"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums = [self._sum(m, row) for row in range(self.rows)]

        # after load: the multiple of the row in turn, and the sums of the rows behind it
        waiting = [Signal(signed(self.bits), name=f"waiting_{r}") for r in range(1, self.rows)]
        with m.If(self.correct):
            m.d.sync += self.multiple.eq(self.multiple << 1)
        if self.rows > 1:
            with m.If(self.last):
                m.d.sync += self.multiple.eq(waiting[0])
                for here, behind in pairwise(waiting):
                    m.d.sync += here.eq(behind)
        with m.If(self.load):
            m.d.sync += self.multiple.eq(sums[0])
            m.d.sync += [here.eq(sums[row]) for row, here in enumerate(waiting, start=1)]
        return m

    def _sum(self, m: Module, row: int) -> Signal:
        """Running sum of one row, this chunk included."""
        lane_sum = sum((self.activations[row][lane] for lane in range(self.lanes)), start=0)
        for stage in range(self.delay):
            delayed = Signal(signed(self.bits), name=f"chunk_{row}_{stage}", reset_less=True)
            m.d.sync += delayed.eq(lane_sum)
            lane_sum = delayed
        register = Signal(signed(self.bits), name=f"sum_{row}")
        following = Signal(signed(self.bits), name=f"next_{row}")
        m.d.comb += following.eq(register + Mux(self.accumulate, lane_sum, 0))
        m.d.sync += register.eq(following)
        with m.If(self.load):
            m.d.sync += register.eq(0)
        return following
