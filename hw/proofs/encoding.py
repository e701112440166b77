"""The design that Yosys writes for SMT solvers, unrolled over cycles.

``write_smt2`` describes one module as functions of a state: an uninterpreted function per register
and input, a definition per wire, and predicates for assertions, assumptions, initial values and
the transition to the next state. Here every state gets plain variables of its own, in which the
solver simplifies far better than under uninterpreted functions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_KINDS = {"assert": "a", "assume": "u", "cover": "c"}
_APPLIED = re.compile(r"\(\|([^|]+)\| (state|next_state)\)")
_STATE = "((state |top_s|))"


@dataclass(frozen=True)
class Encoding:
    """Statements of one module, and the names in them.

    Attributes
    ----------
    statements : declarations and definitions of one state, in order.
    transition : the relation between a state and the next.
    properties : kind (``"assert"``, ``"assume"``, ``"cover"``) -> name -> its definition.
    wires : public names and widths.
    """

    statements: tuple[str, ...]
    transition: str
    properties: dict[str, dict[str, str]]
    wires: dict[str, int]

    def state(self, cycle: int, *, initial: bool) -> str:
        """Variables and definitions of one cycle.

        ``initial`` says whether the cycle is the one in which the design starts.
        """
        first = "true" if initial else "false"
        return "\n".join(
            [f"(define-fun |top_is@{cycle}| () Bool {first})"]
            + [_at(s, cycle) for s in self.statements]
        )

    def known(self, cycle: int, *, initial: bool) -> str:
        """What is taken for granted in a cycle; its state must have been declared."""
        names = ["top_i", "top_h", "top_u"] if initial else ["top_h", "top_u"]
        return "\n".join(f"(assert |{name}@{cycle}|)" for name in names)

    def step(self, cycle: int) -> str:
        """``cycle`` is followed by the next one; both must have been declared."""
        return f"(assert {_at(self.transition, cycle)})"

    def holds(self, kind: str, name: str, cycle: int) -> str:
        """The property in a cycle, as an expression."""
        return f"|{self.properties[kind][name]}@{cycle}|"

    def all_hold(self, cycle: int) -> str:
        """All assertions in a cycle, as an expression."""
        return f"|top_a@{cycle}|"

    def equals(self, name: str, cycle: int, value: int) -> str:
        """Whether a wire has ``value``, not negative, in a cycle, as an expression."""
        constant = f"(_ bv{value} {self.wires[name]})"
        if self.wires[name] == 1:
            constant = str(bool(value)).lower()
        return f"(= |top_n {name}@{cycle}| {constant})"

    def values(self, names: Sequence[str], cycle: int) -> str:
        """A request for the values of wires in a cycle."""
        return f"(get-value ({' '.join(f'|top_n {name}@{cycle}|' for name in names)}))"


def read_encoding(text: str) -> Encoding:
    """Take apart the output of ``write_smt2 -wires`` for a flat module ``top``.

    Raises
    ------
    ValueError : a statement is not of the expected kinds.
    """
    properties: dict[str, dict[str, str]] = {kind: {} for kind in _KINDS}
    for kind, number, name in re.findall(
        r"^; yosys-smt2-(assert|assume|cover) (\d+) \S+ (.*)$", text, re.MULTILINE
    ):
        name = name.replace("_", " ")
        if name in properties[kind]:
            raise ValueError(f"two properties are named '{name}'")
        properties[kind][name] = f"top_{_KINDS[kind]} {number}"
    found = re.findall(r"^; yosys-smt2-wire (\S+) (\d+)$", text, re.MULTILINE)
    statements, transition = [], ""
    for statement in _statements(text):
        if statement.startswith(("(declare-sort ", "(declare-fun |top_is| ")):
            continue
        definition = re.fullmatch(
            r"\(define-fun \|top_t\| \(\(state \|top_s\|\) \(next_state \|top_s\|\)\) Bool (.*)\)",
            statement,
            re.DOTALL,
        )
        if definition:
            transition = definition[1]
        else:
            statements.append(_for_one_state(statement))
    return Encoding(
        statements=tuple(statements),
        transition=transition,
        properties=properties,
        wires={name: int(width) for name, width in found},
    )


def _statements(text: str) -> list[str]:
    """Top-level statements without comments."""
    bare = re.sub(r" ?;[^\n]*", "", text)
    return [s.strip() for s in re.split(r"\n(?=\((?:declare|define)-)", bare) if s.strip()]


def _for_one_state(statement: str) -> str:
    """A function of the state as a variable or definition, its name without the cycle."""
    declared = re.fullmatch(r"\(declare-fun \|([^|]+)\| \(\|top_s\|\) (.*)\)", statement)
    if declared:
        return f"(declare-fun |{declared[1]}@| () {declared[2]})"
    head = re.match(r"\(define-fun \|([^|]+)\| \(\(state \|top_s\|\)\) ", statement)
    if not head:
        raise ValueError(f"cannot unroll: {statement[:200]}")
    return f"(define-fun |{head[1]}@| () {statement[head.end() :]}"


def _at(text: str, cycle: int) -> str:
    """``text`` with the state at ``cycle``."""
    applied = _APPLIED.sub(lambda m: f"|{m[1]}@{cycle if m[2] == 'state' else cycle + 1}|", text)
    return applied.replace("@| () ", f"@{cycle}| () ")
