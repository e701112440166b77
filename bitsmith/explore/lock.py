"""One writer at a time in a study's folder; a killed one does not stand in the way."""

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from configs.errors import InputError


class Lock:
    """The right of one process to write into a folder.

    The kernel holds the lock itself and drops it with the process. Where the file system has no
    locks, the owner that the file names decides: it holds as long as that process runs.

    Raises
    ------
    InputError : another process holds it, or may hold it on another host.
    OSError : the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".lock"
        self._file = open(path, "a+b")  # noqa: SIM115 (held until release)
        try:
            held, owner = self._try(), self._owner()
            here = owner.get("host", socket.gethostname()) == socket.gethostname()
            if held is None:
                held = here and "pid" in owner and _started(owner["pid"]) == owner.get("started")
            if held or not here:
                who = "another process"
                if owner:
                    who = "process {pid} on {host}, since {since},".format_map(owner)
                hint = "" if here else f"; if it has ended, remove '{path}'"
                raise InputError(f"{who} is writing to '{folder}'{hint}")
            self._file.truncate(0)
            self._file.write(json.dumps(_this_process()).encode())
            self._file.flush()
        except BaseException:
            self._file.close()
            raise

    def _try(self) -> bool | None:
        """Whether another process holds the lock; None where there are no locks."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
        except OSError as error:
            return True if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None

    def _owner(self) -> dict[str, Any]:
        """Who holds the lock or was killed holding it; empty if nobody."""
        self._file.seek(0)
        try:
            owner = json.loads(self._file.read())
            return owner if {"pid", "host", "since", "started"} <= owner.keys() else {}
        except (ValueError, AttributeError):
            return {}

    def release(self) -> None:
        """Let others write. The file stays: removing it would race with who opens it."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()


def _this_process() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "started": _started(os.getpid()),
    }


def _started(pid: int) -> int:
    """When a process started, clock ticks since boot (proc(5), field 22); -1 if there is none.

    A process number is used again after its process has ended; number and start are not.
    """
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return -1
