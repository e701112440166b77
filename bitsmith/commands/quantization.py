"""Commands about quantized models: quantize, export, compare, accuracy."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError, unknown_name
from configs.files import replacing
from configs.schema import load_comparison
from sw.models import apply_recipe, load_model
from sw.models.export import export_file, export_folder
from sw.quantize import QuantizedModel, layer_plan, quantization_error, quantize_layer
from sw.quantize.recipe import needs_inputs

from .. import steps
from ..accuracy import AccuracySettings, accuracy_table, accuracy_text
from ..compare import compare as compare_results
from ..compare import load_result
from ..hashes import files_hash, source_of
from ..job import Progress
from ..strict_json import plain
from ..tables import short_mix, text_table
from .common import Options, choice, emit, float_model, load_matrix, recipe_of, refuse_with_weights


def quantize(options: Options, progress: Progress) -> int:
    """``bitsmith quantize``."""
    if options.weights is not None:
        return _quantize_matrix(options)
    recipe = recipe_of(options)
    source = float_model(options)
    model = load_model(source)
    output = options.output or Path(f"{model.name}_quantized")
    bar = iter(progress(range(len(model.linear_weights())), "quantize"))
    next(bar, None)
    _, quantized = apply_recipe(
        model,
        recipe,
        folder=output,
        source=source_of(source),
        progress=lambda done, total: next(bar, None),
    )
    result = steps.describe_quantized(quantized, recipe)
    result["output"] = str(output)
    rows = [
        [
            layer["name"],
            f"{layer['n']}x{layer['k']}",
            short_mix(layer["format_mix"]),
            f"{layer['bits_per_weight']:.3f}",
            f"{layer['relative_error']:.6f}",
            f"{layer['sqnr_db']:.2f}",
        ]
        for layer in result["layers"]
    ]
    header = ["layer", "N x K", "format mix %", "bits/w", "relative error", "SQNR dB"]
    emit(
        options,
        result,
        f"{text_table(header, rows)}\n\n{result['weights']:,} weights, "
        f"{result['bits_per_weight']:.3f} bits each, scales included\n"
        f"{_kept_widths(result['accumulators'])}written: {output}",
    )
    return 0


def _kept_widths(checks: list[dict[str, Any]]) -> str:
    """One line about the accumulators that the layers keep to; nothing without any."""
    if not checks:
        return ""
    inner = max(check["inner_bits"] for check in checks)
    outer = [check["outer_bits"] for check in checks if check["outer_bits"] is not None]
    widths = f"P_I {inner}" + (f" and P_O {max(outer)}" if outer else "")
    modes = ", ".join(sorted({f"mode {check['mode']}" for check in checks}))
    zeros = sum(check["sparsity"] for check in checks) / len(checks)
    empty = sum(check["zero_channels"] for check in checks)
    return (
        f"proved on the final integers of {len(checks)} layers: no input can overflow {widths} "
        f"({modes});\n{100 * zeros:.0f}% of weights are 0 (mean over layers), {empty} channels are "
        "empty\n"
    )


def _quantize_matrix(options: Options) -> int:
    """A bare matrix in, an ``.npz`` with codes, scales, format_ids and dequantized out."""
    refuse_with_weights(options, except_for=("recipe", "format", "group_size", "scale_format"))
    if not options.format and not options.recipe:
        raise InputError("--weights needs --format, one of those that 'bitsmith formats' lists")
    weights = load_matrix(options.weights)
    recipe = recipe_of(options)
    plan = layer_plan(recipe, ["weights"])
    if recipe.transforms or recipe.kv_cache or needs_inputs(plan) or plan["weights"] is None:
        raise InputError("the recipe needs a model: a bare matrix is only rounded to nearest")
    matrix = quantize_layer(weights, plan["weights"])
    if matrix.residual is not None:
        raise InputError("an .npz file holds one plane: quantize a model to a sum of planes")
    output = options.output or options.weights.with_suffix(".quantized.npz")
    if output.suffix != ".npz":
        raise InputError(f"--output is '{output}', a matrix is written to a file ending in .npz")
    # the published quantizer's own float16 products, or float32
    published = matrix.scale_codes is None and recipe.arithmetic == "float16"
    dtype = np.float16 if published else np.float32
    arrays = {
        "codes": matrix.codes,
        "scales": matrix.scales.astype(dtype),
        "format_ids": matrix.format_ids,
        "dequantized": matrix.dequantize(dtype),
    }
    for name in ("scale_codes", "channel_scales", "zero_points"):
        if getattr(matrix, name) is not None:
            arrays[name] = getattr(matrix, name)
    _save_npz(output, arrays)
    result = {
        "output": str(output),
        "shape": list(matrix.shape),
        "format": matrix.family.name,
        "group_size": matrix.group_size,
        "scale_format": matrix.scale_format,
        "bits_per_weight": matrix.bits_per_weight,
        "format_mix": matrix.format_mix,
        **quantization_error(weights, matrix),
    }
    text = "\n".join(f"{key}: {value}" for key, value in plain(result).items())
    emit(options, result, text)
    return 0


def _save_npz(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an archive whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"--output: cannot write '{path}': {error.strerror}") from None


def accuracy(options: Options, progress: Progress) -> int:
    """``bitsmith accuracy``."""
    recipes = load_comparison(options.recipes)
    for name in options.only or []:
        if name not in recipes:
            raise unknown_name("recipe", name, recipes)
    if options.only:
        recipes = {name: recipes[name] for name in options.only}
    settings = AccuracySettings(
        model=float_model(options),
        tokens=options.tokens,
        context=options.context,
        text=options.text,
    )
    table = accuracy_table(settings, recipes, folder=options.output, progress=progress)
    text = accuracy_text(table)
    if options.output:
        text += f"\nwritten: {options.output} (accuracy.json, accuracy.csv)"
    emit(options, table, text)
    return 0


def export(options: Options, progress: Progress) -> int:
    """``bitsmith export``."""
    dtype = choice(options.dtype, "--dtype", ("float32", "float16")) or "float32"
    quantized = QuantizedModel.load(options.folder)
    made_of = quantized.recipe.get("source", {})
    source = options.source or made_of.get("model")
    if source is None:
        raise InputError(f"'{options.folder}' does not say which model it is of: give --source")
    model = load_model(source)
    if made_of.get("files_sha256", "") not in ("", files_hash(source)):
        raise InputError(f"'{options.folder}' was not made of '{source}' as it is now")
    if options.output.suffix in (".onnx", ".safetensors"):
        export_file(model, quantized, options.output, source=source, dtype=dtype)
        names = [options.output.name]
    else:
        names = export_folder(model, quantized, options.output, source=source, dtype=dtype)
    result = {"output": str(options.output), "files": names, "dtype": dtype}
    emit(options, result, f"written: {options.output} ({', '.join(names)})")
    return 0


def compare(options: Options, progress: Progress) -> int:
    """``bitsmith compare``."""
    result = compare_results(load_result(options.a), load_result(options.b))
    lines = [f"A: {options.a} ({result['kinds'][0]})", f"B: {options.b} ({result['kinds'][1]})"]
    if result["settings"]:
        rows = [[x["name"], _shown(x["a"]), _shown(x["b"])] for x in result["settings"]]
        lines += ["", text_table(["setting", "A", "B"], rows)]
    for key, first in (("metrics", "figure"), ("parts", "part")):
        rows = [
            [
                *([x["part"]] if key == "parts" else []),
                x["name"],
                *(_shown(x[name]) for name in ("a", "b", "difference", "ratio")),
            ]
            for x in result[key]
        ]
        if rows:
            header = ["part", "figure"] if key == "parts" else [first]
            lines += ["", text_table([*header, "A", "B", "B - A", "B / A"], rows)]
    emit(options, result, "\n".join(lines))
    return 0


def _shown(value: Any) -> str:
    """A figure or setting in little space."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
