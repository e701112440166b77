"""Control that all dequantizers of an array share."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class DequantizerControl(wiring.Component):
    """Count the passes of a group: zero point bits, scale bits, row after row.

    Timing
    ------
    ``load`` in one cycle, first bit in the next; ``rows * (zero_point_bits + scale_bits)`` cycles
    later, in that of the last bit, the next ``load`` may come.

    Parameters
    ----------
    zero_point_bits, scale_bits : int
        Cycles of the two parts of a pass; there may be no zero points.
    rows : int
        Passes per group.

    Members
    -------
    load : ``In(1)``
        The sums of a group are latched.
    tile_end, job_end : ``In(1)``
        What that group ends; with ``load``.
    correct, negative : ``Out(1)``
        Cycle of a zero point bit; of its last one, the sign.
    multiply, last : ``Out(1)``
        Cycle of a scale bit; of the last one of a pass.
    results_valid : ``Out(1)``
        Last bit of the last pass of a tile's last group.
    results_job_end : ``Out(1)``
        That tile is the job's last; with ``results_valid``.
    """

    def __init__(self, *, zero_point_bits: int, scale_bits: int, rows: int) -> None:
        self.zero_point_bits = zero_point_bits
        self.scale_bits = scale_bits
        self.rows = rows
        outputs = ("correct", "negative", "multiply", "last", "results_valid", "results_job_end")
        super().__init__(
            {
                "load": In(1),
                "tile_end": In(1),
                "job_end": In(1),
                **{name: Out(1) for name in outputs},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cycles = self.zero_point_bits + self.scale_bits
        active = Signal()
        left = Signal(range(max(2, cycles)))  # bits after this one in the pass
        rows_left = Signal(range(max(2, self.rows)))
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Elif(rows_left != 0):
            m.d.sync += [left.eq(cycles - 1), rows_left.eq(rows_left - 1)]
        with m.Else():
            m.d.sync += active.eq(0)
        with m.If(self.load):
            m.d.sync += [active.eq(1), left.eq(cycles - 1), rows_left.eq(self.rows - 1)]
        m.d.comb += [
            self.correct.eq(active & (left >= self.scale_bits)),
            self.negative.eq(active & (left == self.scale_bits)),
            self.multiply.eq(active & (left < self.scale_bits)),
            self.last.eq(active & (left == 0)),
        ]

        # what the group ends, kept until its last pass
        tile_end = Signal()
        with m.If(self.load):
            m.d.sync += [tile_end.eq(self.tile_end), self.results_job_end.eq(self.job_end)]
        m.d.comb += self.results_valid.eq(self.last & (rows_left == 0) & tile_end)
        return m
