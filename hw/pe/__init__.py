"""Processing elements."""

from .accumulator import Accumulator
from .serial import SerialPE, activation_shape, dot_bits, shift_select_bits

__all__ = ["Accumulator", "SerialPE", "activation_shape", "dot_bits", "shift_select_bits"]
