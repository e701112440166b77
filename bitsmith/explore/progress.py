"""How far a study is, what it has found so far, and how long one will take."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from tqdm import tqdm

from ..report.units import count, si, significant, tick_label
from .metrics import METRICS, shown
from .parcels import Factory, block_starts, blocks, count_points
from .space import Chunk, Space
from .table import Table

#: where standard error is no terminal: a line that often
LINE_S = 10.0
#: the rate is that of so long before now: the classes of a space differ in speed
WINDOW_S = 60.0
#: places of a space that an estimate tries, if so many take the time it has
_PLACES, _STRETCHES = 64, 8


class Bar:
    """Progress on standard error: a bar on a terminal, elsewhere a line every ten seconds.

    Shows points done, points per second and the time left, the feasible share, and the best of
    each objective among feasible points.

    Parameters
    ----------
    size : points that will come, or more (a search may converge); all that count if None.
    stream : where to; standard error as it is when the bar is entered.
    clock : seconds, for tests.
    """

    def __init__(
        self,
        space: Space,
        size: int | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = count_points(space) if size is None else size
        self._stream = stream
        self._clock = clock
        self._done = self._feasible = self._fresh = 0
        self._best: dict[str, float] = {name: np.nan for name in space.sweep.objectives}
        self._passed: deque[tuple[float, int]] = deque()
        self._bar: tqdm | None = None

    def __enter__(self) -> "Bar":
        stream = self._stream = self._stream or sys.stderr
        self._started = self._last = self._clock()
        self._passed.append((self._started, 0))
        if stream.isatty():
            self._bar = tqdm(
                total=self._size,
                bar_format="{percentage:3.0f}%|{bar}| {desc}",
                dynamic_ncols=True,
                leave=False,
                file=stream,
            )
            self._bar.set_description_str(self.text())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if bar := self._bar:
            self._bar = None
            bar.close()
        if (kind is not None and self._done) or (bar is None and self._last > self._started):
            self._print("stopped at " if kind is not None else "")

    def advance(self, table: Table, *, stored: bool = False) -> None:
        """More points are known; those that were ``stored`` before do not count for the rate."""
        self._done += len(table)
        self._feasible += int(table.feasible.sum())
        for name in self._best:
            self._improve(name, table)
        now = self._clock()
        if not stored:
            self._fresh += len(table)
            self._passed.append((now, self._fresh))
            while len(self._passed) > 2 and self._passed[1][0] <= now - WINDOW_S:
                self._passed.popleft()
        if self._bar is not None:
            self._bar.n = min(self._done, self._size)
            self._bar.set_description_str(self.text(), refresh=False)
            if now - self._last >= self._bar.mininterval or self._done >= self._size:
                self._last = now
                self._bar.refresh()
        elif now - self._last >= LINE_S:
            self._last = now
            self._print()

    @property
    def points_per_s(self) -> float:
        """Over the last minute; 0 before the first results."""
        (start, before), (now, after) = self._passed[0], self._passed[-1]
        return (after - before) / (now - start) if now > start else 0.0

    def text(self) -> str:
        """The state in one line, a short one beside a bar."""
        best = [f"{name} {shown(name, v)}" for name, v in self._best.items() if np.isfinite(v)]
        rate, share = self.points_per_s, f"{self._done / max(1, self._size):.0%}"
        left = duration((self._size - self._done) / rate) if rate else ""
        left = f"{left} left" if left and self._done < self._size else ""
        feasible = f"{self._feasible / self._done:.0%} feasible" if self._done else ""
        if self._bar is not None:
            done = f"{_short(self._done)}/{_short(self._size)}"
            parts = [done, rate and f"{_short(rate)}/s", left, feasible]
        else:
            done = f"{count(self._done)} of {count(self._size)} points ({share})"
            parts = [done, rate and f"{significant(rate)} points/s", left, feasible]
        found = f"; best {', '.join(best)}" if best else ""
        return ", ".join(part for part in parts if part) + found

    def _improve(self, name: str, table: Table) -> None:
        column = table.metrics.get(name)
        if column is None:
            return
        values = column[table.feasible & np.isfinite(column)]
        if len(values):
            best = np.fmax if METRICS[name].better == "more" else np.fmin
            self._best[name] = float(best(best.reduce(values), self._best[name]))

    def _print(self, prefix: str = "") -> None:
        print(f"bitsmith: {prefix}{self.text()}", file=self._stream, flush=True)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What an exhaustive sweep will take.

    Attributes
    ----------
    points : of the space that count.
    timed : points that were evaluated to know.
    points_per_s : of one worker.
    slowest_points_per_s : of the slowest place of the space that was tried.
    workers : that the work is shared by.
    """

    points: int
    timed: int
    points_per_s: float
    slowest_points_per_s: float
    workers: int

    @property
    def seconds(self) -> float:
        """Expected, without starting the workers."""
        return self.points / self.points_per_s / self.workers if self.timed else 0.0

    @property
    def most_seconds(self) -> float:
        """If all of the space were as slow as the slowest place."""
        return self.points / self.slowest_points_per_s / self.workers if self.timed else 0.0

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return (
            f"about {duration(self.seconds)} for {count(self.points)} points with {workers}, at "
            f"most {duration(self.most_seconds)} ({count(self.timed)} points timed at "
            f"{significant(self.points_per_s)} points/s)"
        )


def estimate(
    space: Space,
    factory: Factory,
    *,
    workers: int = 1,
    budget_s: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Estimate:
    """Time an exhaustive sweep by evaluating a sample of it here, with nothing written.

    Stretches of consecutive points are taken from places all over the space, as a sweep would
    meet them. The first chunk is not timed: it waits for what is compiled or looked up once.
    Workers beyond this computer's cores do not count.

    Parameters
    ----------
    budget_s : time to spend, after the first chunk; another one is finished in any case.
    """
    starts = block_starts(space)
    tried = min(len(starts), _PLACES)
    runner, rates, timed, spent = factory(), list[float](), 0, 0.0
    first: Chunk | None = None

    def seconds_of(chunk: Chunk) -> float:
        before = clock()
        runner.run(chunk)
        return clock() - before

    for place in np.random.default_rng(0).permutation(tried).tolist():
        points, seconds = 0, 0.0
        for chunk in space.group(next(blocks(space, starts[place * len(starts) // tried]), [])):
            if first is None:
                first = chunk
                runner.run(chunk)
                continue
            seconds += seconds_of(chunk)
            points += len(chunk.numbers)
            if spent + seconds > budget_s or seconds > budget_s / _STRETCHES:
                break
        if points:
            rates.append(points / max(seconds, 1e-9))
            timed, spent = timed + points, spent + seconds
        if spent > budget_s:
            break
    if first is not None and not timed:  # the only one
        timed, spent = len(first.numbers), seconds_of(first)
        rates.append(timed / max(spent, 1e-9))
    return Estimate(
        points=count_points(space),
        timed=timed,
        points_per_s=timed / max(spent, 1e-9),
        slowest_points_per_s=min(rates, default=0.0),
        workers=min(workers, os.cpu_count() or 1),
    )


def duration(seconds: float) -> str:
    """A time in its two largest units, such as ``3 min 20 s``."""
    whole = max(1, round(seconds))
    for large, small, names in ((86400, 3600, "d h"), (3600, 60, "h min"), (60, 1, "min s")):
        if whole >= large:
            first, rest = divmod(round(whole / small), large // small)
            words = names.split()
            return f"{first} {words[0]}" + (f" {rest} {words[1]}" if rest else "")
    return f"{whole} s"


def _short(value: float) -> str:
    """A count in little space, such as ``16.4k``."""
    return tick_label(si(value)).replace(" ", "")
