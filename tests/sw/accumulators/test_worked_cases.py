"""Worked cases of the literature and of this project, each with its known width."""

import random

import numpy as np
import pytest

from sw.accumulators import (
    a2q_plus_bits,
    dtype_bound_bits,
    l1_bound_bits,
    layer_bounds,
    single_stage_bounds,
    witness,
)
from sw.formats import Term, TermTable, family_terms, get_family

INT4 = family_terms(get_family("int4"))
SEED_68 = random.Random(68)
ORACLES = [  # weights, weight bits, input bits, signed, low, high, exact, L1, dtype, A2Q+
    ([-8] * 64, 4, 8, False, -130560, 0, 18, 19, 19, 17),
    ([7] * 64, 4, 8, False, 0, 114240, 18, 18, 19, 17),
    ([-8], 4, 4, False, -120, 0, 8, 9, 9, 7),
    ([-8] * 16, 4, 4, False, -1920, 0, 12, 13, 13, 11),
    ([-8] * 16, 4, 4, True, -896, 1024, 12, 12, 12, 11),
    ([-128] * 576, 8, 8, False, -18800640, 0, 26, 26, 26, 25),
    ([-128] * 4608, 8, 8, True, -74907648, 75497472, 28, 28, 28, 28),
    ([-128] * 4608, 8, 8, False, -150405120, 0, 29, 29, 29, 28),
    ([3, -3] * 32, 4, 8, False, -24480, 24480, 16, 17, 19, 16),
    ([3] * 64, 4, 8, False, 0, 48960, 17, 17, 19, 16),
    ([1, -1] * 64, 2, 1, False, -64, 64, 8, 10, 11, 8),
    ([SEED_68.randint(-8, 7) for _ in range(64)], 4, 8, False, -36720, 36210, 17, 18, 19, 17),
    ([0] * 64, 1, 4, False, 0, 0, 1, 1, 12, 1),
    ([1] * 272, 2, 4, False, 0, 4080, 13, 14, 15, 12),
]


@pytest.mark.parametrize("case", ORACLES, ids=lambda case: f"{case[0][0]}x{len(case[0])}")
def test_worked_cases(case):
    weights, weight_bits, input_bits, signed, low, high, exact, l1_bits, dtype_bits, plus = case
    half = 1 << input_bits - 1
    input_range = (-half, half - 1) if signed else (0, 2 * half - 1)
    layer = single_stage_bounds([weights], input_range)
    for mode in ("wrap", "saturate", "flag"):
        assert (layer.inner.low(mode), layer.inner.high(mode)) == (low, high)
        assert layer.inner_bits(mode) == exact
    assert (layer.input_bits, layer.input_signed) == (input_bits, signed)
    assert layer.l1 == sum(map(abs, weights))
    assert l1_bound_bits(int(layer.l1[0]), input_bits, signed) == l1_bits
    assert dtype_bound_bits(len(weights), weight_bits, input_bits, signed) == dtype_bits
    assert a2q_plus_bits(int(layer.l1[0]), input_bits) == plus


@pytest.mark.parametrize(
    ("weights", "final", "final_bits", "step", "step_bits"),
    [
        ([5, -5], (-50, 50), 7, (-50, 100), 8),
        ([5, 5, -5, -5], (-100, 100), 8, (-100, 200), 9),
        ([5, -5, 5, -5], (-100, 100), 8, (-100, 150), 9),
    ],
)
def test_running_sums_go_further_when_inputs_stay_above_zero(
    weights, final, final_bits, step, step_bits
):
    layer = single_stage_bounds([weights], (10, 20))
    assert (layer.inner.final_low, layer.inner.final_high) == final
    assert (layer.inner.step_low, layer.inner.step_high) == step
    assert layer.inner_bits("wrap") == final_bits
    assert layer.inner_bits("saturate") == layer.inner_bits("flag") == step_bits


def test_a_level_built_with_an_overshoot_widens_the_running_sum():
    """7 = 8 - 1: two whole chunks of 7 and the first slot of the third, which holds 8s."""
    layer = layer_bounds(
        [[7] * 9], terms=INT4, group_size=9, lanes=3, input_range=(-128, 127), scale_codes=None
    )
    assert (layer.inner.final_low, layer.inner.final_high) == (-8064, 8001)
    assert (layer.inner.step_low, layer.inner.step_high) == (-128 * (42 + 24), 127 * (42 + 24))
    assert layer.inner_bits("wrap") == 14 and layer.inner_bits("saturate") == 15
    assert layer.slots == 2 and layer.outer is None


def twos_complement(bits):
    """Weight bits one by one, least significant first, the sign bit negative."""
    levels = range(-(1 << bits - 1), 1 << bits - 1)
    terms = {
        level: tuple(
            Term(present=bool(level >> t & 1), negative=t == bits - 1, exponent=0)
            for t in range(bits)
        )
        for level in levels
    }
    shifts = tuple(range(bits))
    return TermTable(lane_exponent_bits=0, base_shifts=shifts, terms=terms, worst_escape=0)


@pytest.mark.parametrize(
    ("weight_bits", "length", "input_bits", "wrap", "saturate", "highest"),
    [(4, 1, 4, 5, 8, 105), (4, 64, 8, 15, 18, 114240), (8, 64, 8, 15, 22, 2072640)],
)
def test_weight_serial_twos_complement(weight_bits, length, input_bits, wrap, saturate, highest):
    schedule = {
        "terms": twos_complement(weight_bits),
        "group_size": length,
        "lanes": length,
        "input_range": (0, (1 << input_bits) - 1),
    }
    layer = layer_bounds([[-1] * length], scale_codes=None, **schedule)
    assert layer.inner_bits("wrap") == wrap and layer.inner_bits("saturate") == saturate
    assert layer.inner.step_high == highest and layer.inner.final_high == 0
    found = witness([-1] * length, scale_row=None, stage="inner", mode="flag", **schedule)
    assert (found.value, found.slot) == (highest, weight_bits - 2)
    assert (found.inputs == (1 << input_bits) - 1).all()


@pytest.mark.parametrize(
    ("weights", "group_size", "input_range", "inner_bits", "outer_bits"),
    [
        ([-128] * 4608, 64, (-128, 127), 22, 28),
        ([3] * 32 + [-3] * 32, 16, (0, 255), 15, 16),
    ],
)
def test_two_stages_need_what_their_tiles_need(
    weights, group_size, input_range, inner_bits, outer_bits
):
    layer = layer_bounds(
        [weights],
        terms=None,
        group_size=group_size,
        lanes=4,
        input_range=input_range,
        scale_codes=np.ones((1, len(weights) // group_size), dtype=np.uint8),
    )
    assert layer.inner_bits("wrap") == inner_bits and layer.outer_bits("wrap") == outer_bits
