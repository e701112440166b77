"""Engines: every point once, whatever happens to the workers."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bitsmith.explore import cluster, processes
from bitsmith.explore.engines import evaluate_numbers, open_engine, run_chunks, sweep_all
from bitsmith.explore.parcels import Parcel, blocks, count_points
from bitsmith.explore.space import Chunk
from bitsmith.explore.store import Store
from bitsmith.explore.table import Table
from configs.errors import InputError

from .made_up_study import made_up_space

ROOT = Path(__file__).parents[3]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """:mod:`kill_study` under the name by which a worker process finds it, too."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import kill_study

    return kill_study


def chunks(toy: ModuleType, count: int, points: int = 50) -> list[object]:
    return [toy.Points(np.arange(i * points, (i + 1) * points)) for i in range(count)]


def firsts(results: Iterator[tuple[object, Table]]) -> list[int]:
    """First numbers of the chunks that came; each has its own results."""
    found = []
    for chunk, table in results:
        assert np.array_equal(chunk.numbers, table.numbers)  # type: ignore[attr-defined]
        found.append(int(table.numbers[0]))
    return found


class Making:
    """A factory that counts its calls."""

    def __init__(self, runner: object) -> None:
        self.runner, self.calls = runner, 0

    def __call__(self) -> object:
        self.calls += 1
        return self.runner


def test_one_worker_is_this_process(toy: ModuleType, tmp_path: Path) -> None:
    factory = Making(toy.Runner(tmp_path))
    source = iter(chunks(toy, 5))
    results = run_chunks(factory, source)
    next(results)
    assert len(list(source)) == 4  # no chunk is taken before it is needed
    assert firsts(run_chunks(factory, chunks(toy, 5))) == [0, 50, 100, 150, 200]
    assert factory.calls == 2
    workers = {line.split()[0] for p in tmp_path.iterdir() for line in p.read_text().splitlines()}
    assert workers == {str(os.getpid())}


def test_workers_that_die(toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is killed once, in the middle of chunk 3; later each that takes chunk 30 is."""
    monkeypatch.setattr(processes, "RETRIES", 1)
    found, taken = [], []

    def source() -> Iterator[object]:
        for chunk in chunks(toy, 30):
            taken.append(chunk)
            assert len(taken) <= len(found) + 4 + 2  # in flight, and results not yet counted
            yield chunk

    factory = toy.partial(toy.Runner, tmp_path, kills_once=170, kills=1500)
    with open_engine(factory, workers=2) as engine:
        for chunk, table in engine.run(source()):
            assert np.array_equal(chunk.numbers, table.numbers)
            found.append(int(table.numbers[0]))
        assert sorted(found) == list(range(0, 1500, 50))
        message = r"workers died 2 times on points 1500\.\.1549 \(killed by SIGKILL\); if memory"
        with pytest.raises(InputError, match=message):
            firsts(engine.run(chunks(toy, 31)[-1:]))
    seen = {int(p.name[5:]): p.read_text().splitlines() for p in tmp_path.glob("seen-*")}
    assert {first for first, lines in seen.items() if len(lines) == 2} == {150, 1500}
    pids = {line.split()[0] for lines in seen.values() for line in lines}
    assert len(pids) == 3 and str(os.getpid()) not in pids


def test_an_exception_comes_through_and_workers_go_on(toy: ModuleType) -> None:
    """It has the class it had; an engine that was left early serves again."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    environment = dict(os.environ)
    with open_engine(toy.partial(toy.Runner, fails=120), workers=2) as engine:
        with pytest.raises(ArithmeticError, match="point 120 fails") as caught:
            firsts(engine.run(chunks(toy, 5)))
        assert "in a worker process:\nTraceback" in caught.value.__notes__[0]
        assert firsts(engine.run(chunks(toy, 1))) == [0]
        assert firsts(engine.run([])) == []
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert dict(os.environ) == environment


def test_wrong_engines(toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="workers is 0, at least 1"):
        firsts(run_chunks(toy.Runner, [], workers=0))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"bitsmith\[cluster\]"):
        firsts(run_chunks(toy.Runner, [], scheduler="tcp://127.0.0.1:1"))


@pytest.mark.parametrize("address", ["nonsense", "tcp://host", "tcp://host:port", "tcp://", ""])
def test_an_address_without_a_port_is_refused_at_once(toy: ModuleType, address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(InputError, match="is no address of a Dask scheduler: "):
        firsts(run_chunks(toy.Runner, [], scheduler=address))


class Numbers:
    """A runner that says nothing of its points."""

    def run(self, chunk: Chunk) -> Table:
        return Table(
            numbers=chunk.numbers, metrics={}, reasons=("",), reason=np.zeros(len(chunk), np.int64)
        )


class TestSweep:
    """All points of a space, by way of the store."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path / "study", "key")

    @pytest.mark.parametrize("class_size", [1, 7, 2048, 20000])
    @pytest.mark.parametrize("classes", [11, 200])
    def test_blocks_are_all_points_that_count(
        self, toy: ModuleType, class_size: int, classes: int
    ) -> None:
        space = toy.Toy(size=class_size * classes, class_size=class_size)
        cut = list(blocks(space))
        assert np.array_equal(np.concatenate(cut), space.counted)
        assert all(0 < len(numbers) <= 16384 for numbers in cut)
        assert count_points(space) == len(space.counted)

    def test_a_real_space(self, tmp_path: Path) -> None:
        """It is cut, sent to workers, and recognised as the toy is."""
        space = made_up_space(constraints=("accelerator.rows * accelerator.cols <= 256",))
        numbers = np.arange(space.size)
        counted = numbers[space.allowed(numbers)]
        assert (
            0 < len(counted) < space.size == count_points(space) + (~space.allowed(numbers)).sum()
        )
        for resume in (False, True):
            with Store.open(tmp_path, pickle.loads(pickle.dumps(space)), resume=resume) as store:
                tables = list(sweep_all(space, lambda: Numbers(), store))
            assert np.array_equal(Table.joined(tables).numbers, counted)
        assert sum(map(len, tables)) == store.points == len(counted)
        chunk = space.group(counted)[0]
        again = pickle.loads(pickle.dumps(chunk))
        assert again.settings == chunk.settings and again.columns.keys() == chunk.columns.keys()

    def test_stored_points_are_not_evaluated_again(
        self, toy: ModuleType, store: Store, tmp_path: Path
    ) -> None:
        space = toy.Toy(size=4 * 16384)
        told: list[tuple[int, bool]] = []

        class Progress:
            def advance(self, table: Table, *, stored: bool = False) -> None:
                assert store.count > len(told) or stored
                told.append((int(table.numbers[0]), stored))

        runner = toy.Runner(tmp_path)
        sweep = sweep_all(space, lambda: runner, store, progress=Progress())
        first = [next(sweep), next(sweep)]
        sweep.close()
        assert store.count == 2
        (damaged, _) = sorted(tmp_path.glob("study/points/*/*.npz"))
        damaged.write_bytes(b"")
        number, last = map(int, damaged.name.split("-")[:2])
        told.clear()
        tables = list(sweep_all(space, lambda: runner, store, progress=Progress()))
        assert np.array_equal(Table.joined(tables).numbers, space.counted)
        assert sum(map(len, tables)) == len(space.counted)
        assert [t[0] for t in told if t[1]] == [
            int(t.numbers[0]) for t in first if t.numbers[0] != number
        ]
        evaluated = {int(p.name[5:]): len(p.read_text().splitlines()) for p in
                     tmp_path.glob("seen-*")}  # fmt: skip
        again = [count for start, count in evaluated.items() if number <= start <= last]
        assert set(again) == {2} and sum(evaluated.values()) == len(evaluated) + len(again)

    def test_points_of_a_search(self, toy: ModuleType, store: Store, tmp_path: Path) -> None:
        space, runner = toy.Toy(), toy.Runner(tmp_path)
        with open_engine(lambda: runner) as engine:
            one = evaluate_numbers(space, engine, store, np.array([5000, 1, 4]))
            two = evaluate_numbers(space, engine, store, np.array([5000, 9000]))
        assert one.numbers.tolist() == [1, 4, 5000] and two.numbers.tolist() == [5000, 9000]
        assert sorted(p.name for p in tmp_path.glob("seen-*")) == [
            "seen-1", "seen-5000", "seen-9000",
        ]  # fmt: skip
        assert len((tmp_path / "seen-5000").read_text().splitlines()) == 1
        assert store.points == 4

    def test_a_parcel_is_evaluated_chunk_by_chunk(self, toy: ModuleType) -> None:
        space = toy.Toy()
        numbers = next(blocks(space))
        parcel = Parcel(numbers=numbers, chunks=tuple(space.group(numbers)))
        assert len(parcel.chunks) == 3
        ((_, table),) = run_chunks(toy.Runner, [parcel])
        whole = toy.run_toy(toy.Points(numbers))
        assert table.metrics["latency_s"].tobytes() == whole.metrics["latency_s"].tobytes()
        assert np.array_equal(
            np.array(table.reasons)[table.reason], np.array(whole.reasons)[whole.reason]
        )


class TestCluster:
    """Two workers of a Dask scheduler, one of them killed."""

    @pytest.fixture
    def address(self) -> Iterator[str]:
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", protocol="tcp://"
        ) as scheduler:
            yield scheduler.scheduler_address

    @staticmethod
    def worker(address: str, folder: Path) -> "subprocess.Popen[bytes]":
        """A worker for which the source is what it is for the test, whatever is edited."""
        same = "from bitsmith.explore import cluster; cluster.code_hash = lambda: 'source'"
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny",
             "--nthreads", "2", "--no-dashboard", "--local-directory", folder, "--preload", same],
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def test_a_killed_worker(
        self, toy: ModuleType, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "code_hash", lambda: "source")
        factory = toy.partial(toy.Runner, tmp_path, kills_once=270)
        with ExitStack() as workers:
            for _ in range(2):
                workers.callback(
                    lambda worker: (worker.kill(), worker.wait()),
                    self.worker(address, tmp_path / "scratch"),
                )
            with open_engine(factory, scheduler=address) as engine:
                engine._client.wait_for_workers(2, timeout=60)  # type: ignore[attr-defined]
                assert sorted(firsts(engine.run(chunks(toy, 40)))) == [*range(0, 2000, 50)]
                again = engine.run(chunks(toy, 3, points=60))
                next(again)
                again.close()  # left early
        seen = {int(p.name[5:]): p.read_text().splitlines() for p in tmp_path.glob("seen-*")}
        killed, other = (line.split()[0] for line in seen[250])
        assert killed != other
        pids = {line.split()[0] for lines in seen.values() for line in lines}
        assert pids == {killed, other}

    def test_another_source(self, toy: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster, "_own_code", lambda: "source")
        run = partial(
            cluster._on_cluster, "study", pickle.dumps(toy.Runner), item=chunks(toy, 1)[0]
        )
        with pytest.raises(InputError, match="a worker of the cluster has another version"):
            run(code="other source")
        assert len(run(code="source")) == 50

    def test_no_workers(
        self, toy: ModuleType, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "_CONNECT_S", 1)
        with pytest.raises(InputError, match=r"the scheduler at 'tcp://.*' has no workers"):
            firsts(run_chunks(toy.Runner, chunks(toy, 1), scheduler=address))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x"])
def test_no_scheduler(toy: ModuleType, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    with pytest.raises(InputError, match=f"no Dask scheduler answers at '{address}'"):
        firsts(run_chunks(toy.Runner, [], scheduler=address))
