"""Driver of an accelerator made by bitsmith. Needs nothing but Python's standard library.

A *backend* reaches the accelerator: its registers and its three streams. ``memory_backend.py`` is
for Linux on the same chip, ``verilated_backend.py`` for the simulation model that ``make lib`` in
``tb/`` builds, ``uart_backend.py`` for a board on a serial line; any object will do that has the
methods of ``Backend``.
"""

import struct
import time
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path
from typing import Protocol


# registers: begin
class Registers:
    """Byte addresses."""

    ID = 0x00
    VERSION = 0x04
    FINGERPRINT = 0x08
    ARRAY = 0x0C
    CONTROL = 0x10
    STATUS = 0x14
    ERRORS = 0x18
    IRQ_ENABLE = 0x1C
    IRQ_STATUS = 0x20


class Control(IntFlag):
    """Bits of CONTROL."""

    START = 0x01
    ABORT = 0x02
    CLEAR = 0x04
    FLUSH = 0x08


class Status(IntFlag):
    """Bits of STATUS."""

    BUSY = 0x01
    FAULT = 0x02
    WEIGHTS_DRAINING = 0x04
    ACTIVATIONS_DRAINING = 0x08
    RESULTS_CLOSING = 0x10


class Errors(IntFlag):
    """Bits of ERRORS."""

    WEIGHTS_SHORT = 0x01
    WEIGHTS_LONG = 0x02
    WEIGHTS_TOO_LARGE = 0x04
    ACTIVATIONS_SHORT = 0x08
    ACTIVATIONS_LONG = 0x10
    ACTIVATIONS_TOO_LARGE = 0x20
    BAD_SHAPE = 0x40
    ABORTED = 0x80
    START_REFUSED = 0x100


class Interrupts(IntFlag):
    """Bits of IRQ_ENABLE and IRQ_STATUS."""

    DONE = 0x01
    ERROR = 0x02


#: registers that say which accelerator this is
CONSTANTS: dict[int, int] = {}
#: shape registers and the largest value that each holds
SHAPE = {"TILES": 0, "INNER_TILES": 0, "GROUPS": 0, "CHUNKS": 0, "LAST_CHUNKS": 0}
#: registers of each counter, low bits first
COUNTERS: dict[str, tuple[int, ...]] = {}
#: registers of each set of sticky flags, one bit per column or row, low bits first
FLAGS: dict[str, tuple[int, ...]] = {}
ROWS, COLS = 1, 1
#: bytes of a result, and whether it is a float32 rather than a signed integer
VALUE_BYTES, IS_FLOAT = 4, False
#: which operand's tiles are the outer loop: "weights" or "activations"
OUTER_LOOP = "weights"
# registers: end


class AcceleratorError(Exception):
    """Anything that this driver reports."""


class WrongAccelerator(AcceleratorError):
    """What answers is not the accelerator that this driver was made for."""


class BadShape(AcceleratorError):
    """A value does not fit into its shape register: the job is too large."""


class NotReady(AcceleratorError):
    """Another job is running, or an error was not cleared."""


class TransferError(AcceleratorError):
    """The streams came to rest before all results had arrived."""


class JobError(AcceleratorError):
    """The job was stopped.

    Attributes
    ----------
    errors : why.
    """

    def __init__(self, errors: Errors) -> None:
        names = ", ".join(bit.name or "" for bit in Errors if bit & errors)
        super().__init__(f"the job was stopped: {names or 'no reason given'}; call clear()")
        self.errors = errors


class Aborted(JobError):
    """The job was stopped by ``abort()``."""


class Backend(Protocol):
    """How the driver reaches an accelerator."""

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit register at a byte address."""

    def read(self, address: int) -> int:
        """Read a 32-bit register."""

    def transfer(self, weights: list[bytes], activations: list[bytes], result_bytes: int) -> bytes:
        """Feed a started job and collect its results.

        Parameters
        ----------
        weights, activations : packets, in order; TLAST goes with the last word of each. Both
            streams must move at the same time: neither may wait for the other.
        result_bytes : bytes of results that the job sends, those with TKEEP only.

        Returns
        -------
        bytes : the results; fewer, or an exception, if the streams came to rest too early. The
            driver then looks into the registers and says why.
        """


@dataclass(frozen=True)
class Job:
    """What the accelerator is to do.

    Attributes
    ----------
    shape : value of each shape register.
    weights, activations : packets.
    result_bytes : bytes of results.
    writes : registers to be written first, by name, in order (special values).
    """

    shape: dict[str, int]
    weights: list[bytes]
    activations: list[bytes]
    result_bytes: int
    writes: tuple[tuple[str, int], ...] = ()


class Accelerator:
    """An accelerator.

    Parameters
    ----------
    backend : how to reach it.
    check : compare its identity with that of this driver.

    Raises
    ------
    WrongAccelerator : something else answers.
    """

    def __init__(self, backend: Backend, *, check: bool = True) -> None:
        self.backend = backend
        for address, wanted in CONSTANTS.items() if check else ():
            found = backend.read(address)
            if found != wanted:
                raise WrongAccelerator(
                    f"register {address:#04x} holds {found:#010x}, expected {wanted:#010x}"
                )

    @property
    def status(self) -> Status:
        """What the accelerator is doing; ready for a job when 0."""
        return Status(self.backend.read(Registers.STATUS))

    @property
    def errors(self) -> Errors:
        """What has gone wrong since the last start or clear."""
        return Errors(self.backend.read(Registers.ERRORS))

    def run(self, job: Job, *, timeout_s: float = 10.0) -> bytes:
        """Run a job to its end; returns the bytes of its results.

        Raises
        ------
        BadShape, NotReady : nothing was started.
        JobError : the job was stopped; ``clear()`` makes the accelerator ready again.
        TransferError : the streams came to rest, but no error is known; ``abort()``, ``clear()``.
        """
        for name, largest in SHAPE.items():
            if not 0 <= job.shape[name] <= largest:
                raise BadShape(f"{name} is {job.shape[name]}, its register holds 0..{largest}")
        status = self.status
        if status:
            raise NotReady(f"the accelerator is not ready: {status!r}")
        for name, value in (*job.writes, *((name, job.shape[name]) for name in SHAPE)):
            self.backend.write(getattr(Registers, name), value)
        self.backend.write(Registers.CONTROL, Control.START)
        self._check_fault(None)
        try:
            results = self.backend.transfer(job.weights, job.activations, job.result_bytes)
        except Exception as failure:
            self._check_fault(failure)
            raise
        self._check_fault(None)
        if len(results) != job.result_bytes:
            raise TransferError(f"{len(results)} of {job.result_bytes} bytes of results arrived")
        self._wait_for_zero(Status.BUSY, timeout_s)
        return results

    def abort(self) -> None:
        """Stop the running job; ``run`` then raises ``Aborted``."""
        self.backend.write(Registers.CONTROL, Control.ABORT)
        # it acts some cycles after the write
        self._wait_for_zero(Status.BUSY, 1.0)

    def clear(self, *, flush: bool = False, timeout_s: float = 1.0) -> None:
        """Leave the error state.

        Parameters
        ----------
        flush : the rest of a packet that was being sent will never come: take the next word as the
            first of a packet.

        Raises
        ------
        NotReady : an input waits for the end of a packet, or nobody takes the last result word.
        """
        self.backend.write(Registers.CONTROL, Control.CLEAR)
        if flush:
            self.backend.write(Registers.CONTROL, Control.FLUSH)
        self._wait_for_zero(~Status(0), timeout_s)

    def counters(self) -> dict[str, int]:
        """Cycles and words of the last job, by name."""
        return {name: self._wide(places) for name, places in COUNTERS.items()}

    def flags(self) -> dict[str, list[int]]:
        """Columns (rows for ``invalid_activations``) whose sticky flag is set."""
        values = {name: self._wide(places) for name, places in FLAGS.items()}
        return {
            name: [bit for bit in range(value.bit_length()) if value >> bit & 1]
            for name, value in values.items()
        }

    def enable_interrupts(self, which: Interrupts) -> None:
        """Choose what raises the interrupt."""
        self.backend.write(Registers.IRQ_ENABLE, which)

    def acknowledge(self) -> Interrupts:
        """What has raised, or would have raised, the interrupt since the last call."""
        found = Interrupts(self.backend.read(Registers.IRQ_STATUS))
        self.backend.write(Registers.IRQ_STATUS, found)
        return found

    def _wide(self, places: tuple[int, ...]) -> int:
        return sum(self.backend.read(place) << 32 * i for i, place in enumerate(places))

    def _check_fault(self, failure: Exception | None) -> None:
        """Raise what the registers say has happened."""
        if not self.status & Status.FAULT:
            return
        errors = self.errors
        kind = Aborted if errors & Errors.ABORTED else JobError
        raise kind(errors) from failure

    def _wait_for_zero(self, mask: Status, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while left := self.status & mask:
            if time.monotonic() > end:
                raise NotReady(f"still {left!r} after {timeout_s} s")


def matrix(results: bytes, m: int, n: int) -> list[list[float]]:
    """Results of a job as (M, N) numbers, padding dropped."""
    row_tiles, col_tiles = -(-m // ROWS), -(-n // COLS)
    values: list[float] = [
        struct.unpack("<f", results[at : at + 4])[0]
        if IS_FLOAT
        else int.from_bytes(results[at : at + VALUE_BYTES], "little", signed=True)
        for at in range(0, len(results), VALUE_BYTES)
    ]

    def place(i: int, j: int) -> int:
        row_tile, col_tile = i // ROWS, j // COLS
        weights_outside = OUTER_LOOP == "weights"
        tile = col_tile * row_tiles + row_tile if weights_outside else row_tile * col_tiles
        tile += 0 if weights_outside else col_tile
        return (tile * ROWS + i % ROWS) * COLS + j % COLS

    return [[values[place(i, j)] for j in range(n)] for i in range(m)]


@dataclass(frozen=True)
class Recorded:
    """A job of ``tb/jobs/`` and what must come of it.

    Attributes
    ----------
    name, text : what it is.
    job : the job.
    results : bytes that it must give; empty if it must be stopped.
    expected : registers afterwards, address to value.
    """

    name: str
    text: str
    job: Job
    results: bytes
    expected: dict[int, int] = field(default_factory=dict)

    @property
    def errors(self) -> Errors:
        """Why it must be stopped; 0 if it must not."""
        return Errors(self.expected.get(Registers.ERRORS, 0))


def read_job(path: str | Path) -> Recorded:
    """Read a file of ``tb/jobs/``; the package's README describes it."""
    named: dict[str, str] = {}
    writes: list[tuple[str, int]] = []
    expected: dict[int, int] = {}
    packets: dict[str, list[bytes]] = {"w": [b""], "a": [b""], "r": [b""]}
    ran = False
    for line in Path(path).read_text().splitlines():
        kind, *rest = line.split()
        if kind in ("name", "text"):
            named[kind] = line[len(kind) + 1 :]
        elif kind == "write" and not ran:
            writes.append((rest[2], int(rest[1])))
        elif kind in packets:
            _, last, _, data = rest
            packets[kind][-1] += bytes.fromhex(data)
            packets[kind] += [b""] * int(last)
        elif kind == "read":
            # the first look is at the job, later ones at what clear has left
            expected.setdefault(int(rest[0]), int(rest[1]))
        ran |= kind == "run"
    streams = {kind: [packet for packet in found if packet] for kind, found in packets.items()}
    results = b"".join(streams["r"])
    other = [(n, v) for n, v in writes if n not in (*SHAPE, "CONTROL", "IRQ_ENABLE")]
    shape = {name: value for name, value in writes if name in SHAPE}
    job = Job(shape, streams["w"], streams["a"], len(results), tuple(other))
    return Recorded(named["name"], named["text"], job, results, expected)
