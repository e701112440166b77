"""What a width is tried on: a language model, or the classifier of digits."""

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from configs.schema import LayerQuantization, QuantizationConfig, load_axis
from sw.compile.machine import machine_terms
from sw.golden.narrow_layer import NarrowLayer
from sw.models import Architecture, LlamaModel, apply_recipe, load_model
from sw.models.apply import prepared_model
from sw.models.digits_task import DigitsModel, activation_scale, unsigned_codes
from sw.models.evaluate import tokenized
from sw.models.llama import LinearHook
from sw.models.narrow import NarrowLinear, NarrowModel
from sw.models.text import evaluation_text
from sw.models.widths import language_score
from sw.quantize import QuantizedMatrix, QuantizedModel, quantize_layer
from sw.quantize.model import model_header
from sw.quantize.narrow import quantize_narrow

#: name of the task that is no language model
DIGITS = "digits_mlp"
#: what the tasks run on; widths are set one by one
ARRAY = "tiny_4x4x4"
#: activation codes of the digits, as in the literature on narrow accumulators
DIGITS_ACTIVATION_BITS = 4


class Task(ABC):
    """A model with weights, a figure of merit, and a way to quantize it.

    Attributes
    ----------
    name, metric : as tables name them.
    higher_is_better : of the metric.
    array : the accelerator that it runs on.
    settings : how its weights are quantized where no accumulator is named.
    """

    name: str
    metric: str
    higher_is_better: bool
    array: AcceleratorConfig
    settings: QuantizationConfig

    @property
    @abstractmethod
    def float_value(self) -> float:
        """The metric of the floating-point model."""

    @abstractmethod
    def quantized(self, settings: QuantizationConfig) -> QuantizedModel:
        """The model's weights as ``settings`` say."""

    @abstractmethod
    def narrow(self, quantized: QuantizedModel) -> NarrowModel:
        """The quantized layers on registers that differ."""

    @abstractmethod
    def evaluate(self, quantized: QuantizedModel, linear: LinearHook) -> float:
        """The metric with ``linear`` as the model's linears."""


class LanguageTask(Task):
    """Bits per byte of a Llama-class model on text that it has not seen.

    Parameters
    ----------
    name : of the model, or its path.
    settings : recipe without an accumulator.
    tokens : of text.

    Raises
    ------
    InputError : not a Llama-class model.
    """

    metric = "bits per byte"
    higher_is_better = False

    def __init__(self, name: str, settings: QuantizationConfig, *, tokens: int) -> None:
        self.model = load_model(name)
        if not isinstance(self.model.architecture, Architecture):
            raise InputError(f"model '{name}' is not a Llama-class model")
        self.name, self.settings = self.model.name, settings
        self.array = load_axis("accelerator", ARRAY)
        self.settings = replace(settings, activation_bits=self.array.activation_bits)
        self.context = min(1024, self.model.architecture.max_position_embeddings)
        held = self.model.heldout
        text = evaluation_text() if held is None else held.decode("utf-8", "replace")
        self.text = tokenized(text, self.model.tokenizer).spread(tokens, self.context)

    @cached_property
    def float_value(self) -> float:
        """Bits per byte of the floating-point model."""
        llama = _llama(self.model)
        return self._score(llama, llama.linear)

    def quantized(self, settings: QuantizationConfig) -> QuantizedModel:
        """The recipe applied, with calibration text where it reads any."""
        return apply_recipe(self.model, settings)[1]

    def _around(self, quantized: QuantizedModel) -> LlamaModel:
        return _llama(prepared_model(self.model, quantized))

    def narrow(self, quantized: QuantizedModel) -> NarrowModel:
        """Dynamic activation codes per token, group sums in one register, scaled in the other."""
        return NarrowModel(quantized, self.array, otherwise=self._around(quantized).linear)

    def evaluate(self, quantized: QuantizedModel, linear: LinearHook) -> float:
        """Bits per byte."""
        return self._score(self._around(quantized), linear)

    def _score(self, llama: LlamaModel, linear: LinearHook) -> float:
        score = language_score(llama, self.text, context=self.context)(linear)
        return score if isinstance(score, float) else score.mean


def _llama(model: Any) -> LlamaModel:
    return LlamaModel(model.architecture, model.tensors)


class DigitsTask(Task):
    """Share of handwritten digits that the shipped perceptron tells apart.

    Whole rows of weights share a scale and a register; inputs are unsigned, because they follow
    ReLU, with one scale per layer.

    Parameters
    ----------
    settings : recipe without an accumulator; its group size is not looked at.
    activation_bits : 4 to 8.
    """

    name = DIGITS
    metric = "accuracy"
    higher_is_better = True

    def __init__(
        self, settings: QuantizationConfig, *, activation_bits: int = DIGITS_ACTIVATION_BITS
    ) -> None:
        self.model, bits = DigitsModel.load(), activation_bits
        self.settings = replace(settings, group_size="channel", activation_bits=bits)
        array = load_axis("accelerator", ARRAY)
        self.array = replace(array, activation_bits=bits, activation_signed=False)
        self._inputs = self.model.calibration_inputs()
        self._scales = {name: activation_scale(x, bits) for name, x in self._inputs.items()}

    @cached_property
    def float_value(self) -> float:
        """Accuracy of the floating-point model."""
        return self.model.evaluate()

    def quantized(self, settings: QuantizationConfig) -> QuantizedModel:
        """Every layer by itself, error feedback and importance measured on training images."""
        header = model_header(self.name, self.array.activation_bits, {})
        return QuantizedModel(
            **header,
            layers={name: self._layer(name, settings) for name in self.model.weights},
            errors={},
        )

    def _layer(self, name: str, settings: LayerQuantization) -> QuantizedMatrix:
        weights, x = self.model.weights[name], self._inputs[name].astype(np.float64)
        importance = np.mean(np.square(x), axis=0)
        if settings.accumulator is None:
            return quantize_layer(weights, settings, importance=importance)
        needed = x.T @ x if settings.method == "axe" else None
        return quantize_narrow(weights, settings, importance=importance, hessian=needed)

    def narrow(self, quantized: QuantizedModel) -> NarrowModel:
        """Unsigned codes, one register per row."""
        linears = {name: self._linear(name, m) for name, m in quantized.layers.items()}
        return NarrowModel.of_linears(self.name, linears)

    def _linear(self, name: str, matrix: QuantizedMatrix) -> NarrowLinear:
        bits, scale = self.array.activation_bits, np.float32(self._scales[name])
        step = matrix.scales[:, 0] * np.float32(matrix.family.unit) * scale
        layer = NarrowLayer(
            levels=matrix.levels,
            terms=machine_terms(self.array, matrix.family),
            group_size=matrix.levels.shape[1],
            lanes=self.array.lanes,
            input_range=self.array.integer_range,
        )
        return NarrowLinear(
            layer=layer,
            encode=partial(_encoded, scale=scale, bits=bits),
            decode=lambda sums, _: sums.astype(np.float32) * step,
        )

    def evaluate(self, quantized: QuantizedModel, linear: LinearHook) -> float:
        """Accuracy on the test images."""
        return self.model.evaluate(linear)


def _encoded(
    x: NDArray[np.float32], *, scale: np.float32, bits: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return unsigned_codes(x, scale, bits), np.full(len(x), scale, dtype=np.float32)


def find_task(name: str, settings: QuantizationConfig, *, tokens: int) -> Task:
    """The task called ``name``: :data:`DIGITS`, or a language model."""
    if name == DIGITS:
        return DigitsTask(settings)
    return LanguageTask(name, settings, tokens=tokens)
