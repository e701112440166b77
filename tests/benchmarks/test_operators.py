"""Operators of the comparison with published tables, and the cut blocks of our PE, simulated."""

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from benchmarks.anchor_blocks import ExponentMatch, GroupAccumulate, MultiplyTree
from benchmarks.anchor_points import bitmod_machine
from benchmarks.operators import FloatAdder, FloatMultiplier, IntegerAdder, IntegerMultiplier
from hw.array.parts import inner_pe

pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")
FORMATS = {"float16": (5, 10, np.float16, np.uint16), "float32": (8, 23, np.float32, np.uint32)}


def results(component, pairs) -> list[int]:
    """What a combinational operator makes of pairs of codes."""
    found = []

    async def bench(context):
        for a, b in pairs:
            context.set(component.a, int(a))
            context.set(component.b, int(b))
            found.append(context.get(component.result))

    simulator = Simulator(component)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_integers_exhaustively():
    pairs = [(a, b) for a in range(16) for b in range(16)]
    assert results(IntegerAdder(bits=4), pairs) == [(a + b) % 16 for a, b in pairs]

    def signed(code: int) -> int:
        return code - 16 * (code >= 8)

    products = [signed(a) * signed(b) % 256 for a, b in pairs]
    assert results(IntegerMultiplier(bits=4), pairs) == products


def codes(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of finite codes: half at random, half close to each other, some special."""
    exponent_bits, fraction_bits, kind, unsigned = FORMATS[name]
    width = 1 + exponent_bits + fraction_bits
    random = np.random.default_rng(5)
    a = random.integers(0, 1 << width, count)
    b = random.integers(0, 1 << width, count)
    near = random.integers(0, 1 << fraction_bits + 2, count) ^ (
        random.integers(0, 2, count) << width - 1
    )
    b = np.where(np.arange(count) % 2, b, a ^ near)
    one = ((1 << exponent_bits - 1) - 1) << fraction_bits
    largest = ((1 << exponent_bits) - 1 << fraction_bits) - 1
    special = [
        0,
        1 << width - 1,
        one,
        one + 1,
        one | 1 << width - 1,
        largest,
        1,
        1 << fraction_bits,
    ]
    # ties: 1.5 times a small odd fraction, and half of the lowest place added
    half_place = one - (fraction_bits + 1 << fraction_bits)
    ties = [(one + i, one + (1 << fraction_bits - 1)) for i in range(16)]
    ties += [(one + i, half_place) for i in range(16)]
    pairs = np.array([*((x, y) for x in special for y in special), *ties])
    a, b = np.concatenate([a, pairs[:, 0]]), np.concatenate([b, pairs[:, 1]])
    a, b = a.astype(unsigned), b.astype(unsigned)
    finite = np.isfinite(a.view(kind)) & np.isfinite(b.view(kind))
    return a[finite], b[finite]


@pytest.mark.parametrize(("name", "count"), [("float16", 600), ("float32", 300)])
@pytest.mark.parametrize(
    ("unit", "operation"), [(FloatAdder, np.add), (FloatMultiplier, np.multiply)]
)
def test_floats_as_numpy_rounds_them(name, count, unit, operation):
    exponent_bits, fraction_bits, kind, unsigned = FORMATS[name]
    a, b = codes(name, count)
    tiny = np.finfo(kind).tiny

    def flushed(values: np.ndarray) -> np.ndarray:
        return np.where(np.abs(values) < tiny, np.copysign(kind(0), values), values)

    x, y = flushed(a.view(kind)), flushed(b.view(kind))
    with np.errstate(all="ignore"):
        expected = operation(x, y).astype(kind)
        exact = operation(x.astype(np.float64), y.astype(np.float64))
    expected = np.where(np.abs(exact) < tiny, np.copysign(kind(0), expected), expected)
    # just below the smallest normal number, numpy may round up to it: not defined here
    clear = (np.abs(exact) >= tiny) | (np.abs(exact) <= tiny * (1 - 2.0 ** -(fraction_bits + 1)))
    component = unit(exponent_bits=exponent_bits, fraction_bits=fraction_bits)
    found = np.array(results(component, zip(a, b, strict=True)), unsigned)
    wrong = np.flatnonzero(clear & (found != expected.view(unsigned)))
    assert not len(wrong), [
        (hex(a[i]), hex(b[i]), hex(found[i]), hex(expected.view(unsigned)[i])) for i in wrong[:3]
    ]
    assert clear.sum() > count / 2


class Chain(wiring.Component):
    """The cut blocks, put together again."""

    def __init__(self) -> None:
        self.blocks = [block(machine=bitmod_machine()) for block in (ExponentMatch, MultiplyTree)]
        self.sums = GroupAccumulate(machine=bitmod_machine())
        ports = self.blocks[0].signature.members
        super().__init__(
            {
                "terms_in": ports["terms_in"],
                "activations": ports["activations"],
                "last": In(1),
                "shift_select": In(len(self.sums.shift_select)),
                "group_sum": Out(self.sums.group_sum.shape()),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        match, multiply = self.blocks
        m.submodules += [match, multiply, self.sums]
        exponent = Signal.like(match.largest)
        total = Signal.like(multiply.total)
        m.d.sync += [exponent.eq(match.largest), total.eq(multiply.total)]
        for block in self.blocks:
            m.d.comb += [
                block.terms_in.eq(self.terms_in),
                block.activations.eq(self.activations),
            ]
        m.d.comb += [
            multiply.distances.eq(match.distances),
            self.sums.total.eq(total),
            self.sums.exponent.eq(exponent),
            self.sums.last.eq(self.last),
            self.sums.shift_select.eq(self.shift_select),
            self.group_sum.eq(self.sums.group_sum),
        ]
        return m


def sums(component, steps) -> list[int]:
    """Group sum in every cycle."""
    found = []

    async def bench(context):
        for terms, activations, last, select in steps:
            context.set(component.terms_in.as_value(), terms)
            context.set(component.activations.as_value(), activations)
            context.set(component.last, last)
            context.set(component.shift_select, select)
            found.append(context.get(component.group_sum.as_value()))
            await context.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_the_cut_blocks_make_up_the_pe():
    pe, chain = inner_pe(bitmod_machine()), Chain()
    random = np.random.default_rng(3)
    widths = [len(port.as_value()) for port in (pe.terms_in, pe.activations)]
    steps = [
        (
            *(int.from_bytes(random.bytes(16), "little") % (1 << width) for width in widths),
            int(random.random() < 0.1),
            int(random.integers(0, 3)),
        )
        for _ in range(120)
    ]
    expected = sums(pe, steps)
    assert sums(chain, steps) == expected
    assert len(set(expected)) > 60
