"""AXI-Stream drivers and monitors of the accelerator bench.

Signals change just after the rising edge and are sampled at the falling edge, where everything
has settled; cycles are counted by rising edges.
"""

import random
from dataclasses import dataclass, field

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

RESULTS = "m_axis_results"


@dataclass
class Accepted:
    """Result beats in order, with the cycle in which each was accepted."""

    data: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)


class Bench:
    """Clock, cycle counter, reset and one coroutine per stream of ``dut``."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.cycle = 0
        self.rng = random.Random(3)
        Clock(dut.aclk, 2, "ns").start()
        cocotb.start_soon(self._count())
        cocotb.start_soon(self._watch_results())

    def port(self, stream: str, signal: str):
        """Handle of one signal of a stream."""
        return getattr(self.dut, f"{stream}_{signal}")

    async def next_cycle(self) -> None:
        """Just after the next rising edge."""
        await RisingEdge(self.dut.aclk)

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.aclk)
            self.cycle += 1

    async def _watch_results(self) -> None:
        """A refused beat stays as it was; every byte of an offered beat is valid."""
        stalled = None
        every_byte = (1 << len(self.port(RESULTS, "tkeep"))) - 1
        while True:
            await FallingEdge(self.dut.aclk)
            if not int(self.dut.aresetn.value):
                stalled = None
                continue
            names = ("tvalid", "tdata", "tlast", "tkeep")
            if stalled is None and not int(self.port(RESULTS, "tvalid").value):
                continue
            beat = tuple(int(self.port(RESULTS, name).value) for name in names)
            assert stalled in (None, beat), f"beat {stalled} became {beat} while not ready"
            assert beat[3] == every_byte, f"tkeep is {beat[3]:#x}"
            stalled = None if int(self.port(RESULTS, "tready").value) else beat

    async def reset(self, cycles: int) -> None:
        """Hold reset while the inputs do what they like; afterwards they are idle."""
        self.dut.aresetn.value = 0
        streams = ("s_axis_weights", "s_axis_activations")
        for index in range(cycles):
            for port in [self.port(s, "tvalid") for s in streams] + [self.dut.job_valid]:
                port.value = self.rng.getrandbits(1)
            await self.next_cycle()
            await FallingEdge(self.dut.aclk)
            for port in (self.port(RESULTS, "tvalid"), self.dut.busy):
                assert int(port.value) == 0, f"not idle in cycle {index + 1} of reset"
            assert all(int(self.port(s, "tready").value) == 0 for s in streams)
        await self.next_cycle()
        for port in [self.port(s, "tvalid") for s in streams]:
            port.value = 0
        self.dut.job_valid.value = self.port(RESULTS, "tready").value = 0
        self.dut.aresetn.value = 1

    async def job(self, **counts: int) -> int:
        """Offer a job until it is taken; returns the cycle that takes it, in the one after."""
        for name, count in counts.items():
            getattr(self.dut, f"job_{name}").value = count
        self.dut.job_valid.value = 1
        while True:
            await FallingEdge(self.dut.aclk)
            accepted, cycle = int(self.dut.job_ready.value), self.cycle
            await self.next_cycle()
            if accepted:
                break
        self.dut.job_valid.value = 0
        for name in counts:  # the port may change as soon as the job is taken
            port = getattr(self.dut, f"job_{name}")
            port.value = self.rng.getrandbits(len(port))
        return cycle

    async def offer(self, stream: str, beats: list[int], last: list[bool], gaps: list[int]) -> None:
        """Send beats, each after its own number of idle cycles; idle cycles carry noise."""
        data, valid, tlast = (self.port(stream, s) for s in ("tdata", "tvalid", "tlast"))
        for beat, ends, gap in zip(beats, last, gaps, strict=True):
            for _ in range(gap):
                await self.next_cycle()
            data.value, tlast.value, valid.value = beat, ends, 1
            taken = False
            while not taken:
                await FallingEdge(self.dut.aclk)
                taken = bool(int(self.port(stream, "tready").value))
                await self.next_cycle()
            data.value, tlast.value = self.rng.getrandbits(len(data)), self.rng.getrandbits(1)
            valid.value = 0

    async def accept(self, count: int, gaps: list[int]) -> Accepted:
        """Take ``count`` result beats, each after its own number of idle cycles."""
        accepted, ready = Accepted(), self.port(RESULTS, "tready")
        for gap in gaps[:count]:
            for _ in range(gap):
                await self.next_cycle()
            ready.value = 1
            taken = False
            while not taken:
                await FallingEdge(self.dut.aclk)
                taken = bool(int(self.port(RESULTS, "tvalid").value))
                if taken:
                    accepted.data.append(int(self.port(RESULTS, "tdata").value))
                    accepted.last.append(int(self.port(RESULTS, "tlast").value))
                    accepted.cycles.append(self.cycle)
                await self.next_cycle()
            ready.value = 0
        return accepted
