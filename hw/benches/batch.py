"""Batch harness: a Verilated accelerator as a shared library, one whole job per call."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import CAUSES, dequantizer_cycles
from sw.compile import GemmProgram, Machine, Tiling

from ..emit import to_verilog
from ..top import Accelerator
from .verilated import build_library

TOP = "bitsmith_accelerator"
_BENCH = Path(__file__).with_name("accelerator.cpp")
_OUT_WORDS = 22


@dataclass(frozen=True, kw_only=True, eq=False)
class RtlResult:
    """What the test bench saw.

    Attributes
    ----------
    outputs : int64 (M, N), padding dropped.
    total_cycles : clock edges counted by the bench, from the job to the last result.
    causes : the design's own counters.
    inner_overflow, outer_overflow : bool (cols,), sticky bits.
    invalid_activations : bool (rows,), sticky; all False with integer activations.
    protocol_error : a packet did not end where the job says.
    last_beat : 1-based result beat that carried TLAST first; 0 if none did.
    """

    outputs: NDArray[np.int64]
    total_cycles: int
    causes: dict[str, int]
    inner_overflow: NDArray[np.bool_]
    outer_overflow: NDArray[np.bool_]
    invalid_activations: NDArray[np.bool_]
    protocol_error: bool
    last_beat: int


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
            "weight": machine.weight_beat_bits,
            "activation": machine.activation_beat_bits,
            "result": machine.result_beat_bits,
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
        weight_gaps, activation_gaps, result_gaps : idle cycles before each beat of the job.
        limit_cycles : give up after this many cycles (default: generous).

        Raises
        ------
        RuntimeError : the design hung.
        """
        t = program.tiling
        weights = np.ascontiguousarray(program.weight_beats)
        activations = np.ascontiguousarray(program.activation_beats)
        result_words = -(-self.machine.result_beat_bits // 32)
        results = np.zeros((t.tiles * t.rows, result_words), dtype=np.uint32)
        gaps = [
            _full(weight_gaps, t.tiles * weights.shape[1]),
            _full(activation_gaps, t.tiles * t.tile_chunks),
            _full(result_gaps, len(results)),
        ]
        limit = limit_cycles or self._generous_limit(t, gaps)
        job = [t.tiles, t.groups, t.chunks, t.last_chunks, t.col_tiles, t.row_tiles, t.rows, limit]
        job += [weights.shape[-1], activations.shape[-1], result_words, weights.shape[1]]
        self._write_specials(program)
        job_words = np.array(job, dtype=np.uint64)
        out = np.zeros(_OUT_WORDS, dtype=np.uint64)
        arrays = (job_words, weights, gaps[0], activations, gaps[1], results, gaps[2], out)
        hung = self._library.bench_run(self._handle, *map(_pointer, arrays))
        if hung:
            raise RuntimeError(
                f"{program.name}: after {limit} cycles the design had sent {out[15]} of "
                f"{len(results)} result beats"
            )
        array = self.machine.accelerator
        flags = [
            np.unpackbits(out[i : i + 4].view(np.uint8), bitorder="little")[:count].astype(bool)
            for i, count in ((6, array.cols), (10, array.cols), (18, array.rows))
        ]
        return RtlResult(
            outputs=program.unpack_results(results),
            total_cycles=int(out[0]),
            causes=dict(zip(CAUSES, map(int, out[1:6]), strict=True)),
            inner_overflow=flags[0],
            outer_overflow=flags[1],
            invalid_activations=flags[2],
            protocol_error=bool(out[14]),
            last_beat=int(out[16]),
        )

    def _generous_limit(self, t: Tiling, gaps: list[NDArray[np.uint32] | None]) -> int:
        """More cycles than any job of this shape takes."""
        waits = sum(int(g.sum()) for g in gaps if g is not None)
        group_cycles = 64 + dequantizer_cycles(self.machine.accelerator)
        return 1000 + waits + t.tiles * (t.tile_chunks * 8 + group_cycles * (t.groups + 1) + 600)

    def _write_specials(self, program: GemmProgram) -> None:
        """Give a programmable design the program's special values."""
        for index, value in enumerate(program.special_words):
            words = np.array([value >> 32 * i & 0xFFFFFFFF for i in range(4)], dtype=np.uint32)
            self._library.bench_special(self._handle, ctypes.c_uint64(index), _pointer(words))


def _full(gaps: NDArray | None, count: int) -> NDArray[np.uint32] | None:
    """Gaps of every beat of the job, missing ones 0; None stays None."""
    if gaps is None:
        return None
    full = np.zeros(count, dtype=np.uint32)
    full[: len(gaps)] = gaps[:count]
    return full
