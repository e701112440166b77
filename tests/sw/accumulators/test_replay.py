"""The step-by-step reference, on cases small enough to do by hand."""

import itertools

import numpy as np
import pytest

from configs.errors import InputError
from sw.accumulators import reference_accumulate
from sw.formats import family_terms, get_family

INT4 = family_terms(get_family("int4"))
ROOMY = {
    "terms": None,
    "group_size": 8,
    "lanes": 1,
    "scale_row": None,
    "inner_bits": 8,
    "outer_bits": None,
    "inner_mode": "wrap",
    "outer_mode": "wrap",
}


def test_saturation_depends_on_order_and_wrapping_does_not():
    for row, wrapped, saturated, clamps, wraps in [
        ([100, 100, -100], 100, 27, ((0, 1, 0),), ((0, 1, 0), (0, 2, 0))),
        ([100, -100, 100], 100, 100, (), ()),
    ]:
        wrap = reference_accumulate(row, [1, 1, 1], **ROOMY)
        flag = reference_accumulate(row, [1, 1, 1], **(ROOMY | {"inner_mode": "flag"}))
        clamp = reference_accumulate(row, [1, 1, 1], **(ROOMY | {"inner_mode": "saturate"}))
        assert wrap.value == flag.value == wrapped and clamp.value == saturated
        # 100 + 100 wraps to -56, and -56 - 100 wraps back
        assert wrap.inner_events == flag.inner_events == wraps and clamp.inner_events == clamps
        assert flag.inner_flag == bool(wraps) and not flag.outer_flag
        assert not wrap.fails("inner", "wrap") and flag.fails("inner", "flag") == bool(wraps)
        assert clamp.fails("inner", "saturate") == bool(clamps)


def test_orders_of_one_multiset():
    seen = {"wrap": set(), "saturate": set()}
    for row, mode in itertools.product(itertools.permutations([7, 7, -8, -8]), seen):
        four = ROOMY | {"inner_bits": 4, "inner_mode": mode}
        seen[mode].add(reference_accumulate(row, [1] * 4, **four).value)
    assert seen == {"wrap": {-2}, "saturate": {-8, -2, -1, 6}}


def test_terms_are_added_slot_by_slot():
    """7 = 8 - 1: with input 1 the sum passes through 8, which 4 bits cannot hold."""
    four = ROOMY | {"terms": INT4, "inner_bits": 4}
    wrap = reference_accumulate([7], [1], **four)
    assert wrap.value == 7 and wrap.inner_events == ((0, 0, 0), (0, 0, 1))
    clamp = reference_accumulate([7], [1], **(four | {"inner_mode": "saturate"}))
    assert clamp.value == 6
    assert reference_accumulate([7], [1], **(four | {"inner_bits": 5})).inner_events == ()


def test_lanes_share_a_step():
    """7 and -7 in one chunk cancel within the step; in two chunks the first leaves 3 bits."""
    three = ROOMY | {"inner_bits": 3}
    assert reference_accumulate([7, -7], [1, 1], **(three | {"lanes": 2})).inner_events == ()
    assert reference_accumulate([7, -7], [1, 1], **three).inner_events[0] == (0, 0, 0)


def test_two_stages_and_ragged_groups():
    """Groups [1, 2], [3, 4], [5] on inputs 1..5: sums 5, 25, 25, scaled by 2, 0, 3."""
    stages = ROOMY | {"group_size": 2, "lanes": 2, "scale_row": [2, 0, 3], "outer_bits": 8}
    row, x = np.arange(1, 6), np.arange(1, 6)
    replay = reference_accumulate(row, x, **stages)
    assert replay.group_sums == replay.exact_group_sums == (5, 25, 25)
    assert replay.value == replay.exact_value == 85
    assert replay.outer_events == () and not replay.fails("outer", "wrap")

    narrow = stages | {"outer_bits": 7}
    replay = reference_accumulate(row, x, **narrow)
    assert replay.value == 85 - 128 and replay.exact_value == 85
    assert replay.outer_events == (2,) and replay.outer_flag
    assert replay.fails("outer", "wrap") and replay.fails("outer", "flag")
    replay = reference_accumulate(row, x, **(narrow | {"outer_mode": "saturate"}))
    assert replay.value == 63 and replay.fails("outer", "saturate")

    replay = reference_accumulate(row, x, **(stages | {"inner_bits": 5}))
    assert replay.group_sums == (5, -7, -7) and replay.exact_group_sums == (5, 25, 25)
    assert replay.inner_events == ((1, 0, 0), (2, 0, 0))
    assert replay.value == 10 - 21 and replay.exact_value == 85
    assert replay.fails("inner", "wrap")

    # each group starts from 0 and, without scales, the last latched sum is the value
    single = stages | {"scale_row": None, "inner_bits": None}
    replay = reference_accumulate([9, 9, 1], [9, 9, 1], **single)
    assert replay.group_sums == (162, 1) and replay.value == replay.exact_value == 1


def test_saturation_keeps_its_sign():
    for mode, low, high in (("saturate", -8, 7), ("flag", 7, -8)):
        four = ROOMY | {"inner_bits": 4, "inner_mode": mode}
        assert reference_accumulate([-9], [1], **four).value == low
        assert reference_accumulate([8], [1], **four).value == high


@pytest.mark.parametrize(
    ("row", "x", "change", "message"),
    [
        ([1, 2], [1], {}, "2 weights cannot meet 1 inputs"),
        ([1], [0.5], {}, "inputs must hold integers only, not"),
        ([1], [1], {"lanes": 0}, "lanes must be at least 1"),
        ([1], [1], {"group_size": 0}, "group size must be at least 1"),
        ([1], [1], {"inner_bits": 0}, "register bits must be at least 1"),
        ([1], [1], {"inner_mode": "clip"}, "unknown accumulator mode 'clip'"),
        ([1], [1], {"scale_row": [1, 2]}, r"scale codes must be 1 numbers.* not \[1, 2\]"),
        ([1], [1], {"scale_row": [-1]}, r"none negative, not \[-1\]"),
        ([8], [1], {"terms": INT4}, "level 8 has no terms in this table"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(row, x, change, message):
    with pytest.raises(InputError, match=message):
        reference_accumulate(row, x, **(ROOMY | change))


def test_unknown_questions_are_refused():
    replay = reference_accumulate([1], [1], **ROOMY)
    with pytest.raises(InputError, match="unknown accumulator stage 'middle'"):
        replay.fails("middle", "wrap")
    with pytest.raises(InputError, match="unknown accumulator mode 'warp'"):
        replay.fails("inner", "warp")
