"""Synthesis of the sample in a cell library: parallel, resumable, one line of progress a point."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from costmodel.fpga import statistics
from hw.emit import to_rtlil

from .components import COMPONENTS
from .liberty import cell_leakage_nw, clocked_script, total_leakage_nw, unpacked
from .points import Point

_TOP = "measured"
#: what stores tiles is no part of their control: its ports become ports of the circuit
_WITHOUT_MEMORIES = [
    f"hierarchy -top {_TOP}",
    "proc",
    "flatten",
    "opt_clean",
    "memory_collect",
    "expose -evert t:$mem_v2",
]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one configuration became in a library.

    Attributes
    ----------
    area_um2, sequential_um2 : area of all cells, and of the flip-flops among them, sized for a
        period.
    delay_ps : ABC's, of the longest path between flip-flops or ports, without wires, sized for
        speed.
    cells : how many.
    leakage_nw : of all cells; None where the library does not say.
    """

    area_um2: float
    sequential_um2: float
    delay_ps: float
    cells: int
    leakage_nw: float | None


def synthesize(
    point: Point, liberty: Path, leakage_nw: Mapping[str, float], *, period_ps: float
) -> Measured:
    """Map one configuration to the cells of an uncompressed library; kept by content."""
    component = COMPONENTS[point.component]
    source = to_rtlil(component.build(point.machine), _TOP)
    lines = [
        *(_WITHOUT_MEMORIES if component.without_memories else []),
        f"synth -flatten -top {_TOP}",
        *clocked_script(liberty, period_ps),
    ]
    found = statistics(lines, source, liberty)
    leakage = total_leakage_nw(found["num_cells_by_type"], leakage_nw)
    return Measured(
        area_um2=round(found["area"], 2),
        sequential_um2=round(found.get("sequential_area", 0.0), 2),
        delay_ps=round(found["delay_ps"], 1),
        cells=int(found["num_cells"]),
        leakage_nw=None if leakage is None else round(leakage, 4),
    )


def say_on_stderr(line: str) -> None:
    """Progress for a person."""
    print(line, file=sys.stderr, flush=True)


def synthesize_all(
    points: Sequence[Point],
    liberty: Path,
    *,
    period_ps: float,
    workers: int | None = None,
    say: Callable[[str], object] = say_on_stderr,
) -> list[Measured]:
    """Map all configurations, in their order.

    Interrupted, it goes on from where it was: every result is kept by content as soon as it is
    there.

    Parameters
    ----------
    liberty : library, gzip or not.
    period_ps : clock that cells are sized for.
    workers : processes, all cores by default.
    say : takes one line per configuration, with the time that is left.

    Raises
    ------
    InputError : see :func:`unpacked`.
    """
    workers = workers or os.cpu_count() or 1
    found: dict[int, Measured] = {}
    start = time.monotonic()
    with unpacked(liberty) as path:
        leakage = cell_leakage_nw(path.read_text())
        one = partial(synthesize, liberty=path, leakage_nw=leakage, period_ps=period_ps)
        for number, measured in _each(points, one, workers):
            found[number] = measured
            say(_progress(len(found), len(points), points[number], measured, start))
    return [found[number] for number in range(len(points))]


def _each(
    points: Sequence[Point], one: Callable[[Point], Measured], workers: int
) -> Iterator[tuple[int, Measured]]:
    """(number, result) in the order in which they are done."""
    if workers == 1:
        yield from ((number, one(point)) for number, point in enumerate(points))
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting: dict[Future[Measured], int] = {
            pool.submit(one, point): number for number, point in enumerate(points)
        }
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BaseException:
            # what has begun is kept, what has not is not begun
            pool.shutdown(cancel_futures=True)
            raise


def _progress(done: int, total: int, point: Point, measured: Measured, start: float) -> str:
    left = (time.monotonic() - start) / done * (total - done)
    minutes, seconds = divmod(round(left), 60)
    values = f"{measured.area_um2:,.0f} um2, {measured.delay_ps:,.0f} ps"
    return f"{done}/{total} {point.component}: {values}; {minutes}:{seconds:02} left"
