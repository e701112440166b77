"""Batch harness: a Verilated accelerator as a shared library, one whole job per call."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import CAUSES, dequantizer_cycles
from sw.compile import GemmProgram, Machine
from sw.compile.registers import CONTROL_BITS, register_map
from sw.compile.transfers import (
    Transfers,
    activation_port,
    result_stream_bits,
    result_words,
    weight_port,
)

from ..emit import to_verilog
from ..top import Accelerator
from .verilated import build_library

TOP = "bitsmith_accelerator"
_BENCH = Path(__file__).with_name("accelerator.cpp")
_OUT_WORDS = 6
#: counters beside those of the causes, by register
COUNTERS = ("TILES", "WEIGHT_WORDS", "ACTIVATION_WORDS", "RESULT_WORDS")


@dataclass(frozen=True, kw_only=True, eq=False)
class RtlResult:
    """What the test bench saw.

    Attributes
    ----------
    outputs : int64 (M, N), padding dropped.
    total_cycles : clock edges counted by the bench, from the job to the last result.
    causes : the design's own counters.
    counters : the others: ``busy``, ``tiles``, ``weight_words``, ``activation_words``,
        ``result_words``.
    inner_overflow, outer_overflow : bool (cols,), sticky bits.
    invalid_activations : bool (rows,), sticky; all False with integer activations.
    errors : the ERRORS register; 0 if nothing went wrong.
    last_words : 1-based result word that carried TLAST first (0 if none did), and how many did.
    """

    outputs: NDArray[np.int64]
    total_cycles: int
    causes: dict[str, int]
    counters: dict[str, int]
    inner_overflow: NDArray[np.bool_]
    outer_overflow: NDArray[np.bool_]
    invalid_activations: NDArray[np.bool_]
    errors: int
    last_words: tuple[int, int]


def accelerator_verilog(machine: Machine) -> str:
    """Standalone Verilog of ``machine``, top module ``bitsmith_accelerator``."""
    return to_verilog(Accelerator(machine=machine), TOP)


def build_model(verilog: str, *, waves: bool = False) -> Path:
    """Shared library of the bench around ``verilog``, cached by content.

    Parameters
    ----------
    verilog : text with top module ``bitsmith_accelerator``.
    waves : build with VCD tracing.
    """
    return build_library(verilog, top=TOP, bench=_BENCH.read_text(), waves=waves)


def _port_bytes(bits: int) -> int:
    """Size of a port in Verilator's model: 1, 2, 4 or 8 bytes, or whole 32-bit words."""
    fitting = [size for size in (1, 2, 4, 8) if bits <= 8 * size]
    return fitting[0] if fitting else 4 * -(-bits // 32)


def _first_error(error: RuntimeError) -> str:
    """The first line of a tool's log that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if "error" in line.lower()[:40]), lines[0])


def _pointer(array: NDArray | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


class BatchBench:
    """A running model.

    Parameters
    ----------
    machine : the machine that ``verilog`` was generated from.
    verilog : text to run instead of generating it, e.g. a deliberately broken copy.
    waves : file for a VCD of everything, or None.

    Raises
    ------
    InputError : the given Verilog does not build, or has other stream widths than the machine.
    """

    def __init__(
        self, machine: Machine, *, verilog: str | None = None, waves: Path | None = None
    ) -> None:
        self.machine = machine
        text = accelerator_verilog(machine) if verilog is None else verilog
        try:
            library = build_model(text, waves=waves is not None)
        except RuntimeError as error:
            if verilog is None:
                raise
            raise InputError(f"the given Verilog cannot be built: {_first_error(error)}") from None
        self._library = ctypes.CDLL(str(library))
        self._library.bench_new.restype = ctypes.c_void_p
        self._library.bench_read.restype = ctypes.c_uint64
        self.registers = register_map(machine)
        self._handle = ctypes.c_void_p(self._library.bench_new())
        self._check_widths()
        if waves is not None:
            self._library.bench_trace(self._handle, str(waves).encode())

    def _check_widths(self) -> None:
        """The model's data ports must have this machine's widths, or memory would be overrun."""
        found = np.zeros(3, dtype=np.uint64)
        self._library.bench_widths(self._handle, _pointer(found))
        machine = self.machine
        wanted = {
            "weight": weight_port(machine).stream_bits,
            "activation": activation_port(machine).stream_bits,
            "result": result_stream_bits(machine),
        }
        for (stream, bits), size in zip(wanted.items(), found.tolist(), strict=True):
            if _port_bytes(bits) != size:
                raise InputError(
                    f"the given Verilog is not this machine's: its {stream} stream takes {size} "
                    f"bytes, the machine's {bits} bits take {_port_bytes(bits)}"
                )

    def close(self) -> None:
        """Free the model (and finish the waveform)."""
        if self._handle:
            self._library.bench_delete(self._handle)
            self._handle = ctypes.c_void_p(None)

    def __enter__(self) -> "BatchBench":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, name: str, value: int) -> None:
        """Write a register while no job is running.

        Raises
        ------
        RuntimeError : the design answered with an error, or not in time.
        """
        response = self._library.bench_write(self._handle, self.registers.offset(name), value)
        if response:
            raise RuntimeError(f"writing {value} to {name} was answered with {response}")

    def read(self, name: str) -> int:
        """Value of a register, while no job is running."""
        found = self._library.bench_read(self._handle, self.registers.offset(name))
        if found >> 32:
            raise RuntimeError(f"reading {name} was answered with {found >> 32}")
        return found

    def read_wide(self, name: str) -> int:
        """Value of a quantity that spans several registers, ``name_0`` the low bits."""
        parts = [r for r in self.registers.by_name if r.rpartition("_")[0] == name]
        return sum(self.read(part) << 32 * index for index, part in enumerate(parts))

    def run(
        self,
        program: GemmProgram,
        *,
        weight_gaps: NDArray | None = None,
        activation_gaps: NDArray | None = None,
        result_gaps: NDArray | None = None,
        limit_cycles: int | None = None,
    ) -> RtlResult:
        """Run one job to its last result.

        Parameters
        ----------
        program : must be compiled for this bench's machine.
        weight_gaps, activation_gaps, result_gaps : idle cycles before each word of the job.
        limit_cycles : give up after this many cycles (default: generous).

        Raises
        ------
        RuntimeError : the design hung, or refused the job.
        """
        job = Transfers(program=program)
        t, images = program.tiling, (job.weights, job.activations)
        packets = [port(self.machine).packets(t) for port in (weight_port, activation_port)]
        counts = [p.count * image.shape[1] for p, image in zip(packets, images, strict=True)]
        words = -(-result_stream_bits(self.machine) // 32)
        results = np.zeros((job.result_count, words), dtype=np.uint32)
        gaps = [
            _full(weight_gaps, counts[0]),
            _full(activation_gaps, counts[1]),
            _full(result_gaps, len(results)),
        ]
        limit = limit_cycles or self._generous_limit(job, sum(counts), gaps)
        start = 1 << list(CONTROL_BITS).index("start")
        header = [limit, self.registers.offset("CONTROL"), start]
        for packet, image in zip(packets, images, strict=True):
            header += [packet.count, packet.repeat, packet.images, image.shape[1]]
        header += [len(results), *(image.shape[2] for image in images), words]
        self._write_specials(program)
        for name, value in job.shape_registers.items():
            self.write(name, value)
        out = np.zeros(_OUT_WORDS, dtype=np.uint64)
        fed = [np.ascontiguousarray(image) for image in images]
        arrays = (np.array(header, dtype=np.uint64), fed[0], gaps[0], fed[1], gaps[1])
        hung = self._library.bench_run(
            self._handle, *map(_pointer, (*arrays, results, gaps[2], out))
        )
        if hung:
            raise RuntimeError(
                f"{program.name}: after {out[0]} cycles the design had sent {out[1]} of "
                f"{len(results)} result words"
            )
        return self._result(job.outputs(results), out)

    def _result(self, outputs: NDArray[np.int64], out: NDArray[np.uint64]) -> RtlResult:
        """What the bench counted, and what the registers say after the job."""
        array = self.machine.accelerator

        def flags(name: str, count: int) -> NDArray[np.bool_]:
            found = self.read_wide(name)
            return np.array([bool(found >> index & 1) for index in range(count)])

        invalid = np.zeros(array.rows, dtype=bool)
        if array.has_floats:
            invalid = flags("INVALID_ACTIVATIONS", array.rows)
        counters = {name.lower(): self.read(f"COUNT_{name}") for name in COUNTERS}
        return RtlResult(
            outputs=outputs,
            total_cycles=int(out[0]),
            causes={cause: self.read_wide(f"COUNT_{cause.upper()}") for cause in CAUSES},
            counters={"busy": self.read_wide("COUNT_BUSY"), **counters},
            inner_overflow=flags("INNER_OVERFLOW", array.cols),
            outer_overflow=flags("OUTER_OVERFLOW", array.cols),
            invalid_activations=invalid,
            errors=self.read("ERRORS"),
            last_words=(int(out[2]), int(out[3])),
        )

    def _generous_limit(
        self, job: Transfers, words: int, gaps: list[NDArray[np.uint32] | None]
    ) -> int:
        """More cycles than any job of this shape takes."""
        t = job.program.tiling
        waits = sum(int(g.sum()) for g in gaps if g is not None)
        group_cycles = 64 + dequantizer_cycles(self.machine.accelerator)
        rows = t.tiles * t.rows * result_words(self.machine)
        array = t.tiles * (t.tile_chunks * 8 + group_cycles * (t.groups + 1) + 600)
        return 1000 + waits + 2 * (words + rows) + array

    def _write_specials(self, program: GemmProgram) -> None:
        """Give a programmable design the program's special values."""
        parts = [name for name in self.registers.by_name if name.startswith("SPECIAL_VALUE")]
        for index, value in enumerate(program.special_words):
            for place, name in enumerate(parts):
                self.write(name, value >> 32 * place & 0xFFFFFFFF)
            self.write("SPECIAL_WRITE", index)


def _full(gaps: NDArray | None, count: int) -> NDArray[np.uint32] | None:
    """Gaps of every beat of the job, missing ones 0; None stays None."""
    if gaps is None:
        return None
    full = np.zeros(count, dtype=np.uint32)
    full[: len(gaps)] = gaps[:count]
    return full
