"""Third rung of a study that must fit an FPGA: its cells by Yosys, against the predictor's."""

from dataclasses import fields

from bitsmith.job import Job
from costmodel.calibration.components import COMPONENTS
from costmodel.fpga.families import Resources
from costmodel.fpga.targets import find_target
from costmodel.fpga.yosys import map_cells
from hw.emit import to_rtlil, without_collision_checks
from sw.compile import Machine

from ..devices import METRIC, cells, predicted
from .cut import instance_text, shrunk
from .promotion import Found

_TOP = "measured"
#: lanes of all PEs of the array that is synthesized
MOST_LANES = 64


def synthesized(machine: Machine, family: str, *, dsp: bool) -> Resources:
    """Cells of a core, and of its tile buffers, each synthesized alone."""
    names = ["core"]
    if machine.accelerator.buffers is not None:
        names += ["weight_buffer", "activation_buffer"]
    total = {field.name: 0 for field in fields(Resources)}
    for name in names:
        source = without_collision_checks(to_rtlil(COMPONENTS[name].build(machine), _TOP))
        cells = map_cells(source, family, top=_TOP, dsp=dsp)
        total = {kind: count + cells[kind] for kind, count in total.items()}
    return Resources(**total)


def climb_fpga(job: Job, device: str, *, most_lanes: int = MOST_LANES) -> Found:
    """Cells of the point's core on a device, without placement.

    Raises
    ------
    InputError : unknown device, or no predictor of its family.
    """
    target = find_target(device)
    machine = shrunk(job.machine, most_lanes)
    estimate, dsp = predicted(machine, target.family)
    used = synthesized(machine, target.family, dsp=dsp)
    figures = {name: float(getattr(used, kind)) for kind, name in METRIC.items()}
    blocks = "with" if dsp else "without"
    note = (
        f"core and tile buffers of {instance_text(job.machine, machine)} for {target.name}, "
        f"{blocks} multiplier blocks, not placed"
    )
    lower = {name: value for name, value in cells(estimate).items() if name in figures}
    return Found(figures=figures, lower=lower, note=note)
