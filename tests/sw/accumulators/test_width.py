"""Register widths, against the definition; bounds of the literature, against float forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import (
    a2q_plus_bits,
    dtype_bound_bits,
    l1_bound_bits,
    signed_range,
    signed_width,
    signed_widths,
)

repeatable = settings(deadline=None, derandomize=True, max_examples=100)
int64s = st.integers(-(1 << 63), (1 << 63) - 1)


def test_width_is_the_least_that_holds_both_ends():
    for low in range(-40, 41):
        for high in range(low, 41):
            bits = next(b for b in range(1, 9) if -(1 << b - 1) <= low and high < 1 << b - 1)
            assert signed_width(low, high) == bits, (low, high)
    assert signed_width(0, 0) == signed_width(-1, 0) == 1


@pytest.mark.parametrize("n", [31, 32, 48, 49, 52, 53, 62, 63, 64, 80, 1000])
def test_width_is_exact_where_float_logarithms_are_not(n):
    edge = 1 << n
    assert signed_width(0, edge - 1) == signed_width(-edge, 0) == n + 1
    assert signed_width(0, edge) == signed_width(0, edge + 1) == signed_width(-edge - 1, 0) == n + 2
    wide = np.array([edge - 1, edge, edge + 1], dtype=object)
    assert signed_widths(-wide, wide).tolist() == [n + 1, n + 2, n + 2]
    if n < 63:
        wide = wide.astype(np.int64)
        assert signed_widths(-wide, wide).tolist() == [n + 1, n + 2, n + 2]


@repeatable
@given(ends=st.lists(st.tuples(int64s, int64s).map(sorted), min_size=1, max_size=9))
def test_vectorised_width_equals_the_scalar_one(ends):
    low, high = (np.array(side, dtype=np.int64) for side in zip(*ends, strict=True))
    expected = [signed_width(*pair) for pair in ends]
    assert signed_widths(low, high).tolist() == expected
    assert signed_widths(low.astype(object), high.astype(object)).tolist() == expected


def test_signed_range_is_the_inverse():
    assert signed_range(1) == (-1, 0) and signed_range(8) == (-128, 127)
    for bits in (1, 2, 17, 70):
        low, high = signed_range(bits)
        assert signed_width(low, high) == bits
        assert signed_width(low, high + 1) == signed_width(low - 1, high) == bits + 1


def test_literature_bounds_equal_their_float_forms_at_small_sizes():
    """Float forms as printed: log2 bound plus phi(a) = log2(1 + 2**-a), rounded up, plus sign."""
    for length in (1, 2, 3, 64, 100, 4608):
        for weight_bits in (2, 4, 8):
            for input_bits in (1, 4, 8):
                for signed in (False, True):
                    a = math.log2(length) + input_bits + weight_bits - 1 - signed
                    printed = math.ceil(a + math.log2(1 + 2**-a) + 1)
                    assert dtype_bound_bits(length, weight_bits, input_bits, signed) == printed
                    b = math.log2(length) + input_bits - signed
                    printed = math.ceil(b + math.log2(1 + 2**-b) + 1)
                    assert l1_bound_bits(length, input_bits, signed) == printed
                printed = math.ceil(math.log2(length * (2**input_bits - 1) + 2))
                assert a2q_plus_bits(length, input_bits) == printed
    assert l1_bound_bits(0, 8, False) == a2q_plus_bits(0, 8) == 1


@pytest.mark.parametrize(
    ("bits", "unsigned", "signed", "plus"),
    [
        (8, (63, 7, 0), (127, 15, 0), (254, 16, 0)),
        (12, (1023, 127, 7), (2047, 255, 15), (4094, 272, 16)),
        (16, (16383, 2047, 127), (32767, 4095, 255), (65534, 4368, 256)),
        (20, (262143, 32767, 2047), (524287, 65535, 4095), (1048574, 69904, 4112)),
    ],
)
def test_published_l1_budgets_are_the_last_norm_that_fits(bits, unsigned, signed, plus):
    for index, input_bits in enumerate((1, 4, 8)):
        for budget, bound in (
            (unsigned[index], lambda l1, n=input_bits: l1_bound_bits(l1, n, False)),
            (signed[index], lambda l1, n=input_bits: l1_bound_bits(l1, n, True)),
            (plus[index], lambda l1, n=input_bits: a2q_plus_bits(l1, n)),
        ):
            assert bound(budget) <= bits < bound(budget + 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_width(1, 0), "low 1 is above high 0"),
        (lambda: signed_width(0, 1.0), "high must be an integer, not 1.0"),
        (lambda: signed_range(0), "register bits must be at least 1, not 0"),
        (lambda: signed_widths([0, 2], [0, 1]), "low 2 is above high 1 at index 1"),
        (lambda: signed_widths([0, 2], [3]), r"low has shape \(2,\) but high has shape \(1,\)"),
        (lambda: signed_widths([0.0], [1]), "low must hold integers only, not 0.0"),
        (lambda: dtype_bound_bits(0, 4, 8, False), "length must be at least 1"),
        (lambda: dtype_bound_bits(4, 0, 8, False), "weight bits must be at least 1"),
        (lambda: l1_bound_bits(-1, 8, False), "l1 norm must be at least 0"),
        (lambda: a2q_plus_bits(5, 0), "input bits must be at least 1"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
