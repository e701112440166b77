"""Cycles by the longest path, against the recurrences gone through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, BufferConfig
from configs.schema import load_axis
from sim import kernel, state
from sim.critical import UNKNOWN, straight_cycles
from sim.jobs import Jobs
from sim.memory import Supply
from sw.compile import GemmShape, resolve_machine, worst_case_widths
from sw.formats import get_family

from .test_buffers import machines, shapes
from .test_memory import memories

#: the products of a transformer of 8 billion weights
LARGE = [(m, n, 4096) for m in (1, 256) for n in (1024, 4096, 14336)] + [(1, 4096, 14336)]


def both(parameters: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cycles by the longest path, and of the recurrences."""
    straight = np.zeros(len(parameters), dtype=np.int64)
    straight_cycles(parameters, rates, straight)
    found = np.zeros((len(parameters), state.FOUND), dtype=np.int64)
    kernel.run_jobs(parameters, rates, found)
    return straight, found[:, state.F_TOTAL]


def random_jobs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Small jobs near every limit: slots, dequantizers, either operand, results, short queues."""
    rng = np.random.default_rng(seed)

    def choice(*values: float) -> np.ndarray:
        return rng.choice(values, count)

    x = np.zeros((count, state.PARAMETERS), dtype=np.int64)
    ones = (state.INNER, state.HEADER_WORDS, state.WEIGHT_WORDS, state.ACTIVATION_WORDS)
    x[:, [*ones, state.WEIGHT_PASSES, state.ACTIVATION_PASSES, state.START, state.USE]] = 1
    x[:, [state.HEADER_QUEUE, state.PARAMETER_QUEUE]] = 2
    x[:, state.SLOTS], x[:, state.QUEUE] = choice(1, 2, 3, 4), choice(2, 3, 4, 5, 6)
    x[:, state.DEQUANTIZER], x[:, state.RESULT] = choice(0, 1, 2, 5, 8, 20), choice(1, 4, 12, 25)
    x[:, state.TILES], x[:, state.GROUPS] = choice(1, 2, 3, 8), choice(1, 2, 3, 5, 9)
    x[:, state.CHUNKS] = choice(1, 2, 3, 5, 8, 16)
    last = 1 + (rng.random(count) * x[:, state.CHUNKS]).astype(np.int64)
    whole = (x[:, state.GROUPS] == 1) | (rng.random(count) < 0.5)
    x[:, state.LAST_CHUNKS] = np.where(whole, x[:, state.CHUNKS], last)
    x[:, state.PARAMETER_WORDS] = rng.random(count) < 0.25
    x[:, state.RESULT_WORDS] = choice(1, 2, 6, 12)
    chunks = (x[:, state.GROUPS] - 1) * x[:, state.CHUNKS] + x[:, state.LAST_CHUNKS]
    words = x[:, state.PARAMETER_WORDS] + x[:, state.GROUPS] + chunks
    pace = choice(0.3, 0.8, 0.9, 1, 1.02, 1.1, 1.5, 3, 8)
    time = (chunks * x[:, state.SLOTS] * pace * 64).astype(np.int64) + rng.integers(0, 70, count)
    rates = np.zeros((count, 3, state.RATE), dtype=np.int64)
    rates[..., state.KIND] = state.RULE
    rates[..., [state.P0, state.Q0]] = 1
    for stream, each in enumerate((words, chunks)):
        # the pace that both share, or one of its own
        own = rng.random(count) < 0.3
        top = np.where(own, rng.integers(1, 40, count), time)
        bottom = np.where(own, rng.integers(1, 20, count), 64 * each)
        common = np.gcd(top, bottom)
        rates[:, stream, state.P1] = np.maximum(top, bottom) // common
        rates[:, stream, state.Q1] = bottom // common
        rates[:, stream, state.DELAY] = choice(0, 0, 3, 17)
    rates[:, 2, state.P1], rates[:, 2, state.Q1] = choice(64, 100, 300, 6400), 64
    rates[:, 2, state.DELAY] = choice(0, 0, 0, 40)
    return x, rates


@pytest.mark.parametrize("seed", range(3))
def test_what_is_known_is_exact(seed: int) -> None:
    straight, walked = both(*random_jobs(20_000, seed))
    known = straight != UNKNOWN
    assert (straight[known] == walked[known]).all()
    assert known.mean() > 0.4


@settings(max_examples=150, deadline=None)
@given(
    machine=machines(buffered=False),
    sizes=st.lists(shapes(30), min_size=1, max_size=6),
    memory=st.none() | memories(),
)
def test_machines_with_and_without_memory(machine, sizes: list[GemmShape], memory) -> None:
    jobs = Jobs.of(machine, *sizes)
    straight, walked = both(jobs.parameters, Supply(jobs=jobs, memory=memory).rates)
    known = straight != UNKNOWN
    assert (straight[known] == walked[known]).all()


@pytest.mark.parametrize("memory", [None, "lpddr5", "ddr4", "bitmod_ddr4", "hbm2e"])
def test_large_jobs_are_known(memory: str | None) -> None:
    """Whatever of array and memory is slower: the recurrences need not be gone through."""
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=2)
    family = get_family("bitmod_fp4")
    widths = worst_case_widths(array, family, group_size=128, k=14336)
    machine = resolve_machine(array, family, *widths)
    rng = np.random.default_rng(3)
    m, n, k = np.array(LARGE * 40).T
    options = {"rows": range(1, 129), "cols": range(1, 129), "lanes": (2, 4, 8, 16),
               "queue_beats": (4, 8)}  # fmt: skip
    jobs = Jobs(
        machine=machine,
        m=m,
        n=n,
        k=k,
        group_size=np.full(len(m), 128),
        designs={name: rng.choice(values, len(m)) for name, values in options.items()},
    )
    rates = Supply(jobs=jobs, memory=memory and load_axis("memory", memory)).rates
    straight = np.zeros(len(jobs), dtype=np.int64)
    straight_cycles(jobs.parameters, rates, straight)
    assert (straight != UNKNOWN).all()


def test_tile_buffers_are_left_to_the_recurrences() -> None:
    buffers = BufferConfig(weight_beats=500, activation_beats=500)
    array = AcceleratorConfig(name="t", rows=2, cols=2, lanes=2, buffers=buffers)
    family = get_family("int4")
    machine = resolve_machine(array, family, *worst_case_widths(array, family, group_size=8, k=32))
    jobs = Jobs.of(machine, GemmShape(m=4, n=8, k=32, group_size=8))
    straight, walked = both(jobs.parameters, Supply(jobs=jobs, memory=None).rates)
    assert straight.tolist() == [UNKNOWN] and walked[0] > 0
    nothing = jobs.parameters
    nothing[0, state.TILES] = 0
    assert both(nothing, Supply(jobs=jobs, memory=None).rates)[0].tolist() == [0]
