"""Language models: architectures, weights, numpy inference and accuracy."""

from .architecture import Architecture, LinearShape
from .evaluate import BitsPerByte, bits_per_byte, capture_inputs, quantized_linear
from .llama import LinearHook, LlamaModel
from .registry import ModelInfo, known_models, model_folder
from .weights import Model, load_model

__all__ = [
    "Architecture",
    "BitsPerByte",
    "LinearHook",
    "LinearShape",
    "LlamaModel",
    "Model",
    "ModelInfo",
    "bits_per_byte",
    "capture_inputs",
    "known_models",
    "load_model",
    "model_folder",
    "quantized_linear",
]
