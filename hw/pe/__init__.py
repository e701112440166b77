"""Processing elements."""

from .accumulator import Accumulator
from .aligning import AligningPE, parts_layout
from .base import PE, balanced_sum, shift_select_bits
from .float_accumulator import FloatAccumulator, FloatSum, right_shift, sticky_shift
from .multiplier import MultiplierPE
from .serial import SerialPE, activation_shape, dot_bits

__all__ = [
    "PE",
    "Accumulator",
    "AligningPE",
    "FloatAccumulator",
    "FloatSum",
    "MultiplierPE",
    "SerialPE",
    "activation_shape",
    "balanced_sum",
    "dot_bits",
    "parts_layout",
    "right_shift",
    "shift_select_bits",
    "sticky_shift",
]
