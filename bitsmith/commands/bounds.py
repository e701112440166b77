"""The command about accumulator widths."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from configs.errors import InputError, check_range
from sw.accumulators import Mode
from sw.accumulators.kulisch import kulisch_bits
from sw.models.readers import open_tensors
from sw.models.readers.integer_layers import IntegerSource, ReadLayer, open_integer_layers

from ..bounds.cost import width_costs
from ..bounds.files import FileQuestion, file_bounds, of_one_matrix
from ..bounds.layers import MACHINE_ORDER, Question, Witnesses
from ..bounds.measured import add_observed, simulated, sufficient_widths, width_study
from ..bounds.model import model_bounds
from ..job import Job, Progress
from ..report.bounds import bounds_page
from ..strict_json import plain, write_texts
from ..tables import csv_text, overflow_text, text_table
from .common import Options, choice, emit, load_integers, make_job, refuse_with_weights

#: files that the positional argument may name although they are no models to quantize
INTEGER_FILES = (".npy", ".npz", ".onnx")
#: options that only a bare matrix has use for
_MATRIX_OPTIONS = ("scales", "bias", "zero_point", "padded")
#: options that need a model to run
_MODEL_OPTIONS = ("observe", "sufficient", "cost")
#: options about the text that such a model reads
_TEXT_OPTIONS = ("tokens", "tolerance")
#: what the width of exact sums of two formats has no use for
_KULISCH_WITHOUT = (
    *("model", "weights", "accelerator", "recipe", "format", "inner_bits", "outer_bits", "mode"),
    *("input_range", "schedule", "tile", "lanes", "weight_bits", "floats", "html", "csv"),
    *_MATRIX_OPTIONS,
    *_MODEL_OPTIONS,
    *_TEXT_OPTIONS,
)
#: products of an exact sum where nothing else is said
PRODUCTS = 4096


def bounds(options: Options, progress: Progress) -> int:
    """``bitsmith bounds``."""
    if options.channels < 0:
        raise InputError(f"--channels is {options.channels}, it must not be negative")
    if options.kulisch is not None:
        _refuse(options, "--kulisch", _KULISCH_WITHOUT)
        return _kulisch(options)
    if options.products is not None:
        raise InputError("--products goes with --kulisch A B")
    path = options.weights or _integer_file(options)
    result = _of_file(options, path) if path is not None else _of_model(options, progress)
    result = plain(result)
    lines = _errors(result) if "bit_exact" in result else _widths(result)
    lines += [
        f"  {found['layer']} channel {found['channel']}: {found['stage']} accumulator reaches "
        f"{found['low']}..{found['high']} and needs {found['needed_bits']} bits"
        for found in result["overflows"][: options.channels]
    ]
    _write_files(options, result)
    emit(options, result, "\n".join(lines))
    return 1 if result["overflows"] else 0


def _refuse(options: Options, form: str, names: tuple[str, ...]) -> None:
    """An option that would be ignored is an error."""
    for name in names:
        given = getattr(options, name)
        if given is not None and given is not False:  # 0 is given
            shown = "a model" if name == "model" else f"--{name.replace('_', '-')}"
            raise InputError(f"{form} goes without {shown}")


def _kulisch(options: Options) -> int:
    """Width of sums of products of two formats that are never rounded."""
    names = options.kulisch
    products = PRODUCTS if options.products is None else options.products
    found = kulisch_bits(names[0], names[1], products)
    result = {"formats": names, "products": products, **found._asdict()}
    formula = "" if found.published is None else f" (published formula: {found.published})"
    text = f"exact sums of {products} products {' x '.join(names)}: {found.exact} bits{formula}"
    emit(options, result, text)
    return 0


def _integer_file(options: Options) -> Path | None:
    """The positional argument, if it is a file of integers and nothing says how to quantize it."""
    asked = (options.recipe, options.format, options.accelerator)
    if options.model is None or any(value is not None for value in asked):
        return None
    path = Path(options.model)
    if not path.is_file():
        return None
    if path.suffix == ".safetensors":
        types = {info.dtype for info in open_tensors(path).infos.values()}
        return None if any(name.startswith(("F", "BF")) for name in types) else path
    return path if path.suffix in INTEGER_FILES else None


def _question(options: Options, order: str) -> Question:
    found = options.input_range
    return Question(
        order=options.schedule or order,
        input_range=None if found is None else (found[0], found[1]),
        tile=options.tile,
        lanes=options.lanes,
        weight_bits=options.weight_bits,
        witnesses=choice(options.witnesses, "--witnesses", get_args(Witnesses)) or "worst",  # type: ignore[arg-type]
    )


def _of_file(options: Options, path: Path) -> dict[str, Any]:
    """Registers over bare integers."""
    if options.weights is not None:
        refuse_with_weights(options, except_for=("inner_bits", "outer_bits", "mode"))
    for name in (*_MODEL_OPTIONS, *_TEXT_OPTIONS):
        if getattr(options, name) is not None and getattr(options, name) is not False:
            raise InputError(f"--{name} needs a model that can be run, '{path}' is integers alone")
    for name in ("inner", "outer"):
        if getattr(options, f"{name}_bits") is not None:
            check_range(f"--{name}-bits", getattr(options, f"{name}_bits"), 1, 1 << 20)
    if options.outer_bits is not None and options.tile is None:
        raise InputError("--outer-bits goes with --tile T: without tiles there is one register")
    question = _question(options, "parallel")
    if question.order == MACHINE_ORDER:
        raise InputError(
            "--schedule slots is the order of a machine's terms: it needs a model and --config"
        )
    asked = FileQuestion(
        question=question,
        mode=choice(options.mode, "--mode", get_args(Mode)) or "wrap",  # type: ignore[arg-type]
        inner_bits=options.inner_bits,
        outer_bits=options.outer_bits,
        floats=tuple(options.floats or ()),
    )
    source = open_integer_layers(path)
    if options.scales is not None:
        if options.tile is None or path.suffix != ".npy":
            raise InputError("--scales goes with --tile T and one matrix (.npy)")
        asked = replace(asked, scales=load_integers(options.scales, "--scales", axes=(2,)))
    result = file_bounds(_layers(options, source), asked, path)
    if path.suffix == ".npy":
        result = of_one_matrix(result)
    return {**result, "left_out": dict(source.left_out)}


def _layers(options: Options, source: IntegerSource) -> Iterator[ReadLayer]:
    """The layers of a file, a bare matrix with what the options say about it."""
    given = [name for name in _MATRIX_OPTIONS if getattr(options, name) is not None]
    if source.path.suffix != ".npy":
        for name in given:
            shown = name.replace("_", "-")
            raise InputError(
                f"--{shown} goes with one matrix (.npy): '{source.path}' says it itself"
            )
        yield from source
        return
    (read,) = source
    bias = None
    if options.bias is not None:
        bias = load_integers(options.bias, "--bias", axes=(1, 2))
        if bias.ndim == 2 and bias.shape[1] != 1:
            raise InputError(f"--bias: '{options.bias}' has shape {bias.shape}, expected (N,)")
        bias = bias.reshape(-1)
    layer = replace(
        read.layer,
        bias=bias,
        input_zero_point=options.zero_point or 0,
        padded=bool(options.padded),
    )
    yield replace(read, layer=layer)


def _of_model(options: Options, progress: Progress) -> dict[str, Any]:
    """A model's layers on a machine."""
    for name in (*_MATRIX_OPTIONS, "tile", "floats"):
        if getattr(options, name) is not None:
            shown = name.replace("_", "-")
            raise InputError(f"--{shown} goes with --weights: a model's layers say it themselves")
    measured = [name for name in _MODEL_OPTIONS if getattr(options, name)]
    if options.schedule not in (None, MACHINE_ORDER) or options.input_range is not None:
        for name in measured:
            raise InputError(
                f"--{name} is about the machine as it is: it goes without --schedule and "
                "--input-range"
            )
    if not (options.observe or options.sufficient):
        for name in _TEXT_OPTIONS:
            if getattr(options, name) is not None:
                raise InputError(f"--{name} goes with --observe or --sufficient")
    job = make_job(options, progress)
    if job.config.accelerator.is_aligned and measured:
        raise InputError(
            f"--{measured[0]} is about integer accumulators, accelerator "
            f"'{job.config.accelerator.name}' rounds its sums"
        )
    result = model_bounds(job, _question(options, MACHINE_ORDER))
    if "skipped" in result:
        raise InputError(f"'{options.model}' has no weights: {result['skipped']}")
    if "bit_exact" not in result:
        _measure(options, job, result)
    return result


def _measure(options: Options, job: Job, result: dict[str, Any]) -> None:
    """Add what is observed, what suffices and what it costs, as far as that was asked for."""
    if options.tokens is not None:
        check_range("--tokens", options.tokens, 2, 1 << 24)
    if options.observe or options.sufficient:
        study = width_study(job, tokens=options.tokens, tolerance=options.tolerance)
        add_observed(study, result)
        result["simulated"] = simulated(study, result)
        if options.sufficient:
            result["sufficient"] = sufficient_widths(study)
    if options.cost:
        result["cost"] = width_costs(job.machine, job.technology, job.timing.activity)


def _widths(result: dict[str, Any]) -> list[str]:
    """Needed and available widths of integer accumulators."""
    has_outer = result["outer_bits"] is not None
    observed = "observed" in result["layers"][0]
    header = ["layer", "P_I wrap", "saturate", "data types", "A2Q", "A2Q+", "worst channel"]
    header += ["P_O", "worst channel"] if has_outer else []
    header += ["observed P_I", "P_O"] if observed else []
    header += [f"slack {name}" for name in _slacks(result).values()]
    rows = [
        _row(layer, has_outer, observed) + [str(layer[key]) for key in _slacks(result)]
        for layer in result["layers"]
    ]
    lines = [
        text_table(header, rows),
        "",
        *_legend(result),
        _verdict(result),
    ]
    return [*lines, *_measured_lines(result)]


def _slacks(result: dict[str, Any]) -> dict[str, str]:
    """Bits that the machine has more than a layer needs: key and register."""
    names = {"inner": "P_I", "outer": "P_O"}
    return {
        f"{stage}_slack": name
        for stage, name in names.items()
        if result[f"machine_{stage}_bits"] is not None and result[f"{stage}_bits"] is not None
    }


def _row(layer: dict[str, Any], has_outer: bool, observed: bool) -> list[str]:
    formulas = [layer[key] for key in ("dtype_bound_bits", "l1_bound_bits", "a2q_plus_bits")]
    cells = [
        layer["name"],
        layer["needed"]["wrap"]["inner_bits"],
        layer["needed"]["saturate"]["inner_bits"],
        *("-" if bits is None else bits for bits in formulas),
        layer["worst_channel"],
    ]
    cells[5] = f"{cells[5]}{'*' if layer['a2q_plus_unsound'] else ''}"
    if has_outer:
        cells += [layer["outer_bits"], layer["outer_worst_channel"]]
    if observed:
        seen = layer["observed"] or {}
        cells += [seen.get("inner_bits", "-"), seen.get("outer_bits", "-")]
    return [str(cell) for cell in cells]


def _legend(result: dict[str, Any]) -> list[str]:
    unsound = sum(layer["a2q_plus_unsound"] for layer in result["layers"])
    lines = [
        f"order of additions: {result['order']}; data types, A2Q and A2Q+ are formulas of the "
        "literature for P_I in mode wrap, bias left out"
    ]
    if unsound:
        lines.append(f"* A2Q+'s formula is too narrow for {unsound} channels: no proof there")
    return lines


def _verdict(result: dict[str, Any]) -> str:
    needed = f"P_I {result['inner_bits']} ({result['inner_mode']})"
    if result["outer_bits"] is not None:
        needed += f", P_O {result['outer_bits']} ({result['outer_mode']})"
    if result["machine_inner_bits"] is None and result["machine_outer_bits"] is None:
        return f"needed: {needed}"
    given = {s: result[f"machine_{s}_bits"] for s in ("inner", "outer")}
    has = ", ".join(f"P_{s[0].upper()} {bits}" for s, bits in given.items() if bits is not None)
    product = result.get("machine_product_bits")
    has += "" if product is None else f", product {product}"
    return f"needed: {needed}; there: {has}: {overflow_text(result)}"


def _float_lines(result: dict[str, Any]) -> list[str]:
    """What floating-point accumulators make of the same products."""
    lines = []
    for layer in result["layers"]:
        for name, found in layer.get("floats", {}).items():
            if found["bit_exact"]:
                order = "any order" if found["exact_in_any_order"] else "this order"
                text = f"bit-exact in {order}"
            else:
                inexact = len(layer["channels"]) - found["exact_channels"]
                text = f"{inexact} channels round, by at most {found['largest_error']:,} products"
                text += "; may overflow" if found["may_overflow"] else ""
                text += "; may stagnate" if found["may_stagnate"] else ""
            lines.append(f"{layer['name']} summed in {name}: {text}")
    return lines


def _measured_lines(result: dict[str, Any]) -> list[str]:
    """What was observed, what suffices, what a bit costs."""
    lines = [
        f"{layer['name']}: {note}" for layer in result["layers"] for note in layer.get("notes", ())
    ]
    lines += [f"left out: {name}: {why}" for name, why in result.get("left_out", {}).items()]
    lines += _float_lines(result)
    if found := result.get("simulated"):
        events = found["events"]
        lines.append(
            f"on these registers: {found['value']:.4f} {found['metric']}, "
            f"{found['wide_value']:.4f} on wide ones; wrong: {events['inner_wrong']:,} of "
            f"{events['latched']:,} group sums, {events['outputs_wrong']:,} of "
            f"{events['outputs']:,} outputs"
        )
    if found := result.get("sufficient"):
        for stage, by_mode in found["widths"].items():
            widths = ", ".join(f"{bits} ({mode})" for mode, bits in by_mode.items())
            lines.append(
                f"keeps {found['metric']} within {100 * found['tolerance']:g}%: "
                f"P_{stage[0].upper()} {widths}; measured on {found['tokens']} tokens, not proved"
            )
    if found := result.get("cost"):
        lines.append(
            f"this machine: {found['area_um2']:,.0f} um2 ({found['technology']}), "
            f"{found['luts']:,} LUTs a PE; with 32-bit accumulators "
            f"{found['wide']['area_um2']:,.0f} um2, {found['wide']['luts']:,} LUTs"
        )
        lines += [
            f"one more bit of P_{stage[0].upper()}: {bit['area_um2']:+,.0f} um2 "
            f"({bit['area_percent']:+.2f}%), energy {bit['energy_percent']:+.2f}%, "
            f"{bit['luts']:+.1f} LUTs a PE"
            for stage, bit in found["per_bit"].items()
        ]
    return lines


def _errors(result: dict[str, Any]) -> list[str]:
    """Largest errors of an aligned floating-point datapath."""
    rows = [
        [
            layer["name"],
            f"{layer['error']:.4g}",
            f"{layer['relative_error']:.3g}",
            str(layer["worst_channel"]),
            "yes" if layer["bit_exact"] else "no",
        ]
        for layer in result["layers"]
    ]
    header = ["layer", "largest error", "relative", "worst channel", "bit-exact"]
    lines = [
        text_table(header, rows),
        "",
        f"machine: mantissas of {result['machine_inner_bits']} and "
        f"{result['machine_outer_bits']} bits; for all activations up to "
        f"{result['largest_activation']:g}; relative to the channel's largest output",
    ]
    if result["overflows"]:
        lines.append(overflow_text(result))
    return lines


def _write_files(options: Options, result: dict[str, Any]) -> None:
    """The picture and the table of channels, where they were asked for."""
    texts = {}
    if options.html is not None:
        if "bit_exact" in result:
            raise InputError("--html draws integer accumulators, this machine rounds its sums")
        texts[options.html] = bounds_page(result)
    if options.csv is not None:
        texts[options.csv] = _channel_table(result)
    write_texts(texts)


def _channel_table(result: dict[str, Any]) -> str:
    """A row for every channel of every layer, as CSV."""
    return csv_text(
        [
            {"layer": layer["name"], "channel": number, **channel}
            for layer in result["layers"]
            for number, channel in enumerate(layer["channels"])
        ]
    )
