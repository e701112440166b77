"""Minifloats against ml_dtypes, en_dtypes, gfloat, gguf and published lists, every code."""

import math

import en_dtypes
import gfloat
import gguf
import ml_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import NumberFormat, get_family

ML_DTYPES = [
    "float4_e2m1fn",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e4m3b11fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "bfloat16",
]
#: exponent bits, mantissa bits, bias, special values
FIELDS = {
    "minifloat_e2m0": (2, 0, 1, "none"),
    "minifloat_e3m0": (3, 0, 3, "none"),
    "minifloat_e2m2": (2, 2, 1, "none"),
    "minifloat_e3m1": (3, 1, 3, "none"),
    "float4_e2m1fn": (2, 1, 1, "none"),
    "float6_e2m3fn": (2, 3, 1, "none"),
    "float6_e3m2fn": (3, 2, 3, "none"),
    "float8_e3m4": (3, 4, 3, "ieee"),
    "float8_e4m3": (4, 3, 7, "ieee"),
    "float8_e4m3fn": (4, 3, 7, "fn"),
    "float8_e4m3fnuz": (4, 3, 8, "fnuz"),
    "float8_e5m2": (5, 2, 15, "ieee"),
    "float8_e5m2fnuz": (5, 2, 16, "fnuz"),
    "minifloat_e1m2": (1, 2, 1, "none"),
    "minifloat_e1m6": (1, 6, 1, "none"),
    "minifloat_e4m1": (4, 1, 7, "none"),
    "minifloat_e4m3": (4, 3, 7, "none"),
    "minifloat_e5m2": (5, 2, 15, "none"),
    "minifloat_e6m1": (6, 1, 31, "none"),
}
# BitMoD (HPCA 2025) and its release: magnitudes by code, times the factor
PUBLISHED = {
    "minifloat_e2m0": (1, [0, 1, 2, 4]),
    "minifloat_e3m0": (4, [0, 1, 2, 4, 8, 16, 32, 64]),
    "float4_e2m1fn": (2, [0, 1, 2, 3, 4, 6, 8, 12]),
    "minifloat_e2m2": (4, [*range(9), 10, 12, 14, 16, 20, 24, 28]),
}


def member(name: str) -> NumberFormat:
    return get_family(name).members[0]


def oracle(name: str) -> type:
    return np.float16 if name == "float16" else getattr(ml_dtypes, name)


def every_value(name: str) -> np.ndarray:
    codes = np.arange(1 << member(name).bits, dtype=np.uint8 if "16" not in name else np.uint16)
    with np.errstate(invalid="ignore"):
        return codes.view(oracle(name)).astype(np.float64)


@pytest.mark.parametrize("name", [*ML_DTYPES, "float16"])
def test_every_code_equals_ml_dtypes(name: str) -> None:
    values = [math.nan if v is None else v for v in member(name).values]
    assert np.array_equal(values, every_value(name), equal_nan=True)


@pytest.mark.parametrize("name", FIELDS)
def test_every_code_equals_gfloat(name: str) -> None:
    e, m, bias, specials = FIELDS[name]
    info = gfloat.FormatInfo(
        name,
        1 + e + m,
        m + 1,
        bias=bias,
        is_signed=True,
        domain=gfloat.Domain.Extended if specials == "ieee" else gfloat.Domain.Finite,
        has_nz=specials != "fnuz",
        num_high_nans={"ieee": (1 << m) - 1, "fn": 1}.get(specials, 0),
        has_subnormals=True,
        is_twos_complement=False,
    )
    expected = [gfloat.decode_float(info, code).fval for code in range(1 << (1 + e + m))]
    assert np.array_equal(member(name).values, expected, equal_nan=True)


def test_e1m2_equals_en_dtypes() -> None:
    codes = np.arange(16, dtype=np.uint8)
    expected = codes.view(en_dtypes.float4_e1m2).astype(np.float64)
    assert np.array_equal(member("minifloat_e1m2").values, expected)


def test_e2m1_equals_the_mxfp4_elements_of_gguf() -> None:
    """A block of scale 1 with every code: 16 bytes, first half of the block in the low nibbles."""
    codes = np.arange(32, dtype=np.uint8) % 16
    data = np.concatenate([[127], codes[:16] | codes[16:] << 4]).astype(np.uint8)
    block = gguf.quants.dequantize(data[None], gguf.GGMLQuantizationType.MXFP4)[0]
    found = member("float4_e2m1fn").decode(codes) * 0.5
    assert np.array_equal(found, block)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_lists(name: str) -> None:
    factor, magnitudes = PUBLISHED[name]
    found = member(name).values
    assert [v * factor for v in found[: len(magnitudes)]] == magnitudes
    assert [v * factor for v in found[len(magnitudes) :]] == [-v for v in magnitudes]


@pytest.mark.parametrize(
    ("name", "largest", "least_normal", "least"),
    [
        ("minifloat_e2m0", 4, 1, 1),
        ("float4_e2m1fn", 6, 1, 0.5),
        ("float6_e2m3fn", 7.5, 1, 0.125),
        ("float6_e3m2fn", 28, 0.25, 0.0625),
        ("float8_e3m4", 15.5, 0.25, 2**-6),
        ("float8_e4m3", 240, 2**-6, 2**-9),
        ("float8_e4m3fn", 448, 2**-6, 2**-9),
        ("float8_e4m3fnuz", 240, 2**-7, 2**-10),
        ("float8_e4m3b11fnuz", 30, 2**-10, 2**-13),
        ("float8_e5m2", 57344, 2**-14, 2**-16),
        ("float8_e5m2fnuz", 57344, 2**-15, 2**-17),
        ("float8_e8m0fnu", 2.0**127, 2.0**-127, 2.0**-127),
        ("bfloat16", 2.0**128 - 2.0**120, 2.0**-126, 2.0**-133),
        ("float16", 65504, 2**-14, 2**-24),
    ],
)
def test_published_ranges(name: str, largest: float, least_normal: float, least: float) -> None:
    found = member(name)
    assert found.max_magnitude * float(found.unit) == largest
    positive = found.grid[found.grid > 0]
    assert positive[0] * float(found.unit) == least
    # below the least normal value the steps are those of the subnormals
    steps = np.diff(positive[positive <= int(least_normal / found.unit)])
    assert all(step == positive[0] for step in steps)


@pytest.mark.parametrize("name", [*ML_DTYPES, "float16"])
def test_cast_is_clip_then_ml_dtypes_cast(name: str) -> None:
    """On all values, all midpoints, their float32 neighbours, and beyond the range."""
    found, values = member(name), every_value(name)
    finite = np.unique(values[np.isfinite(values)])
    middles = (finite[1:] + finite[:-1]) / 2
    largest = found.max_magnitude * float(found.unit)
    x = np.concatenate([finite, middles, [largest * 1.01, -largest * 1.01]])
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
        x = np.concatenate([x, np.nextafter(x, np.float32("inf")), np.nextafter(x, -x), [0.0]])
    x = np.append(x, [np.inf, -np.inf]).astype(np.float32)
    if name == "float8_e8m0fnu":
        # ml_dtypes 0.6.0 rounds all float32 subnormals above 2**-127 up, not only the upper half
        x = x[(x <= 2.0**-127) | (x >= 1.5 * 2.0**-127)]
    low = found.grid[0] * float(found.unit)
    clipped = np.clip(x, np.float32(low), np.float32(largest))
    with np.errstate(over="ignore"):
        expected = clipped.astype(oracle(name)).astype(np.float64)
    codes = found.cast(x)
    assert np.array_equal(np.array(found.values, dtype=float)[codes], expected)
    assert not codes[expected == 0].any()


@pytest.mark.parametrize("name", [n for n in [*ML_DTYPES, "float16"] if "float4" not in n])
def test_nan_becomes_the_nan_of_ml_dtypes(name: str) -> None:
    found = member(name)
    if not found.specials:
        with pytest.raises(InputError, match=f"'{name}' has no code for NaN"):
            found.cast([1.0, np.nan])
        return
    wide = np.uint16 if found.bits > 8 else np.uint8
    expected = int(np.array([np.nan]).astype(oracle(name)).view(wide)[0])
    assert found.cast([np.nan, 1.0])[0] == expected
    with pytest.raises(InputError, match=f"code {expected} has no level in '{name}'"):
        found.decode([expected])


def test_saturation_where_ml_dtypes_overflows() -> None:
    for name, largest in [("float8_e4m3fn", 448), ("float8_e5m2", 57344), ("float16", 65504)]:
        found = member(name)
        assert found.decode(found.cast([1e30, np.inf])).tolist() == [largest / found.unit] * 2
        with np.errstate(over="ignore"):
            assert not np.isfinite(np.array([1e30]).astype(oracle(name)).astype(float))[0]
    scale = member("float8_e8m0fnu")
    assert scale.cast([0.0, -3.0, 1e-60, 1.5, 3.0, 1e60]).tolist() == [0, 0, 0, 128, 129, 254]


def test_wide_levels_stay_exact() -> None:
    wide = member("bfloat16")
    assert wide.grid.dtype == object and wide.grid[-1] == 255 << 253
    assert wide.decode([0x7F7F])[0] == 255 << 253
    assert wide.encode([255 << 253, 0, -1]).tolist() == [0x7F7F, 0, 0x8001]
    assert get_family("bfloat16").level_table.shape == (1, 65536)
    assert member("float16").grid.dtype == np.int64
    with pytest.raises(InputError, match=r"does not exist in 'bfloat16'"):
        wide.encode([257])


@pytest.mark.parametrize("name", ["minifloat_e0m3", "minifloat_e9m1", "minifloat_e8m8"])
def test_impossible_sizes(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}': minifloats have 1..8 exponent bits and 16"):
        get_family(name)
