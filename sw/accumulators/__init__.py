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
from .float_sums import FloatSumReport, FloatSums, float_sum_report
from .float_types import FloatType, float_type
from .integers import IntegerLayer
from .kulisch import KulischBits, kulisch_bits
from .replay import Replay, reference_accumulate
from .report import BoundReport
from .rounding import rounding_witness
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
    "FloatSumReport",
    "FloatSums",
    "FloatType",
    "IntegerLayer",
    "KulischBits",
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
    "float_sum_report",
    "float_type",
    "is_bit_exact",
    "kulisch_bits",
    "l1_bound_bits",
    "layer_bounds",
    "layer_float_bounds",
    "overflowing_channels",
    "reference_accumulate",
    "rounding_witness",
    "running_bound",
    "signed_range",
    "signed_width",
    "signed_widths",
    "single_stage_bounds",
    "witness",
]
