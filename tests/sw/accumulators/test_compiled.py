"""The compiled loops against numpy, which test_bounds.py judges by enumeration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import bounds, compiled, layer_bounds, single_stage_bounds
from sw.formats import family_terms, get_family

repeatable = settings(deadline=None, derandomize=True, max_examples=200)
FAMILIES = ("int4", "int8", "bitmod_fp3", "bitmod_fp4")
needs_numba = pytest.mark.skipif(not compiled.COMPILED, reason="numba is not installed")


def numbers(layer):
    """Everything that a layer's bounds say, as plain Python."""
    found = [layer.l1.tolist(), layer.weight_bits]
    for stage in (layer.inner, layer.outer):
        if stage is not None:
            ends = (stage.final_low, stage.final_high, stage.step_low, stage.step_high)
            found += [[int(v) for v in end] for end in ends]
    return found


def dtypes(layer):
    stages = [stage for stage in (layer.inner, layer.outer) if stage is not None]
    return [layer.l1.dtype] + [stage.step_low.dtype for stage in stages]


def both_ways(levels, **schedule):
    """Bounds by the loops, which must be those of numpy, types included."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "COMPILED", False)
        plain = layer_bounds(levels, **schedule)
        # without numba these are the loops as Python
        patch.setattr(compiled, "COMPILED", True)
        looped = layer_bounds(levels, **schedule)
    assert numbers(looped) == numbers(plain)
    assert dtypes(looped) == dtypes(plain)
    return looped


@repeatable
@given(data=st.data())
def test_loops_and_numpy_agree(data):
    family = get_family(data.draw(st.sampled_from(FAMILIES)))
    channels, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 1 << 32))
    rng = np.random.default_rng(seed)
    kind = data.draw(st.sampled_from([np.int8, np.int16, np.int32, np.int64, ">i4", object]))
    levels = rng.choice(np.array(family.all_levels), size=(channels, length)).astype(kind)
    group_size = data.draw(st.one_of(st.integers(1, 45), st.just(1 << 70)))
    groups = -(-length // group_size)
    low = data.draw(st.one_of(st.integers(-300, 300), st.just(-(1 << 40))))
    scales = rng.integers(0, data.draw(st.sampled_from([2, 256, 1 << 50])), (channels, groups))
    both_ways(
        levels if data.draw(st.booleans()) else np.asfortranarray(levels),
        terms=data.draw(st.sampled_from([None, family_terms(family)])),
        group_size=group_size,
        lanes=data.draw(st.one_of(st.integers(1, 45), st.just(1 << 70))),
        input_range=(low, low + data.draw(st.integers(0, 600))),
        scale_codes=data.draw(st.sampled_from([None, scales])),
        outer_levels=data.draw(
            st.sampled_from([None, levels.astype(np.int64) - int(rng.integers(-9, 9))])
        ),
    )


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.int64])
def test_extreme_weights_of_every_type(kind):
    ends = np.iinfo(kind)
    levels = np.array([[ends.min, ends.max, ends.max], [ends.min] * 3, [ends.max] * 3], dtype=kind)
    for input_range in ((-128, 127), (0, 255), (3, 9), (-9, -3)):
        layer = both_ways(
            levels,
            terms=None,
            group_size=2,
            lanes=1,
            input_range=input_range,
            scale_codes=[[255, 255]] * 3,
        )
        extremes = [int(ends.max) * x for x in input_range]
        assert layer.inner.final_high[2] == max(2 * max(extremes), max(extremes))
    levels.setflags(write=False)
    assert single_stage_bounds(levels, (0, 1)).inner.final_high[2] == 3 * int(ends.max)


@needs_numba
@pytest.mark.parametrize("shift", [60, 61, 62, 63])
def test_sums_at_the_edge_of_int64_leave_the_loops(shift, monkeypatch):
    """Two products of 2**shift: the loops hold them below 2**63 and are not entered from there."""
    entered = []
    fill = compiled._fill
    monkeypatch.setattr(compiled, "_fill", lambda *a: entered.append(1) or fill(*a))
    layer = single_stage_bounds([[1, 1]], (0, 1 << shift))
    assert layer.inner.final_high[0] == 2 << shift
    assert bool(entered) == (shift < 62)
    low = single_stage_bounds([[1, 1]], (-(1 << shift), 0)).inner.step_low
    assert low[0] == -(2 << shift)


@needs_numba
def test_levels_without_terms_are_refused_by_the_loops_too():
    """Inside a gap of the table, below it and above it, in any block of channels."""
    family = get_family("bitmod_fp4")
    terms = family_terms(family)
    inside = [v for v in range(min(terms.terms), max(terms.terms)) if v not in terms.terms]
    assert inside
    for bad in (*inside, min(terms.terms) - 1, max(terms.terms) + 1, -128, 127):
        levels = np.zeros((5, 4), dtype=np.int8)
        levels[3, 2] = bad
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounds, "BLOCK_WEIGHTS", 8)
            with pytest.raises(InputError, match=f"level {bad} has no terms in this table"):
                layer_bounds(
                    levels,
                    terms=terms,
                    group_size=2,
                    lanes=3,
                    input_range=(-8, 7),
                    scale_codes=None,
                )


@needs_numba
def test_memory_does_not_grow_with_the_layer(monkeypatch):
    """The loops see blocks of a few rows, never the whole layer."""
    sizes = []
    fill = compiled._fill
    monkeypatch.setattr(
        compiled, "_fill", lambda rows, *a: sizes.append(rows.size) or fill(rows, *a)
    )
    levels = np.ones((2048, 512), dtype=np.int8)
    single_stage_bounds(levels, (-8, 7))
    assert sum(sizes) == levels.size and max(sizes) <= bounds.BLOCK_WEIGHTS
