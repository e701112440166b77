"""Look-up tables, flip-flops, block RAMs and multiplier blocks of a machine, without synthesis.

Look-up tables come from models that were fitted to synthesis (:mod:`costmodel.fpga.calibrate`), one
per component, and one for what a whole core adds to or takes from their sum. The others are
counted: flip-flops from the structure, memories and multiplier blocks by Yosys' rules.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from configs.errors import InputError, unknown_name
from costmodel.array import machine_blocks
from costmodel.calibration.components import COMPONENTS, component_of
from costmodel.estimate import Estimate
from costmodel.linear import LinearModel, calibrate_command, read_fit
from sw.compile import Machine

from .amounts import Amounts, component_amounts, queue_amounts
from .dsp import machine_dsps
from .memories import machine_memories
from .terms import CORE_TERMS, TERMS

FITS = Path(__file__).with_name("fits")
#: families that predictors were fitted for
PREDICTED = ("ecp5", "ice40", "xc7")
#: marks the model of a component whose products are in multiplier blocks
WITH_DSP = "+dsp"
_PES = ("serial_pe", "multiplier_pe", "float_pe")
#: components of a core; ``control`` stands for the rest of it
_OF_CORE = (
    *_PES,
    "dequantizer",
    "float_dequantizer",
    "column",
    "column_scale",
    "activation_sums",
    "activations",
    "drain",
    "control",
)
#: families whose multiplier blocks take registers, and blocks that have such
_ABSORBING = ("ice40", "xc7")
_BESIDE_PRODUCTS = ("pe.products", "pe.lane_sum", "requantizer", "registers")
_BUFFERS = ("weight_buffer", "activation_buffer")


@dataclass(frozen=True, kw_only=True)
class ComponentEstimate:
    """All circuits of one component in a machine.

    Attributes
    ----------
    number : of circuits.
    lut : look-up tables of all of them, each synthesized alone.
    dsp : multiplier blocks of all of them.
    """

    number: int
    lut: Estimate
    dsp: int = 0


@dataclass(frozen=True, kw_only=True)
class FpgaEstimate:
    """What the core of a machine, with its tile buffers, takes of an FPGA.

    The registers of the bus and the ports around the core are not part of it.

    Attributes
    ----------
    lut : as synthesis counts them (:mod:`costmodel.fpga.families`).
    flip_flops : counted; the interval is the worst difference from synthesis, and with multiplier
        blocks that have registers inside, those that may move there.
    bram, dsp : exact, by rule.
    components : what each component takes alone; a core shares and optimizes across them.
    """

    family: str
    lut: Estimate
    flip_flops: Estimate
    bram: int
    dsp: int
    components: dict[str, ComponentEstimate]


@dataclass(frozen=True, kw_only=True)
class FlipFlopError:
    """How far counted flip-flops of cores were from synthesis.

    Attributes
    ----------
    rows, exact : cores, and those without a difference.
    worst_percent : the largest difference.
    """

    rows: int
    exact: int
    worst_percent: float


@dataclass(frozen=True, kw_only=True)
class FpgaFit:
    """Models of one family.

    Attributes
    ----------
    components : look-up tables of one circuit, by component; :data:`WITH_DSP` marks those with
        multiplier blocks.
    core : look-up tables of a core, from the sum over its components and what it adds.
    flip_flops : of the count.
    """

    family: str
    components: Mapping[str, LinearModel]
    core: LinearModel
    flip_flops: FlipFlopError

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "FpgaFit":
        """Of a file in ``fits``."""
        models = {n: LinearModel.from_json(m) for n, m in content["components"].items()}
        for name, model in models.items():
            model.check_terms(name, TERMS[name.removesuffix(WITH_DSP)])
        core = LinearModel.from_json(content["core"])
        core.check_terms("core", CORE_TERMS)
        found = FlipFlopError(**content["flip_flops"])
        if not 0 <= found.worst_percent < math.inf:
            raise ValueError(f"worst_percent of flip_flops is {found.worst_percent}")
        return cls(family=content["family"], components=models, core=core, flip_flops=found)

    def model(self, component: str, *, dsp: bool) -> LinearModel:
        """Model of a component.

        Raises
        ------
        InputError : there is none; nothing else stands in for it.
        """
        name = component + WITH_DSP * dsp
        if name not in self.components:
            instead = ": predict without multiplier blocks" if dsp else ""
            raise InputError(f"the fit of {self.family} has no model of '{name}'{instead}")
        return self.components[name]


@lru_cache(maxsize=8)
def load_fit(family: str) -> FpgaFit:
    """The committed fit of a family.

    Raises
    ------
    InputError : unknown family, or its fit is missing or damaged.
    """
    if family not in PREDICTED:
        raise unknown_name("FPGA family", family, PREDICTED)
    command = calibrate_command(f"--fpga {family}", FITS)
    return read_fit(FITS / f"{family}.json", FpgaFit.from_json, command)


def circuits(machine: Machine) -> dict[str, int]:
    """Components of a machine's core and how many circuits of each there are; queues apart."""
    found = {"control": 1}
    for block in machine_blocks(machine):
        name = component_of(machine, block.block)
        if name in _OF_CORE and name not in found:
            found[name] = COMPONENTS[name].number(machine)
    return found


def has_models(machine: Machine, fit: FpgaFit, *, dsp: bool) -> bool:
    """Whether every component of a machine has a model, with or without multiplier blocks."""
    blocks = machine_dsps(machine, fit.family) if dsp else {}
    names = (name + WITH_DSP * (blocks.get(name, 0) > 0) for name in circuits(machine))
    return all(name in fit.components for name in names)


def component_estimates(
    machine: Machine, fit: FpgaFit, *, dsp: bool
) -> dict[str, ComponentEstimate]:
    """Every component of a core, its queues and its tile buffers, alone."""
    blocks = machine_dsps(machine, fit.family) if dsp else {}
    found = {}
    for name, number in circuits(machine).items():
        taken = blocks.get(name, 0)
        model = fit.model(name, dsp=taken > 0)
        lut = model.estimate(component_amounts(name, machine, fit.family)).times(number)
        found[name] = ComponentEstimate(number=number, lut=lut, dsp=taken)
    queues = queue_amounts(machine, fit.family)
    model = fit.model("queue", dsp=False)
    total = Estimate.total(model.estimate(amounts) for amounts in queues.values())
    found["queue"] = ComponentEstimate(number=len(queues), lut=total)
    if machine.accelerator.buffers is not None:
        for name in _BUFFERS:
            lut = fit.model(name, dsp=False).estimate(component_amounts(name, machine, fit.family))
            found[name] = ComponentEstimate(number=1, lut=lut)
    return found


def core_amounts(machine: Machine, components: Mapping[str, ComponentEstimate]) -> Amounts:
    """What a core's look-up tables are predicted from: its components, and what they share."""
    array = machine.accelerator
    inside = {name: c.lut.value for name, c in components.items() if name not in _BUFFERS}
    rest = sum(
        block.count * block.structure.gates
        for block in machine_blocks(machine)
        if component_of(machine, block.block) == "control"
        and block.block not in ("walker", "sequencer")
    )
    return {
        "components": sum(inside.values()),
        "pes": sum(inside.get(name, 0.0) for name in _PES),
        "others": sum(value for name, value in inside.items() if name not in _PES),
        "one": 1,
        "cols": array.cols,
        "rows": array.rows,
        "number_of_pes": array.rows * array.cols,
        "control_gates": rest,
    }


def predict(machine: Machine, family: str, *, dsp: bool = True) -> FpgaEstimate:
    """Resources of a machine's core and tile buffers.

    Parameters
    ----------
    family : ``ecp5``, ``ice40`` or ``xc7``.
    dsp : multipliers may become multiplier blocks.

    Raises
    ------
    InputError : unknown family, or no fit of it.
    """
    fit = load_fit(family)
    components = component_estimates(machine, fit, dsp=dsp)
    lut = fit.core.estimate(core_amounts(machine, components))
    lut += Estimate.total(components[name].lut for name in _BUFFERS if name in components)
    memories = machine_memories(machine, family).values()
    blocks = sum(c.dsp for c in components.values())
    return FpgaEstimate(
        family=family,
        lut=lut,
        flip_flops=flip_flop_estimate(machine, fit, dsp=blocks > 0),
        bram=sum(memory.bram for memory in memories),
        dsp=blocks,
        components=components,
    )


def counted_flip_flops(machine: Machine, family: str) -> int:
    """Flip-flops of a core and its tile buffers, queues that are none of RAM included."""
    blocks = machine_blocks(machine)
    kept = sum(block.count * block.structure.flip_flop_bits for block in blocks)
    return kept + sum(memory.flip_flops for memory in machine_memories(machine, family).values())


def flip_flop_estimate(machine: Machine, fit: FpgaFit, *, dsp: bool) -> Estimate:
    """:func:`counted_flip_flops` with its interval.

    With ``dsp``, registers beside products may move into multiplier blocks that have their own:
    half of them do in the middle of the interval, none and all at its ends.
    """
    kept = counted_flip_flops(machine, fit.family)
    share = fit.flip_flops.worst_percent / 100
    movable = 0
    if dsp and fit.family in _ABSORBING:
        movable = sum(
            block.count * block.structure.flip_flop_bits
            for block in machine_blocks(machine)
            if block.block.startswith(_BESIDE_PRODUCTS)
        )
    return Estimate(
        value=kept - movable / 2, low=(kept - movable) * (1 - share), high=kept * (1 + share)
    )
