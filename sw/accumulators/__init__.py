"""Accumulators: exact widths, the inputs that need them, and a step-by-step replay."""

from .bounds import (
    LayerBounds,
    Overflow,
    StageRange,
    layer_bounds,
    overflowing_channels,
    single_stage_bounds,
)
from .checks import Mode, Side, Stage
from .replay import Replay, reference_accumulate
from .report import BoundReport
from .width import (
    a2q_plus_bits,
    dtype_bound_bits,
    l1_bound_bits,
    signed_range,
    signed_width,
    signed_widths,
)
from .witness import Witness, witness

__all__ = [
    "BoundReport",
    "LayerBounds",
    "Mode",
    "Overflow",
    "Replay",
    "Side",
    "Stage",
    "StageRange",
    "Witness",
    "a2q_plus_bits",
    "dtype_bound_bits",
    "l1_bound_bits",
    "layer_bounds",
    "overflowing_channels",
    "reference_accumulate",
    "signed_range",
    "signed_width",
    "signed_widths",
    "single_stage_bounds",
    "witness",
]
