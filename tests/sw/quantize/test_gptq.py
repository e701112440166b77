"""GPTQ against a textbook column-by-column implementation, and on real inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import get_family
from sw.models import LlamaModel, load_model
from sw.models.calibrate import calibration_batches, collect_statistics
from sw.quantize import quantize_matrix
from sw.quantize.asymmetric import quantize_asymmetric
from sw.quantize.gptq import gptq
from sw.quantize.rounding import fit_groups, nearest_codes

FAMILIES = ("int3", "int4", "bitmod_fp3", "bitmod_fp4", "ant4")


def correlated(columns, tokens=400, seed=0):
    """``X^T X`` of inputs that share a few directions."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((tokens, columns)) + 2 * rng.standard_normal(
        (tokens, 3)
    ) @ rng.standard_normal((3, columns))
    return x.T @ x


def weights_of(rows, columns, seed=0):
    return np.random.default_rng(seed + 100).standard_normal((rows, columns)).astype(np.float32)


def fit(family, tiles, rule="absmax", importance=None):
    tiles = np.ascontiguousarray(tiles, dtype=np.float32)
    return fit_groups(tiles, family, rule=rule, importance=importance)


def dequantized(family, ids, codes, scales):
    return family.level_table[ids, codes] * float(family.unit) * scales.astype(np.float64)


def rounded_to_nearest(weights, family, size, rule="absmax", importance=None):
    """Every group by itself, (N, K)."""
    out = np.empty(weights.shape)
    for first in range(0, weights.shape[1], size):
        part = weights[:, first : first + size]
        weight = None if importance is None else importance[first : first + size]
        codes, ids, scales = fit(family, part, rule, weight)
        out[:, first : first + size] = dequantized(family, ids[:, None], codes, scales[:, None])
    return out


def textbook(weights, hessian, family, size, damping=0.01, order=None):
    """Optimal brain quantization, columns in a fixed order: the inverse of what is left, anew."""
    left = weights.astype(np.float64)
    rows, columns = left.shape
    groups = -(-columns // size)
    damped = hessian + damping * np.mean(np.diag(hessian)) * np.eye(columns)
    ids, scales = np.zeros((rows, groups), np.uint8), np.zeros((rows, groups), np.float32)

    def fit_group(group):
        part = left[:, group * size : (group + 1) * size]
        _, ids[:, group], scales[:, group] = fit(family, part)

    static = order is not None
    for group in range(groups if static else 0):
        fit_group(group)
    todo = list(order) if static else list(range(columns))
    out = np.empty(left.shape)
    while todo:
        k = todo[0]
        group = k // size
        if not static and k % size == 0:
            fit_group(group)
        codes = nearest_codes(
            left[:, [k]].astype(np.float32), family, ids[:, group], scales[:, group]
        )[:, 0]
        out[:, k] = dequantized(family, ids[:, group], codes, scales[:, group])
        inverse = np.linalg.inv(damped[np.ix_(todo, todo)])
        error = (left[:, k] - out[:, k]) / inverse[0, 0]
        left[:, todo] -= np.outer(error, inverse[0])
        todo.pop(0)
    return out


def output_error(weights, rounded, hessian):
    """``tr(D H D^T)``."""
    difference = np.asarray(weights, np.float64) - rounded
    return float(np.sum((difference @ hessian) * difference))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("columns", "size"), [(24, 8), (21, 8), (21, 16), (13, 40)])
def test_equals_textbook(name, columns, size):
    family, weights = get_family(name), weights_of(7, columns)
    hessian = correlated(columns)
    found = gptq(weights, hessian, family, group_size=size)
    expected = textbook(weights, hessian, family, size)
    np.testing.assert_allclose(found.dequantize(np.float64), expected, rtol=1e-6)
    assert found.group_size == size and found.scale_format == "float16"


@settings(deadline=None, max_examples=25)
@given(
    columns=st.integers(1, 40),
    size=st.integers(1, 48),
    block=st.integers(1, 48),
    seed=st.integers(0, 50),
)
def test_blocks_change_nothing(columns, size, block, seed):
    weights, hessian = weights_of(3, columns, seed), correlated(columns, seed=seed)
    family = get_family("bitmod_fp3")
    whole = gptq(weights, hessian, family, group_size=size, block=1000)
    found = gptq(weights, hessian, family, group_size=size, block=block)
    np.testing.assert_allclose(found.dequantize(), whole.dequantize(), rtol=1e-6)


@pytest.mark.parametrize("block", [4, 128])
def test_activation_order(block):
    family, weights, hessian = get_family("bitmod_fp4"), weights_of(5, 22), correlated(22)
    order = sorted(range(22), key=lambda k: -hessian[k, k])
    found = gptq(weights, hessian, family, group_size=8, act_order=True, block=block)
    expected = textbook(weights, hessian, family, 8, order=order)
    np.testing.assert_allclose(found.dequantize(np.float64), expected, rtol=1e-6)


@pytest.mark.parametrize("act_order", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("rule", ["absmax", "mse", "output_mse"])
def test_without_correlations_it_is_rounding_to_nearest(name, rule, act_order):
    family, weights = get_family(name), weights_of(6, 50)
    diagonal = np.random.default_rng(1).uniform(0.5, 2, 50)
    found = gptq(
        weights,
        np.diag(diagonal),
        family,
        group_size=16,
        scale_rule=rule,
        act_order=act_order,
    )
    importance = diagonal if rule == "output_mse" else None
    rule = rule.removeprefix("output_")
    expected = rounded_to_nearest(weights, family, 16, rule, importance)
    assert np.array_equal(found.dequantize(np.float64), expected)
    nearest = quantize_matrix(
        weights,
        family,
        group_size=16,
        scale_rule=rule,
        importance=importance,
        arithmetic="float32",
    )
    assert np.array_equal(found.codes, nearest.codes)
    assert np.array_equal(found.scales, nearest.scales)


@pytest.mark.parametrize("rule", ["absmax", "mse", "percentile"])
@pytest.mark.parametrize("size", [16, "channel", "tensor"])
@pytest.mark.parametrize("rows", [1, 4])
def test_zero_points_without_correlations(rule, size, rows):
    weights = weights_of(6, 50) + np.float32(0.7)
    weights[2, 16:32] = 0
    options = {"group_size": size, "group_rows": rows, "scale_rule": rule, "arithmetic": "float32"}
    found = gptq(weights, np.eye(50), get_family("int4_full"), zero_points=True, **options)
    nearest = quantize_asymmetric(weights, bits=4, **options)
    for field in ("codes", "scales", "zero_points", "format_ids"):
        assert np.array_equal(getattr(found, field), getattr(nearest, field)), field
    assert found.group_rows == nearest.group_rows


@pytest.mark.parametrize("act_order", [False, True])
def test_zero_points_lower_the_output_error(act_order):
    weights, hessian = weights_of(32, 96), correlated(96)
    nearest = quantize_asymmetric(weights, bits=3, group_size=32, arithmetic="float32")
    found = gptq(
        weights,
        hessian,
        get_family("int3_full"),
        group_size=32,
        zero_points=True,
        act_order=act_order,
        block=16,
    )
    assert output_error(weights, found.dequantize(), hessian) < 0.8 * output_error(
        weights, nearest.dequantize(), hessian
    )
    with pytest.raises(InputError, match="'int3' has no zero points: choose int2_full"):
        gptq(weights, hessian, get_family("int3"), group_size=32, zero_points=True)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("act_order", [False, True])
def test_output_error_is_less(name, act_order):
    family, weights, hessian = get_family(name), weights_of(32, 96), correlated(96)
    found = gptq(weights, hessian, family, group_size=32, act_order=act_order)
    nearest = rounded_to_nearest(weights, family, 32)
    assert output_error(weights, found.dequantize(), hessian) < 0.8 * output_error(
        weights, nearest, hessian
    )


def test_output_error_is_less_on_real_inputs():
    model = load_model("scribe_1m")
    runner = LlamaModel(model.architecture, model.tensors)
    ids = np.frombuffer(model.heldout[:2048], dtype=np.uint8)
    layers = ["layers.1.self_attn.k_proj", "layers.2.self_attn.o_proj", "layers.3.mlp.up_proj"]
    statistics = collect_statistics(
        runner.hidden_states,
        runner.linear,
        calibration_batches(ids, context=256),
        names=layers,
    )
    family = get_family("bitmod_fp3")
    for name in layers:
        weights, hessian = runner.weight(name), statistics[name].hessian
        found = gptq(weights, hessian, family, group_size=128)
        nearest = rounded_to_nearest(weights, family, 128)
        assert output_error(weights, found.dequantize(), hessian) < 0.7 * output_error(
            weights, nearest, hessian
        )


def test_group_sizes_by_name_and_shared_rows():
    family, weights, hessian = get_family("int4"), weights_of(6, 20), correlated(20)
    channel = gptq(weights, hessian, family, group_size="channel")
    assert channel.scales.shape == (6, 1) and len(np.unique(channel.scales)) > 1
    same = gptq(weights, hessian, family, group_size=20)
    assert np.array_equal(channel.codes, same.codes)
    tensor = gptq(weights, hessian, family, group_size="tensor")
    assert tensor.scales.shape == (6, 1) and len(np.unique(tensor.scales)) == 1
    assert tensor.group_rows == 6
    # four rows, then the two that are left
    shared = gptq(weights, hessian, family, group_size=8, group_rows=4)
    assert shared.group_rows == 4 and shared.scales.shape == (6, 3)
    for rows in (slice(0, 4), slice(4, 6)):
        assert (shared.scales[rows] == shared.scales[rows][:1]).all()
        tile = weights[rows, :8].reshape(1, -1)
        assert shared.scales[rows][0, 0] == fit(family, tile)[2][0]


def test_uint8_scales():
    family, weights, hessian = get_family("bitmod_fp4"), weights_of(6, 64), correlated(64)
    found = gptq(weights, hessian, family, group_size=16, scale_format="uint8")
    plain = gptq(weights, hessian, family, group_size=16)
    assert found.scale_format == "uint8"
    assert np.array_equal(found.codes, plain.codes)
    assert np.array_equal(found.scales, plain.with_uint8_scales().scales)


@pytest.mark.parametrize("act_order", [False, True])
def test_silent_channels_are_rounded_to_nearest(act_order):
    family, weights = get_family("int4"), weights_of(6, 16)
    hessian = correlated(16)
    hessian[3] = hessian[:, 3] = hessian[9] = hessian[:, 9] = 0
    found = gptq(weights, hessian, family, group_size=1, act_order=act_order).dequantize()
    nearest = rounded_to_nearest(weights, family, 1)
    assert np.array_equal(found[:, [3, 9]], nearest[:, [3, 9]])
    # nor do they change the others
    others = [k for k in range(16) if k not in (3, 9)]
    smaller = gptq(
        weights[:, others],
        hessian[np.ix_(others, others)],
        family,
        group_size=1,
        act_order=act_order,
    )
    np.testing.assert_allclose(found[:, others], smaller.dequantize(), rtol=1e-6)
    # nothing known at all
    none = gptq(weights, np.zeros((16, 16)), family, group_size=4)
    assert np.array_equal(none.dequantize(), rounded_to_nearest(weights, family, 4))


def test_zero_groups():
    weights = weights_of(4, 24)
    weights[1, 8:16] = 0
    weights[2] = 0
    found = gptq(weights, np.eye(24), get_family("bitmod_fp4"), group_size=8)
    assert not found.dequantize()[2].any() and not found.dequantize()[1, 8:16].any()
    assert np.isfinite(found.scales).all()


def test_few_tokens():
    """Fewer tokens than channels: damping alone makes the Hessian invertible."""
    x = np.random.default_rng(0).standard_normal((3, 30)) * 1000
    weights, family = weights_of(4, 30), get_family("int3")
    found = gptq(weights, x.T @ x, family, group_size=10)
    nearest = rounded_to_nearest(weights, family, 10)
    assert output_error(weights, found.dequantize(), x.T @ x) < 0.2 * output_error(
        weights, nearest, x.T @ x
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.full((2, 4), np.nan)}, r"weights hold nan at \(0, 0\)"),
        ({"weights": np.zeros(4)}, "2-D"),
        ({"weights": np.ones((2, 4), int)}, "weights must be float16, float32 or float64"),
        ({"group_size": "row"}, "unknown group size 'row'"),
        ({"group_rows": 0}, "group_rows must be"),
        ({"scale_rule": "best"}, "unknown scale rule 'best'"),
        ({"weights": np.zeros((0, 4))}, "non-empty"),
        ({"hessian": np.eye(3)}, r"Hessian of 4 input channels must be finite and \(4, 4\)"),
        ({"hessian": np.full((4, 4), np.inf)}, "must be finite"),
        ({"hessian": np.triu(np.ones((4, 4)))}, "not symmetric"),
        ({"hessian": -np.eye(4)}, "diagonal of the Hessian holds -1"),
        ({"hessian": np.eye(4) + 5 * np.eye(4)[::-1]}, "not positive definite"),
        ({"damping": 0}, "damping must be above 0 and at most 1, not 0"),
        ({"block": 0}, "block must be at least 1 column"),
        ({"group_size": 0}, "group_size must be a whole number of at least 1"),
        ({"scale_format": "uint9"}, "unknown scale format 'uint9'"),
        ({"family": get_family("olive4")}, "GPTQ cannot round 'olive4'"),
    ],
)
def test_bad_input_is_refused(changes, message):
    given = {
        "weights": np.ones((2, 4)),
        "hessian": np.eye(4),
        "family": get_family("int4"),
        "group_size": 4,
    } | changes
    with pytest.raises(InputError, match=message):
        gptq(given.pop("weights"), given.pop("hessian"), given.pop("family"), **given)
