"""From a harness to a verdict: RTLIL, Yosys, SMT-LIB, Yices.

Three questions can be asked of a harness (:class:`Harness`):

:func:`prove`
    do its assertions hold for ever? Search from reset for the first cycles, then induction;
:func:`search`
    do they hold in the first cycles after reset?
:func:`cover`
    can each of its interesting states be reached, under its assumptions?

Before any answer, the properties in the solver's file are compared with those that the harness
stated: one that was lost on the way cannot pass for a proved one.

In a cycle the assertions are shown one after the other, in the order in which the harness states
them, each with the help of those before it (they hold in that cycle too by then). The order changes
nothing about what is proved, but a good order saves most of the time.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from amaranth.hdl import Module

from .checks import Checks
from .encoding import Encoding
from .script import Script
from .translation import encode

SOLVER = "yices-smt2"
_MISSING = "{} is not installed: pip install 'bitsmith[formal]'"


class MissingSolver(RuntimeError):
    """The solver of the extra ``formal`` is not installed."""


class LostProperty(RuntimeError):
    """The solver's file does not hold the properties that the harness stated."""


class Contradiction(RuntimeError):
    """No run satisfies the harness's assumptions, so that anything would hold."""


class Harness(Protocol):
    """A block and what is stated about it."""

    def build(self, m: Module) -> Checks:
        """Put the block and its properties into ``m``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Answer of the solver.

    Attributes
    ----------
    status : ``"proved"`` (for ever), ``"holds"`` (as far as searched), ``"failed"``,
        ``"reached"``, ``"unreached"`` (covers) or ``"timeout"``.
    assertions : number of assertions in the solver's file.
    depth : cycles of the search from reset, the reset cycle included.
    phase : ``"search"``, ``"induction"`` or ``"cover"``, where it did not succeed; else empty.
    cycle : cycle of the failure, counted from the reset cycle (search) or from the arbitrary state
        in which the induction starts.
    failed : the assertion that fails first; all unreached covers.
    trace : value of every named signal in the cycles up to the failure.
    reached : cover -> first cycle in which it is reached.
    """

    status: str
    assertions: int
    depth: int
    phase: str = ""
    cycle: int | None = None
    failed: tuple[str, ...] = ()
    trace: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)


def missing_solver() -> str | None:
    """Why no proof can run, in one sentence; ``None`` if it can."""
    if _solver() is None:
        return _MISSING.format(SOLVER)
    return None


def prove(harness: Harness, *, depth: int = 1, search: int = 3, timeout_s: float = 600) -> Verdict:
    """Whether the assertions hold for ever: search from reset, then induction.

    Parameters
    ----------
    depth : cycles of induction; the assertions in so many cycles imply those of the next.
    search : cycles from reset, the reset cycle included; at least ``depth + 1``.
    timeout_s : for each of the two.

    Raises
    ------
    MissingSolver : see :func:`missing_solver`.
    LostProperty : stated and counted properties differ, or nothing is stated.
    Contradiction : the assumptions exclude every run.
    LookupError : an observed register does not exist.
    RuntimeError : Yosys or the solver stopped with an error.
    """
    job = _Job(harness)
    first = job.search(max(search, depth + 1), timeout_s)
    return first if first.status != "holds" else job.induction(depth, first, timeout_s)


def search(harness: Harness, *, depth: int, timeout_s: float = 600) -> Verdict:
    """Whether the assertions hold in ``depth`` cycles from reset on; raises as :func:`prove`."""
    return _Job(harness).search(depth, timeout_s)


def cover(harness: Harness, *, depth: int, timeout_s: float = 600) -> Verdict:
    """Whether each cover is reached within ``depth`` cycles; raises as :func:`prove`."""
    return _Job(harness).cover(depth, timeout_s)


def scripts(harness: Harness, *, depth: int = 1, search: int = 3) -> dict[str, Script]:
    """What :func:`prove` asks the solver, to be kept: ``base`` and ``step``.

    They prove the harness if every answer is ``unsat``, but for the last one of ``base``, which is
    ``sat``: there are runs. Parameters and errors as :func:`prove`.
    """
    job = _Job(harness)
    step = job.induction_script(depth)
    return {"base": job.search_script(max(search, depth + 1)), "step": step}


def failing_step(harness: Harness, asked: tuple[str, ...], given: dict[str, int]) -> Script:
    """Whether the induction fails in one of the assertions ``asked``, all others taken as true.

    Parameters
    ----------
    given : values of named signals in the step's second cycle, which spare the solver a search.
    """
    job = _Job(harness)
    script = Script()
    job._declare(script, range(2))
    job._suppose(script, 1)
    for name, value in given.items():
        script.add(f"(assert {job.encoding.equals(name, 1, value)})")
    for name in job.checks.asserts:
        holds = job.encoding.holds("assert", name, 1)
        if name in asked:
            script.ask(f"1 {name}", f"(not {holds})")
        else:
            script.add(f"(assert {holds})")
    return script


def answers(text: str, *, timeout_s: float = 600) -> list[str] | None:
    """The solver's words to a script, one per question; ``None`` if it took too long.

    Raises
    ------
    MissingSolver : see :func:`missing_solver`.
    RuntimeError : the solver did not understand the script.
    """
    solver = _solver()
    if solver is None:
        raise MissingSolver(_MISSING.format(SOLVER))
    return _answers(solver, text, timeout_s)


class _Job:
    """One harness, encoded and checked."""

    def __init__(self, harness: Harness) -> None:
        solver = _solver()
        if solver is None:
            raise MissingSolver(_MISSING.format(SOLVER))
        self.solver = solver
        m = Module()
        self.checks = harness.build(m)
        self.encoding = encode(m, self.checks)
        _compare_properties(self.checks, self.encoding)

    def search(self, depth: int, timeout_s: float) -> Verdict:
        """From the reset cycle on, cycle by cycle."""
        script = self.search_script(depth)
        answers = self._solve(script, timeout_s)
        if answers is not None and "sat" not in answers and "unknown" not in answers:
            raise Contradiction(f"no run of {depth} cycles satisfies the assumptions")
        return self._verdict("search", "holds", script, answers, depth, timeout_s)

    def induction(self, depth: int, base: Verdict, timeout_s: float) -> Verdict:
        """From any state, after ``depth`` cycles in which the assertions hold."""
        script = self.induction_script(depth)
        answers = self._solve(script, timeout_s)
        return self._verdict("induction", "proved", script, answers, base.depth, timeout_s)

    def search_script(self, depth: int) -> Script:
        """The questions of :meth:`search`, and whether there is any run at all."""
        script = Script()
        for cycle in range(depth):
            self._start(script, cycle)
            self._check_assertions(script, cycle)
        script.ask("runs", None)
        return script

    def induction_script(self, depth: int) -> Script:
        """Any state and ``depth`` cycles in which the assertions hold; is the next like them?"""
        script = Script()
        self._declare(script, range(depth + 1))
        # while nothing is taken for granted, those that need little
        for name, enough in self.checks.enough.items():
            facts = [self._holds(other, depth) for other in enough]
            script.ask(
                f"{depth} {name}", f"(and {' '.join(facts)} (not {self._holds(name, depth)}))"
            )
        self._suppose(script, depth)
        self._check_assertions(script, depth, shown=self.checks.enough)
        return script

    def cover(self, depth: int, timeout_s: float) -> Verdict:
        """Covers from the reset cycle on; the assertions play no part."""
        if not self.checks.covers:
            raise LostProperty("the harness states no cover")
        script = Script()
        for cycle in range(depth):
            self._start(script, cycle)
            for name in self.checks.covers:
                script.ask(f"{cycle} {name}", self.encoding.holds("cover", name, cycle))
        answers = self._solve(script, timeout_s)
        common: dict[str, Any] = {"assertions": len(self.checks.asserts), "depth": depth}
        common["phase"] = "cover"
        if answers is None:
            return Verdict(status="timeout", **common)
        reached: dict[str, int] = {}
        for question, answer in zip(script.questions, answers, strict=True):
            number, _, name = question.partition(" ")
            if answer == "sat":
                reached.setdefault(name, int(number))
        missed = tuple(name for name in self.checks.covers if name not in reached)
        if missed:
            return Verdict(status="unreached", failed=missed, reached=reached, **common)
        return Verdict(status="reached", reached=reached, **(common | {"phase": ""}))

    def _start(self, script: Script, cycle: int) -> None:
        """One more cycle of a run from reset on."""
        script.add(self.encoding.state(cycle, initial=cycle == 0))
        script.add(self.encoding.known(cycle, initial=cycle == 0))
        if cycle:
            script.add(self.encoding.step(cycle - 1))

    def _declare(self, script: Script, cycles: Iterable[int]) -> None:
        """Variables of some cycles from any state on, about which nothing is known."""
        for cycle in cycles:
            script.add(self.encoding.state(cycle, initial=False))

    def _suppose(self, script: Script, depth: int) -> None:
        """``depth`` cycles in which the assertions hold, and the one that follows."""
        for cycle in range(depth + 1):
            script.add(self.encoding.known(cycle, initial=False))
            if cycle:
                script.add(self.encoding.step(cycle - 1))
            if cycle < depth:
                script.add(f"(assert {self.encoding.all_hold(cycle)})")

    def _holds(self, name: str, cycle: int) -> str:
        kind = "assert" if name in self.checks.asserts else "assume"
        return self.encoding.holds(kind, name, cycle)

    def _check_assertions(self, script: Script, cycle: int, shown: Collection[str] = ()) -> None:
        """Ask for a violation of each assertion not yet ``shown``; then use it for the next."""
        for name in self.checks.asserts:
            holds = self.encoding.holds("assert", name, cycle)
            if name not in shown:
                script.ask(f"{cycle} {name}", f"(not {holds})")
            script.add(f"(assert {holds})")

    def _solve(self, script: Script, timeout_s: float) -> list[str] | None:
        return _answers(self.solver, script.text(), timeout_s)

    def _verdict(
        self,
        phase: str,
        success: str,
        script: Script,
        answers: list[str] | None,
        depth: int,
        timeout_s: float,
    ) -> Verdict:
        """Success if no question about an assertion was answered with an example."""
        common: dict[str, Any] = {"assertions": len(self.checks.asserts), "depth": depth}
        if answers is None or "unknown" in answers:
            return Verdict(status="timeout", phase=phase, **common)
        asked = [q for q in script.questions if q != "runs"]
        if "sat" not in answers[: len(asked)]:
            return Verdict(status=success, **common)
        first = answers.index("sat")
        cycle, _, name = asked[first].partition(" ")
        return Verdict(
            status="failed",
            phase=phase,
            cycle=int(cycle),
            failed=(name,),
            trace=self._trace(script.up_to(asked[first]), int(cycle), timeout_s),
            **common,
        )

    def _trace(self, text: str, last: int, timeout_s: float) -> dict[str, tuple[int, ...]]:
        """All named signals in the example that answers the last question of ``text``."""
        names = [name for name in self.encoding.wires if not name.startswith("$")]
        requests = [self.encoding.values(names, cycle) for cycle in range(last + 1)]
        reply = _run_solver(self.solver, "\n".join([text, *requests]), timeout_s) or ""
        values: dict[str, tuple[int, ...]] = dict.fromkeys(names, ())
        for name, bits in re.findall(r"\(\|top_n ([^|]+)@\d+\| (true|false|#b[01]+)\)", reply):
            value = int(bits[2:], 2) if bits.startswith("#") else int(bits == "true")
            values[name] = (*values[name], value)
        return values


def _compare_properties(checks: Checks, encoding: Encoding) -> None:
    stated = {"assert": checks.asserts, "assume": checks.assumes, "cover": checks.covers}
    for kind, names in stated.items():
        found = encoding.properties[kind]
        differing = sorted(set(names) ^ set(found))
        if differing or len(names) != len(found):
            raise LostProperty(
                f"the harness states {len(names)} properties of kind '{kind}', the solver's file "
                f"holds {len(found)}; they differ in {', '.join(differing)}"
            )
    if not checks.asserts:
        raise LostProperty("the harness states no assertion")


def _solver() -> str | None:
    """The solver: beside this Python, where pip puts it, or in the path."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(SOLVER, path=beside) or shutil.which(SOLVER)


def _run_solver(solver: str, script: str, timeout_s: float) -> str | None:
    """Everything the solver says; ``None`` if it took too long."""
    with tempfile.NamedTemporaryFile("w", suffix=".smt2") as file:
        file.write(script)
        file.flush()
        try:
            done = subprocess.run(
                [solver, "--incremental", file.name],
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    return done.stdout + done.stderr


def _answers(solver: str, script: str, timeout_s: float) -> list[str] | None:
    """One word per question."""
    reply = _run_solver(solver, script, timeout_s)
    if reply is None:
        return None
    words = reply.split()
    if any(word not in ("sat", "unsat", "unknown") for word in words):
        raise RuntimeError(f"{SOLVER} failed: {reply[-2000:]}")
    return words
