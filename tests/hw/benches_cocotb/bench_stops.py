"""Stopped jobs: aborts and wrong packets lead to FAULT, CLEAR leads out, the next job is right."""

from dataclasses import replace

import cocotb
import numpy as np
from axi_bench import INPUTS, Bench, Sent, check_results, error_mask
from bench_accelerator import draw
from cocotb.triggers import RisingEdge

from bitsmith.verify import random_program
from configs.accelerator import BufferConfig
from sim import simulate_gemm
from sw.compile import GemmProgram
from sw.compile.registers import IRQ_BITS

PHASES = ("any", "any", "inside packets", "between packets", "results offered", "all sent", "late")


def inside(bench: Bench, name: str) -> bool:
    """Whether the words accepted on an input stream end in the middle of a packet."""
    return bench.rules.channels[f"s_axis_{name}_t"].inside


async def until(bench: Bench, condition, limit: int = 3000) -> None:
    """Wait for a condition, or until it is clear that it will not come."""
    for _ in range(limit):
        if condition():
            return
        await RisingEdge(bench.dut.aclk)


async def reach(bench: Bench, program: GemmProgram, phase: str, rng) -> None:
    """Wait for a phase of the running job, and hold the streams that would end it."""
    results = bench.rules.channels["m_axis_results_t"]
    streams = [bench.rules.channels[f"s_axis_{name}_t"] for name in INPUTS]
    seen = [stream.count for stream in streams]
    if phase == "any":
        total = simulate_gemm(bench.machine, program.shape).total_cycles
        await bench.cycles(int(rng.integers(0, total)))
    elif phase == "inside packets":
        await until(bench, lambda: all(stream.inside for stream in streams))
        hold(bench, *INPUTS)
    elif phase == "between packets":
        moved = [
            lambda s=s, n=n: s.count > n and not s.inside
            for s, n in zip(streams, seen, strict=True)
        ]
        await until(bench, lambda: all(condition() for condition in moved))
        hold(bench, *INPUTS)
    elif phase == "results offered":
        skipped = results.count + int(rng.integers(0, 3))
        await until(bench, lambda: results.count >= skipped)
        hold(bench, "results")
        await until(bench, lambda: results.stalled is not None)
    elif phase == "all sent":
        await until(bench, lambda: all(source.idle() for source in bench.sources.values()))
    else:
        await until(bench, lambda: results.record.accepted and not results.inside)


def hold(bench: Bench, *names: str, held: bool = True) -> None:
    """Let streams rest, or go on."""
    for name in names:
        bench.pauses[name].held = held


async def give_up_packets(bench: Bench) -> list[str]:
    """Forget what was not yet begun; inputs that are inside a packet rest there, by name."""
    hold(bench, *INPUTS)
    for source in bench.sources.values():
        source.clear()
    await bench.cycles(3)
    for name, source in bench.sources.items():
        if not inside(bench, name):  # the model may hold a packet that has not begun
            hold(bench, name, held=False)
            await until(bench, source.idle)
            assert not inside(bench, name)
    return [name for name in INPUTS if inside(bench, name)]


async def leave_fault(bench: Bench, program: GemmProgram, rng, errors: int) -> None:
    """Look at FAULT, leave it early or late, and check what was sent."""
    await expect_fault(bench, errors)
    early = bool(rng.integers(2))
    rest = await give_up_packets(bench) if early else []
    if early:
        await bench.control("clear")
        draining = await bench.read("STATUS") & 0b1111  # results may still be closing
        assert draining == sum(4 << list(INPUTS).index(name) for name in rest), f"{draining:#b}"
        assert await bench.read("ERRORS") == 0
        if rest:
            assert await bench.write("CONTROL", 1) == 2, "START was taken by a draining stream"
            assert await bench.read("ERRORS") == error_mask("start_refused")
    hold(bench, *INPUTS, "results", held=False)
    if not early:
        await until(bench, lambda: all(source.idle() for source in bench.sources.values()))
        await bench.control("clear")
    await bench.until_ready()
    hold(bench, *INPUTS, held=False)
    check_stopped_packet(bench, program)


async def expect_fault(bench: Bench, errors: int) -> None:
    """FAULT, exactly these errors, the interrupt, which is then cleared."""
    status = await bench.read("STATUS")
    assert status & 0b11 == 0b10, f"STATUS is {status:#b}"
    found = await bench.read("ERRORS")
    assert found == errors, f"ERRORS is {found:#b}, expected {errors:#b}"
    error = 1 << list(IRQ_BITS).index("error")
    assert await bench.read("IRQ_STATUS") & error
    await bench.put("IRQ_ENABLE", error)
    await bench.cycles(1)
    assert int(bench.dut.interrupt.value) == 1
    await bench.put("IRQ_STATUS", 3)
    assert await bench.read("IRQ_STATUS") == 0 == int(bench.dut.interrupt.value)
    await bench.put("IRQ_ENABLE", 0)


def check_stopped_packet(bench: Bench, program: GemmProgram) -> None:
    """At most one result packet, right as far as it goes, and ended."""
    channel = bench.rules.channels["m_axis_results_t"]
    assert channel.stalled is None and not channel.inside, "an open packet of results"
    accepted = len(channel.record.accepted)
    assert bench.sink.count() == (accepted > 0)
    if accepted:
        words = check_results(program, bench.sink.recv_nowait(compact=False), stopped=True)
        assert words in (accepted, accepted - 1)


@cocotb.test()
async def aborted_jobs(dut):
    bench, rng = await Bench.begin(dut), np.random.default_rng(3)
    stopped = dict.fromkeys(PHASES, 0)
    for index in range(4 * len(PHASES)):
        phase, program = PHASES[index % len(PHASES)], draw(bench, rng)
        bench.pressure(rng if index > len(PHASES) else None)
        zero = await bench.start(program)
        await reach(bench, program, phase, rng)
        await bench.control("abort")
        if await bench.read("STATUS") & 2:
            stopped[phase] += 1
            await leave_fault(bench, program, rng, error_mask("aborted"))
        else:  # it came after the last result
            hold(bench, *INPUTS, "results", held=False)
            await bench.finish(program, zero)
            await bench.put("IRQ_STATUS", 3)
        await bench.run(draw(bench, rng))
        await bench.put("IRQ_STATUS", 3)
    assert stopped.pop("late") == 0 and min(stopped.values()) > 0, stopped


@cocotb.test()
async def an_aborted_packet_is_given_up(dut):
    """FLUSH: the host will never send the rest of the packet."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(4)
    for name in INPUTS:
        program = draw(bench, rng)
        await bench.start(program, Sent(frames={}))
        port = {part: getattr(dut, f"s_axis_{name}_t{part}") for part in ("data", "valid", "last")}
        port["last"].value, port["valid"].value = 0, 1
        await until(bench, lambda n=name: inside(bench, n))
        await RisingEdge(dut.aclk)
        port["valid"].value = 0
        await bench.control("abort")
        await expect_fault(bench, error_mask("aborted"))
        await bench.control("clear")
        await bench.cycles(100)
        await bench.status(f"{name}_draining")
        await bench.control("flush")
        await bench.status()
        check_stopped_packet(bench, program)
        await bench.run(draw(bench, rng))


def damage(sent: Sent, name: str, kind: str, packet: int, keep: int, word: int) -> None:
    """Cut a packet after ``keep`` words, or take its TLAST away."""
    frames = sent.frames[name]
    if kind == "short":
        frames[packet] = frames[packet][: keep * word]
    else:
        frames[packet] += frames.pop(packet + 1) if packet + 1 < len(frames) else frames[packet]


@cocotb.test()
async def packets_that_end_too_early_or_too_late(dut):
    """Both streams, first and last packet and one between (buffers: a replayed one too)."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(5)
    for name, port_of in INPUTS.items():
        for kind in ("short", "long"):
            for place in ("first", "middle", "last"):
                bench.pressure(rng if rng.integers(2) else None)
                program = random_program(bench.machine, 5, 9, 17, 4, rng)
                sent, port = Sent.of(program), port_of(bench.machine)
                last = len(sent.frames[name]) - 1
                packet = {"first": 0, "middle": -(-last // 2), "last": last}[place]
                word = port.stream_bits // 8
                words = len(sent.frames[name][packet]) // word
                keep = {"first": words - 1, "middle": 1, "last": words // 2}[place]
                damage(sent, name, kind, packet, keep, word)
                await bench.start(program, sent)
                await bench.until_fault()
                await leave_fault(bench, program, rng, error_mask(f"{name}_{kind}"))
                await bench.run(draw(bench, rng))
                await bench.put("IRQ_STATUS", 3)


def too_large(bench: Bench, name: str, rng) -> GemmProgram:
    """A job that leaves no room for a tile of one operand, and enough for the other's."""
    array = bench.machine.accelerator
    assert array.buffers is not None
    roomy = BufferConfig(
        weight_beats=1000, activation_beats=1000, stationary=array.buffers.stationary
    )
    machine = replace(bench.machine, accelerator=replace(array, buffers=roomy))
    if name == "weights":
        chunks = array.buffers.weight_beats // 2 + 1
        return random_program(machine, 3, 3, chunks * array.lanes, array.lanes, rng)
    chunks = array.buffers.activation_beats + 1
    half = -(-chunks // 2) * array.lanes
    return random_program(machine, 3, 3, chunks * array.lanes, half, rng)


@cocotb.test()
async def tiles_that_do_not_fit(dut):
    bench, rng = await Bench.begin(dut), np.random.default_rng(6)
    if bench.machine.accelerator.buffers is None:
        return
    for name in [*INPUTS, *INPUTS]:
        program = too_large(bench, name, rng)
        await bench.start(program)
        await bench.until_fault()
        await leave_fault(bench, program, rng, error_mask(f"{name}_too_large"))
        await bench.run(draw(bench, rng))
        await bench.put("IRQ_STATUS", 3)
