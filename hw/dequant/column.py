"""Scale and zero point of one column's group, bit by bit."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.accelerator import ScaleConfig

from .scales import ScaleDecoder


class ColumnScale(wiring.Component):
    """Keep a group's scale and zero point from its header, and offer them to the dequantizers.

    The header arrives before the group's sums; ``stages`` registers in a row keep it meanwhile, so
    that the headers of the groups that follow may arrive too.

    Timing
    ------
    Stage ``i`` takes over with ``keep[i]``; ``load`` makes the last stage's group the current one
    from the next cycle. The bits of both come lowest first, the scale's one per ``multiply``, the
    zero point's one per ``correct``, and start anew after the last.

    Parameters
    ----------
    scale : :class:`configs.accelerator.ScaleConfig`
        Scale format.
    zero_point_bits : int
        Width of the zero point; 0 without.
    stages : int
        Headers that may wait, at least 1.

    Members
    -------
    code : ``In(scale.code_bits)``
        Scale in the header.
    zero_point : ``In(zero_point_bits)``
        Zero point in the header; absent without zero points.
    keep : ``In(stages)``
        Stage i takes over from the header (0) or from stage i - 1.
    load : ``In(1)``
        The group's sums are latched.
    multiply : ``In(1)``
        A scale bit is used.
    correct : ``In(1)``
        A zero point bit is used; absent without zero points.
    scale_bit : ``Out(1)``
        Current bit of the scale; 0 without ``multiply``.
    zero_point_bit : ``Out(1)``
        Current bit of the zero point; absent without zero points.
    shift : ``Out(bits of scale.barrel_shift)``
        The scale's shift; absent without a shifter.
    """

    def __init__(self, *, scale: ScaleConfig, zero_point_bits: int, stages: int) -> None:
        self.scale = scale
        self.zero_point_bits = zero_point_bits
        self.stages = stages
        members = {
            "code": In(scale.code_bits),
            "keep": In(stages),
            "load": In(1),
            "multiply": In(1),
            "scale_bit": Out(1),
        }
        if zero_point_bits:
            members |= {
                "zero_point": In(zero_point_bits),
                "correct": In(1),
                "zero_point_bit": Out(1),
            }
        if scale.barrel_shift:
            members["shift"] = Out(scale.barrel_shift.bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = ScaleDecoder(scale=self.scale)
        m.d.comb += decoder.code.eq(self._kept(m, self.code, "code"))

        multiplier = Signal(self.scale.serial_bits, reset_less=True)
        m.d.comb += self.scale_bit.eq(multiplier[0] & self.multiply)
        with m.If(self.multiply):
            m.d.sync += multiplier.eq(multiplier.rotate_right(1))
        with m.If(self.load):
            m.d.sync += multiplier.eq(decoder.multiplier)

        if self.zero_point_bits:
            zero_point = Signal(self.zero_point_bits, reset_less=True)
            kept = self._kept(m, self.zero_point, "zero_point")
            m.d.comb += self.zero_point_bit.eq(zero_point[0])
            with m.If(self.correct):
                m.d.sync += zero_point.eq(zero_point.rotate_right(1))
            with m.If(self.load):
                m.d.sync += zero_point.eq(kept)

        if self.scale.barrel_shift:
            with m.If(self.load):
                m.d.sync += self.shift.eq(decoder.shift)
        return m

    def _kept(self, m: Module, value, name: str):
        """``value`` of the header, behind all stages."""
        for stage in range(self.stages):
            register = Signal(len(value), name=f"{name}_{stage}", reset_less=True)
            with m.If(self.keep[stage]):
                m.d.sync += register.eq(value)
            value = register
        return value
