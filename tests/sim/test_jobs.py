"""Jobs in columns refuse exactly what the compiler refuses, whichever of them it is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.timing import GROUP_COUNT_BITS, TILE_COUNT_BITS
from sim.jobs import Jobs
from sw.compile import GemmShape, Machine

from .test_array import machine
from .test_buffers import exact, machines, shapes

MOST_TILES, MOST_GROUPS = (1 << TILE_COUNT_BITS) - 1, (1 << GROUP_COUNT_BITS) - 1


@settings(max_examples=100, deadline=None)
@given(built=machines(buffered=True), shape=shapes(12), small=st.booleans())
def test_a_tile_needs_its_room(built: Machine, shape: GemmShape, small: bool) -> None:
    """The smallest buffers hold it; one beat less of either is refused, also beside other jobs."""
    built = exact(built, shape)
    tiny = GemmShape(m=1, n=1, k=1, group_size=1)
    assert len(Jobs.of(built, tiny, shape)) == 2
    for name, least in (("weight_beats", 2), ("activation_beats", 1)):
        beats = getattr(built.accelerator.buffers, name)
        if beats > least:
            buffers = replace(built.accelerator.buffers, **{name: beats - 1})
            less = replace(built, accelerator=replace(built.accelerator, buffers=buffers))
            with pytest.raises(InputError, match=f"{name} is {beats - 1}: set it to {beats}"):
                Jobs.of(less, *((shape,) if small else (tiny, shape)))


@pytest.mark.parametrize(
    "fits, exceeds",
    [
        ((1, MOST_TILES, 1, 1), (1, MOST_TILES + 1, 1, 1)),
        ((1, 1, MOST_GROUPS, 1), (1, 1, MOST_GROUPS + 1, 1)),
        ((1, 1, MOST_GROUPS, MOST_GROUPS), (1, 1, MOST_GROUPS + 1, MOST_GROUPS + 1)),
    ],
)
def test_counters_have_an_end(fits, exceeds) -> None:
    """Tiles, groups, chunks of a group: the largest count runs, one more is refused."""
    built = machine(rows=1, cols=1, lanes=1)
    assert len(Jobs.of(built, shape_of(fits))) == 1
    with pytest.raises(InputError, match="a job has room for"):
        Jobs.of(built, shape_of((1, 1, 1, 1)), shape_of(exceeds))


def shape_of(sizes: tuple[int, ...]) -> GemmShape:
    return GemmShape(**dict(zip(("m", "n", "k", "group_size"), map(int, sizes), strict=True)))


def test_peak_is_one_product_a_lane_and_slot() -> None:
    built = machine(rows=3, cols=5, lanes=7)
    peak = Jobs.of(built, shape_of((1, 1, 1, 1))).peak_macs_per_cycle
    assert np.isclose(peak, 3 * 5 * 7 / built.slots) and built.slots > 1
