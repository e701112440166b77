"""The store: what it keeps, finds again, refuses, and survives."""

import errno
import fcntl
import json
import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bitsmith.explore.lock import Lock
from bitsmith.explore.store import Store
from bitsmith.explore.table import Table
from configs.errors import InputError

from .kill_study import Points, Toy, run_toy

ODD = np.array([0.1, -0.0, np.inf, -np.inf, np.nan, 5e-324, np.nextafter(1.0, 2.0)])


def chunk(*numbers: int) -> Points:
    return Points(np.array(numbers, dtype=np.int64))


def span(first: int, stop: int) -> Points:
    return Points(np.arange(first, stop, dtype=np.int64))


@pytest.fixture(autouse=True)
def _same_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitsmith.explore.store.code_hash", lambda: "source")


def test_keeps_every_bit(tmp_path: Path) -> None:
    table = Table(
        numbers=np.arange(7) + (1 << 61),
        metrics={"latency_s": ODD, "area_mm2": ODD[::-1]},
        reasons=("", "too large: 5 \u00b5m\u00b2", "\udcff from a file's name"),
        reason=np.array([0, 1, 2, 0, 1, 2, 0]),
    )
    Store(tmp_path, "key").put(Points(table.numbers), table)
    found = Store(tmp_path, "key").get(Points(table.numbers))
    assert found is not None
    assert found.numbers.tobytes() == table.numbers.tobytes()
    assert found.reason.tobytes() == table.reason.tobytes()
    assert found.reasons == table.reasons
    assert list(found.metrics) == list(table.metrics)
    for name, column in table.metrics.items():
        assert found.metrics[name].dtype == np.float64
        assert found.metrics[name].tobytes() == column.tobytes()


def test_knows_a_chunk_by_its_points_and_its_study(tmp_path: Path) -> None:
    store = Store(tmp_path, "key")
    store.put(span(0, 10), run_toy(span(0, 10)))
    store.put(span(0, 10), run_toy(span(0, 10)))
    assert (store.count, store.points) == (1, 10)
    assert store.has(chunk(*reversed(range(10))))
    others = [chunk(0, 1, 2, 3, 4, 5, 6, 7, 8, 10), span(0, 9), span(1, 11)]
    assert not any(store.has(other) or store.get(other) for other in others)
    other_study = Store(tmp_path, "other key")
    assert not other_study.has(span(0, 10))


def test_refuses_results_of_other_points(tmp_path: Path) -> None:
    store = Store(tmp_path, "key")
    with pytest.raises(ValueError, match=r"other points than points 0\.\.9"):
        store.put(span(0, 10), run_toy(span(0, 9)))
    assert store.count == 0


def test_a_damaged_file_is_as_none(tmp_path: Path) -> None:
    """Any byte that is changed is noticed or changes nothing; any cut is noticed."""
    chance, points = random.Random(3), span(0, 20)
    store = Store(tmp_path, "key")
    store.put(points, run_toy(points))
    (path,) = tmp_path.glob("points/*/*.npz")
    data = path.read_bytes()

    def bits(table: Table | None) -> object:
        assert table is not None
        columns = {name: column.tobytes() for name, column in table.metrics.items()}
        return table.numbers.tobytes(), table.reason.tobytes(), table.reasons, columns

    right, noticed = bits(store.get(points)), 0
    tries = chance.sample(range(len(data)), 400)
    for place in tries:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        again = Store(tmp_path, "key")
        found = again.get(points)
        if found is None:
            noticed += 1
            assert not path.exists() and again.count == 0
        else:
            assert bits(found) == right
    assert noticed > len(tries) / 2
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        assert Store(tmp_path, "key").get(points) is None
    path.write_bytes(data)
    store = Store(tmp_path, "key")
    path.unlink()
    assert store.get(points) is None and not store.has(points)


def test_a_file_that_is_read_in_part_is_as_none(tmp_path: Path) -> None:
    """A shape that says less than there is: what is read is fine, its checksum is not."""
    points = span(0, 4000)
    store = Store(tmp_path, "key")
    store.put(points, run_toy(points))
    (path,) = tmp_path.glob("points/*/*.npz")
    data, shape = path.read_bytes(), b"(4000,)"
    places = [place for place in range(len(data)) if data.startswith(shape, place)]
    assert len(places) == 2
    for place in places:
        path.write_bytes(data[:place] + b"(2000,)" + data[place + len(shape) :])
        assert Store(tmp_path, "key").get(points) is None


def test_a_file_under_another_name_is_as_none(tmp_path: Path) -> None:
    store = Store(tmp_path, "key")
    store.put(span(0, 10), run_toy(span(0, 10)))
    store.put(span(10, 20), run_toy(span(10, 20)))
    one, two = tmp_path.glob("points/*/*.npz")
    one.write_bytes(two.read_bytes())
    assert sum(store.get(points) is not None for points in (span(0, 10), span(10, 20))) == 1


def test_tables_come_in_order(tmp_path: Path) -> None:
    store = Store(tmp_path, "key")
    for points in (span(20, 30), span(0, 10), chunk(40, 45, 60), chunk(42, 50), span(10, 20)):
        store.put(points, run_toy(points))
    tables = list(Store(tmp_path, "key").tables())
    assert [len(table) for table in tables] == [10, 10, 10, 5]
    numbers = np.concatenate([table.numbers for table in tables])
    assert numbers.tolist() == [*range(30), 40, 42, 45, 50, 60]
    assert list(Store(tmp_path / "nothing", "key").tables()) == []


def test_many_chunks_take_the_memory_of_one(tmp_path: Path) -> None:
    store = Store(tmp_path, "key")
    size, many = 2000, 60
    for first in range(0, many * size, size):
        points = span(first, first + size)
        store.put(points, run_toy(points))
    assert len(list((tmp_path / "points").iterdir())) > 10  # no folder of thousands
    one = sum(path.stat().st_size for path in tmp_path.glob("points/*/*.npz")) / many
    store = Store(tmp_path, "key")
    tracemalloc.start()
    try:
        seen = sum(len(table) for table in store.tables())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == many * size
    assert peak < 12 * one


def test_listing_reads_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path, "key").put(span(0, 10), run_toy(span(0, 10)))
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    store = Store(tmp_path, "key")
    assert (store.count, store.points, store.has(span(0, 10))) == (1, 10, True)


class TestOpen:
    """Who may write into a folder."""

    def test_resume_only_if_asked(self, tmp_path: Path) -> None:
        with Store.open(tmp_path / "new", Toy(), resume=False) as store:
            store.put(span(0, 10), run_toy(span(0, 10)))
        with pytest.raises(InputError, match=r"already holds results of 10 points: .*--resume"):
            Store.open(tmp_path / "new", Toy(), resume=False)
        with Store.open(tmp_path / "new", Toy(), resume=True) as store:
            assert store.has(span(0, 10))

    @pytest.mark.parametrize("resume", [True, False])
    def test_not_another_study(
        self, tmp_path: Path, resume: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Store.open(tmp_path, Toy(), resume=False):
            pass
        with Store.open(tmp_path, Toy(key="other"), resume=False) as store:  # nothing was stored
            store.put(span(0, 10), run_toy(span(0, 10)))
        with pytest.raises(InputError, match="results of another study: give another folder"):
            Store.open(tmp_path, Toy(), resume=resume)
        monkeypatch.setattr("bitsmith.explore.store.code_hash", lambda: "other source")
        with pytest.raises(InputError, match="another version of bitsmith: give another folder"):
            Store.open(tmp_path, Toy(key="other"), resume=resume)
        (tmp_path / "store.json").write_text("{")
        with pytest.raises(InputError, match="another study"):
            Store.open(tmp_path, Toy(key="other"), resume=resume)

    def test_leftovers_of_a_killed_writer_go(self, tmp_path: Path) -> None:
        (tmp_path / "points" / "ab").mkdir(parents=True)
        left = tmp_path / "points" / "ab" / ".0-9-10-ab.npz.4711"
        left.write_bytes(b"half")
        with Store.open(tmp_path, Toy(), resume=False) as store:
            assert store.count == 0 and not left.exists()

    def test_one_writer(self, tmp_path: Path) -> None:
        with Store.open(tmp_path, Toy(), resume=True):
            with pytest.raises(InputError, match=rf"process {os.getpid()} on .* is writing to"):
                Store.open(tmp_path, Toy(), resume=True)
            assert Store(tmp_path, "key").count == 0  # readers are free
        Store.open(tmp_path, Toy(), resume=True).close()

    def test_a_failed_open_leaves_no_lock(self, tmp_path: Path) -> None:
        with Store.open(tmp_path, Toy(), resume=True) as store:
            store.put(span(0, 10), run_toy(span(0, 10)))
        for _ in range(2):
            with pytest.raises(InputError, match="already holds"):
                Store.open(tmp_path, Toy(), resume=False)

    def test_unwritable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file", tmp_path / "file" / "study"):
            with pytest.raises(InputError, match=r"cannot write '.*file"):
                Store.open(folder, Toy(), resume=False)
        store = Store.open(tmp_path / "study", Toy(), resume=False)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match=r"cannot write '.*npz': No space left on device"):
            store.put(span(0, 10), run_toy(span(0, 10)))
        store.close()
        assert store.count == 0
        assert [path for path in tmp_path.glob("study/points/*/*")] == []


class TestLock:
    """A dead owner is recognised, a living one respected."""

    @pytest.fixture(params=[True, False], ids=["locks", "no locks"])
    def _locks(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
        """Also on a file system without locks."""
        if not request.param:

            def none(*_: object) -> None:
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

            monkeypatch.setattr(fcntl, "flock", none)
        return bool(request.param)

    @pytest.fixture
    def owner(self, tmp_path: Path) -> dict[str, object]:
        """What a lock's file says of this process."""
        lock = Lock(tmp_path)
        text = (tmp_path / ".lock").read_text()
        lock.release()
        return dict(json.loads(text))

    def test_living(self, tmp_path: Path, _locks: bool) -> None:
        lock = Lock(tmp_path)
        with pytest.raises(InputError, match=rf"process {os.getpid()} on "):
            Lock(tmp_path)
        lock.release()
        Lock(tmp_path).release()

    def test_living_but_not_yet_named(self, tmp_path: Path) -> None:
        with (tmp_path / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(InputError, match="another process is writing to"):
                Lock(tmp_path)
        Lock(tmp_path).release()

    @pytest.mark.parametrize("dead", ["ended", "number used again"])
    def test_dead(self, tmp_path: Path, owner: dict[str, object], dead: str, _locks: bool) -> None:
        if dead == "ended":
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            owner["pid"] = child
        else:
            owner["started"] = int(str(owner["started"])) - 1
        (tmp_path / ".lock").write_text(json.dumps(owner))
        Lock(tmp_path).release()

    def test_another_host(self, tmp_path: Path, owner: dict[str, object], _locks: bool) -> None:
        (tmp_path / ".lock").write_text(json.dumps(owner | {"host": "elsewhere"}))
        with pytest.raises(InputError, match=r"on elsewhere, .*; if it has ended, remove '.*lock'"):
            Lock(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
    def test_unreadable(self, tmp_path: Path, text: str, _locks: bool) -> None:
        (tmp_path / ".lock").write_text(text)
        Lock(tmp_path).release()


def test_lists_fast_what_1e7_points_take(tmp_path: Path) -> None:
    """611 files and more are listed by name: their contents need not even be there."""

    def entries() -> Iterator[SimpleNamespace]:
        for first in range(0, 10_000_000, 16384):
            yield SimpleNamespace(first=first, digest=f"{first * 0x9E3779B97F4A7C15 % 2**128:032x}")

    for entry in entries():
        folder = tmp_path / "points" / entry.digest[:2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{entry.first}-{entry.first + 16383}-16384-{entry.digest}.npz").touch()
    listed = Store(tmp_path, "key")
    assert listed.count == 611 and listed.points == 611 * 16384
    assert list(listed.tables()) == []  # all of them damaged
    assert listed.count == 0
