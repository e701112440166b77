"""Serial line: bytes there and back, hosts with other clocks, broken bytes."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from configs.errors import InputError
from hw.bus import UartReceiver, UartTransmitter


def levels(data: list[int], bit_cycles: float, *, gaps: list[int] | None = None) -> list[int]:
    """The line, cycle by cycle, with idle cycles before each byte."""
    edges: list[tuple[float, int]] = []
    now = 4.0
    for index, byte in enumerate(data):
        now += gaps[index] if gaps else 0
        for level in (0, *(byte >> place & 1 for place in range(8)), 1):
            edges.append((now, level))
            now += bit_cycles
    line = [1] * int(now + 4 * bit_cycles)
    for (start, level), (end, _) in zip(edges, [*edges[1:], (now, 1)], strict=True):
        for cycle in range(int(np.ceil(start)), int(np.ceil(end))):
            line[cycle] = level
    return line


def receive(line: list[int], divisor: int, *, ready=lambda cycle: True) -> tuple[list[int], int]:
    """Bytes that the receiver gives for a line, and how many it says were lost."""
    receiver = UartReceiver(divisor=divisor)
    simulator = Simulator(receiver)
    simulator.add_clock(1e-6)
    found: list[int] = []
    errors = 0

    async def bench(ctx) -> None:
        nonlocal errors
        for cycle, level in enumerate([*line, *[1] * (12 * divisor)]):
            ctx.set(receiver.line, level)
            ctx.set(receiver.bytes.ready, ready(cycle))
            _, _, valid, payload, error = await ctx.tick().sample(
                receiver.bytes.valid, receiver.bytes.payload, receiver.error
            )
            errors += error
            if valid and ready(cycle):
                found.append(payload)

    simulator.add_testbench(bench)
    simulator.run()
    return found, errors


@pytest.mark.parametrize(("divisor", "step"), [(4, 1), (5, 7), (7, 7), (16, 15)])
def test_bytes_without_pauses(divisor: int, step: int) -> None:
    data = list(range(0, 256, step))
    assert receive(levels(data, divisor), divisor) == (data, 0)


@pytest.mark.parametrize(("divisor", "skew"), [(4, 0.98), (4, 1.04), (12, 0.96), (12, 1.05)])
def test_hosts_with_another_clock(divisor: int, skew: float) -> None:
    rng = np.random.default_rng(divisor)
    data = [0x00, 0xFF, 0x55, *rng.integers(0, 256, 30).tolist()]
    assert receive(levels(data, divisor * skew), divisor) == (data, 0)


def test_random_pauses() -> None:
    rng = np.random.default_rng(1)
    data, gaps = rng.integers(0, 256, 80).tolist(), rng.integers(0, 25, 80).tolist()
    assert receive(levels(data, 6, gaps=gaps), 6) == (data, 0)


def test_a_broken_stop_bit_loses_that_byte_only() -> None:
    line = levels([0x12, 0x34, 0x56], 8, gaps=[0, 0, 24])
    stop = 4 + 2 * 80 - 8
    assert line[stop] == 1
    line[stop : stop + 8] = [0] * 8
    assert receive(line, 8) == ([0x12, 0x56], 1)


def test_a_held_line_is_one_error() -> None:
    line = [1] * 10 + [0] * 500 + levels([0xA7], 8)
    assert receive(line, 8) == ([0xA7], 1)


def test_noise_shorter_than_half_a_bit_is_no_start() -> None:
    line = [1] * 10 + [0] * 3 + [1] * 20 + levels([0x3C], 8)
    assert receive(line, 8) == ([0x3C], 0)


def test_bytes_that_nobody_takes_are_lost_loudly() -> None:
    line = levels([1, 2, 3, 4], 4)
    assert receive(line, 4, ready=lambda cycle: cycle > 130) == ([1, 4], 2)


@pytest.mark.parametrize("divisor", [4, 5, 9])
def test_transmitter_sends_exact_bits(divisor: int) -> None:
    transmitter = UartTransmitter(divisor=divisor)
    simulator = Simulator(transmitter)
    simulator.add_clock(1e-6)
    data = [0x00, 0xFF, 0xA5, 0x01, 0x80]
    line: list[int] = []

    async def send(ctx) -> None:
        await ctx.tick().repeat(3)
        for byte in data:
            ctx.set(transmitter.bytes.payload, byte)
            ctx.set(transmitter.bytes.valid, 1)
            await ctx.tick().until(transmitter.bytes.ready)
            ctx.set(transmitter.bytes.valid, 0)

    async def watch(ctx) -> None:
        for _ in range(10 * divisor * len(data) + 20):
            line.append(ctx.get(transmitter.line))
            await ctx.tick()

    simulator.add_testbench(send)
    simulator.add_testbench(watch)
    simulator.run()
    start = line.index(0)
    bits = [b for byte in data for b in (0, *(byte >> i & 1 for i in range(8)), 1)]
    wanted = [bit for bit in bits for _ in range(divisor)]
    assert line[start : start + len(wanted)] == wanted
    assert set(line[:start]) == set(line[start + len(wanted) :]) == {1}


@pytest.mark.parametrize("part", [UartReceiver, UartTransmitter])
def test_bits_that_are_too_short(part) -> None:
    with pytest.raises(InputError, match="takes 3 clock cycles, it needs 4 or more"):
        part(divisor=3)
