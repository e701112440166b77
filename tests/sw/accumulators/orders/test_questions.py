"""The register of orders, and questions that are refused with one sentence."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.accumulators.orders import ORDERS, get_order, order_bounds, order_replay
from sw.formats import family_terms, get_family

INT4 = family_terms(get_family("int4"))


def test_the_register():
    assert all(name == order.name for name, order in ORDERS.items())
    assert all(order.description and "\n" not in order.description for order in ORDERS.values())
    assert get_order("tree") is ORDERS["tree"]
    with pytest.raises(
        InputError, match=r"unknown order of additions 'popcnt': did you mean 'popcount'"
    ):
        get_order("popcnt")
    with pytest.raises(InputError, match=r"valid are activation_horner, .*weight_sign_magnitude"):
        get_order("xyz")


def test_a_counter_holds_no_bias():
    options = {"input_range": (-1, 1), "bias": [100]}
    counted = order_bounds([[1, -1]], order="popcount", **options)
    assert (counted.inner.step_high[0], counted.corrected.final_high[0]) == (2, 102)
    summed = order_bounds([[1, -1]], order="parallel", **options)
    assert summed.inner.step_high[0] == 102 and summed.corrected is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": "paralel"}, "did you mean 'parallel'"),
        ({"weights": []}, "weights must be non-empty with 2 axes"),
        ({"weights": [1, 2]}, "weights must be non-empty with 2 axes"),
        ({"weights": [[1], [2, 3]]}, "its rows differ in length"),
        ({"weights": [[0.5]]}, "weights must hold integers only, not 0.5"),
        ({"weights": np.ones((2, 2))}, "weights must hold integers only"),
        ({"input_range": (3, 2)}, "input range low 3 is above its high 2"),
        ({"input_range": 3}, r"input range must be \(low, high\)"),
        ({"tile": 0}, "group size must be at least 1"),
        ({"lanes": 0}, "lanes must be at least 1"),
        ({"lanes": 1.5}, "lanes must be an integer"),
        ({"bias": [1]}, "bias has 1 values for 2 rows"),
        ({"bias": [1.5, 1]}, "bias must hold integers only"),
        ({"scale_codes": [[1], [1]]}, "scale codes need a tile"),
        ({"scale_codes": [[1], [1]], "tile": 1}, r"needs one per channel and group, \(2, 2\)"),
        ({"scale_codes": [[1, -1], [1, 1]], "tile": 1}, "must not be negative"),
        ({"input_zero_point": 0.5}, "input zero point must be an integer"),
        ({"terms": INT4}, "'parallel' takes no term table"),
        ({"order": "slots"}, "'slots' needs the term table of the PE"),
        ({"order": "slots", "terms": INT4, "weights": [[99]]}, "level 99 has no terms"),
        ({"order": "weight_lsb", "weight_bits": 2}, "from -3 to 2 need 3 bits in two's complement"),
        (
            {"order": "weight_sign_magnitude", "weight_bits": 2},
            "from -3 to 2 need 3 bits in sign and magnitude, not 2",
        ),
        ({"order": "activation_lsb", "input_bits": 3}, "inputs from 0 to 15 need 4 bits, not 3"),
        (
            {"order": "activation_lsb", "input_range": (-9, 3), "input_bits": 4},
            "inputs from -9 to 3 need 5 bits, not 4",
        ),
        (
            {"order": "both_lsb", "input_range": (0, 1 << 20)},
            "looks at every pair .* 4 times 1048577 are more than 1048576",
        ),
        ({"order": "popcount"}, r"needs weights of \+-1, not"),
        (
            {"order": "popcount", "weights": [[1, -1]]},
            r"needs the inputs -1 and 1, not \[0, 15\]",
        ),
        (
            {
                "order": "popcount",
                "weights": [[1, -1]],
                "input_range": (-1, 1),
                "input_zero_point": 1,
            },
            "has no input zero point",
        ),
    ],
)
def test_bad_layers(changes, message):
    options = {"order": "parallel", "input_range": (0, 15), "weights": [[1, -3], [2, 0]]} | changes
    with pytest.raises(InputError, match=message):
        order_bounds(options.pop("weights"), **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": [1]}, "2 weights cannot meet 1 inputs"),
        ({"x": [1, 16]}, "inputs from 1 to 16 leave their range 0 to 15"),
        ({"lanes": 0}, "lanes must be at least 1"),
        ({"tile": 0}, "tile must be at least 1"),
        ({"tile": 1, "scale_codes": [1]}, "scale codes must be one per tile"),
        ({"scale_codes": [1]}, "scale codes must be one per tile"),
        ({"inner_mode": "clamp"}, "unknown accumulator mode 'clamp'"),
        ({"inner_bits": 0}, "register bits must be at least 1"),
        ({"order": "any_order", "sequence": [0, 0]}, "must name each of 2 elements once"),
        ({"order": "slots"}, "for the order of additions 'slots', which needs one"),
        ({"terms": INT4}, "for the order of additions 'slots', which needs one"),
        ({"order": "weight_lsb", "weight_bits": 2}, "do not fit into 2 bits"),
        ({"order": "activation_lsb", "input_bits": 3}, "input bits must be at least 4"),
        ({"order": "popcount"}, r"needs weights and inputs of \+-1"),
    ],
)
def test_bad_replays(changes, message):
    options = {"order": "parallel", "input_range": (0, 15), "x": [1, 2]} | changes
    with pytest.raises(InputError, match=message):
        order_replay([1, -3], options.pop("x"), **options)


def test_unsigned_weights_and_wide_dtypes():
    """Dtypes are only containers: uint8, int16 with a wide span, and Python ints give the same."""
    values = [[200, 1, 0], [255, 3, 128]]
    wanted = order_bounds(values, order="weight_msb", input_range=(0, 7)).inner
    for dtype in (np.uint8, np.int16, np.uint64, object):
        found = order_bounds(np.array(values, dtype), order="weight_msb", input_range=(0, 7)).inner
        assert (found.step_low == wanted.step_low).all() and wanted.step_low[0] == 0
        assert (found.final_high == wanted.final_high).all()
    spread = np.array([[-(1 << 31), (1 << 31) - 1, -1]], dtype=np.int32)
    for name in ("any_order", "weight_lsb", "both_lsb"):
        found = order_bounds(spread, order=name, input_range=(0, 1)).inner
        assert (found.final_low[0], found.final_high[0]) == (-(1 << 31) - 1, (1 << 31) - 1)


def test_the_largest_tile_may_be_the_last_and_shorter_one():
    layer = order_bounds([[1, 1, -9]], order="tree", tile=2, input_range=(0, 1))
    assert (layer.l1[0], layer.inner.final_low[0], layer.inner.final_high[0]) == (9, -9, 2)
