"""Third rung: the point's circuits through Yosys and ABC, against the models of area and delay."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from amaranth.lib import wiring

from bitsmith.job import Job
from costmodel import machine_area, machine_blocks
from costmodel.area import total_area
from costmodel.calibration.components import COMPONENTS, component_of
from costmodel.calibration.files import blocks_um2
from costmodel.calibration.liberty import clocked_script, unpacked
from costmodel.fpga.yosys import statistics
from costmodel.structure import Structure
from hw.array import Queue
from hw.emit import to_rtlil
from sw.compile import Machine

from .cut import instance_text, shrunk
from .promotion import Found

_TOP = "measured"
#: bits of state that a circuit may hold; a larger one, a drain or a queue, takes Yosys minutes
MOST_BITS = 4_000
#: lanes of all PEs of a core that is synthesized as a whole
MOST_LANES = 32


@dataclass(frozen=True, kw_only=True)
class Part:
    """A circuit of a machine.

    Attributes
    ----------
    component : whose prices the model takes for it.
    number : how many of it the machine has.
    structure : what the model says that one contains.
    """

    name: str
    component: str
    build: Callable[[Machine], wiring.Component]
    number: int
    structure: Structure


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What a circuit became: area of its cells, um2, and ABC's longest path, ps."""

    area_um2: float
    delay_ps: float


def parts(machine: Machine) -> Iterator[Part]:
    """Every distinct circuit of a machine that synthesis can see alone, each once.

    Not among them: registers between blocks, the dequantizers' control, the queues of headers and
    parameters, tile buffers.
    """
    blocks = {block.block: block.structure for block in machine_blocks(machine)}
    for name in dict.fromkeys(component_of(machine, block) for block in blocks):
        if not name.endswith("_buffer"):
            found = COMPONENTS[name]
            yield Part(
                name=name,
                component=name,
                build=found.build,
                number=found.number(machine),
                structure=found.structure(machine),
            )
    # of the component's queues calibration builds that of weights only
    yield Part(
        name="queue of activations",
        component="queue",
        build=_activation_queue,
        number=1,
        structure=blocks["queue.activations"],
    )


def is_large(part: Part) -> bool:
    """Whether synthesis would take too long."""
    return part.structure.flip_flop_bits + part.structure.memory_bits > MOST_BITS


def _activation_queue(machine: Machine) -> wiring.Component:
    return Queue(width=machine.activation_chunk_bits, depth=machine.accelerator.queue_beats)


def mapped(circuit: wiring.Component, liberty: Path, *, period_ps: float) -> Cells:
    """One circuit in an uncompressed library, as calibration maps it; kept by content."""
    lines = [f"synth -flatten -top {_TOP}", *clocked_script(liberty, period_ps)]
    found = statistics(lines, to_rtlil(circuit, _TOP), liberty)
    return Cells(area_um2=found["area"], delay_ps=found["delay_ps"])


def climb_synthesis(job: Job, liberty: Path) -> Found:
    """Areas and delays of a point's circuits in the library that its technology was fitted to.

    ``cells_mm2``: the synthesized circuits times their number, beside the model's area of the same,
    in the library's own technology. ``area_mm2`` and ``max_mhz``: the point's, with the model's
    figures of these circuits replaced. ``core_mm2`` and ``core_mhz``: a whole core, smaller where
    the point's is large.

    Raises
    ------
    InputError : another library, or none.
    """
    machine, technology = job.machine, job.technology
    asic = technology.asic
    core = shrunk(machine, MOST_LANES)
    with unpacked(liberty) as path:
        asic.check_library(path)
        one = partial(mapped, liberty=path, period_ps=asic.period_ps)
        found = {part: one(part.build(machine)) for part in parts(machine) if not is_large(part)}
        whole = one(COMPONENTS["core"].build(core))
    figures, lower, note = _compare(job, found)
    area = asic.area_um2["core"].value(blocks_um2(asic.area_um2, core, COMPONENTS["core"].blocks))
    figures |= {"core_mm2": whole.area_um2 * 1e-6, "core_mhz": 1e6 / whole.delay_ps}
    lower |= {"core_mm2": area * 1e-6, "core_mhz": 1e6 / asic.critical_path_ps(core).value}
    note += f"; core: {instance_text(machine, core)}"
    return Found(figures=figures, lower=lower, note=note)


def _compare(
    job: Job, found: Mapping[Part, Cells]
) -> tuple[dict[str, float], dict[str, float], str]:
    """Figures, lower figures and note of the circuits that were synthesized alone."""
    machine, technology = job.machine, job.technology
    asic, scaled = technology.asic, technology.factor("area").value
    measured = modelled = changed_um2 = 0.0
    for part, cells in found.items():
        model_um2 = asic.area(part.component, part.structure).value * part.number
        measured += cells.area_um2 * part.number
        modelled += model_um2
        off = cells.area_um2 * part.number - model_um2
        changed_um2 += off * technology.composition(part.component) * scaled
    blocks = machine_area(machine, technology, job.config.memory)
    area_um2 = total_area(blocks, technology).value + changed_um2
    slowest = max(found, key=lambda part: found[part].delay_ps)
    core = asic.delay_ps["core"].value({"longest_part_ps": found[slowest].delay_ps})
    figures = {
        "cells_mm2": measured * 1e-6,
        "area_mm2": area_um2 * 1e-6,
        "max_mhz": 1e6 / (core * technology.factor("delay").value),
    }
    every = sum(blocks_um2(asic.area_um2, machine, lambda block: True).values())
    note = (
        f"{', '.join(part.name for part in found)} of the point's own machine in {asic.liberty}: "
        f"{modelled / every:.1%} of the model's cell area; slowest: {slowest.name}"
    )
    if large := [part.name for part in parts(machine) if is_large(part)]:
        note += f"; too large to synthesize: {', '.join(large)}"
    return figures, {"cells_mm2": modelled * 1e-6}, note
