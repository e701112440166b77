"""Cross-check against bounds and layers that brevitas 0.13.4 produced (reference data)."""

import json
from pathlib import Path

import pytest

from sw.accumulators import (
    a2q_plus_bits,
    dtype_bound_bits,
    l1_bound_bits,
    single_stage_bounds,
)

PATH = Path(__file__).parents[4] / "shared" / "data" / "accumulator_bounds_brevitas.json"


@pytest.fixture(scope="module")
def brevitas():
    if not PATH.exists():
        pytest.skip("../shared/data/accumulator_bounds_brevitas.json is not beside this repository")
    return json.loads(PATH.read_text())


def exact_bits(weights, input_bits, signed=False):
    half = 1 << input_bits - 1
    input_range = (-half, half - 1) if signed else (0, 2 * half - 1)
    return single_stage_bounds([weights], input_range).max_bits("inner", "flag")


def test_l1_budgets(brevitas):
    entries = brevitas["a2q_get_upper_bound_on_l1_norm"]
    assert len(entries) == 64
    for entry in entries:
        bits, budget = entry["P"], entry["floor"]
        inputs = entry["N"], entry["input_signed"]
        assert l1_bound_bits(budget, *inputs) <= bits < l1_bound_bits(budget + 1, *inputs), entry


def test_accumulator_aware_layers(brevitas):
    assert len(brevitas["layers"]) == 16
    for entry in brevitas["layers"]:
        assert not entry["input_signed"]
        # unsigned inputs: the ends of the range are the sums of each sign
        worst = [entry["max_pos_sum"], -entry["max_neg_sum"]]
        exact = exact_bits(worst, entry["N"])
        assert exact == entry["exact_min_P_over_channels"] <= entry["P_target"], entry
        assert l1_bound_bits(entry["max_l1"], entry["N"], False) == entry["l1_formula_P"], entry
        assert a2q_plus_bits(entry["max_l1"], entry["N"]) == entry["a2qplus_formula_P"], entry
        if entry["channel0"] is not None:
            assert exact_bits(entry["channel0"], entry["N"]) <= exact


def test_widest_layers_of_a_data_type(brevitas):
    for entry in brevitas["max_acc_bit_width"]:
        length, bits = entry.get("K", entry.get("true_K")), entry["N"]
        weights = [-(1 << entry["M"] - 1)] * length
        assert exact_bits(weights, bits) == entry["exact_unsigned_x_signed_w"], entry
        if "exact_signed_x_signed_w" in entry:
            assert exact_bits(weights, bits, signed=True) == entry["exact_signed_x_signed_w"]
        if "a2q_dtype_bound_unsigned" in entry:
            bound = dtype_bound_bits(length, entry["M"], bits, False)
            assert bound == entry["a2q_dtype_bound_unsigned"]


def test_tiles_of_multi_stage_layers(brevitas):
    unsigned = [
        entry
        for key in ("axe_layers", "axe_layers_frozen_scale")
        for entry in brevitas[key]
        if not entry["input_signed"]
    ]
    assert unsigned
    for entry in unsigned:
        worst = [entry["max_tile_pos_sum"], -entry["max_tile_neg_sum"]]
        assert exact_bits(worst, entry["N"]) == entry["exact_P_I"], entry
