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


def predicted(machine: Machine, family: str) -> FpgaEstimate:
    """Cells of a machine; without multiplier blocks where the family has no model of such.

    Raises
    ------
    InputError : no predictor of the family.
    """
    try:
        return predict(machine, family)
    except InputError:
        return predict(machine, family, dsp=False)


def fpga_metrics(
    machine: Machine, columns: Mapping[str, Column], device: str
) -> dict[str, NDArray[np.float64]]:
    """Look-up tables with limits, flip-flops, block RAMs and multiplier blocks of every point.

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
        one = predicted(replace(machine, accelerator=replace(array, **settings)), family)
        lut = one.lut
        rows.append((lut.value, lut.low, lut.high, one.flip_flops.value, one.bram, one.dsp))
    found = np.array(rows, dtype=np.float64)[places.ravel()]
    kinds = ("luts", "luts_low", "luts_high", "flip_flops", "block_rams", "dsps")
    return {kind: np.ascontiguousarray(found[:, i]) for i, kind in enumerate(kinds)}


def fits(metrics: Mapping[str, NDArray[np.float64]], device: str) -> NDArray[np.bool_]:
    """Whether the expected cells of every point are there on a device."""
    available = find_target(device).available
    held = [metrics[name] <= getattr(available, kind) for kind, name in METRIC.items()]
    return np.logical_and.reduce(held)
