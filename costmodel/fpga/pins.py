"""A shell around a design that has more ports than its device has pins."""

from amaranth import Cat, ClockDomain, ClockSignal, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: inputs of a look-up table
_LUT_INPUTS = 4


class PinWrapper(wiring.Component):
    """A design behind four pins, to be placed where every port needs a pin.

    The inputs stand in a shift register that ``data_in`` feeds; the outputs are folded to one bit
    by exclusive-or, with a register behind every look-up table. So each port of the design lies
    between registers, and none can be optimized away. Of no use but to measure the design.

    Timing
    ------
    An input bit appears ``inputs`` cycles after its bit of ``data_in`` at the latest.

    Parameters
    ----------
    design : component
        With ports ``aclk`` and ``aresetn``.

    Members
    -------
    aclk, aresetn : ``In(1)``
        Clock and reset of the design.
    data_in : ``In(1)``
        Shifted through the inputs.
    data_out : ``Out(1)``
        Exclusive-or of the outputs, some cycles later.
    """

    def __init__(self, *, design: wiring.Component) -> None:
        self.design = design
        ports = [
            (name, len(getattr(design, name)), member.flow)
            for name, member in design.signature.members.items()
            if name not in ("aclk", "aresetn")
        ]
        #: ports by name, with their widths
        self.inputs = {name: bits for name, bits, flow in ports if flow == In}
        self.outputs = {name: bits for name, bits, flow in ports if flow == Out}
        super().__init__({"aclk": In(1), "aresetn": In(1), "data_in": In(1), "data_out": Out(1)})

    @property
    def cells(self) -> int:
        """Logic cells of the wrapper itself: a flip-flop per input, one per look-up table."""
        left, folds = sum(self.outputs.values()), 0
        while left > 1:
            left = -(-left // _LUT_INPUTS)
            folds += left
        return sum(self.inputs.values()) + folds

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.pins = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal("pins").eq(self.aclk)
        m.submodules.design = design = self.design
        m.d.comb += [design.aclk.eq(self.aclk), design.aresetn.eq(self.aresetn)]
        shifted = Signal(sum(self.inputs.values()))
        m.d.pins += shifted.eq(Cat(self.data_in, shifted))
        first = 0
        for name, bits in self.inputs.items():
            m.d.comb += getattr(design, name).eq(shifted[first : first + bits])
            first += bits
        level, bits = 0, Cat(getattr(design, name) for name in self.outputs)
        while len(bits) > 1:
            starts = range(0, len(bits), _LUT_INPUTS)
            folded = Signal(len(starts), name=f"folded_{level}")
            m.d.pins += folded.eq(Cat(bits[n : n + _LUT_INPUTS].xor() for n in starts))
            level, bits = level + 1, folded
        m.d.comb += self.data_out.eq(bits)
        return m
