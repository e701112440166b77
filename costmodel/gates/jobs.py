"""Jobs that measured cores run: a layer of the shipped model, random numbers, mostly zeros."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from configs.schema import QuantizationConfig
from sw.compile import (
    GemmProgram,
    Machine,
    RequantizerParameters,
    dyadic,
    machine_activations,
    machine_layer,
)
from sw.compile.scales import largest_code
from sw.formats import get_family
from sw.golden import golden_gemm
from sw.models import LlamaModel, capture_inputs, load_model
from sw.models.architecture import Architecture
from sw.models.text import evaluation_text
from sw.quantize.recipe import quantize_model

from .points import MODEL, CorePoint

#: tiles of a job in each direction
TILES = 2
#: tokens that the model reads; those in the middle are run
_TOKENS = 96
#: shares of a zero-rich job that are 0
ZERO_ACTIVATIONS, ZERO_WEIGHTS = 0.75, 0.5
_BLOCKS = ("mxfp4",)
DATA = ("real", "random", "zero_rich")


@dataclass(frozen=True, kw_only=True)
class _Tensors:
    weights: NDArray[np.float32]
    inputs: NDArray[np.float32]


@lru_cache
def _layers() -> dict[str, _Tensors]:
    """Weights and inputs of every layer on held-out text."""
    model = load_model(MODEL)
    assert isinstance(model.architecture, Architecture)
    llama = LlamaModel(model.architecture, model.tensors)
    text = np.array(model.tokenizer.encode(evaluation_text()[: 4 * _TOKENS]))
    inputs = capture_inputs(llama, text, _TOKENS)
    weights = dict(model.linear_weights())
    return {
        name: _Tensors(weights=np.asarray(weights[name], np.float32), inputs=inputs[name])
        for name in model.linear_shapes
    }


def real_job(point: CorePoint, layer: str) -> GemmProgram:
    """The first channels of a layer on tokens from the middle of a text."""
    machine, tensors = point.core.machine, _layers()[layer]
    rows, cols = (TILES * n for n in (machine.accelerator.rows, machine.accelerator.cols))
    # block formats bring their own group size
    recipe = QuantizationConfig(format=point.weights)
    if point.weights not in _BLOCKS:
        recipe = replace(recipe, group_size=point.group_size)
    matrix = quantize_model({layer: tensors.weights[:cols]}, recipe).layers[layer]
    quantized = machine_layer(matrix, machine.accelerator)
    codes, _ = machine_activations(tensors.inputs[_TOKENS // 2 :][:rows], machine.accelerator)
    program = quantized.program(_raw(machine), f"{layer}, real", codes)
    return _requantized(program, machine)


def _raw(machine: Machine) -> Machine:
    return replace(machine, accelerator=replace(machine.accelerator, requantizer=None))


def _requantized(program: GemmProgram, machine: Machine) -> GemmProgram:
    """Ratios that map the largest output of every channel to 127, where there is a requantizer."""
    config = machine.accelerator.requantizer
    if config is None:
        return replace(program, machine=machine)
    largest = np.abs(golden_gemm(program).outputs).max(axis=0)
    most = (1 << config.multiplier_bits) - 1
    found: RequantizerParameters = dyadic(np.minimum(127 / np.maximum(largest, 1), most), config)
    return replace(program, machine=machine, requantizer=found)


def random_job(real: GemmProgram, seed: Sequence[int]) -> GemmProgram:
    """The same shape with uniform codes, format ids, scales and activations.

    Floating-point activations are normal numbers.
    """
    machine, rng = real.machine, np.random.default_rng(seed)
    family, array = machine.family, machine.accelerator
    ids = rng.integers(0, len(family.members), real.format_ids.shape).astype(np.uint8)
    codes = np.zeros_like(real.codes)
    of_weight = ids[:, np.arange(codes.shape[1]) // real.group_size]
    for index, member in enumerate(family.members):
        used = np.flatnonzero([level is not None for level in member.levels])
        drawn = used[rng.integers(0, len(used), codes.shape)]
        codes = np.where(of_weight == index, drawn, codes).astype(real.codes.dtype)
    scales = rng.integers(0, largest_code(array.scale) + 1, real.scale_codes.shape)
    half = 1 << max(0, array.zero_point_bits - 1)
    if array.has_floats:
        normal = rng.standard_normal(real.activations.shape).astype(np.float32)
        activations, _ = machine_activations(normal, array)
    else:
        low, high = machine.activation_codes
        activations = rng.integers(low, high + 1, real.activations.shape)
    zero_points = rng.integers(-half, half, ids.shape) if array.zero_point_bits else None
    program = replace(
        real,
        machine=_raw(machine),
        requantizer=None,
        name=real.name.replace("real", "random"),
        codes=codes,
        format_ids=ids,
        scale_codes=scales.astype(np.uint8),
        zero_points=zero_points,
        activations=activations,
    )
    return _requantized(program, machine)


def zero_rich_job(real: GemmProgram, seed: Sequence[int]) -> GemmProgram:
    """The same job with most activations and many weights replaced by 0."""
    rng = np.random.default_rng(seed)
    keep = rng.random(real.activations.shape) >= ZERO_ACTIVATIONS
    drop = rng.random(real.codes.shape) < ZERO_WEIGHTS
    of_weight = real.format_ids[:, np.arange(real.codes.shape[1]) // real.group_size]
    codes = real.codes.copy()
    for index, member in enumerate(get_family(real.machine.family.name).members):
        zeros = [code for code, level in enumerate(member.levels) if level == 0]
        if zeros:
            codes[drop & (of_weight == index)] = zeros[0]
    return replace(
        real,
        name=real.name.replace("real", "zero-rich"),
        codes=codes,
        activations=np.where(keep, real.activations, 0),
    )
