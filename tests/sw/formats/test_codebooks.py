"""Code books against their formulas and against gguf."""

import math
from statistics import NormalDist

import gguf
import numpy as np
import pytest

from sw.formats import NumberFormat, get_family
from sw.formats.codebooks import normalfloat_values

NAMES = ["nf4", "nf3", "nf2", "iq4_nl", "quantile3", "quantile4", "dynamic_tree8"]


def member(name: str) -> NumberFormat:
    return get_family(name).members[0]


@pytest.mark.parametrize("name", NAMES)
def test_levels_are_the_nearest_of_the_int8_grid(name: str) -> None:
    found = member(name)
    values = np.array(found.codebook_values)
    assert len(values) == 1 << found.bits and np.all(np.diff(values) > 0)
    error = np.abs(np.array(found.values) - values)
    assert error.max() <= float(found.unit) / 2
    assert found.max_magnitude == 127 and abs(values).max() * 127 == 127 ** (1 + (name == "iq4_nl"))


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("nf4", 0.0037),
        ("nf3", 0.0036),
        ("nf2", 0.0007),
        ("iq4_nl", 0.0),
        ("quantile3", 0.0036),
        ("quantile4", 0.0038),
        ("dynamic_tree8", 0.0038),
    ],
)
def test_documented_mapping_errors(name: str, largest: float) -> None:
    found = member(name)
    error = np.abs(np.array(found.values) - found.codebook_values)
    assert round(float(error.max()), 4) == largest


def test_nf4_constants_follow_the_formula() -> None:
    values = np.array(member("nf4").codebook_values)
    assert np.allclose(values, normalfloat_values(4), atol=1.2e-7)
    published = [-1, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0]
    published += [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1]
    assert np.allclose(values, published, atol=6e-8)


@pytest.mark.parametrize("bits", [2, 3])
def test_nf_quantiles(bits: int) -> None:
    """Equal steps of probability from the offset down to one half, on either side."""
    values = np.array(member(f"nf{bits}").codebook_values)
    count = 1 << (bits - 1)
    largest = NormalDist().inv_cdf(0.9677083)
    for side, points in ((values[values > 0], count), (-values[values < 0][::-1], count - 1)):
        assert len(side) == points
        steps = np.diff([0.5, *(NormalDist().cdf(v * largest) for v in side)])
        assert np.allclose(steps, (0.9677083 - 0.5) / points)


@pytest.mark.parametrize("bits", [3, 4])
def test_quantiles_are_the_middles_of_equal_bins(bits: int) -> None:
    values = member(f"quantile{bits}").codebook_values
    largest = NormalDist().inv_cdf(1 - 0.5 / (1 << bits))
    found = [NormalDist().cdf(v * largest) * (1 << bits) for v in values]
    assert np.allclose(found, np.arange(1 << bits) + 0.5)
    assert member(f"quantile{bits}").provisional


def test_iq4_nl_equals_gguf() -> None:
    assert member("iq4_nl").levels == tuple(gguf.quants.IQ4_NL.kvalues)
    codes = np.arange(32, dtype=np.uint8) % 16
    scale = np.frombuffer(np.float16(1).tobytes(), dtype=np.uint8)
    data = np.concatenate([scale, codes[:16] | codes[16:] << 4])
    block = gguf.quants.dequantize(data[None], gguf.GGMLQuantizationType.IQ4_NL)[0]
    assert np.array_equal(member("iq4_nl").decode(codes), block)


def test_dynamic_tree_follows_the_table_of_bitsandbytes() -> None:
    values: list[float] = [0.0, 1.0]
    for i in range(7):
        edges = np.linspace(0.1, 1, 2**i + 1)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (i - 6)
        values += [*middles, *-middles]
    found = member("dynamic_tree8")
    assert np.allclose(found.codebook_values, sorted(values), rtol=1e-12)
    assert found.codebook_values[-1] == 1 and 0 in found.codebook_values
    # one leading zero of the magnitude for each decade
    decades = [math.floor(math.log10(v) + 1e-9) for v in found.codebook_values if 0 < v < 1]
    assert [decades.count(d) for d in range(-7, 0)] == [1, 2, 4, 8, 16, 32, 64]
    assert len(found.grid) == 156
