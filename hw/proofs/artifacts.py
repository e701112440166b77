"""The files of a proof, all made from the group of weights alone."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hw.emit import to_verilog

from .accumulator import GroupOfWeights
from .group_file import group_text
from .lanes import LaneSum
from .netlist import TOP
from .replay import chunk_of, worst_inputs
from .runner import failing_step, scripts
from .system_verilog import assertions_text

WEIGHTS = "weights.json"
INVARIANTS = "invariants.csv"
RTL = "pe.v"
ASSERTIONS = "assertions.sv"
#: given to the solver; all answers are ``unsat``, but for the last one of a ``base``
PROOFS = ("harness_base.smt2", "harness.smt2", "lanes_base.smt2", "lanes.smt2")
#: one bit less than needed; some answer is ``sat``
CONTROL = "control.smt2"
#: what a register that is too narrow can violate
_AT_STAKE = ("register", "next", "group sum", "no overflow")


def sha256(text: str) -> str:
    """Hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def artifacts(group: GroupOfWeights, source: dict[str, Any]) -> dict[str, str]:
    """File name -> text.

    Raises
    ------
    MissingSolver, LostProperty, RuntimeError : see :func:`hw.proofs.runner.prove`.
    ValueError : ``source`` holds a number that is not finite.
    """
    described, verilog = group_text(group, source), rtl_text(group)
    proved = replace(group, netlist=verilog)
    lanes = _lane_sum(proved)
    whole = scripts(proved)
    parts = scripts(lanes, depth=lanes.cycles, search=lanes.cycles + 2)
    texts = [whole["base"], whole["step"], parts["base"], parts["step"]]
    files = {
        WEIGHTS: described,
        INVARIANTS: invariants_text(group),
        RTL: verilog,
        ASSERTIONS: assertions_text(group),
        **{name: script.text() + "\n" for name, script in zip(PROOFS, texts, strict=True)},
    }
    return files if group.needed_bits() < 2 else files | {CONTROL: control_text(group)}


def rtl_text(group: GroupOfWeights) -> str:
    """Verilog of the group's PE."""
    return to_verilog(group.pe(), TOP)


def narrowed(group: GroupOfWeights) -> GroupOfWeights:
    """The group on a register of one bit less than it needs."""
    return replace(group, bits=group.needed_bits() - 1, netlist="")


def control_text(group: GroupOfWeights) -> str:
    """The induction of :func:`narrowed`, led to the step and the activations that break it."""
    narrow = narrowed(group)
    narrow = replace(narrow, netlist=rtl_text(narrow))
    inputs, step, _ = worst_inputs(group)
    mask = (1 << group.activation_bits) - 1
    places = enumerate(chunk_of(group, inputs, step))
    held = sum((value & mask) << lane * group.activation_bits for lane, value in places)
    return failing_step(narrow, _AT_STAKE, {"now": step, "held": held}).text() + "\n"


def invariants_text(group: GroupOfWeights) -> str:
    """The interval of the exact sum after every step, as CSV."""
    ranges, slots = group.ranges(), group.terms.slots
    low, high = ranges.low[:, 0, :, 0].tolist(), ranges.high[:, 0, :, 0].tolist()
    head = [
        f"# P {group.bits} bits, mode {group.mode}, needed {group.needed_bits()} bits",
        f"# K {len(group.levels)}, {group.lanes} lanes, {slots} slots, activations from "
        f"{group.activations[0]} to {group.activations[1]}",
        "step,chunk,slot,low,high",
    ]
    places = ((s, *divmod(s, slots)) for s in range(group.steps))
    rows = [f"{s},{chunk},{t},{low[t][chunk]},{high[t][chunk]}" for s, chunk, t in places]
    return "\n".join([*head, *rows]) + "\n"


def differing(first: dict[str, str], second: dict[str, str]) -> Iterable[str]:
    """Names under which two sets of texts differ, or that only one of them has."""
    return (n for n in sorted({*first, *second}) if first.get(n) != second.get(n))


def _lane_sum(group: GroupOfWeights) -> LaneSum:
    return LaneSum(
        terms=group.terms,
        lanes=group.lanes,
        activation_bits=group.activation_bits,
        activation_signed=group.activation_signed,
        adders=group.adders,
        pipeline=group.pipeline,
        bits=group.bits,
        mode=group.mode,
        netlist=group.netlist,
    )
