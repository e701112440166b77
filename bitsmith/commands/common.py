"""What the commands share: options to job, arrays from files, output."""

import argparse
import dataclasses
import json
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.load import preset_names
from configs.schema import QuantizationConfig, RunConfig, WorkloadConfig, load_axis, load_run
from sw.models.registry import SHIPPED
from sw.quantize import QuantizedModel
from sw.quantize.recipe import check_format, machine_family

from ..job import Job, Progress
from ..strict_json import dumps

Options = argparse.Namespace


def emit(options: Options, result: dict[str, Any], text: str) -> None:
    """Print the JSON object or the text."""
    print(dumps(result) if options.json else text)


def override(config: Any, **values: Any) -> Any:
    """``config`` with those values that were given on the command line."""
    given = {name: value for name, value in values.items() if value is not None}
    return dataclasses.replace(config, **given) if given else config


def recipe_of(options: Options) -> QuantizationConfig:
    """The recipe that the options name and change; BitMoD FP4 in groups of 128 by default."""
    recipe = QuantizationConfig(format="bitmod_fp4")
    if options.recipe:
        recipe = load_axis("quantization", options.recipe)
    recipe = override(
        recipe,
        format=options.format,
        group_size=options.group_size,
        scale_format=choice(options.scale_format, "--scale-format", ("float16", "uint8")),
    )
    check_format(recipe.format)
    return recipe


def make_job(options: Options, progress: Progress) -> Job:
    """The job that the options describe.

    What they leave open: BitMoD FP4 with the schema's defaults (groups of 128, float16 scales), and
    the quickstart's model, accelerator and technology.
    """
    base = load_run("quickstart")
    workload, stored = _workload(options, base)
    if stored is not None:
        if any((options.recipe, options.format, options.group_size, options.scale_format)):
            raise InputError(
                f"'{options.model}' is quantized already: give no quantization options"
            )
        quantization = _describe(stored)
    else:
        quantization = recipe_of(options)
    array = (
        load_axis("accelerator", options.accelerator) if options.accelerator else base.accelerator
    )
    mode = choice(options.mode, "--mode", ("wrap", "saturate", "flag"))
    stages = {}
    for stage in ("inner", "outer"):
        bits, old = getattr(options, f"{stage}_bits"), getattr(array, f"{stage}_accumulator")
        try:
            stages[f"{stage}_accumulator"] = override(old, bits=bits, mode=mode)
        except InputError as error:
            raise InputError(f"--{stage}-bits: {error}") from None
    array = dataclasses.replace(array, **stages)
    memory = base.memory
    if getattr(options, "memory", None):
        memory = load_axis("memory", options.memory)
    technology = base.technology
    if getattr(options, "technology", None):
        technology = load_axis("technology", options.technology)
    quantization = dataclasses.replace(quantization, activation_bits=array.activation_bits)
    config = dataclasses.replace(
        base,
        workload=workload,
        quantization=quantization,
        accelerator=array,
        technology=technology,
        memory=memory,
    )
    data = getattr(options, "data", None) or "real"
    return Job(config=config, progress=progress, quantized_model=stored, data=data)


def float_model(options: Options) -> str:
    """Name or path of the model with weights that the options mean; the shipped one by default."""
    name = SHIPPED if options.model is None else options.model
    if not name:
        raise InputError("the model's name is empty")
    if name in preset_names("workloads"):
        workload = load_axis("workload", name)
        if workload.model is None:
            raise InputError(f"'{name}' has no weights to quantize, only shapes")
        return str(workload.model)
    return str(name)


def refuse_with_weights(options: Options, *, except_for: tuple[str, ...]) -> None:
    """With a bare matrix, an option that would be ignored is an error."""
    given = {
        "model": options.model,
        **{name: getattr(options, name, None) for name in JOB_OPTIONS if name not in except_for},
    }
    for name, value in given.items():
        if value is not None:
            shown = "a model" if name == "model" else f"--{JOB_OPTIONS[name]}"
            raise InputError(f"--weights is a bare matrix: it goes without {shown}")


#: options of every job command: attribute -> name on the command line
JOB_OPTIONS = {
    "recipe": "recipe",
    "format": "format",
    "group_size": "group-size",
    "scale_format": "scale-format",
    "accelerator": "config",
    "inner_bits": "inner-bits",
    "outer_bits": "outer-bits",
    "mode": "mode",
}


def choice(value: str | None, option: str, valid: tuple[str, ...]) -> str | None:
    """``value`` if it is valid or not given."""
    if value is not None and value not in valid:
        raise InputError(f"{option} is '{value}', valid are {', '.join(valid)}")
    return value


def _workload(options: Options, base: RunConfig) -> tuple[Any, QuantizedModel | None]:
    """Workload of the positional argument, and the quantized model if it is a folder of one."""
    name, stored = options.model, None
    workload = base.workload
    if getattr(options, "gemms", None) is not None:
        workload = WorkloadConfig(gemms=options.gemms, evaluation_bytes=0)
    if name is not None and (Path(name) / "manifest.json").is_file():
        stored = QuantizedModel.load(name)
        made_of = stored.recipe.get("source", {}).get("model", stored.name)
        workload = dataclasses.replace(workload, model=str(made_of))
    elif name is not None and name.endswith(".json"):
        workload = WorkloadConfig(architecture=read_json(Path(name)), evaluation_bytes=0)
    elif name is not None and (name in preset_names("workloads") or name.endswith(".yaml")):
        workload = load_axis("workload", name)
    elif name is not None:
        workload = dataclasses.replace(workload, model=name)
    return changed_workload(workload, options), stored


def changed_workload(workload: WorkloadConfig, options: Options) -> WorkloadConfig:
    """``workload`` with the sizes that were given on the command line."""
    heads, places = ("auto", "last", "all", "none"), ("host", "array")
    kv_format = getattr(options, "kv_format", None)
    if kv_format is not None:
        machine_family(kv_format)  # refuses unknown names
    changed: WorkloadConfig = override(
        workload,
        prefill_tokens=getattr(options, "prefill", None),
        decode_tokens=getattr(options, "decode", None),
        batch=getattr(options, "batch", None),
        lm_head=choice(getattr(options, "lm_head", None), "--lm-head", heads),
        attention=choice(getattr(options, "attention", None), "--attention", places),
        kv_format=kv_format,
    )
    return changed


def read_json(path: Path) -> dict[str, Any]:
    """A Hugging Face ``config.json``: shapes without weights."""
    try:
        described = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read '{path}' as JSON: {error}") from None
    if not isinstance(described, dict):
        raise InputError(f"'{path}' holds {type(described).__name__}, expected a JSON object")
    return described


def _describe(model: QuantizedModel) -> Any:
    """Quantization settings of a stored model."""
    matrix = next(iter(model.layers.values()))
    return load_axis(
        "quantization",
        {
            "format": matrix.family.name,
            "group_size": matrix.group_size,
            # block formats bring their own scales
            "scale_format": matrix.scale_format if matrix.scale_format == "uint8" else "float16",
            "activation_bits": model.activation_bits or 8,
        },
    )


def load_matrix(path: Path) -> NDArray[Any]:
    """Floating-point weights (N, K) from a ``.npy`` file.

    Raises
    ------
    InputError : unreadable, pickled, not 2-D, empty or of the wrong type.
    """
    return _load(path, "--weights", (2,), np.floating, "floating-point numbers")


def load_integers(path: Path, option: str, *, axes: tuple[int, ...]) -> NDArray[Any]:
    """Integers from a ``.npy`` file that ``option`` names, with one of these numbers of axes.

    Raises
    ------
    InputError : as :func:`load_matrix`.
    """
    return _load(path, option, axes, np.integer, "integers")


def _load(path: Path, option: str, axes: tuple[int, ...], wanted: type, kind: str) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except MemoryError:
        raise InputError(f"{option}: '{path}' claims more data than fits in memory") from None
    except (OSError, ValueError, EOFError, SyntaxError, BadZipFile, TokenError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{option}: cannot read '{path}' as .npy: {reason}") from None
    if not isinstance(array, np.ndarray) or array.ndim not in axes or not array.size:
        shape = getattr(array, "shape", "an archive")
        expected = "a matrix (N, K)" if axes == (2,) else "a vector (N,)"
        raise InputError(f"{option}: '{path}' holds {shape}, expected {expected}")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if not np.issubdtype(array.dtype, wanted):
        raise InputError(f"{option}: '{path}' holds {array.dtype}, expected {kind}")
    return array
