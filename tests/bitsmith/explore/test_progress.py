"""What the progress shows, on a terminal and elsewhere; estimates."""

import io
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from bitsmith.explore.progress import Bar, duration, estimate
from bitsmith.explore.table import Table

from .kill_study import Points, Toy, run_toy

OBJECTIVES = ("latency_s", "tokens_per_s", "area_mm2")
SPACE = SimpleNamespace(sweep=SimpleNamespace(objectives=OBJECTIVES))


@dataclass
class Clock:
    """Stands until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def table(latency: list[float], tokens: list[float], reason: list[int]) -> Table:
    return Table(
        numbers=np.arange(len(reason)),
        metrics={"latency_s": np.array(latency), "tokens_per_s": np.array(tokens)},
        reasons=("", "bad"),
        reason=np.array(reason),
    )


def test_lines_every_ten_seconds() -> None:
    """Best of feasible points only; no line before ten seconds; one at the end."""
    stream, clock = io.StringIO(), Clock()
    nan = float("nan")
    with Bar(SPACE, 40, stream=stream, clock=clock) as bar:
        for now in (2.0, 9.0):
            clock.now = now
            bar.advance(table([0.004, 0.001, nan, 0.003], [5.0, 900.0, 7.0, nan], [0, 1, 0, 0]))
        assert stream.getvalue() == ""
        clock.now = 10.0
        bar.advance(table([nan] * 4, [nan] * 4, [1] * 4))
        clock.now = 12.0
        bar.advance(table([0.002], [1.0], [0]))
    assert stream.getvalue().splitlines() == [
        "bitsmith: 12 of 40 points (30%), 1.20 points/s, 23 s left, 50% feasible; "
        "best latency_s 3.00 ms, tokens_per_s 7.00/s",
        "bitsmith: 13 of 40 points (32%), 1.08 points/s, 25 s left, 54% feasible; "
        "best latency_s 2.00 ms, tokens_per_s 7.00/s",
    ]


def test_stored_points_do_not_count_for_the_rate() -> None:
    clock = Clock()
    with Bar(SPACE, 1000, stream=io.StringIO(), clock=clock) as bar:
        for _ in range(10):
            bar.advance(table([1.0] * 50, [1.0] * 50, [0] * 50), stored=True)
        assert bar.points_per_s == 0 and "left" not in bar.text()
        clock.now = 5.0
        bar.advance(table([1.0] * 50, [1.0] * 50, [0] * 50))
        assert bar.points_per_s == 10 and "45 s left" in bar.text()


def test_the_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    with Bar(SPACE, 10_000, stream=io.StringIO(), clock=clock) as bar:
        for second in range(1, 301):
            clock.now = second
            points = 100 if second <= 200 else 1
            bar.advance(table([1.0] * points, [1.0] * points, [0] * points))
        assert bar.points_per_s == pytest.approx(1)
        assert len(bar._passed) < 70


def test_a_terminal_has_a_bar_and_is_left_clean() -> None:
    stream, clock = Terminal(), Clock()
    with Bar(SPACE, 8, stream=stream, clock=clock) as bar:
        for now in (1.0, 2.0):
            clock.now = now
            bar.advance(table([1.0, 2.0, 3.0, 4.0], [5.0] * 4, [0] * 4))
    shown = stream.getvalue()
    assert " 50%|" in shown and "100%|" in shown
    assert "| 8/8, 4/s, 100% feasible; best latency_s 1.00 s, tokens_per_s 5.00/s" in shown
    assert "\n" not in shown and shown.endswith(" \r")


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_an_interrupted_study_says_how_far_it_came(stream: io.StringIO) -> None:
    with pytest.raises(KeyboardInterrupt), Bar(SPACE, 8, stream=stream, clock=Clock()) as bar:
        bar.advance(table([1.0] * 4, [5.0] * 4, [0] * 4))
        raise KeyboardInterrupt
    assert "bitsmith: stopped at 4 of 8 points (50%), 100% feasible" in stream.getvalue()


def test_standard_error_and_the_size_are_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    space = Toy(size=1400)
    object.__setattr__(space, "sweep", SPACE.sweep)
    with pytest.raises(KeyError), Bar(space, clock=Clock()) as bar:
        bar.advance(table([1.0] * 3, [5.0] * 3, [0] * 3))
        raise KeyError
    assert sys.stderr.isatty() is False
    assert capsys.readouterr().err == (
        "bitsmith: stopped at 3 of 1,200 points (0%), 100% feasible; best latency_s 1.00 s, "
        "tokens_per_s 5.00/s\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s"), (3599.7, "1 h"),
        (7260, "2 h 1 min"), (86399, "24 h"), (7 * 3600 + 3599, "8 h"), (93600, "1 d 2 h"),
        (1e7, "115 d 18 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@dataclass
class Paced:
    """A runner with a clock: points above ``slow`` take ten times as long, the first chunk more."""

    clock: Clock
    slow: int
    seen: list[int] = field(default_factory=list)

    def run(self, chunk: Points) -> Table:
        self.clock.now += 100.0 if not self.seen else 0.0
        self.clock.now += np.where(chunk.numbers < self.slow, 1e-4, 1e-3).sum()
        self.seen.append(int(chunk.numbers[0]))
        return run_toy(chunk)


class TestEstimate:
    """Time of a sweep from a sample."""

    def test_uniform(self) -> None:
        clock, space = Clock(), Toy(size=7_000_000)
        runner = Paced(clock, slow=space.size)
        found = estimate(space, lambda: runner, budget_s=5, clock=clock)
        assert found.points == 6_000_000
        assert found.seconds == pytest.approx(600) == found.most_seconds
        assert found.timed * 1e-4 < 7  # the budget, and one chunk beyond
        assert str(found).startswith("about 10 min for 6,000,000 points with 1 worker, at most ")

    def test_places_all_over_the_space(self) -> None:
        clock, space = Clock(), Toy(size=7_000_000)
        runner = Paced(clock, slow=3_500_000)
        found = estimate(space, lambda: runner, budget_s=60, clock=clock)
        assert found.most_seconds == pytest.approx(6000)
        assert 1500 < found.seconds < 5500
        assert min(runner.seen) < 1_500_000 and max(runner.seen) > 5_500_000

    def test_small(self) -> None:
        clock, space = Clock(), Toy(size=700)
        found = estimate(space, lambda: Paced(clock, slow=700), workers=1000, clock=clock)
        assert (found.points, found.timed) == (600, 600)
        assert 1 <= found.workers < 1000
        assert found.seconds == pytest.approx(0.06 / found.workers)
        assert "about 1 s for 600 points with" in str(found)
