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
from .float_bounds import FloatBounds, is_bit_exact, layer_float_bounds
from .float_running import running_bound
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
    "FloatBounds",
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
    "is_bit_exact",
    "l1_bound_bits",
    "layer_bounds",
    "layer_float_bounds",
    "overflowing_channels",
    "reference_accumulate",
    "running_bound",
    "signed_range",
    "signed_width",
    "signed_widths",
    "single_stage_bounds",
    "witness",
]
