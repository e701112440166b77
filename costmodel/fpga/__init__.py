"""FPGA resources and clock: Yosys for six families, nextpnr for ECP5 and iCE40."""

from .families import FAMILIES, Family, Resources
from .flow import SEEDS, FpgaReport, implement, macs_per_cycle
from .nextpnr import Placement, missing_nextpnr, parse_report
from .pins import PinWrapper
from .targets import TARGETS, Target, find_target
from .yosys import map_cells, statistics

__all__ = [
    "FAMILIES",
    "SEEDS",
    "TARGETS",
    "Family",
    "FpgaReport",
    "PinWrapper",
    "Placement",
    "Resources",
    "Target",
    "find_target",
    "implement",
    "macs_per_cycle",
    "map_cells",
    "missing_nextpnr",
    "parse_report",
    "statistics",
]
