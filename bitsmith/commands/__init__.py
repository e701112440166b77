"""The sub-commands, one function each: ``command(options, progress) -> exit code``."""

from .baselines import baselines
from .board import board
from .bounds import bounds
from .calibrate import calibrate
from .cost import cost
from .explore import explore
from .fpga import fpga
from .numbers import formats, models
from .prove import prove
from .quantization import accuracy, compare, export, quantize
from .reproduce import reproduce
from .rtl import rtl
from .runs import doctor, report, run
from .simulate import simulate
from .skipping import skipping
from .verify import verify
from .widths import widths

__all__ = [
    "accuracy",
    "baselines",
    "board",
    "bounds",
    "calibrate",
    "compare",
    "cost",
    "doctor",
    "explore",
    "export",
    "formats",
    "fpga",
    "models",
    "prove",
    "quantize",
    "report",
    "reproduce",
    "rtl",
    "run",
    "simulate",
    "skipping",
    "verify",
    "widths",
]
