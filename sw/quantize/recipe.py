"""Recipes: which layer is quantized how, and doing it for a whole model, a layer at a time."""

import dataclasses
import difflib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from configs.schema import FEEDBACK_METHODS, NARROW_METHODS, LayerQuantization, QuantizationConfig
from sw.formats import FormatFamily, families, get_family
from sw.formats.block_tables import block_formats, get_block_format
from sw.formats.blocks import BlockFormat
from sw.formats.planes import PlaneSum, dual_binary, residual_planes
from sw.formats.trit_planes import trit_planes

from .asymmetric import asymmetric_bits, quantize_asymmetric
from .composite import cast_weights, plane_stack, quantize_blocks
from .error import layer_errors
from .matrix import QuantizedMatrix
from .model import Progress, QuantizedModel, model_header
from .quantizer import quantize_matrix
from .storage import ModelWriter
from .ternary import RULES as TERNARY_RULES
from .ternary import quantize_ternary

#: weights as sums of planes: how a recipe writes their names
PLANE_NAMES = ("trit_planes", "dual_binary", "residual_int{2..8}x{1..4}")
RESIDUAL_NAME = re.compile(r"residual_int([2-8])x([1-4])")
Plan = dict[str, LayerQuantization | None]
"""Layer name -> its settings, or None where it stays in floating point."""


def plane_format(name: str) -> Callable[[NDArray, int], PlaneSum] | None:
    """What fits planes of the format ``name`` to (weights, group size), or None."""
    if name == "trit_planes":
        return lambda weights, size: trit_planes(weights, group_size=size)
    if name == "dual_binary":
        return lambda weights, size: dual_binary(weights, group_size=size)
    if match := RESIDUAL_NAME.fullmatch(name):
        bits, terms = int(match[1]), int(match[2])
        return lambda weights, size: residual_planes(weights, bits=bits, terms=terms)
    return None


def is_cast(name: str) -> bool:
    """Whether a format is one that weights are only cast to: codes wider than 8 bits."""
    return name in families() and get_family(name).bits > 8


def check_format(name: str) -> None:
    """Refuse a name that is no number format, family, block, pair or plane format.

    Raises
    ------
    InputError : with the nearest name.
    """
    if plane_format(name) is not None or asymmetric_bits(name) is not None:
        return
    for known in (get_block_format, get_family):
        try:
            known(name)
            return
        except InputError as error:
            last = error
    names = [*families(), *block_formats(), *PLANE_NAMES, *(f"int{b}_asym" for b in range(2, 9))]
    if difflib.get_close_matches(name, names, 1, 0.6):
        raise unknown_name("number format", name, names)
    raise last


def machine_family(name: str) -> FormatFamily:
    """The family that the machine multiplies by for a recipe's format.

    That is the elements' family for a block format, and the full range of codes for one with zero
    points.

    Raises
    ------
    InputError : an unknown format, or one that needs several passes.
    """
    check_format(name)
    if (bits := asymmetric_bits(name)) is not None:
        return get_family(f"int{bits}_full")
    if plane_format(name) is not None:
        raise InputError(f"format '{name}' is a sum of planes: it cannot run on the machine yet")
    block = _block_format(name)
    return get_family(name if block is None else block.element)


def stored_scale_format(name: str) -> str:
    """Kind of group scales that weights in a recipe's format bring: float16 except for blocks.

    Weights that are only cast have scale 1, a power of two.
    """
    if is_cast(name):
        return "e8m0"
    block = _block_format(name)
    return "float16" if block is None else block.scale_format


def group_length(settings: LayerQuantization, columns: int) -> int:
    """Weights of a row that share a scale, in a layer of ``columns`` input channels."""
    block = _block_format(settings.format)
    if block is not None:
        return block.block_size
    if is_cast(settings.format):
        return columns
    return columns if isinstance(settings.group_size, str) else settings.group_size


def layer_plan(recipe: QuantizationConfig, layers: Iterable[str]) -> Plan:
    """Settings of every layer: those of the first override whose pattern fits, else the recipe's.

    Patterns are shell patterns (``*``, ``?``, ``[...]``) over the whole layer name.

    Raises
    ------
    InputError : a pattern that fits no layer, or an unknown format.
    """
    names = list(layers)
    for pattern in recipe.overrides:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern.strip("*"), names, 1, 0.3)
            hint = f", the nearest layer is '{near[0]}'" if near else ""
            raise InputError(f"override '{pattern}' fits no layer{hint}")
    fields = [f.name for f in dataclasses.fields(LayerQuantization)]
    base = recipe.base
    settings = {pattern: recipe.override(pattern) for pattern in recipe.overrides}
    for used in (base, *settings.values()):
        if used is not None:
            check_format(used.format)
    check_settings(base, set(fields))
    for pattern, changed in settings.items():
        changes = recipe.overrides[pattern]
        if changed is not None:
            check_settings(changed, set(changes) if isinstance(changes, dict) else set())

    def chosen(name: str) -> LayerQuantization | None:
        for pattern, found in settings.items():
            if name == pattern or fnmatchcase(name, pattern):
                return found
        return base

    return {name: chosen(name) for name in names}


def check_settings(settings: LayerQuantization, given: set[str]) -> None:
    """Refuse settings in ``given`` that the format has no use for and that are not the default.

    Raises
    ------
    InputError : the first of them.
    """
    name = settings.format
    if settings.method in NARROW_METHODS:
        from .narrow import check_narrow  # it imports modules that import this one

        check_narrow(settings)
    useful = {"format", "scale_format"}
    if plane_format(name) is not None:
        useful |= set() if RESIDUAL_NAME.fullmatch(name) else {"group_size"}
    elif _block_format(name) is None and not is_cast(name):
        useful |= {"group_size", "group_rows", "scale_rule", "percentile", "arithmetic", "method"}
        pairs = name in families() and get_family(name).pairs
        if pairs or settings.scale_rule in TERNARY_RULES:
            useful -= {"percentile", "arithmetic", "method"}
        if settings.method in NARROW_METHODS:
            useful = useful - {"percentile", "arithmetic"} | {"accumulator"}
        if pairs and settings.scale_rule not in ("absmax", "output_mse"):
            useful -= {"scale_rule"}
    default = LayerQuantization(format=name)
    for field in sorted(given - useful):
        value = getattr(settings, field)
        if value != getattr(default, field):
            raise InputError(f"format '{name}' has no use for {field} ({value}): leave it out")


def needs_inputs(plan: Plan) -> bool:
    """Whether any layer is quantized by what it reads on calibration text."""
    return any(
        s and (s.method in FEEDBACK_METHODS or s.scale_rule == "output_mse") for s in plan.values()
    )


def quantize_layer(
    weights: ArrayLike, settings: LayerQuantization, *, importance: ArrayLike | None = None
) -> QuantizedMatrix:
    """One layer's weights (N, K), quantized without its inputs as ``settings`` say.

    Parameters
    ----------
    importance : mean squares of the input channels, (K,), for ``scale_rule: output_mse``.

    Raises
    ------
    InputError : weights or settings that do not go together.
    """
    name, size, rule = settings.format, settings.group_size, settings.scale_rule
    if settings.method in NARROW_METHODS:
        from .narrow import quantize_narrow

        return quantize_narrow(weights, settings, importance=importance)
    shared: dict[str, Any] = {
        "group_size": size,
        "group_rows": settings.group_rows,
        "scale_format": settings.scale_format,
    }
    if rule in TERNARY_RULES:
        return quantize_ternary(weights, format_name=name, rule=rule, **shared)
    shared |= {
        "scale_rule": "mse" if rule == "output_mse" else rule,
        "percentile": settings.percentile,
        "arithmetic": settings.arithmetic,
        "importance": importance,
    }
    bits = asymmetric_bits(name)
    if bits is not None:
        return quantize_asymmetric(weights, bits=bits, **shared)
    if is_cast(name):
        matrix = cast_weights(weights, get_family(name))
        return matrix.with_uint8_scales() if settings.scale_format == "uint8" else matrix
    fit, block = plane_format(name), _block_format(name)
    if fit is None and block is None:
        return quantize_matrix(weights, get_family(name), **shared)
    array = np.asarray(weights)
    if fit is not None:
        matrix = plane_stack(fit(array, group_length(settings, array.shape[1])))
    else:
        assert block is not None
        matrix = quantize_blocks(array, block)
    return matrix.with_uint8_scales() if settings.scale_format == "uint8" else matrix


def _block_format(name: str) -> BlockFormat | None:
    """The block format called ``name``; None where it is something else."""
    if name in families():
        return None
    try:
        return get_block_format(name)
    except InputError:
        return None


def quantize_each(
    weights: Mapping[str, NDArray], plan: Plan, names: Iterable[str]
) -> Iterator[tuple[str, QuantizedMatrix, dict[str, float]]]:
    """Quantize layers on all cores; results come in order, at most one a core is in work.

    Yields
    ------
    Layer name, its matrix, and :func:`sw.quantize.error.layer_errors`.

    Raises
    ------
    InputError : a layer that cannot be quantized, with its name.
    """

    def one(name: str) -> tuple[str, QuantizedMatrix, dict[str, float]]:
        settings = plan[name]
        assert settings is not None
        array = weights[name]
        try:
            matrix = quantize_layer(array, settings)
            return name, matrix, layer_errors(array, matrix)
        except InputError as error:
            raise InputError(f"layer '{name}': {error}") from error

    workers = os.cpu_count() or 1
    waiting: deque[Future[tuple[str, QuantizedMatrix, dict[str, float]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for name in names:
                waiting.append(pool.submit(one, name))
                if len(waiting) >= workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class ModelBuilder:
    """Collects the layers of one model, in memory or in a folder.

    Parameters
    ----------
    name : the model's name.
    recipe : what the layers are quantized with.
    order : the layers that will be added.
    folder : write each layer there when it is added, and take up what an interrupted run with the
        same recipe and ``source`` left; None keeps the layers in memory.
    source : what the layers are made of: hashes of the weights' files, of texts, of the program.
    progress : called with (layers done, layers) after each layer.

    Attributes
    ----------
    order : the layers, in the order of the finished model.
    kept : layers that are there already.

    Raises
    ------
    InputError : no layers, or a folder that cannot be written.
    """

    def __init__(
        self,
        name: str,
        recipe: QuantizationConfig,
        order: list[str],
        *,
        folder: Path | None = None,
        source: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not order:
            raise InputError(f"quantized model '{name}' has no layers")
        described = {"settings": dataclasses.asdict(recipe), "source": dict(source or {})}
        self._header = model_header(name, recipe.activation_bits, described)
        self.order, self._progress = order, progress
        self._writer = ModelWriter(folder, self._header) if folder is not None else None
        self._layers: dict[str, QuantizedMatrix] = {}
        self._errors: dict[str, dict[str, float]] = {}
        self.kept: Mapping[str, QuantizedMatrix] = self._writer.done if self._writer else {}
        self._done = 0
        self._advance(len(self.kept))

    def _advance(self, layers: int) -> None:
        self._done += layers
        if self._progress is not None and layers:
            self._progress(self._done, len(self.order))

    def add(self, layer: str, matrix: QuantizedMatrix, errors: dict[str, float]) -> None:
        """Take one layer with its :func:`sw.quantize.error.layer_errors`."""
        if self._writer is not None:
            self._writer.add(layer, matrix, errors)
        else:
            self._layers[layer], self._errors[layer] = matrix, errors
        self._advance(1)

    def finish(self, float_tensors: Mapping[str, NDArray] | None = None) -> QuantizedModel:
        """The model, when every layer is there; ``float_tensors`` as in :class:`QuantizedModel`."""
        if self._writer is not None:
            self._writer.finish(self.order, float_tensors)
            return QuantizedModel.load(self._writer.folder)
        return QuantizedModel(
            **self._header,
            layers={name: self._layers[name] for name in self.order},
            errors=self._errors,
            float_tensors=float_tensors,
        )


def quantize_model(
    weights: Mapping[str, NDArray],
    recipe: QuantizationConfig,
    *,
    name: str = "model",
    folder: Path | None = None,
    source: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantize every matrix of a model, rounding to nearest, a layer at a time.

    Parameters
    ----------
    weights : layer name -> floating-point weights (N, K), in model order.
    recipe : settings and overrides; those that need a model's inputs (transforms, GPTQ,
        ``output_mse``) are for :func:`sw.models.apply_recipe`.
    name, folder, source, progress : as in :class:`ModelBuilder`.

    Raises
    ------
    InputError : an unknown format, an override that fits nothing, a recipe that needs inputs, or a
        matrix that cannot be quantized (with its name).
    """
    plan = layer_plan(recipe, weights)
    if recipe.transforms or needs_inputs(plan):
        raise InputError("the recipe needs a model and calibration text, not weights alone")
    order = [layer for layer in weights if plan[layer] is not None]
    builder = ModelBuilder(name, recipe, order, folder=folder, source=source, progress=progress)
    quantize_into(builder, weights, plan)
    return builder.finish()


def quantize_into(builder: ModelBuilder, weights: Mapping[str, NDArray], plan: Plan) -> None:
    """Round the layers that ``builder`` does not have yet, see :func:`quantize_each`."""
    todo = [layer for layer in builder.order if layer not in builder.kept]
    for layer, matrix, errors in quantize_each(weights, plan, todo):
        builder.add(layer, matrix, errors)
