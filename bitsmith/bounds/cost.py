"""What a bit of accumulator costs: area and energy of the model, LUTs of a synthesis run."""

import dataclasses
from typing import Any

from costmodel import Technology, cost
from costmodel.fpga import map_cells
from hw.array import PEArray
from hw.emit import to_rtlil
from sim.activity import Activity
from sw.accumulators import Stage
from sw.compile import Machine

#: FPGA family whose LUTs are counted
FAMILY = "ecp5"
#: what accumulators without a bound have
WIDE_BITS = 32
#: further bits over which LUTs are averaged: a single one can be free
_LUT_STEP = 4


def at_width(machine: Machine, *, inner_bits: int, outer_bits: int) -> Machine:
    """``machine`` with other accumulators."""
    return dataclasses.replace(machine, inner_bits=inner_bits, outer_bits=outer_bits)


def pe_luts(machine: Machine) -> int:
    """LUTs of one PE with its dequantizer, decoder and control: an array of 1 x 1, synthesized."""
    array = dataclasses.replace(machine.accelerator, rows=1, cols=1)
    one = dataclasses.replace(machine, accelerator=array)
    return map_cells(to_rtlil(PEArray(machine=one), "array"), FAMILY, top="array")["lut"]


def width_costs(machine: Machine, technology: Technology, activity: Activity) -> dict:
    """Area, energy and LUTs of a machine as it is, with 32-bit accumulators, and per bit.

    Keys
    ----
    technology, luts_of (what was synthesized, and for which FPGA family);
    inner_bits, outer_bits, area_um2 (whole machine), energy_pj_per_mac (on chip), luts (one PE);
    wide : the same with accumulators of 32 bits, or of the machine's own if these are wider;
    per_bit : stage -> area_um2, area_percent, energy_percent, luts, for one more bit.
    """

    def measured(found: Machine) -> dict[str, Any]:
        report = cost(found, activity, technology)
        return {
            "inner_bits": found.inner_bits,
            "outer_bits": found.outer_bits,
            "area_um2": report.area_um2,
            "energy_pj_per_mac": report.on_chip_energy_pj / max(1, report.macs),
            "luts": pe_luts(found),
        }

    own = measured(machine)
    widths = {"inner": machine.inner_bits, "outer": machine.outer_bits}
    wide = {f"{stage}_bits": max(WIDE_BITS, bits) for stage, bits in widths.items()}
    return {
        "technology": technology.config.name,
        "luts_of": f"one PE with its dequantizer and decoder, {FAMILY}",
        **own,
        "wide": measured(at_width(machine, **wide)),
        "per_bit": {
            stage: _per_bit(machine, stage, own, technology, activity)
            for stage in ("inner", "outer")
        },
    }


def _per_bit(
    machine: Machine,
    stage: Stage,
    own: dict[str, Any],
    technology: Technology,
    activity: Activity,
) -> dict[str, float]:
    name = f"{stage}_bits"
    more = dataclasses.replace(machine, **{name: getattr(machine, name) + 1})
    report = cost(more, activity, technology)
    area = report.area_um2 - own["area_um2"]
    energy = report.on_chip_energy_pj / max(1, report.macs) / own["energy_pj_per_mac"] - 1
    further = dataclasses.replace(machine, **{name: getattr(machine, name) + _LUT_STEP})
    return {
        "area_um2": area,
        "area_percent": 100 * area / own["area_um2"],
        "energy_percent": 100 * energy,
        "luts": (pe_luts(further) - own["luts"]) / _LUT_STEP,
    }
