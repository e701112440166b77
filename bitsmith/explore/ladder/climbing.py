"""Which points climb the ladder, and what each rung found; kept by content."""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitsmith.hashes import code_hash
from bitsmith.job import Job, Progress, silent
from configs.errors import InputError, unknown_name
from costmodel.fpga.yosys import keep

from ..metrics import METRICS
from ..pareto import knees, minimised
from ..space import Space
from ..table import Table
from .fpga import climb_fpga
from .promotion import RUNGS, Found, Promotion
from .rtl import climb_rtl
from .stepped import climb_stepped
from .synthesis import climb_synthesis


def promote(
    space: Space,
    metrics: Mapping[str, float],
    number: int,
    rung: str,
    *,
    folder: Path,
    liberty: Path | None = None,
) -> Promotion:
    """One point on one rung, from the study folder if it has been there with the same program.

    A rung that cannot be climbed has no figures, and a note that says why; it is tried anew the
    next time.

    Parameters
    ----------
    metrics : of the point by the vectorised model, as its table has them.
    folder : of the study.
    liberty : cell library for synthesis, gzip or not.

    Raises
    ------
    InputError : unknown rung.
    """
    if rung not in RUNGS:
        raise unknown_name("rung", rung, RUNGS)
    known = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
    if rung == "model":
        note = "the vectorised model"
        return Promotion(number=number, rung=rung, figures=known, lower={}, seconds=0.0, note=note)
    library = liberty.read_bytes() if rung == "synthesis" and liberty is not None else b""
    path = folder / "ladder" / f"{_key(space.key, number, rung, known, library)}.json"
    kept = _kept(path)
    if kept is not None:
        return kept
    start = time.monotonic()
    try:
        found = _climbed(space, number, rung, liberty)
    except (InputError, RuntimeError) as error:
        found = Found(figures={}, lower={}, note=f"not climbed: {error}")
    promotion = Promotion(
        number=number,
        rung=rung,
        figures=dict(found.figures),
        lower={name: known[name] for name in found.figures if name in known} | dict(found.lower),
        seconds=time.monotonic() - start,
        note=found.note,
    )
    if found.figures:
        keep(path, json.dumps(asdict(promotion), indent=1, allow_nan=False).encode())
    return promotion


def _climbed(space: Space, number: int, rung: str, liberty: Path | None) -> Found:
    """What a rung above the model finds.

    Raises
    ------
    InputError, RuntimeError : it cannot be climbed, or a tool failed.
    """
    job = Job(config=space.config(space.settings(number)))
    if rung == "stepped":
        return climb_stepped(job)
    if rung == "rtl":
        return climb_rtl(job)
    if space.device is not None:
        return climb_fpga(job, space.device)
    if liberty is None:
        raise InputError("synthesis needs a cell library: give --liberty FILE")
    return climb_synthesis(job, liberty)


def _key(space: str, number: int, rung: str, metrics: Mapping[str, float], library: bytes) -> str:
    """Hash of everything that a promotion depends on."""
    digest = hashlib.sha256(library)
    digest.update(json.dumps([space, number, rung, sorted(metrics.items())]).encode())
    digest.update(code_hash().encode())
    return digest.hexdigest()[:32]


def _kept(path: Path) -> Promotion | None:
    """What was found earlier; a damaged file is as none."""
    try:
        return Promotion(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def climb(
    space: Space,
    table: Table,
    front: Sequence[int] | NDArray[np.int64],
    *,
    folder: Path,
    progress: Progress = silent,
    liberty: Path | None = None,
) -> tuple[Promotion, ...]:
    """Promote points of the front, as many to each rung as the sweep says.

    Every rung takes the first of :func:`spread`, so that what is synthesized and run as RTL was
    stepped, too, where the sweep steps as many.

    Parameters
    ----------
    front : places in ``table``.
    folder : of the study.
    progress : shows the points of a rung.
    """
    objectives, wanted = space.sweep.objectives, space.sweep.promote
    places = np.asarray(front, dtype=np.int64)
    points = table.take(places)
    order = spread(minimised(points, objectives), objectives)
    found = []
    for rung in RUNGS[1:]:
        for place in progress(order[: getattr(wanted, rung)], rung):
            metrics = {name: float(column[place]) for name, column in points.metrics.items()}
            number = int(points.numbers[place])
            found.append(promote(space, metrics, number, rung, folder=folder, liberty=liberty))
    return tuple(found)


def spread(values: ArrayLike, objectives: Sequence[str]) -> list[int]:
    """Places of a front's points, those first that show most of it.

    The knee, then the best in each objective, then always the point farthest from those before, in
    Euclidean distance with every objective scaled to 0..1 over the front. Of equal points the first
    one stands for all; copies come last.

    Parameters
    ----------
    values : (points, objectives), less is better.
    """
    values = np.asarray(values, dtype=np.float64).reshape(-1, len(objectives))
    more = [name for name in objectives if METRICS[name].better == "more"]
    order = list(dict.fromkeys(knees(values, objectives, more).values()))
    if not order:
        return []
    span = np.ptp(values, axis=0)
    scaled = (values - values.min(axis=0)) / np.where(span > 0, span, 1.0)
    nearest = np.full(len(values), np.inf)
    done = np.zeros(len(values), dtype=bool)
    for place in order:
        nearest = np.minimum(nearest, _distance(scaled, place))
    done[order] = True
    while not done.all():
        place = int(np.argmax(np.where(done, -1.0, nearest)))
        order.append(place)
        done[place] = True
        nearest = np.minimum(nearest, _distance(scaled, place))
    return order


def _distance(scaled: NDArray[np.float64], place: int) -> NDArray[np.float64]:
    """Of every point from one of them."""
    return np.linalg.norm(scaled - scaled[place], axis=1).round(12)
