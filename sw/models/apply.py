"""A recipe applied to a model: transforms, calibration, quantization."""

import dataclasses
import hashlib
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.schema import FEEDBACK_METHODS, LayerQuantization, QuantizationConfig
from sw.formats import get_family
from sw.quantize import QuantizedMatrix, QuantizedModel, quantize_activations
from sw.quantize.asymmetric import asymmetric_bits
from sw.quantize.error import layer_errors
from sw.quantize.gptq import gptq
from sw.quantize.model import Progress
from sw.quantize.narrow import quantize_narrow
from sw.quantize.recipe import (
    ModelBuilder,
    Plan,
    layer_plan,
    needs_inputs,
    quantize_into,
    quantize_layer,
)

from .architecture import HEAD, Architecture
from .calibrate import (
    InputStatistics,
    calibration_batches,
    collect_statistics,
    quantize_in_order,
)
from .llama import Floats, LlamaModel
from .text import calibration_text
from .transforms import Rewritten, awq, hadamard, os_plus, smoothquant
from .weights import Model

#: tokens that calibration reads at a time, where the model's own context is longer
CALIBRATION_CONTEXT = 512


def apply_recipe(
    model: Model,
    recipe: QuantizationConfig,
    *,
    folder: Path | None = None,
    source: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> tuple[Model, QuantizedModel]:
    """Quantize a model as a recipe says.

    Rounding to nearest streams: it holds one layer a core. Transforms and calibration run the model
    and hold all of it.

    Parameters
    ----------
    folder, source, progress : as in :class:`sw.quantize.recipe.ModelBuilder`.

    Returns
    -------
    The floating-point model after the transforms, which the layers stand in, and the layers.

    Raises
    ------
    InputError : a recipe that does not fit the model, or weights that cannot be quantized.
    """
    plan = layer_plan(recipe, model.linear_shapes)
    reads = bool(recipe.transforms) or needs_inputs(plan)
    batches = _calibration_batches(model, recipe) if reads else []
    builder = ModelBuilder(
        model.name,
        recipe,
        [name for name, settings in plan.items() if settings is not None],
        folder=folder,
        source={**(source or {}), **calibration_source(recipe, plan)},
        progress=progress,
    )
    if reads:
        return _apply_with_inputs(model, recipe, plan, batches, builder)
    quantize_into(builder, model.linear_weights(), plan)
    return model, builder.finish()


def calibration_source(recipe: QuantizationConfig, plan: Plan) -> dict[str, str]:
    """Hash of the calibration text, where the recipe reads it."""
    if not recipe.transforms and not needs_inputs(plan):
        return {}
    text = calibration_text(recipe.calibration_text)
    return {"calibration_sha256": hashlib.sha256(text.encode()).hexdigest()}


def _apply_with_inputs(
    model: Model,
    recipe: QuantizationConfig,
    plan: Plan,
    batches: list[NDArray[np.int64]],
    builder: ModelBuilder,
) -> tuple[Model, QuantizedModel]:
    """Transforms and calibration, on the whole model in memory."""
    given = {name: model.tensors[name] for name in model.tensors}
    prepared = _transformed(dataclasses.replace(model, tensors=given), recipe, plan, batches)
    if needs_inputs(plan):
        _quantize_on_inputs(prepared, plan, batches, builder)
    else:
        quantize_into(builder, prepared.linear_weights(), plan)
    assert isinstance(prepared.architecture, Architecture)
    stored = {prepared.architecture.weight_name(name) for name in builder.order}
    changed = {
        name: tensor
        for name, tensor in prepared.tensors.items()
        if name not in stored and tensor is not given.get(name)
    }
    return prepared, builder.finish(changed or None)


def prepared_model(model: Model, quantized: QuantizedModel) -> Model:
    """The floating-point model around quantized layers: ``model`` with their float tensors."""
    if not quantized.float_tensors or not isinstance(model.architecture, Architecture):
        return model
    architecture = model.architecture
    if HEAD in quantized.float_tensors:
        architecture = dataclasses.replace(architecture, tie_word_embeddings=False)
    tensors = ChainMap(dict(quantized.float_tensors), model.tensors)  # type: ignore[arg-type]
    return dataclasses.replace(model, architecture=architecture, tensors=tensors)


def _calibration_batches(model: Model, recipe: QuantizationConfig) -> list[NDArray[np.int64]]:
    if not isinstance(model.architecture, Architecture):
        raise InputError(
            f"model '{model.name}': transforms and calibration need a Llama-class model, "
            "here only rounding to nearest works"
        )
    ids = np.array(model.tokenizer.encode(calibration_text(recipe.calibration_text)))
    context = min(CALIBRATION_CONTEXT, model.architecture.max_position_embeddings)
    return calibration_batches(ids, context=context, limit=recipe.calibration_tokens)


def _transformed(
    model: Model, recipe: QuantizationConfig, plan: Plan, batches: list[NDArray[np.int64]]
) -> Model:
    """The model after all transforms of the recipe."""

    def weights(name: str, matrix: NDArray) -> Floats:
        settings = plan[name]
        if settings is None:
            return np.asarray(matrix, dtype=np.float32)
        return quantize_layer(matrix, _rounding(settings)).dequantize(np.float32)

    def inputs(x: Floats) -> Floats:
        codes, scales = quantize_activations(x, bits=recipe.activation_bits)
        return codes.astype(np.float32) * scales[:, None]

    for transform in recipe.transforms:
        assert isinstance(model.architecture, Architecture)
        parts = (model.architecture, model.tensors)
        rewritten: Rewritten
        if transform == "hadamard":
            rewritten = hadamard(*parts)
        else:
            known = _statistics(model, batches, hessians=transform == "awq")
            if transform == "smoothquant":
                rewritten = smoothquant(*parts, known, alpha=recipe.smooth_alpha)
            elif transform == "os_plus":
                rewritten = os_plus(*parts, known, weights, inputs)
            else:
                rewritten = awq(*parts, known, weights)
        model = dataclasses.replace(
            model, architecture=rewritten.architecture, tensors=rewritten.tensors
        )
    return model


def _rounding(settings: LayerQuantization) -> LayerQuantization:
    """``settings`` without what needs the layer's inputs."""
    rule = "mse" if settings.scale_rule == "output_mse" else settings.scale_rule
    if settings.method == "axe":
        return dataclasses.replace(settings, method="axe_rtn", scale_rule=rule)
    method = "rtn" if settings.method == "gptq" else settings.method
    return dataclasses.replace(settings, method=method, scale_rule=rule)


def _statistics(
    model: Model, batches: list[NDArray[np.int64]], *, hessians: bool
) -> Mapping[str, InputStatistics]:
    assert isinstance(model.architecture, Architecture)
    llama = LlamaModel(model.architecture, model.tensors)
    return collect_statistics(llama.hidden_states, llama.linear, batches, hessians=hessians)


def _quantize_on_inputs(
    model: Model, plan: Plan, batches: list[NDArray[np.int64]], builder: ModelBuilder
) -> None:
    """Every layer in order of execution, on what the quantized layers before it give."""
    assert isinstance(model.architecture, Architecture)

    def visit(name: str, weights: Floats, known: InputStatistics) -> Floats | None:
        settings = plan[name]
        if settings is None:
            return None
        if name in builder.kept:
            return builder.kept[name].dequantize(np.float32)
        try:
            matrix = _on_inputs(weights, settings, known)
        except InputError as error:
            raise InputError(f"layer '{name}': {error}") from error
        builder.add(name, matrix, layer_errors(weights, matrix))
        return matrix.dequantize(np.float32)

    feedback = any(s is not None and s.method in FEEDBACK_METHODS for s in plan.values())
    llama = LlamaModel(model.architecture, model.tensors)
    quantize_in_order(llama, batches, visit, hessians=feedback)


def _on_inputs(
    weights: Floats, settings: LayerQuantization, known: InputStatistics
) -> QuantizedMatrix:
    if settings.method not in FEEDBACK_METHODS:
        importance = known.mean_square if settings.scale_rule == "output_mse" else None
        return quantize_layer(weights, settings, importance=importance)
    assert known.hessian is not None
    if settings.method == "axe":
        return quantize_narrow(weights, settings, hessian=known.hessian, damping=known.damping)
    bits = asymmetric_bits(settings.format)
    return gptq(
        weights,
        known.hessian,
        get_family(settings.format if bits is None else f"int{bits}_full"),
        zero_points=bits is not None,
        damping=known.damping,
        group_size=settings.group_size,
        group_rows=settings.group_rows,
        scale_format=settings.scale_format,
        scale_rule=settings.scale_rule,
        percentile=settings.percentile,
        arithmetic=settings.arithmetic,
    )
