"""Everything that is synthesized beside the serial PE computes the same sums."""

import random

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from benchmarks.first_version import PE_STEPS, FirstDequantizer, FirstPE
from benchmarks.mac import ColumnLevels, ColumnTerms, MultiplierPE, ParallelPE, level_bits
from sw.formats import family_terms, get_family

BITS = 26
STEPS = [tuple(PE_STEPS)[:count] for count in range(len(PE_STEPS) + 1)]


def simulate(design, bench) -> None:
    """Run a test bench at a clock."""
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def chunks(name: str, lanes: int, seed: int, count: int = 12):
    """(format id, codes, levels, activations) of random chunks, extremes among them."""
    draw = random.Random(seed)
    family = get_family(name)
    for _ in range(count):
        format_id = draw.randrange(len(family.members))
        levels = family.members[format_id].levels
        codes = [c for c in range(1 << family.bits) if levels[c] is not None]
        extreme = draw.random() < 0.3
        chosen = [
            max(codes, key=lambda c: abs(levels[c])) if extreme else draw.choice(codes)
            for _ in range(lanes)
        ]
        activations = [-128 if extreme else draw.randint(-128, 127) for _ in range(lanes)]
        yield format_id, chosen, [levels[c] for c in chosen], activations


def dot(levels, activations) -> int:
    """Plain integers."""
    return sum(level * activation for level, activation in zip(levels, activations, strict=True))


class Joined(wiring.Component):
    """A column's decoders in front of a PE."""

    def __init__(self, column, pe) -> None:
        self.column = column
        self.pe = pe
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.column, m.submodules.pe = self.column, self.pe
        if isinstance(self.pe, ParallelPE):
            m.d.comb += self.pe.terms_in.eq(self.column.terms)
        else:
            m.d.comb += self.pe.weights.eq(self.column.levels)
        return m


@pytest.mark.parametrize("name", ["int4", "bitmod_fp4", "ternary", "int8"])
@pytest.mark.parametrize("design", ["parallel", "multiplier"])
def test_parallel_and_multiplier_pes(name: str, design: str) -> None:
    lanes, family = 5, get_family(name)
    terms = family_terms(family, lane_exponent_bits=1)
    widths = {"lanes": lanes, "activation_bits": 8, "bits": BITS}
    if design == "parallel":
        column = ColumnTerms(family=family, terms=terms, lanes=lanes, parallel=True)
        joined = Joined(column, ParallelPE(terms=terms, **widths))
    else:
        column = ColumnLevels(family=family, lanes=lanes)
        joined = Joined(column, MultiplierPE(weight_bits=level_bits(family), **widths))
    work = list(chunks(name, lanes, seed=1))

    async def bench(ctx) -> None:
        pe, expected = joined.pe, 0
        ctx.set(column.valid, 1)
        for format_id, codes, levels, activations in work:
            packed = sum(code << family.bits * lane for lane, code in enumerate(codes))
            ctx.set(column.codes, packed)
            if family.id_bits:
                ctx.set(column.format_id, format_id)
            await ctx.tick()
            ctx.set(column.valid, 0)  # one chunk at a time: without codes nothing is added
            ctx.set(pe.activations, activations)
            await ctx.tick()
            expected += dot(levels, activations)
            assert ctx.get(pe.group_sum) == expected
            ctx.set(column.valid, 1)
        ctx.set(pe.last, 1)
        assert ctx.get(pe.group_sum) == expected
        await ctx.tick()
        ctx.set(pe.activations, [0] * lanes)
        ctx.set(column.valid, 0)
        await ctx.tick()
        await ctx.tick()
        assert ctx.get(pe.group_sum) == 0

    simulate(joined, bench)


@pytest.mark.parametrize("name", ["int4", "bitmod_fp4", "ternary"])
@pytest.mark.parametrize(
    ("steps", "compressor"),
    [*((steps, False) for steps in STEPS), (("exponents", "reset", "absent", "hold"), True)],
    ids=lambda value: value[-1] if isinstance(value, tuple) and value else str(value),
)
def test_versions_of_the_serial_pe(name: str, steps: tuple[str, ...], compressor: bool) -> None:
    lanes = 3
    terms = family_terms(get_family(name), lane_exponent_bits=2 if name == "ternary" else 1)
    pe = FirstPE(
        terms=terms, lanes=lanes, activation_bits=8, bits=BITS, steps=steps, compressor=compressor
    )
    shifts = sorted(set(terms.base_shifts))
    groups = [list(chunks(name, lanes, seed=seed, count=4)) for seed in range(5)]

    async def bench(ctx) -> None:
        for group in groups:
            slots = [(chunk, slot) for chunk in group for slot in range(terms.slots)]
            for number in range(len(slots) + 1):
                for lane in range(lanes):
                    term = pe.terms_in[lane]
                    ctx.set(term.present, 0)
                    if number < len(slots):
                        (_, _, levels, activations), slot = slots[number]
                        wanted = terms.terms[levels[lane]][slot]
                        ctx.set(pe.activations[lane], activations[lane])
                        ctx.set(term.present, int(wanted.present))
                        ctx.set(term.negative, int(wanted.negative))
                        ctx.set(term.exponent, wanted.exponent)
                    else:
                        ctx.set(term.negative, 0)
                if number:
                    slot = slots[number - 1][1]
                    if len(shifts) > 1:
                        ctx.set(pe.shift_select, shifts.index(terms.base_shifts[slot]))
                    ctx.set(pe.last, int(number == len(slots)))
                if "absent" not in steps:
                    ctx.set(pe.accumulate, int(number > 0))
                if "reset" not in steps:
                    ctx.set(pe.clear, int(number == 1))
                if number == len(slots) and "hold" in steps:
                    break
                await ctx.tick()
            expected = sum(dot(levels, activations) for _, _, levels, activations in group)
            assert ctx.get(pe.group_sum) == expected
            if "hold" in steps:
                await ctx.tick()
            ctx.set(pe.last, 0)

    simulate(pe, bench)


@pytest.mark.parametrize("resets", [False, True])
def test_first_dequantizer(resets: bool) -> None:
    draw = random.Random(2)
    dequantizer = FirstDequantizer(group_bits=18, scale_bits=8, bits=32, resets=resets)

    async def bench(ctx) -> None:
        for _ in range(4):
            expected, groups = 0, 3
            for group in range(groups):
                total, scale = (
                    draw.choice([-(1 << 17), draw.randint(-999, 999)]),
                    draw.randrange(256),
                )
                expected += total * scale
                ctx.set(dequantizer.group_sum, total)
                for bit in range(7, -1, -1):
                    ctx.set(dequantizer.scale_bit, scale >> bit & 1)
                    if not resets:
                        ctx.set(dequantizer.multiply, 1)
                        ctx.set(dequantizer.first, int(bit == 7))
                    await ctx.tick()
                ctx.set(dequantizer.accumulate, 1)
                ctx.set(dequantizer.clear, int(group == (groups - 1 if resets else 0)))
                if not resets:
                    ctx.set(dequantizer.multiply, 0)
                assert ctx.get(dequantizer.result) == expected
                await ctx.tick()
                ctx.set(dequantizer.accumulate, 0)
                ctx.set(dequantizer.clear, 0)

    simulate(dequantizer, bench)
