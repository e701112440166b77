"""Quantization: weights in groups of mixed formats, activations per token."""

from .composite import plane_matrix, quantize_blocks
from .matrix import QuantizedMatrix
from .model import QuantizedModel, quantize_model
from .quantizer import quantization_error, quantize_activations, quantize_matrix

__all__ = [
    "QuantizedMatrix",
    "QuantizedModel",
    "plane_matrix",
    "quantization_error",
    "quantize_activations",
    "quantize_blocks",
    "quantize_matrix",
    "quantize_model",
]
