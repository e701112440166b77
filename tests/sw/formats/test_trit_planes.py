"""Ternary and binary rules by hand; trit-planes against what their two steps must reach."""

import itertools

import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import get_family
from sw.formats.trit_planes import (
    TRIT_PAIRS,
    binary_levels,
    onebit_scales,
    ternary_levels,
    trit_planes,
)


def normal(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * 0.05


def test_absmean_absmedian_trilm_by_hand() -> None:
    """mean|w| = 1, median|w| = 0.75; 0.5 is a tie at scale 1 that epsilon breaks downward."""
    weights = np.array([[-2.0, 0.5, 1.0, -0.5]])
    assert ternary_levels(weights, epsilon=0)[0].tolist() == [[-1, 0, 1, 0]]
    levels, scale = ternary_levels(weights)
    assert levels.tolist() == [[-1, 0, 1, 0]] and scale == 1
    levels, scale = ternary_levels(weights, rule="absmedian")
    assert levels.tolist() == [[-1, 1, 1, -1]] and scale == 0.75
    levels, scale = ternary_levels(weights, rule="trilm", epsilon=0.5)
    assert levels.tolist() == [[-1, 0, 1, 0]] and scale == 1.5
    assert levels.dtype == np.int8
    with pytest.raises(InputError, match="unknown ternary scale rule 'absmaen': did you mean"):
        ternary_levels(weights, rule="absmaen")


def test_binary_scale_is_the_least_squares_one() -> None:
    weights = np.append(normal(1, (1, 63)), 0)
    levels, scale = binary_levels(weights)
    assert np.array_equal(levels, np.where(weights < 0, -1, 1))
    assert scale == pytest.approx(np.linalg.lstsq(levels[:, None] * 1.0, weights)[0][0])


def test_onebit_scales() -> None:
    rng = np.random.default_rng(2)
    g, h = rng.uniform(0.1, 1, 6), rng.uniform(0.1, 1, 9)
    weights = np.outer(g, h) * rng.choice([-1, 1], (6, 9))
    row, column = onebit_scales(weights)
    assert np.allclose(np.outer(row, column) * np.sign(weights), weights)
    row, column = onebit_scales(normal(3, (5, 7)))
    assert (row >= 0).all() and (column >= 0).all()
    assert np.linalg.norm(row) == pytest.approx(np.linalg.norm(column))


@pytest.mark.parametrize("group_size, columns", [(16, 48), (16, 41), (128, 20)])
def test_trit_planes(group_size: int, columns: int) -> None:
    weights = normal(4, (6, columns))
    total = trit_planes(weights, group_size=group_size)
    one, two = total.planes
    assert one.family is two.family is get_family("ternary")
    assert one.scales.shape == (6, -(-columns // group_size))
    assert np.array_equal(one.scales.astype(np.float16), one.scales)
    assert (one.scales >= two.scales).all() and (two.scales >= 0).all()
    expected = np.zeros_like(weights)
    for plane in total.planes:
        for k in range(columns):
            expected[:, k] += plane.levels[:, k] * plane.scales[:, k // group_size].astype(float)
    assert np.array_equal(total.dequantize(), expected)


def test_every_weight_has_the_best_of_nine_pairs() -> None:
    weights = normal(5, (4, 64))
    total = trit_planes(weights, group_size=32)
    error = np.abs(total.dequantize() - weights)
    one, two = (np.repeat(p.scales.astype(float), 32, axis=1) for p in total.planes)
    for first, second in TRIT_PAIRS:
        assert (error <= np.abs(first * one + second * two - weights)).all()


def test_scales_are_the_regression_of_the_trits() -> None:
    weights = normal(6, (8, 64))
    total = trit_planes(weights, group_size=64)
    for n, row in enumerate(weights):
        basis = np.stack([plane.levels[n] for plane in total.planes], axis=1).astype(float)
        best = np.linalg.lstsq(basis, row)[0]
        found = [plane.scales[n, 0] for plane in total.planes]
        assert np.allclose(found, best, rtol=2e-3)  # float16, and the last change of trits


def test_more_iterations_and_planes_help() -> None:
    weights = normal(7, (16, 256))

    def error(total) -> float:
        return float(((total.dequantize() - weights) ** 2).sum())

    errors = [error(trit_planes(weights, max_iterations=n)) for n in (1, 2, 4, 8, 50)]
    assert all(a >= b * (1 - 1e-3) for a, b in itertools.pairwise(errors))
    levels, scale = ternary_levels(weights)
    assert errors[-1] < ((levels * scale - weights) ** 2).sum() / 5


def test_exact_on_nine_values() -> None:
    values = np.array([first * 3 + second for first in (-1, 0, 1) for second in (-1, 0, 1)]) / 4
    weights = np.random.default_rng(8).permutation(np.tile(values, 6))[None]
    assert np.array_equal(trit_planes(weights, group_size=54).dequantize(), weights)


def test_degenerate_groups() -> None:
    """Zeros, one value, equal values, opposite values: planes that are equal or empty."""
    for row in ([0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [1e-30, 0, 0]):
        total = trit_planes([row], group_size=3)
        assert np.allclose(total.dequantize(), [row], rtol=1e-6, atol=1e-7)


def test_refusals() -> None:
    for bad in ([], [[np.nan]], [[]]):
        with pytest.raises(InputError, match="finite"):
            trit_planes(bad)
        with pytest.raises(InputError, match="finite"):
            ternary_levels(bad)
        with pytest.raises(InputError, match="finite"):
            binary_levels(bad)
        with pytest.raises(InputError, match="finite"):
            onebit_scales(bad)
    with pytest.raises(InputError, match="group_size"):
        trit_planes([[1.0]], group_size=1.5)
    with pytest.raises(InputError, match="beyond float16"):
        trit_planes([[1e9, 1.0]])
