"""The simulator against a second, naive implementation of docs/timing.md, cycle by cycle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, RequantizerConfig, ScaleConfig
from configs.errors import InputError
from configs.timing import CAUSES, HEADER_QUEUE_GROUPS
from sim import Gaps, gemm_activity, simulate_gemm
from sw.compile import GemmShape, Machine, tiling
from sw.formats import get_family

from .clocked import Source
from .visits import visited_groups


def machine(rows=2, cols=2, lanes=2, family="bitmod_fp4", queue_beats=4) -> Machine:
    accelerator = AcceleratorConfig(
        name="t", rows=rows, cols=cols, lanes=lanes, queue_beats=queue_beats
    )
    return Machine(accelerator=accelerator, family=get_family(family), inner_bits=20, outer_bits=34)


def naive(built: Machine, shape: GemmShape, gaps: Gaps):
    """Registers and queues advanced one clock at a time; returns total cycles and causes."""
    return naive_words(built, shape, gaps)[:2]


def naive_words(built: Machine, shape: GemmShape, gaps: Gaps):
    """The same, and the cycles that accept the words of each stream."""
    t, slots, depth = tiling(built, shape), built.terms.slots, built.accelerator.queue_beats
    work = []  # (ends group, ends tile) of every chunk
    kinds = []  # weight beats: "h" or "c"
    for _ in range(t.tiles):
        for group in range(t.groups):
            count = t.last_chunks if group == t.groups - 1 else t.chunks
            kinds += ["h"] + ["c"] * count
            work += [
                (c == count - 1, c == count - 1 and group == t.groups - 1) for c in range(count)
            ]
    weights = Source(gaps.weights, len(kinds))
    activations = Source(gaps.activations, len(work))
    results = Source(gaps.results, t.tiles * t.rows)
    headers = chunks = acts = position = slot = ended = 0
    pending, arriving, available = False, [], 0
    causes, cycle = dict.fromkeys(CAUSES, 0), 0
    while results.index < results.total:
        cycle += 1
        if arriving and arriving[0] == cycle:
            arriving.pop(0)
            available = t.rows
        kind = kinds[weights.index] if weights.index < len(kinds) else ""
        room = headers < HEADER_QUEUE_GROUPS if kind == "h" else chunks < depth
        take_w, take_a = weights.offered and room, activations.offered and acts < depth
        take_r = results.offered and available > 0
        ends_group, ends_tile = work[position] if position < len(work) else (False, False)
        last = slot == slots - 1
        if position == len(work) or (last and ends_tile and pending):
            cause = "output"
        elif last and ends_group and ended and cycle < ended + 8:
            cause = "dequantizer"
        elif not headers or not chunks:
            cause = "weights"
        elif not acts:
            cause = "activations"
        else:
            cause = "compute"
        causes[cause] += 1
        if take_r:
            available -= 1
            pending = pending and available > 0
        if cause == "compute":
            slot += 1
            if last:
                slot, chunks, acts, position = 0, chunks - 1, acts - 1, position + 1
                if ends_group:
                    headers, ended = headers - 1, cycle
                if ends_tile:
                    pending = True
                    arriving.append(cycle + 11)
        if take_w:
            headers, chunks = headers + (kind == "h"), chunks + (kind == "c")
        acts += take_a
        weights.clock(take_w)
        activations.clock(take_a)
        results.clock(take_r)
    return cycle, causes, [source.accepted for source in (weights, activations, results)]


shapes = st.builds(
    GemmShape,
    m=st.integers(1, 7),
    n=st.integers(1, 7),
    k=st.integers(1, 40),
    group_size=st.integers(1, 20),
)
gap_lists = st.lists(st.integers(0, 9), max_size=60).map(lambda g: np.array(g, dtype=np.int64))
all_gaps = st.builds(Gaps, weights=gap_lists, activations=gap_lists, results=gap_lists)


@settings(max_examples=300, deadline=None)
@given(
    shape=shapes,
    gaps=all_gaps,
    rows=st.integers(1, 4),
    lanes=st.integers(1, 5),
    queue=st.integers(2, 5),
    family=st.sampled_from(["bitmod_fp4", "binary", "int6", "int8"]),
)
def test_equals_naive_clocking(shape, gaps, rows, lanes, queue, family) -> None:
    built = machine(rows=rows, lanes=lanes, family=family, queue_beats=queue)
    total, causes = naive(built, shape, gaps)
    report = simulate_gemm(built, shape, gaps)
    assert (report.total_cycles, report.causes) == (total, causes)
    assert sum(report.causes.values()) == report.total_cycles


@settings(max_examples=150, deadline=None)
@given(
    shape=st.builds(
        GemmShape,
        m=st.integers(1, 60),
        n=st.integers(1, 60),
        k=st.integers(1, 30),
        group_size=st.integers(1, 30),
    ),
    lanes=st.integers(1, 5),
    queue=st.integers(2, 12),
)
def test_skipping_periods_changes_nothing(shape, lanes, queue) -> None:
    built = machine(lanes=lanes, queue_beats=queue)
    assert simulate_gemm(built, shape, stepped=True) == simulate_gemm(built, shape)


def test_group_time_is_slots_times_chunks() -> None:
    """DESIGN: group time = slots x ceil(G / lanes); the rest is the fill and the last drain."""
    built = machine(rows=4, cols=4, lanes=4)
    report = simulate_gemm(built, GemmShape(m=4, n=4, k=256, group_size=128))
    assert report.causes["compute"] == 2 * 2 * 32
    assert report.causes["dequantizer"] == 0
    # first weight beat is a header, its chunk follows: both queued one cycle later
    assert report.causes["weights"] == 2
    # last slot -> first result 11 cycles later, then one row a cycle
    assert report.causes["output"] == 11 + 3


def test_dequantizer_stall_rule() -> None:
    """stall = max(0, dequantizer cycles - time of the next group)."""
    built = machine(rows=1, cols=1, lanes=2)
    report = simulate_gemm(built, GemmShape(m=1, n=1, k=40, group_size=4))
    # groups of 2 chunks x 2 slots = 4 cycles against 8: nine waits of 4
    assert report.causes["dequantizer"] == 9 * 4


def test_activity_counts_padding() -> None:
    built = machine(rows=2, cols=2, lanes=4)
    shape = GemmShape(m=3, n=3, k=10, group_size=8)
    activity = gemm_activity(built, shape, simulate_gemm(built, shape))
    tiles, chunks = 4, 3
    assert activity.slots == tiles * chunks * 2
    assert activity.pe_slots == activity.slots * 4
    assert activity.macs == 90
    assert activity.group_dequantizations == tiles * 2 * 4


@pytest.mark.parametrize("field", ["weights", "activations", "results"])
def test_negative_gaps_are_refused(field: str) -> None:
    gaps = Gaps(**{field: np.array([0, -1])})
    with pytest.raises(InputError, match="must not be negative"):
        simulate_gemm(machine(), GemmShape(m=1, n=1, k=1, group_size=1), gaps)


def test_shapes_beyond_the_counters_are_refused() -> None:
    with pytest.raises(InputError, match="a job has room for 16777215"):
        simulate_gemm(machine(), GemmShape(m=10**5, n=10**5, k=1, group_size=1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"requantizer": RequantizerConfig()},
        {"rows_per_dequantizer": 2, "scale": ScaleConfig(format="e4m3")},
        {"pipeline": ("operands", "products", "shift")},
    ],
)
def test_few_groups_are_visited(options) -> None:
    """A job of a million tiles is known after the first few."""
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=2, **options)
    family = get_family("bitmod_fp4")
    built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    for group_size in (2, 8, 32):
        shape = GemmShape(m=2048, n=2048, k=64, group_size=group_size)
        report = simulate_gemm(built, shape)
        assert sum(report.causes.values()) == report.total_cycles
        assert visited_groups(built, shape) < 500
