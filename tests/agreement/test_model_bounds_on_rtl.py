"""Every width that the shipped model's layers need: it holds in the RTL, and one bit less fails.

A build of width w judges every channel that needs w bits, which must hold, and every one that
needs w + 1, which must fail on its witness. Failing is a wrong latched value where sums wrap, and
a sum that leaves the register elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from configs.schema import QuantizationConfig
from hw.benches.batch import BatchBench
from sw.accumulators import LayerBounds, Witness, layer_bounds, signed_width, witness
from sw.compile import GemmProgram, Machine, machine_layer, scale_integers, step_terms
from sw.formats import FormatFamily
from sw.golden import golden_gemm
from sw.models import load_model
from sw.quantize.recipe import quantize_model

from .machines import machine

pytestmark = pytest.mark.rtl

GROUP, LANES = 128, 4
#: wider than any sum here
INNER, OUTER = 30, 56
#: channels of a width that are run, and random inputs of each
CHANNELS, RANDOM = 10, 2
ASYMMETRIC = "int4_asym"
FORMATS = ("int4", "int8", "bitmod_fp4", "bitmod_fp3", ASYMMETRIC)


@dataclass(frozen=True, kw_only=True, eq=False)
class Channel:
    """One output channel as a GEMM of its own, with activations of 0, and what bounds it."""

    program: GemmProgram
    bounds: LayerBounds

    @property
    def corrected(self) -> np.ndarray:
        """Levels less zero points, (1, K)."""
        program = self.program
        if program.zero_points is None:
            return program.levels
        return program.levels - program.zero_points[:, program.group_of]

    @property
    def scales(self) -> np.ndarray:
        """Integer scale of each group, (1, groups)."""
        return scale_integers(self.program.machine.accelerator.scale, self.program.scale_codes)

    def exact(self, x: np.ndarray) -> int:
        """The output, from the definition."""
        scaled = self.scales[:, self.program.group_of] * self.corrected
        return sum(int(w) * int(v) for w, v in zip(scaled[0], x, strict=True))

    def witness(self, stage: str, mode: str, side: str | None = None) -> Witness:
        """The input that drives ``stage`` to the end of its range."""
        array = self.program.machine.accelerator
        return witness(
            self.program.levels[0],
            terms=step_terms(array, self.program.machine.family),
            group_size=GROUP,
            lanes=array.lanes,
            input_range=array.integer_range,
            scale_row=self.scales[0],
            stage=stage,
            mode=mode,
            sign=side,
            outer_levels_row=self.corrected[0],
        )


def built_for(name: str, mode: str = "wrap") -> Machine:
    """A machine of one PE; its accumulators hold everything."""
    options = {"zero_point_bits": 4, "group_inputs": GROUP} if name == ASYMMETRIC else {}
    family = "int4_full" if name == ASYMMETRIC else name
    return machine(1, 1, LANES, family, modes=(mode, mode), widths=(INNER, OUTER), **options)


def hard_codes(family: FormatFamily, length: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of extreme weights: all highest, all lowest, alternating, a lone one, random ones."""
    levels = family.members[0].levels
    usable = sorted((c for c, v in enumerate(levels) if v is not None), key=levels.__getitem__)
    low, high = usable[0], usable[-1]
    alone = np.full(length, levels.index(0))
    alone[-1] = low
    rows = [np.full(length, high), np.full(length, low), np.resize([high, low], length), alone]
    return np.stack([*rows, *rng.choice(usable, (4, length))]).astype(np.uint8)


def hard_program(built: Machine) -> GemmProgram:
    """Extreme weights in a full group and one of three; a scale of 0 and one of 255 among them."""
    rng = np.random.default_rng(17)
    codes = hard_codes(built.family, GROUP + 3, rng)
    scales = rng.integers(1, 256, (len(codes), 2))
    scales[:3] = [[255, 255], [0, 255], [255, 0]]
    zero_points = rng.integers(-8, 8, (len(codes), 2))
    return GemmProgram(
        machine=built,
        name="hard",
        group_size=GROUP,
        codes=codes,
        format_ids=np.zeros((len(codes), 2), dtype=np.uint8),
        scale_codes=scales.astype(np.uint8),
        zero_points=zero_points if built.accelerator.zero_point_bits else None,
        activations=np.zeros((1, codes.shape[1]), dtype=np.int64),
    )


@cache
def channels(name: str) -> list[Channel]:
    """Every channel of the shipped model in a format, and the extreme ones."""
    built = built_for(name)
    recipe = QuantizationConfig(format=name, group_size=GROUP)
    quantized = quantize_model(load_model("scribe_1m").linear_weights(), recipe)
    programs = [hard_program(built)]
    for layer_name, matrix in quantized.layers.items():
        silent = np.zeros((1, matrix.shape[1]), dtype=np.int64)
        layer = machine_layer(matrix, built.accelerator)
        programs.append(layer.program(built, layer_name, silent))
    return [channel for program in programs for channel in _split(program)]


def _split(program: GemmProgram) -> Iterator[Channel]:
    array = program.machine.accelerator
    corrected = program.levels
    if program.zero_points is not None:
        corrected = corrected - program.zero_points[:, program.group_of]
    bounds = layer_bounds(
        program.levels,
        terms=step_terms(array, program.machine.family),
        group_size=GROUP,
        lanes=array.lanes,
        input_range=array.integer_range,
        scale_codes=scale_integers(array.scale, program.scale_codes),
        outer_levels=corrected,
    )
    for n in range(len(program.codes)):
        own = slice(n, n + 1)
        zero_points = None if program.zero_points is None else program.zero_points[own]
        alone = replace(
            program,
            codes=program.codes[own],
            format_ids=program.format_ids[own],
            scale_codes=program.scale_codes[own],
            zero_points=zero_points,
        )
        yield Channel(program=alone, bounds=_row(bounds, n))


def _row(bounds: LayerBounds, n: int) -> LayerBounds:
    def stage(whole):
        ends = ("final_low", "final_high", "step_low", "step_high")
        return replace(whole, **{end: getattr(whole, end)[n : n + 1] for end in ends})

    own = bounds.l1[n : n + 1]
    return replace(bounds, inner=stage(bounds.inner), outer=stage(bounds.outer), l1=own)


def by_width(name: str, stage: str, mode: str) -> dict[int, list[Channel]]:
    """Channels by the bits that they need, at most a few of each: extreme ones and samples."""
    found = defaultdict(list)
    for channel in channels(name):
        found[channel.bounds.max_bits(stage, mode)].append(channel)
    rng = np.random.default_rng(23)
    kept = {}
    for bits, some in found.items():
        hard = [c for c in some if c.program.name == "hard"]
        real = [c for c in some if c.program.name != "hard"]
        picked = rng.permutation(len(real))[:CHANNELS]
        kept[bits] = hard + [real[i] for i in sorted(picked)]
    return kept


def fails(bench: BatchBench, channel: Channel, x: np.ndarray, stage: str, mode: str) -> bool:
    """Whether the RTL fails on ``x``; it must do what the golden model does."""
    program = replace(channel.program, machine=bench.machine, activations=x[None])
    golden, rtl = golden_gemm(program), bench.run(program)
    for part in ("outputs", "inner_overflow", "outer_overflow"):
        assert np.array_equal(getattr(rtl, part), getattr(golden, part)), part
    wrong = int(rtl.outputs[0, 0]) != channel.exact(x)
    if mode == "wrap":
        return wrong
    left = bool(getattr(rtl, f"{stage}_overflow")[0])
    assert left or not wrong
    return left


def judge(name: str, stage: str, mode: str, width: int) -> tuple[int, int]:
    """One build; how many channels held and how many failed."""
    built = replace(built_for(name, mode), **{f"{stage}_bits": width})
    groups = by_width(name, stage, mode)
    rng = np.random.default_rng(29)
    ends = built.accelerator.integer_range
    with BatchBench(built) as bench:
        for channel in groups.get(width, []):
            length = channel.program.codes.shape[1]
            inputs = [channel.witness(stage, mode, side).inputs for side in ("low", "high")]
            inputs += list(rng.integers(ends[0], ends[1] + 1, (RANDOM, length)))
            inputs += list(rng.choice(ends, (RANDOM, length)))
            for x in inputs:
                assert not fails(bench, channel, x, stage, mode), channel.program.name
        for channel in groups.get(width + 1, []):
            found = channel.witness(stage, mode)
            assert found.bits == width + 1 == signed_width(found.value, found.value)
            # a group that is scaled by 0 can wrap without anybody noticing
            seen = stage == "outer" or mode != "wrap" or channel.scales[0, found.group] > 0
            failed = fails(bench, channel, found.inputs, stage, mode)
            assert failed == bool(seen), channel.program.name
    return len(groups.get(width, [])), len(groups.get(width + 1, []))


@pytest.mark.parametrize(
    ("name", "stage", "mode"),
    [
        ("int4", "inner", "wrap"),
        ("int8", "outer", "saturate"),
        ("bitmod_fp4", "inner", "flag"),
        ("bitmod_fp3", "inner", "saturate"),
        (ASYMMETRIC, "outer", "wrap"),
    ],
)
def test_widths_of_the_shipped_model(name: str, stage: str, mode: str) -> None:
    """One build of each format, of a width that some channels need, and others one bit more."""
    real = {
        bits
        for bits, some in by_width(name, stage, mode).items()
        if any(channel.program.name != "hard" for channel in some)
    }
    width = max(bits for bits in real if bits + 1 in real)
    held, failed = judge(name, stage, mode, width)
    assert held and failed


@pytest.mark.agreement
@pytest.mark.parametrize("mode", ["wrap", "saturate", "flag"])
@pytest.mark.parametrize("stage", ["inner", "outer"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_width_of_the_shipped_model(name: str, stage: str, mode: str) -> None:
    """Every width that any channel needs, and one bit less than each."""
    needed = set(by_width(name, stage, mode))
    held = failed = 0
    for width in sorted((needed | {bits - 1 for bits in needed}) - {0, 1}):
        counts = judge(name, stage, mode, width)
        held, failed = held + counts[0], failed + counts[1]
    total = sum(map(len, by_width(name, stage, mode).values()))
    assert held == failed == total
