"""The check that any quantized model can be put through, and its word on final integers."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.schema import LayerQuantization
from configs.target import AccumulatorTarget
from sw.accumulators import layer_bounds
from sw.formats import fitting_terms, get_family
from sw.quantize import QuantizedMatrix, QuantizedModel, quantize_matrix
from sw.quantize.asymmetric import quantize_asymmetric
from sw.quantize.narrow import check_matrix, check_widths, guarantee, layer, matrix_bounds
from sw.quantize.narrow.scales import scale_codes_within

DATA = Path(__file__).parents[5] / "shared" / "data" / "accumulator_bounds_brevitas.json"


def integers(rows, group_size=None, name="int4"):
    """A quantized matrix of given integers."""
    levels = np.atleast_2d(rows)
    family = get_family(name)
    groups = -(-levels.shape[1] // (group_size or levels.shape[1]))
    return QuantizedMatrix(
        family=family,
        group_size=group_size or levels.shape[1],
        codes=family.members[0].encode(levels).astype(np.uint8),
        format_ids=np.zeros((len(levels), groups), dtype=np.uint8),
        scales=np.ones((len(levels), groups), dtype=np.float32),
    )


def weights_of(rows, columns, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["int3", "int4", "bitmod_fp4", "ant4"]),
    st.sampled_from(["wrap", "saturate", "flag"]),
    st.integers(6, 18),
    st.integers(14, 28),
    st.integers(0, 1000),
)
def test_verdict_is_that_of_the_exact_bounds(name, mode, inner, outer, seed):
    """On any format, channel by channel, whatever the model was made with."""
    matrix = quantize_matrix(
        weights_of(5, 40, seed), get_family(name), group_size=16, scale_format="uint8"
    )
    target = AccumulatorTarget(inner_bits=inner, outer_bits=outer, mode=mode)
    bounds = layer_bounds(
        matrix.levels,
        terms=fitting_terms(matrix.family),
        group_size=16,
        lanes=4,
        input_range=(-128, 127),
        scale_codes=matrix.scale_codes,
    )
    needed = bounds.inner_bits(mode), bounds.outer_bits(mode)
    found = check_matrix("w", matrix, target)
    assert (found.inner_bits, found.outer_bits) == (needed[0].max(), needed[1].max())
    broken = np.flatnonzero((needed[0] > inner) | (needed[1] > outer))
    assert found.overflowing == tuple(broken) and found.holds == (not broken.size)


def test_zero_points_reach_the_outer_register():
    matrix = quantize_asymmetric(weights_of(3, 32) + 2, bits=4, group_size=16, scale_format="uint8")
    target = AccumulatorTarget(inner_bits=16, outer_bits=40)
    raw = matrix_bounds(matrix, target)
    corrected = matrix.levels - matrix.expand(matrix.zero_points)
    expected = layer_bounds(
        corrected,
        terms=None,
        group_size=16,
        lanes=4,
        input_range=(-128, 127),
        scale_codes=matrix.scale_codes,
    )
    assert raw.max_bits("outer", "wrap") == expected.max_bits("outer", "wrap")
    assert raw.max_bits("inner", "wrap") != expected.max_bits("inner", "wrap")


def test_models_are_checked_layer_by_layer(tmp_path):
    narrow, wide = integers([[1, -1, 2, 0]]), integers([[7] * 4, [0] * 4, [-7] * 4])
    model = QuantizedModel(name="two", layers={"a": narrow, "b": wide})
    model.save(tmp_path / "two")
    for tried in (model, QuantizedModel.load(tmp_path / "two")):
        loose = AccumulatorTarget(inner_bits=13)
        found = guarantee(tried, loose)
        assert list(found) == ["a", "b"]
        assert found["b"].inner_bits == 13 and found["b"].zero_channels == 1
        tight = AccumulatorTarget(inner_bits=12)
        found = check_widths(tried, tight)
        assert found["a"].holds and found["b"].overflowing == (0, 2)
        with pytest.raises(InputError, match=r"layer .b. does not fit inner_bits 12 .wrap.: 2"):
            guarantee(tried, tight)
        assert guarantee(tried, {"a": tight})["a"].holds
    with pytest.raises(InputError, match="has no layer 'c' to check"):
        check_widths(model, {"c": tight})


def test_widths_at_the_edge_of_the_register():
    """16 x -128 = -2048 fits 12 bits, 17 do not; and -16 reaches +2048, which does not."""
    target = AccumulatorTarget(inner_bits=12)
    assert check_matrix("w", integers([[7, 7, 2]]), target).holds
    assert not check_matrix("w", integers([[7, 7, 3]]), target).holds
    assert not check_matrix("w", integers([[-7, -7, -2]]), target).holds


def test_what_cannot_be_checked_is_refused():
    matrix = integers([[1, 2]])
    planes = QuantizedMatrix(**{**vars(matrix), "residual": matrix})
    with pytest.raises(InputError, match="several planes"):
        check_matrix("w", planes, AccumulatorTarget(inner_bits=12))
    codes = np.full((1, 1), 127, dtype=np.uint8)
    block = QuantizedMatrix(
        **{
            **vars(matrix),
            "scale_codes": codes,
            "channel_scales": np.ones(1, np.float32),
            "scale_format": "e8m0",
        }
    )
    assert check_matrix("w", block, AccumulatorTarget(inner_bits=12)).holds
    with pytest.raises(InputError, match="e8m0 scales is not checked here"):
        check_matrix("w", block, AccumulatorTarget(inner_bits=12, outer_bits=20))


def test_first_channels_of_brevitas_layers_fit_their_targets():
    if not DATA.exists():
        pytest.skip("../shared/data/accumulator_bounds_brevitas.json is not beside this repository")
    seen = 0
    for entry in json.loads(DATA.read_text())["layers"]:
        if entry["channel0"] is None or np.abs(entry["channel0"]).max() > 127:
            continue
        target = AccumulatorTarget(
            inner_bits=entry["P_target"], input_bits=entry["N"], input_signed=entry["input_signed"]
        )
        found = check_matrix(entry["method"], integers([entry["channel0"]], name="int8"), target)
        assert found.holds and found.inner_bits <= entry["exact_min_P_over_channels"], entry
        seen += 1
    assert seen


def test_scale_codes_are_as_large_as_the_register_allows():
    """255 where there is room, less where there is not, and never more than needed."""
    scales = np.array([[1.0, 0.5]], dtype=np.float32)
    low, high, used = np.array([[-64, -64]]), np.array([[63, 63]]), np.ones((1, 2), dtype=bool)
    tops = []
    for bits in (24, 14, 12, 11):
        codes, _, times = scale_codes_within(scales, used, low, high, bits)
        assert times[0] <= 1 and (codes * high).sum() < 1 << (bits - 1)
        tops.append(int(codes.max()))
    assert tops == [255, 63, 15, 7]


def test_a_layer_that_fails_the_last_check_is_not_returned(monkeypatch):
    """Whatever rounding believes, the final integers decide."""
    monkeypatch.setattr(layer._Layer, "_tighten", lambda self, rows: rows[:0])
    monkeypatch.setattr(layer, "register_limit", lambda bits: 1 << 20)
    target = AccumulatorTarget(inner_bits=10)
    wanted = LayerQuantization(format="int4", method="axe_rtn", accumulator=target)
    with pytest.raises(InputError, match="does not fit inner_bits 10"):
        layer.quantize_narrow(weights_of(2, 64), wanted)
