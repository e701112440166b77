"""Cells of an FPGA that points take."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from costmodel.fpga import find_target
from costmodel.fpga.predict import FpgaEstimate, predict
from sim.jobs import Column
from sw.compile import Machine

#: metric of each kind of cell that a device has
METRIC = {"lut": "luts", "flip_flops": "flip_flops", "bram": "block_rams", "dsp": "dsps"}


def predicted(machine: Machine, family: str) -> tuple[FpgaEstimate, bool]:
    """Cells of a machine, and whether products may be in multiplier blocks.

    They may not where the family has no model of such.

    Raises
    ------
    InputError : no predictor of the family.
    """
    try:
        return predict(machine, family), True
    except InputError:
        return predict(machine, family, dsp=False), False


def cells(found: FpgaEstimate) -> dict[str, float]:
    """Look-up tables with limits, flip-flops, block RAMs and multiplier blocks, by metric."""
    lut = found.lut
    return {
        "luts": lut.value,
        "luts_low": lut.low,
        "luts_high": lut.high,
        "flip_flops": found.flip_flops.value,
        "block_rams": float(found.bram),
        "dsps": float(found.dsp),
    }


def fpga_metrics(
    machine: Machine, columns: Mapping[str, Column], device: str
) -> dict[str, NDArray[np.float64]]:
    """Cells of every point.

    Each different machine is predicted once: block RAMs and the tables of queues are rounded up to
    whole ones, so that nothing can be interpolated.

    Raises
    ------
    InputError : unknown device, or no predictor of its family.
    """
    family, array = find_target(device).family, machine.accelerator
    names = sorted(columns)
    table = np.stack([columns[name] for name in names], axis=1)
    each, places = np.unique(table, axis=0, return_inverse=True)
    rows = []
    for values in each.tolist():
        settings = dict(zip(names, values, strict=True))
        one, _ = predicted(replace(machine, accelerator=replace(array, **settings)), family)
        rows.append(cells(one))
    places = places.ravel()
    return {name: np.array([row[name] for row in rows])[places] for name in rows[0]}


def fits(metrics: Mapping[str, NDArray[np.float64]], device: str) -> NDArray[np.bool_]:
    """Whether the expected cells of every point are there on a device."""
    available = find_target(device).available
    held = [metrics[name] <= getattr(available, kind) for kind, name in METRIC.items()]
    return np.logical_and.reduce(held)
