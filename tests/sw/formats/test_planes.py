"""Sums of planes: reconstruction, the stated rules by slow code, errors that only fall."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import get_family
from sw.formats.planes import (
    CLIP_SHARES,
    DUAL_BINARY,
    Plane,
    PlaneSum,
    dual_binary,
    nested_read,
    residual_planes,
)


def normal(seed: int, shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * 0.05


def rebuild(total: PlaneSum) -> np.ndarray:
    """Weights from codes and scales, one at a time, without the package's decoding."""
    rows, columns = total.planes[0].codes.shape
    weights = np.zeros((rows, columns))
    for plane, n, k in itertools.product(total.planes, range(rows), range(columns)):
        level = plane.family.members[plane.member].levels[plane.codes[n, k]]
        weights[n, k] += level * float(plane.scales[n, k // plane.group_size])
    return weights


def check(total: PlaneSum, shape: tuple[int, int], group_size: int) -> None:
    """What every sum of planes promises."""
    groups = -(-shape[1] // group_size)
    for plane in total.planes:
        assert plane.codes.dtype == np.uint8 and plane.codes.shape == shape
        assert plane.scales.dtype == np.float32 and plane.scales.shape == (shape[0], groups)
        assert (plane.scales >= 0).all()
        assert np.array_equal(plane.scales.astype(np.float16), plane.scales)
    assert np.array_equal(total.dequantize(), rebuild(total))


@pytest.mark.parametrize("columns", [1, 24, 31])
def test_dual_binary(columns: int) -> None:
    weights = normal(1, (4, columns))
    total = dual_binary(weights, group_size=12)
    check(total, weights.shape, 12)
    one, two = total.planes
    assert one.family is DUAL_BINARY and (one.member, two.member) == (0, 1)
    assert np.array_equal(one.scales, 2 * two.scales)
    for n, k in itertools.product(range(4), range(columns)):
        s = float(two.scales[n, k // 12])
        first = weights[n, k] >= s / 2
        second = weights[n, k] - 2 * s * first <= -s / 2
        assert (one.levels[n, k], two.levels[n, k]) == (first, -int(second))


def test_dual_binary_scale_is_the_best_tried() -> None:
    weights = normal(2, (3, 64))
    total = dual_binary(weights, group_size=64)
    for n, row in enumerate(weights):
        top = max(row.max() / 2, -row.min())
        tried = [float(np.float16(share * top)) for share in CLIP_SHARES]
        errors = [sum(min((w - v * s) ** 2 for v in (-1, 0, 1, 2)) for w in row) for s in tried]
        assert total.planes[1].scales[n, 0] == tried[int(np.argmin(errors))]


def test_dual_binary_is_exact_on_its_own_values() -> None:
    weights = 0.5 * np.array([[-1, 0, 1, 2, 2, -1.0]])
    assert np.array_equal(dual_binary(weights).dequantize(), weights)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1 << 32),
    bits=st.integers(2, 8),
    columns=st.integers(1, 40),
    keep=st.sampled_from([1.0, 0.6, 0.01]),
)
def test_residual_errors_only_fall(seed: int, bits: int, columns: int, keep: float) -> None:
    weights = normal(seed, (5, columns))
    before = np.abs(weights)
    for terms in range(1, 5):
        total = residual_planes(weights, bits=bits, terms=terms, keep=keep)
        assert len(total.planes) == terms
        check(total, weights.shape, columns)
        error = np.abs(total.dequantize() - weights)
        assert (error <= before * (1 + 1e-12)).all()
        before = error


def test_residual_terms_are_quantized_residuals() -> None:
    weights = normal(3, (3, 20))
    planes = residual_planes(weights, bits=4, terms=3).planes
    rest = weights
    for plane in planes:
        scale = (np.abs(rest).max(axis=1) / 7).astype(np.float16).astype(np.float64)
        assert np.array_equal(plane.scales[:, 0], scale)
        assert np.array_equal(plane.levels, np.rint(rest / scale[:, None]).clip(-7, 7))
        assert plane.family is get_family("int4")
        rest = rest - plane.levels * scale[:, None]


def test_residual_keeps_the_worst_channels() -> None:
    weights = normal(4, (10, 30)) * np.arange(1, 11)[:, None]
    planes = residual_planes(weights, bits=3, terms=2, keep=0.25).planes
    assert planes[0].scales.all()
    rest = ((weights - planes[0].dequantize()) ** 2).sum(axis=1)
    kept = np.flatnonzero(planes[1].scales[:, 0])
    assert set(kept) == set(np.argsort(rest)[-3:])
    assert not planes[1].levels[np.setdiff1d(np.arange(10), kept)].any()


def store(kind: str, codes: np.ndarray) -> Plane:
    scales = np.full((len(codes), 1), 0.375, dtype=np.float32)
    family = get_family(f"int8{kind}")
    return Plane(
        family=family, codes=codes.astype(np.uint8), group_size=codes.shape[1], scales=scales
    )


@pytest.mark.parametrize("kind", ["", "_full"])
@pytest.mark.parametrize("bits", [8, 6, 4, 2])
def test_nested_reads(kind: str, bits: int) -> None:
    """Every stored level, by the rule in exact integers: half to even, then clip."""
    levels = np.arange(-127 if not kind else -128, 128)
    read = nested_read(store(kind, levels[None] % 256), bits)
    assert read.family is get_family(f"int{bits}{kind}")
    assert read.scales[0, 0] == 0.375 * 2 ** (8 - bits)
    low = -(2 ** (bits - 1)) + (not kind)
    for level, found in zip(levels.tolist(), read.levels[0].tolist(), strict=True):
        expected = round(level / 2 ** (8 - bits))
        assert found == min(max(expected, low), 2 ** (bits - 1) - 1)
    if bits == 8:
        assert np.array_equal(read.levels[0], levels)


def test_nested_read_is_nested() -> None:
    """Reading 8 bits at 4 differs from reading at 6 and then at 4: one store, not a chain."""
    plane = store("", np.array([[38]]))
    assert nested_read(nested_read(plane, 6), 4).levels == 2
    assert nested_read(plane, 4).levels == 2
    plane = store("", np.array([[23]]))
    assert (nested_read(plane, 4).levels, nested_read(nested_read(plane, 6), 4).levels) == (1, 2)


def test_refusals() -> None:
    good = normal(5, (2, 8))
    for bad in ([], [1.0], np.zeros((2, 0)), [[np.nan]], [[np.inf]]):
        with pytest.raises(InputError, match="non-empty 2-D array of finite"):
            residual_planes(bad, bits=4, terms=1)
        with pytest.raises(InputError, match="non-empty 2-D array of finite"):
            dual_binary(bad)
    with pytest.raises(InputError, match="beyond float16"):
        residual_planes(good * 1e9, bits=4, terms=1)
    with pytest.raises(InputError, match="at least 1, not 0"):
        dual_binary(good, group_size=0)
    with pytest.raises(InputError, match="2 to 8 bits, not 9"):
        residual_planes(good, bits=9, terms=1)
    with pytest.raises(InputError, match="1 term or more, not 0"):
        residual_planes(good, bits=4, terms=0)
    with pytest.raises(InputError, match=r"lies in \(0, 1\], not 0"):
        residual_planes(good, bits=4, terms=2, keep=0)
    stored = store("", np.zeros((1, 4)))
    with pytest.raises(InputError, match="read at 2 to 8 bits, not 9"):
        nested_read(stored, 9)
    with pytest.raises(InputError, match="need integers, not 'dual_binary'"):
        nested_read(dual_binary(good).planes[0], 2)


def test_zero_weights() -> None:
    for total in (
        dual_binary(np.zeros((2, 5))),
        residual_planes(np.zeros((2, 5)), bits=2, terms=2),
    ):
        assert not total.dequantize().any()
