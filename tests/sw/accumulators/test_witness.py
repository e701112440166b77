"""Two-sided: the proved width holds for every input, and one bit less fails on the witness."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import (
    layer_bounds,
    reference_accumulate,
    signed_width,
    single_stage_bounds,
    witness,
)
from sw.formats import family_terms, get_family

repeatable = settings(deadline=None, derandomize=True, max_examples=150)
INT4 = family_terms(get_family("int4"))
MODES = ("wrap", "saturate", "flag")
STAGES = ("inner", "outer")


def replay_at(row, x, *, stage, bits, mode, inner, **schedule):
    """Replay with ``bits`` at ``stage``; an inner stage before it has the ``inner`` width."""
    widths = {"inner_bits": inner, "outer_bits": None, "inner_mode": mode, "outer_mode": mode}
    widths[f"{stage}_bits"] = bits
    return reference_accumulate(row, x, **schedule, **widths)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("input_range", [(0, 3), (-4, 3), (2, 5)])
@pytest.mark.parametrize("terms", [None, INT4], ids=["parallel", "serial"])
def test_width_holds_for_all_inputs_and_one_bit_less_fails(mode, input_range, terms):
    rows = [(7,), (-3,), (5, -5), (7, 7), (-7, 3), (1, -1), (7, -7, 7), (5, 5, -5), (-3, 7, 2)]
    for row, (group_size, lanes) in itertools.product(rows, [(3, 2), (2, 1)]):
        scales = [3, 2][: -(-len(row) // group_size)]
        schedule = {"terms": terms, "group_size": group_size, "lanes": lanes}
        layer = layer_bounds([row], input_range=input_range, scale_codes=[scales], **schedule)
        schedule["scale_row"] = scales
        inner = int(layer.inner_bits(mode)[0])
        for stage in STAGES:
            bits = int(layer.stage(stage).bits(mode)[0])
            at = {"stage": stage, "mode": mode, "inner": inner, **schedule}
            values = range(input_range[0], input_range[1] + 1)
            assert not any(
                replay_at(row, x, bits=bits, **at).fails(stage, mode)
                for x in itertools.product(values, repeat=len(row))
            ), (row, stage)
            found = witness(row, input_range=input_range, stage=stage, mode=mode, **schedule)
            assert found.bits == bits
            assert bits == 1 or replay_at(row, found.inputs, bits=bits - 1, **at).fails(stage, mode)


@st.composite
def problems(draw):
    """A row of up to 12 weights with any schedule and any range of inputs."""
    family = get_family(draw(st.sampled_from(["int4", "int6", "int8", "bitmod_fp4"])))
    length, group_size = draw(st.integers(1, 12)), draw(st.integers(1, 13))
    low = draw(st.integers(-300, 300))
    groups = -(-length // group_size)
    levels = st.sampled_from(family.all_levels)
    return {
        "levels_row": draw(st.lists(levels, min_size=length, max_size=length)),
        "terms": draw(st.sampled_from([None, family_terms(family)])),
        "group_size": group_size,
        "lanes": draw(st.integers(1, 5)),
        "input_range": (low, low + draw(st.integers(0, 400))),
        "scale_row": draw(st.lists(st.integers(0, 255), min_size=groups, max_size=groups)),
    }


@repeatable
@given(
    problem=problems(),
    stage=st.sampled_from(STAGES),
    mode=st.sampled_from(MODES),
    sign=st.sampled_from([None, "low", "high"]),
)
def test_witness_reaches_the_proved_end_at_the_named_step(problem, stage, mode, sign):
    row, scales = problem["levels_row"], problem["scale_row"]
    schedule = {key: problem[key] for key in ("terms", "group_size", "lanes")}
    layer = layer_bounds(
        [row], input_range=problem["input_range"], scale_codes=[scales], **schedule
    )
    found = witness(stage=stage, mode=mode, sign=sign, **problem)
    range_ = layer.stage(stage)
    assert found.value == (range_.low(mode) if found.side == "low" else range_.high(mode))
    assert found.value == exact_after(row, found, stage, **problem)
    assert sign in (None, found.side)
    needed = int(range_.bits(mode)[0])
    assert found.bits == signed_width(found.value, found.value) <= needed
    assert found.inputs.min() >= problem["input_range"][0]
    assert found.inputs.max() <= problem["input_range"][1]

    inner = int(layer.inner_bits(mode)[0])
    at = {"stage": stage, "mode": mode, "inner": inner, "scale_row": scales, **schedule}
    assert not replay_at(row, found.inputs, bits=needed, **at).fails(stage, mode)
    if sign is None:
        assert found.bits == needed
    if found.bits > 1:
        assert replay_at(row, found.inputs, bits=found.bits - 1, **at).fails(stage, mode)


def exact_after(row, found, stage, *, terms, group_size, lanes, scale_row, **_):
    """Exact sum of ``stage`` right after the witness's step, one weight and term at a time."""
    total = 0
    for k, (level, x) in enumerate(zip(row, found.inputs.tolist(), strict=True)):
        group, inside = divmod(k, group_size)
        chunk = inside // lanes
        shifts = (0,) if terms is None else terms.base_shifts
        for slot, shift in enumerate(shifts):
            factor = level if terms is None else terms.terms[level][slot].value << shift
            if stage == "outer":
                total += factor * x * scale_row[group] * (group <= found.group)
            elif group == found.group and (chunk, slot) <= (found.chunk, found.slot):
                total += factor * x
    return total


def test_overshoot_witness_stops_in_the_first_slot_of_the_last_chunk():
    schedule = {"terms": INT4, "group_size": 9, "lanes": 3, "scale_row": None}
    problem = {"input_range": (-128, 127), "stage": "inner", "mode": "flag", **schedule}
    assert witness([7] * 9, **problem).value == 127 * (42 + 24)
    found = witness([7] * 9, sign="low", **problem)
    assert (found.side, found.value, found.bits) == ("low", -8448, 15)
    assert (found.group, found.chunk, found.slot) == (0, 2, 0)
    assert found.inputs.dtype == np.int64 and found.inputs.tolist() == [-128] * 9
    at = {"stage": "inner", "mode": "flag", "inner": None, **schedule}
    assert replay_at([7] * 9, found.inputs, bits=14, **at).inner_events[0] == (0, 2, 0)
    assert not replay_at([7] * 9, found.inputs, bits=14, **(at | {"mode": "wrap"})).fails(
        "inner", "wrap"
    )


def test_inputs_that_do_not_matter_stay_nearest_zero():
    schedule = {"terms": None, "group_size": 3, "lanes": 1, "scale_row": None, "stage": "inner"}
    row = [5, -5, 0, 1, 1]
    for input_range, idle in (((-3, 9), 0), ((10, 20), 10), ((-20, -10), -10)):
        found = witness(row, input_range=input_range, mode="flag", sign="high", **schedule)
        assert (found.group, found.chunk) == (0, 0 if idle == 10 else 1)
        assert found.inputs[2:].tolist() == [idle] * 3
    # a group scaled by 0 does not matter to the outer stage
    outer = schedule | {"stage": "outer", "scale_row": [0, 2]}
    found = witness(row, input_range=(0, 9), mode="wrap", **outer)
    assert found.inputs.tolist() == [0, 0, 0, 9, 9] and found.value == 36
    assert (found.group, found.chunk, found.slot) == (1, 1, 0)


def test_zero_weights_need_one_bit():
    problem = {"terms": None, "group_size": 2, "lanes": 1, "input_range": (-8, 7)}
    for stage, mode in itertools.product(STAGES, MODES):
        found = witness([0, 0], scale_row=[9], stage=stage, mode=mode, **problem)
        assert (found.value, found.bits) == (0, 1) and found.inputs.tolist() == [0, 0]


def test_witness_of_a_huge_sum_is_exact():
    row, inputs = [1 << 60, -(1 << 60) - 1, 3], (0, 255)
    needed = int(single_stage_bounds([row], inputs).inner_bits("wrap")[0])
    schedule = {"terms": None, "group_size": 3, "lanes": 1, "scale_row": None}
    found = witness(row, input_range=inputs, stage="inner", mode="wrap", **schedule)
    assert found.bits == needed == 69 and found.value == 255 * ((1 << 60) + 3)
    found = witness(row, input_range=inputs, stage="inner", mode="wrap", sign="low", **schedule)
    assert found.value == -255 * ((1 << 60) + 1) and found.inputs.tolist() == [0, 255, 0]
    huge = (0, 1 << 70)
    found = witness([3], input_range=huge, stage="inner", mode="wrap", **schedule)
    assert found.inputs.tolist() == [1 << 70] and found.bits == 73


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "outer", "scale_row": None}, "outer stage needs the scale codes of its row"),
        ({"stage": "outer", "scale_row": [1, 2]}, r"shape \(1, 2\)"),
        ({"stage": "middle"}, "unknown accumulator stage 'middle'"),
        ({"mode": "wap"}, "unknown accumulator mode 'wap': did you mean 'wrap'"),
        ({"sign": "hi"}, "unknown witness sign 'hi': did you mean 'high'"),
        ({"levels_row": [[1]]}, "levels of a row must be non-empty with 1 axes"),
        ({"levels_row": [8]}, "level 8 has no terms"),
        ({"lanes": 0}, "lanes must be at least 1"),
        ({"input_range": (2, 1)}, "input range low 2 is above its high 1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, message):
    good = {
        "levels_row": [1],
        "terms": INT4,
        "group_size": 1,
        "lanes": 1,
        "input_range": (0, 1),
        "scale_row": [1],
        "stage": "inner",
        "mode": "wrap",
    }
    witness(**good)
    with pytest.raises(InputError, match=message):
        witness(**(good | change))
