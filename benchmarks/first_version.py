"""The serial PE and dequantizer as they were first written, and the steps from there.

What each step gave in area is measured by ``python -m benchmarks.pe``, table "steps".
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.pe import balanced_sum, dot_bits, shift_select_bits
from hw.terms import bit_layout
from sw.formats import TermTable

from .mac import extended, subtract_lane

#: changes in the order in which they were made
PE_STEPS = {
    "exponents": "exponent field only as wide as the largest exponent in use",
    "reset": "accumulator cleared by its flip-flops' reset, not by a multiplexer",
    "absent": "no enable: a cycle without a slot adds absent terms",
    "chain": "chain of subtractions, not a tree of additions",
    "hold": "no register for the group sum: the dequantizer takes it at once",
}


class FirstPE(wiring.Component):
    """The serial PE with some of :data:`PE_STEPS`; modes other than ``wrap`` left out.

    Timing
    ------
    Terms and activations in cycle 0, control of the same slot in cycle 1. ``group_sum`` is
    combinational in cycle 1 with step "hold", else it holds from cycle 2 on.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Gives exponents and base shifts.
    lanes, activation_bits, bits : int
        As :class:`hw.pe.SerialPE`.
    steps : collection of str
        Keys of :data:`PE_STEPS`.
    compressor : bool
        Sum the lanes in one expression, and their flags with it: Yosys makes a tree of
        carry-save adders of it.

    Members
    -------
    terms_in, activations, shift_select, group_sum
        As :class:`hw.pe.SerialPE`.
    accumulate : ``In(1)``
        There is a slot; absent with step "absent".
    clear : ``In(1)``
        First slot of a group; absent with step "reset".
    last : ``In(1)``
        Last slot of a group.
    """

    def __init__(
        self,
        *,
        terms: TermTable,
        lanes: int,
        activation_bits: int,
        bits: int,
        steps: tuple[str, ...] = (),
        compressor: bool = False,
    ) -> None:
        self.table = terms
        self.lanes = lanes
        self.bits = bits
        self.steps = steps
        self.compressor = compressor
        needed = "exponents" in steps
        self.exponent_bits = terms.exponent_bits if needed else terms.lane_exponent_bits
        self.dot_bits = dot_bits(
            terms=terms, lanes=lanes, activation_bits=activation_bits, activation_signed=True
        )
        #: of one lane, before negation
        self.lane_bits = activation_bits + terms.largest_exponent
        members = {
            "terms_in": In(data.ArrayLayout(bit_layout(self.exponent_bits), lanes)),
            "activations": In(data.ArrayLayout(signed(activation_bits), lanes)),
            "last": In(1),
            "group_sum": Out(signed(bits)),
        }
        if "absent" not in steps:
            members["accumulate"] = In(1)
        if "reset" not in steps:
            members["clear"] = In(1)
        if shift_select_bits(terms):
            members["shift_select"] = In(shift_select_bits(terms))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dot = Signal(signed(self.dot_bits), reset_less=True)
        m.d.sync += dot.eq(self._chain(m) if "chain" in self.steps else self._tree(m))

        shifts = sorted(set(self.table.base_shifts))
        shifted = Signal(signed(self.dot_bits + max(shifts)))
        m.d.comb += shifted.eq(dot << shifts[-1])
        if len(shifts) > 1:
            with m.Switch(self.shift_select):
                for index, shift in enumerate(shifts[:-1]):
                    with m.Case(index):
                        m.d.comb += shifted.eq(dot << shift)

        register = Signal(signed(self.bits))
        following = Signal(signed(self.bits))
        start = register if "reset" in self.steps else Mux(self.clear, 0, register)
        total = start - shifted if "chain" in self.steps else start + shifted
        m.d.comb += following.eq(total)
        if "absent" in self.steps:
            m.d.sync += register.eq(following)
        else:
            with m.If(self.accumulate):
                m.d.sync += register.eq(following)
        if "reset" in self.steps:
            with m.If(self.last):
                m.d.sync += register.eq(0)
        if "hold" in self.steps:
            m.d.comb += self.group_sum.eq(following)
        else:
            with m.If(self.last):
                m.d.sync += self.group_sum.eq(following)
        return m

    def _shifted(self, lane: int):
        """One lane's activation, gated and shifted."""
        term = self.terms_in[lane]
        gated = Mux(term.present, self.activations[lane], 0)
        if "exponents" in self.steps and not self.table.largest_exponent:
            return gated
        return gated << term.exponent

    def _tree(self, m: Module):
        """Sum of the lanes: negated one by one and added pairwise, or in one expression."""
        products = []
        for lane in range(self.lanes):
            negative = self.terms_in[lane].negative
            if self.compressor:
                bits = extended(self._shifted(lane), self.lane_bits)
                inverted = (bits ^ negative.replicate(self.lane_bits)).as_signed()
                products.append(inverted)
                continue
            product = Signal(signed(self.lane_bits + 1), name=f"product_{lane}")
            value = self._shifted(lane)
            m.d.comb += product.eq(Mux(negative, -value, value))
            products.append(product)
        if self.compressor:
            return sum(products) + sum(self.terms_in[lane].negative for lane in range(self.lanes))
        return balanced_sum(products)

    def _chain(self, m: Module):
        """Negated sum of the lanes, one subtraction after the other."""
        total = None
        for lane in range(self.lanes):
            negative = self.terms_in[lane].negative
            bits = extended(self._shifted(lane), self.lane_bits)
            value = Signal(signed(self.lane_bits), name=f"lane_{lane}")
            m.d.comb += value.eq(bits ^ negative.replicate(self.lane_bits))
            width = ((lane + 1) << (self.lane_bits - 1)).bit_length() + 1
            following = Signal(signed(width), name=f"chain_{lane}")
            m.d.comb += following.eq(
                subtract_lane(0 if total is None else total, value, negative, width)
            )
            total = following
        return total


class FirstDequantizer(wiring.Component):
    """High bit first with a product register, as the dequantizer was first written.

    Timing
    ------
    ``scale_bits`` cycles with ``multiply``, then ``accumulate``, where ``result`` is combinational.

    Parameters
    ----------
    group_bits, scale_bits, bits : int
        Widths of group sum, scale and outer sum.
    resets : bool
        Product and outer sum are cleared by their flip-flops' reset, and the product moves on in
        every cycle; this needs a cycle between groups.

    Members
    -------
    group_sum : ``In(signed(group_bits))``
        Group sum, held meanwhile.
    scale_bit : ``In(1)``
        Bit of the scale, highest first.
    multiply, first : ``In(1)``
        A bit is offered; it is the first. Absent with ``resets``.
    accumulate : ``In(1)``
        Add the product to the outer sum.
    clear : ``In(1)``
        The outer sum starts from 0 (with ``resets``: after this cycle).
    result : ``Out(signed(bits))``
        Outer sum including this group.
    """

    def __init__(self, *, group_bits: int, scale_bits: int, bits: int, resets: bool) -> None:
        self.product_bits = group_bits + scale_bits
        self.resets = resets
        members = {
            "group_sum": In(signed(group_bits)),
            "scale_bit": In(1),
            "accumulate": In(1),
            "clear": In(1),
            "result": Out(signed(bits)),
        }
        if not resets:
            members |= {"multiply": In(1), "first": In(1)}
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = Signal(signed(self.product_bits))
        outer = Signal.like(self.result)
        addend = Mux(self.scale_bit, self.group_sum, 0)
        if self.resets:
            doubled = Cat(0, extended(product, self.product_bits - 1))
            # unsigned on purpose, see hw.pe.SerialPE: signed operands become other adders
            m.d.sync += product.eq(doubled + extended(addend, self.product_bits))
            m.d.comb += self.result.eq(outer + product)
            with m.If(self.accumulate):
                m.d.sync += [outer.eq(self.result), product.eq(0)]
            with m.If(self.clear):
                m.d.sync += outer.eq(0)
            return m
        with m.If(self.multiply):
            m.d.sync += product.eq(Mux(self.first, 0, product << 1) + addend)
        m.d.comb += self.result.eq(Mux(self.clear, 0, outer) + product)
        with m.If(self.accumulate):
            m.d.sync += outer.eq(self.result)
        return m
