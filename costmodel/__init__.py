"""Area and energy: structural counts and activity in, costs out, every figure with its source."""

from .area import BlockArea, machine_area
from .array import machine_blocks
from .energy import ActionEnergy, job_energy
from .figures import REQUIRED_FIGURES, Figures, read_figures
from .report import CostReport, cost
from .structure import Block, Structure

__all__ = [
    "REQUIRED_FIGURES",
    "ActionEnergy",
    "Block",
    "BlockArea",
    "CostReport",
    "Figures",
    "Structure",
    "cost",
    "job_energy",
    "machine_area",
    "machine_blocks",
    "read_figures",
]
