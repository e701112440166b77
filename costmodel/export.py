"""Area and energy reference tables (ART, ERT) in the form of Accelergy 0.4.

An entry is named ``system.accelerator.BLOCK[1..COUNT]``. Areas are in um^2 and energies in pJ, as
Accelergy has them; ``*_low_*`` and ``*_high_*`` beside each are its interval, which readers of the
format pass over.
"""

from typing import Any

from configs.memory import MemoryConfig
from sw.compile import Machine

from .area import machine_area
from .energy import action_prices
from .estimate import Estimate
from .technology import Technology

VERSION = "0.4"
#: a bit costs the same in both
_QUEUES = ("queue.weights", "queue.activations")
_CYCLE = {
    "clock.slots": "clock",
    "clock.stalls": "clock",
    "leakage.cells": "leak_cells",
    "leakage.sram": "leak_sram",
}


def reference_tables(
    machine: Machine, technology: Technology, memory: MemoryConfig | None = None
) -> dict[str, dict[str, Any]]:
    """``ART`` and ``ERT`` of a machine, ready for YAML or JSON.

    Every action of the ERT is a key of :func:`costmodel.energy.job_counts`, without the name of its
    block in front; what a cycle costs whatever the data are ``clock`` and ``leak_*`` of ``cycle``,
    and a bit that crosses a port ``transfer`` of ``stream``, ``wires`` and ``dram``. What has
    actions and no area of its own is in the ART with area 0, so that both have the same names.
    """
    areas = machine_area(machine, technology, memory)
    art = [
        {
            "name": _name(area.block, area.count),
            "area": area.area.value,
            "area_low_um2": area.area.low,
            "area_high_um2": area.area.high,
        }
        for area in areas
    ]
    counts = {area.block: area.count for area in areas}
    actions: dict[str, list[dict[str, Any]]] = {}
    for action, energy in action_prices(machine, technology, memory).items():
        block, verb = _split(action, counts)
        for one in _QUEUES if block == "queue" else (block,):
            entries = actions.setdefault(one, [])
            if verb not in [entry["name"] for entry in entries]:
                entries.append(_entry(verb, energy))
    zero = {"area": 0.0, "area_low_um2": 0.0, "area_high_um2": 0.0}
    art += [{"name": _name(block, 1), **zero} for block in actions if block not in counts]
    ert = [
        {"name": _name(block, counts.get(block, 1)), "actions": entries}
        for block, entries in actions.items()
    ]
    return {
        "ART": {"version": VERSION, "units": {"area": "um^2"}, "tables": art},
        "ERT": {"version": VERSION, "units": {"energy": "pJ"}, "tables": ert},
    }


def _entry(verb: str, energy: Estimate) -> dict[str, Any]:
    return {
        "name": verb,
        "arguments": {},
        "energy": energy.value,
        "energy_low_pj": energy.low,
        "energy_high_pj": energy.high,
    }


def _name(block: str, count: int) -> str:
    return f"system.accelerator.{block}[1..{count}]"


def _split(action: str, blocks: dict[str, int]) -> tuple[str, str]:
    """Block and verb of an action."""
    if action in _CYCLE:
        return "cycle", _CYCLE[action]
    if action in blocks:
        return action, "update"
    block, _, verb = action.rpartition(".")
    if block in ("stream", "dram", "wires"):
        return f"{block}.{verb}", "transfer"
    return (block, verb) if block else (action, "update")
