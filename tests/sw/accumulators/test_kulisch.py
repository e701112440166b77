"""Exact sums of products of minifloats: published widths, and enumeration."""

import itertools

import pytest

from configs.errors import InputError
from sw.accumulators.kulisch import kulisch_bits
from sw.formats import get_family


@pytest.mark.parametrize(
    ("name", "products", "exact", "published"),
    [
        ("minifloat_e2m3", 4608, 25, 26),
        ("minifloat_e3m3", 4608, 33, 34),
        ("minifloat_e4m3", 4608, 49, 50),
        ("minifloat_e5m2", 4608, 79, 80),
        ("minifloat_e2m3", 64, 19, 19),
        ("minifloat_e3m3", 64, 27, 27),
        ("minifloat_e4m3", 64, 43, 43),
        ("minifloat_e5m2", 64, 73, 73),
        ("float8_e5m2", 4608, 77, 80),  # the top binade is Inf and NaN
    ],
)
def test_widths_of_the_literature(name, products, exact, published):
    assert kulisch_bits(name, name, products) == (exact, published)


@pytest.mark.parametrize("other", ["int4", "float4_e2m1fn", "int3_full", "uint3", "float8_e4m3fn"])
def test_the_exact_width_holds_every_sum_and_one_less_does_not(other):
    levels = get_family(other).all_levels
    for products in (1, 2, 7, 64):
        width, _ = kulisch_bits("float4_e2m1fn", other, products)
        mine = get_family("float4_e2m1fn").all_levels
        ends = [products * a * b for a, b in itertools.product(mine, levels)]
        half = 1 << width - 1
        assert -half <= min(ends) and max(ends) < half
        assert min(ends) < -half // 2 or max(ends) >= half // 2


def test_integers_have_no_published_width():
    assert kulisch_bits("int8", "float8_e4m3fn", 3).published is None


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="products must be at least 1, not 0"):
        kulisch_bits("int8", "int8", 0)
    with pytest.raises(InputError, match="unknown number format 'int88'"):
        kulisch_bits("int88", "int8", 1)
