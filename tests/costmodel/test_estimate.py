"""Figures with intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import InputError
from configs.figure import Figure
from costmodel.estimate import Estimate

sizes = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def estimates(draw) -> Estimate:
    low, value, high = sorted(draw(st.lists(sizes, min_size=3, max_size=3)))
    return Estimate(value=value, low=low, high=high)


@given(st.lists(estimates(), max_size=5))
def test_a_sum_contains_the_sums_of_what_its_parts_contain(parts) -> None:
    total = Estimate.total(parts)
    for name in ("low", "value", "high"):
        assert getattr(total, name) == pytest.approx(sum(getattr(p, name) for p in parts))


@given(estimates(), estimates())
def test_products_of_limits_are_limits(a, b) -> None:
    both = a.times(b)
    assert (both.low, both.value, both.high) == (a.low * b.low, a.value * b.value, a.high * b.high)


def test_shares_and_counts() -> None:
    assert Estimate.within(10, 0.2) == Estimate(value=10, low=8, high=12)
    assert Estimate.within(10, 3).low == 0
    assert Estimate.exact(4).times(3).per(6) == Estimate.exact(2)
    assert Estimate.exact(1) + Estimate.within(1, 0.5) == Estimate(value=2, low=1.5, high=2.5)


def test_of_a_configuration() -> None:
    figure = {"value": 2.0, "kind": "quoted", "source": "a paper"}
    assert Estimate.of(Figure(**figure)) == Estimate.exact(2)
    limits = Estimate.of(Figure(**figure, low=1, high=5))
    assert limits == Estimate(value=2, low=1, high=5)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"low": 1.0}, "low and high go together: one of them is missing"),
        ({"low": 3.0, "high": 4.0}, "low is 3.0"),
        ({"low": 1.0, "high": 1.5}, "high is 1.5"),
    ],
)
def test_limits_that_cannot_be(limits, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Figure(value=2.0, kind="quoted", source="a paper", **limits)


def test_an_interval_contains_its_value() -> None:
    with pytest.raises(InputError, match="2 to 3 does not contain 1"):
        Estimate(value=1, low=2, high=3)
