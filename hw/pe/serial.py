"""Bit-serial PE for integer activations."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.terms import term_layout
from sw.formats import TermTable

from .accumulator import Accumulator


def dot_bits(*, terms: TermTable, lanes: int, activation_bits: int) -> int:
    """Exact width of one slot's lane sum, base shift excluded."""
    largest = max(term.exponent for row in terms.terms.values() for term in row)
    return (lanes << (activation_bits - 1 + largest)).bit_length() + 1


def shift_select_bits(terms: TermTable) -> int:
    """Bits that choose among the distinct base shifts; 0 if there is only one."""
    return (len(set(terms.base_shifts)) - 1).bit_length()


class SerialPE(wiring.Component):
    """Lane products, adder tree and inner accumulator of one output.

    In every slot each lane adds ``(-1)**negative * activation << exponent`` (or nothing), the tree
    adds the lanes exactly, and the accumulator takes ``sum << base shift`` as one step.

    Timing
    ------
    Terms and activations in cycle 0; ``accumulate``, ``clear``, ``shift_select`` and ``latch``
    of the same slot in cycle 1; ``group_sum`` holds from cycle 2 until the next latch.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Gives lane exponent width and base shifts.
    lanes : int
        Products per slot.
    activation_bits : int
        Two's complement activation width.
    bits : int
        Inner accumulator width, P_I.
    mode : str
        Inner accumulator mode, see :class:`hw.pe.Accumulator`.

    Members
    -------
    terms_in : ``In(ArrayLayout(term_layout(...), lanes))``
        One term per lane.
    activations : ``In(ArrayLayout(signed(activation_bits), lanes))``
        One activation per lane.
    accumulate : ``In(1)``
        The slot is valid.
    clear : ``In(1)``
        First slot of a group.
    latch : ``In(1)``
        Last slot of a group; high only with ``accumulate``.
    shift_select : ``In(bits)``
        Index of the slot's base shift among the distinct ones, rising; absent if only one.
    group_sum : ``Out(signed(bits))``
        Inner accumulator at the end of the last group.
    overflow : ``Out(1)``
        This step's exact sum left the range.
    """

    def __init__(
        self, *, terms: TermTable, lanes: int, activation_bits: int, bits: int, mode: str
    ) -> None:
        self.terms = terms
        self.lanes = lanes
        self.dot_bits = dot_bits(terms=terms, lanes=lanes, activation_bits=activation_bits)
        self.accumulator = Accumulator(
            bits=bits, addend_bits=self.dot_bits + max(terms.base_shifts), mode=mode
        )
        members = {
            "terms_in": In(data.ArrayLayout(term_layout(terms.lane_exponent_bits), lanes)),
            "activations": In(data.ArrayLayout(signed(activation_bits), lanes)),
            "accumulate": In(1),
            "clear": In(1),
            "latch": In(1),
            "group_sum": Out(signed(bits)),
            "overflow": Out(1),
        }
        if shift_select_bits(terms):
            members["shift_select"] = In(shift_select_bits(terms))
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator

        # cycle 0: lane products and their exact sum
        dot = Signal(signed(self.dot_bits), reset_less=True)
        m.d.sync += dot.eq(_tree([self._product(m, lane) for lane in range(self.lanes)]))

        # cycle 1: base shift, inner accumulation, latch at the end of a group
        m.d.comb += [
            accumulator.addend.eq(self._shifted(m, dot)),
            accumulator.enable.eq(self.accumulate),
            accumulator.clear.eq(self.clear),
            self.overflow.eq(accumulator.overflow),
        ]
        with m.If(self.latch):
            m.d.sync += self.group_sum.eq(accumulator.next)
        return m

    def _product(self, m: Module, lane: int):
        """One lane's term times its activation, exact."""
        term, activation = self.terms_in[lane], self.activations[lane]
        signed_activation = Signal(signed(len(activation) + 1), name=f"signed_{lane}")
        gated = Mux(term.present, activation, 0)
        m.d.comb += signed_activation.eq(Mux(term.negative, -gated, gated))
        return signed_activation << term.exponent

    def _shifted(self, m: Module, dot: Signal) -> Signal:
        """``dot`` moved by the slot's base shift."""
        shifts = sorted(set(self.terms.base_shifts))
        shifted = Signal(signed(self.dot_bits + max(shifts)))
        if len(shifts) == 1:
            m.d.comb += shifted.eq(dot << shifts[0])
            return shifted
        with m.Switch(self.shift_select):
            for index, shift in enumerate(shifts):
                with m.Default() if index == len(shifts) - 1 else m.Case(index):
                    m.d.comb += shifted.eq(dot << shift)
        return shifted


def _tree(values: list):
    """Balanced sum, each level one bit wider."""
    while len(values) > 1:
        paired = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = paired + values[len(values) & ~1 :]
    return values[0]
