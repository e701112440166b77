"""The PE array in time: when each slot issues, and what every other cycle waits for.

``docs/timing.md`` is the specification. Times are cycles after the one that accepts the job.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import CAUSES
from sw.compile import GemmShape, Machine

from . import kernel, state
from .jobs import Jobs
from .trace import EVENT, Trace

#: events of a block of tiles that is traced at once
_BLOCK_EVENTS = 1 << 18
#: events kept of one job
MOST_EVENTS = 8_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaps:
    """Idle cycles of the test bench: before word i is offered, before word j is accepted.

    Counted from the cycle after the previous word of the stream, for the first one from the cycle
    after the job. Missing entries are 0.
    """

    weights: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    activations: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    results: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a stream's words come, or are taken, if nothing else holds them back.

    Word i takes ``cycles[0] / cycles[1]`` cycles from the word before it, the first ``lead`` words
    ``lead_cycles`` instead, and the very first ``delay`` cycles more. A word is there in the cycle
    that completes it, so that the first n take the sum rounded up.
    """

    cycles: tuple[int, int] = (1, 1)
    lead: int = 0
    lead_cycles: tuple[int, int] = (1, 1)
    delay: int = 0

    def __post_init__(self) -> None:
        for top, bottom in (self.cycles, self.lead_cycles):
            if not 0 < bottom <= top:
                raise InputError(f"a word takes {top}/{bottom} cycles, it must be 1 or more")

    @property
    def row(self) -> tuple[int, ...]:
        """As the recurrences take it."""
        free = self == Rate()
        kind = state.FREE if free else state.RULE
        return (kind, self.delay, self.lead, *self.lead_cycles, *self.cycles, 0, 0)

    def gaps(self, words: int) -> NDArray[np.int64]:
        """The same as idle cycles before each of ``words`` words."""
        lead = np.minimum(np.arange(words + 1), self.lead)
        rest = np.arange(words + 1) - lead
        ends = -(-lead * self.lead_cycles[0] // self.lead_cycles[1])
        ends += -(-rest * self.cycles[0] // self.cycles[1])
        ends[1:] += self.delay
        return np.diff(ends) - 1


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates of the three streams; :meth:`gaps` makes a test bench keep them."""

    weights: Rate = Rate()
    activations: Rate = Rate()
    results: Rate = Rate()

    def gaps(self, words: dict[str, int]) -> Gaps:
        """Idle cycles for a job of so many ``weight_words`` and so on."""
        return Gaps(
            weights=self.weights.gaps(words["weight_words"]),
            activations=self.activations.gaps(words["activation_words"]),
            results=self.results.gaps(words["result_words"]),
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """int64 (3, RATES) for the recurrences."""
        return np.array([r.row for r in (self.weights, self.activations, self.results)])


@dataclass(frozen=True, kw_only=True)
class CycleReport:
    """Time of one job.

    Attributes
    ----------
    total_cycles : from the cycle that accepts the job to the one that accepts the last result.
    causes : cycles by cause; they add up to ``total_cycles``.
    counters : ``busy`` cycles, ``tiles``, and the words of each stream.
    macs : products asked for, padding excluded.
    peak_macs_per_cycle : products per cycle of the array without any loss.
    fill : cycles before the first slot issues.
    drain : cycles after the last slot has issued.
    """

    total_cycles: int
    causes: dict[str, int]
    counters: dict[str, int]
    macs: int
    peak_macs_per_cycle: float
    fill: int = 0
    drain: int = 0

    @property
    def utilization(self) -> float:
        """Share of the array's peak that the job reached."""
        return self.macs / (self.peak_macs_per_cycle * self.total_cycles)


def _streams(supply: Gaps | Rates | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rates, and cycles by number of words where gaps are given, as the recurrences take them."""
    if not isinstance(supply, Gaps):
        return (supply or Rates()).rows, np.zeros(0, dtype=np.int64)
    rows, given = Rates().rows, [np.zeros(0, dtype=np.int64)]
    for index, gaps in enumerate((supply.weights, supply.activations, supply.results)):
        if (gaps < 0).any():
            raise InputError("gaps must not be negative")
        if len(gaps):
            rows[index, state.KIND] = state.GIVEN
            rows[index, state.GIVEN_AT] = sum(map(len, given))
            rows[index, state.GIVEN_WORDS] = len(gaps)
            given.append(np.concatenate([[0], np.cumsum(1 + np.asarray(gaps, dtype=np.int64))]))
    return rows, np.concatenate(given)


def simulate_gemm(
    machine: Machine,
    shape: GemmShape,
    supply: Gaps | Rates | None = None,
    *,
    stepped: bool = False,
) -> CycleReport:
    """Cycles of one GEMM on one machine, exactly as the RTL takes them.

    Parameters
    ----------
    machine, shape : what is run where.
    supply : the test bench's idle cycles, or the rates of the streams; none idles without.
    stepped : visit every chunk, and do not skip what is known to repeat. The result is the same.

    Raises
    ------
    InputError : a gap is negative, or the shape exceeds the machine's counters or buffers.
    """
    jobs = Jobs.of(machine, shape)
    return _report(jobs, run_to_end(jobs, supply, stepped=stepped))


def run_to_end(
    jobs: Jobs, supply: Gaps | Rates | None = None, *, stepped: bool = False
) -> NDArray[np.int64]:
    """The first of ``jobs`` at its end, as :mod:`sim.kernel` describes it."""
    rates, given = _streams(supply)
    job: NDArray[np.int64] = kernel.new_job(jobs.parameters[0], rates, given)
    skip = not stepped and not (rates[:, state.KIND] == state.GIVEN).any()
    kernel.run_job(job, _room_for(0), int(job[state.TILES]), skip)
    return job


def _room_for(events: int) -> NDArray[np.int64]:
    return np.zeros((events, state.EVENT_COLUMNS), dtype=np.int64)


def _report(jobs: Jobs, job: NDArray[np.int64]) -> CycleReport:
    """The report of the first of ``jobs`` from the state at its end."""
    total, issued = int(job[state.TILE_DONE]), int(job[state.ISSUED])
    counted = job[state.CAUSES : state.CAUSES + state.CAUSE_COUNT].tolist()
    causes = dict(zip(CAUSES, counted, strict=True))
    causes["output"] += total - issued
    return CycleReport(
        total_cycles=total,
        causes=causes,
        counters={
            "busy": total,
            "tiles": int(jobs.tiles[0]),
            **{name: int(words[0]) for name, words in jobs.words.items()},
        },
        macs=int(jobs.macs[0]),
        peak_macs_per_cycle=jobs.peak_macs_per_cycle,
        fill=int(job[state.FIRST_SLOT]) - 1,
        drain=total - issued,
    )


def trace_gemm(
    machine: Machine,
    shape: GemmShape,
    supply: Gaps | Rates | None = None,
    *,
    beats: bool = False,
    tiles: int | None = None,
) -> tuple[CycleReport, Trace]:
    """As :func:`simulate_gemm`, stepped, with every event.

    Parameters
    ----------
    machine, shape, supply : as there.
    beats : note beats that enter the queues, too.
    tiles : trace the first so many tiles only; the report is always that of the whole job.

    Raises
    ------
    InputError : as there, or the job has more than :data:`MOST_EVENTS` events.
    """
    jobs = Jobs.of(machine, shape)
    # a chunk can wait for four causes and has two beats, a group has three events, a tile five
    most = int(6 * jobs.tile_chunks[0] + 3 * jobs.groups[0] + 5)
    block = max(1, _BLOCK_EVENTS // most)
    job = kernel.new_job(jobs.parameters[0], *_streams(supply))
    job[state.BEATS] = beats
    whole = int(job[state.TILES])
    end = whole if tiles is None else min(tiles, whole)
    noted, events, count = _room_for(most * block), [], 0
    while (tile := int(job[state.TILE])) < end:
        kernel.run_job(job, noted, min(tile + block, end), False)
        events.append(_packed(noted[: job[state.NOTED]]))
        count += len(events[-1])
        if count > MOST_EVENTS:
            raise InputError(
                f"a trace of this job has more than {MOST_EVENTS:,} events: trace fewer tiles"
            )
    report = _report(jobs, job) if end == whole else simulate_gemm(machine, shape, supply)
    last = int(job[state.TILE_DONE])
    return report, Trace(events=np.concatenate(events), total_cycles=last)


def _packed(events: NDArray[np.int64]) -> NDArray[np.void]:
    """Columns of the recurrences as :data:`sim.trace.EVENT`."""
    found = np.empty(len(events), dtype=EVENT)
    columns = (state.E_KIND, state.E_TILE, state.E_GROUP, state.E_START, state.E_CYCLES)
    for name, column in zip(EVENT.names or (), columns, strict=True):
        found[name] = events[:, column]
    return found
