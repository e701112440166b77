"""Floating-point activations: the golden model against exact rationals written from the page."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from configs.accelerator import FloatConfig, ScaleConfig
from sw.formats import float_layout, get_family
from sw.golden import golden_gemm

from . import float_reference as reference
from .float_jobs import float_jobs, float_machine, float_machines, float_program

repeatable = settings(deadline=None, derandomize=True, max_examples=400)
EXACT = FloatConfig(datapath="exact")
#: an IEEE multiply-accumulate: one product at a time, rounded once
MAC = {"pe": "multiplier", "lanes": 1}


def mac_config(mantissa_bits, rounding="nearest_even"):
    return FloatConfig(
        alignment="pe",
        guard_bits=0,
        mantissa_bits=mantissa_bits,
        normalization="full",
        rounding=rounding,
    )


def bits(program):
    return (golden_gemm(program).outputs & 0xFFFFFFFF).tolist()


def values(program):
    return golden_gemm(program).outputs.astype(np.int32).view(np.float32).astype(float).tolist()


def codes(*numbers):
    """Float16 codes of one token."""
    return np.array([numbers], dtype=np.float16).view(np.uint16)


def check(program):
    outputs, invalid = reference.reference_gemm(program)
    result = golden_gemm(program)
    assert (result.outputs & 0xFFFFFFFF).tolist() == outputs
    rows = program.machine.accelerator.rows
    flagged = [any(invalid[row::rows]) for row in range(rows)]
    assert result.invalid_activations.tolist() == flagged


@given(float_jobs())
@repeatable
def test_aligned_machines_are_the_page_s(program):
    event(program.machine.accelerator.floating.normalization)
    check(program)


@given(float_jobs(float_machines(families=["float16"])))
@settings(repeatable, max_examples=8)
def test_float16_weights_are_the_page_s(program):
    check(program)


@given(float_jobs(float_machines(st.just(EXACT))))
@repeatable
def test_exact_machines_are_the_page_s(program):
    check(program)


CORNERS = {
    "cancellation": [1024.0, -1024.0, 2.0**-24, 1.0, -1.0, 2.0**-14],
    "subnormal": [2.0**-24, -(2.0**-24), 1023 * 2.0**-24, 2.0**-20, -(2.0**-15), 2.0**-23],
    "largest spread": [65504.0, 2.0**-24, -65504.0, -(2.0**-24), 65504.0, 2.0**-24],
    "halfway": [1.0, 2.0**-11, 1.0, 3 * 2.0**-11, -1.0, -(2.0**-11)],
    "halfway, even": [2048.0, 1.0, 2.0, 1.0, -2048.0, -1.0],
    "below a power of two": [-1024.0, -1023.5, -(2.0**-10), -1.0, -(2.0**-12), 0.0],
    "zeros": [0.0, -0.0, -0.0, 0.0, -0.0, -0.0],
    "invalid": [np.inf, -np.inf, np.nan, 1.0, -0.0, 2.0**-24],
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("alignment", ["row", "pe"])
@pytest.mark.parametrize("normalization", ["right", "full"])
@pytest.mark.parametrize("rounding", ["truncate", "nearest_even"])
def test_corners(name, alignment, normalization, rounding):
    for lanes, mantissa_bits in ((1, 12), (2, 4), (4, 16), (8, 25)):
        floating = FloatConfig(
            alignment=alignment,
            normalization=normalization,
            rounding=rounding,
            mantissa_bits=mantissa_bits,
            guard_bits=lanes % 3,
        )
        machine = float_machine("int4", floating=floating, lanes=lanes)
        activations = np.concatenate([codes(*CORNERS[name]), codes(*CORNERS[name][::-1])])
        for row in ([1, 1, 1, 1, 1, 1], [-7, 7, 5, -3, 1, 0], [-1, -1, -1, -1, -1, -1]):
            check(float_program(machine, np.array([row]), activations))


def test_a_zero_is_positive():
    machine = float_machine("int4")
    for row in ([-0.0, -0.0], [1.0, -1.0], [0.0, 0.0], [np.nan, -0.0]):
        assert bits(float_program(machine, np.array([[1, 1]]), codes(*row))) == [[0]]
    assert bits(float_program(machine, np.array([[1, 1]]), codes(-1.0, 0.0))) == [[0xBF800000]]


@given(float_jobs(float_machines(st.just(EXACT))), st.randoms(use_true_random=False))
@settings(repeatable, max_examples=60)
def test_the_exact_datapath_does_not_depend_on_the_order(program, random):
    order, k = [], program.shape.k
    if program.machine.family.pairs:
        return
    for first in range(0, k, program.group_size):
        group = list(range(first, min(first + program.group_size, k)))
        random.shuffle(group)
        order += group
    shuffled = replace(
        program, codes=program.codes[:, order], activations=program.activations[:, order]
    )
    assert bits(shuffled) == bits(program)


def test_an_aligned_datapath_depends_on_the_order():
    machine = float_machine("int4", floating=mac_config(12), **MAC)
    one = float_program(machine, np.array([[1, 1, 1]]), codes(2048.0, 1.0, -2048.0))
    other = float_program(machine, np.array([[1, 1, 1]]), codes(2048.0, -2048.0, 1.0))
    assert (values(one), values(other)) == ([[0.0]], [[1.0]])


def ieee(value, significant, rounding):
    """An integer to so many significant bits, as IEEE 754 rounds, exponents without limits."""
    places = max(0, abs(value).bit_length() - significant)
    return reference.rounded(value, places, rounding) << places


@pytest.mark.parametrize("rounding", ["truncate", "nearest_even"])
@given(st.data())
@settings(repeatable, max_examples=300)
def test_full_normalization_rounds_as_ieee(rounding, data):
    width = data.draw(st.sampled_from([4, 12, 25]))
    number, expected = (0, 0), 0
    for _ in range(data.draw(st.integers(2, 6))):
        a, f = data.draw(st.integers(-(1 << 23), 1 << 23)), data.draw(st.integers(0, 58))
        a >>= data.draw(st.integers(0, 23))
        if data.draw(st.booleans()) and number[1]:  # nearly or wholly cancelled
            a = -(number[0] << 3) + data.draw(st.integers(-9, 9))
            f = max(0, number[1] - 3)
        number = reference.add_full(number, a, f, width, rounding)
        expected = ieee(expected + (a << f), width - 1, rounding)
        assert number[0] << number[1] == expected


@pytest.mark.parametrize(
    ("kind", "mantissa_bits", "exponents"),
    [(np.float16, 12, (-10, 3)), (np.float32, 25, (-14, 16))],
)
@pytest.mark.parametrize("seed", range(20))
def test_full_normalization_is_numpy_s_accumulation(kind, mantissa_bits, exponents, seed):
    """int8 x float16, one product at a time; the exact sum of a step fits float64."""
    rng = np.random.default_rng(seed)
    machine = float_machine("int8", floating=mac_config(mantissa_bits), rows=1, cols=1, **MAC)
    k = 40
    activations = np.ldexp(1 + rng.integers(0, 1024, k) / 1024, rng.integers(*exponents, k))
    levels = rng.integers(-127, 128, k)
    levels[k // 2 :] = -levels[: k // 2]  # as much again is taken away, in another order
    activations[k // 2 :] = rng.permutation(activations[: k // 2])
    total = kind(0)
    for activation, level in zip(activations.tolist(), levels.tolist(), strict=True):
        total = kind(float(total) + activation * level)
    program = float_program(machine, levels[None], codes(*activations.tolist()))
    assert np.isfinite(total)
    assert values(program) == [[float(total)]]


@pytest.mark.parametrize("rounding", ["truncate", "nearest_even"])
def test_full_normalization_forgets_what_cancelled(rounding):
    """What is left after a cancellation may be far below the exponents that it had."""
    machine = float_machine("float16", floating=mac_config(12, rounding), **MAC, scale=SHIFTS)
    table = get_family("float16").members[0].levels
    levels = {float(np.array(c, np.uint16).view(np.float16)): table[c] for c in range(0x7C00)}

    def products(*pairs):
        weights = [levels[abs(w)] * (-1 if w < 0 else 1) for _, w in pairs]
        activations = codes(*(a for a, _ in pairs))
        return values(float_program(machine, np.array([weights]), activations))[0][0]

    smallest = products((1.0, 2.0**-24))
    assert products((1024.0, 1.0), (-1024.0, 1.0), (1.0, 2.0**-24)) == smallest
    # 1 - (1 - 2**-20) - 2**-20 * (1 - 2**-20): each difference is exact, 20 places further down
    rest = products((1.0, 1.0), (-1023 / 1024, 1025 / 1024), (-1023 / (1 << 20), 1025 / (1 << 20)))
    assert Fraction(rest) == Fraction(smallest) / (1 << 16)


SHIFTS = ScaleConfig(format="e8m0", binades=1, shift="barrel")


def test_lanes_without_an_input_hold_the_padding_code():
    """Where no level is 0, its exponent takes part in the alignment, as it does in hardware."""
    floating = FloatConfig(alignment="pe", guard_bits=0, rounding="truncate")
    machine = float_machine("int2_midrise", "float8_e4m3fn", floating, lanes=4)
    # 1 = -1 + 2: the padding -3 = -1 - 2 raises the second slot's exponent to 1 in any case
    program = float_program(machine, np.array([[1]]), np.array([[1]]))
    check(program)
    slots = machine.terms.terms[-3]
    assert max(term.exponent for term in slots) > 0, "the case needs a padding with an exponent"


@pytest.mark.parametrize("name", reference.FORMATS)
def test_every_code_is_taken_apart(name):
    layout = float_layout(name)
    every = np.arange(1 << layout.bits)
    parts = layout.take_apart(every)
    expected = [reference.taken_apart(name, code) for code in every.tolist()]
    for field in ("negative", "significand", "place", "invalid"):
        assert getattr(parts, field).tolist() == [getattr(a, field) for a in expected]
    finite = [a.integer * reference.unit(name) for a in expected if not a.invalid]
    exact = get_family(name).members[0]
    known = {code: level for code, level in enumerate(exact.levels) if level is not None}
    assert len(known) <= len(finite)
    largest = max(a.significand.bit_length() + a.place for a in expected)
    assert largest == layout.significand_bits + layout.largest_place
