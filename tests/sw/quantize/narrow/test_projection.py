"""Projections by their optimality conditions, integers against every combination there is."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.target import AccumulatorTarget
from sw.quantize.narrow.budgets import Room
from sw.quantize.narrow.projection import (
    nearest_codes_within,
    project_centred,
    project_l1,
    round_toward_zero,
)

rows = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12)
budgets = st.floats(0.015625, 40, width=32)


@given(rows, budgets)
def test_l1_projection_meets_its_conditions(row, budget):
    """Shrunk by one threshold, which is 0 or uses the whole budget: the unique nearest point."""
    values = np.array([row])
    found = project_l1(values, np.array([budget]))
    assert np.abs(found).sum() <= budget * (1 + 1e-9)
    assert (found * values >= 0).all()
    lost = np.abs(values - found)
    kept = found != 0
    threshold = lost.max()
    assert np.allclose(lost[kept], threshold, atol=1e-9)
    if threshold > 1e-9:
        assert np.isclose(np.abs(found).sum(), budget)


@given(rows, budgets)
def test_centred_projection_meets_its_conditions(row, budget):
    """KKT: value - point = mean part + threshold * (sign of the point, or less where it is 0)."""
    values = np.array(row)
    found = project_centred(values[None], np.array([budget]))[0]
    assert abs(found.sum()) < 1e-8 and np.abs(found).sum() <= budget * (1 + 1e-9)
    rest = values - found
    above, below = rest[found > 1e-12], rest[found < -1e-12]
    if not above.size:
        assert np.ptp(values) < 1e-8  # only a constant row has nothing left
        return
    assert np.ptp(above) < 1e-8 and np.ptp(below) < 1e-8
    mean, threshold = (above[0] + below[0]) / 2, (above[0] - below[0]) / 2
    assert threshold > -1e-8
    assert (np.abs(rest[np.abs(found) <= 1e-12] - mean) <= threshold + 1e-8).all()
    if threshold > 1e-8:
        assert np.isclose(np.abs(found).sum(), budget)


@given(rows)
def test_without_budget_everything_is_zero(row):
    for project in (project_l1, project_centred):
        assert not project(np.array([row]), np.zeros(1)).any()


@given(rows, st.integers(0, 30))
def test_rounding_toward_zero_keeps_an_integer_budget(row, budget):
    for project in (project_l1, project_centred):
        codes = round_toward_zero(project(np.array([row]), np.array([float(budget)])))
        assert np.abs(codes).sum() <= budget


def best_error(values, room, top, weights):
    """Least squared error of all integers that fit, one by one."""
    best = np.inf
    for codes in itertools.product(range(-top, top + 1), repeat=len(values)):
        array = np.array(codes)
        sums = np.maximum(array, 0).sum(), np.maximum(-array, 0).sum()
        if room.holds(*(np.array([s]) for s in sums))[0]:
            best = min(best, float(np.square(values - array) @ weights))
    return best


@settings(max_examples=60, deadline=None)
@example([1.0, 1.0, 1.0], 1, 1, True, [0.5] * 4)  # inputs of -1 and 0: -2 is a place to go
@given(
    st.lists(st.floats(-5, 5, width=16), min_size=1, max_size=4),
    st.integers(0, 80),
    st.integers(1, 3),
    st.booleans(),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=4, max_size=4),
)
def test_integers_are_the_nearest_that_fit(values, limit, bits, signed, weights):
    """Unsigned inputs: up to the width of the threshold's interval. Signed: within a unit."""
    top = 3
    wanted, weight = np.array(values), np.array(weights[: len(values)])
    target = AccumulatorTarget(inner_bits=8, input_bits=bits, input_signed=signed)
    room = Room.of(target, np.array([limit]))
    found = nearest_codes_within(wanted[None], room, top, weight)[0]
    sums = np.maximum(found, 0).sum(), np.maximum(-found, 0).sum()
    assert room.holds(*(np.array([s]) for s in sums))[0]
    assert np.abs(found).max() <= top
    best = best_error(wanted, room, top, weight)
    error = float(np.square(wanted - found) @ weight)
    largest = float((np.abs(wanted) * weight).max())
    assert error >= best - 1e-9
    if room.separate:
        assert error <= best + 2 * len(values) * top * largest * 2.0**-12 + 1e-9
    else:
        # a threshold for both signs: a unit may be left that only one of them has room for
        smaller = Room.of(target, np.array([max(0, limit - max(room.up, room.down))]))
        slack = 2 * len(values) * top * largest * 2.0**-12 + 1e-9
        assert error <= best_error(wanted, smaller, top, weight) + slack


def test_ties_share_what_room_there_is():
    """Equal weights are not dropped together when there is room for some of them."""
    target = AccumulatorTarget(inner_bits=8, input_bits=4, input_signed=False)
    room = Room.of(target, np.array([127]))
    found = nearest_codes_within(np.full((1, 20), 0.9), room, 7)
    assert found.sum() == 127 // 15 == 8


def test_each_sign_has_its_own_room_without_signed_inputs():
    target = AccumulatorTarget(inner_bits=8, input_bits=4, input_signed=False)
    room = Room.of(target, np.array([127]))
    found = nearest_codes_within(np.array([[0.9] * 20 + [-0.9] * 20]), room, 7)[0]
    assert (found[:20].sum(), found[20:].sum()) == (8, -8)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_projections_do_not_care_for_units(scale):
    values = np.random.default_rng(1).standard_normal((3, 40))
    for project in (project_l1, project_centred):
        plain = project(values, np.full(3, 5.0))
        assert np.allclose(project(values * scale, np.full(3, 5.0 * scale)), plain * scale)
