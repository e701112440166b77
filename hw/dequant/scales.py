"""From a stored group scale to what the dequantizer multiplies by."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from configs.accelerator import ScaleConfig


class ScaleDecoder(wiring.Component):
    """Split a scale code into the bits to multiply by and the shift that follows.

    ``uint8`` passes as it is. An E8M0 code is a shift already, an E4M3 code has a 4-bit
    significand (hidden bit included) and a shift of its exponent less 1. With serial shifts the
    significand is moved to its place here, once per column.

    Timing
    ------
    Combinational.

    Parameters
    ----------
    scale : :class:`configs.accelerator.ScaleConfig`
        Format, and where shifts are done.

    Members
    -------
    code : ``In(scale.code_bits)``
        Scale of a group, as the header holds it.
    multiplier : ``Out(scale.serial_bits)``
        Bits to multiply by.
    shift : ``Out(bits of scale.barrel_shift)``
        Left shift of the product; absent without a shifter.
    """

    def __init__(self, *, scale: ScaleConfig) -> None:
        self.scale = scale
        members = {"code": In(scale.code_bits), "multiplier": Out(scale.serial_bits)}
        if scale.barrel_shift:
            members["shift"] = Out(scale.barrel_shift.bit_length())
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        significand, shift = self._parts(m)
        if self.scale.barrel_shift:
            m.d.comb += [self.multiplier.eq(significand), self.shift.eq(shift)]
        elif self.scale.largest_shift:
            m.d.comb += self.multiplier.eq(significand << shift)
        else:
            m.d.comb += self.multiplier.eq(significand)
        return m

    def _parts(self, m: Module):
        """Significand and shift; no shift for ``uint8``."""
        if self.scale.format == "uint8":
            return self.code, None
        if self.scale.format == "e8m0":
            return Const(1), self.code
        mantissa, exponent = self.code[:3], self.code[3:7]
        normal = Signal()
        shift = Signal(4)
        m.d.comb += [normal.eq(exponent.any()), shift.eq(Mux(normal, exponent - 1, 0))]
        return mantissa | normal << 3, shift
