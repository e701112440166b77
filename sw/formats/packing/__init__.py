"""Packings: codes to bytes and back, byte for byte as published."""

from .base import Packing, ScaleField
from .bits import DensePacking, PlanePacking
from .lanes import IDENTIFIER, LanePacking, PairPacking, RowLanePacking
from .registry import get_packing, packings, plane_packing
from .ternary import PairTablePacking, TripleTablePacking, TritPacking

__all__ = [
    "IDENTIFIER",
    "DensePacking",
    "LanePacking",
    "Packing",
    "PairPacking",
    "PairTablePacking",
    "PlanePacking",
    "RowLanePacking",
    "ScaleField",
    "TripleTablePacking",
    "TritPacking",
    "get_packing",
    "packings",
    "plane_packing",
]
