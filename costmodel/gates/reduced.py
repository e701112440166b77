"""A Liberty file whose power tables can be read in one way only, to compare readers of them.

OpenSTA 2.0 charges the rising and the falling edge of every group of a clock pin at each of its
edges, adds the groups of several states, and applies wire load models unasked. Later versions
average, as :mod:`costmodel.gates.power` does. In a reduced file both readings are the same.
"""

import re
from collections.abc import Iterator

_BRACE = re.compile(r"[{}]")
_GROUP = re.compile(r"\b(wire_load|wire_load_selection|pin)\s*\([^)]*\)\s*\{")
_POWER = re.compile(r"\binternal_power\s*\(\s*\)\s*\{")
_WHEN = re.compile(r"\bwhen\s*:[^;]*;")
_RELATED = re.compile(r"\brelated_pin\s*:[^;]*;")
_VALUES = re.compile(r"(\bvalues\s*\()([^)]*)(\))")
_NUMBER = re.compile(r"-?\d[\d.]*(?:[eE][-+]?\d+)?")


def reduced(text: str, *, halve_clocks: bool = False) -> str:
    """The file without wire loads, with one power group per pin, whatever the cause and state.

    It is the first one without ``when`` where there is one.

    Parameters
    ----------
    halve_clocks : halve the power tables of clock pins: OpenSTA 2.0, which charges both edges at
        each of them, then charges what the file said.
    """
    kept, end = [], 0
    for start, stop, instead in _changes(text, halve_clocks):
        kept += [text[end:start], instead]
        end = stop
    return re.sub(r"default_wire_load\w*\s*:[^;]*;", "", "".join(kept) + text[end:])


def _changes(text: str, halve_clocks: bool) -> Iterator[tuple[int, int, str]]:
    """(start, stop, new text) of what changes, in order."""
    end = 0
    for found in _GROUP.finditer(text):
        if found.start() < end:
            continue
        end = _closing(text, found.end())
        if found[1] == "pin":
            yield found.end(), end, _reduced_pin(text[found.end() : end], halve_clocks)
        else:
            yield found.start(), end, ""


def _reduced_pin(body: str, halve_clocks: bool) -> str:
    groups = [(g.start(), _closing(body, g.end())) for g in _POWER.finditer(body)]
    if not groups:
        return body
    chosen = next((g for g in groups if not _WHEN.search(body[slice(*g)])), groups[0])
    power = _RELATED.sub("", _WHEN.sub("", body[slice(*chosen)]))
    if halve_clocks and re.search(r"\bclock\s*:\s*\"?true", body):
        power = _VALUES.sub(lambda v: v[1] + _NUMBER.sub(_half, v[2]) + v[3], power)
    for start, stop in reversed(groups):
        body = body[:start] + body[stop:]
    return power + body


def _half(number: re.Match[str]) -> str:
    return f"{float(number[0]) / 2:.7g}"


def _closing(text: str, place: int) -> int:
    """Behind the brace that closes the one before ``place``."""
    depth = 1
    for brace in _BRACE.finditer(text, place):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return brace.end()
    return len(text)
