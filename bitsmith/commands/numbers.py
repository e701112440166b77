"""Commands about numbers: quantize, bounds, formats, models."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from configs.errors import InputError
from sw.accumulators import single_stage_bounds, witness
from sw.formats import (
    FormatFamily,
    NumberFormat,
    TermTable,
    families,
    fitting_terms,
    get_family,
)
from sw.formats.block_tables import block_formats
from sw.models import known_models
from sw.models.registry import fetch

from .. import steps
from ..job import Progress
from ..strict_json import plain
from ..tables import overflow_text, text_table
from .common import Options, choice, emit, load_matrix, make_job, refuse_with_weights


def bounds(options: Options, progress: Progress) -> int:
    """``bitsmith bounds``."""
    if options.channels < 0:
        raise InputError(f"--channels is {options.channels}, it must not be negative")
    if options.weights is not None:
        return _bounds_of_matrix(options)
    if options.input_range is not None:
        raise InputError("--input-range goes with --weights; a model's inputs are its activations")
    job = make_job(options, progress)
    result = plain(steps.bounds_step(job, Path()))
    if "skipped" in result:
        raise InputError(f"'{options.model}' has no weights: {result['skipped']}")
    lines = _errors(result) if "bit_exact" in result else _widths(result)
    lines += [
        f"  {found['layer']} channel {found['channel']}: {found['stage']} accumulator reaches "
        f"{found['low']}..{found['high']} and needs {found['needed_bits']} bits"
        for found in result["overflows"][: options.channels]
    ]
    emit(options, result, "\n".join(lines))
    return 1 if result["overflows"] else 0


def _widths(result: dict[str, Any]) -> list[str]:
    """Needed and available widths of integer accumulators."""
    columns = ("name", "inner_bits", "outer_bits", "worst_channel", "outer_worst_channel")
    rows = [[str(layer[key]) for key in columns] for layer in result["layers"]]
    header = ["layer", "P_I needed", "P_O needed", "worst channel (inner)", "(outer)"]
    return [
        text_table(header, rows),
        "",
        f"machine: P_I {result['machine_inner_bits']} ({result['inner_mode']}), "
        f"P_O {result['machine_outer_bits']} ({result['outer_mode']}); {overflow_text(result)}",
    ]


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


def _bounds_of_matrix(options: Options) -> int:
    """One bit-parallel stage over bare integers."""
    refuse_with_weights(options, except_for=("inner_bits", "mode"))
    if options.inner_bits is not None and options.inner_bits < 1:
        raise InputError(f"--inner-bits is {options.inner_bits}, it must be at least 1")
    if options.input_range is None:
        raise InputError("--weights needs --input-range LO HI")
    weights = load_matrix(options.weights, integers=True)
    mode = choice(options.mode, "--mode", ("wrap", "saturate", "flag")) or "wrap"
    found = single_stage_bounds(weights, tuple(options.input_range))
    bits = found.inner_bits(mode)  # type: ignore[arg-type]
    low, high = found.inner.low(mode), found.inner.high(mode)  # type: ignore[arg-type]
    channels = [
        {"bits": int(b), "low": int(lo), "high": int(hi)}
        for b, lo, hi in zip(bits, low, high, strict=True)
    ]
    limit = options.inner_bits
    overflows = [i for i, c in enumerate(channels) if limit is not None and c["bits"] > limit]
    result: dict[str, Any] = {
        "mode": mode,
        "input_low": found.input_low,
        "input_high": found.input_high,
        "bits": int(bits.max()),
        "worst_channel": int(bits.argmax()),
        "overflowing_channels": overflows,
        "witness": _witness_of_row(weights[int(bits.argmax())], options.input_range, mode),
        "channels": channels,
    }
    worst = channels[result["worst_channel"]]
    lines = [
        f"{len(channels)} channels need {result['bits']} bits; worst: channel "
        f"{result['worst_channel']} reaches {worst['low']}..{worst['high']}"
    ]
    if overflows:
        named = ", ".join(map(str, overflows[: options.channels]))
        lines.append(f"NOT SAFE at {limit} bits: {len(overflows)} channels can overflow: {named}")
    emit(options, result, "\n".join(lines))
    return 1 if overflows else 0


def _witness_of_row(row: NDArray[Any], input_range: list[int], mode: Any) -> list[int]:
    """Inputs that need all bits of a bit-parallel dot product."""
    found = witness(
        row,
        terms=None,
        group_size=len(row),
        lanes=1,
        input_range=(input_range[0], input_range[1]),
        scale_row=None,
        stage="inner",
        mode=mode,
    )
    return [int(value) for value in found.inputs]


def formats(options: Options, progress: Progress) -> int:
    """``bitsmith formats``."""
    if options.name is not None:
        return _format(options)
    listed = [_describe(family) for family in progress(families().values(), "formats")]
    listed += [
        {"name": name, "kind": "block", "bits_per_weight": block.bits_per_weight}
        for name, block in block_formats().items()
    ]
    rows = [
        [
            entry["name"],
            entry["kind"],
            *(str(entry.get(key, "-")) for key in ("bits", "levels", "slots")),
            ",".join(map(str, entry.get("base_shifts") or [])) or "-",
            str(entry.get("lane_exponent_bits") or "-"),
            f"{entry['unit']:g}" if "unit" in entry else "-",
        ]
        for entry in listed
    ]
    header = ["format", "kind", "bits", "levels", "slots", "base shifts", "lane exp.", "unit"]
    emit(options, {"formats": listed}, text_table(header, rows))
    return 0


def _terms_or_none(family: FormatFamily) -> TermTable | None:
    """Terms on the BitMoD PE or the smallest one that fits; None where no PE does."""
    try:
        return fitting_terms(family)
    except InputError:
        return None


def _describe(family: FormatFamily) -> dict[str, Any]:
    """One entry of the listing; slots are null where no PE forms the levels."""
    terms = _terms_or_none(family)
    return {
        "name": family.name,
        "kind": "pairs" if family.pairs else "codes",
        "bits": family.stored_bits,
        "members": [member.name for member in family.members],
        "unit": float(family.unit),
        "levels": len(family.all_levels),
        "slots": terms.slots if terms else None,
        "base_shifts": list(terms.base_shifts) if terms else None,
        "lane_exponent_bits": terms.lane_exponent_bits if terms else None,
        "worst_escape": terms.worst_escape if terms else None,
        "provisional": any(member.provisional for member in family.members),
        "source": family.members[0].source,
    }


def _format(options: Options) -> int:
    """One family or member, code by code."""
    if options.name in block_formats():
        return _block(options)
    family = get_family(options.name)
    terms = _terms_or_none(family)
    members = [_codes(member, terms) for member in family.members]
    result = {
        "name": options.name,
        "codes": [{**c, "format": m["name"]} for m in members for c in m["codes"]],
    }
    rows = [
        [
            member["name"],
            format(code["code"], f"0{family.bits}b"),
            "-" if code["value"] is None else f"{code['value']:g}",
            " ".join(f"{t:+d}" if t else "0" for t in code["terms"] or []),
        ]
        for member in members
        for code in member["codes"]
    ]
    emit(options, result, text_table(["format", "code", "value", "terms, by slot"], rows))
    return 0


def _block(options: Options) -> int:
    """A block format and the codes of its elements."""
    block = block_formats()[options.name]
    family = get_family(block.element)
    shown = {
        "name": block.name,
        "kind": "block",
        "element": block.element,
        "block_size": block.block_size,
        "scale_format": block.scale_format,
        "rule": block.rule,
        "bits_per_weight": block.bits_per_weight,
    }
    terms = _terms_or_none(family)
    members = [_codes(member, terms) for member in family.members]
    text = "\n".join(f"{key}: {value}" for key, value in shown.items())
    emit(options, {**shown, "members": members}, text)
    return 0


def _codes(member: NumberFormat, terms: TermTable | None) -> dict[str, Any]:
    """Codes of one format: value (null if unused), terms in units of level 1, slots."""
    codes = []
    for code, (level, value) in enumerate(zip(member.levels, member.values, strict=True)):
        row = None
        if level is not None and terms is not None:
            chosen = zip(terms.terms[level], terms.base_shifts, strict=True)
            row = [term.value << shift for term, shift in chosen]
        slots = terms.slots if terms else None
        codes.append({"code": code, "value": value, "terms": row, "slots": slots})
    return {"name": member.name, "codes": codes}


def models(options: Options, progress: Progress) -> int:
    """``bitsmith models``."""
    if options.fetch is not None:
        path = fetch(options.fetch)
        emit(options, {"model": options.fetch, "path": str(path)}, f"{options.fetch}: {path}")
        return 0
    listed = [vars(info) for info in known_models()]
    rows = [
        [
            info["name"],
            info["kind"],
            f"{info['parameters'] / 1e6:.2f} M",
            "yes" if info["available"] else info["fetch_command"],
            info["description"],
        ]
        for info in listed
    ]
    header = ["model", "kind", "parameters", "available", "what"]
    notes = [f"{info['name']}: {info['caveat']}" for info in listed if info["caveat"]]
    emit(options, {"models": listed}, "\n".join([text_table(header, rows), "", *notes]))
    return 0
