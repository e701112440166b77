"""Registers in the memory of this computer, streams by a DMA of your own.

Needs nothing but Python's standard library.
"""

import ctypes
import mmap
import os
from collections.abc import Callable
from pathlib import Path


class MemoryMapped:
    """Backend of the driver for Linux on the same chip.

    Parameters
    ----------
    path : ``/dev/uio0``, ``/dev/mem``, or an ordinary file for trials.
    dma : moves the streams, as ``Backend.transfer`` says.
    offset : where in the file the registers begin, a multiple of the page size.
    size : bytes to map.

    On a bus that answers a refused access (SLVERR) with a fault of the processor, that is what you
    get: the driver only starts jobs when STATUS says that the accelerator is ready.
    """

    def __init__(
        self,
        path: str | Path,
        dma: Callable[[list[bytes], list[bytes], int], bytes],
        *,
        offset: int = 0,
        size: int = mmap.PAGESIZE,
    ) -> None:
        self.transfer = dma
        descriptor = os.open(path, os.O_RDWR | os.O_SYNC)
        try:
            self._memory = mmap.mmap(descriptor, size, offset=offset)
        finally:
            os.close(descriptor)
        # one 32-bit access each, which slices of bytes would not promise
        self._words = (ctypes.c_uint32 * (size // 4)).from_buffer(self._memory)

    def write(self, address: int, value: int) -> None:
        """Write a register."""
        self._words[address // 4] = value

    def read(self, address: int) -> int:
        """Read a register."""
        return int(self._words[address // 4])

    def close(self) -> None:
        """Give the memory back."""
        del self._words
        self._memory.close()
