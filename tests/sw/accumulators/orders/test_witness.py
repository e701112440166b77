"""Two-sided: the proved width holds for every input, one bit less fails on the witness."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators.orders import (
    ORDERS,
    OrderStep,
    get_order,
    narrowest_weight_bits,
    order_bounds,
    order_replay,
    order_witness,
)
from sw.formats import family_terms, get_family

repeatable = settings(deadline=None, derandomize=True, max_examples=300)
INT4 = family_terms(get_family("int4"))
MODES = ("wrap", "saturate", "flag")


def replay_at(row, x, bits, stage, mode, options, sequence=None):
    """A replay with ``bits`` in ``stage``, the other one unlimited."""
    widths = {f"{stage}_bits": bits, f"{stage}_mode": mode}
    return order_replay(row, x, sequence=sequence, **widths, **options)


def check_two_sides(row, bounds, stage, mode, options):
    """The witness reaches the range's end; its width holds and one bit less fails, in ``mode``."""
    needed = int(bounds.stage(stage).bits(mode)[0])
    found = order_witness(row, stage=stage, mode=mode, **options)
    assert found.bits == needed
    steps = replay_at(row, found.inputs, None, stage, mode, options, found.sequence)
    assert (found.step, found.value) in (*steps.inner_steps, *steps.outer_steps)
    held = replay_at(row, found.inputs, needed, stage, mode, options, found.sequence)
    assert not held.fails(stage, mode)
    if needed > 1:
        short = replay_at(row, found.inputs, needed - 1, stage, mode, options, found.sequence)
        assert short.fails(stage, mode)
    for side in ("low", "high"):
        one = order_witness(row, stage=stage, mode=mode, side=side, **options)
        ends = bounds.stage(stage).low(mode) if side == "low" else bounds.stage(stage).high(mode)
        assert (one.side, one.value) == (side, ends[0])
        steps = replay_at(row, one.inputs, None, stage, mode, options, one.sequence)
        assert (one.step, one.value) in (*steps.inner_steps, *steps.outer_steps)
    return needed


@st.composite
def cases(draw, names=tuple(ORDERS)):
    """A row, the options of a replay of it, a stage and a mode."""
    order = get_order(draw(st.sampled_from(names)))
    length = draw(st.integers(1, 24))
    low = draw(st.integers(-128, 100))
    weight = st.sampled_from([-1, 1]) if order.popcount else st.integers(-128, 127)
    if order.shape == "slots":
        weight = st.sampled_from(sorted(INT4.terms))
    row = draw(st.lists(weight, min_size=length, max_size=length))
    bits = 9 if order.weights == "magnitude_lsb_first" else 8
    options = {
        "order": order.name,
        "input_range": (-1, 1) if order.popcount else (low, low + draw(st.integers(0, 27))),
        "lanes": draw(st.integers(1, 9)),
        "weight_bits": bits,
        "bias": draw(st.none() | st.integers(-40000, 40000)),
    }
    if order.shape == "slots":
        options["terms"] = INT4
    if not order.popcount:
        options["input_zero_point"] = draw(st.integers(-128, 127))
        options["padded"] = draw(st.booleans())
    stage = draw(st.sampled_from(["inner", "outer"]))
    if stage == "outer" or draw(st.booleans()):
        options["tile"] = draw(st.integers(1, 30))
        tiles = -(-length // options["tile"])
        scales = st.lists(st.integers(0, 255), min_size=tiles, max_size=tiles)
        options["scale_codes"] = draw(st.none() | scales)
    return row, options, stage, draw(st.sampled_from(MODES))


def of_layer(options):
    """Options of one row as those of a layer of one row."""
    return options | {
        name: None if options.get(name) is None else [options[name]]
        for name in ("bias", "scale_codes")
    }


@repeatable
@given(case=cases(), data=st.data())
def test_random_rows_are_proved_from_both_sides(case, data):
    row, options, stage, mode = case
    bounds = order_bounds([row], **of_layer(options))
    needed = check_two_sides(row, bounds, stage, mode, options)
    codes = st.sampled_from([-1, 1])
    if options["order"] != "popcount":
        codes = st.integers(bounds.input_low, bounds.input_high)
    x = data.draw(st.lists(codes, min_size=len(row), max_size=len(row)))
    sequence = None
    if options["order"] == "any_order":
        sequence = data.draw(st.permutations(range(len(row))))
    assert not replay_at(row, x, needed, stage, mode, options, sequence).fails(stage, mode)


@pytest.mark.parametrize("name", [name for name in ORDERS if name not in ("slots", "popcount")])
def test_every_short_row_is_proved_from_both_sides(name):
    """All rows of two 3-bit weights, with and without a tile per weight; flag is like saturate."""
    bits = 4 if get_order(name).weights == "magnitude_lsb_first" else 3
    for row in itertools.product(range(-4, 4), repeat=2):
        for input_range, mode, tile in itertools.product(((0, 3), (2, 5)), MODES[:2], (None, 1)):
            options = {"order": name, "input_range": input_range, "weight_bits": bits, "tile": tile}
            bounds = order_bounds([row], **options)
            for stage in ("inner",) if tile is None else ("inner", "outer"):
                check_two_sides(row, bounds, stage, mode, options)


@pytest.mark.parametrize("bias", [-200, -9, 9, 200])
@pytest.mark.parametrize("name", [name for name in ORDERS if name not in ("slots", "popcount")])
def test_the_bias_is_a_step_of_its_own(name, bias):
    """Products of the other sign come after it, or it is held beside them."""
    row = [-3, 0] if bias > 0 else [3, 0]
    options = {"order": name, "input_range": (1, 2), "weight_bits": 4, "bias": bias}
    bounds = order_bounds([row], **of_layer(options))
    side = "high" if bias > 0 else "low"
    found = order_witness(row, stage="inner", mode="flag", side=side, **options)
    assert abs(found.value) >= abs(bias)
    if name in ("parallel", "any_order", "activation_lsb", "weight_horner"):
        assert (found.value, found.step) == (bias, OrderStep(kind="bias"))
    for mode in MODES:
        check_two_sides(row, bounds, "inner", mode, options)


@pytest.mark.parametrize("exponent", [31, 53, 63])
@pytest.mark.parametrize("name", [name for name in ORDERS if name not in ("slots", "popcount")])
def test_both_sides_beyond_64_bits(name, exponent):
    row = [3 << exponent, -5, -(1 << exponent), 7]
    order = get_order(name)
    low = -(1 << exponent)
    options = {
        "order": name,
        "input_range": (-2, 1) if order.enumerates else (low, -low),
        "weight_bits": exponent + 4,
        "bias": 1 << exponent,
    }
    bounds = order_bounds([row], **of_layer(options))
    for mode in MODES:
        assert check_two_sides(row, bounds, "inner", mode, options) > min(64, exponent)


def test_words_of_a_step():
    found = order_witness(
        [-1] * 64,
        order="weight_lsb",
        input_range=(0, 255),
        stage="inner",
        mode="saturate",
        weight_bits=4,
    )
    assert (found.value, found.bits, found.side) == (7 * 64 * 255, 18, "high")
    assert found.step == OrderStep(kind="add", tile=0, weight_plane=2, elements=(63, 64))
    assert str(found.step) == "after adding element 63, weight plane 2, tile 0"
    assert (found.inputs == 255).all()
    words = {
        "bias": OrderStep(kind="bias"),
        "at the tree node over elements 4 to 7, tile 1": OrderStep(
            kind="node", tile=1, elements=(4, 8)
        ),
        "after adding 2 of the tile's products, the others still to come, tile 0": OrderStep(
            kind="subset", tile=0, subset=(3, 5)
        ),
        "after doubling the register, input plane 1, tile 0": OrderStep(
            kind="shift", tile=0, input_plane=1
        ),
    }
    words["after loading the bias"] = words.pop("bias")
    for text, step in words.items():
        assert str(step) == text


def test_a_tree_node_is_named():
    """-9 -9 below one node, +9 +9 below the other: the root never leaves, a node does."""
    row = [-9, -9, 9, 9, 1]
    options = {"order": "tree", "input_range": (1, 3), "weight_bits": 5}
    found = order_witness(row, stage="inner", mode="saturate", side="low", **options)
    assert (found.value, found.step.elements) == (-54, (0, 2))
    assert found.inputs.tolist() == [3, 3, 1, 1, 1]
    found = order_witness(row, stage="inner", mode="wrap", side="low", **options)
    assert (found.value, found.step.elements) == (-35, (0, 5))


def test_any_order_names_the_order():
    row = [5, -5, 5, -5]
    options = {"order": "any_order", "input_range": (10, 20)}
    found = order_witness(row, stage="inner", mode="saturate", **options)
    assert (found.value, found.step.subset, found.sequence) == (200, (0, 2), (0, 2, 1, 3))
    assert order_bounds([row], **options).inner.step_low == -200


def test_the_planes_are_those_of_the_layer():
    weights = [[-1, 0], [-8, 7]]
    assert narrowest_weight_bits(weights, "weight_lsb") == 4
    assert narrowest_weight_bits(weights, "weight_sign_magnitude") == 5
    layer = order_bounds(weights, order="weight_lsb", input_range=(0, 15))
    options = {"order": "weight_lsb", "input_range": (0, 15), "stage": "inner", "mode": "flag"}
    found = order_witness(weights[0], weight_bits=4, **options)
    assert found.value == layer.inner.step_high[0] == 105
    for call in (
        lambda: order_witness(weights[0], **options),
        lambda: order_replay(weights[0], [0, 0], order="weight_lsb", input_range=(0, 15)),
    ):
        with pytest.raises(InputError, match="needs the weight bits of the layer"):
            call()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "middle"}, "unknown accumulator stage 'middle'"),
        ({"mode": "wrpa"}, "unknown accumulator mode 'wrpa': did you mean 'wrap'"),
        ({"side": "up"}, "unknown witness side 'up'"),
        ({"stage": "outer"}, "without tiles has no outer accumulator"),
        ({"bias": 1.5}, "bias must be an integer"),
        ({"order": "weight_lbs"}, "did you mean 'weight_lsb'"),
    ],
)
def test_bad_questions(changes, message):
    options = {"order": "parallel", "input_range": (0, 1), "stage": "inner", "mode": "wrap"}
    with pytest.raises(InputError, match=message):
        order_witness([1, 2], **options | changes)


def test_inputs_are_integers_of_any_size():
    options = {"order": "weight_msb", "stage": "inner", "mode": "wrap", "weight_bits": 2}
    for low, dtype in ((-(1 << 70), object), (-4, np.int64)):
        found = order_witness([1, -1], input_range=(low, 3), side="low", **options)
        assert found.inputs.dtype == dtype and found.inputs.tolist() == [low, 3]


def test_the_machines_own_order_holds_the_bias_first():
    options = {"order": "slots", "terms": INT4, "input_range": (1, 2), "bias": 200}
    found = order_witness([-4, -2], stage="inner", mode="flag", **options)
    assert (found.value, found.step) == (200, OrderStep(kind="bias"))
    check_two_sides(
        [-4, -2], order_bounds([[-4, -2]], **of_layer(options)), "inner", "flag", options
    )
