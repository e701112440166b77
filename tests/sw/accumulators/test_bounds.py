"""Exact ranges: against enumeration of all inputs, and against worked cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import (
    Overflow,
    bounds,
    layer_bounds,
    overflowing_channels,
    signed_width,
    single_stage_bounds,
)
from sw.formats import TermTable, family_terms, get_family

repeatable = settings(deadline=None, derandomize=True, max_examples=100)
INT4 = family_terms(get_family("int4"))


def enumerated(row, *, terms, group_size, lanes, input_range, scale_row):
    """The four (low, high) of one channel, from every input vector: inner final and step, outer."""
    inputs = np.array(
        list(itertools.product(range(input_range[0], input_range[1] + 1), repeat=len(row)))
    )
    finals, steps, outers = [], [], []
    outer = 0
    for group, start in enumerate(range(0, len(row), group_size)):
        inner = 0
        stop = min(start + group_size, len(row))
        for first in range(start, stop, lanes):
            chunk = range(first, min(first + lanes, stop))
            for slot in range(1 if terms is None else terms.slots):
                for k in chunk:
                    term = None if terms is None else terms.terms[row[k]][slot]
                    factor = row[k] if term is None else term.value << terms.base_shifts[slot]
                    inner = inner + factor * inputs[:, k]
                steps.append(inner)
        finals.append(inner)
        outer = outer + scale_row[group] * inner
        outers.append(outer)
    return tuple((int(np.min(s)), int(np.max(s))) for s in (finals, steps, outers[-1], outers))


def proved(layer, channel):
    """What the bounds say, in the order of :func:`enumerated`."""
    return tuple(
        (int(low[channel]), int(high[channel]))
        for stage in (layer.inner, layer.outer)
        for low, high in (
            (stage.final_low, stage.final_high),
            (stage.step_low, stage.step_high),
        )
    )


@pytest.mark.parametrize("input_range", [(0, 3), (-4, 3), (2, 5), (-5, -2)])
@pytest.mark.parametrize("terms", [None, INT4], ids=["parallel", "serial"])
def test_every_small_row_has_the_enumerated_range(input_range, terms):
    some = (-7, -3, 0, 2, 7)
    scales = np.array([3, 0, 2])
    for levels, group_size, lanes in [
        (list(itertools.product(range(-7, 8), repeat=1)), 4, 3),
        (list(itertools.product(range(-7, 8), repeat=2)), 2, 1),
        (list(itertools.product(some, repeat=3)), 3, 2),
        (list(itertools.product(some, repeat=3)), 2, 2),
        (list(itertools.product(some, repeat=3)), 1, 1),
    ]:
        groups = -(-len(levels[0]) // group_size)
        schedule = {
            "terms": terms,
            "group_size": group_size,
            "lanes": lanes,
            "input_range": input_range,
        }
        codes = np.tile(scales[:groups], (len(levels), 1))
        layer = layer_bounds(np.array(levels), scale_codes=codes, **schedule)
        for channel, row in enumerate(levels):
            assert proved(layer, channel) == enumerated(row, scale_row=scales, **schedule), row


@repeatable
@given(data=st.data())
def test_random_rows_have_the_enumerated_range(data):
    family = get_family(data.draw(st.sampled_from(["int4", "int6", "int8", "bitmod_fp4"])))
    length = data.draw(st.integers(1, 5))
    group_size = data.draw(st.integers(1, 6))
    low = data.draw(st.integers(-6, 4))
    schedule = {
        "terms": data.draw(st.sampled_from([None, family_terms(family)])),
        "group_size": group_size,
        "lanes": data.draw(st.integers(1, 4)),
        "input_range": (low, low + data.draw(st.integers(0, 3))),
    }
    row = data.draw(st.lists(st.sampled_from(family.all_levels), min_size=length, max_size=length))
    groups = -(-length // group_size)
    scales = data.draw(st.lists(st.integers(0, 255), min_size=groups, max_size=groups))
    layer = layer_bounds([row], scale_codes=[scales], **schedule)
    assert proved(layer, 0) == enumerated(row, scale_row=scales, **schedule)
    assert layer.inner_bits("flag") == layer.inner_bits("saturate") >= layer.inner_bits("wrap")
    assert layer.inner_bits("flag") == signed_width(*proved(layer, 0)[1])
    assert layer.outer_bits("wrap") == signed_width(*proved(layer, 0)[2])


def test_ragged_groups_and_chunks_count_only_their_weights():
    """Groups 5 + 5 + 1, chunks 3 + 2, 3 + 2, 1; inputs above 0, so padding would show."""
    layer = layer_bounds(
        [[1, 1, 1, -1, -1, 2, 2, 2, -2, -2, -7]],
        terms=None,
        group_size=5,
        lanes=3,
        input_range=(10, 20),
        scale_codes=[[1, 0, 3]],
    )
    assert (layer.inner.final_low, layer.inner.final_high) == (-140, 80)
    assert (layer.inner.step_low, layer.inner.step_high) == (-140, 120)
    # first group [-10, 40], the second scaled away, the third [-140, -70] times 3
    assert (layer.outer.final_low, layer.outer.final_high) == (-430, -170)
    assert (layer.outer.step_low, layer.outer.step_high) == (-430, 40)
    assert layer.l1 == 10


@pytest.mark.parametrize("exponent", [0, 20, 28, 30, 31, 50, 54, 61, 62, 63, 70])
def test_ranges_are_exact_at_any_size(exponent):
    """Weights 3, -5, 7 in two groups, inputs and scales chosen around the edges of int32, int64."""
    for low, high in ((-(1 << exponent), (1 << exponent) - 1), (1, (1 << exponent) + 1)):
        for scale in (0, 1, 255, 1 << 40):
            layer = layer_bounds(
                [[3, -5, 7]],
                terms=INT4,
                group_size=2,
                lanes=1,
                input_range=(low, high),
                scale_codes=[[scale, scale + 1]],
            )
            first = (3 * low - 5 * high, 3 * high - 5 * low)
            second = (7 * low, 7 * high)
            total = [scale * f + (scale + 1) * s for f, s in zip(first, second, strict=True)]
            assert layer.inner.final_low == min(first[0], second[0])
            assert layer.inner.final_high == max(first[1], second[1])
            assert layer.inner.step_high == max(3 * high, first[1], 8 * high)
            assert (layer.outer.final_low, layer.outer.final_high) == tuple(total)
            assert layer.outer_bits("wrap") == signed_width(*total)
    weight = 3 << exponent
    layer = single_stage_bounds([[weight, -weight - 1], [0, 1]], (0, 255))
    assert layer.inner.final_high.tolist() == [255 * weight, 255]
    assert layer.inner.final_low.tolist() == [-255 * weight - 255, 0]


@pytest.mark.parametrize("exponent", [31, 32, 63, 64])
def test_sums_of_many_are_exact(exponent):
    """No single product reaches the exponent: the weights of a group do, the groups do, 8 does."""
    inputs = (0, 1 << exponent - 6)
    schedule = {"terms": INT4, "lanes": 4, "input_range": inputs}
    row = [[1] * 64]
    assert single_stage_bounds(row, inputs).inner.final_high == 1 << exponent
    layer = layer_bounds(row, group_size=1, scale_codes=[[1] * 64], **schedule)
    assert layer.outer.final_high == 1 << exponent
    layer = layer_bounds([[7] * 8], group_size=8, scale_codes=None, **schedule)
    assert layer.inner.step_high == (4 * 7 + 4 * 8) << exponent - 6
    schedule["input_range"] = (0, 1 << exponent - 3)
    layer = layer_bounds([[7]], group_size=8, scale_codes=None, **schedule)
    assert layer.inner.step_high == 1 << exponent


@pytest.mark.parametrize("exponent", [31, 63])
def test_input_ends_beyond_the_sums_are_exact(exponent):
    """Zero weights keep every sum at 0 however large the inputs."""
    layer = single_stage_bounds([[0, 0]], (0, 1 << exponent))
    assert layer.inner_bits("flag") == 1
    lowest = -(1 << exponent)
    assert single_stage_bounds([[1]], (lowest, 0)).inner.final_low == lowest
    assert single_stage_bounds([[lowest]], (0, 1)).inner_bits("wrap") == exponent + 1
    assert single_stage_bounds([[-lowest]], (0, 1)).inner_bits("wrap") == exponent + 2


def test_integer_dtypes_agree():
    levels = np.random.default_rng(5).integers(-7, 8, size=(6, 10))
    schedule = {"terms": INT4, "group_size": 4, "lanes": 3, "input_range": (-8, 7)}
    expected = layer_bounds(levels, scale_codes=[[255, 1, 7]] * 6, **schedule)
    for dtype in (np.int8, np.int16, object):
        codes = np.array([[255, 1, 7]] * 6, dtype=np.uint8)
        layer = layer_bounds(levels.astype(dtype), scale_codes=codes, **schedule)
        for channel in range(6):
            assert proved(layer, channel) == proved(expected, channel)
    largest = single_stage_bounds(np.array([[1 << 63]], dtype=np.uint64), (0, 1))
    assert largest.inner.final_high == 1 << 63
    assert single_stage_bounds([[1 << 63, -1]], (0, 1)).inner.final_low == -1


def test_blocks_of_channels_join_to_the_same_bounds(monkeypatch):
    rng = np.random.default_rng(11)
    levels = rng.integers(-7, 8, size=(23, 10))
    schedule = {"terms": INT4, "group_size": 4, "lanes": 3, "input_range": (-8, 7)}
    codes = rng.integers(0, 256, size=(23, 3))
    whole = layer_bounds(levels, scale_codes=codes, **schedule)
    for block in (1, 50):
        monkeypatch.setattr(bounds, "BLOCK_WEIGHTS", block)
        parts = layer_bounds(levels, scale_codes=codes, **schedule)
        for channel in range(23):
            assert proved(parts, channel) == proved(whole, channel)
        assert parts.l1.tolist() == whole.l1.tolist()


def test_worst_channel_and_overflowing_channels():
    layer = layer_bounds(
        [[1, 1], [7, 0], [7, 7], [-7, -7]],
        terms=INT4,
        group_size=1,
        lanes=1,
        input_range=(0, 15),
        scale_codes=[[1, 1]] * 4,
    )
    assert layer.channels == 4
    assert layer.inner_bits("wrap").tolist() == [5, 8, 8, 8]
    assert layer.outer_bits("wrap").tolist() == [6, 8, 9, 9]
    assert layer.worst_channel("inner", "wrap") == 1 and layer.max_bits("inner", "wrap") == 8
    assert layer.worst_channel("outer", "flag") == 2 and layer.max_bits("outer", "flag") == 9
    assert overflowing_channels(layer, 8, 9, "wrap", "flag") == []
    assert overflowing_channels(layer, 8, None, "flag", "flag") == []
    assert overflowing_channels(layer, 7, 8, "wrap", "saturate") == [
        Overflow(1, "inner", 8, 0, 105),
        Overflow(2, "inner", 8, 0, 105),
        Overflow(3, "inner", 8, -105, 0),
        Overflow(2, "outer", 9, 0, 210),
        Overflow(3, "outer", 9, -210, 0),
    ]
    assert overflowing_channels(layer, 7, 9, "flag", "flag")[0] == (1, "inner", 8, 0, 120)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"levels": [[]]}, r"levels must be non-empty with 2 axes, not of shape \(1, 0\)"),
        ({"levels": [1, 2, 3]}, r"levels must be non-empty with 2 axes, not of shape \(3,\)"),
        ({"levels": [[1, 2], [3]]}, "levels must be a full array, its rows differ in length"),
        ({"levels": [[1.0, 2.0, 3.0]]}, "levels must hold integers only, not 1.0"),
        ({"levels": [[True, False, True]]}, "levels must hold integers only, not True"),
        ({"levels": [[1, 2, None]]}, "levels must hold integers only, not None"),
        ({"levels": [[1, 2, 8]]}, "level 8 has no terms in this table"),
        ({"levels": [[-9, 2, 3]]}, "level -9 has no terms in this table"),
        (
            {"levels": [[9, 3, 0]], "terms": family_terms(get_family("bitmod_fp4"))},
            "level 9 has no terms in this table",
        ),
        ({"group_size": 0}, "group size must be at least 1, not 0"),
        ({"group_size": 2.0}, "group size must be an integer, not 2.0"),
        ({"lanes": -1}, "lanes must be at least 1, not -1"),
        ({"input_range": (3, 2)}, "input range low 3 is above its high 2"),
        ({"input_range": (0, 2.5)}, "input range high must be an integer, not 2.5"),
        ({"input_range": 255}, r"input range must be \(low, high\), not 255"),
        ({"scale_codes": [[1, 2, 3]]}, r"shape \(1, 3\), .* one per channel and group, \(1, 2\)"),
        ({"scale_codes": [[1, -2]]}, "scale codes must not be negative, found -2"),
        ({"scale_codes": [[1, 0.5]]}, "scale codes must hold integers only, not"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, message):
    good = {
        "levels": [[1, 2, 3]],
        "terms": INT4,
        "group_size": 2,
        "lanes": 1,
        "input_range": (0, 3),
        "scale_codes": [[1, 2]],
    }
    layer_bounds(**good)
    with pytest.raises(InputError, match=message):
        layer_bounds(**(good | change))


def test_questions_without_an_answer_are_refused():
    layer = single_stage_bounds([[1, 2]], (0, 3))
    with pytest.raises(InputError, match="no outer accumulator: it was bounded without scales"):
        layer.outer_bits("wrap")
    with pytest.raises(InputError, match="unknown accumulator mode 'warp': did you mean 'wrap'"):
        layer.inner_bits("warp")
    with pytest.raises(InputError, match="unknown accumulator stage 'iner': did you mean 'inner'"):
        layer.max_bits("iner", "wrap")
    with pytest.raises(InputError, match="inner accumulator bits must be at least 1, not 0"):
        overflowing_channels(layer, 0, None, "wrap", "wrap")
    wide = TermTable(
        lane_exponent_bits=5, base_shifts=(0,), terms={0: (), 1 << 30: ()}, worst_escape=0
    )
    with pytest.raises(InputError, match="the term table's levels span more than"):
        layer_bounds([[0]], terms=wide, group_size=1, lanes=1, input_range=(0, 1), scale_codes=None)
