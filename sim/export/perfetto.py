"""Events of jobs as a trace that Perfetto and Chrome load.

Chrome's trace event format has times in microseconds. Perfetto cuts fractions of them down to
nanoseconds after a floating-point product, so that only whole microseconds are exact: here one
microsecond of the trace is one clock cycle, whatever the clock.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.files import replacing

from ..trace import KINDS, Trace

#: processes of the trace, and the kinds of events that are their threads
UNITS = {
    "array": ("tile", "group", "dequantize"),
    "streams": (
        *("results", "load_weights", "load_activations"),
        *("beat_weights", "beat_activations"),
    ),
    "waits": ("wait_output", "wait_dequantizer", "wait_weights", "wait_activations"),
}
_PID = {kind: pid for pid, kinds in enumerate(UNITS.values(), start=1) for kind in kinds}
#: thread ids: jobs, then kinds; apart from process ids, which would name a main thread
_JOB_TID, _FIRST_TID = 10, 11
#: distance of the further threads of a kind whose events overlap
_NEXT_LANE = 20
#: events per piece of text; bounds the memory
_CHUNK = 1 << 15


def write_perfetto(
    path: Path, traces: Iterable[tuple[str, int, Trace]], *, name: str, clock_mhz: float
) -> int:
    """Write a Chrome trace (JSON) with one process per unit and one thread per kind of event.

    Parameters
    ----------
    path : the file, replaced as a whole.
    traces : jobs in the order of time: name, cycle of the trace in which the job is accepted, and
        its events. They are taken one by one, and may be made while they are taken.
    name : of what was run.
    clock_mhz : said in ``otherData``; times stay cycles, one to a microsecond.

    Returns
    -------
    Events written, those that name threads left out.

    Raises
    ------
    InputError : a job starts before the one before it has ended, an event has a kind, start or
        length that no event has, or the file cannot be written.
    """
    other = {
        "name": name,
        "clock_mhz": clock_mhz,
        "time_unit": "1 us of the trace is 1 clock cycle",
    }
    written = 0
    with _whole(path) as file:
        file.write('{"traceEvents":[\n' + ",\n".join(_names()))
        for lines in _pieces(traces):
            file.write(",\n" + ",\n".join(lines))
            written += len(lines) if lines[0].startswith('{"ph":"X"') else 0
        file.write(f'\n],\n"displayTimeUnit":"ns",\n"otherData":{json.dumps(other)}}}\n')
    return written


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """A text file that appears under ``path`` when it is complete."""
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="ascii") as file:
            yield file
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None


def _meta(what: str, pid: int, tid: int, **arguments: str | int) -> str:
    """A metadata event."""
    event = {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": arguments}
    return json.dumps(event, separators=(",", ":"))


def _thread(kind: str, lane: int) -> list[str]:
    """Name and place of one thread of a kind."""
    index = KINDS.index(kind)
    tid = _FIRST_TID + index + _NEXT_LANE * lane
    label = kind.removeprefix("wait_") + (f" ({lane + 1})" if lane else "")
    return [
        _meta("thread_name", _PID[kind], tid, name=label),
        _meta("thread_sort_index", _PID[kind], tid, sort_index=1000 * (index + 1) + lane),
    ]


def _names() -> list[str]:
    """Names of all processes, and of the thread of jobs."""
    lines = []
    for pid, unit in enumerate(UNITS, start=1):
        lines.append(_meta("process_name", pid, 0, name=f"{unit} (1 us = 1 cycle)"))
        lines.append(_meta("process_sort_index", pid, 0, sort_index=pid))
    lines.append(_meta("thread_name", 1, _JOB_TID, name="job"))
    lines.append(_meta("thread_sort_index", 1, _JOB_TID, sort_index=0))
    return lines


def _pieces(traces: Iterable[tuple[str, int, Trace]]) -> Iterator[list[str]]:
    """Lines of all jobs; those that name a thread come before its first event."""
    free, lanes = 0, [0] * len(KINDS)
    for name, offset, trace in traces:
        if offset < free:
            raise InputError(
                f"job '{name}' starts at cycle {offset} of the trace, valid is from cycle {free} "
                "on, where the one before it has ended"
            )
        events = _sorted(name, trace)
        ends = events["start"] + events["cycles"]
        free = offset + max(trace.total_cycles, int(ends.max(initial=0)))
        lane = np.zeros(len(events), dtype=np.int64)
        for kind in np.unique(events["kind"]).tolist():
            chosen = events["kind"] == kind
            lane[chosen] = _lanes(events["start"][chosen], ends[chosen])
            count = int(lane[chosen].max()) + 1
            for further in range(lanes[kind], count):
                yield _thread(KINDS[kind], further)
            lanes[kind] = max(lanes[kind], count)
        yield [
            f'{{"ph":"X","pid":1,"tid":{_JOB_TID},"cat":"job","name":{json.dumps(name)},'
            f'"ts":{offset},"dur":{trace.total_cycles},"args":{{"cycles":{trace.total_cycles}}}}}'
        ]
        for first in range(0, len(events), _CHUNK):
            part = slice(first, first + _CHUNK)
            yield _lines(events[part], lane[part], offset)


def _sorted(name: str, trace: Trace) -> NDArray[np.void]:
    """Events by start, longer ones first."""
    events = trace.events
    wrong = (events["kind"] >= len(KINDS)) | (events["start"] < 0) | (events["cycles"] < 1)
    if wrong.any():
        index = int(wrong.argmax())
        raise InputError(
            f"job '{name}': event {index} is {events[index].item()}, valid are a kind below "
            f"{len(KINDS)}, a start from 0 and cycles from 1 on"
        )
    ordered: NDArray[np.void] = events[np.lexsort((-events["cycles"], events["start"]))]
    return ordered


def _lanes(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which thread of its kind shows an event, so that those of one thread never overlap."""
    lanes = np.zeros(len(starts), dtype=np.int64)
    if not (starts[1:] < ends[:-1]).any():
        return lanes
    free: list[int] = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        lane = next((lane for lane, cycle in enumerate(free) if cycle <= start), len(free))
        free[lane : lane + 1] = [end]
        lanes[index] = lane
    return lanes


def _lines(events: NDArray[np.void], lane: NDArray[np.int64], offset: int) -> list[str]:
    """One line of JSON per event."""
    lines = np.empty(len(events), dtype=object)
    grouped = events["group"] >= 0
    for kind in np.unique(events["kind"]).tolist():
        head = f'{{"ph":"X","pid":{_PID[KINDS[kind]]},"tid":%d,"cat":"{KINDS[kind]}",'
        times = '"ts":%d,"dur":%d,'
        for has_group in (False, True):
            chosen = np.flatnonzero((events["kind"] == kind) & (grouped == has_group))
            tile, group = events["tile"][chosen], events["group"][chosen]
            cycles = events["cycles"][chosen]
            columns = [
                _FIRST_TID + kind + _NEXT_LANE * lane[chosen],
                group if has_group else tile,
                events["start"][chosen] + offset,
                cycles,
                tile,
                *([group] if has_group else []),
                cycles,
            ]
            place = '"group %d",' if has_group else '"tile %d",'
            known = '"tile":%d,"group":%d' if has_group else '"tile":%d'
            line = f'{head}"name":{place}{times}"args":{{{known},"cycles":%d}}}}'
            values = zip(*(column.tolist() for column in columns), strict=True)
            lines[chosen] = [line % value for value in values]
    text: list[str] = lines.tolist()
    return text
