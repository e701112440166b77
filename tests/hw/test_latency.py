"""The RTL's stage latencies, measured in Amaranth's simulator, against ``configs.timing``.

The smallest accelerator (one PE, one lane) runs jobs of one tile; the probes are the ports of its
blocks. Cycle 0 accepts the job.
"""

from collections.abc import Callable

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from configs import timing
from configs.schema import AcceleratorConfig
from hw.array import Sequencer
from hw.dequant import SerialDequantizer
from hw.pe import SerialPE
from hw.top import Accelerator
from sw.compile import GemmProgram, Machine
from sw.formats import get_family
from sw.golden import golden_gemm

QUEUE_BEATS = 5
WEIGHTS, ACTIVATIONS, RESULTS = "s_axis_weights", "s_axis_activations", "m_axis_results"
#: name of the probe -> block and port
PROBES = {
    "issue": ("sequencer", "issue"),
    "terms": ("pe", "terms_in"),
    "accumulate": ("pe", "accumulate"),
    "latch": ("pe", "latch"),
    "group_sum": ("pe", "group_sum"),
    "multiply": ("dequantizer", "multiply"),
    "outer": ("dequantizer", "accumulate"),
}

Cycle = dict[str, int]


def machine() -> Machine:
    """One PE, one lane."""
    return Machine(
        accelerator=AcceleratorConfig(
            name="smallest", rows=1, cols=1, lanes=1, queue_beats=QUEUE_BEATS
        ),
        family=get_family("bitmod_fp4"),
        inner_bits=20,
        outer_bits=32,
    )


def program(groups: int, chunks: int) -> GemmProgram:
    """One output; every term is present, every group sum is another number."""
    inputs = groups * chunks
    return GemmProgram(
        machine=machine(),
        name="latency",
        group_size=chunks,
        codes=np.full((1, inputs), 5, dtype=np.uint8),  # level 6 = 2 + 4 or 8 - 2
        format_ids=np.zeros((1, groups), dtype=np.uint8),
        scale_codes=np.full((1, groups), 255, dtype=np.uint8),
        activations=np.arange(1, inputs + 1)[None],
    )


@pytest.fixture
def trace(monkeypatch) -> Callable[..., list[Cycle]]:
    """``trace(program, cycles, streams)`` runs a job with the given input streams."""
    blocks: dict[str, wiring.Component] = {}

    def watch(place: str, name: str, cls: type[wiring.Component]) -> None:
        def make(**parameters: object) -> wiring.Component:
            blocks[name] = cls(**parameters)
            return blocks[name]

        monkeypatch.setattr(place, make)

    watch("hw.top.Sequencer", "sequencer", Sequencer)
    watch("hw.array.pe_array.SerialPE", "pe", SerialPE)
    watch("hw.array.pe_array.SerialDequantizer", "dequantizer", SerialDequantizer)

    def run(job: GemmProgram, cycles: int, streams=(WEIGHTS, ACTIVATIONS)) -> list[Cycle]:
        top = Accelerator(machine=job.machine)
        simulator = Simulator(top)
        probes = {name: getattr(blocks[block], port) for name, (block, port) in PROBES.items()}
        listed: list[Cycle] = []
        simulator.add_testbench(bench(top, job, probes, streams, cycles, listed))
        simulator.run()
        return listed

    return run


def bench(top, job: GemmProgram, probes, streams, cycles: int, listed: list[Cycle]):
    """Test bench that drives the clock itself: settle, look, rising edge."""
    t = job.tiling
    beats = {WEIGHTS: job.weight_beats[0].tolist(), ACTIVATIONS: job.activation_beats[0].tolist()}

    def look(ctx) -> Cycle:
        cycle = {name: ctx.get(Value.cast(probe)) for name, probe in probes.items()}
        for stream in (WEIGHTS, ACTIVATIONS, RESULTS):
            for signal in ("tvalid", "tready"):
                cycle[f"{stream}_{signal}"] = ctx.get(getattr(top, f"{stream}_{signal}"))
        return cycle | {"start": ctx.get(top.job_valid & top.job_ready), "busy": ctx.get(top.busy)}

    def offer(ctx) -> None:
        for stream in streams:
            ctx.set(getattr(top, f"{stream}_tvalid"), bool(beats[stream]))
            ctx.set(getattr(top, f"{stream}_tdata"), beats[stream][0][0] if beats[stream] else 0)
            ctx.set(getattr(top, f"{stream}_tlast"), len(beats[stream]) == 1)

    async def run(ctx) -> None:
        for name in ("tiles", "groups", "chunks", "last_chunks"):
            ctx.set(getattr(top, f"job_{name}"), getattr(t, name))
        ctx.set(top.m_axis_results_tready, 1)
        for cycle in range(-2, cycles):
            ctx.set(top.aresetn, cycle >= 0)
            ctx.set(top.job_valid, cycle == 0)
            offer(ctx)
            ctx.set(top.aclk, 0)
            await ctx.delay(1e-6)
            seen = look(ctx)
            if cycle >= 0:
                listed.append(seen)
                if seen["m_axis_results_tvalid"]:
                    seen["result"] = ctx.get(top.m_axis_results_tdata.as_signed())
            for stream in streams:
                if seen[f"{stream}_tvalid"] and seen[f"{stream}_tready"]:
                    beats[stream].pop(0)
            ctx.set(top.aclk, 1)
            await ctx.delay(1e-6)

    return run


def when(cycles: list[Cycle], name: str) -> list[int]:
    """Cycles in which a probe is high."""
    return [index for index, cycle in enumerate(cycles) if cycle[name]]


def accepted(cycles: list[Cycle], stream: str) -> list[int]:
    """Cycles in which a stream's beats are accepted."""
    pairs = ((cycle[f"{stream}_tvalid"], cycle[f"{stream}_tready"]) for cycle in cycles)
    return [index for index, pair in enumerate(pairs) if all(pair)]


def issues(cycles: list[Cycle]) -> list[int]:
    """Cycles in which a slot is issued (``valid`` is bit 0 of the issue layout)."""
    return [index for index, cycle in enumerate(cycles) if cycle["issue"] & 1]


def test_start_and_queues(trace):
    cycles = trace(program(groups=1, chunks=3), 60)
    assert when(cycles, "start") == [0]
    assert accepted(cycles, WEIGHTS)[0] == accepted(cycles, ACTIVATIONS)[0] == timing.START_CYCLES
    assert when(cycles, "busy")[0] == timing.START_CYCLES
    # the first slot needs its header and its chunk, the stream's second beat
    first_chunk = timing.START_CYCLES + 1
    slots = machine().terms.slots
    first = first_chunk + timing.QUEUE_CYCLES
    assert issues(cycles) == list(range(first, first + 3 * slots))


def test_from_slot_to_result(trace):
    job = program(groups=1, chunks=3)
    cycles = trace(job, 60)
    slots, scale_bits = issues(cycles), machine().accelerator.scale_bits
    first, last = slots[0], slots[-1]
    terms_1 = first + timing.DECODE_CYCLES
    assert cycles[terms_1]["terms"] & 1, "the first slot's term is present"
    assert cycles[terms_1]["terms"] != cycles[terms_1 + 1]["terms"]
    beside_dot = timing.DECODE_CYCLES + timing.DOT_CYCLES
    assert when(cycles, "accumulate") == [slot + beside_dot for slot in slots]
    assert when(cycles, "latch") == [last + beside_dot]
    expected = golden_gemm(job)
    latched = last + beside_dot + timing.INNER_CYCLES
    sums = [cycle["group_sum"] for cycle in cycles]
    assert sums[latched - 1] != sums[latched] == expected.group_sums[0, 0, 0]
    busy = timing.dequantizer_cycles(scale_bits)
    assert when(cycles, "multiply") == list(range(latched, latched + busy))
    assert when(cycles, "outer") == [latched + busy]
    results = when(cycles, f"{RESULTS}_tvalid")
    assert results == [latched + busy + timing.OUTER_CYCLES]
    assert results == [last + timing.result_cycles(scale_bits)]
    assert cycles[results[0]]["result"] == expected.outputs[0, 0]
    assert when(cycles, "busy")[-1] == results[0]


def test_groups_leave_the_dequantizer_back_to_back(trace):
    job = program(groups=4, chunks=1)
    cycles = trace(job, 80)
    busy = timing.dequantizer_cycles(machine().accelerator.scale_bits)
    ends = issues(cycles)[1::2]  # two slots per group
    assert machine().terms.slots == 2 < busy
    assert np.diff(ends).tolist() == [busy] * 3
    assert len(when(cycles, "multiply")) == 4 * busy
    results = when(cycles, f"{RESULTS}_tvalid")
    assert cycles[results[0]]["result"] == golden_gemm(job).outputs[0, 0]


def test_queue_depths(trace):
    many_groups, many_chunks = program(groups=9, chunks=1), program(groups=1, chunks=9)
    alone = accepted(trace(many_groups, 40, streams=(WEIGHTS,)), WEIGHTS)
    assert len(alone) == 2 * timing.HEADER_QUEUE_GROUPS, "headers, each with its chunk"
    alone = accepted(trace(many_chunks, 40, streams=(WEIGHTS,)), WEIGHTS)
    assert len(alone) == 1 + QUEUE_BEATS, "a header and its chunks"
    alone = accepted(trace(many_chunks, 40, streams=(ACTIVATIONS,)), ACTIVATIONS)
    assert len(alone) == QUEUE_BEATS
