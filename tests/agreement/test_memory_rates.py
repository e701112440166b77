"""Behind a memory: the RTL takes the simulator's cycles when its test bench keeps the rates."""

from dataclasses import replace

import numpy as np
import pytest

from bitsmith.verify import Case, random_program
from configs.memory import SramConfig
from configs.schema import load_axis
from sim import memory_rates, simulate_gemm
from sw.compile.transfers import stream_counts

from .machines import BUFFERS, FAST
from .test_random_jobs import assert_agreement

pytestmark = pytest.mark.rtl
MACHINES = {
    **{name: FAST[name] for name in ("4x4x4 bitmod_fp4", "1x1x1 int4 flag/saturate")},
    **{name: BUFFERS[name] for name in list(BUFFERS)[:3]},
}
SHAPES = [(1, 9, 40), (9, 3, 24), (7, 7, 33)]


@pytest.mark.parametrize("name", MACHINES)
def test_rtl_behind_a_memory(name: str) -> None:
    """Slow enough that it is the limit: the small arrays here ask for little."""
    built, rng = MACHINES[name], np.random.default_rng(3)
    base = load_axis("memory", "lpddr4")
    slow = replace(base, dram=replace(base.dram, bus_bits=8, transfers_mt_s=300))
    narrow = SramConfig(kib=1, width_bits=8, ports="1rw")
    cases, expected = [], []
    for m, n, k in SHAPES:
        program = random_program(built, m, n, k, 8, rng)
        free = simulate_gemm(built, program.shape).total_cycles
        for memory in (slow, replace(slow, activation_sram=narrow)):
            rates = memory_rates(built, program.shape, memory)
            gaps = rates.gaps(stream_counts(built, program.tiling))
            cases.append(Case(name=f"{m} x {n} x {k}", program=program, gaps=gaps))
            expected.append(simulate_gemm(built, program.shape, rates).total_cycles)
            assert expected[-1] > 1.2 * free
    assert [result.rtl_cycles for result in assert_agreement(built, cases)] == expected
