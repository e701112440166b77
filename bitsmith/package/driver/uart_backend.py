"""Registers and streams of an accelerator on a board, over a serial port.

    port = serial.Serial("/dev/ttyUSB1", 1_000_000, timeout=1)  # pyserial's, or any other
    accelerator = Accelerator(UartBackend(port))

Needs nothing but Python's standard library. The caller opens the port; any object will do that has
``write(data: bytes)`` and ``read(count: int) -> bytes``, which returns fewer bytes, or none, when
its own time limit has passed. ``docs/boards.md`` of bitsmith describes the protocol.
"""

import struct
import threading
import time
from collections.abc import Callable
from typing import Protocol

PROTOCOL_VERSION = 1
IDENTIFY, STATUS, READ, WRITE, PUSH, POP, RESET = range(1, 8)
RESET_KEY = 0xA5
#: PUSH: which stream, and that its last byte ends a packet
WEIGHTS, ACTIVATIONS, LAST = 0x00, 0x01, 0x80
#: second byte of a reply
OKAY, DROPPED, REFUSED = 0x00, 0x10, 0x80
#: bits of the flags that STATUS shows; all but the first are cleared by it
INTERRUPT, LINE_ERROR, TIMEOUT, BYTES_DROPPED, REQUEST_REFUSED = (1 << bit for bit in range(5))
#: bits of the last byte of POP's reply
ENDED, EMPTY_END = 0x01, 0x02


class SerialPort(Protocol):
    """What this module needs of a port."""

    def write(self, data: bytes) -> object:
        """Send all of ``data``."""

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes; fewer when the port's time limit has passed."""


class LinkError(RuntimeError):
    """The board did not answer as it must: call ``resync``."""


class RegisterError(RuntimeError):
    """A register access was answered with an error of the bus; nothing has changed."""


class TransferError(RuntimeError):
    """A job ended without all of its results."""


class UartBackend:
    """Backend of the driver that reaches the accelerator over a serial line.

    Requests of several threads do not mix: one may abort a job while another transfers.

    Parameters
    ----------
    port : an open serial port.
    silence_s : seconds without a byte after which the board forgets a request; a little more than
        the board's own limit.
    patience_s : a running job may go so long without taking or giving a byte.
    poll_s : time between two looks at a job that neither takes nor gives a byte.
    pause : waits for some seconds.
    status_address : byte address of the STATUS register, whose bit 0 says that a job runs.

    Raises
    ------
    LinkError : nothing that speaks this protocol answers.
    """

    def __init__(
        self,
        port: SerialPort,
        *,
        silence_s: float = 0.15,
        patience_s: float = 30.0,
        poll_s: float = 0.001,
        pause: Callable[[float], None] = time.sleep,
        status_address: int = 0x14,
    ) -> None:
        self.port = port
        self.silence_s = silence_s
        self.patience_s = patience_s
        self.poll_s = poll_s
        self.pause = pause
        self.status_address = status_address
        #: bytes that the board's buffers hold: weights, activations, results
        self.depths = (0, 0, 0)
        self._lock = threading.RLock()
        self.resync()

    def write(self, address: int, value: int) -> None:
        """Write a 32-bit register.

        Raises
        ------
        RegisterError : refused by the accelerator.
        LinkError : see there.
        """
        status, _ = self._request(WRITE, struct.pack("<HI", address, value), 0)
        self._check_response(status, f"writing {value:#x} to {address:#x}")

    def read(self, address: int) -> int:
        """Read a 32-bit register; errors as of ``write``."""
        status, data = self._request(READ, struct.pack("<H", address), 4)
        self._check_response(status, f"reading {address:#x}")
        return int.from_bytes(data, "little")

    def transfer(self, weights: list[bytes], activations: list[bytes], result_bytes: int) -> bytes:
        """Feed a started job and collect its results.

        Parameters
        ----------
        weights, activations : packets, in order.
        result_bytes : bytes of results that the job sends.

        Raises
        ------
        TransferError : the result packet ended early or late, or the job has stopped. The results
            that still waited were thrown away.
        LinkError : see there.
        """
        try:
            return self._transfer(weights, activations, result_bytes)
        except TransferError:
            self.discard()
            raise

    def _transfer(self, weights: list[bytes], activations: list[bytes], result_bytes: int) -> bytes:
        """The same, leaving what waits."""
        queues = {
            WEIGHTS: [memoryview(packet) for packet in weights if packet],
            ACTIVATIONS: [memoryview(packet) for packet in activations if packet],
        }
        results = bytearray()
        last_move = time.monotonic()
        while len(results) < result_bytes or any(queues.values()):
            _, *room, filled = self.status()
            moved = 0
            for stream, free in zip(queues, room, strict=True):
                moved += self._feed(stream, queues[stream], free)
            if filled and len(results) < result_bytes:
                data, ended, _ = self.pop(min(filled, result_bytes - len(results)))
                results += data
                moved += max(1, len(data))
                if ended != (len(results) == result_bytes):
                    when = "early" if ended else "late"
                    raise TransferError(
                        f"the result packet ends too {when}: {len(results)} of {result_bytes} bytes"
                    )
            if moved:
                last_move = time.monotonic()
            else:
                waited_s = time.monotonic() - last_move
                self._check_progress(len(results), result_bytes, waited_s)
                self.pause(self.poll_s)
        return bytes(results)

    def discard(self) -> None:
        """Throw away the results that wait, those of a stopped job."""
        while waiting := self.status()[3]:
            self.pop(waiting)

    def status(self) -> tuple[int, int, int, int]:
        """Flags, free bytes for weights and for activations, bytes of results that wait."""
        _, data = self._request(STATUS, b"", 7)
        flags, weights, activations, results = struct.unpack("<BHHH", data)
        return flags, weights, activations, results

    def push(self, stream: int, data: bytes, *, last: bool) -> int:
        """Send bytes to a stream's buffer; returns how many found room (ask ``status`` before).

        Parameters
        ----------
        stream : ``WEIGHTS`` or ``ACTIVATIONS``.
        data : up to 65535 bytes.
        last : the last byte ends a packet.
        """
        head = struct.pack("<BH", stream | (LAST if last else 0), len(data))
        _, moved = self._request(PUSH, head + data, 2)
        return int.from_bytes(moved, "little")

    def pop(self, count: int) -> tuple[bytes, bool, bool]:
        """Up to ``count`` bytes of results; whether they end a packet; whether without a result.

        A stopped job's packet ends with an empty word, which is not part of the bytes.
        """
        with self._lock:
            _, head = self._request(POP, struct.pack("<H", count), 2)
            offered = int.from_bytes(head, "little")
            data = self._receive(offered + 3)
        used, end = struct.unpack("<HB", data[offered:])
        empty = bool(end & EMPTY_END)
        return data[: used - empty], bool(end & ENDED), empty

    def reset(self) -> None:
        """Reset the accelerator and empty all buffers."""
        self._request(RESET, bytes([RESET_KEY]), 0)

    def resync(self) -> int:
        """Make the board forget a broken request; returns the flags of what went wrong.

        Registers, buffers and a running job stay as they are: ``reset`` for a fresh start.

        Raises
        ------
        LinkError : nothing that speaks this protocol answers.
        """
        with self._lock:
            self.pause(self.silence_s)
            while self.port.read(4096):
                self.pause(self.silence_s)
        _, data = self._request(IDENTIFY, b"", 7)
        version, *depths = struct.unpack("<BHHH", data)
        if version != PROTOCOL_VERSION:
            raise LinkError(f"the board speaks protocol {version}, this driver {PROTOCOL_VERSION}")
        self.depths = (depths[0], depths[1], depths[2])
        return self.status()[0]

    def _request(self, opcode: int, arguments: bytes, data_bytes: int) -> tuple[int, bytes]:
        """Send a request; status and data of its reply."""
        with self._lock:
            self.port.write(bytes([opcode]) + arguments)
            head = self._receive(2)
            if head[0] != opcode | 0x80:
                raise LinkError(f"request {opcode:#04x} was answered with {head.hex(' ')}")
            if head[1] >= REFUSED:
                raise LinkError(f"request {opcode:#04x} was refused with {head[1]:#04x}")
            return head[1], self._receive(data_bytes)

    def _receive(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        data = b""
        while len(data) < count:
            part = self.port.read(count - len(data))
            if not part:
                raise LinkError(f"the board sent {len(data)} of {count} bytes and fell silent")
            data += part
        return data

    def _check_response(self, status: int, doing: str) -> None:
        if status != OKAY:
            raise RegisterError(f"{doing} was answered with the bus error {status}")

    def _feed(self, stream: int, queue: list[memoryview], free: int) -> int:
        """Send what finds room; returns how much."""
        sent = 0
        while queue and free:
            packet = queue[0]
            part, rest = packet[:free], packet[free:]
            if self.push(stream, bytes(part), last=not rest) != len(part):
                raise LinkError("the board dropped bytes for which it had room")
            sent, free = sent + len(part), free - len(part)
            queue[:1] = [rest] if rest else []
        return sent

    def _check_progress(self, got: int, wanted: int, waited_s: float) -> None:
        """Nothing moved: a job that is not running any more never finishes.

        Raises
        ------
        TransferError : see above.
        """
        if self.read(self.status_address) & 1:
            if waited_s > self.patience_s:
                raise TransferError(
                    f"the job waits, {got} of {wanted} bytes of results came: are all of its "
                    "packets there?"
                )
            return
        if self.status()[3] == 0:
            raise TransferError(f"the job has stopped after {got} of {wanted} bytes of results")
