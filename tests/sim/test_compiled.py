"""The recurrences without numba: every figure as the compiled ones give it."""

import subprocess
import sys

import numpy as np
import pytest

from configs.accelerator import AcceleratorConfig, BufferConfig, RequantizerConfig, StreamConfig
from configs.schema import load_axis
from sim import Gaps, Rate, Rates, memory_rates, simulate_gemm, simulate_workload, trace_gemm
from sw import compiled
from sw.compile import GemmShape, Machine
from sw.formats import get_family
from sw.workloads import Gemm, Workload

CASES = 20


def drawn(rng: np.random.Generator) -> tuple[Machine, GemmShape, Gaps | Rates | None]:
    """A machine, with buffers every other time, a shape, and how its words come."""
    stationary = str(rng.choice(["weights", "activations"]))
    buffers = BufferConfig(weight_beats=90, activation_beats=60, stationary=stationary)
    array = AcceleratorConfig(
        name="t",
        rows=int(rng.integers(1, 4)),
        cols=int(rng.integers(1, 4)),
        lanes=int(rng.integers(1, 4)),
        queue_beats=int(rng.integers(2, 6)),
        clock_mhz=int(rng.integers(500, 5000)),
        requantizer=RequantizerConfig() if rng.integers(2) else None,
        buffers=buffers if rng.integers(2) else None,
        streams=StreamConfig(result_bits=8 * int(rng.integers(1, 9))),
    )
    family = get_family(str(rng.choice(["bitmod_fp4", "ternary", "int8"])))
    built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (25, 25, 40, 20))
    shape = GemmShape(m=m, n=n, k=k, group_size=group_size)
    supplies = (
        lambda: None,
        lambda: Gaps(weights=rng.integers(0, 5, 50), results=rng.integers(0, 5, 50)),
        lambda: Rates(weights=Rate(cycles=(7, 3), lead=9, lead_cycles=(4, 1), delay=11)),
        lambda: memory_rates(built, shape, load_axis("memory", "lpddr4")),
    )
    return built, shape, supplies[rng.integers(len(supplies))]()


def figures() -> str:
    """Every view of :data:`CASES` random jobs, and a workload, as text."""
    rng, lines = np.random.default_rng(20), []
    for _ in range(CASES):
        built, shape, supply = drawn(rng)
        report, trace = trace_gemm(built, shape, supply, beats=True)
        lines.append(f"{report} {trace.events.tolist()}")
        lines.append(repr(simulate_gemm(built, shape, supply)))
        lines.append(repr(simulate_gemm(built, shape, supply, stepped=True)))
    gemm = Gemm(name="a", m=shape.m, n=shape.n, k=shape.k, grows="n")
    workload = Workload(name="one", decode=(gemm,), prefill=(), decode_steps=5)
    memory = load_axis("memory", "ddr4")
    lines.append(repr(simulate_workload(built, workload, group_size=9, memory=memory)))
    return "\n".join(lines)


@pytest.mark.skipif(compiled.njit is None, reason="numba is not installed")
def test_without_numba() -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from sw import compiled\n"
        "from tests.sim.test_compiled import figures\n"
        "assert compiled.njit is None\n"
        "print(figures())\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == figures()
