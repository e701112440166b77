"""Measure cores: netlist, jobs on it, energy of its parts. Kept by content, so that it resumes."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from configs.cache import cache_folder
from costmodel.fpga.yosys import content_hash, keep
from hw.core import Core
from hw.emit import to_rtlil
from sim import simulate_gemm
from sim.activity import gemm_activity
from sw.compile import GemmProgram
from sw.golden import golden_gemm

from .fit import BLOCKS
from .jobs import random_job, real_job, zero_rich_job
from .liberty import Library
from .netlist import Instance, Netlist, synthesize
from .opensta import sta_power
from .points import CorePoint, Layers
from .power import Energy, PowerModel
from .reduced import reduced
from .simulate import build_netlist, run_job

_QUEUES = ("headers", "chunks", "parameters")
_DIGITS = 6


def part_of(instance: Instance) -> str:
    """Key of ``fit.BLOCKS`` that an instance belongs to, by the modules around it."""
    path = instance.path
    if path[:1] == ("drain",):
        return "drain"
    if len(path) < 2:
        return "control"
    if path[0].endswith("_loader"):
        return "queue" if path[1] in _QUEUES else "control"
    kind = path[1].rstrip("_0123456789")
    return kind if path[0] == "pe_array" and kind in BLOCKS else "control"


def measure(point: CorePoint, liberty: Path, volts: float, layers: Layers, seed: int) -> dict:
    """Everything about one core as JSON values.

    Keys
    ----
    cells, flip_flops : of the netlist.
    area_um2 : of the netlist.
    rows[] : one per job: ``layer``, ``use`` of the layer, ``data``, ``cycles``, ``activity``, and
        by part ``data_pj``, ``clock_pj``, ``leakage_mw``; ``load_twice_pj``, ``second_output_pj``:
        see :meth:`costmodel.gates.power.PowerModel.doubtful`.
    opensta : ``ours_pj``, ``theirs_pj`` per cycle on a file that both read alike, ``full_pj`` on
        the library as it is; None without OpenSTA.

    Raises
    ------
    RuntimeError : the netlist does not compute what the golden model does.
    """
    netlist = synthesize(Core(machine=point.core.machine), liberty)
    text = liberty.read_text()
    library = Library(text)
    model = PowerModel(netlist, library, volts=volts)
    built = build_netlist(netlist, liberty)
    rows, check = [], None
    for layer, use, data, program in _jobs(point, layers, seed):
        outputs, toggles = run_job(built, netlist, program)
        if not np.array_equal(outputs, golden_gemm(program).outputs):
            raise RuntimeError(f"{program.name} on {point}: the netlist's outputs are wrong")
        found = model.energy(toggles, part_of)
        row = _row(program, found, toggles.duration, layer=layer, use=use, data=data)
        load, second = model.doubtful(toggles)
        rows.append(row | {"load_twice_pj": _short(load), "second_output_pj": _short(second)})
        if check is None:
            check = compare(netlist, text, volts, toggles, model)
    return {
        "cells": len(netlist.instances),
        "flip_flops": sum(cell.clock is not None for cell in model.cells),
        "area_um2": round(sum(cell.area_um2 for cell in model.cells), 1),
        "rows": rows,
        "opensta": check,
    }


def _jobs(
    point: CorePoint, layers: Layers, seed: int
) -> Iterator[tuple[str, str, str, GemmProgram]]:
    """(layer, its use, data, job)."""
    number = int(hashlib.sha256(repr(point).encode()).hexdigest()[:8], 16)
    for use, names in (("fit", layers.fit), ("held_out", layers.held_out)):
        for index, layer in enumerate(names):
            real = real_job(point, layer)
            yield layer, use, "real", real
            if use == "fit" and not index:
                yield layer, use, "random", random_job(real, [seed, number, 0])
                yield layer, use, "zero_rich", zero_rich_job(real, [seed, number, 1])


def _row(program: GemmProgram, found: dict[str, Energy], duration: int, **labels: str) -> dict:
    cycles = simulate_gemm(program.machine, program.shape)
    activity = asdict(gemm_activity(program.machine, program.shape, cycles))
    # the record begins a cycle before the machine is busy
    parts = {
        name: {
            "data_pj": _short(energy.data_pj),
            "clock_pj": _short(energy.clock_total_pj / duration * cycles.total_cycles),
            "leakage_mw": _short(energy.leakage_pw * 1e-9),
        }
        for name, energy in sorted(found.items())
    }
    return {**labels, "cycles": cycles.total_cycles, "activity": activity, "parts": parts}


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def compare(
    netlist: Netlist, text: str, volts: float, toggles: Any, model: PowerModel
) -> dict[str, float] | None:
    """Energy per cycle here and in OpenSTA, wires and what comes from outside left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reduced.lib"
        path.write_text(reduced(text, halve_clocks=True))
        library = Library(reduced(text))
        theirs = sta_power(netlist, library, path, toggles)
    if theirs is None:
        return None
    own = PowerModel(netlist, library, volts=volts).energy(toggles)[""]
    full = model.energy(toggles)[""]
    return {
        "ours_pj": _short(own.driven_pj / toggles.duration),
        "theirs_pj": _short(theirs.dynamic_pj_per_cycle),
        "full_pj": _short(full.driven_pj / toggles.duration),
        "ours_leakage_mw": _short(own.leakage_pw * 1e-9),
        "theirs_leakage_mw": _short(theirs.leakage_w * 1e3),
    }


def measure_all(
    points: Sequence[CorePoint],
    liberty: Path,
    volts: float,
    layers: Layers,
    *,
    seed: int,
    workers: int | None = None,
    say: Callable[[str], object] = print,
) -> list[dict]:
    """Measurements of all cores, in their order; each is kept as soon as it is there."""
    found: dict[int, dict] = {}
    start = time.monotonic()
    with ProcessPoolExecutor(workers or os.cpu_count() or 1) as pool:
        waiting: dict[Future[dict], int] = {
            pool.submit(_kept, point, liberty, volts, layers, seed): number
            for number, point in enumerate(points)
        }
        try:
            for done in as_completed(waiting):
                number = waiting[done]
                found[number] = done.result()
                left = (time.monotonic() - start) / len(found) * (len(points) - len(found))
                name = f"{points[number].weights}, {found[number]['cells']} cells"
                say(f"{len(found)}/{len(points)} {name}; {left / 60:.0f} min left")
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [found[number] for number in range(len(points))]


#: modules of this package that a measurement depends on
_CODE = (
    *("expressions", "jobs", "liberty", "measure", "netlist", "opensta", "power", "reduced"),
    *("saif", "simulate"),
)


def _kept(point: CorePoint, liberty: Path, volts: float, layers: Layers, seed: int) -> dict:
    """:func:`measure`, kept by what it depends on."""
    folder = Path(__file__).parent
    code = [(folder / f"{name}.py").read_bytes() for name in _CODE]
    code.append((folder / "core.cpp").read_bytes())
    source = to_rtlil(Core(machine=point.core.machine), "core")
    settings = json.dumps([asdict(point), volts, asdict(layers), seed], sort_keys=True)
    digest = content_hash(settings, source, liberty.read_bytes(), *code)
    path = cache_folder() / "gates" / f"measured-{digest[:24]}.json"
    if not path.is_file():
        keep(path, json.dumps(measure(point, liberty, volts, layers, seed)).encode())
    return json.loads(path.read_text())
