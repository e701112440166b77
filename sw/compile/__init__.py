"""From quantized matrices to programs: machine, tiling, packed stream beats."""

from .machine import Machine
from .program import GemmProgram, GemmShape, Tiling, tiling

__all__ = ["GemmProgram", "GemmShape", "Machine", "Tiling", "tiling"]
