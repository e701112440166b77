"""What all PEs share: a lane sum, a base shift, and the inner accumulator."""

import abc
from collections.abc import Collection

from amaranth import Cat, Const, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from sw.formats import TermTable

from .accumulator import Accumulator, extended
from .float_accumulator import FloatAccumulator, FloatSum

#: lanes of a part, whose sum stage ``sums`` registers
PART_LANES = 2


def shift_select_bits(terms: TermTable) -> int:
    """Bits that choose among the distinct base shifts; 0 if there is only one."""
    return (len(set(terms.base_shifts)) - 1).bit_length()


class PE(wiring.Component, abc.ABC):
    """One output's inner accumulation; what comes before it is the business of each kind of PE.

    Kinds give :meth:`lane_sum` and pass the width of that sum. With ``floating`` the accumulator is
    a floating-point one, and there is no ``overflow``.

    Parameters
    ----------
    terms : :class:`sw.formats.TermTable`
        Base shifts of the slots.
    sum_bits : int
        Exact width of a lane sum.
    negated : bool
        The lane sum comes negated.
    bits, mode : int, str
        Inner accumulator, see :class:`hw.pe.Accumulator`; with ``floating`` not used.
    floating : :class:`hw.pe.FloatSum` or None
        Floating-point accumulator.
    exponent_bits : int
        Width of a lane sum's exponent, with ``floating``.
    pipeline : collection of str
        Additional registers: ``"products"``, ``"sums"``, ``"shift"``; other names are ignored.
    members : dict
        Ports of the kind.
    """

    def __init__(
        self,
        *,
        terms: TermTable,
        sum_bits: int,
        negated: bool,
        bits: int,
        mode: str,
        floating: FloatSum | None,
        exponent_bits: int,
        pipeline: Collection[str],
        members: dict,
    ) -> None:
        self.terms = terms
        self.sum_bits = sum_bits
        self.floating = floating
        self.pipeline = frozenset(pipeline)
        addend_bits = sum_bits + max(terms.base_shifts)
        self.accumulator: Accumulator | FloatAccumulator
        members = {"last": In(1)} | members
        if floating is None:
            self.accumulator = Accumulator(
                bits=bits, addend_bits=addend_bits, mode=mode, subtract=negated
            )
            members |= {"group_sum": Out(signed(bits)), "overflow": Out(1)}
        else:
            self.accumulator = FloatAccumulator(
                floating=floating, addend_bits=addend_bits, addend_exponent_bits=exponent_bits
            )
            members |= {"group_sum": Out(floating.layout)}
        if shift_select_bits(terms):
            members["shift_select"] = In(shift_select_bits(terms))
        super().__init__(members)

    @abc.abstractmethod
    def lane_sum(self, m: Module) -> tuple[Signal, Value | None]:
        """Registered sum of the lanes, and its exponent if accumulated in floating point.

        Both in cycle 1; stages ``products`` and ``sums`` put them off by a cycle each. A sum that
        is negated for an integer accumulator is not for a floating-point one.
        """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulator = accumulator = self.accumulator

        # cycle 0: lanes ("products": registered) and their exact sum ("sums": of two, registered)
        total, exponent = self.lane_sum(m)

        # cycle 1: base shift ("shift": registered), inner accumulation
        shifted: Value = self._shifted(m, total)
        if "shift" in self.pipeline:
            shifted = registered(m, shifted, "shifted_register")
        m.d.comb += [
            accumulator.addend.eq(shifted),
            accumulator.clear.eq(self.last),
            self.group_sum.eq(accumulator.next),
        ]
        if exponent is None:
            m.d.comb += self.overflow.eq(accumulator.overflow)
        else:
            m.d.comb += accumulator.exponent.eq(exponent)
        return m

    def behind_products(self, m: Module, value, name: str):
        """``value`` as the adders see it: registered if that stage is asked for."""
        return registered(m, value, name) if "products" in self.pipeline else value

    def part_sums(self, m: Module, values: list) -> list:
        """What is left to be summed: ``values``, or the registered sums of parts of them."""
        if "sums" not in self.pipeline:
            return values
        starts = range(0, len(values), PART_LANES)
        parts = {n: balanced_sum(values[n : n + PART_LANES]) for n in starts}
        return [registered(m, part, f"part_{n}") for n, part in parts.items()]

    def _shifted(self, m: Module, total: Signal) -> Signal:
        """``total`` moved by the slot's base shift."""
        shifts = sorted(set(self.terms.base_shifts))
        shifted = Signal(signed(len(total) + max(shifts)))
        if len(shifts) == 1:
            m.d.comb += shifted.eq(total << shifts[0])
            return shifted
        with m.Switch(self.shift_select):
            for index, shift in enumerate(shifts):
                with m.Default() if index == len(shifts) - 1 else m.Case(index):
                    m.d.comb += shifted.eq(total << shift)
        return shifted


def registered(m: Module, value, name: str, *, init: int = 0) -> Signal:
    """``value`` one cycle later."""
    register = Signal(value.shape(), name=name, reset_less=True, init=init)
    m.d.sync += register.eq(value)
    return register


def carried_sum(values: list, carries: list) -> Value:
    """Balanced sum of ``values`` and of as many single bits as it takes additions, or fewer.

    A bit is the carry out of a place below the lowest::

        a   a a a 1
        b + b b b c        the lowest place is dropped again
    """
    left = [*carries]
    while len(values) > 1:
        paired = []
        for a, b in zip(values[::2], values[1::2], strict=False):
            width = max(len(a), len(b)) + 1
            carry = left.pop() if left else Const(0, 1)
            total = Cat(Const(1, 1), extended(a, width)) + Cat(carry, extended(b, width))
            paired.append(total[1 : width + 1].as_signed())
        values = paired + values[len(values) & ~1 :]
    return values[0]


def balanced_sum(values: list) -> Value:
    """Balanced sum, each level one bit wider."""
    while len(values) > 1:
        paired = [a + b for a, b in zip(values[::2], values[1::2], strict=False)]
        values = paired + values[len(values) & ~1 :]
    return values[0]
