"""Processing elements."""

from .accumulator import Accumulator
from .serial import SerialPE, dot_bits, shift_select_bits

__all__ = ["Accumulator", "SerialPE", "dot_bits", "shift_select_bits"]
