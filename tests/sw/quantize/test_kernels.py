"""The compiled loops against the numpy ones, and both against numpy's own float16 and sums."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sw.compiled import njit
from sw.formats import get_family
from sw.quantize import compiled, kernels, loops, rounding

FAMILIES = (
    *("bitmod_fp4", "bitmod_fp3", "bitmod_fp3_ea", "ant4", "int4", "int4_full", "int8", "flint4s"),
    *("float4_e2m1fn", "float8_e4m3fn", "float8_e5m2", "posit8_es2", "pot5", "nf4", "binary"),
    *("ternary", "denseshift3", "int2_midrise", "minifloat_e1m2", "uint4"),
)
ARITHMETICS = ("float32", "float16")
needs_numba = pytest.mark.skipif(njit is None, reason="numba is not installed")
repeatable = settings(deadline=None, derandomize=True, max_examples=150)


def hard_groups(seed: int, rows: int, size: int) -> np.ndarray:
    """Groups of every magnitude with ties, zeros, equal values and float16 denormals among them."""
    rng = np.random.default_rng(seed)
    scale = np.ldexp(1.0, rng.integers(-30, 12, (rows, 1)))
    groups = rng.standard_normal((rows, size)) * scale
    kind = rng.integers(0, 6, rows)
    groups[kind == 0] = 0
    groups[kind == 1] = groups[kind == 1, :1]
    # halves of small integers under a largest value that gives a step of one: ties all over
    ties = rng.integers(-16, 17, (rows, size)) / 2
    ties[:, 0] = rng.choice([4, 6, 7, 8, 12, 16], rows)
    groups[kind == 2] = ties[kind == 2]
    groups[kind == 3] *= rng.random((rows, size))[kind == 3] < 0.1
    return groups.clip(-9999, 9999).astype(np.float16).astype(np.float32)


def same(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> bool:
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


@needs_numba
@repeatable
@given(
    family=st.sampled_from(FAMILIES),
    arithmetic=st.sampled_from(ARITHMETICS),
    rows=st.integers(1, 40),
    size=st.sampled_from((1, 2, 7, 8, 9, 16, 31, 32, 100, 127, 128, 129, 136, 257, 1000, 2081)),
    shares=st.sampled_from(((1.0,), (1.0, 0.9, 0.35))),
    weighted=st.booleans(),
    seed=st.integers(0, 1 << 32),
)
def test_numba_and_numpy_give_the_same_bits(
    family, arithmetic, rows, size, shares, weighted, seed
) -> None:
    if family == "posit8_es2":  # beyond float16
        arithmetic = "float32"
    tables = rounding.grids(get_family(family), arithmetic)
    groups = hard_groups(seed, rows, size)
    rng = np.random.default_rng(seed)
    importance = rng.random((1 + seed % 3, size), dtype=np.float32) if weighted else None
    reference = kernels.magnitudes(groups, use_numba=True)
    assert np.array_equal(reference, np.abs(groups).max(axis=1))
    assert same((reference,), (kernels.magnitudes(groups, use_numba=False),))
    settings = {
        "shares": np.array(shares, dtype=np.float32),
        "importance": importance,
        "published": tables.half and not weighted,
    }
    found = kernels.fit(groups, reference, tables, use_numba=True, **settings)
    with pytest.MonkeyPatch.context() as patch:
        for chunk in (1 << 16, 300):
            patch.setattr(loops, "CHUNK", chunk)
            patch.setattr(kernels, "CHUNK", chunk)
            other = kernels.fit(groups, reference, tables, use_numba=False, **settings)
            assert same(found, other)


@needs_numba
@repeatable
@given(
    family=st.sampled_from(FAMILIES),
    size=st.integers(1, 5),
    seed=st.integers(0, 1 << 32),
)
def test_nearest_codes_are_the_same_and_nearest(family, size, seed) -> None:
    family = get_family(family)
    tables = rounding.grids(family, "float32")
    values = hard_groups(seed, 30, size)
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, len(family.members), 30).astype(np.uint8)
    scales = np.abs(values[:, 0] / tables.largest[ids]).astype(np.float16).astype(np.float32)
    codes = kernels.nearest(values, ids, scales, tables, use_numba=True)
    assert same((codes,), (kernels.nearest(values, ids, scales, tables, use_numba=False),))
    steps = scales * np.float32(family.unit)
    for value, code, member, step in zip(values, codes, ids, steps, strict=True):
        levels = family.members[member].grid.astype(np.float64)
        x = np.divide(value, step, out=np.zeros_like(value), where=step > 0).astype(np.float64)
        chosen = family.members[member].decode(code)
        assert np.array_equal(np.abs(chosen - x), np.abs(levels[:, None] - x).min(axis=0))


def test_rounding_to_float16() -> None:
    """Every float16, all halfway points between them, and their neighbours."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = np.sort(halves[np.isfinite(halves)]).astype(np.float32)
    middle = (halves[1:] + halves[:-1]) / 2
    x = np.concatenate([halves, middle, [65519.996, 65520, 65536, 1e9, 3e38, -65520, -1e9]])
    x = np.concatenate([np.nextafter(x, s * np.inf, dtype=np.float32) for s in (-1, 1)] + [x])
    x = x.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = x.astype(np.float16).astype(np.float32)
        assert np.array_equal(loops.rounded_half(x.copy()), wanted)
        small = x[np.abs(x) < 65520]
        assert np.array_equal(loops.rounded_half(small.copy()), small.astype(np.float16))


@needs_numba
@pytest.mark.parametrize("size", [*range(1, 300), 1000, 4096, 4099, 20000, 100003, 1 << 20])
def test_sums_are_in_the_order_of_numpy(size) -> None:
    """The error of a grid whose values are all 0 is the sum of the squares of the weights."""
    rng = np.random.default_rng(size)
    weights = rng.standard_normal((1, size)).astype(np.float32)
    parts = compiled.leaves(size)
    assert parts[0, 0] == 0 and parts[:, 1].sum() == size and parts[:, 1].max() <= compiled.LEAF
    assert np.array_equal(np.cumsum(parts[:-1, 1]), parts[1:, 0])
    stack = []
    for start, length, joins in parts.tolist():
        stack.append((weights[0, start : start + length] ** 2).sum())
        for _ in range(joins):
            right = stack.pop()
            stack[-1] += right
    assert stack == [(weights**2).sum(axis=1)[0]]


def test_without_numba() -> None:
    """The same bits where numba cannot be imported."""
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from sw.formats import get_family\n"
        "from sw.quantize import kernels, quantize_matrix\n"
        "assert not kernels.COMPILED\n"
        "weights = np.random.default_rng(5).standard_normal((9, 300))\n"
        "for arithmetic in ('float16', 'float32'):\n"
        "    found = quantize_matrix(weights, get_family('bitmod_fp4'), group_size=128,\n"
        "                            arithmetic=arithmetic)\n"
        "    print(found.codes.sum(), found.format_ids.sum(), repr(float(found.scales.sum())))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    from sw.quantize import quantize_matrix

    weights = np.random.default_rng(5).standard_normal((9, 300))
    lines = []
    for arithmetic in ("float16", "float32"):
        found = quantize_matrix(
            weights, get_family("bitmod_fp4"), group_size=128, arithmetic=arithmetic
        )
        total = repr(float(found.scales.sum()))
        lines.append(f"{found.codes.sum()} {found.format_ids.sum()} {total}")
    assert run.stdout.splitlines() == lines
