"""Registers of the complete accelerator: fuzzing, refused requests, interrupt, AXI's clock rule."""

from dataclasses import dataclass, field

import cocotb
import numpy as np
from axi_bench import LIMIT_US, OKAY, SLVERR, Bench, Sent, error_mask, mask
from axi_rules import CHANNELS
from bench_accelerator import draw
from bench_stops import expect_fault, hold
from cocotb.triggers import FallingEdge, Timer, with_timeout

from sw.compile.registers import CONTROL_BITS, IRQ_BITS, SHAPE, Register
from sw.compile.transfers import Transfers

START, CLEAR, FLUSH = (mask(CONTROL_BITS, name) for name in ("start", "clear", "flush"))


@dataclass
class Model:
    """What the registers are to hold, and how a write is to be answered."""

    bench: Bench
    values: dict[str, int] = field(default_factory=dict)
    refused: bool = False  # the sticky error bit of a refused START

    async def take_over(self) -> None:
        """Begin with what is there."""
        for register in self.bench.map.registers:
            if register.access == "rw":
                self.values[register.name] = await self.bench.read(register.name)

    def at(self, address: int) -> Register | None:
        """The register of an address."""
        return next((r for r in self.bench.map.registers if r.offset == address & ~3), None)

    def write(self, address: int, data: int, strobe: int, busy: bool) -> int:
        """A write acts; returns the response."""
        register = self.at(address)
        if register is None or register.access == "ro":
            return SLVERR
        lanes = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
        if register.access == "rw":
            name, used = register.name, (1 << register.bits) - 1
            self.values[name] = (self.values[name] & ~lanes | data & lanes) & used
        elif register.name == "CONTROL":
            wish = data & lanes
            self.refused = bool(wish & START) or (self.refused and not wish & CLEAR)
            return SLVERR if wish & START else OKAY
        elif register.name == "SPECIAL_WRITE":
            return SLVERR if busy and strobe & 1 else OKAY  # its bits are in the lowest byte
        return OKAY

    def check(self, address: int, value: int) -> None:
        """A value that was read."""
        register = self.at(address)
        assert register is not None
        name = register.name
        assert value >> register.bits == 0, f"{name} has spare bits: {value:#x}"
        expected = self.values.get(name, register.value)
        if name == "ERRORS":
            expected = error_mask("start_refused") if self.refused else 0
        elif register.access == "wo":
            expected = 0
        if expected is not None:
            assert value == expected, f"{name} is {value:#x}, expected {expected:#x}"


async def raw_write(bench: Bench, address: int, data: int, strobe: int) -> int:
    """A write with any strobes; the bus model's own channels carry it."""
    port = bench.master.write_if
    request, word = port.aw_channel._transaction_obj(), port.w_channel._transaction_obj()
    request.awaddr, word.wdata, word.wstrb = address, data, strobe
    await port.aw_channel.send(request)
    await port.w_channel.send(word)
    return int((await with_timeout(port.b_channel.recv(), LIMIT_US, "us")).bresp)


async def raw_read(bench: Bench, address: int) -> tuple[int, int]:
    """A read of any address, unaligned ones too."""
    port = bench.master.read_if
    request = port.ar_channel._transaction_obj()
    request.araddr = address
    await port.ar_channel.send(request)
    found = await with_timeout(port.r_channel.recv(), LIMIT_US, "us")
    return int(found.rdata), int(found.rresp)


async def fuzz(bench: Bench, model: Model, rng, count: int, busy: bool) -> None:
    """Random accesses, half of them to registers that there are."""
    offsets = [register.offset for register in bench.map.registers]
    for _ in range(count):
        known = int(rng.choice(offsets)) + int(rng.integers(4))
        anything = int(rng.integers(1 << bench.map.address_bits))
        address = known if rng.integers(4) else anything
        if rng.integers(2):
            value, response = await raw_read(bench, address)
            assert response == (OKAY if model.at(address) else SLVERR), f"read of {address:#x}"
            if response == OKAY:
                model.check(address, value)
            continue
        data, strobe = int(rng.integers(1 << 32)), int(rng.integers(16))
        if rng.integers(2):
            strobe = 15
        if address & ~3 == bench.map.offset("CONTROL"):
            data &= START | CLEAR | FLUSH if busy else CLEAR | FLUSH
            data |= int(rng.integers(1 << 28)) << 4
        expected = model.write(address, data, strobe, busy)
        found = await raw_write(bench, address, data, strobe)
        assert found == expected, f"write {data:#x}, strobes {strobe:#x} to {address:#x}: {found}"
        assert not int(bench.dut.interrupt.value) or model.values["IRQ_ENABLE"]


async def both_ways(bench: Bench, model: Model, rng, count: int) -> None:
    """Reads and writes at the same time: reads of what does not change, writes that do nothing."""
    constant = [r for r in bench.map.registers if r.value is not None]

    async def reads() -> None:
        for _ in range(count):
            register = constant[int(rng.integers(len(constant)))]
            assert await raw_read(bench, register.offset) == (register.value, OKAY)

    task = cocotb.start_soon(reads())
    for _ in range(count):
        register = constant[int(rng.integers(len(constant)))]
        assert await raw_write(bench, register.offset, int(rng.integers(1 << 32)), 15) == SLVERR
    await task


@cocotb.test()
async def fuzzing(dut):
    """Nothing hangs, nothing read-only changes, jobs under way do not notice."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(7)
    for _ in range(6):
        program = draw(bench, rng)
        bench.pressure(rng)
        model = Model(bench)
        await bench.control("clear")
        await model.take_over()
        await fuzz(bench, model, rng, 80, busy=False)
        await bench.write("CONTROL", CLEAR)
        sent = Sent.of(program)
        kept = sent.frames["activations"].pop()  # the job cannot end before this was sent
        zero = await bench.start(program, sent)
        await model.take_over()
        await fuzz(bench, model, rng, 80, busy=True)
        await both_ways(bench, model, rng, 20)
        assert await bench.read("STATUS") == 1, "the job is no longer under way"
        bench.sources["activations"].send_nowait(kept)
        await bench.finish(program, zero, error_mask("start_refused") if model.refused else 0)
        await bench.write("IRQ_STATUS", 3)


@cocotb.test()
async def shape_registers_written_while_busy(dut):
    """The running job keeps its own shape, the next one has the new."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(8)
    for _ in range(6):
        first, second = draw(bench, rng), draw(bench, rng)
        hold(bench, "activations")
        zero = await bench.start(first)
        for name, value in Transfers(program=second).shape_registers.items():
            await bench.put(name, value)
        await bench.status("busy")
        assert await bench.write("CONTROL", START) == SLVERR
        hold(bench, "activations", held=False)
        await bench.finish(first, zero, error_mask("start_refused"))
        await bench.run(second)


@cocotb.test()
async def shapes_that_cannot_be(dut):
    bench, rng = await Bench.begin(dut), np.random.default_rng(9)
    for name in [*(name.upper() for name in SHAPE), "more inner tiles than tiles"]:
        program = draw(bench, rng)
        await bench.set_up(program)
        if name.lower() in SHAPE:
            await bench.put(name, 0)
        else:
            await bench.put("INNER_TILES", Transfers(program=program).shape_registers["TILES"] + 1)
        await bench.control("start")
        await expect_fault(bench, error_mask("bad_shape"))
        assert await bench.write("CONTROL", START) == SLVERR
        assert await bench.read("ERRORS") == error_mask("bad_shape", "start_refused")
        await bench.control("clear")
        await bench.status()
        assert await bench.read("ERRORS") == 0
        await bench.run(program)
        await bench.put("IRQ_STATUS", 3)


@cocotb.test()
async def special_values_are_taken_only_while_ready(dut):
    """Refused while busy and in FAULT; a write without strobes does nothing."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(10)
    if not bench.machine.accelerator.programmable:
        return
    special = bench.map.offset("SPECIAL_WRITE")
    program = draw(bench, rng)
    hold(bench, "weights")
    zero = await bench.start(program)
    assert await raw_write(bench, special, 0, 15) == SLVERR
    await bench.put("SPECIAL_VALUE_0", 0)
    hold(bench, "weights", held=False)
    assert await raw_write(bench, special, 0, 15) == SLVERR
    await bench.finish(program, zero)
    await bench.set_up(program)
    await bench.put("SPECIAL_VALUE_0", 0)
    for index in range(len(program.special_words)):
        assert await raw_write(bench, special, index, 0) == OKAY
    await bench.finish(program, await bench.start(program, prepared=True))
    await bench.put("TILES", 0)
    await bench.control("start")
    assert await raw_write(bench, special, 0, 15) == SLVERR, "FAULT would lose the value"
    await bench.control("clear")
    await bench.run(program)


@cocotb.test()
async def interrupts(dut):
    """Both bits: status without enable, enable later, write 1 to clear, one at a time."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(11)
    done, error = (mask(IRQ_BITS, name) for name in ("done", "error"))

    async def expect(status: int, pin: bool) -> None:
        assert await bench.read("IRQ_STATUS") == status
        assert int(dut.interrupt.value) == pin

    await expect(0, False)
    await bench.run(draw(bench, rng))
    await expect(done, False)
    await bench.put("IRQ_ENABLE", error)
    await expect(done, False)
    await bench.put("IRQ_ENABLE", done)
    await expect(done, True)
    await bench.put("IRQ_STATUS", error)
    await expect(done, True)
    await bench.put("IRQ_STATUS", done)
    await expect(0, False)
    await bench.put("GROUPS", 0)
    await bench.control("start")
    await expect(error, False)
    await bench.put("IRQ_ENABLE", done | error)
    await expect(error, True)
    await bench.control("clear")
    await expect(error, True)
    await bench.run(draw(bench, rng))
    await expect(done | error, True)
    await bench.put("IRQ_STATUS", error)
    await expect(done, True)
    await bench.put("IRQ_STATUS", done)
    await expect(0, False)
    hold(bench, "results")
    zero = await bench.start(program := draw(bench, rng))
    await bench.cycles(200)
    await expect(0, False)  # not before the last result was taken
    hold(bench, "results", held=False)
    await bench.finish(program, zero)
    await expect(done, True)
    await bench.put("IRQ_STATUS", done | error)


@cocotb.test()
async def no_output_follows_an_input_within_a_cycle(dut):
    """AXI: no combinational path from any input to any output; looked for in running jobs."""
    bench, rng = await Bench.begin(dut), np.random.default_rng(12)
    inputs, outputs = [], [dut.interrupt]
    for prefix, (payload, by_design) in CHANNELS.items():
        names = ["valid", *payload]
        offered = [getattr(dut, prefix + name) for name in names]
        ready = getattr(dut, prefix + "ready")
        inputs += [ready] if by_design else offered
        outputs += offered if by_design else [ready]
    bench.pressure(rng)
    program = draw(bench, rng)
    job = cocotb.start_soon(bench.run(program))
    probes = 0
    while not job.done():
        await FallingEdge(dut.aclk)
        await Timer(100, "ps")
        before = [int(port.value) for port in outputs]
        driven = [int(port.value) for port in inputs]
        for port, value in zip(inputs, driven, strict=True):
            port.value = int(rng.integers(2)) if len(port) == 1 else value ^ 1
        await Timer(100, "ps")
        after = [int(port.value) for port in outputs]
        for port, value in zip(inputs, driven, strict=True):
            port.value = value
        await Timer(100, "ps")
        changed = [p._name for p, x, y in zip(outputs, before, after, strict=True) if x != y]
        assert not changed, f"follow an input without a clock edge: {changed}"
        probes += 1
    await job
    assert probes > 100
