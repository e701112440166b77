"""Which weights share a scale: tensor, channel, group, block; ragged edges, memory, settings."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import get_family
from sw.quantize import quantization_error, quantize_matrix, tiles
from sw.quantize.asymmetric import quantize_asymmetric
from sw.quantize.rounding import fit_groups

repeatable = settings(deadline=None, derandomize=True, max_examples=60)
FAMILIES = ("int4", "bitmod_fp4", "ant3", "float8_e4m3fn")


def blocks(shape, height, width):
    """Row and column slices of every block, edges included."""
    for row in range(0, shape[0], height):
        for column in range(0, shape[1], width):
            yield slice(row, min(row + height, shape[0])), slice(column, column + width)


@settings(repeatable, max_examples=250)
@given(
    family=st.sampled_from(FAMILIES),
    arithmetic=st.sampled_from(("float16", "float32")),
    rule=st.sampled_from(("absmax", "mse", "percentile")),
    rows=st.integers(1, 9),
    columns=st.integers(1, 30),
    height=st.integers(1, 10),
    width=st.one_of(st.integers(1, 35), st.sampled_from(("channel", "tensor"))),
    weighted=st.booleans(),
    limit=st.sampled_from((1, 20, 1 << 18)),
    seed=st.integers(0, 1 << 32),
)
def test_every_block_is_quantized_on_its_own(
    family, arithmetic, rule, rows, columns, height, width, weighted, limit, seed
):
    """However the matrix is cut for the sake of memory."""
    family = get_family(family)
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((rows, columns)).astype(np.float32)
    importance = rng.random(columns, dtype=np.float32) if weighted else None
    options = {"percentile": 75.0, "arithmetic": arithmetic}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "BLOCK_WEIGHTS", limit)
        matrix = quantize_matrix(
            weights,
            family,
            group_size=width,
            group_rows=height,
            scale_rule=rule,
            importance=importance,
            **options,
        )
    tall = rows if width == "tensor" else height
    wide = columns if isinstance(width, str) else width
    assert matrix.group_size == wide and matrix.group_rows == min(tall, rows)
    for down, across in blocks(weights.shape, tall, wide):
        part = weights[down, across]
        weighting = None
        if importance is not None:
            weighting = np.tile(importance[across], len(part))
        codes, ids, scales = fit_groups(
            part.reshape(1, -1), family, rule=rule, importance=weighting, **options
        )
        group = across.start // wide
        assert np.array_equal(matrix.codes[down, across], codes.reshape(part.shape))
        assert (matrix.format_ids[down, group] == ids).all()
        assert (matrix.scales[down, group] == scales).all()


def test_finer_scales_cost_bits_and_save_error():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((32, 256)) * np.exp(rng.standard_normal((32, 1)))
    weights *= np.repeat(np.exp(rng.standard_normal((32, 4))), 64, axis=1)
    family = get_family("int4")
    bits, errors = [], []
    for size, rows in (("tensor", 1), ("channel", 1), (64, 8), (64, 1), (16, 1)):
        matrix = quantize_matrix(weights, family, group_size=size, group_rows=rows)
        bits.append(matrix.bits_per_weight)
        errors.append(quantization_error(weights, matrix)["relative"])
    expected = [4 + 16 / (32 * 256), 4 + 16 / 256, 4 + 16 / (8 * 64), 4 + 16 / 64, 5]
    assert bits == pytest.approx(expected)
    # a block of 8 rows x 64 shares less finely than a channel where rows differ
    assert errors[0] > errors[1] > errors[3] > errors[4] and errors[2] > errors[3]


@pytest.mark.parametrize("arithmetic", ["float16", "float32"])
@pytest.mark.parametrize(
    ("size", "rows", "extra"), [(128, 1, 0), ("channel", 1, 0), (100, 3, 0), ("tensor", 1, 12)]
)
def test_memory_is_bounded(arithmetic, size, rows, extra):
    """Beside the result: a few blocks of weights, or of the largest block."""
    weights = np.random.default_rng(0).standard_normal((1000, 4000)).astype(np.float32)
    family = get_family("bitmod_fp4")
    quantize_matrix(weights[:2], family, group_size=size, arithmetic=arithmetic)
    tracemalloc.start()
    try:
        quantize_matrix(weights, family, group_size=size, group_rows=rows, arithmetic=arithmetic)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    result = weights.size * (1 + 5 / 100)
    assert peak < result + extra * weights.size + 24 * tiles.BLOCK_WEIGHTS


@pytest.mark.parametrize("rule", ["absmax", "mse"])
def test_importance_moves_the_choice(rule):
    """Errors count where importance says, and matter only where something is chosen by error."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((40, 64))
    importance = np.where(np.arange(64) % 2, 100.0, 0.01)
    family = get_family("bitmod_fp3")
    options = {"group_size": 64, "scale_rule": rule, "arithmetic": "float32"}
    plain = quantize_matrix(weights, family, **options)
    weighted = quantize_matrix(weights, family, importance=importance, **options)
    errors = [(m.dequantize() - weights) ** 2 @ importance for m in (plain, weighted)]
    assert (errors[1] <= errors[0] * (1 + 1e-5)).all() and errors[1].sum() < errors[0].sum()
    single = get_family("int4")
    same = quantize_matrix(weights, single, group_size=64, importance=importance)
    assert np.array_equal(same.codes, quantize_matrix(weights, single, group_size=64).codes)


@pytest.mark.parametrize("family", ["int4", "bitmod_fp4"])
def test_float32_takes_what_float16_does_not(family):
    weights = np.array([[6e4, -1e5, 0, 3e4]])
    with pytest.raises(InputError, match="float16 quantization takes magnitudes up to 10000"):
        quantize_matrix(weights, get_family(family), group_size=4)
    matrix = quantize_matrix(weights, get_family(family), group_size=4, arithmetic="float32")
    assert quantization_error(weights, matrix)["relative"] < 0.02
    with pytest.raises(InputError, match=r"at \(0, 1\): float32 quantization takes magnitudes"):
        quantize_matrix(weights * 5, get_family(family), group_size=4, arithmetic="float32")


@pytest.mark.parametrize("arithmetic", ["float16", "float32"])
def test_uint8_scales_of_shared_blocks(arithmetic):
    weights = np.random.default_rng(2).standard_normal((7, 50))
    matrix = quantize_matrix(
        weights,
        get_family("bitmod_fp4"),
        group_size=20,
        group_rows=3,
        scale_format="uint8",
        arithmetic=arithmetic,
    )
    assert matrix.scale_format == "uint8" and matrix.scale_codes is not None
    assert (matrix.format_ids[:3] == matrix.format_ids[0]).all()


@pytest.mark.parametrize("quantizer", ["matrix", "asymmetric"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": "chanel"}, "group size 'chanel': did you mean 'channel'"),
        ({"group_size": 0}, "group_size must be a whole number of at least 1"),
        ({"group_rows": 0}, "group_rows must be a whole number of at least 1, not 0"),
        ({"group_rows": 1.5}, "group_rows"),
        ({"scale_rule": "maxabs"}, "scale rule 'maxabs': did you mean 'absmax'"),
        ({"arithmetic": "fp16"}, "arithmetic 'fp16'"),
        ({"percentile": 101}, "percentile is 101"),
        ({"importance": np.ones(3)}, r"importance must have shape \(4,\), not \(3,\)"),
        ({"scale_format": "e8m0"}, "scale format 'e8m0'"),
    ],
)
def test_bad_settings_are_refused(quantizer, options, message):
    settings = {"group_size": 2, **options}
    with pytest.raises(InputError, match=message):
        if quantizer == "matrix":
            quantize_matrix(np.ones((2, 4)), get_family("int4"), **settings)
        else:
            quantize_asymmetric(np.ones((2, 4)), bits=4, **settings)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("family", ["olive4", "olive4_flint"])
def test_pairs_take_blocks_and_importance(family, rows):
    family = get_family(family)
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((6, 40)) * np.where(rng.random((6, 40)) < 0.03, 20, 1)
    for size in (16, "channel", "tensor"):
        matrix = quantize_matrix(weights, family, group_size=size, group_rows=rows)
        assert quantization_error(weights, matrix)["relative"] < 0.1
        assert (matrix.scales[: matrix.group_rows] == matrix.scales[0]).all()
    importance = np.arange(40.0) ** 4
    plain, weighted = (
        quantize_matrix(weights, family, group_size=8, group_rows=rows, importance=some)
        for some in (None, importance)
    )
    errors = [((m.dequantize() - weights) ** 2 @ importance).sum() for m in (plain, weighted)]
    assert errors[1] <= errors[0] and (rows > 1 or errors[1] < errors[0])


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 6), {"group_size": 3}, "group size 3 splits a pair"),
        ((2, 5), {"group_size": 4, "group_rows": 2}, "even number of columns"),
        ((2, 6), {"group_size": 4, "scale_rule": "percentile"}, "does not apply"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(shape, options, message):
    with pytest.raises(InputError, match=message):
        quantize_matrix(np.ones(shape), get_family("olive4"), **options)
