"""Pair decoder: outlier-victim pairs back into two codes (OliVe, ISCA 2023)."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class PairDecoder(wiring.Component):
    """Turn two stored codes of a pair into two codes with an outlier bit on top.

    A code beside the identifier (top bit alone) is an outlier; the identifier itself stands for
    the victim, code 0.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    bits : int
        Width of a stored code.

    Members
    -------
    stored : ``In(2 * bits)``
        The pair, left code in the low bits.
    codes : ``Out(2 * (bits + 1))``
        Both codes, left one in the low bits.
    """

    def __init__(self, *, bits: int) -> None:
        self.bits = bits
        super().__init__({"stored": In(2 * bits), "codes": Out(2 * (bits + 1))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stored = [self.stored.word_select(side, self.bits) for side in range(2)]
        identifier = Signal(2)
        m.d.comb += [identifier[side].eq(stored[side] == 1 << (self.bits - 1)) for side in range(2)]
        for side in range(2):
            code = Mux(identifier[side], 0, stored[side])
            half = self.codes.word_select(side, self.bits + 1)
            m.d.comb += [half[: self.bits].eq(code), half[self.bits].eq(identifier[1 - side])]
        return m
