"""Ternary and binary weights with scales from means and medians."""

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import LayerQuantization
from sw.formats.trit_planes import binary_levels, ternary_levels
from sw.quantize import quantize_layer
from sw.quantize.ternary import quantize_ternary


@pytest.mark.parametrize("rule", ["absmean", "absmedian"])
def test_one_scale_per_matrix_is_the_published_formula(rule):
    weights = np.random.default_rng(0).standard_normal((6, 50)) * 0.02
    levels, scale = ternary_levels(weights, rule=rule)
    matrix = quantize_ternary(weights, rule=rule)
    assert np.array_equal(matrix.levels, levels)
    assert (matrix.scales == np.float32(np.float16(scale))).all()
    assert matrix.bits_per_weight == pytest.approx(matrix.family.bits + 16 / 300)


def test_binary_signs_and_their_mean():
    weights = np.array([[0.5, -1.5, 0.0, -0.0, 2.0]])
    levels, scale = binary_levels(weights)
    matrix = quantize_ternary(weights, format_name="binary")
    assert matrix.levels.tolist() == levels.tolist() == [[1, -1, 1, 1, 1]]
    assert matrix.scales[0, 0] == np.float16(scale)


def test_groups_and_blocks_are_on_their_own():
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((5, 11))
    matrix = quantize_ternary(weights, group_size=4, group_rows=2)
    for top, bottom in ((0, 2), (2, 4), (4, 5)):
        for group, (first, last) in enumerate(((0, 4), (4, 8), (8, 11))):
            part = weights[top:bottom, first:last]
            alone = quantize_ternary(part)
            assert np.array_equal(matrix.levels[top:bottom, first:last], alone.levels)
            assert (matrix.scales[top:bottom, group] == alone.scales[0, 0]).all()


@pytest.mark.parametrize("fill", [0.0, 3.0, 1e-9])
def test_constant_groups(fill):
    matrix = quantize_ternary(np.full((2, 6), fill), group_size=3)
    assert np.allclose(matrix.dequantize(), fill if fill == 3 else 0, atol=1e-6)


def test_by_recipe_and_refusals():
    weights = np.random.default_rng(2).standard_normal((3, 8))
    settings = LayerQuantization(format="ternary", group_size="channel", scale_rule="absmean")
    assert quantize_layer(weights, settings).groups == 1
    with pytest.raises(InputError, match="is for the formats ternary and binary, not 'int4'"):
        quantize_layer(weights, LayerQuantization(format="int4", scale_rule="absmean"))
    with pytest.raises(InputError, match="finite"):
        quantize_ternary(np.array([[np.nan]]))
    with pytest.raises(InputError, match="unknown scale rule 'mean'"):
        quantize_ternary(weights, rule="mean")
