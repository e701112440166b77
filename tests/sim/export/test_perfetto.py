"""The trace file: what is in it is what happened, and Chrome's format holds."""

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sim import trace_gemm
from sim.export import write_perfetto
from sim.export.perfetto import UNITS
from sim.trace import EVENT, KINDS, Trace

from ..test_buffers import machines, shapes

NAMES = {"process_name", "process_sort_index", "thread_name", "thread_sort_index"}
events = st.lists(
    st.tuples(
        st.integers(0, len(KINDS) - 1), st.integers(0, 5), st.integers(-1, 4),
        st.integers(0, 40), st.integers(1, 20),
    ),
    max_size=40,
)  # fmt: skip


def trace(rows: list[tuple[int, ...]], total: int = 100) -> Trace:
    return Trace(events=np.array(rows, dtype=EVENT), total_cycles=total)


def written(jobs, **more) -> dict:
    """What a strict reader finds in the file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        count = write_perfetto(path, jobs, **({"name": "n", "clock_mhz": 300.0} | more))
        content = json.loads(path.read_text(), parse_constant=pytest.fail)
        assert list(Path(folder).iterdir()) == [path]
    assert count == sum(event["ph"] == "X" for event in content["traceEvents"])
    return content


def check_format(content: dict) -> list[dict]:
    """Chrome's rules, and those of the trace's own; returns the spans."""
    assert content["displayTimeUnit"] in ("ms", "ns")
    spans, threads = [], set()
    for event in content["traceEvents"]:
        assert type(event["pid"]) is int and type(event["tid"]) is int
        assert isinstance(event["args"], dict)
        if event["ph"] == "M":
            assert event["name"] in NAMES
            assert "ts" not in event
            if event["name"] == "thread_name":
                assert (event["pid"], event["tid"]) not in threads, "a thread is named once"
                threads.add((event["pid"], event["tid"]))
            continue
        assert event["ph"] == "X"
        assert isinstance(event["name"], str) and isinstance(event["cat"], str)
        assert type(event["ts"]) is int and type(event["dur"]) is int  # whole cycles: exact
        assert event["ts"] >= 0 and event["dur"] >= 1
        assert event["args"]["cycles"] == event["dur"]
        assert (event["pid"], event["tid"]) in threads, "a thread is named before it is used"
        spans.append(event)
    assert [span["ts"] for span in spans] == sorted(span["ts"] for span in spans)
    busy: dict[tuple[int, int], int] = {}
    for span in spans:
        thread = span["pid"], span["tid"]
        assert span["ts"] >= busy.get(thread, 0), "two spans of a thread overlap"
        busy[thread] = span["ts"] + span["dur"]
    return spans


@settings(deadline=None)
@given(st.lists(st.tuples(events, st.integers(0, 9)), min_size=1, max_size=3))
def test_every_event_is_there_once(jobs) -> None:
    """Any events, those that overlap within a kind too."""
    free, given_jobs, expected = 0, [], Counter()
    for index, (rows, pause) in enumerate(jobs):
        offset = free + pause
        expected["job", None, None, offset, 100] += 1
        for kind, tile, group, start, cycles in rows:
            expected[KINDS[kind], tile, group, offset + start, cycles] += 1
        given_jobs.append((f"job {index}", offset, trace(rows)))
        free = offset + 100
    spans = check_format(written(iter(given_jobs)))
    found = Counter()
    for span in spans:
        at = (span["ts"], span["dur"])
        if span["cat"] == "job":
            found["job", None, None, *at] += 1
            continue
        group = span["args"].get("group", -1)
        found[span["cat"], span["args"]["tile"], group, *at] += 1
        named = f"tile {span['args']['tile']}" if group == -1 else f"group {group}"
        assert span["name"] == named
    assert found == expected


def test_one_process_per_unit_one_thread_per_kind() -> None:
    assert sorted(kind for kinds in UNITS.values() for kind in kinds) == sorted(KINDS)
    rows = [(kind, 0, 0, 10 * kind, 5) for kind in range(len(KINDS))]
    content = written([("a", 0, trace(rows))])
    meta = [event for event in content["traceEvents"] if event["ph"] == "M"]
    processes = {e["pid"]: e["args"]["name"] for e in meta if e["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in meta if e["name"] == "thread_name"}
    assert len(threads) == len(KINDS) + 1
    assert not {tid for _, tid in threads} & set(processes)
    for span in check_format(content):
        unit = processes[span["pid"]].split()[0]
        thread = threads[span["pid"], span["tid"]]
        assert span["cat"] == "job" or span["cat"] in UNITS[unit]
        assert span["cat"].removeprefix("wait_") == thread


def test_overlaps_get_a_thread_of_their_own() -> None:
    """Three at once take three threads, named; a fourth one later reuses the first."""
    rows = [(2, 0, 0, 0, 10), (2, 0, 1, 2, 10), (2, 0, 2, 4, 10), (2, 0, 3, 10, 2)]
    content = written([("a", 0, trace(rows))])
    spans = [span for span in check_format(content) if span["cat"] == "dequantize"]
    assert [span["tid"] - spans[0]["tid"] for span in spans] == [0, 20, 40, 0]
    other = trace([(2, 0, 0, 0, 10)])
    check_format(written([("a", 0, trace(rows)), ("b", 100, other), ("c", 200, trace(rows))]))
    names = [e["args"]["name"] for e in content["traceEvents"] if e["name"] == "thread_name"]
    assert names[-2:] == ["dequantize (2)", "dequantize (3)"]


def test_times_are_cycles_at_any_clock() -> None:
    """Also those far beyond what a float has bits for below a microsecond."""
    late = 7_000_000_000_001
    for clock in (1000.0, 333.3):
        content = written([("a", late, trace([(0, 0, -1, 3, 5)]))], clock_mhz=clock)
        assert content["otherData"] == {
            "name": "n", "clock_mhz": clock, "time_unit": "1 us of the trace is 1 clock cycle",
        }  # fmt: skip
        assert [span["ts"] for span in check_format(content)] == [late, late + 3]


def test_hostile_names() -> None:
    evil = 'a"\\\n</script>é%d'
    content = written([(evil, 0, trace([]))], name=evil)
    assert content["otherData"]["name"] == evil
    assert check_format(content)[0]["name"] == evil


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([("a", 0, trace([])), ("b", 99, trace([]))], "'b' starts at cycle 99"),
        ([("a", 0, trace([(0, 0, -1, 99, 9)])), ("b", 105, trace([]))], "from cycle 108"),
        ([("a", -1, trace([]))], "starts at cycle -1"),
        ([("a", 0, trace([(0, 0, -1, 0, 1), (len(KINDS), 0, -1, 0, 1)]))], "event 1 is"),
        ([("a", 0, trace([(0, 0, -1, 0, 0)]))], "cycles from 1"),
        ([("a", 0, trace([(0, 0, -1, -5, 1)]))], "a start from 0"),
    ],
)
def test_refused_and_the_old_file_is_kept(tmp_path: Path, jobs, words: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text("old")
    with pytest.raises(InputError, match=words):
        write_perfetto(path, jobs, name="n", clock_mhz=1.0)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write_perfetto(tmp_path / "no" / "t.json", [], name="n", clock_mhz=1.0)


def test_interrupted_work_leaves_nothing(tmp_path: Path) -> None:
    def jobs():
        yield "a", 0, trace([(0, 0, -1, 0, 1)])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_perfetto(tmp_path / "t.json", jobs(), name="n", clock_mhz=1.0)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    """Beyond the job's own arrays: a chunk of text, however long the job."""
    count = 200_000
    rows = np.zeros(count, dtype=EVENT)
    rows["kind"], rows["start"], rows["cycles"] = 1, 4 * np.arange(count), 3
    job = Trace(events=rows, total_cycles=4 * count)
    tracemalloc.start()
    write_perfetto(tmp_path / "t.json", [("a", 0, job)], name="n", clock_mhz=1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = (tmp_path / "t.json").stat().st_size
    assert peak < size + rows.nbytes, (peak, size)


@settings(deadline=None, max_examples=30)
@given(machines(), shapes(9), st.booleans())
def test_jobs_of_the_simulator(built, shape, beats) -> None:
    """Two jobs after each other; the waits shown are those that the report counts."""
    report, events = trace_gemm(built, shape, beats=beats)
    gap = 2
    spans = check_format(written([("a", 0, events), ("b", report.total_cycles + gap, events)]))
    assert len(spans) == 2 * (len(events.events) + 1)
    waits = {cause: report.causes[cause] for cause in ("dequantizer", "weights", "activations")}
    waits["output"] = report.causes["output"] - report.drain
    for cause, cycles in waits.items():
        assert sum(s["dur"] for s in spans if s["cat"] == f"wait_{cause}") == 2 * cycles
