"""Whole workloads: sums of single jobs, whatever shares a call; memories; growing contexts."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import BufferConfig
from configs.errors import InputError
from configs.memory import MemoryConfig, SramConfig
from configs.schema import load_axis
from sim import (
    JOB_GAP_CYCLES,
    STALLS,
    Activity,
    gemm_activity,
    kernel,
    memory_rates,
    simulate_gemm,
    simulate_workload,
)
from sim.jobs import Jobs
from sim.memory import Supply
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import stream_counts
from sw.formats import get_family
from sw.workloads import Gemm, Workload, model_workload

from .test_buffers import exact, machines

MEMORIES = ("lpddr4", "ddr4", "hbm2e", "bitmod_ddr4")


def built(preset: str = "bitmod_32x32x4", family: str = "bitmod_fp4", **changes) -> Machine:
    array = replace(load_axis("accelerator", preset), **changes)
    return Machine(accelerator=array, family=get_family(family), inner_bits=24, outer_bits=40)


def llama(**settings) -> Workload:
    config = load_axis("workload", "llama2_7b").architecture
    settings = {"prefill_tokens": 256, "decode_steps": 3, **settings}
    return model_workload(config, "test", **settings)


def test_llama2_7b_without_weights() -> None:
    timing = simulate_workload(built(), llama(), group_size=128)
    # 6,476,005,376 block weights plus the head (published shapes)
    weights = sum(phase.gemm.elements for phase in timing.prefill)
    assert weights == 6_476_005_376 + 32000 * 4096
    # without stalls: tiles x chunks x slots, the bulk of the time
    ideal = sum(
        -(-p.gemm.n // 32) * -(-p.gemm.m // 32) * (p.gemm.k // 4) * 2 for p in timing.prefill
    )
    assert ideal < timing.prefill_cycles < 1.001 * ideal
    assert timing.total_cycles == timing.prefill_cycles + timing.decode_cycles
    jobs = len(timing.prefill) * 4
    assert sum(timing.causes.values()) + JOB_GAP_CYCLES * jobs == timing.total_cycles
    assert timing.activity.macs == timing.workload.macs
    assert [layer.name for layer in timing.layers] == [p.gemm.name for p in timing.prefill]


@st.composite
def gemms(draw, index: int) -> Gemm:
    grows = draw(st.sampled_from((None, None, "n", "k")))
    sizes = {name: draw(st.integers(1, 40)) for name in "mnk"}
    limit = draw(st.sampled_from((None, 3))) if grows else None
    return Gemm(
        name=f"gemm {index}",
        **sizes,
        count=draw(st.integers(1, 3)),
        operand=draw(st.sampled_from(("weights", "kv_cache", "activations"))),
        grows=grows,
        limit=None if limit is None else sizes[grows] + limit,
    )


@st.composite
def workloads(draw) -> Workload:
    prefill = tuple(draw(gemms(i)) for i in range(draw(st.integers(0, 3))))
    prefill = tuple(replace(gemm, grows=None, limit=None) for gemm in prefill)
    decode = tuple(draw(gemms(i)) for i in range(draw(st.integers(0 if prefill else 1, 3))))
    steps = draw(st.integers(1, 5)) if decode else 0
    return Workload(name="test", prefill=prefill, decode=decode, decode_steps=steps)


@settings(max_examples=150, deadline=None)
@given(
    machine=machines(),
    workload=workloads(),
    memory=st.sampled_from((None, *MEMORIES)),
    group_size=st.integers(1, 24),
)
def test_a_workload_is_the_sum_of_its_jobs(machine, workload, memory, group_size) -> None:
    """Every job alone, in its step's size: cycles, causes, activity."""
    behind = None if memory is None else load_axis("memory", memory)
    cache = replace(machine, family=get_family("int6"))
    timing = simulate_workload(
        machine,
        workload,
        group_size=group_size,
        memory=behind,
        kv_machine=cache,
        kv_group_size=5,
    )
    for phase in timing.phases:
        steps = phase.steps
        cycles, free, causes, activity = 0, 0, dict.fromkeys(phase.causes, 0), Activity()
        on = machine if phase.gemm.operand == "weights" else cache
        for step in range(steps):
            g = phase.gemm.at_step(step)
            size = group_size if g.operand == "weights" else 5
            shape = GemmShape(m=g.m, n=g.n, k=g.k, group_size=size)
            rates = None if behind is None else memory_rates(on, shape, behind)
            report = simulate_gemm(on, shape, rates, stepped=True)
            assert step or phase.report == report
            cycles += g.count * (report.total_cycles + JOB_GAP_CYCLES)
            free += g.count * (simulate_gemm(on, shape).total_cycles + JOB_GAP_CYCLES)
            causes = {name: value + g.count * report.causes[name] for name, value in causes.items()}
            activity += gemm_activity(on, shape, report).times(g.count)
        assert phase.cycles == cycles and phase.causes == causes
        assert phase.activity == activity
        assert phase.jobs == steps * phase.gemm.count
        assert sum(phase.stalls.values()) == cycles and set(phase.stalls) == set(STALLS)
        assert min(phase.stalls.values()) >= 0
        assert phase.stalls["dram"] == cycles - free
        assert phase.verified == (phase.gemm.operand == "weights")
    assert timing.activity.macs == workload.macs


def test_attention_grows_with_the_context() -> None:
    long = llama(decode_steps=64, attention="array")
    timing = simulate_workload(built(), long, group_size=128, kv_machine=built(family="int8"))
    scores = next(p for p in timing.decode if p.gemm.name.endswith("scores"))
    assert scores.jobs == 64 * 32 and scores.gemm.n == 257
    heads = [-(-(257 + step) // 32) * 32 * 4 for step in range(64)]  # tiles x chunks x slots
    assert scores.stalls["compute"] == 32 * sum(heads)


MEMORY_SHAPES = [(1, 4096, 4096), (256, 4096, 4096), (64, 300, 1000), (33, 40, 64)]


@pytest.mark.parametrize("buffered", [False, True])
@pytest.mark.parametrize("m, n, k", MEMORY_SHAPES)
def test_the_memory_is_never_beaten_and_hardly_wasted(m: int, n: int, k: int, buffered) -> None:
    """Cycles are at least the bytes over the bandwidth; where it is the limit, hardly more."""
    buffers = BufferConfig(weight_beats=1100, activation_beats=1100) if buffered else None
    machine = built(buffers=buffers)
    shape = GemmShape(m=m, n=n, k=k, group_size=128)
    workload = Workload(name="one", prefill=(Gemm(name="a", m=m, n=n, k=k),))
    for memory in MEMORIES:
        behind = load_axis("memory", memory)
        timing = simulate_workload(machine, workload, group_size=128, memory=behind)
        phase, pace = timing.prefill[0], timing.roofline.bytes_per_cycle
        floor = phase.traffic.total_bytes / pace
        assert phase.report.total_cycles >= floor
        free = simulate_gemm(machine, shape).total_cycles
        assert phase.report.total_cycles >= free
        # the first tiles come before the work begins, the last results leave after it
        report = phase.report
        assert report.total_cycles <= 1.05 * max(floor, free) + report.fill + report.drain


def test_a_slower_memory_is_slower() -> None:
    machine = built(buffers=BufferConfig(weight_beats=1100, activation_beats=1100))
    workload = Workload(name="one", prefill=(Gemm(name="a", m=64, n=512, k=2048),))
    base = load_axis("memory", "lpddr4")
    cycles = []
    for rate in (200, 400, 800, 1600, 3200, 12800, 51200):
        behind = replace(base, dram=replace(base.dram, transfers_mt_s=rate))
        cycles.append(
            simulate_workload(machine, workload, group_size=128, memory=behind).total_cycles
        )
    assert cycles == sorted(cycles, reverse=True) and cycles[0] > 10 * cycles[-1]


def test_an_sram_that_holds_an_operand_spares_the_dram() -> None:
    """The loop order decides what crosses again; what an SRAM holds crosses once."""
    machine = built(buffers=BufferConfig(weight_beats=1100, activation_beats=1100))
    shape = GemmShape(m=128, n=512, k=1024, group_size=128)
    base = load_axis("memory", "lpddr4")

    def words(memory: MemoryConfig) -> dict[str, int]:
        supply = Supply(jobs=Jobs.of(machine, shape), memory=memory)
        return {name: int(count[0]) for name, count in supply.dram_words.items()}

    crossing = stream_counts(machine, tiling(machine, shape))
    assert words(base) == crossing
    tile = 1024 // 4  # words of an activation tile
    assert crossing["activation_words"] == 16 * 4 * tile  # 16 column tiles, again for each
    size = 4 * tile * 32 * 4 // 1024  # 4 row tiles of 32 x 4 bytes a word
    fits = replace(base, activation_sram=SramConfig(kib=size, width_bits=4096))
    assert words(fits) == crossing | {"activation_words": 4 * tile}
    assert words(replace(fits, activation_sram=SramConfig(kib=size - 1))) == crossing


def test_a_narrow_sram_is_a_limit() -> None:
    machine = built()
    shape = GemmShape(m=32, n=32, k=4096, group_size=128)
    base = load_axis("memory", "hbm2e")
    fast = simulate_gemm(machine, shape, memory_rates(machine, shape, base)).total_cycles
    # an activation word of 1024 bits, 8 cycles; with one port as many again to fill it
    for ports, cycles in (("1r1w", 8), ("1rw", 16)):
        narrow = replace(base, activation_sram=SramConfig(kib=1024, width_bits=128, ports=ports))
        slow = simulate_gemm(machine, shape, memory_rates(machine, shape, narrow)).total_cycles
        assert 1024 * cycles <= slow < 1024 * cycles + 200 and slow > 2 * fast


@settings(max_examples=100, deadline=None)
@given(
    machine=machines(),
    m=st.integers(1, 30),
    n=st.integers(1, 30),
    k=st.integers(1, 60),
    memory=st.sampled_from(MEMORIES),
    clock=st.sampled_from((5, 100, 3000)),
)
def test_a_test_bench_can_keep_the_pace(machine, m, n, k, memory, clock) -> None:
    """The same cycles from idle cycles before each word, which is what the RTL is given."""
    shape = GemmShape(m=m, n=n, k=k, group_size=8)
    if machine.accelerator.buffers is not None:
        machine = exact(machine, shape)
    machine = replace(machine, accelerator=replace(machine.accelerator, clock_mhz=clock))
    rates = memory_rates(machine, shape, load_axis("memory", memory))
    gaps = rates.gaps(stream_counts(machine, tiling(machine, shape)))
    assert simulate_gemm(machine, shape, gaps) == simulate_gemm(machine, shape, rates)


def test_what_cannot_run_is_said_in_a_sentence() -> None:
    workload = Workload(name="one", prefill=(Gemm(name="a", m=1, n=1, k=1),))
    with pytest.raises(InputError, match="layer 'a' has no group size"):
        simulate_workload(built(), workload, group_size={"b": 1})
    small = built(buffers=BufferConfig(weight_beats=4, activation_beats=4))
    big = Workload(name="one", prefill=(Gemm(name="a", m=1, n=1, k=4096),))
    with pytest.raises(InputError, match="weight_beats is 4: set it to 1056 or more"):
        simulate_workload(small, big, group_size=128)
    huge = Workload(name="one", prefill=(Gemm(name="a", m=10**6, n=10**6, k=1),))
    with pytest.raises(InputError, match="a job has room for"):
        simulate_workload(built(), huge, group_size=128)


def test_columns_hold_large_models() -> None:
    """No 64-bit integer overflows: a job of 2**24 tiles over 2**15 inputs, behind a slow memory."""
    machine = built(clock_mhz=5000)
    shape = GemmShape(m=32 * 4000, n=32 * 4000, k=1 << 15, group_size=128)
    behind = load_axis("memory", "lpddr4")
    slow = replace(behind, dram=replace(behind.dram, transfers_mt_s=1))
    rates = memory_rates(machine, shape, slow)
    report = simulate_gemm(machine, shape, rates)
    supply = Supply(jobs=Jobs.of(machine, shape), memory=slow)
    floor = sum(int(supply.bytes_of(supply.dram_words, n)[0]) for n in supply.dram_words)
    assert np.isclose(report.total_cycles, floor / supply.bytes_per_cycle, rtol=1e-3)


def test_memories_that_are_too_slow_are_refused() -> None:
    base = load_axis("memory", "lpddr4")
    slow = replace(base, dram=replace(base.dram, bus_bits=8, transfers_mt_s=1))
    machine = built(clock_mhz=5000)
    workload = Workload(name="one", prefill=(Gemm(name="a", m=10**4, n=10**6, k=10**5),))
    simulate_workload(machine, workload, group_size=128, memory=base)
    slower = replace(slow.dram, burst_efficiency=replace(slow.dram.burst_efficiency, value=0.01))
    with pytest.raises(InputError, match="memory 'lpddr4' is too slow for a GEMM of 1e\\+15"):
        simulate_workload(machine, workload, group_size=128, memory=replace(slow, dram=slower))


def test_jobs_beyond_the_counters_are_not_called_verified() -> None:
    """The RTL counts 40 bits of cycles."""
    big = Workload(name="one", prefill=(Gemm(name="a", m=16000, n=10**6, k=2 * 10**5),))
    phase = simulate_workload(built(), big, group_size=128).prefill[0]
    assert phase.report.total_cycles > 1 << 40 and not phase.verified


def test_steps_that_take_the_same_time_are_run_once(monkeypatch) -> None:
    """A context that grows by one token changes the tiles only now and then."""
    ran = []
    run_jobs = kernel.run_jobs
    monkeypatch.setattr(kernel, "run_jobs", lambda *a: (ran.append(len(a[0])), run_jobs(*a)))
    long = llama(decode_steps=64, attention="array")
    simulate_workload(built(), long, group_size=128, kv_machine=built(family="int8"))
    # 64 steps are 2 or 3 numbers of column tiles, and 16 or 17 numbers of chunks
    assert sum(ran) < 40
