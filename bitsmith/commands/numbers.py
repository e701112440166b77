"""Commands about what there is: formats, models."""

from typing import Any

from configs.errors import InputError
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

from ..job import Progress
from ..tables import text_table
from .common import Options, emit


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
