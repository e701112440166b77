"""Worked cases of the literature and of this project, in the orders that they are about."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from sw.accumulators import dtype_bound_bits
from sw.accumulators.orders import ORDERS, get_order, order_bounds, order_replay

PATH = Path(__file__).parents[5] / "shared" / "data" / "accumulator_bounds_brevitas.json"
SEED_68 = random.Random(68)
#: Orders that never leave the range of final sums when 0 is an input.
NESTED = (
    "parallel",
    "tree",
    "any_order",
    "packed",
    "weight_horner",
    "weight_sign_magnitude",
    "activation_lsb",
    "activation_msb",
    "activation_horner",
    "activation_horner_elements",
)
ORACLES = [  # weights, input range, lowest, highest, bits
    ([-8] * 64, (0, 255), -130560, 0, 18),
    ([7] * 64, (0, 255), 0, 114240, 18),
    ([-8], (0, 15), -120, 0, 8),
    ([-8] * 16, (0, 15), -1920, 0, 12),
    ([-8] * 16, (-8, 7), -896, 1024, 12),
    ([-128] * 576, (0, 255), -18800640, 0, 26),
    ([-128] * 4608, (-128, 127), -74907648, 75497472, 28),
    ([-128] * 4608, (0, 255), -150405120, 0, 29),
    ([3, -3] * 32, (0, 255), -24480, 24480, 16),
    ([3] * 64, (0, 255), 0, 48960, 17),
    ([1, -1] * 64, (0, 1), -64, 64, 8),
    ([SEED_68.randint(-8, 7) for _ in range(64)], (0, 255), -36720, 36210, 17),
    ([0] * 64, (0, 15), 0, 0, 1),
]


@pytest.fixture(scope="module")
def brevitas():
    if not PATH.exists():
        pytest.skip("../shared/data/accumulator_bounds_brevitas.json is not beside this repository")
    return json.loads(PATH.read_text())


@pytest.mark.parametrize("case", ORACLES, ids=lambda case: f"{case[0][0]}x{len(case[0])}")
@pytest.mark.parametrize("name", NESTED)
def test_orders_that_keep_the_range_of_final_sums(name, case):
    weights, input_range, low, high, bits = case
    for mode in ("wrap", "saturate", "flag"):
        layer = order_bounds([weights], order=name, input_range=input_range)
        assert (layer.inner.low(mode), layer.inner.high(mode)) == (low, high)
        assert layer.inner_bits(mode) == bits


@pytest.mark.parametrize("case", ORACLES, ids=lambda case: f"{case[0][0]}x{len(case[0])}")
@pytest.mark.parametrize("name", [n for n in ORDERS if n not in ("slots", "popcount")])
def test_the_final_range_is_that_of_any_order_and_the_data_types_cap_the_steps(name, case):
    weights, input_range, low, high, bits = case
    layer = order_bounds([weights], order=name, input_range=input_range)
    if name != "packed":
        assert (layer.inner.final_low, layer.inner.final_high) == (low, high)
    assert layer.inner_bits("flag") >= layer.inner_bits("wrap") == bits
    cap = dtype_bound_bits(len(weights), layer.weight_bits, layer.input_bits, layer.input_signed)
    # pairs of planes meet inputs whose sign bit is still to come
    assert layer.inner_bits("flag") <= cap + 2 * get_order(name).enumerates


@pytest.mark.parametrize(
    ("weight_bits", "length", "input_bits", "wrap", "saturate", "highest"),
    [(4, 1, 4, 5, 8, 105), (4, 64, 8, 15, 18, 114240), (8, 64, 8, 15, 22, 2072640)],
)
def test_weights_of_minus_one_bit_by_bit(weight_bits, length, input_bits, wrap, saturate, highest):
    layer = order_bounds(
        [[-1] * length],
        order="weight_lsb",
        input_range=(0, (1 << input_bits) - 1),
        weight_bits=weight_bits,
    )
    assert layer.inner_bits("wrap") == wrap and layer.inner_bits("saturate") == saturate
    assert (layer.inner.step_high, layer.inner.final_high) == (highest, 0)
    assert layer.slots == weight_bits


@pytest.mark.parametrize(
    ("weights", "final", "step"),
    [
        ([5, -5], (-50, 50), (-50, 100)),
        ([5, 5, -5, -5], (-100, 100), (-100, 200)),
        ([5, -5, 5, -5], (-100, 100), (-100, 150)),
    ],
)
def test_running_sums_go_further_when_inputs_stay_above_zero(weights, final, step):
    parallel = order_bounds([weights], order="parallel", input_range=(10, 20)).inner
    assert (parallel.final_low, parallel.final_high) == final
    assert (parallel.step_low, parallel.step_high) == step
    packed = order_bounds([weights], order="packed", input_range=(10, 20)).inner
    assert (packed.bits("wrap") == parallel.bits("saturate")).all()
    anyhow = order_bounds([weights], order="any_order", input_range=(10, 20)).inner
    most = 20 * sum(w for w in weights if w > 0)
    assert (anyhow.step_low, anyhow.step_high) == (-most, most)


def test_what_an_order_adds_first_decides_what_a_tree_needs():
    """[5, 5, -5, -5]: the nodes over the halves; [5, -5, 5, -5]: single products go as far."""
    halves = order_bounds([[5, 5, -5, -5]], order="tree", input_range=(10, 20)).inner
    assert (halves.step_low, halves.step_high) == (-200, 200)
    turns = order_bounds([[5, -5, 5, -5]], order="tree", input_range=(10, 20)).inner
    assert (turns.step_low, turns.step_high) == (-100, 100)


def test_saturation_depends_on_the_order_and_wrap_does_not():
    """[100, 100, -100] in 8 bits, and all orders of [7, 7, -8, -8] in 4."""
    options = {"order": "any_order", "input_range": (0, 1), "inner_bits": 8}
    found = {
        mode: {
            order_replay([100, 100, -100], [1] * 3, inner_mode=mode, sequence=s, **options).value
            for s in itertools.permutations(range(3))
        }
        for mode in ("wrap", "saturate", "flag")
    }
    assert found == {"wrap": {100}, "saturate": {27, 100}, "flag": {100}}
    options["inner_bits"] = 4
    for mode, values in (("wrap", {-2}), ("saturate", {-8, -2, -1, 6})):
        assert values == {
            order_replay([7, 7, -8, -8], [1] * 4, inner_mode=mode, sequence=s, **options).value
            for s in itertools.permutations(range(4))
        }


def test_a_width_that_is_right_for_final_sums_saturates_on_almost_every_input():
    """-1 x 8, weight bits from the least significant one, 8 bits: wrap exact, saturation wrong."""
    rng = np.random.default_rng(0)
    options = {"order": "weight_lsb", "input_range": (0, 15), "weight_bits": 4}
    bits = order_bounds([[-1] * 8], **options).max_bits("inner", "wrap")
    assert bits == 8
    wrong = {"wrap": 0, "saturate": 0}
    for x in rng.integers(0, 16, (2000, 8)):
        for mode in wrong:
            run = order_replay([-1] * 8, x, inner_bits=bits, inner_mode=mode, **options)
            wrong[mode] += run.value != run.exact_value
    assert wrong["wrap"] == 0 and wrong["saturate"] >= 1990


@pytest.mark.parametrize(
    ("weights", "tile", "input_range", "inner_bits", "outer_bits"),
    [
        ([-128] * 4608, 64, (-128, 127), 22, 28),
        ([3] * 32 + [-3] * 32, 16, (0, 255), 15, 16),
    ],
)
@pytest.mark.parametrize("name", NESTED)
def test_two_stages_need_what_their_tiles_need(
    name, weights, tile, input_range, inner_bits, outer_bits
):
    layer = order_bounds([weights], order=name, tile=tile, input_range=input_range)
    for mode in ("wrap", "saturate"):
        assert layer.inner_bits(mode) == inner_bits and layer.outer_bits(mode) == outer_bits


@pytest.mark.parametrize(
    ("length", "tile", "bits"), [(4096, 64, 22), (4096, 128, 21), (14336, 64, 24), (4608, 128, 22)]
)
def test_outer_width_of_tiles_that_fill_their_register(length, tile, bits):
    """Tiles that reach -2**15, the end of 16 bits: the outer formula of the literature is exact."""
    rows = np.zeros((1, length), dtype=np.int64)
    rows[0, ::tile] = -(1 << 15)
    for name in NESTED:
        layer = order_bounds(rows, order=name, tile=tile, input_range=(0, 1), lanes=16)
        assert (layer.inner_bits("flag")[0], layer.outer_bits("flag")[0]) == (16, bits)


def test_bias_zero_point_and_padding():
    """w = [3, -2], codes 4 to 9 around zero point 5, bias 100; padding brings no new code."""
    options = {"order": "parallel", "input_range": (4, 9), "input_zero_point": 5, "bias": [100]}
    layer = order_bounds([[3, -2]], **options)
    assert (layer.inner.final_low, layer.inner.final_high) == (100 - 6, 100 + 19)
    assert (layer.inner.step_low, layer.inner.step_high) == (94, 127)
    assert (layer.corrected.final_low, layer.corrected.final_high) == (100 - 11, 100 + 14)
    same = order_bounds([[3, -2]], padded=True, **options)
    assert (same.input_low, same.input_high) == (4, 9)
    wide = order_bounds([[3, -2]], padded=True, **(options | {"input_zero_point": 0}))
    assert (wide.input_low, wide.input_high) == (0, 9)
    assert wide.inner.final_low == 100 - 18 and wide.corrected is None


def test_brevitas_layers(brevitas):
    """Channels as brevitas trained them: 0 is an input, so the nested orders agree."""
    seen = 0
    for entry in brevitas["layers"]:
        worst = [entry["max_pos_sum"], -entry["max_neg_sum"]]
        high = (1 << entry["N"]) - 1
        for name in NESTED:
            layer = order_bounds([worst], order=name, input_range=(0, high))
            assert layer.inner_bits("saturate") == entry["exact_min_P_over_channels"], entry
        if entry["channel0"] is None:
            continue
        row, options = [entry["channel0"]], {"input_range": (0, high)}
        plain = order_bounds(row, order="parallel", **options).max_bits("inner", "flag")
        for name in NESTED:
            layer = order_bounds(row, order=name, **options)
            assert layer.max_bits("inner", "flag") == plain <= entry["P_target"]
        # the trained guarantee is one of final sums
        serial = order_bounds(row, order="weight_lsb", weight_bits=entry["M"], **options)
        assert serial.max_bits("inner", "wrap") == plain
        seen += serial.max_bits("inner", "saturate") > plain
    assert seen > 0


def test_widest_layers_of_a_data_type(brevitas):
    for entry in brevitas["max_acc_bit_width"]:
        length, bits = entry.get("K", entry.get("true_K")), entry["N"]
        row = [[-(1 << entry["M"] - 1)] * length]
        for name in NESTED:
            layer = order_bounds(row, order=name, input_range=(0, (1 << bits) - 1))
            assert layer.inner_bits("flag") == entry["exact_unsigned_x_signed_w"], entry


def test_tiles_of_multi_stage_layers(brevitas):
    for key in ("axe_layers", "axe_layers_frozen_scale"):
        for entry in brevitas[key]:
            if entry["input_signed"]:
                continue
            worst = [entry["max_tile_pos_sum"], -entry["max_tile_neg_sum"]]
            row = [worst * (entry["K"] // entry["T"])]
            high = (1 << entry["N"]) - 1
            for name in NESTED:
                layer = order_bounds(row, order=name, tile=2, input_range=(0, high))
                assert layer.inner_bits("flag") == entry["exact_P_I"], entry
                assert layer.outer_bits("flag") <= layer.inner_bits("flag") + (
                    (entry["K"] // entry["T"] - 1).bit_length()
                )
