"""Quantization: weights in groups of mixed formats, activations per token."""

from .composite import plane_matrix, quantize_blocks
from .matrix import QuantizedMatrix
from .model import QuantizedModel
from .quantizer import (
    activation_values,
    float_activations,
    quantization_error,
    quantize_activations,
    quantize_matrix,
)
from .recipe import layer_plan, quantize_layer, quantize_model

__all__ = [
    "QuantizedMatrix",
    "QuantizedModel",
    "activation_values",
    "float_activations",
    "layer_plan",
    "plane_matrix",
    "quantization_error",
    "quantize_activations",
    "quantize_blocks",
    "quantize_layer",
    "quantize_matrix",
    "quantize_model",
]
