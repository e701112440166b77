"""A program in a process of its own, and what it used."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sw.workloads import Gemm


class PeerError(Exception):
    """A program cannot be installed or run; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a process and its children used.

    Attributes
    ----------
    cpu_s : user and system time.
    wall_s : start to end.
    peak_mb : largest resident set, in 10**6 bytes; at least that of the process that started it,
        which Linux passes on.
    output : standard output and standard error.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One case on one tool.

    Attributes
    ----------
    import_s : CPU seconds of a process that only imports the tool.
    usage : of the process that does the work, its imports included.
    cycles : what the tool reports.
    """

    import_s: float
    usage: Usage
    cycles: int

    @property
    def work_s(self) -> float:
        """CPU seconds without the imports."""
        return self.usage.cpu_s - self.import_s


def run(command: Sequence[str | Path], folder: Path) -> Usage:
    """Run ``command`` in ``folder`` on one thread and wait for it.

    Raises
    ------
    PeerError : it cannot be started, or its exit code is not 0.
    """
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        try:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=folder,
                env=os.environ | dict.fromkeys(threads, "1"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise PeerError(f"cannot start '{command[0]}' ({error.strerror})") from None
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read().decode(errors="replace")
    if process.returncode:
        last = (output.strip().splitlines() or ["no output"])[-1]
        raise PeerError(f"'{Path(command[0]).name}' ended with {process.returncode}: {last}")
    return Usage(
        cpu_s=used.ru_utime + used.ru_stime,
        wall_s=wall_s,
        peak_mb=used.ru_maxrss * 1024 / 1e6,
        output=output,
    )


def run_script(
    python: Path, script: Path, arguments: Sequence[str], folder: Path
) -> tuple[float, Usage]:
    """CPU seconds of a script that only imports its tool, then its use with ``arguments``.

    Raises
    ------
    PeerError : as :func:`run`.
    """
    command = [python, "-I", script]
    return run(command, folder).cpu_s, run([*command, *arguments], folder)


def printed_cycles(tool: str, usage: Usage) -> int:
    """The number on the last line of the output.

    Raises
    ------
    PeerError : there is none.
    """
    try:
        return int(usage.output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise PeerError(f"{tool} printed no cycles") from None


def row_of(
    tool: str, case: str, measure: Callable[[Sequence[Gemm]], Measurement], gemms: Sequence[Gemm]
) -> dict[str, Any]:
    """One case on one tool for tables and JSON; without figures where it cannot be measured."""
    found: dict[str, Any] = {"tool": tool, "case": case, "measured": False}
    try:
        measured = measure(gemms)
    except PeerError as error:
        return found | {"reason": str(error)}
    return found | {
        "measured": True,
        "cpu_s": measured.usage.cpu_s,
        "import_s": measured.import_s,
        "work_s": measured.work_s,
        "wall_s": measured.usage.wall_s,
        "peak_mb": measured.usage.peak_mb,
        "cycles": measured.cycles,
    }
