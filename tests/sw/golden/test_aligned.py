"""The fast layers on floating-point machines against the golden model, bit for bit."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bitsmith.verify import random_program
from configs.accelerator import AcceleratorConfig, FloatConfig, ScaleConfig
from configs.errors import InputError
from sw import compiled
from sw.compile import GemmProgram, Machine, MachineLayer, resolve_machine, worst_case_widths
from sw.formats import float_layout, get_family
from sw.golden import aligned, aligned_loops, golden_gemm, rescale
from sw.golden.floating import Rounding, Sums, accumulate, float32_codes, float_gemm
from sw.quantize import float_activations

FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
E8M0 = ScaleConfig(format="e8m0", binades=5, shift="barrel")
E4M3 = ScaleConfig(format="e4m3", shift="barrel")
DEFAULT = FloatConfig()
needs_numba = pytest.mark.skipif(compiled.njit is None, reason="numba is not installed")
repeatable = settings(deadline=None, derandomize=True, max_examples=60)


def make(family="bitmod_fp4", *, floating=DEFAULT, lanes=4, activations="float16", **more):
    array = AcceleratorConfig(
        name="t",
        rows=2,
        cols=2,
        lanes=lanes,
        activation_format=activations,
        floating=floating,
        **more,
    )
    found = get_family(family)
    return resolve_machine(array, found, *worst_case_widths(array, found, group_size=64, k=200))


def layer_of(program: GemmProgram) -> MachineLayer:
    return MachineLayer(
        array=program.machine.accelerator,
        family=program.family,
        group_size=program.group_size,
        codes=program.codes,
        format_ids=program.format_ids,
        scale_codes=program.scale_codes,
        channel_factors=np.linspace(0.5, 3, program.shape.n).astype(np.float32),
        zero_points=None,
        levels=program.levels,
    )


def near(program: GemmProgram, spread: int, rng: np.random.Generator) -> GemmProgram:
    """The same with activations within ``spread`` binades, so that they cancel and tie."""
    layout = float_layout(program.machine.accelerator.activation_format)
    shape = program.activations.shape
    least = int(rng.integers(0, max(1, layout.largest_place + 1 - spread)))
    codes = rng.integers(least, least + spread + 1, shape) << layout.mantissa_bits
    kept = rng.integers(0, layout.mantissa_bits + 1)
    codes |= rng.integers(0, 1 << kept, shape) << layout.mantissa_bits - kept
    codes |= rng.integers(0, 2, shape) << layout.bits - 1
    return replace(program, activations=np.where(rng.random(shape) < 0.1, 0, codes))


def same(program: GemmProgram, use_numba: bool) -> bool:
    """Whether the sums of a program are those of the golden model."""
    wanted = float_gemm(program)[0]
    found = aligned.aligned_sums(
        layer_of(program), program.machine, program.activations, use_numba=use_numba
    )
    return all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


@needs_numba
@repeatable
@given(
    family=st.sampled_from(("bitmod_fp4", "bitmod_fp3", "int8", "ant4", "float8_e4m3fn")),
    pe=st.sampled_from(("serial", "multiplier")),
    lanes=st.integers(1, 5),
    activations=st.sampled_from(FORMATS),
    alignment=st.sampled_from(("row", "pe")),
    guard_bits=st.integers(0, 6),
    rounding=st.sampled_from(("truncate", "nearest_even")),
    mantissa_bits=st.integers(4, 26),
    normalization=st.sampled_from(("right", "full")),
    outer_mantissa_bits=st.integers(8, 30),
    scale=st.sampled_from((ScaleConfig(), E8M0, E4M3)),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 90), st.integers(1, 40)),
    spread=st.integers(0, 12),
    seed=st.integers(0, 1 << 32),
)
def test_sums_are_those_of_the_golden_model(
    family, pe, lanes, activations, scale, shape, spread, seed, **floating
) -> None:
    pe = "multiplier" if family == "float8_e4m3fn" else pe
    machine = make(
        family,
        floating=FloatConfig(**floating),
        lanes=lanes,
        activations=activations,
        scale=scale,
        pe=pe,
    )
    rng = np.random.default_rng(seed)
    try:
        program = random_program(machine, *shape, rng)
    except InputError:  # so many groups that the outer exponent's register could be left
        reject()
    assert same(program, True)
    assert same(near(program, spread, rng), True)


@needs_numba
@pytest.mark.parametrize("mantissa_bits", [12, 25])
def test_ieee_accumulation_of_float16_products(mantissa_bits: int) -> None:
    machine = make(
        "float16",
        pe="multiplier",
        lanes=1,
        scale=ScaleConfig(format="e8m0", binades=1, shift="barrel"),
        floating=FloatConfig(
            alignment="pe", guard_bits=0, normalization="full", mantissa_bits=mantissa_bits
        ),
    )
    rng = np.random.default_rng(6)
    program = random_program(machine, 3, 4, 60, 60, rng)
    assert same(program, True)
    assert same(near(program, 4, rng), True)


@needs_numba
def test_the_loops_take_the_machines_that_matter() -> None:
    """Widths beyond the loops' integers go to numpy; those of usual machines must not."""
    for floating in (
        FloatConfig(),
        FloatConfig(guard_bits=16, mantissa_bits=40, outer_mantissa_bits=48),
        FloatConfig(alignment="pe", normalization="full", mantissa_bits=25),
    ):
        for activations in FORMATS:
            machine = make(floating=floating, activations=activations)
            full = floating.normalization == "full"
            assert aligned._fits(machine.floating, full)


@needs_numba
def test_a_wide_machine_falls_back() -> None:
    machine = make("int4", lanes=2, floating=FloatConfig(mantissa_bits=29, normalization="full"))
    program = random_program(machine, 2, 3, 10, 4, np.random.default_rng(0))
    assert not aligned._fits(machine.floating, True)
    assert same(program, True)


def test_without_numba_it_is_the_golden_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the loops were called")

    monkeypatch.setattr(aligned.aligned_loops, "sums", never)
    program = random_program(make(), 2, 3, 20, 8, np.random.default_rng(7))
    assert same(program, False)
    monkeypatch.setattr(aligned, "COMPILED", False)
    found = aligned.aligned_sums(layer_of(program), program.machine, program.activations)
    assert np.array_equal(found.mantissa, float_gemm(program)[0].mantissa)


@needs_numba
def test_more_tokens_than_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_program(make(), 7, 3, 50, 16, np.random.default_rng(1))
    for cores in ({0}, {0, 1, 2}, set(range(20))):
        monkeypatch.setattr(aligned.os, "sched_getaffinity", lambda _, c=cores: c)
        assert same(program, True)


@needs_numba
def test_operands_hold_for_other_widths_and_roundings() -> None:
    program = random_program(make(), 3, 4, 50, 16, np.random.default_rng(2))
    layer, prepared = layer_of(program), aligned.operands(layer_of(program), program.machine)
    for floating in (
        FloatConfig(guard_bits=0, rounding="truncate", mantissa_bits=9),
        FloatConfig(normalization="full", mantissa_bits=12),
    ):
        other = make(floating=floating)
        found = aligned.aligned_sums(layer, other, program.activations, prepared=prepared)
        wanted = float_gemm(replace(program, machine=other))[0]
        assert all(np.array_equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize("activations", FORMATS)
@pytest.mark.parametrize("scale", [ScaleConfig(), E8M0, E4M3], ids=lambda scale: scale.format)
@pytest.mark.parametrize("family", ["bitmod_fp4", "int8"])
def test_exact_results_are_those_of_the_golden_model(activations, scale, family) -> None:
    machine = make(
        family, activations=activations, scale=scale, floating=FloatConfig(datapath="exact")
    )
    rng = np.random.default_rng(3)
    for k, group_size in ((120, 64), (30, 7), (200, 13)):
        program = random_program(machine, 5, 6, k, group_size, rng)
        for case in (program, near(program, 3, rng)):
            found = aligned.exact_codes(layer_of(case), machine, case.activations)
            assert np.array_equal(found, golden_gemm(case).outputs)


def test_pairs_of_integers_round_once() -> None:
    """Around every halfway point of float32, where a second rounding would show."""
    values = [
        sign * ((1 << bits) + (half << bits - 24) + rest)
        for bits in (30, 40, 52, 53, 54, 58, 61, 63, 70)
        for half in (0, 1, 3)
        for rest in (-1, 0, 1)
        for sign in (1, -1)
    ] + [*range(-5, 6)]
    high = np.array([v >> 26 for v in values], dtype=np.int64)
    low = np.array([v & (1 << 26) - 1 for v in values], dtype=np.int64)
    for part in (slice(None), np.abs(high) < 1 << 35):
        found = aligned._rounded_pairs(high[part], low[part], -24)
        wanted = [_nearest_float32(v) for v in np.array(values, dtype=object)[part]]
        assert found.astype(np.int32).view(np.float32).tolist() == wanted


def _nearest_float32(value: int) -> float:
    """``value * 2**-24`` by trying all neighbours."""
    exact = Fraction(value, 1 << 24)
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, s * np.float32(np.inf)) for s in (np.float32(1), np.float32(-1))]
    best = min(
        [guess, *around],
        key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1),
    )
    return float(best)


@pytest.mark.parametrize("datapath", ["aligned", "exact"])
def test_outputs_are_the_hosts(datapath: str) -> None:
    """Encoded, run, rescaled: float32 bits of the golden model times scales."""
    machine = make(activations="float8_e4m3fn", floating=FloatConfig(datapath=datapath))
    rng = np.random.default_rng(4)
    program = random_program(machine, 3, 5, 40, 16, rng)
    layer = layer_of(program)
    x = rng.standard_normal((3, 40)).astype(np.float32)
    codes, scales = float_activations(x, "float8_e4m3fn")
    wanted = golden_gemm(replace(program, activations=codes)).outputs
    real = wanted.astype(np.int32).view(np.float32)
    found = aligned.machine_outputs(layer, machine, x)
    assert found.dtype == np.float32
    assert np.array_equal(
        found,
        rescale(
            real,
            channel_scales=layer.channel_factors,
            unit=layer.family.unit,
            activation_scales=scales,
        ),
    )
    weights = layer.levels * np.repeat(layer.scales, 16, axis=1)[:, :40] * 0.5
    ideal = x @ (weights * layer.channel_factors[:, None]).T
    assert np.abs(found - ideal).max() < 0.05 * np.abs(ideal).max()


def test_integer_machines_are_refused() -> None:
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=4)
    machine = Machine(
        accelerator=array, family=get_family("bitmod_fp4"), inner_bits=20, outer_bits=30
    )
    program = random_program(machine, 2, 2, 8, 8, np.random.default_rng(5))
    with pytest.raises(InputError, match="integer activations"):
        aligned.machine_outputs(layer_of(program), machine, np.ones((2, 8), np.float32))


@needs_numba
def test_what_the_machine_refuses_is_refused_here() -> None:
    """Also where the loops, which do not read a program, would do the work."""
    program = random_program(make(), 2, 2, 8, 8, np.random.default_rng(9))
    with pytest.raises(InputError, match="decodes"):
        aligned.aligned_sums(layer_of(program), make("int4"), program.activations, use_numba=True)


def test_float32_codes_agree_with_numpy() -> None:
    sums = aligned.Sums(np.array([3, -5, 0, 1]), np.array([0, 10, 4, -200]))
    found = float32_codes(sums, -24).astype(np.int32).view(np.float32)
    assert found.tolist() == [3 * 2.0**-24, -5 * 2.0**-14, 0.0, 0.0]


@needs_numba
@pytest.mark.parametrize("rounding", ["truncate", "nearest_even"])
@pytest.mark.parametrize("full", [False, True])
def test_steps_round_as_the_golden_accumulator(full: bool, rounding: str) -> None:
    """Ties, ties with one bit far below, cancellation and every distance of the exponents."""
    rng = np.random.default_rng(8)
    bits, width, size = 6, 10, 100_000
    rule = Rounding(bits=bits, rounding=rounding, full=full)

    def drawn(width: int) -> np.ndarray:
        few = rng.integers(-4, 5, size) << rng.integers(0, width - 3, size)
        return np.where(rng.random(size) < 0.5, few, rng.integers(-(1 << width), 1 << width, size))

    mantissas, addends = drawn(bits - 1).clip(-(1 << bits - 1), (1 << bits - 1) - 1), drawn(width)
    places, exponents = rng.integers(0, 40, (2, size))
    places = np.where(mantissas == 0, 0, places)
    wanted = accumulate(Sums(mantissas, places), addends, exponents, rule)
    state = np.stack([mantissas, places])
    rest = (state, 1 << bits - 1, int(rounding == "nearest_even"))
    if full:
        aligned_loops._add_full(addends, exponents, *rest, width + 3)
    else:
        aligned_loops._add_right(addends, exponents, *rest)
    assert np.array_equal(state[0], wanted.mantissa)
    assert np.array_equal(state[1], wanted.exponent)
