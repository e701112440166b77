"""Small spaces for tests: a base, short names of paths."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bitsmith.explore.space import Space
from configs.load import build
from configs.sweep import SweepConfig

BASE = {
    "workload": "scribe",
    "quantization": "bitmod_fp4_g32",
    "accelerator": "tiny_4x4x4",
    "technology": "generic_28nm",
}
ROWS = "accelerator.rows"
LANES = "accelerator.lanes"
PE = "accelerator.pe"
BEATS = "accelerator.buffers.activation_beats"
SHARED = "accelerator.rows_per_dequantizer"


def space_of(axes: Mapping[str, Any], folder: Path = Path(), **given: Any) -> Space:
    """The space of a sweep with these axes; what else the sweep says is ``given``."""
    data = {"base": BASE, "objectives": ["area_mm2"], **given, "axes": axes}
    return Space.of(build(SweepConfig, {"name": "s", "description": "", **data}, "s"), folder)


def counting(space: Space) -> list[int]:
    """Numbers of the points that count."""
    return np.flatnonzero(space.allowed(np.arange(space.size))).tolist()
