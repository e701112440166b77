"""Error bounds of aligned machines: exact error <= bound of the job <= worst case of the layer."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import FloatConfig, ScaleConfig
from configs.errors import InputError
from sw.accumulators import (
    float_bounds,
    float_registers,
    is_bit_exact,
    layer_bounds,
    layer_float_bounds,
    running_bound,
)
from sw.accumulators.float_running import _Errors
from sw.compile import activation_range
from sw.compile.scales import scale_integers
from sw.formats import family_terms, float_layout, get_family
from sw.golden import golden_gemm
from tests.sw.golden.float_jobs import float_jobs, float_machine, float_machines, float_program

repeatable = settings(deadline=None, derandomize=True, max_examples=200)


def exact_outputs(program):
    """Sums of level, scale integer and activation, Fractions (M, N)."""
    array = program.machine.accelerator
    scales = scale_integers(array.scale, program.scale_codes).astype(object)
    weights = program.levels.astype(object) * scales[:, program.group_of]
    unit = float_layout(array.activation_format).unit
    return program.activation_values @ weights.T * unit


def errors_of(program):
    """|machine - exact| (M, N), None where the result is infinite."""
    found = golden_gemm(program).outputs.astype(np.int32).view(np.float32)
    return [
        [
            abs(Fraction(float(r)) - e) if np.isfinite(r) else None
            for r, e in zip(*pair, strict=True)
        ]
        for pair in zip(found, exact_outputs(program), strict=True)
    ]


def worst_case(program, **settings):
    family = program.machine.family
    padding = np.array([member.levels[member.padding_code] for member in family.members])
    return layer_float_bounds(
        program.levels,
        widths=program.machine.floating,
        group_size=program.group_size,
        scale_codes=program.scale_codes,
        padding=padding[program.format_ids],
        **settings,
    )


def largest_activation(program):
    unit = float_layout(program.machine.accelerator.activation_format).unit
    return max(abs(v) for v in program.activation_values.flat) * unit


def check(program):
    running, worst = running_bound(program), worst_case(program)
    near = worst_case(program, largest_activation=largest_activation(program))
    for m, row in enumerate(errors_of(program)):
        for n, error in enumerate(row):
            assert running[m, n] <= near.errors[n] <= worst.errors[n]
            if error is None:
                assert near.overflows[n]
            else:
                assert error <= running[m, n]
            if near.exact[n]:
                assert error == 0


@given(float_jobs())
@repeatable
def test_error_running_bound_worst_case(program):
    check(program)


def mac(mantissa_bits=12, rounding="nearest_even", normalization="right", outer=25, **more):
    floating = FloatConfig(
        guard_bits=0,
        rounding=rounding,
        mantissa_bits=mantissa_bits,
        normalization=normalization,
        outer_mantissa_bits=outer,
    )
    return float_machine("int8", floating=floating, pe="multiplier", **{"lanes": 1} | more)


def codes(*numbers):
    return np.array([numbers], dtype=np.float16).view(np.uint16)


#: machine, levels, activations, and at least this share of the running bound is reached
TIGHT = {
    "truncated accumulator": (
        mac(rounding="truncate"),
        [1] * 8,
        codes(1024, *[-(2.0**-24)] * 7),
        Fraction(99, 100),
    ),
    "halfway": (mac(), [1] * 8, codes(2048, *[1.0] * 7), Fraction(1)),
    "halfway, full": (
        mac(normalization="full"),
        [1] * 8,
        codes(2048, *[1.0] * 7),
        Fraction(1),
    ),
    "converted": (
        mac(40, normalization="full", outer=48),
        [1, 1],
        codes(1.0, 2.0**-24),
        Fraction(1),
    ),
    "truncated lanes": (
        mac(40, rounding="truncate", lanes=4),
        [127] * 4,
        codes(1024, *[1023 * 2.0**-10] * 3),
        Fraction(99, 100),
    ),
    "halfway lanes": (mac(40, lanes=4), [127] * 4, codes(1024, *[0.5] * 3), Fraction(1)),
}


@pytest.mark.parametrize("name", TIGHT)
def test_the_running_bound_is_reached(name):
    machine, levels, activations, share = TIGHT[name]
    program = float_program(machine, np.array([levels]), activations)
    ((error,),) = errors_of(program)
    assert share * running_bound(program)[0, 0] <= error <= running_bound(program)[0, 0]
    check(program)


def test_the_worst_case_is_reached_within_a_factor():
    machine = mac(40, rounding="truncate", lanes=4)
    program = float_program(machine, np.array([[127] * 4]), codes(65504, *[31.96875] * 3))
    ((error,),) = errors_of(program)
    assert error >= worst_case(program).errors[0] * Fraction(9, 10)


def test_smaller_constants_would_not_be_bounds(monkeypatch):
    def fails(program):
        return any(
            error > running_bound(program)[0, n] for n, error in enumerate(errors_of(program)[0])
        )

    machine, levels, activations, _ = TIGHT["halfway"]
    program = float_program(machine, np.array([levels]), activations)
    assert not fails(program)
    half = _Errors.dropped
    monkeypatch.setattr(_Errors, "dropped", lambda *args: half(*args) // 2)
    assert fails(program)


def drifting():
    """Every step but the first is truncated by nearly a last place."""
    machine = mac(8, rounding="truncate")
    return float_program(machine, np.array([[127, *[1] * 7]]), codes(65504, *[-(2.0**-24)] * 7))


def test_smaller_constants_would_not_be_worst_cases(monkeypatch):
    program = drifting()
    whole = float_registers.Register._step_error
    assert errors_of(program)[0][0] <= worst_case(program).errors[0]
    monkeypatch.setattr(float_registers.Register, "_step_error", lambda *args: whole(*args) // 2)
    assert errors_of(program)[0][0] > worst_case(program).errors[0]


def test_a_smaller_place_would_not_be_a_worst_case(monkeypatch):
    program = float_program(
        mac(40, rounding="truncate", lanes=4), np.array([[127] * 4]), codes(65504, *[31.96875] * 3)
    )
    monkeypatch.setattr(float_registers.Units, "lane_places", property(lambda self: (0, 2)))
    assert errors_of(program)[0][0] > worst_case(program).errors[0]


def test_int64_and_python_integers_agree(monkeypatch):
    rng = np.random.default_rng(0)
    machine = float_machine("int8", scale=ScaleConfig(format="e4m3", shift="barrel"))
    arguments = {
        "widths": machine.floating,
        "group_size": 16,
        "scale_codes": rng.integers(0, 127, (5, 4)).astype(np.uint8),
    }
    levels = rng.integers(-127, 128, (5, 60))
    narrow = layer_float_bounds(levels, **arguments)
    monkeypatch.setattr(float_registers, "_WIDEST", 8)
    wide = layer_float_bounds(levels, **arguments)
    assert narrow.errors.tolist() == wide.errors.tolist()
    assert narrow.outer_exponents.tolist() == wide.outer_exponents.tolist()


def test_blocks_of_channels_agree(monkeypatch):
    rng = np.random.default_rng(1)
    machine = float_machine("bitmod_fp4")
    levels = rng.choice(sorted(machine.family.members[0].levels), (7, 40))
    arguments = {
        "widths": machine.floating,
        "group_size": 16,
        "scale_codes": rng.integers(0, 256, (7, 3)).astype(np.uint8),
    }
    whole = layer_float_bounds(levels, **arguments)
    monkeypatch.setattr(float_bounds, "_BLOCK_WEIGHTS", 80)
    assert layer_float_bounds(levels, **arguments).errors.tolist() == whole.errors.tolist()


@pytest.mark.parametrize("alignment", ["row", "pe"])
def test_float8_with_enough_bits_is_exact(alignment):
    """E4M3 spans 2**18 units: 14 guard bits hold the places, 40 bits every sum."""

    def exact(guard_bits, mantissa_bits):
        floating = FloatConfig(
            guard_bits=guard_bits,
            mantissa_bits=mantissa_bits,
            outer_mantissa_bits=48,
            alignment=alignment,
        )
        machine = float_machine("int4", "float8_e4m3fn", floating, pe="multiplier")
        levels, scales = np.full((1, 8), 7), np.ones((1, 1), dtype=np.uint8)
        return is_bit_exact(levels, widths=machine.floating, group_size=8, scale_codes=scales)

    assert exact(14, 40)
    assert not exact(13, 40)
    assert not exact(14, 16)


@given(float_jobs(float_machines(families=["float16"])))
@settings(repeatable, max_examples=2)
def test_float16_weights(program):
    check(program)


@given(float_jobs(), st.integers(0, 20))
@settings(repeatable, max_examples=40)
def test_fewer_activations_have_no_larger_errors(program, places):
    largest = largest_activation(program)
    smaller = worst_case(program, largest_activation=largest / (1 << places))
    larger = worst_case(program, largest_activation=largest)
    assert (smaller.errors <= larger.errors).all()
    assert (smaller.inner_exponents <= larger.inner_exponents).all()


def test_relative_errors_are_not_rounded_down():
    machine = float_machine("int4")
    bounds = worst_case(float_program(machine, np.array([[1, 2, 3], [0, 0, 0]]), codes(1, 1, 1)))
    assert bounds.relative[1] == 0
    assert Fraction(bounds.relative[0]) >= bounds.errors[0] / bounds.largest[0]


@pytest.mark.parametrize("value", [-1.0, np.inf, np.nan])
def test_a_magnitude_must_be_finite(value):
    program = float_program(float_machine("int4"), np.array([[1]]), codes(1))
    with pytest.raises(InputError, match="largest activation"):
        worst_case(program, largest_activation=value)


def test_an_exact_machine_has_no_error():
    machine = float_machine("int4", floating=FloatConfig(datapath="exact"))
    with pytest.raises(InputError, match="exact"):
        running_bound(float_program(machine, np.array([[1]]), codes(1)))


def test_integer_bounds_of_an_exact_machine_beyond_64_bits():
    """Float16 as integers of 40 bits, int8 levels, K = 11008, the largest uint8 scales."""
    machine = float_machine("int8", floating=FloatConfig(datapath="exact"))
    low, high = activation_range(machine.accelerator)
    k, size = 11008, 128
    levels = np.full((2, k), 127)
    levels[1] = -levels[1]
    found = layer_bounds(
        levels,
        terms=family_terms(get_family("int8")),
        group_size=size,
        lanes=4,
        input_range=(low, high),
        scale_codes=np.full((2, k // size), 255),
    )
    assert high == 2047 << 29
    assert found.outer is not None
    assert found.outer.final_high.tolist() == [127 * high * k * 255] * 2
    assert found.outer.final_low.tolist() == [-127 * high * k * 255] * 2
    assert found.max_bits("outer", "wrap") == (127 * high * k * 255).bit_length() + 1 == 70
