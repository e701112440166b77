"""A Verilated board top behind the interface of a serial port."""

import ctypes
import functools
import threading
from pathlib import Path

import numpy as np

from configs.accelerator import BufferConfig, StreamConfig
from hw.benches.verilated import build_library
from hw.boards import BoardTop, LinkConfig
from hw.emit import to_verilog
from sw.compile import Machine

from ...agreement.machines import machine

#: clock cycles per second that the port pretends
CLOCK_HZ = 1_000_000
LINK = LinkConfig(
    divisor=4, timeout_cycles=400, weight_bytes=40, activation_bytes=24, result_bytes=16
)
BYTES = StreamConfig(weight_bits=8, activation_bits=8, result_bits=8)


def board_machine(**options) -> Machine:
    """A small machine with streams of bytes."""
    buffers = BufferConfig(weight_beats=60, activation_beats=40)
    return machine(2, 2, 2, "int4", buffers=buffers, streams=BYTES, widths=(18, 28), **options)


@functools.cache
def _verilog(built: Machine, link: LinkConfig) -> str:
    return to_verilog(BoardTop(machine=built, link=link), "board")


def _library(verilog: str) -> Path:
    """The model and the host's end, compiled."""
    bench = Path(__file__).with_name("board.cpp").read_text()
    return build_library(verilog, top="board", bench=bench)


class VerilatedPort:
    """The host's end of the line.

    Parameters
    ----------
    built : what the board holds.
    link : its line.
    skew : the host's bit time over the board's.
    verilog : another text of the board, top module ``board``.
    """

    def __init__(
        self,
        built: Machine,
        link: LinkConfig = LINK,
        *,
        skew: float = 1.0,
        verilog: str | None = None,
    ) -> None:
        self._library = ctypes.CDLL(str(_library(verilog or _verilog(built, link))))
        self._library.board_new.restype = ctypes.c_void_p
        self._library.board_new.argtypes = [ctypes.c_double]
        self._lock = threading.Lock()
        self._library.board_run.restype = ctypes.c_uint64
        self._library.board_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64]
        self._handle = ctypes.c_void_p(self._library.board_new(link.divisor * skew))
        self.limit_cycles = 40 * link.timeout_cycles

    def close(self) -> None:
        """Free the model."""
        self._library.board_delete(self._handle)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.send([*data])

    def send(self, places: list[int]) -> None:
        """Send bytes; where bit 8 is set, with a broken stop bit."""
        raw = np.array(places, dtype=np.uint16)
        where = ctypes.c_void_p(raw.ctypes.data)
        with self._lock:
            self._library.board_send(self._handle, where, ctypes.c_uint64(len(raw)))
            self._library.board_run(self._handle, 0, 1 << 40)

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes, as many as come within the time limit."""
        with self._lock:
            found = min(count, self._library.board_run(self._handle, count, self.limit_cycles))
            raw = np.zeros(found, dtype=np.uint8)
            where = ctypes.c_void_p(raw.ctypes.data)
            self._library.board_take(self._handle, where, ctypes.c_uint64(found))
        return raw.tobytes()

    def pause(self, seconds: float) -> None:
        """Let the clock run."""
        with self._lock:
            self._library.board_run(self._handle, 1 << 40, round(seconds * CLOCK_HZ))

    def state(self) -> dict[str, int]:
        """Cycles so far, stop bits of the board that were low, its LEDs."""
        out = np.zeros(3, dtype=np.uint64)
        self._library.board_state(self._handle, ctypes.c_void_p(out.ctypes.data))
        return dict(zip(("cycles", "errors", "leds"), out.tolist(), strict=True))
