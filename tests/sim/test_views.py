"""Both views of the simulator, with memories of every speed: equal in every figure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, BufferConfig
from configs.schema import load_axis
from sim import Rate, Rates, simulate_gemm, trace_gemm
from sim.jobs import Jobs
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import inner_tiles, stream_counts
from sw.formats import get_family

from .clocked import clocked
from .test_buffers import exact, machines
from .visits import visited_groups


@st.composite
def word_times(draw, slowest: int = 7) -> tuple[int, int]:
    """Cycles of a word, 1 or more: whole, of small and of large denominators."""
    bottom = draw(st.sampled_from((1, 1, 2, 3, 8, 33, 100)))
    return draw(st.integers(bottom, bottom * draw(st.sampled_from((1, 2, slowest))))), bottom


def stream_rates(slowest: int = 7, leads: st.SearchStrategy[int] | None = None):
    """Rates of one stream."""
    return st.builds(
        Rate,
        cycles=word_times(slowest),
        lead=st.integers(0, 40) if leads is None else leads,
        lead_cycles=word_times(slowest),
        delay=st.sampled_from((0, 0, 1, 30)),
    )


all_rates = st.builds(
    Rates, weights=stream_rates(), activations=stream_rates(), results=stream_rates()
)
shapes = st.builds(
    GemmShape,
    m=st.integers(1, 24),
    n=st.integers(1, 24),
    k=st.integers(1, 160),
    group_size=st.integers(1, 40),
)


@st.composite
def paced_jobs(draw) -> tuple[Machine, GemmShape, Rates]:
    """Buffers of just one tile, leads of whole tiles, words slower than any pipeline is long."""
    built, shape = draw(machines()), draw(shapes)
    if built.accelerator.buffers is not None and draw(st.booleans()):
        built = exact(built, shape)
    jobs, slowest = Jobs.of(built, shape), draw(st.sampled_from((7, 7, 60)))

    def rates_of(tile_words: int) -> Rate:
        whole = st.integers(0, 5).map(lambda tiles: tiles * tile_words)
        return draw(stream_rates(slowest, st.integers(0, 40) | whole))

    words = (jobs.tile_weight_words, jobs.tile_activation_words, jobs.tile_result_words)
    weights, activations, results = (rates_of(int(count[0])) for count in words)
    return built, shape, Rates(weights=weights, activations=activations, results=results)


@settings(max_examples=2000, deadline=None)
@given(job=paced_jobs())
def test_fast_and_stepped_views_agree(job) -> None:
    """Total and every counter: stalls of the memory, ragged shapes, buffers of just one tile."""
    assert simulate_gemm(*job) == simulate_gemm(*job, stepped=True)


@settings(max_examples=200, deadline=None)
@given(built=machines(), shape=shapes, rates=all_rates)
def test_a_rate_is_a_list_of_gaps(built: Machine, shape, rates) -> None:
    """What a test bench can keep: the same times from idle cycles, word by word."""
    gaps = rates.gaps(stream_counts(built, tiling(built, shape)))
    assert min(int(g.min()) for g in (gaps.weights, gaps.activations, gaps.results)) >= 0
    assert simulate_gemm(built, shape, gaps) == simulate_gemm(built, shape, rates)


@settings(max_examples=60, deadline=None)
@given(
    built=machines(buffered=True),
    shape=st.builds(
        GemmShape,
        m=st.integers(1, 7),
        n=st.integers(1, 7),
        k=st.integers(1, 40),
        group_size=st.integers(1, 20),
    ),
    rates=all_rates,
)
def test_both_equal_a_model_clocked_cycle_by_cycle(built: Machine, shape, rates) -> None:
    built = exact(built, shape)
    gaps = rates.gaps(stream_counts(built, tiling(built, shape)))
    report = simulate_gemm(built, shape, rates)
    assert (report.total_cycles, report.causes) == clocked(built, shape, gaps)


@settings(max_examples=200, deadline=None)
@given(built=machines(), shape=shapes)
def test_columns_are_the_tilings_of_the_compiler(built: Machine, shape) -> None:
    jobs, t = Jobs.of(built, shape), tiling(built, shape)
    for name in ("tiles", "groups", "chunks", "last_chunks", "tile_chunks", "col_tiles"):
        assert int(getattr(jobs, name)[0]) == getattr(t, name), name
    assert {name: int(words[0]) for name, words in jobs.words.items()} == stream_counts(built, t)
    assert int(jobs.inner_tiles[0]) == inner_tiles(built, t)


@settings(max_examples=150, deadline=None)
@given(built=machines(), shape=shapes, rates=all_rates)
def test_a_trace_accounts_for_every_cycle(built: Machine, shape, rates) -> None:
    report, trace = trace_gemm(built, shape, rates)
    assert report == simulate_gemm(built, shape, rates)
    t = tiling(built, shape)
    groups, tiles = trace.of("group"), trace.of("tile")
    assert len(groups) == len(trace.of("dequantize")) == t.tiles * t.groups
    assert len(tiles) == len(trace.of("results")) == t.tiles
    for cause in ("dequantizer", "weights", "activations"):
        assert trace.of(f"wait_{cause}")["cycles"].sum() == report.causes[cause]
    assert trace.of("wait_output")["cycles"].sum() == report.causes["output"] - report.drain
    # waits and slots of a tile do not overlap, and fill it
    waits = np.concatenate(
        [trace.of(f"wait_{c}") for c in ("output", "dequantizer", "weights", "activations")]
    )
    waits = np.sort(waits, order="start")
    assert (waits["start"][1:] >= waits["start"][:-1] + waits["cycles"][:-1]).all()
    assert waits["cycles"].sum() + report.causes["compute"] == report.total_cycles - report.drain
    for events in (groups, tiles, trace.of("dequantize"), trace.of("load_weights")):
        assert (events["start"][1:] >= events["start"][:-1] + events["cycles"][:-1]).all()
        assert (events["cycles"] >= 1).all()
    results = trace.of("results")
    assert results["start"][-1] + results["cycles"][-1] - 1 == report.total_cycles


def test_a_trace_of_the_first_tiles_is_the_beginning_of_the_whole() -> None:
    array = load_axis("accelerator", "tiny_4x4x4")
    family = get_family("bitmod_fp4")
    built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    shape = GemmShape(m=12, n=12, k=40, group_size=8)
    report, whole = trace_gemm(built, shape)
    again, some = trace_gemm(built, shape, tiles=4)
    assert again == report and some.total_cycles < whole.total_cycles == report.total_cycles
    assert (some.events == whole.events[: len(some.events)]).all()
    assert set(some.events["tile"]) == {0, 1, 2, 3}
    assert len(trace_gemm(built, shape, tiles=99)[1].events) == len(whole.events)


def test_the_fast_view_is_fast_behind_a_slow_memory() -> None:
    """A tile's words take whole cycles together, so a tile is like the one before."""
    array = load_axis("accelerator", "bitmod_32x32x4")
    family = get_family("bitmod_fp4")
    built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    shape = GemmShape(m=256, n=4096, k=4096, group_size=128)
    jobs = Jobs.of(built, shape)
    words = int(jobs.tile_weight_words[0])
    rates = Rates(weights=Rate(cycles=(3 * words + 1, words), delay=50))
    assert visited_groups(built, shape, rates) < 10 * int(jobs.groups[0])
    assert visited_groups(built, shape) < 100


@pytest.mark.parametrize("stationary", ["weights", "activations"])
@pytest.mark.parametrize("m, n, most", [(64, 16, 1100), (16, 64, 1000), (2, 64, 100), (64, 2, 300)])
def test_the_fast_view_is_fast_while_buffers_fill(stationary, m, n, most) -> None:
    """Words slower than the array hold it back only in the end: up to there groups repeat."""
    array = AcceleratorConfig(
        name="t",
        rows=2,
        cols=2,
        lanes=2,
        buffers=BufferConfig(weight_beats=10000, activation_beats=9000, stationary=stationary),
    )
    family = get_family("bitmod_fp4")
    built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    shape = GemmShape(m=m, n=n, k=16 * 1000, group_size=16)
    for weights in ((1, 1), (5, 2), (9, 1)):
        for activations in ((1, 1), (7, 3)):
            rates = Rates(
                weights=Rate(cycles=weights, delay=40), activations=Rate(cycles=activations)
            )
            assert visited_groups(built, shape, rates) < most, rates
