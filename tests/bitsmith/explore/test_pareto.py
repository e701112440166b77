"""Fronts against their definition, volumes against Optuna's, and the points that have names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.explore.pareto import (
    front,
    hypervolume,
    knees,
    minimised,
)
from bitsmith.explore.table import Table
from configs.errors import InputError

#: few values, so that ties and equal points are common
FEW = st.sampled_from([*map(float, range(6)), -0.0, 1e-300, 1e300, -1e300])
ANY = st.one_of(FEW, st.sampled_from([np.nan, np.inf, -np.inf]))


@st.composite
def points(
    draw: st.DrawFn, values: st.SearchStrategy[float] = FEW, least: int = 1, most: int = 5
) -> np.ndarray:
    count, objectives = draw(st.integers(0, 25)), draw(st.integers(least, most))
    flat = draw(st.lists(values, min_size=count * objectives, max_size=count * objectives))
    return np.array(flat, float).reshape(count, objectives)


def by_definition(values: np.ndarray) -> list[int]:
    """The definition, pair by pair."""
    finite = [bool(np.isfinite(row).all()) for row in values]
    return [
        place
        for place, row in enumerate(values)
        if finite[place]
        and not any(
            finite[other] and (values[other] <= row).all() and (values[other] < row).any()
            for other in range(len(values))
        )
    ]


@settings(max_examples=150, deadline=None)
@given(points(ANY))
def test_front_is_its_definition(values: np.ndarray) -> None:
    assert front(values).tolist() == by_definition(values)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["cloud", "grid", "surface"])
def test_front_of_more_points_than_one_step_takes(objectives: int, kind: str) -> None:
    """Pivots, several blocks, unequal halves: sizes that small examples do not reach."""
    rng = np.random.default_rng(objectives)
    values = rng.random((1500, objectives))
    if kind == "grid":
        values = np.floor(values * 12)
    if kind == "surface" and objectives > 1:
        # nothing dominates anything, but for the copies moved up
        values[:, -1] = -values[:, :-1].sum(1)
        values[1000:] = values[:500] + (rng.random((500, objectives)) < 0.3)
    no_worse = (values[:, None] <= values[None]).all(-1)
    better = (values[:, None] < values[None]).any(-1)
    assert front(values).tolist() == np.flatnonzero(~(no_worse & better).any(0)).tolist()


def test_blocks_of_points_on_a_surface() -> None:
    """More than three objectives: the front outgrows a block."""
    values = np.random.default_rng(0).dirichlet([1, 1, 1, 1], 3000)
    worse = values[:700] + np.array([0, 0, 0, 1e-9])
    assert front(np.concatenate([worse, values])).tolist() == list(range(700, 3700))


def test_equal_points_are_all_kept() -> None:
    values = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0], [2.0, 1.0]]
    assert front(values).tolist() == [0, 1, 2, 4]


def test_a_rounded_sum_does_not_hide_domination() -> None:
    values = np.array([[1e16, 1.0, 0.0, 0.0], [1e16, 0.5, 0.0, 0.0], [0.0, 2.0, 1.0, 1.0]])
    assert front(values).tolist() == [1, 2]


def test_the_range_may_overflow() -> None:
    huge = 1.7e308
    values = [[huge, -huge, 0, 0], [-huge, huge, 0, 0], [huge, huge, 0, 0]]
    for objectives in (2, 3, 4):
        # enough copies for the pivots to be asked
        many = np.repeat(np.array(values)[:, :objectives], 40, axis=0)
        assert front(many).tolist() == list(range(80))


@pytest.mark.parametrize("values", [[1.0, 2.0], np.empty((3, 0)), np.empty((1, 1, 1))])
def test_other_shapes_are_refused(values: np.ndarray) -> None:
    with pytest.raises(InputError, match="points, objectives"):
        front(values)


def test_no_points_no_front() -> None:
    assert front(np.empty((0, 3))).tolist() == []
    assert front([[np.nan, 1.0]]).tolist() == []


@settings(max_examples=100, deadline=None)
@given(
    points(st.integers(-3, 9).map(float), most=3),
    st.lists(st.integers(-1, 10).map(float), min_size=3, max_size=3),
)
def test_hypervolume_counts_unit_cubes(values: np.ndarray, corner: list[float]) -> None:
    """Whole coordinates: the volume is the number of dominated unit cells."""
    reference = np.array(corner[: values.shape[1]])
    axes = [np.arange(-3, max(high, -3)) for high in reference]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(reference))
    dominated = (values[:, None] <= cells[None]).all(-1).any(0) if len(values) else np.zeros(1)
    assert hypervolume(values, reference) == dominated.sum()


@pytest.mark.parametrize("objectives", [2, 3])
def test_hypervolume_is_that_of_optuna(objectives: int) -> None:
    volumes = pytest.importorskip("optuna._hypervolume")
    rng = np.random.default_rng(3)
    for count in (1, 2, 10, 300):
        values = rng.random((count, objectives)) ** 2
        own = hypervolume(values, np.full(objectives, 0.9))
        inside = values[(values <= 0.9).all(1)]
        assert own == pytest.approx(
            volumes.compute_hypervolume(inside, np.full(objectives, 0.9)), rel=1e-12
        )


def test_hypervolume_needs_a_reference_of_its_size() -> None:
    with pytest.raises(InputError, match="1 to 3 objectives"):
        hypervolume(np.ones((2, 4)), np.ones(4))
    with pytest.raises(InputError, match="1 to 3 objectives"):
        hypervolume(np.ones((2, 3)), np.ones(2))


def test_knee_is_judged_by_ratios() -> None:
    """1 mm2 for a third of the time is a better trade than 1 s less of many."""
    values = [[1.0, 100.0], [3.0, 10.0], [40.0, 8.0], [100.0, 1.0]]
    assert knees(values, ["area_mm2", "latency_s"]) == {
        "knee": 1,
        "least area_mm2": 0,
        "least latency_s": 3,
    }
    # scaled linearly, (40, 8) would be no knee either, but (3, 10) less so
    assert knees(np.array(values)[[0, 2, 3]], ["a", "b"])["knee"] == 0


def test_two_objectives_have_the_knee_far_from_the_line_of_extremes() -> None:
    rng = np.random.default_rng(5)
    values = np.sort(rng.random((50, 2)), axis=0) + 0.01
    values[:, 1] = values[::-1, 1]
    u = np.log(values)
    first, last = u[np.argmin(u[:, 0])], u[np.argmin(u[:, 1])]
    span = last - first
    scaled = (u - first) / span
    # the extremes are (0, 0) and (1, 1) now, with the second objective turned round
    assert knees(values, ["a", "b"])["knee"] == np.argmax(scaled[:, 1] - scaled[:, 0])


def test_more_is_named_most_and_scaled_alike() -> None:
    """A rate, negated, has the knee of its reciprocal."""
    values = np.array([[1.0, 9.0], [2.0, 3.0], [5.0, 2.0], [9.0, 1.0]])
    rates = np.stack([values[:, 0], -1 / values[:, 1]], axis=1)
    found = knees(rates, ["area_mm2", "tokens_per_s"], ["tokens_per_s"])
    assert found == {"knee": 1, "least area_mm2": 0, "most tokens_per_s": 3}
    assert found["knee"] == knees(values, ["area_mm2", "s_per_token"])["knee"]


def test_ties_go_to_the_first() -> None:
    values = [[4.0, 4.0], [4.0, 1.0], [2.0, 2.0], [1.0, 4.0], [2.0, 2.0], [4.0, 1.0]]
    assert knees(values, ["a", "b"]) == {"knee": 1, "least a": 3, "least b": 1}


def test_values_of_both_signs_and_single_points_have_knees() -> None:
    assert knees([[-1.0, 1.0], [0.0, 0.1], [1.0, 0.0]], ["a", "b"])["knee"] == 1
    assert knees([[0.0, -2.0]], ["a", "b"]) == {"knee": 0, "least a": 0, "least b": 0}
    assert knees(np.full((2, 2), np.nan), ["a", "b"]) == {}


def test_a_dominated_point_has_no_name() -> None:
    """(1, 9) ties for the least a, but (1, 5) is no worse in a and better in b."""
    assert knees([[1.0, 9.0], [1.0, 5.0], [5.0, 1.0]], ["a", "b"])["least a"] == 1


def test_minimised() -> None:
    table = Table(
        numbers=np.arange(3),
        metrics={"area_mm2": np.array([1.0, 2, 3]), "tokens_per_s": np.array([4.0, 5, 6])},
        reasons=("", "too large"),
        reason=np.array([0, 1, 0]),
    )
    values = minimised(table, ["area_mm2", "tokens_per_s"])
    assert np.array_equal(values, [[1, -4], [np.nan, np.nan], [3, -6]], equal_nan=True)
    with pytest.raises(InputError, match="did you mean 'area_mm2'"):
        minimised(table, ["area_mm3"])
