"""Language models: architectures, weights, numpy inference, accuracy, recipes applied to them."""

from .apply import apply_recipe, prepared_model
from .architecture import Architecture, EncoderArchitecture, LinearShape
from .evaluate import (
    BitsPerByte,
    LanguageAccuracy,
    bits_per_byte,
    capture_inputs,
    language_accuracy,
    quantized_linear,
)
from .llama import LinearHook, LlamaModel
from .registry import ModelInfo, known_models
from .weights import Model, load_model

__all__ = [
    "Architecture",
    "BitsPerByte",
    "EncoderArchitecture",
    "LanguageAccuracy",
    "LinearHook",
    "LinearShape",
    "LlamaModel",
    "Model",
    "ModelInfo",
    "apply_recipe",
    "bits_per_byte",
    "capture_inputs",
    "known_models",
    "language_accuracy",
    "load_model",
    "prepared_model",
    "quantized_linear",
]
