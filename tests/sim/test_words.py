"""The cycle of every word, and of every event, against models that are clocked."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.timing import (
    decode_cycles,
    dequantizer_cycles,
    dot_cycles,
    inner_cycles,
    result_cycles,
)
from sim import Gaps, Rate, Rates, trace_gemm
from sim.jobs import Jobs
from sim.words import word_cycles
from sw.compile import GemmShape, Machine, tiling

from .clocked import clocked_words
from .test_array import all_gaps, machine, naive_words, shapes
from .test_buffers import exact, machines

#: words of results that take longer than the array takes to the first of a tile
slow_results = st.integers(1, 60).map(lambda c: Rates(results=Rate(cycles=(c, 1))))


def same_words(found, expected: list[list[int]]) -> bool:
    return [cycles.tolist() for cycles in found] == expected


@settings(max_examples=100, deadline=None)
@given(built=machines(buffered=True), shape=shapes, gaps=all_gaps)
def test_words_into_buffers(built: Machine, shape: GemmShape, gaps: Gaps) -> None:
    built = exact(built, shape)
    total, causes, words = clocked_words(built, shape, gaps)
    report, found = word_cycles(built, shape, gaps)
    assert (report.total_cycles, report.causes) == (total, causes)
    assert same_words(found, words)
    trace, jobs = trace_gemm(built, shape, gaps)[1], Jobs.of(built, shape)
    tiles = (jobs.tile_weight_words, jobs.tile_activation_words)
    for name, size, cycles in zip(("weights", "activations"), tiles, words[:2], strict=True):
        spans = np.array(cycles).reshape(-1, size[0])[:, [0, -1]]
        assert np.array_equal(_spans(trace.of(f"load_{name}")), spans)


@settings(max_examples=100, deadline=None)
@given(
    shape=shapes,
    gaps=all_gaps,
    lanes=st.integers(1, 5),
    queue=st.integers(2, 5),
    family=st.sampled_from(["bitmod_fp4", "binary", "int8"]),
)
def test_words_into_queues(shape, gaps, lanes, queue, family) -> None:
    built = machine(lanes=lanes, family=family, queue_beats=queue)
    assert same_words(word_cycles(built, shape, gaps)[1], naive_words(built, shape, gaps)[2])


@settings(max_examples=100, deadline=None)
@given(built=machines(), shape=shapes, supply=all_gaps | slow_results)
def test_spans_follow_from_slots(built: Machine, shape: GemmShape, supply: Gaps | Rates) -> None:
    """Groups, tiles, dequantizers and results: each begins where docs/timing.md puts it."""
    report, trace = trace_gemm(built, shape, supply, beats=True)
    array, t = built.accelerator, tiling(built, shape)
    groups, tiles = (_spans(trace.of(kind)) for kind in ("group", "tile"))
    firsts, lasts = groups[:, 0].reshape(-1, t.groups), groups[:, 1].reshape(-1, t.groups)
    assert np.array_equal(tiles, np.stack([firsts[:, 0], lasts[:, -1]], axis=1))
    assert tiles[0, 0] == report.fill + 1 and report.total_cycles - tiles[-1, 1] == report.drain
    start = groups[:, 1] + decode_cycles(array) + dot_cycles(array) + inner_cycles(array)
    busy = np.stack([start, start + dequantizer_cycles(array) - 1], axis=1)
    assert np.array_equal(_spans(trace.of("dequantize")), busy)
    results = _spans(trace.of("results"))
    assert np.array_equal(results[:, 0], tiles[:, 1] + result_cycles(array))
    assert (tiles[1:, 1] > results[:-1, 1]).all()
    # between its first and last slot, a group spends on waits what it does not spend on slots
    slots = np.full(t.groups, t.chunks * built.slots)
    slots[-1] = t.last_chunks * built.slots
    causes = [name for name in report.causes if name != "compute"]
    waits = np.concatenate([_spans(trace.of(f"wait_{name}")) for name in causes])
    idle = np.concatenate([np.arange(first, last + 1) for first, last in waits])
    within = np.searchsorted(np.sort(idle), groups)
    lengths = groups[:, 1] - groups[:, 0] + 1
    assert np.array_equal(lengths - (within[:, 1] - within[:, 0]), np.tile(slots, t.tiles))
    assert not np.isin(groups, idle).any()
    beats = [trace.of(f"beat_{name}")["start"] for name in ("weights", "activations")]
    assert all((np.diff(cycles) >= 1).all() for cycles in beats)
    chunks = t.chunks * (t.groups - 1) + t.last_chunks
    parameters = array.requantizer is not None
    assert list(map(len, beats)) == [t.tiles * (chunks + t.groups + parameters), t.tiles * chunks]


def _spans(events) -> np.ndarray:
    """First and last cycle of each event, int64 (events, 2)."""
    return np.stack([events["start"], events["start"] + events["cycles"] - 1], axis=1)
