"""Accumulator of bounded width: the one place that says what an overflow does."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

MODES = ("wrap", "saturate", "flag")


class Accumulator(wiring.Component):
    """Add a signed number to a two's complement register, once per step.

    The step's sum is formed exactly; then ``wrap`` keeps its low bits, ``saturate`` clamps it to
    the register's range, and ``flag`` keeps the low bits and reports that the sum left the range.

    Timing
    ------
    ``next`` and ``overflow`` are combinational in the step; ``next`` is in the register one cycle
    later.

    Parameters
    ----------
    bits : int
        Register width.
    addend_bits : int
        Width of the addend.
    mode : str
        ``"wrap"``, ``"saturate"`` or ``"flag"``.

    Members
    -------
    enable : ``In(1)``
        A step takes place.
    clear : ``In(1)``
        The step starts from zero instead of from the register.
    addend : ``In(signed(addend_bits))``
        Number to add.
    next : ``Out(signed(bits))``
        The register after this step.
    overflow : ``Out(1)``
        The step's exact sum left the range; always 0 in mode ``wrap``.

    Raises
    ------
    ValueError
        A width is below 1 or the mode is unknown.
    """

    def __init__(self, *, bits: int, addend_bits: int, mode: str) -> None:
        if bits < 1 or addend_bits < 1:
            raise ValueError(f"widths must be at least 1 bit, not {bits} and {addend_bits}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        self.bits = bits
        self.mode = mode
        super().__init__(
            {
                "enable": In(1),
                "clear": In(1),
                "addend": In(signed(addend_bits)),
                "next": Out(signed(bits)),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        register = Signal(signed(self.bits), reset_less=True)
        start = Signal(signed(self.bits))
        m.d.comb += start.eq(Mux(self.clear, 0, register))
        if self.mode == "wrap":
            # low bits only: the exact sum need not exist
            m.d.comb += self.next.eq(start + self.addend)
        else:
            width = max(self.bits, len(self.addend)) + 1
            exact = Signal(signed(width))
            too_high = Signal()
            too_low = Signal()
            half = 1 << (self.bits - 1)
            m.d.comb += [
                exact.eq(start + self.addend),
                too_high.eq(exact >= half),
                too_low.eq(exact < -half),
                self.overflow.eq(self.enable & (too_high | too_low)),
                self.next.eq(exact),
            ]
            if self.mode == "saturate":
                with m.If(too_high):
                    m.d.comb += self.next.eq(half - 1)
                with m.Elif(too_low):
                    m.d.comb += self.next.eq(-half)
        with m.If(self.enable):
            m.d.sync += register.eq(self.next)
        return m
