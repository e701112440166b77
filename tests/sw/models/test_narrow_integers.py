"""Budgets of training for narrow registers, and the proof of its final integers."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import a2q_plus_bits, l1_bound_bits
from sw.models.narrow_integers import (
    checked_widths,
    input_range,
    input_scales,
    integer_matrix,
    l1_budget,
    proved_bits,
    sparsity,
)
from sw.quantize import QuantizedModel

GIVEN = Path(__file__).parents[4] / "shared" / "data" / "accumulator_bounds_brevitas.json"
RESULTS = Path(__file__).parents[3] / "docs" / "narrow_training.json"


def test_budgets_are_the_largest_that_the_formulas_allow():
    for inner, inputs, signed in product(range(2, 65), range(2, 17), (False, True)):
        budget = l1_budget("a2q", inner, inputs, signed)
        assert l1_bound_bits(budget, inputs, signed) <= inner
        assert l1_bound_bits(budget + 1, inputs, signed) > inner
        budget = l1_budget("a2q_plus", inner, inputs, signed)
        assert a2q_plus_bits(budget, inputs) <= inner
        assert a2q_plus_bits(budget + 1, inputs) > inner


def test_budgets_of_the_literature():
    table = {8: (7, 15, 16), 12: (127, 255, 272), 16: (2047, 4095, 4368), 20: (32767, 65535, 69904)}
    for inner, (unsigned, signed, plus) in table.items():
        assert l1_budget("a2q", inner, 4, False) == unsigned
        assert l1_budget("a2q", inner, 4, True) == signed
        assert l1_budget("a2q_plus", inner, 4, True) == plus
    assert l1_budget("a2q", 8, 8, False) == 0


def test_a2q_budgets_equal_those_of_brevitas():
    if not GIVEN.is_file():
        pytest.skip("../shared/data/accumulator_bounds_brevitas.json is not there")
    entries = json.loads(GIVEN.read_text())["a2q_get_upper_bound_on_l1_norm"]
    checked = 0
    for entry in entries:
        if entry["N"] >= 2:  # one-bit inputs are not trained for
            budget = l1_budget("a2q", entry["P"], entry["N"], entry["input_signed"])
            assert budget == entry["floor"], entry
            checked += 1
    assert checked >= 48


def rows_within(draw, budget, length, plus):
    """Integer rows as the methods leave them: L1 within the budget, halves balanced for A2Q+."""
    half = budget // 2
    sizes = st.lists(st.integers(0, 7), min_size=length, max_size=length)
    row = np.array(draw(sizes)) * np.array(
        draw(st.lists(st.sampled_from([-1, 1]), min_size=length, max_size=length))
    )
    for limit, part in ((half, row > 0), (half, row < 0)) if plus else ((budget, row != 0),):
        while np.abs(row[part]).sum() > limit:
            worst = np.flatnonzero(part)[np.abs(row[part]).argmax()]
            row[worst] -= np.sign(row[worst])
    return row


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_rows_within_the_budget_are_proved(data):
    inner = data.draw(st.integers(4, 16))
    inputs, signed = data.draw(st.integers(2, 8)), data.draw(st.booleans())
    method = data.draw(st.sampled_from(["a2q", "a2q_plus"]))
    budget = l1_budget(method, inner, inputs, signed)
    row = rows_within(data.draw, budget, data.draw(st.integers(1, 12)), method == "a2q_plus")
    matrix = integer_matrix(row[None], np.ones((1, 1), np.float32), 4, None)
    assert proved_bits(matrix, input_range(inputs, signed)) <= inner


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_proved_bits_hold_and_one_less_fails(data):
    """Against all inputs: over the corners of their range, where sums have their extremes."""
    length = data.draw(st.integers(1, 6))
    levels = data.draw(st.lists(st.integers(-7, 7), min_size=length, max_size=length))
    low, high = input_range(data.draw(st.integers(2, 4)), data.draw(st.booleans()))
    matrix = integer_matrix([levels], np.ones((1, 1), np.float32), 4, None)
    bits = proved_bits(matrix, (low, high))
    sums = [np.dot(levels, corner) for corner in product((low, high), repeat=length)]
    assert -(1 << (bits - 1)) <= min(sums) and max(sums) < 1 << (bits - 1)
    if bits > 1:
        assert min(sums) < -(1 << (bits - 2)) or max(sums) >= 1 << (bits - 2)


def test_groups_are_summed_apart():
    levels = np.full((1, 8), 7)
    whole = integer_matrix(levels, np.ones((1, 1), np.float32), 4, None)
    halves = integer_matrix(levels, np.ones((1, 2), np.float32), 4, 4)
    assert proved_bits(whole, (0, 15)) == 11  # 840
    assert proved_bits(halves, (0, 15)) == 10  # 420


def test_a_broken_guarantee_is_an_error():
    """The unsound case of the A2Q+ formula: 272 ones meet its budget for 12 bits, need 13."""
    ones = integer_matrix(np.ones((1, 272), np.int64), np.ones((1, 1), np.float32), 4, None)
    assert l1_budget("a2q_plus", 12, 4, False) == 272
    with pytest.raises(InputError, match="layer 'fc1' needs a register of 13 bits"):
        checked_widths({"fc1": ones}, (0, 15), 12)
    assert checked_widths({"fc1": ones}, (0, 15), 13) == {"fc1": 13}
    assert checked_widths({"fc1": ones}, (0, 15), None) == {"fc1": 13}


@pytest.mark.parametrize("bits", range(2, 9))
def test_matrices_keep_levels_and_scales(bits, tmp_path):
    largest = (1 << (bits - 1)) - 1
    levels = np.arange(-largest, largest + 1)[None].repeat(2, axis=0)
    scales = np.array([[0.5], [3.0]], np.float32)
    model = QuantizedModel(
        name="m",
        layers={"a": integer_matrix(levels, scales, bits, None)},
        float_tensors={"a.input_scale": np.array([0.125], np.float32)},
    )
    model.save(tmp_path / "m")
    loaded = QuantizedModel.load(tmp_path / "m")
    assert np.array_equal(loaded.layers["a"].levels, levels)
    np.testing.assert_array_equal(loaded.layers["a"].dequantize(), levels * scales)
    assert input_scales(loaded) == {"a": 0.125}
    assert sparsity(loaded) == 1 / levels.shape[1]


def test_bad_settings_are_refused():
    ones = np.ones((1, 2), np.float32)
    for call, message in [
        (lambda: l1_budget("a2q_minus", 8, 4, False), "training method"),
        (lambda: l1_budget("none", 8, 4, False), "no budget"),
        (lambda: l1_budget("a2q", 0, 4, False), "at least 1"),
        (lambda: l1_budget("a2q", 8, 1, False), "from 2 to 16"),
        (lambda: integer_matrix([[8, 0]], ones[:, :1], 4, None), "from -7 to 7"),
        (lambda: integer_matrix([[1, 0]], ones[:, :1], 9, None), "from 2 to 8"),
        (lambda: proved_bits(integer_matrix([[1, 0]], ones, 4, 1), (1, 2)), "do not contain 0"),
        (
            lambda: input_scales(
                QuantizedModel(name="m", layers={"a": integer_matrix([[1, 0]], ones, 4, 1)})
            ),
            "no input scale of layer 'a'",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            call()


def test_committed_results_keep_their_widths():
    rows = json.loads(RESULTS.read_text())
    assert {row["task"] for row in rows} == {"digits", "scribe_1m"}
    for row in rows:
        assert 0 <= row["sparsity"] <= 1 and row["metric"] in ("accuracy", "bits_per_byte")
        if row["method"] != "none":
            assert row["proved_bits"] <= row["inner_bits"], row
