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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Module

from hw.emit import run_yosys

from .checks import Checks
from .encoding import Encoding, read_encoding

SOLVER = "yices-smt2"

_CHECK = re.compile(r'(  cell \$check \S+\n    parameter \\FORMAT )"([^"]*)"')
# `proc` without -norom would turn switches into memories, whose contents induction does not know;
# without initial values a register holds anything until it is reset
_SCRIPT = """
read_rtlil {source}
hierarchy -top top
proc -norom
flatten
memory_map
{observe}
setattr -unset init w:*
async2sync
chformal -lower
dffunmap
wreduce
opt_clean
write_smt2 -wires {target}
"""


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
        return f"{SOLVER} is not installed: pip install 'bitsmith[formal]'"
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


class _Job:
    """One harness, encoded and checked."""

    def __init__(self, harness: Harness) -> None:
        self.solver = _solver()
        if self.solver is None:
            raise MissingSolver(missing_solver())
        m = Module()
        self.checks = harness.build(m)
        self.encoding = _encode(m, self.checks)
        _compare_properties(self.checks, self.encoding)

    def search(self, depth: int, timeout_s: float) -> Verdict:
        """From the reset cycle on, cycle by cycle."""
        script = _Script()
        for cycle in range(depth):
            self._declare(script, cycle, initial=cycle == 0)
            self._check_assertions(script, cycle)
        script.ask("runs", None)
        answers = self._solve(script, timeout_s)
        if answers is not None and "sat" not in answers and "unknown" not in answers:
            raise Contradiction(f"no run of {depth} cycles satisfies the assumptions")
        return self._verdict("search", "holds", script, answers, depth, timeout_s)

    def induction(self, depth: int, base: Verdict, timeout_s: float) -> Verdict:
        """From any state, after ``depth`` cycles in which the assertions hold."""
        script = _Script()
        for cycle in range(depth + 1):
            self._declare(script, cycle, initial=False)
            if cycle < depth:
                script.add(f"(assert {self.encoding.all_hold(cycle)})")
        self._check_assertions(script, depth)
        answers = self._solve(script, timeout_s)
        return self._verdict("induction", "proved", script, answers, base.depth, timeout_s)

    def cover(self, depth: int, timeout_s: float) -> Verdict:
        """Covers from the reset cycle on; the assertions play no part."""
        if not self.checks.covers:
            raise LostProperty("the harness states no cover")
        script = _Script()
        for cycle in range(depth):
            self._declare(script, cycle, initial=cycle == 0)
            for name in self.checks.covers:
                script.ask(f"{cycle} {name}", self.encoding.holds("cover", name, cycle))
        answers = self._solve(script, timeout_s, stop=False)
        common = {"assertions": len(self.checks.asserts), "depth": depth, "phase": "cover"}
        if answers is None:
            return Verdict(status="timeout", **common)
        reached: dict[str, int] = {}
        for question, answer in zip(script.questions, answers, strict=True):
            cycle, _, name = question.partition(" ")
            if answer == "sat":
                reached.setdefault(name, int(cycle))
        missed = tuple(name for name in self.checks.covers if name not in reached)
        if missed:
            return Verdict(status="unreached", failed=missed, reached=reached, **common)
        return Verdict(status="reached", reached=reached, **(common | {"phase": ""}))

    def _declare(self, script: "_Script", cycle: int, *, initial: bool) -> None:
        script.add(self.encoding.state(cycle, initial=initial))
        if cycle:
            script.add(self.encoding.step(cycle - 1))

    def _check_assertions(self, script: "_Script", cycle: int) -> None:
        """Ask for a violation of each assertion; then use it for the next."""
        for name in self.checks.asserts:
            holds = self.encoding.holds("assert", name, cycle)
            script.ask(f"{cycle} {name}", f"(not {holds})")
            script.add(f"(assert {holds})")

    def _solve(self, script: "_Script", timeout_s: float, *, stop: bool = True) -> list[str] | None:
        return _answers(self.solver, script.text(), timeout_s, stop=stop)

    def _verdict(
        self,
        phase: str,
        success: str,
        script: "_Script",
        answers: list[str] | None,
        depth: int,
        timeout_s: float,
    ) -> Verdict:
        """Success if no question about an assertion was answered with an example."""
        common = {"assertions": len(self.checks.asserts), "depth": depth}
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
        values = dict.fromkeys(names, ())
        for name, bits in re.findall(r"\(\|top_n ([^|]+)@\d+\| (true|false|#b[01]+)\)", reply):
            value = int(bits[2:], 2) if bits.startswith("#") else int(bits == "true")
            values[name] = (*values[name], value)
        return values


class _Script:
    """Statements for the solver, and the questions among them."""

    def __init__(self) -> None:
        self.parts: list[str] = ["(set-option :produce-models true)", "(set-logic QF_BV)"]
        self.questions: list[str] = []
        self._ends: dict[str, int] = {}

    def add(self, text: str) -> None:
        """A statement without an answer."""
        self.parts.append(text)

    def ask(self, name: str, condition: str | None) -> None:
        """Whether some run brings about ``condition``; the answer does not bind later ones."""
        self.parts.append("(push 1)")
        if condition is not None:
            self.parts.append(f"(assert {condition})")
        self.parts.append("(check-sat)")
        self._ends[name] = len(self.parts)
        self.parts.append("(pop 1)")
        self.questions.append(name)

    def text(self) -> str:
        """The whole script."""
        return "\n".join(self.parts)

    def up_to(self, question: str) -> str:
        """The script up to a question, without those before it."""
        parts = self.parts[: self._ends[question]]
        asked = [i for i, part in enumerate(parts[:-1]) if part == "(check-sat)"]
        return "\n".join(part for i, part in enumerate(parts) if i not in asked)


def _encode(m: Module, checks: Checks) -> Encoding:
    """Through Yosys, with a check's message as its name."""

    def named(check: re.Match[str]) -> str:
        return f'  attribute \\src "{check[2].replace(" ", "_")}"\n{check[1]}""'

    text = rtlil.convert(Fragment.get(m, None), name="top", ports=checks.ports, emit_src=False)
    observe = "".join(
        f"delete -port w:{port}\nconnect -nounset -set {port} {path}\n"
        for port, path in checks.observed.items()
    )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "design.il", Path(folder) / "design.smt2"
        source.write_text(_CHECK.sub(named, text))
        try:
            run_yosys(_SCRIPT.format(source=source, target=target, observe=observe))
        except RuntimeError as error:
            missing = re.search(r"Failed to parse set rhs expression `(.*)'", str(error))
            if missing:
                raise LookupError(f"the block has no register '{missing[1]}'") from None
            raise
        return read_encoding(target.read_text())


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


def _answers(solver: str, script: str, timeout_s: float, *, stop: bool) -> list[str] | None:
    """One word per question."""
    reply = _run_solver(solver, script, timeout_s)
    if reply is None:
        return None
    answers = reply.split()
    if any(answer not in ("sat", "unsat", "unknown") for answer in answers):
        raise RuntimeError(f"{SOLVER} failed: {reply[-2000:]}")
    return answers
