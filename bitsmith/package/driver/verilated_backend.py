"""The accelerator in simulation: the library that ``make lib`` in ``tb/`` builds.

Needs nothing but Python's standard library.
"""

import ctypes
from pathlib import Path


class BusError(RuntimeError):
    """A register access was answered with an error; it changed nothing."""


class Verilated:
    """Backend of the driver for the Verilated model.

    Parameters
    ----------
    library : path of the shared library.
    patience_cycles : cycles without any word moved after which a transfer gives up.
    """

    def __init__(self, library: str | Path, *, patience_cycles: int = 100_000) -> None:
        self.patience_cycles = patience_cycles
        self._library = ctypes.CDLL(str(Path(library).resolve()))
        self._library.accelerator_new.restype = ctypes.c_void_p
        for name in ("read", "cycles", "transfer"):
            getattr(self._library, f"accelerator_{name}").restype = ctypes.c_uint64
        self._handle = ctypes.c_void_p(self._library.accelerator_new())

    def write(self, address: int, value: int) -> None:
        """Write a register.

        Raises
        ------
        BusError : the accelerator refused.
        """
        response = self._library.accelerator_write(self._handle, address, value)
        if response:
            raise BusError(f"writing {value:#x} to {address:#x} was answered with {response}")

    def read(self, address: int) -> int:
        """Read a register; errors as of ``write``."""
        found = int(self._library.accelerator_read(self._handle, address))
        if found >> 32:
            raise BusError(f"reading {address:#x} was answered with {found >> 32}")
        return found

    def transfer(self, weights: list[bytes], activations: list[bytes], result_bytes: int) -> bytes:
        """Clock the model until all packets were taken and all results have come."""
        results = ctypes.create_string_buffer(max(1, result_bytes))
        packets: list[object] = []
        for stream in (weights, activations):
            sizes = (ctypes.c_uint64 * len(stream))(*map(len, stream))
            packets += [b"".join(stream), sizes, ctypes.c_uint64(len(stream))]
        limits = (ctypes.c_uint64(result_bytes), ctypes.c_uint64(self.patience_cycles))
        got = self._library.accelerator_transfer(self._handle, *packets, results, *limits)
        return results.raw[:got]

    @property
    def cycles(self) -> int:
        """Clock cycles since the reset."""
        return int(self._library.accelerator_cycles(self._handle))

    @property
    def interrupt(self) -> bool:
        """The interrupt line."""
        return bool(self._library.accelerator_interrupt(self._handle))

    def close(self) -> None:
        """Free the model."""
        self._library.accelerator_delete(self._handle)
