"""From group sums to outputs."""

from .activations import ActivationSums
from .column import ColumnScale
from .control import DequantizerControl
from .encoder import FloatEncoder
from .floating import FloatDequantizer
from .requantizer import Requantizer
from .scales import ScaleDecoder
from .serial import SerialDequantizer

__all__ = [
    "ActivationSums",
    "ColumnScale",
    "DequantizerControl",
    "FloatDequantizer",
    "FloatEncoder",
    "Requantizer",
    "ScaleDecoder",
    "SerialDequantizer",
]
