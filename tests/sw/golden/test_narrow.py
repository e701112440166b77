"""Accumulators of any width against the golden model, the slow replay and worked cases."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import ScaleConfig
from configs.errors import InputError
from configs.schema import AcceleratorConfig, AccumulatorConfig
from sw import compiled
from sw.accumulators import layer_bounds, reference_accumulate, witness
from sw.compile import GemmProgram, Machine, activation_range, scale_integers
from sw.formats import TermTable, get_family
from sw.formats.digits import Term
from sw.golden import golden_gemm, narrow
from sw.golden.narrow import NarrowLayer, Registers, narrow_matmul
from sw.golden.observed import observed_ranges

MODES = ["wrap", "saturate", "flag"]
#: with numba where there is one, and always without
KINDS = [False, True] if compiled.njit is not None else [False]


def draw_program(seed: int, family: str, registers: Registers, **settings) -> GemmProgram:
    """A random layer and activations; as many array columns as channels, so none is padded."""
    rng = np.random.default_rng(seed)
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (5, 6, 40, 16))
    groups, zero_point_bits = -(-k // group_size), settings.get("zero_point_bits", 0)
    array = AcceleratorConfig(
        name="t",
        rows=2,
        cols=n,
        inner_accumulator=AccumulatorConfig(mode=registers.inner_mode),
        outer_accumulator=AccumulatorConfig(mode=registers.outer_mode),
        **settings,
    )
    machine = Machine(
        accelerator=array,
        family=get_family(family),
        inner_bits=registers.inner_bits,
        outer_bits=registers.outer_bits,
        group_inputs=group_size if zero_point_bits else 0,
    )
    ids = rng.integers(0, len(machine.family.members), (n, groups))
    valid = [[c for c, v in enumerate(f.levels) if v is not None] for f in machine.family.members]
    codes = [[rng.choice(valid[ids[c, i // group_size]]) for i in range(k)] for c in range(n)]
    half = 1 << max(zero_point_bits - 1, 0)
    low, high = array.integer_range
    largest = {"uint8": 256, "e8m0": array.scale.binades + 1, "e4m3": 127}[array.scale.format]
    return GemmProgram(
        machine=machine,
        name="random",
        group_size=group_size,
        codes=np.array(codes, dtype=np.uint8),
        format_ids=ids.astype(np.uint8),
        scale_codes=rng.integers(0, largest, (n, groups)).astype(np.uint8),
        activations=rng.integers(low, high + 1, (m, k)),
        zero_points=rng.integers(-half, half, (n, groups)) if zero_point_bits else None,
    )


def layer_of(program: GemmProgram) -> NarrowLayer:
    array = program.machine.accelerator
    return NarrowLayer(
        levels=program.levels,
        terms=program.machine.terms,
        group_size=program.group_size,
        lanes=array.lanes,
        input_range=activation_range(array),
        scales=scale_integers(array.scale, program.scale_codes),
        zero_points=program.zero_points,
    )


def row_layer(weights: list[int], *, lanes: int = 1, **settings) -> NarrowLayer:
    """One channel in one group, weights taken whole, 4-bit unsigned inputs."""
    given = {"terms": None, "group_size": len(weights), "input_range": (0, 15)} | settings
    return NarrowLayer(levels=np.array([weights]), lanes=lanes, **given)


registers_drawn = st.builds(
    Registers,
    inner_bits=st.integers(2, 18),
    inner_mode=st.sampled_from(MODES),
    outer_bits=st.integers(2, 30),
    outer_mode=st.sampled_from(MODES),
)
MACHINES = [
    ("bitmod_fp4", {}),
    ("bitmod_fp3", {"activation_bits": 4}),
    ("int4", {"activation_signed": False}),
    ("int6", {"zero_point_bits": 5}),
    ("int8", {"pe": "multiplier"}),
    ("flint4s", {"lane_exponent_bits": 1}),
    ("float4_e2m1fn", {"scale": ScaleConfig(format="e8m0", binades=9)}),
    ("int4", {"scale": ScaleConfig(format="e4m3")}),
]


@pytest.mark.parametrize(("family", "machine"), MACHINES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), registers=registers_drawn, lanes=st.integers(1, 6))
def test_every_mode_and_width_gives_the_golden_bits(family, machine, seed, registers, lanes):
    program = draw_program(seed, family, registers, lanes=lanes, **machine)
    wanted = golden_gemm(program)
    for use_numba in KINDS:
        found = narrow_matmul(
            layer_of(program), program.activations, registers, use_numba=use_numba
        )
        assert np.array_equal(found.outputs, wanted.outputs)
        events = found.events
        for steps, flags in (
            (events.inner_steps, wanted.inner_overflow),
            (events.outer_steps, wanted.outer_overflow),
        ):
            assert not flags.any() if steps is None else np.array_equal(steps > 0, flags)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), registers=registers_drawn, lanes=st.integers(1, 5))
def test_counts_are_those_of_the_replay(seed: int, registers: Registers, lanes: int) -> None:
    program = draw_program(seed, "bitmod_fp4", registers, lanes=lanes)
    layer = layer_of(program)
    inner, wrong, outer, outputs = (np.zeros(program.shape.n, dtype=int) for _ in range(4))
    ranges: list[list] = [[[], [], [], []] for _ in range(program.shape.n)]
    for m, n in itertools.product(range(program.shape.m), range(program.shape.n)):
        given = {
            "terms": layer.terms,
            "group_size": layer.group_size,
            "lanes": lanes,
            "scale_row": program.scale_codes[n],
            "inner_mode": registers.inner_mode,
            "outer_mode": registers.outer_mode,
        }
        replay = reference_accumulate(
            program.levels[n],
            program.activations[m],
            inner_bits=registers.inner_bits,
            outer_bits=registers.outer_bits,
            **given,
        )
        inner[n] += len(replay.inner_events)
        wrong[n] += sum(map(int.__ne__, replay.group_sums, replay.exact_group_sums))
        outer[n] += len(replay.outer_events)
        outputs[n] += replay.value != replay.exact_value
        for kept, values in zip(
            ranges[n], exact_sums(layer, n, program.activations[m]), strict=True
        ):
            kept += values
    for use_numba in KINDS:
        events = narrow_matmul(layer, program.activations, registers, use_numba=use_numba).events
        if registers.inner_mode != "wrap":
            assert events.inner_steps is not None
            assert events.inner_steps.tolist() == inner.tolist()
        if registers.outer_mode != "wrap":
            assert events.outer_steps is not None
            assert events.outer_steps.tolist() == outer.tolist()
        assert events.inner_wrong.tolist() == wrong.tolist()
        assert events.outputs_wrong.tolist() == outputs.tolist()
        seen = observed_ranges(layer, program.activations, use_numba=use_numba)
        for n, (latched, steps, results, partial) in enumerate(ranges):
            for stage, final, running in (
                (seen.inner, latched, steps),
                (seen.outer, results, partial),
            ):
                assert (stage.final_low[n], stage.final_high[n]) == (min(final), max(final))
                assert (stage.step_low[n], stage.step_high[n]) == (min(running), max(running))


def exact_sums(layer: NarrowLayer, channel: int, x: np.ndarray) -> tuple[list[int], ...]:
    """Latched inner sums, all inner sums, result, all outer sums; term by term."""
    assert layer.terms is not None and layer.scales is not None
    latched, steps, outer = [], [], []
    total = 0
    for group, part in enumerate(layer.parts):
        weights, inputs, register = layer.levels[channel, part], x[part], 0
        for first in range(0, len(weights), layer.lanes):
            for slot, shift in enumerate(layer.terms.base_shifts):
                for weight, value in list(zip(weights, inputs, strict=True))[first:][: layer.lanes]:
                    register += (layer.terms.terms[int(weight)][slot].value << shift) * int(value)
                steps.append(register)
        latched.append(register)
        total += register * int(layer.scales[channel, group])
        outer.append(total)
    return latched, steps, [total], outer


@pytest.mark.parametrize("use_numba", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("family", "lanes"), [("int4", 1), ("int4", 2), ("bitmod_fp3", 3)])
def test_every_input_of_a_short_row(family: str, lanes: int, mode: str, use_numba: bool) -> None:
    """All inputs of three 2-bit activations: every width up to the proved one, proved two-sided."""
    members = get_family(family).members
    array = AcceleratorConfig(name="t", rows=1, cols=1, lanes=lanes)
    machine = Machine(accelerator=array, family=get_family(family), inner_bits=20, outer_bits=30)
    x = np.array(list(itertools.product(range(-2, 2), repeat=3)))
    levels = sorted({v for member in members for v in member.levels if v is not None})
    rows = np.random.default_rng(5).choice(levels, (12, 3))
    bounds = layer_bounds(
        rows, terms=machine.terms, group_size=3, lanes=lanes, input_range=(-2, 1), scale_codes=None
    )
    for n, row in enumerate(rows):
        layer = NarrowLayer(
            levels=row[None], terms=machine.terms, group_size=3, lanes=lanes, input_range=(-2, 1)
        )
        proved = int(bounds.inner_bits(mode)[n])
        for bits in range(1, proved + 1):
            registers = Registers(inner_bits=bits, inner_mode=mode)
            found = narrow_matmul(layer, x, registers, use_numba=use_numba)
            replays = [
                reference_accumulate(
                    row,
                    inputs,
                    terms=machine.terms,
                    group_size=3,
                    lanes=lanes,
                    scale_row=None,
                    inner_bits=bits,
                    outer_bits=None,
                    inner_mode=mode,
                    outer_mode="wrap",
                )
                for inputs in x
            ]
            assert found.outputs[:, 0].tolist() == [r.value for r in replays]
            failed = sum(r.fails("inner", mode) for r in replays)
            assert (failed > 0) == (bits < proved)
            seen = found.events.inner_wrong if mode == "wrap" else found.events.inner_steps
            assert (int(seen[0]) > 0) == (bits < proved)
        observed = observed_ranges(layer, x, use_numba=use_numba)
        assert observed.inner.bits(mode)[0] == proved


def test_saturation_depends_on_the_order_and_wrapping_does_not() -> None:
    """[7, 7, -8, -8] in 4 bits: wrapping gives -2 in any order, saturating -8, -2, -1 or 6."""
    results: dict[str, set[int]] = {"wrap": set(), "saturate": set(), "flag": set()}
    for weights in set(itertools.permutations([7, 7, -8, -8])):
        for mode, found in results.items():
            layer = row_layer(list(weights))
            registers = Registers(inner_bits=4, inner_mode=mode)
            found.add(int(narrow_matmul(layer, np.ones((1, 4), int), registers).outputs[0, 0]))
    assert results == {"wrap": {-2}, "saturate": {-8, -2, -1, 6}, "flag": {-2}}


@pytest.mark.parametrize(("weights", "wanted"), [([100, 100, -100], 27), ([100, -100, 100], 100)])
def test_a_sum_that_fits_can_still_saturate(weights: list[int], wanted: int) -> None:
    found = narrow_matmul(
        row_layer(weights), np.ones((1, 3), int), Registers(inner_bits=8, inner_mode="saturate")
    )
    assert found.outputs.tolist() == [[wanted]]
    assert found.events.totals() == {
        "inner_steps": int(wanted == 27),
        "inner_wrong": int(wanted == 27),
        "outer_steps": None,
        "outputs_wrong": int(wanted == 27),
        "latched": 1,
        "outputs": 1,
    }


def bit_planes() -> TermTable:
    """4-bit two's complement weights plane by plane, least significant first."""
    terms = {
        level: tuple(
            Term(present=bool(level >> plane & 1), negative=plane == 3, exponent=0)
            for plane in range(4)
        )
        for level in range(-8, 8)
    }
    return TermTable(lane_exponent_bits=1, base_shifts=(0, 1, 2, 3), terms=terms, worst_escape=8)


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_the_final_width_is_enough_for_wrapping_bit_planes_only(lanes: int) -> None:
    """Eight weights of -1: sums end in -120..0, but pass through +7 times an input on the way."""
    layer = row_layer([-1] * 8, terms=bit_planes(), lanes=lanes)
    assert layer.ranges[0].bits("wrap").tolist() == [8]
    x = np.random.default_rng(0).integers(0, 16, (2000, 8))
    wrap = narrow_matmul(layer, x, Registers(inner_bits=8, inner_mode="wrap"))
    assert np.array_equal(wrap.outputs[:, 0], -x.sum(axis=1))
    steps = int(layer.ranges[0].bits("saturate")[0])
    assert steps == {1: 8, 3: 10, 8: 11}[lanes]
    for bits in range(4, steps + 1):
        clamp = narrow_matmul(layer, x, Registers(inner_bits=bits, inner_mode="saturate"))
        assert clamp.events.inner_steps is not None
        wrong = int(clamp.events.outputs_wrong[0])
        if bits >= steps:
            assert clamp.events.inner_steps[0] == wrong == 0
        elif lanes == 8 and bits == 8:
            assert wrong > 1900


@pytest.mark.parametrize("mode", MODES)
def test_proved_widths_hold_and_one_bit_less_fails_on_the_witness(mode: str) -> None:
    registers = Registers(inner_bits=20, outer_bits=30)
    layer = layer_of(draw_program(3, "bitmod_fp4", registers, lanes=4))
    assert layer.scales is not None
    given = {"terms": layer.terms, "group_size": layer.group_size, "lanes": layer.lanes}
    given["input_range"] = layer.input_range
    bounds = layer_bounds(layer.levels, scale_codes=layer.scales, **given)
    for stage, channel in itertools.product(("inner", "outer"), range(bounds.channels)):
        bits = int(bounds.stage(stage).bits(mode)[channel])
        found = witness(
            layer.levels[channel], scale_row=layer.scales[channel], stage=stage, mode=mode, **given
        )
        for width in range(max(1, bits - 1), bits + 2):
            narrow_to = Registers(**{f"{stage}_bits": width, f"{stage}_mode": mode})
            events = narrow_matmul(layer, np.array([found.inputs]), narrow_to).events
            seen = getattr(events, f"{stage}_steps")
            if mode == "wrap":
                seen = events.inner_wrong if stage == "inner" else events.outputs_wrong
            assert (seen[channel] > 0) == (width < bits)


def test_blocks_of_tokens_change_nothing(monkeypatch) -> None:
    rng = np.random.default_rng(2)
    layer = row_layer(rng.integers(-8, 8, 50).tolist(), input_range=(-8, 7))
    x = rng.integers(-8, 8, (101, 50))
    registers = Registers(inner_bits=7, inner_mode="saturate")
    whole = narrow_matmul(layer, x, registers)
    seen = observed_ranges(layer, x)
    monkeypatch.setattr(narrow, "BLOCK_TOKENS", 7)
    parts = narrow_matmul(layer, x, registers)
    assert np.array_equal(whole.outputs, parts.outputs)
    assert whole.events.totals() == parts.events.totals()
    assert parts.events.tokens == 101
    again = observed_ranges(layer, x)
    assert again.tokens == 101
    assert (again.inner.step_low, again.inner.step_high) == (
        seen.inner.step_low,
        seen.inner.step_high,
    )


@pytest.mark.parametrize("use_numba", KINDS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", [20, 31, 32, 33, 44, 58, 59, 60, 63, 64, 90])
def test_registers_beyond_32_bits(mode: str, bits: int, use_numba: bool) -> None:
    """Weights so large that int32 and float64 would be wrong."""
    rng = np.random.default_rng(bits)
    for size in (19, 27, 40, 52):
        row = rng.integers(-(1 << size), 1 << size, 12).tolist()
        layer = row_layer(row, input_range=(-8, 7), lanes=2)
        x = rng.integers(-8, 8, (20, 12))
        x[0] = np.where(np.array(row) > 0, 7, -8)
        for inner_bits in (bits, None):
            widths = {"inner_bits": inner_bits, "outer_bits": bits}
            modes = {"inner_mode": mode, "outer_mode": mode}
            found = narrow_matmul(layer, x, Registers(**widths, **modes), use_numba=use_numba)
            for m, inputs in enumerate(x):
                schedule = {"terms": None, "group_size": 12, "lanes": 2, "scale_row": [1]}
                replay = reference_accumulate(row, inputs, **schedule, **widths, **modes)
                assert found.outputs[m, 0] == replay.value


@pytest.mark.parametrize("use_numba", KINDS)
@pytest.mark.parametrize("side", [1, -1])
def test_a_sum_of_nothing_is_observed_too(side: int, use_numba: bool) -> None:
    layer = row_layer([0, 0, 5 * side])
    found = observed_ranges(layer, np.array([[1, 2, 3], [1, 1, 2]]), use_numba=use_numba).inner
    ends = sorted([0, 15 * side])
    assert [found.step_low.tolist(), found.step_high.tolist()] == [[end] for end in ends]
    assert {*found.final_low.tolist(), *found.final_high.tolist()} == {10 * side, 15 * side}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scales": np.ones((1, 2), int)}, r"scales have shape \(1, 2\), the layer needs \(1, 1\)"),
        ({"scales": -np.ones((1, 1), int)}, "scales must not be negative, found -1"),
        ({"zero_points": np.ones((2, 1), int)}, "zero points have shape"),
        ({"scales": np.full((1, 1), 1 << 60)}, "too large for exact 64-bit integers"),
        ({"group_size": 0}, "group size must be at least 1, not 0"),
    ],
)
def test_layers_that_cannot_be_simulated(change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        row_layer([1, 2], **change)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 3), int), "the layer takes 2 inputs"),
        (np.zeros((0, 2), int), "at least one token"),
        (np.zeros((1, 2)), "must be signed integers"),
        (np.array([[0, 16]]), r"activations 0..16 leave the layer's input range 0..15"),
    ],
)
def test_activations_that_do_not_fit(x: np.ndarray, message: str) -> None:
    for run in (
        lambda layer: narrow_matmul(layer, x, Registers()),
        lambda y: observed_ranges(y, x),
    ):
        with pytest.raises(InputError, match=message):
            run(row_layer([1, 2]))


def test_registers_are_checked() -> None:
    with pytest.raises(InputError, match="inner accumulator bits must be at least 1, not 0"):
        Registers(inner_bits=0)
    with pytest.raises(InputError, match="outer accumulator mode"):
        replace(Registers(), outer_mode="clamp")
