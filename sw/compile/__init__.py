"""From quantized matrices to programs: machine, tiling, packed stream beats."""

from .machine import Machine, resolve_machine, worst_case_widths
from .program import GemmProgram, GemmShape, Tiling, tiling

__all__ = [
    "GemmProgram",
    "GemmShape",
    "Machine",
    "Tiling",
    "resolve_machine",
    "tiling",
    "worst_case_widths",
]
