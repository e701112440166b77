"""Activations that reach the end of an interval, run through the PE in the simulator."""

from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from hw.pe import shift_select_bits
from sw.accumulators.checks import Mode
from sw.accumulators.witness import witness

from .accumulator import GroupOfWeights


@dataclass(frozen=True, kw_only=True)
class PEReplay:
    """What a PE did with one group.

    Attributes
    ----------
    inputs : activations, (K,).
    sums : accumulator after each step.
    exact : the same with an unlimited register.
    overflows : steps in which the PE reported an overflow.
    mode : of the accumulator.
    """

    inputs: tuple[int, ...]
    sums: tuple[int, ...]
    exact: tuple[int, ...]
    overflows: tuple[int, ...]
    mode: str

    @property
    def fails(self) -> bool:
        """Wrong in the sense of the mode: a wrong group sum, or a reported overflow."""
        return self.sums[-1] != self.exact[-1] if self.mode == "wrap" else bool(self.overflows)


def worst_inputs(group: GroupOfWeights) -> tuple[tuple[int, ...], int, int]:
    """Activations that need all bits of the group, the step that does, and its exact sum."""
    mode: Mode = group.mode  # type: ignore[assignment]
    found = witness(
        np.array(group.levels),
        terms=group.terms,
        group_size=len(group.levels),
        lanes=group.lanes,
        input_range=group.activations,
        scale_row=None,
        stage="inner",
        mode=mode,
    )
    step = found.chunk * group.terms.slots + found.slot
    return tuple(int(x) for x in found.inputs), step, found.value


def replay(group: GroupOfWeights, inputs: tuple[int, ...]) -> PEReplay:
    """Run ``inputs`` (K,) through the group's PE, a step in every cycle."""
    pe, sums, overflows = group.pe(), [], []
    stages = {"products", "sums", "shift"} & set(group.pipeline)
    late = 1 + len(stages)

    async def bench(context) -> None:
        for cycle in range(group.steps + late):
            _offer(context, group, pe, cycle, inputs)
            step = cycle - late
            context.set(pe.last, step == group.steps - 1)
            if shift_select_bits(group.terms):
                slot = (step + ("shift" in stages)) % group.terms.slots
                shifts = group.terms.base_shifts
                context.set(pe.shift_select, sorted(set(shifts)).index(shifts[slot]))
            if step >= 0:
                sums.append(context.get(pe.group_sum))
                if context.get(pe.overflow):
                    overflows.append(step)
            await context.tick()

    simulator = Simulator(pe)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return PEReplay(
        inputs=inputs,
        sums=tuple(sums),
        exact=_exact(group, inputs),
        overflows=tuple(overflows),
        mode=group.mode,
    )


def chunk_of(group: GroupOfWeights, inputs: tuple[int, ...], step: int) -> list[int]:
    """Activation of each lane in ``step``, 0 beyond a ragged end."""
    first = step // group.terms.slots * group.lanes
    chunk = inputs[first : first + group.lanes]
    return [*chunk, *[0] * (group.lanes - len(chunk))]


def _offer(context, group: GroupOfWeights, pe, step: int, inputs: tuple[int, ...]) -> None:
    """Terms and activations of a step; nothing behind the last."""
    inside = step < group.steps
    terms = group.step_terms(step) if inside else [group.terms.terms[0][0]] * group.lanes
    for lane, term in enumerate(terms):
        fields = pe.terms_in[lane]
        context.set(fields.present, inside and term.present)
        context.set(fields.negative, term.negative)
        context.set(fields.exponent, term.exponent)
    for lane, value in enumerate(chunk_of(group, inputs, step)):
        context.set(pe.activations[lane], value)
    if "negatives" in pe.signature.members:
        context.set(Value.cast(pe.negatives), sum(term.negative for term in terms))


def _exact(group: GroupOfWeights, inputs: tuple[int, ...]) -> tuple[int, ...]:
    total, sums = 0, []
    for step in range(group.steps):
        lanes = zip(group.gains(step), chunk_of(group, inputs, step), strict=True)
        total += sum(gain * value for gain, value in lanes)
        sums.append(total)
    return tuple(sums)
