"""Registers, streams and jobs of the whole accelerator, driven by the models of cocotbext-axi."""

import logging
import random
from dataclasses import dataclass, field

import numpy as np
from accelerators import BY_FINGERPRINT, MACHINES
from axi_rules import Rules
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSink, AxiStreamSource

from configs.timing import REGISTER_CYCLES
from sim import CycleReport, Gaps, simulate_gemm
from sw.compile import GemmProgram
from sw.compile.registers import CONTROL_BITS, ERROR_BITS, STATUS_BITS, register_map
from sw.compile.transfers import (
    Transfers,
    activation_port,
    result_stream_bits,
    result_words,
    weight_port,
    weights_outside,
)
from sw.golden import golden_gemm

#: a register access or a word never takes longer
LIMIT_US = 400
OKAY, SLVERR = 0, 2
INPUTS = {"weights": weight_port, "activations": activation_port}


def mask(names: dict[str, str], *wanted: str) -> int:
    """Register value with the named bits set."""
    return sum(1 << list(names).index(name) for name in wanted)


class Pauses:
    """When a source or a sink rests: bursts, with a probability that can be changed any time."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.probability = 0.0
        self.held = False

    def __iter__(self):
        rest = 0
        while True:
            if not rest and self.rng.random() < self.probability:
                rest = self.rng.randint(1, 6)
            rest = max(0, rest - 1)
            yield self.held or rest > 0


@dataclass
class Sent:
    """The packets of a job, as frames of bytes."""

    frames: dict[str, list[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, program: GemmProgram) -> "Sent":
        """All packets of both operands, in order."""
        job, sent = Transfers(program=program), cls()
        for name, port_of in INPUTS.items():
            port = port_of(program.machine)
            packets = port.packets(program.tiling)
            raw = np.ascontiguousarray(getattr(job, name)).view(np.uint8)
            images = [image[:, : port.stream_bits // 8].tobytes() for image in raw]
            order = (p // packets.repeat % packets.images for p in range(packets.count))
            sent.frames[name] = [images[index] for index in order]
        return sent


class Bench:
    """The bus models around ``dut``; begin with :meth:`begin`."""

    def __init__(self, dut) -> None:
        self.dut = dut
        for name in ("cocotb.bitsmith_accelerator", "cocotbext"):
            logging.getLogger(name).setLevel(logging.WARNING)
        Clock(dut.aclk, 2, "ns").start()
        dut.aresetn.value = 0
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk)
        self.sources = {
            name: AxiStreamSource(AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), dut.aclk)
            for name in INPUTS
        }
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis_results"), dut.aclk)
        write, read = self.master.write_if, self.master.read_if
        channels = [write.aw_channel, write.w_channel, write.b_channel]
        channels += [read.ar_channel, read.r_channel]
        parts = {f"bus {i}": channel for i, channel in enumerate(channels)}
        parts |= {**self.sources, "results": self.sink}
        self.pauses = {name: Pauses(seed) for seed, name in enumerate(parts)}
        for name, part in parts.items():
            part.set_pause_generator(iter(self.pauses[name]))
        self.rules = Rules(dut)

    @classmethod
    async def begin(cls, dut) -> "Bench":
        """After reset; which machine it is, the design says itself."""
        bench = cls(dut)
        await bench.cycles(4)
        dut.aresetn.value = 1
        await bench.cycles(1)
        any_map = register_map(next(iter(MACHINES.values())))
        for name, value in (("ID", 0x42534D54), ("VERSION", 0x00010000)):
            assert await bench.read_at(any_map.offset(name)) == (value, OKAY)
        found, _ = await bench.read_at(any_map.offset("FINGERPRINT"))
        bench.name = BY_FINGERPRINT[found]
        bench.machine = MACHINES[bench.name]
        bench.map = register_map(bench.machine)
        return bench

    async def cycles(self, count: int) -> None:
        """Wait."""
        for _ in range(count):
            await RisingEdge(self.dut.aclk)

    def pressure(self, rng: np.random.Generator | None) -> None:
        """Random rests on every stream and every channel, or none."""
        for pauses in self.pauses.values():
            pauses.probability = 0.0 if rng is None else float(rng.choice([0, 0.05, 0.3, 0.6]))

    # registers

    async def read_at(self, address: int) -> tuple[int, int]:
        """Value and response of the word at ``address``."""
        found = await with_timeout(self.master.read(address & ~3, 4), LIMIT_US, "us")
        return int.from_bytes(found.data, "little"), int(found.resp)

    async def read(self, name: str) -> int:
        """Value of a register, or of all its parts."""
        parts = [n for n in self.map.by_name if n == name or n.rpartition("_")[0] == name]
        value = 0
        for index, part in enumerate(parts):
            word, response = await self.read_at(self.map.offset(part))
            assert response == OKAY, f"reading {part} was answered with {response}"
            value |= word << 32 * index
        return value

    async def write(self, name: str, value: int) -> int:
        """Write a register; returns the response."""
        data = value.to_bytes(4, "little")
        done = await with_timeout(self.master.write(self.map.offset(name), data), LIMIT_US, "us")
        return int(done.resp)

    async def put(self, name: str, value: int) -> None:
        """Write a register that takes it."""
        assert await self.write(name, value) == OKAY, f"{name} did not take {value:#x}"

    async def control(self, *wanted: str) -> None:
        """Set bits of CONTROL."""
        await self.put("CONTROL", mask(CONTROL_BITS, *wanted))

    async def status(self, *wanted: str) -> None:
        """STATUS shows exactly these bits."""
        found, expected = await self.read("STATUS"), mask(STATUS_BITS, *wanted)
        assert found == expected, f"STATUS is {found:#b}, expected {expected:#b}"

    async def until_ready(self) -> None:
        """Wait until nothing is left of a job."""
        for _ in range(2000):
            if await self.read("STATUS") == 0:
                return
        raise AssertionError("STATUS never became 0")

    async def until_fault(self) -> None:
        """Wait until the job is stopped; one that never is must not go on for ever."""
        for _ in range(5000):
            if await self.read("STATUS") & mask(STATUS_BITS, "fault"):
                return
        raise AssertionError("the job was never stopped")

    # jobs

    async def set_up(self, program: GemmProgram) -> None:
        """Shape registers and special values."""
        for name, value in Transfers(program=program).shape_registers.items():
            await self.put(name, value)
        parts = [name for name in self.map.by_name if name.startswith("SPECIAL_VALUE")]
        for index, value in enumerate(program.special_words):
            for place, name in enumerate(parts):
                await self.put(name, value >> 32 * place & 0xFFFFFFFF)
            await self.put("SPECIAL_WRITE", index)

    def feed(self, sent: Sent) -> None:
        """Queue packets."""
        for name, frames in sent.frames.items():
            for frame in frames:
                self.sources[name].send_nowait(frame)

    async def start(
        self, program: GemmProgram, sent: Sent | None = None, *, prepared: bool = False
    ) -> int:
        """Set up (unless prepared), feed and start a job; returns its cycle 0."""
        if not prepared:
            await self.set_up(program)
        for prefix in ("s_axis_weights_t", "s_axis_activations_t", "m_axis_results_t"):
            self.rules.channels[prefix].begin()
        self.feed(sent or Sent.of(program))
        await self.control("start")
        channels = self.rules.channels
        written = max(channels[f"s_axi_{name}"].latest for name in ("aw", "w"))
        return written + REGISTER_CYCLES

    async def run(self, program: GemmProgram) -> None:
        """A whole job, everything checked."""
        await self.finish(program, await self.start(program))

    async def finish(self, program: GemmProgram, zero: int, errors: int = 0) -> None:
        """Results and registers of a job that was started in cycle ``zero``."""
        frame = await with_timeout(self.sink.recv(compact=False), 4000, "us")
        check_results(program, frame)
        await self.status()
        assert await self.read("ERRORS") == errors, f"{program.name}: {await self.read('ERRORS')}"
        await self._check_time(program, zero)
        expected = golden_gemm(program)
        flags = {"INNER_OVERFLOW": expected.inner_overflow}
        flags["OUTER_OVERFLOW"] = expected.outer_overflow
        if program.machine.accelerator.has_floats:
            flags["INVALID_ACTIVATIONS"] = expected.invalid_activations
        for name, wanted in flags.items():
            found = await self.read(name)
            assert found == sum(int(bit) << i for i, bit in enumerate(wanted)), name
        assert all(source.idle() for source in self.sources.values()), "words were left over"

    async def _check_time(self, program: GemmProgram, zero: int) -> None:
        """Cycles and counters are those that the simulator gives for the observed rests."""
        channels = self.rules.channels
        last = channels["m_axis_results_t"].latest
        timing = simulate_gemm(self.machine, program.shape, self.observed(zero))
        where = f"{self.name}, {program.name}"
        assert last - zero == timing.total_cycles, f"{where}: {last - zero} cycles, {timing}"
        for name, value in counters(timing).items():
            found = await self.read(name)
            assert found == value, f"{where}: {name} is {found}, expected {value}"

    def observed(self, zero: int) -> Gaps:
        """The rests on the three streams since cycle ``zero``, as the simulator counts them."""
        channels = self.rules.channels
        gaps = {}
        for name in INPUTS:
            record = channels[f"s_axis_{name}_t"].record
            before = [zero, *record.accepted[:-1]]
            pairs = zip(record.offered, before, strict=True)
            gaps[name] = np.array([max(0, offer - since - 1) for offer, since in pairs])
        record = channels["m_axis_results_t"].record
        before = [zero, *record.accepted[:-1]]
        waits = zip(record.offered, record.accepted, before, strict=True)
        # a sink that was ready in time did not rest, whatever it did before
        gaps["results"] = np.array(
            [took - since - 1 if took > offer else 0 for offer, took, since in waits]
        )
        return Gaps(**gaps)


def counters(timing: CycleReport) -> dict[str, int]:
    """Registers that count, and what they are to hold."""
    found = {f"COUNT_{name.upper()}": value for name, value in timing.causes.items()}
    return found | {f"COUNT_{name.upper()}": value for name, value in timing.counters.items()}


def word_keeps(program: GemmProgram, width: int) -> list[list[int]]:
    """TKEEP of every word of a row of results of ``width`` bytes a word."""
    count, size = result_words(program.machine), program.machine.result_beat_bits // 8
    return [[int(word * width + byte < size) for byte in range(width)] for word in range(count)]


def check_results(program: GemmProgram, frame, stopped: bool = False) -> int:
    """Outputs and TKEEP of a packet; of a stopped job it is a part. Returns its whole words."""
    machine, t = program.machine, program.tiling
    width = result_stream_bits(machine) // 8
    pattern = [kept for word in word_keeps(program, width) for kept in word]
    words, keep, data = len(frame.tdata) // width, list(frame.tkeep), bytes(frame.tdata)
    total = t.tiles * t.rows * result_words(machine)
    if stopped and not any(keep[-width:]):
        words, keep, data = words - 1, keep[:-width], data[:-width]
        assert words < total, "an empty word after all results"
    elif not stopped:
        assert words == total, f"{program.name}: {words} words of {total}"
    wanted = (pattern * (t.tiles * t.rows))[: len(keep)]
    assert keep == wanted, f"{program.name}: TKEEP"
    found = bytes(byte for byte, kept in zip(data, keep, strict=True) if kept)
    size = machine.result_beat_bits // 8
    expected = golden_gemm(program).outputs
    rows = np.zeros((t.tiles * t.rows, size), dtype=np.uint8)
    rows.reshape(-1)[: len(found)] = np.frombuffer(found, dtype=np.uint8)
    outputs = program.unpack_results(rows, weights_outside(machine))
    if stopped:
        complete = np.zeros_like(rows)
        complete[: len(found) // size] = 1
        known = unpacked(program, complete)
        assert (outputs == expected)[known].all(), f"{program.name}: results before the stop"
    else:
        wrong = np.argwhere(outputs != expected)
        assert not len(wrong), f"{program.name}: {len(wrong)} wrong, first {wrong[:1].tolist()}"
    return words


def unpacked(program: GemmProgram, complete: np.ndarray) -> np.ndarray:
    """Which outputs (M, N) come from rows that are marked by ones."""
    shape, t = program.shape, program.tiling
    outside = weights_outside(program.machine)
    known = np.zeros((shape.m, shape.n), dtype=bool)
    inner = t.row_tiles if outside else t.col_tiles
    for index in np.flatnonzero(complete[:, 0]).tolist():
        tile, row = divmod(index, t.rows)
        first, second = divmod(tile, inner)
        col_tile, row_tile = (first, second) if outside else (second, first)
        m, n = row_tile * t.rows + row, col_tile * t.cols
        if m < shape.m:
            known[m, n : n + t.cols] = True
    return known


def error_mask(*names: str) -> int:
    """Value of ERRORS."""
    return mask(ERROR_BITS, *names)
