"""Area and energy: structural counts and activity in, costs out, every figure with its source."""

from .area import BlockArea, machine_area
from .array import machine_blocks
from .energy import ActionEnergy, job_energy
from .estimate import Estimate
from .report import CostReport, cost
from .structure import Block, Structure
from .technology import Technology

__all__ = [
    "ActionEnergy",
    "Block",
    "BlockArea",
    "CostReport",
    "Estimate",
    "Structure",
    "Technology",
    "cost",
    "job_energy",
    "machine_area",
    "machine_blocks",
]
