"""PE with multipliers: a whole weight in one cycle."""

from collections.abc import Collection

from amaranth import Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In

from hw.terms import term_layout
from sw.formats import TermTable

from .base import PE, balanced_sum
from .float_accumulator import FloatSum
from .serial import activation_shape


class MultiplierPE(PE):
    """``sum(activation * digit << exponent)`` and the inner accumulator of one output.

    The multiplication is the language's operator on two's complement numbers, so that tools infer
    DSP blocks. Where all exponents are 0, digits are the weights' levels: a plain MAC. ANT's and
    OliVe's PE is the same with exponents (integer multiplier and shifter).

    Timing
    ------
    As :class:`hw.pe.SerialPE`.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Of one slot, digits in encoding ``"signed"``.
    lanes, activation_bits, activation_signed, bits, mode, pipeline, floating, exponent_bits
        As :class:`hw.pe.SerialPE`.

    Members
    -------
    terms_in : ``In(ArrayLayout(term_layout(...), lanes))``
        One digit, with its exponent, per lane; 0 without a slot.
    activations, last, group_sum
        As :class:`hw.pe.SerialPE`.
    exponent : ``In(exponent_bits)``
        As :class:`hw.pe.SerialPE`; absent without ``floating``.
    overflow : ``Out(1)``
        As :class:`hw.pe.SerialPE`; absent with ``floating``.
    """

    def __init__(
        self,
        *,
        terms: TermTable,
        lanes: int,
        activation_bits: int,
        activation_signed: bool = True,
        bits: int,
        mode: str,
        pipeline: Collection[str] = (),
        floating: FloatSum | None = None,
        exponent_bits: int = 0,
    ) -> None:
        self.lanes = lanes
        magnitude = 1 << activation_bits - 1 if activation_signed else (1 << activation_bits) - 1
        #: two's complement width of a lane's product
        self.product_bits = (magnitude * terms.largest_term).bit_length() + 1
        activation = activation_shape(activation_bits, is_signed=activation_signed)
        members = {
            "terms_in": In(data.ArrayLayout(term_layout(terms), lanes)),
            "activations": In(data.ArrayLayout(activation, lanes)),
        }
        if floating is not None:
            members["exponent"] = In(exponent_bits)
        super().__init__(
            terms=terms,
            sum_bits=(lanes * magnitude * terms.largest_term).bit_length() + 1,
            negated=False,
            bits=bits,
            mode=mode,
            floating=floating,
            exponent_bits=exponent_bits,
            pipeline=pipeline,
            members=members,
        )

    def lane_sum(self, m: Module) -> tuple[Signal, Value | None]:
        products = []
        for lane in range(self.lanes):
            term, product = self.terms_in[lane], Signal(signed(self.product_bits))
            digit = self.activations[lane] * term.digit
            m.d.comb += product.eq(digit << term.exponent if self.terms.exponent_bits else digit)
            products.append(self.behind_products(m, product, f"product_{lane}"))
        total = Signal(signed(self.sum_bits), reset_less=True)
        m.d.sync += total.eq(balanced_sum(self.part_sums(m, products)))
        return total, None if self.floating is None else self.exponent
