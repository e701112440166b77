"""What a simulation leaves behind: a trace for Perfetto, SCALE-Sim's reports, tables."""

from .perfetto import write_perfetto
from .scalesim import write_scalesim
from .table import grouped_rows, timing_json, timing_rows, timing_text

__all__ = [
    "grouped_rows",
    "timing_json",
    "timing_rows",
    "timing_text",
    "write_perfetto",
    "write_scalesim",
]
