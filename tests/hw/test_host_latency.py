"""Latency of what lies in front of the core, registers and tile buffers, in the whole accelerator.

Measured in Amaranth's simulator, against ``configs.timing``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Value
from amaranth.sim import Simulator

from configs import timing
from configs.accelerator import BufferConfig, StreamConfig
from hw.core import Core
from hw.memory import TileBuffer
from hw.top import Accelerator
from sim import JOB_GAP_CYCLES
from sw.compile import GemmProgram
from sw.compile.registers import CONTROL_BITS, register_map
from sw.compile.transfers import OperandPort, Transfers, activation_port, weight_port

from .test_latency import ACTIVATIONS, WEIGHTS, program


class Host:
    """Drives the whole accelerator: registers one by one, one job, words as fast as they go."""

    def __init__(self, job: GemmProgram, monkeypatch, *, again: int | None = None) -> None:
        """``again``: START is written a second time, not before that cycle."""
        self.again = again
        self.blocks: dict[str, Any] = {}
        for name, cls in (("Core", Core), ("TileBuffer", TileBuffer)):
            monkeypatch.setattr(f"hw.top.{name}", self._watched(name, cls))
        transfers = Transfers(program=job)
        self.words = {
            WEIGHTS: [int(word[0]) for word in transfers.weights[0]],
            ACTIVATIONS: [int(word[0]) for word in transfers.activations[0]],
        }
        registers = register_map(job.machine)
        shape = transfers.shape_registers.items()
        self.writes = [(registers.offset(name), value) for name, value in shape]
        start = 1 << list(CONTROL_BITS).index("start")
        self.writes += [(registers.offset("CONTROL"), start)] * (1 if again is None else 2)
        self.top = Accelerator(machine=job.machine)

    def _watched(self, name: str, cls: type) -> Callable[..., Any]:
        def make(**parameters: Any) -> Any:
            block = cls(**parameters)
            key = f"{parameters['port'].name} buffer" if "port" in parameters else name
            self.blocks[key] = block
            return block

        return make

    def run(self, cycles: int) -> dict[str, list[int]]:
        """Cycles of every event, counted from the last register write's acceptance."""
        events: dict[str, list[int]] = {}
        simulator = Simulator(self.top)

        async def bench(ctx) -> None:
            await self._bench(ctx, cycles, events)

        simulator.add_testbench(bench)
        simulator.run()
        self.begin = events["written"][-1]
        return {name: [cycle - self.begin for cycle in found] for name, found in events.items()}

    async def _bench(self, ctx, cycles: int, events: dict[str, list[int]]) -> None:
        top, core = self.top, self.blocks["Core"]
        looked = {"job": core.job_valid & core.job_ready, "written": top.s_axi_awready}
        looked |= {"results": top.m_axis_results_tvalid}
        ctx.set(Value.cast(top.s_axi_wstrb), 15)
        ctx.set(top.s_axi_bready, 1)
        ctx.set(top.m_axis_results_tready, 1)
        for name, stream in (("weights", WEIGHTS), ("activations", ACTIVATIONS)):
            valid, ready = getattr(top, f"{stream}_tvalid"), getattr(top, f"{stream}_tready")
            looked |= {stream: valid & ready}
            looked |= {f"{name} beats": self.blocks[f"{name} buffer"].beats.valid}
        for cycle in range(cycles):
            ctx.set(top.aresetn, cycle > 1)
            waits = self.again is not None and len(self.writes) == 1 and cycle < self.again
            writing = cycle > 1 and bool(self.writes) and not waits
            for name in ("aw", "w"):
                ctx.set(getattr(top, f"s_axi_{name}valid"), writing)
            if writing:
                ctx.set(top.s_axi_awaddr, self.writes[0][0])
                ctx.set(top.s_axi_wdata, self.writes[0][1])
            for stream, left in self.words.items():
                ctx.set(getattr(top, f"{stream}_tvalid"), bool(left))
                ctx.set(getattr(top, f"{stream}_tdata"), left[0] if left else 0)
                ctx.set(getattr(top, f"{stream}_tlast"), len(left) == 1)
            ctx.set(top.aclk, 0)
            await ctx.delay(1e-6)
            seen = {name: ctx.get(probe) for name, probe in looked.items()}
            seen["written"] &= writing
            for name, high in seen.items():
                if high and cycle > 1:
                    events.setdefault(name, []).append(cycle)
            if seen["written"]:
                self.writes.pop(0)
            for stream, left in self.words.items():
                if seen[stream] and left:
                    left.pop(0)
            ctx.set(top.aclk, 1)
            await ctx.delay(1e-6)


@pytest.mark.parametrize("bits", [8, 32])
def test_registers_and_tile_buffers(bits, monkeypatch):
    job = program(
        groups=2,
        chunks=3,
        buffers=BufferConfig(weight_beats=9, activation_beats=7),
        streams=StreamConfig(weight_bits=bits, activation_bits=bits),
    )
    host = Host(job, monkeypatch)
    beat_words = {name: port.beat_words(job.tiling) for name, port in host_ports(job).items()}
    events = host.run(120)
    assert events["job"] == [timing.REGISTER_CYCLES], "the job is accepted after its write"
    for name, stream in (("weights", WEIGHTS), ("activations", ACTIVATIONS)):
        words = beat_words[name]
        assert len(events[stream]) == words.sum()
        first = timing.REGISTER_CYCLES + timing.START_CYCLES
        assert events[stream] == list(range(first, first + words.sum()))
        complete = [events[stream][end - 1] for end in np.cumsum(words)]
        assert events[f"{name} beats"][0] == complete[0] + timing.BUFFER_CYCLES
        if words.max() > 1:  # slower than the array takes them: each on its own
            assert events[f"{name} beats"] == [c + timing.BUFFER_CYCLES for c in complete]


def host_ports(job: GemmProgram) -> dict[str, OperandPort]:
    """Both ways in."""
    return {p.name: p for p in (weight_port(job.machine), activation_port(job.machine))}


def test_gap_between_jobs(monkeypatch):
    """START can act in the cycle after the last result, not in that of the last result."""
    buffers = BufferConfig(weight_beats=9, activation_beats=7)
    job = program(groups=1, chunks=1, buffers=buffers)
    host = Host(job, monkeypatch)
    last = host.run(60)["results"][-1] + host.begin
    early = Host(job, monkeypatch, again=last - 1).run(90)
    assert len(early["job"]) == 1, "a START that acts with the last result is refused"
    events = Host(job, monkeypatch, again=last).run(90)
    assert events["job"][-1] - events["results"][-1] == JOB_GAP_CYCLES
