"""The RTL's stage latencies, measured in Amaranth's simulator, against ``configs.timing``.

The smallest accelerator (one PE, one lane) runs jobs of one tile; the probes are the ports of its
blocks. Cycle 0 accepts the job. ``test_host_latency`` measures what lies in front of the core.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from configs import timing
from configs.accelerator import AcceleratorConfig, FloatConfig, RequantizerConfig, ScaleConfig
from hw.array import Sequencer
from hw.core import Core
from hw.dequant import ColumnScale, FloatDequantizer, SerialDequantizer
from hw.pe import AligningPE, SerialPE
from sw.compile import GemmProgram, Machine, RequantizerParameters
from sw.compile.scales import largest_code
from sw.formats import float_layout, get_family
from sw.golden import golden_gemm

QUEUE_BEATS = 5
WEIGHTS, ACTIVATIONS, RESULTS = "s_axis_weights", "s_axis_activations", "m_axis_results"
#: name of the probe -> block and port
PROBES = {
    "issue": ("sequencer", "issue"),
    "terms": ("pe", "terms_in"),
    "last": ("pe", "last"),
    "latch": ("dequantizer", "load"),
    "group_sum": ("pe", "group_sum"),
    "multiply": ("scale", "multiply"),
    "outer": ("dequantizer", "clear"),
}

Cycle = dict[str, int]


def machine(**options: Any) -> Machine:
    """One PE, one lane."""
    array = AcceleratorConfig(
        name="smallest", rows=1, cols=1, lanes=1, queue_beats=QUEUE_BEATS, **options
    )
    mantissas = (array.floating.mantissa_bits, array.floating.outer_mantissa_bits)
    inner_bits, outer_bits = (
        mantissas if array.is_aligned else (60, 80) if array.has_floats else (20, 32)
    )
    return Machine(
        accelerator=array,
        family=get_family("bitmod_fp4"),
        inner_bits=inner_bits,
        outer_bits=outer_bits,
        group_inputs=64 if "zero_point_bits" in options else 0,
    )


def program(groups: int, chunks: int, **options: Any) -> GemmProgram:
    """One output; every term is present, every group sum is another number."""
    inputs = groups * chunks
    built = machine(**options)
    stages: dict[str, Any] = {}
    if built.accelerator.zero_point_bits:
        stages["zero_points"] = np.full((1, groups), 1)
    if built.accelerator.requantizer:
        stages["requantizer"] = RequantizerParameters(
            multipliers=np.ones(1, dtype=np.int64), shifts=np.full(1, 12)
        )
    activations = np.arange(1, inputs + 1)[None]
    if built.accelerator.has_floats:
        activations = float_layout(built.accelerator.activation_format).encode(activations)
    return GemmProgram(
        machine=built,
        name="latency",
        group_size=chunks,
        codes=np.full((1, inputs), 5, dtype=np.uint8),  # level 6 = 2 + 4 or 8 - 2
        format_ids=np.zeros((1, groups), dtype=np.uint8),
        scale_codes=np.full((1, groups), largest_code(built.accelerator.scale), dtype=np.uint8),
        activations=activations,
        **stages,
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

    watch("hw.core.Sequencer", "sequencer", Sequencer)
    watch("hw.array.parts.SerialPE", "pe", SerialPE)
    watch("hw.array.parts.AligningPE", "pe", AligningPE)
    watch("hw.array.parts.SerialDequantizer", "dequantizer", SerialDequantizer)
    watch("hw.array.parts.FloatDequantizer", "dequantizer", FloatDequantizer)
    watch("hw.array.pe_array.ColumnScale", "scale", ColumnScale)

    def run(job: GemmProgram, cycles: int, streams=(WEIGHTS, ACTIVATIONS)) -> list[Cycle]:
        top = Core(machine=job.machine)
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


def mantissa(built: Machine, packed: int) -> int:
    """Group sum without the exponent that lies above an aligned machine's mantissa."""
    if not built.accelerator.is_aligned:
        return packed
    half = 1 << built.inner_bits - 1
    return (packed + half) % (2 * half) - half


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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pipeline": ("operands",)},
        {"pipeline": ("products",)},
        {"pipeline": ("sums",)},
        {"pipeline": ("shift",)},
        {"pipeline": ("control",)},
        {"pipeline": ("control", "shift"), "zero_point_bits": 3},
        {"pipeline": ("operands", "products", "sums", "shift"), "zero_point_bits": 3},
        {"scale": ScaleConfig(format="e4m3")},
        {"scale": ScaleConfig(format="e4m3", shift="barrel")},
        {"requantizer": RequantizerConfig()},
        {"activation_format": "float16"},
        {
            "activation_format": "float8_e4m3fn",
            "pipeline": ("operands", "products", "sums", "shift", "control"),
        },
        {
            "activation_format": "float16",
            "floating": FloatConfig(alignment="pe"),
            "pipeline": ("products", "sums", "shift", "control"),
        },
        {"activation_format": "float16", "floating": FloatConfig(datapath="exact")},
    ],
)
def test_from_slot_to_result(trace, options):
    job = program(groups=1, chunks=3, **options)
    array = job.machine.accelerator
    cycles = trace(job, 70)
    slots = issues(cycles)
    first, last = slots[0], slots[-1]
    decoded = timing.decode_cycles(array)
    terms = [cycle["terms"] & 1 for cycle in cycles]
    assert terms.index(1) == first + decoded, "terms are absent before the first slot"
    assert max(c for c, present in enumerate(terms) if present) == last + decoded
    # the accumulator takes the lane sum in the last of the inner cycles
    latched = decoded + timing.dot_cycles(array) + timing.inner_cycles(array)
    assert when(cycles, "latch") == [last + latched - 1]
    # after reset the accumulators stay clear until what was under way has passed
    flushed = list(range(latched - 1 - decoded))
    assert when(cycles, "last") == [*flushed, last + latched - 1]
    expected = golden_gemm(job)
    sums = [mantissa(job.machine, cycle["group_sum"]) for cycle in cycles]
    assert sums[last + latched - 1] == expected.group_sums[0, 0, 0]
    assert sums[last + latched - 2] != expected.group_sums[0, 0, 0]
    busy = timing.dequantizer_cycles(array)
    multiply = range(last + latched + array.zero_point_bits, last + latched + busy)
    assert when(cycles, "multiply") == list(multiply)
    outer = busy + (timing.OUTER_CYCLES if array.is_aligned else 0)
    assert when(cycles, "outer") == [last + latched + outer - 1]
    results = when(cycles, f"{RESULTS}_tvalid")
    leaving = timing.REQUANTIZER_CYCLES if array.requantizer else 0
    leaving += timing.ENCODER_CYCLES if array.has_floats else 0
    assert results == [last + latched + outer + leaving]
    assert results == [last + timing.result_cycles(array)]
    assert cycles[results[0]]["result"] == expected.outputs[0, 0]
    assert when(cycles, "busy")[-1] == results[0]


def test_groups_leave_the_dequantizer_back_to_back(trace):
    job = program(groups=4, chunks=1)
    cycles = trace(job, 80)
    busy = timing.dequantizer_cycles(machine().accelerator)
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
