"""A reset of one clock edge in the middle of a job leaves nothing behind for the next."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator

from configs.accelerator import AcceleratorConfig, AccumulatorConfig, FloatConfig
from hw.core import Core
from sw.compile import GemmProgram, Machine, resolve_machine
from sw.formats import float_layout, get_family
from sw.golden import golden_gemm

from ..sampled import sampled

STREAMS = ("s_axis_weights", "s_axis_activations")


#: five times this overflows the inner accumulator
LARGE = 127


def job(pipeline: tuple[str, ...], zero_points: int) -> GemmProgram:
    """One output of 3 groups; every sum differs from 0."""
    array = AcceleratorConfig(
        name="smallest",
        rows=1,
        cols=1,
        lanes=1,
        pipeline=pipeline,
        inner_accumulator=AccumulatorConfig(mode="flag"),
        zero_point_bits=zero_points,
    )
    machine = Machine(
        accelerator=array,
        family=get_family("int4"),
        inner_bits=9,
        outer_bits=32,
        group_inputs=4,
    )
    return GemmProgram(
        machine=machine,
        name="reset",
        group_size=4,
        codes=np.full((1, 12), 5, dtype=np.uint8),
        format_ids=np.zeros((1, 3), dtype=np.uint8),
        scale_codes=np.full((1, 3), 255, dtype=np.uint8),
        activations=np.arange(1, 13)[None],
        zero_points=np.full((1, 3), 2) if zero_points else None,
    )


def float_job(floating: FloatConfig) -> GemmProgram:
    """As :func:`job`, with float16 activations and all registers."""
    array = AcceleratorConfig(
        name="smallest",
        rows=1,
        cols=1,
        lanes=1,
        pipeline=("operands", "products", "shift"),
        activation_format="float16",
        floating=floating,
    )
    family = get_family("int4")
    return GemmProgram(
        machine=resolve_machine(array, family, 60, 80),
        name="reset",
        group_size=4,
        codes=np.full((1, 12), 5, dtype=np.uint8),
        format_ids=np.zeros((1, 3), dtype=np.uint8),
        scale_codes=np.full((1, 3), 255, dtype=np.uint8),
        activations=float_layout("float16").encode(np.arange(1, 13)[None] / 8),
    )


def result_after_reset(program: GemmProgram, reset_at: int, large: int = LARGE) -> tuple[int, int]:
    """Result and inner overflow bit of the job offered right after a reset in cycle ``reset_at``.

    The job before has activations ``large``, of which a single step overflows.
    """
    before = replace(program, activations=np.full_like(program.activations, large))
    top, t = Core(machine=program.machine), program.tiling
    found: list[int] = []
    flags: list[int] = []

    async def run(ctx) -> None:
        for name in ("tiles", "groups", "chunks", "last_chunks"):
            ctx.set(getattr(top, f"job_{name}"), getattr(t, name))
        ctx.set(top.m_axis_results_tready, 1)
        for cycle in range(-1, reset_at + 100):
            if cycle in (-1, 0, reset_at + 1):
                offered = before if cycle <= 0 else program
                images = (offered.weight_beats[0], offered.activation_beats[0])
                beats = dict(zip(STREAMS, (image.tolist() for image in images), strict=True))
            ctx.set(top.aresetn, cycle not in (-1, reset_at))
            ctx.set(top.job_valid, cycle in (0, reset_at + 1))
            for stream in STREAMS:
                ctx.set(getattr(top, f"{stream}_tvalid"), bool(beats[stream]))
                ctx.set(
                    getattr(top, f"{stream}_tdata"), beats[stream][0][0] if beats[stream] else 0
                )
                ctx.set(getattr(top, f"{stream}_tlast"), len(beats[stream]) == 1)
            ctx.set(top.aclk, 0)
            await ctx.delay(1e-6)
            taken = [s for s in STREAMS if beats[s] and ctx.get(getattr(top, f"{s}_tready"))]
            if cycle > reset_at and ctx.get(top.m_axis_results_tvalid):
                found.append(ctx.get(top.m_axis_results_tdata.as_signed()))
                flags.append(ctx.get(top.inner_overflow))
            for stream in taken:
                beats[stream].pop(0)
            ctx.set(top.aclk, 1)
            await ctx.delay(1e-6)

    simulator = Simulator(top)
    simulator.add_testbench(run)
    simulator.run()
    assert len(found) == 1
    return found[0], flags[-1]


@pytest.mark.parametrize("zero_points", [0, 3])
@pytest.mark.parametrize("pipeline", [(), ("operands", "products", "shift")])
def test_one_edge_of_reset(pipeline: tuple[str, ...], zero_points: int) -> None:
    program = job(pipeline, zero_points)
    golden = golden_gemm(program)
    assert not golden.inner_overflow.any()
    expected = golden.outputs[0, 0]
    for reset_at in range(3, 32):
        after = result_after_reset(program, reset_at)
        assert after == (expected, 0), f"reset in cycle {reset_at}"


@pytest.mark.parametrize(
    "floating",
    sampled(
        [
            FloatConfig(),
            FloatConfig(alignment="pe"),
            FloatConfig(datapath="exact"),
            FloatConfig(normalization="full"),
        ],
        every=2,
    ),
)
def test_one_edge_of_reset_in_floating_point(floating: FloatConfig) -> None:
    """The job before has the largest numbers, so that what it leaves would swallow the next."""
    program = float_job(floating)
    expected = golden_gemm(program).outputs[0, 0]
    for reset_at in range(3, 34):
        after = result_after_reset(program, reset_at, large=0x7BFF)
        assert after == (expected, 0), f"reset in cycle {reset_at}"
