"""Both views on thousands of random jobs: more of them, and larger, than hypothesis draws."""

from dataclasses import replace

import numpy as np
import pytest

from configs.accelerator import (
    AcceleratorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from sim import Rate, Rates, simulate_gemm
from sim.jobs import Jobs
from sw.compile import GemmShape, Machine
from sw.formats import get_family

from .test_buffers import exact

MACHINES, JOBS = 50, 2500
#: cycles of a word at most, times its denominator: quick ones, and some slower than any pipeline
SLOWEST = (3, 20, 90)


def random_machine(rng: np.random.Generator) -> Machine:
    """Three of four have buffers; streams of one to seven bytes."""
    buffered = rng.integers(4) > 0
    names = ("weight_bits", "activation_bits", "result_bits")[0 if buffered else 2 :]
    buffers = BufferConfig(
        weight_beats=500,
        activation_beats=500,
        stationary=str(rng.choice(["weights", "activations"])),
    )
    array = AcceleratorConfig(
        name="t",
        rows=int(rng.integers(1, 4)),
        cols=int(rng.integers(1, 5)),
        lanes=int(rng.integers(1, 6)),
        queue_beats=int(rng.integers(2, 7)),
        scale=ScaleConfig(format=str(rng.choice(["uint8", "e8m0"])), shift="barrel"),
        requantizer=RequantizerConfig() if rng.integers(2) else None,
        streams=StreamConfig(**{name: 8 * int(rng.integers(1, 8)) for name in names}),
        buffers=buffers if buffered else None,
    )
    family = get_family(str(rng.choice(["bitmod_fp4", "ternary", "int8"])))
    return Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)


def random_shape(rng: np.random.Generator) -> GemmShape:
    """Small sizes more often than large ones."""
    m, n, k, group_size = (
        int(rng.integers(1, rng.integers(3, high))) for high in (60, 60, 160, 41)
    )
    return GemmShape(m=m, n=n, k=k, group_size=group_size)


def random_rates(built: Machine, shape: GemmShape, rng: np.random.Generator) -> Rates:
    """Rates of all streams; of every other job at about the pace of the array, tile by tile."""
    jobs, slowest = Jobs.of(built, shape), int(rng.choice(SLOWEST))
    busy = int(jobs.tile_chunks[0]) * built.slots if rng.integers(2) else 0
    words = (jobs.tile_weight_words, jobs.tile_activation_words, jobs.tile_result_words)
    weights, activations, results = (random_rate(int(w[0]), slowest, busy, rng) for w in words)
    return Rates(weights=weights, activations=activations, results=results)


def random_rate(tile_words: int, slowest: int, busy: int, rng: np.random.Generator) -> Rate:
    """A lead of any length, of whole tiles, or none; ``busy`` cycles a tile, or any pace."""

    def word_time() -> tuple[int, int]:
        bottom = int(rng.choice([1, 1, 1, 2, 3, 8]))
        return int(rng.integers(bottom, bottom * int(rng.choice([1, 2, slowest])) + 1)), bottom

    leads = (0, int(rng.integers(40)), tile_words * int(rng.integers(5)))
    cycles = word_time()
    if busy:
        cycles = max(tile_words, int(busy * rng.uniform(0.7, 1.3))), tile_words
    return Rate(
        cycles=cycles,
        lead=leads[rng.integers(3)],
        lead_cycles=word_time(),
        delay=int(rng.choice([0, 0, 1, 30, 500])),
    )


@pytest.mark.parametrize("seed", range(4))
def test_fast_and_stepped_views_agree(seed: int) -> None:
    rng = np.random.default_rng([11, seed])
    machines = [random_machine(rng) for _ in range(MACHINES)]
    for index in range(JOBS):
        built, shape = machines[index % MACHINES], random_shape(rng)
        if built.accelerator.buffers is not None and rng.integers(4) == 0:
            built = exact(built, shape)
        rates = random_rates(built, shape, rng)
        stepped = simulate_gemm(built, shape, rates, stepped=True)
        assert simulate_gemm(built, shape, rates) == stepped, (built.accelerator, shape, rates)
        if index % 10 == 0:
            free = simulate_gemm(built, shape, stepped=True)
            assert simulate_gemm(built, shape) == free, (built.accelerator, shape)
            assert free.total_cycles <= stepped.total_cycles
            lazy = replace(rates, results=Rate())
            assert simulate_gemm(built, shape, lazy).total_cycles <= stepped.total_cycles
