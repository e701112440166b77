"""What a PE adds in a step is the sum of its lanes, for all terms and activations."""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed

from hw.pe import SerialPE, shift_select_bits
from hw.pe.base import PART_LANES, balanced_sum
from hw.pe.serial import CHAIN_LANES
from sw.formats import TermTable

from .checks import Checks
from .netlist import place


@dataclass(frozen=True, kw_only=True)
class LaneSum:
    """A PE fed with anything: its accumulator is given the sum of the lanes, shifted.

    The way from lanes to accumulator has no feedback, so induction over as many cycles as it has
    registers (:attr:`cycles`) proves it without any invariant.

    Parameters
    ----------
    terms, lanes, activation_bits, activation_signed, adders, pipeline : as in
        :class:`hw.pe.SerialPE`.
    bits, mode : of the accumulator, which plays no part.
    netlist : Verilog to prove instead of the component, see :mod:`hw.proofs.netlist`.
    """

    terms: TermTable
    lanes: int
    activation_bits: int
    activation_signed: bool = True
    adders: str = "chain"
    pipeline: tuple[str, ...] = ()
    bits: int = 1
    mode: str = "wrap"
    netlist: str = ""

    @property
    def cycles(self) -> int:
        """Registers between the lanes and the accumulator."""
        return 1 + len({"products", "sums", "shift"} & set(self.pipeline))

    def build(self, m: Module) -> Checks:
        """Terms, activations and the choice of the base shift are free in every cycle."""
        checks = Checks(m)
        pe = SerialPE(
            terms=self.terms,
            lanes=self.lanes,
            activation_bits=self.activation_bits,
            activation_signed=self.activation_signed,
            bits=self.bits,
            mode=self.mode,
            adders=self.adders,
            pipeline=self.pipeline,
        )
        added = place(m, checks, pe, self.netlist)
        count_negatives(m, pe)
        for port in (pe.terms_in, pe.activations):
            bits = port.as_value()
            m.d.comb += bits.eq(checks.any_input(f"any_{len(checks.asserts)}", len(bits)))
        largest = max(term.exponent for row in self.terms.terms.values() for term in row)
        fits = [~t.present | (t.exponent <= largest) for t in pe.terms_in]
        checks.assume("exponents of the table", Const(1) if not fits else _all(fits))
        products = lane_products(m, pe)
        if "products" in self.pipeline:
            products = [_later(m, product) for product in products]
        # in the PE's order: chains or parts, then their sums
        if "sums" in self.pipeline:
            parts = _sums_of(products, PART_LANES)
            total = balanced_sum([_later(m, part) for part in parts])
        else:
            total = sum(_sums_of(products, CHAIN_LANES))
        if shift_select_bits(self.terms):
            select = checks.any_input("any_shift", len(pe.shift_select))
            m.d.comb += pe.shift_select.eq(select)
            checks.assume("base shift exists", select < len(set(self.terms.base_shifts)))
            total = total << Array(sorted(set(self.terms.base_shifts)))[select]
        else:
            total = total << self.terms.base_shifts[0]
        if "shift" in self.pipeline:
            total = _later(m, total)
        age = Signal(range(self.cycles + 1))
        with m.If(age != self.cycles):
            m.d.sync += age.eq(age + 1)
        filled = age == self.cycles
        checks.always("age", age <= self.cycles)
        checks.always("lane sum", ~filled | (total == added))
        checks.reachable("a negative sum", filled & (total < 0))
        checks.reachable("a positive sum", filled & (total > 0))
        return checks


def lane_products(m: Module, pe: Any) -> list[Signal]:
    """Term times activation of every lane of ``pe``, one cycle later, by plain negation."""
    products = []
    for lane, term in enumerate(pe.terms_in):
        activation = pe.activations[lane]
        size = Mux(term.present, activation << term.exponent, 0)
        value = Mux(term.negative, -size, size)
        product = Signal(signed(len(value)), name=f"product_{lane}", reset_less=True)
        m.d.sync += product.eq(value)
        products.append(product)
    return products


def count_negatives(m: Module, pe: SerialPE) -> None:
    """Feed the number of negative terms to a PE that wants it."""
    if "negatives" in pe.signature.members:
        m.d.comb += pe.negatives.eq(sum(term.negative for term in pe.terms_in))


def _sums_of(products: list, lanes: int) -> list:
    starts = range(0, len(products), lanes)
    return [sum(products[first : first + lanes]) for first in starts]


def _later(m: Module, value) -> Signal:
    register = Signal(signed(len(value)), reset_less=True)
    m.d.sync += register.eq(value)
    return register


def _all(conditions: list):
    whole = conditions[0]
    for condition in conditions[1:]:
        whole = whole & condition
    return whole
