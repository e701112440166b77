"""Studies that are killed, and go on."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitsmith.explore.table import Table

from . import kill_study

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, kill_study.__file__]


def start(*arguments: str) -> "subprocess.Popen[str]":
    """The program of :mod:`kill_study`, at the head of a process group of its own."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def assert_equal(one: Table, other: Table) -> None:
    """The same points with the same bits and the same reasons."""
    assert one.numbers.tobytes() == other.numbers.tobytes()
    assert list(one.metrics) == list(other.metrics)
    for name, column in one.metrics.items():
        assert column.tobytes() == other.metrics[name].tobytes(), name
    texts = [np.array(table.reasons)[table.reason] for table in (one, other)]
    assert np.array_equal(*texts)


def files(folder: Path) -> dict[str, bytes]:
    """Every file of results."""
    return {path.name: path.read_bytes() for path in (folder / "points").glob("*/[0-9]*.npz")}


def undisturbed(folder: Path, kind: str) -> Path:
    """A study that nobody kills, with a file for each table, and each point once."""
    tables = list(kill_study.study(folder, kind=kind))
    joined = Table.joined(tables)
    space = kill_study.space_of(kind)
    numbers = np.arange(space.size)
    assert np.array_equal(joined.numbers, numbers[space.allowed(numbers)])
    assert sum(map(len, tables)) == len(joined)
    assert len(files(folder)) == len(tables) > 20
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of the toy space."""
    return undisturbed(tmp_path_factory.mktemp("whole"), "toy")


def assert_same_study(folder: Path, whole: Path, kind: str = "toy") -> None:
    """Resumed to its end, the study is the undisturbed one: its tables, and its very bytes."""
    resumed, other = (Table.joined(list(kill_study.study(f, kind=kind))) for f in (folder, whole))
    assert_equal(resumed, other)
    assert files(folder) == files(whole)


@pytest.mark.parametrize("kind", ["toy", "real"])
def test_killed_at_random_moments(tmp_path: Path, kind: str) -> None:
    chance, ends, stored = random.Random(11), [], [0]
    whole, folder = undisturbed(tmp_path / "whole", kind), tmp_path / "killed"
    with start() as server:
        assert server.stdin is not None and server.stdout is not None
        for _ in range(10):
            order = (folder, 1, stored[-1] + chance.randrange(2), chance.uniform(0, 0.03), kind)
            print(*order, sep="\t", file=server.stdin, flush=True)
            ends.append(int(server.stdout.readline()))
            stored.append(len(files(folder)))
        server.communicate()
    assert -signal.SIGKILL in ends and stored[1] > 0
    assert set(ends) <= {0, -signal.SIGKILL}
    assert stored == sorted(stored)
    assert_same_study(folder, whole, kind)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
@pytest.mark.parametrize("done", [False, True])
def test_killed_while_a_file_is_written(
    tmp_path: Path, whole: Path, moment: str, done: bool
) -> None:
    """Before or after the step, in the third file."""
    child = os.fork()
    if not child:
        step, count = getattr(os, moment), 0
        calls = {"fsync": 5, "replace": 3}[moment]  # the folder is brought to the disk, too

        def killing(*arguments: object) -> None:
            nonlocal count
            count += "store.json" not in str(arguments[-1])
            if done:
                step(*arguments)
            if count == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            if not done:
                step(*arguments)

        setattr(os, moment, killing)
        os._exit(kill_study.main(str(tmp_path), 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(files(tmp_path)) == (3 if done and moment == "replace" else 2)
    assert_same_study(tmp_path, whole)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_study(tmp_path: Path, whole: Path, how: signal.Signals) -> None:
    """Ctrl-C reaches all processes of a terminal, a kill only the first."""
    with start(str(tmp_path), "2") as program:
        assert program.stdout is not None
        lines = [program.stdout.readline() for _ in range(3)]
        kill = os.killpg if how == signal.SIGINT else os.kill
        kill(program.pid, how)
        rest, errors = program.communicate(timeout=60)  # nobody is left who could write
    assert lines == ["0\n", "1\n", "2\n"]
    if how == signal.SIGINT:
        assert (program.returncode, errors) == (130, "interrupted\n")
    else:
        assert (program.returncode, errors) == (-signal.SIGKILL, "")
    assert 3 + rest.count("\n") <= len(files(tmp_path)) < len(files(whole))
    assert_same_study(tmp_path, whole)
