"""A small study that tests kill: a space, a runner, and a program around both.

``kill_study.py FOLDER WORKERS`` runs or resumes it and prints a line for each table. Without
arguments it takes such orders line by line, with a number of tables after which, and the seconds
then until it is killed, and works on each in a copy of itself: nothing has to be imported again.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from bitsmith.explore.engines import sweep_all
from bitsmith.explore.space import Space
from bitsmith.explore.store import Store
from bitsmith.explore.table import Table
from configs.sweep import SweepConfig


@dataclass(frozen=True, eq=False)
class Points:
    """A chunk."""

    numbers: np.ndarray


@dataclass(frozen=True)
class Toy:
    """A space; every seventh point does not count."""

    size: int = 24 * 16384
    class_size: int = 2048
    key: str = "toy"

    def allowed(self, numbers: np.ndarray) -> np.ndarray:
        return numbers % 7 != 3

    def group(self, numbers: np.ndarray) -> list[Points]:
        cuts = np.flatnonzero(np.diff(numbers // self.class_size)) + 1
        return [Points(part) for part in np.split(numbers, cuts) if len(part)]

    @property
    def counted(self) -> np.ndarray:
        """All numbers that count."""
        numbers = np.arange(self.size)
        return numbers[self.allowed(numbers)]


def run_toy(chunk: Points) -> Table:
    """Metrics with many digits, points without a figure, two reasons in an order that differs."""
    numbers = chunk.numbers
    reason = np.where(numbers % 5 == 0, 1, 0) + np.where(numbers % 15 == 0, 1, 0)
    reasons = ("", "area_mm2 is over 2", "the clock is 400 MHz, \u201ctoo fast\u201d")
    if len(numbers) and numbers[0] // 2048 % 2:
        reasons, reason = (reasons[0], *reasons[:0:-1]), np.array([0, 2, 1])[reason]
    latency = np.sqrt(numbers + 1.0) / 3
    return Table(
        numbers=numbers,
        metrics={
            "latency_s": np.where(reason == 0, latency, np.nan),
            "tokens_per_s": np.exp(-latency / 100),
        },
        reasons=reasons,
        reason=reason,
    )


@dataclass(frozen=True)
class Runner:
    """Evaluates; some points are special, for tests of engines.

    Attributes
    ----------
    kills_once : the process that comes to that point first is killed there.
    kills : every process that comes to that point is.
    fails : the point where an exception is raised.
    folder : remembers that a process was killed, and who worked on what.
    """

    folder: Path | None = None
    kills_once: int = -1
    kills: int = -1
    fails: int = -1

    def run(self, chunk: Points) -> Table:
        if self.folder is not None:
            first = chunk.numbers[0]
            with (self.folder / f"seen-{first}").open("a") as file:
                print(os.getpid(), threading.get_ident(), file=file)
            if self.kills in chunk.numbers:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.kills_once in chunk.numbers and self._is_first():
                os.kill(os.getpid(), signal.SIGKILL)
        if self.fails in chunk.numbers:
            raise ArithmeticError(f"point {self.fails} fails")
        return run_toy(chunk)

    def _is_first(self) -> bool:
        assert self.folder is not None
        try:
            (self.folder / "killed").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def space_of(kind: str) -> Toy | Space:
    """``toy``, or ``real``, whose points are evaluated as those of a toy."""
    if kind == "toy":
        return Toy()
    axes = {"accelerator.lanes": [1, 2, 4, 8], "workload.batch": {"range": [1, 8, 1]},
            "accelerator.rows": [2, 4, 8], "accelerator.cols": {"range": [1, 64, 1]}}  # fmt: skip
    base = {"workload": "llama2_7b", "quantization": "int4", "accelerator": "tiny_4x4x4",
            "technology": "generic_28nm"}  # fmt: skip
    sweep = SweepConfig(
        name="real",
        description="to be killed",
        base=base,
        axes=axes,
        constraints=("accelerator.rows * accelerator.cols <= 128",),
        objectives=("latency_s", "area_mm2"),
    )
    return Space.of(sweep, Path())


def study(folder: Path, workers: int = 1, kind: str = "toy") -> Iterator[Table]:
    """Run or resume; whatever is edited meanwhile, the source counts as the same."""
    with patch("bitsmith.explore.store.code_hash", return_value="source"):
        space = space_of(kind)
        store = Store.open(folder, space, resume=True)
    with closing(store):
        yield from sweep_all(space, Runner, store, workers=workers)


def main(
    folder: str, workers: int, after: int = -1, seconds: float = 0.0, kind: str = "toy"
) -> int:
    """The program; its end is that of ``bitsmith explore``."""
    try:
        for place, _ in enumerate(study(Path(folder), workers, kind)):
            print(place, flush=True)
            if place == after:
                threading.Timer(seconds, partial(os.kill, os.getpid(), signal.SIGKILL)).start()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def serve() -> None:
    """Take orders: folder, workers, tables, seconds, kind of space."""
    for line in sys.stdin:
        folder, workers, after, seconds, kind = line.rstrip().split("\t")
        child = os.fork()
        if not child:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
            os._exit(main(folder, int(workers), int(after), float(seconds), kind))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        sys.exit(main(sys.argv[1], int(sys.argv[2])))
