"""``weights.json``: a group of weights and its PE, complete enough to be proved again elsewhere."""

import json
from typing import Any

from configs.errors import InputError
from sw.formats import Term, TermTable

from .accumulator import GroupOfWeights

SCHEMA = "bitsmith group of weights 1"
MODES = ("wrap", "saturate", "flag")
_ADDERS = ("chain", "compressor")
_STAGES = ("products", "sums", "shift")
#: more would take hours
_MOST_WEIGHTS = 1 << 16
_KEYS = {"schema", "source", "pe", "activations", "terms", "levels"}
_PE_KEYS = {
    "kind",
    "lanes",
    "activation_bits",
    "activation_signed",
    "bits",
    "mode",
    "adders",
    "pipeline",
}
_TERM_KEYS = {"lane_exponent_bits", "base_shifts", "worst_escape", "of_level"}


def group_text(group: GroupOfWeights, source: dict[str, Any]) -> str:
    """``group`` as JSON, the same text for the same group.

    Parameters
    ----------
    source : where the weights come from, in JSON types; not part of what is proved.

    Raises
    ------
    ValueError : ``source`` holds a number that is not finite.
    """
    described = {
        "schema": SCHEMA,
        "source": source,
        "pe": {
            "kind": "serial",
            "lanes": group.lanes,
            "activation_bits": group.activation_bits,
            "activation_signed": group.activation_signed,
            "bits": group.bits,
            "mode": group.mode,
            "adders": group.adders,
            "pipeline": [stage for stage in _STAGES if stage in group.pipeline],
        },
        "activations": list(group.activations),
        "terms": {
            "lane_exponent_bits": group.terms.lane_exponent_bits,
            "base_shifts": list(group.terms.base_shifts),
            "worst_escape": group.terms.worst_escape,
            "of_level": {
                str(level): [[int(t.present), int(t.negative), t.exponent] for t in row]
                for level, row in sorted(group.terms.terms.items())
            },
        },
        "levels": list(group.levels),
    }
    return json.dumps(described, indent=1, allow_nan=False) + "\n"


def read_group(text: str, where: str) -> tuple[GroupOfWeights, dict[str, Any]]:
    """The group of a ``weights.json``, and its ``source``.

    Parameters
    ----------
    where : name of the file, for messages.

    Raises
    ------
    InputError : not such a file.
    """
    found = read_object(text, where)
    _check_keys(found, _KEYS, where)
    if found["schema"] != SCHEMA:
        raise InputError(f"{where}: schema is {found['schema']!r}, expected '{SCHEMA}'")
    pe, terms = found["pe"], _terms(found["terms"], f"{where}: terms")
    _check_keys(pe, _PE_KEYS, f"{where}: pe")
    if pe["kind"] != "serial":
        raise InputError(f"{where}: pe.kind is {pe['kind']!r}, only 'serial' can be proved")
    signed = pe["activation_signed"]
    if not isinstance(signed, bool):
        raise InputError(f"{where}: pe.activation_signed is {signed!r}, expected true or false")
    bits = _integer(pe["activation_bits"], 1, 32, f"{where}: pe.activation_bits")
    levels = _integers(found["levels"], f"{where}: levels")
    if not 1 <= len(levels) <= _MOST_WEIGHTS:
        raise InputError(f"{where}: levels holds {len(levels)}, expected 1 to {_MOST_WEIGHTS}")
    strange = [level for level in levels if level not in terms.terms]
    if strange:
        raise InputError(f"{where}: levels holds {strange[0]}, which has no terms in this file")
    group = GroupOfWeights(
        terms=terms,
        levels=tuple(levels),
        lanes=_integer(pe["lanes"], 1, 256, f"{where}: pe.lanes"),
        activation_bits=bits,
        activation_signed=signed,
        activations=_range(found["activations"], bits, signed, f"{where}: activations"),
        bits=_integer(pe["bits"], 1, 64, f"{where}: pe.bits"),
        mode=_word(pe["mode"], MODES, f"{where}: pe.mode"),
        adders=_word(pe["adders"], _ADDERS, f"{where}: pe.adders"),
        pipeline=_stages(pe["pipeline"], f"{where}: pe.pipeline"),
    )
    source = found["source"]
    if not isinstance(source, dict):
        raise InputError(f"{where}: source is {type(source).__name__}, expected an object")
    return group, source


def read_object(text: str, where: str) -> dict[str, Any]:
    """A JSON object, strictly: no NaN, no key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            raise ValueError("a key occurs twice")
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        found = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not strict JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f"{where} holds {type(found).__name__}, expected a JSON object")
    return found


def _check_keys(found: Any, wanted: set[str], where: str) -> None:
    if not isinstance(found, dict):
        raise InputError(f"{where} is {type(found).__name__}, expected an object")
    differing = sorted(set(found) ^ wanted)
    if differing:
        state = "unknown" if differing[0] in found else "missing"
        raise InputError(f"{where}: key '{differing[0]}' is {state}")


def _integer(value: Any, low: int, high: int, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{where} is {value!r}, expected an integer from {low} to {high}")
    return value


def _integers(value: Any, where: str) -> list[int]:
    if not isinstance(value, list):
        raise InputError(f"{where} is {type(value).__name__}, expected a list of integers")
    return [_integer(item, -(1 << 62), 1 << 62, where) for item in value]


def _word(value: Any, valid: tuple[str, ...], where: str) -> str:
    if value not in valid:
        raise InputError(f"{where} is {value!r}, valid are {', '.join(valid)}")
    return str(value)


def _stages(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or any(stage not in _STAGES for stage in value):
        raise InputError(f"{where} is {value!r}, expected a list of {', '.join(_STAGES)}")
    return tuple(value)


def _range(value: Any, bits: int, signed: bool, where: str) -> tuple[int, int]:
    low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    ends = _integers(value, where)
    if len(ends) != 2 or not low <= ends[0] <= ends[1] <= high:
        raise InputError(f"{where} is {ends}, expected two rising integers from {low} to {high}")
    return ends[0], ends[1]


def _terms(found: Any, where: str) -> TermTable:
    """A term table whose terms add up to their levels."""
    _check_keys(found, _TERM_KEYS, where)
    shifts = tuple(_integers(found["base_shifts"], f"{where}.base_shifts"))
    if not shifts or min(shifts) < 0 or max(shifts) > 58:
        raise InputError(f"{where}.base_shifts is {list(shifts)}, expected shifts from 0 to 58")
    lane_bits = _integer(found["lane_exponent_bits"], 0, 6, f"{where}.lane_exponent_bits")
    rows = {}
    if not isinstance(found["of_level"], dict):
        raise InputError(
            f"{where}.of_level is {type(found['of_level']).__name__}, expected an object"
        )
    for name, row in found["of_level"].items():
        here = f"{where}.of_level['{name}']"
        if not isinstance(row, list) or len(row) != len(shifts):
            raise InputError(f"{here} is {row!r}, expected {len(shifts)} terms")
        terms = [_term(term, (1 << lane_bits) - 1, here) for term in row]
        level = sum(t.value << shift for t, shift in zip(terms, shifts, strict=True))
        if str(level) != name:
            raise InputError(f"{here}: its terms add up to {level}")
        rows[level] = tuple(terms)
    if 0 not in rows:
        raise InputError(f"{where}.of_level has no level 0, which lanes without a weight take")
    return TermTable(
        lane_exponent_bits=lane_bits,
        base_shifts=shifts,
        terms=rows,
        worst_escape=_integer(found["worst_escape"], 0, 1 << 62, f"{where}.worst_escape"),
    )


def _term(found: Any, most: int, where: str) -> Term:
    fields = _integers(found, where)
    if len(fields) != 3 or not {0, 1} >= set(fields[:2]) or not 0 <= fields[2] <= most:
        raise InputError(
            f"{where} holds {fields}, expected present and negative (0 or 1) and an exponent from "
            f"0 to {most}"
        )
    return Term(present=bool(fields[0]), negative=bool(fields[1]), exponent=fields[2])
