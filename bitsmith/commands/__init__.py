"""The sub-commands, one function each: ``command(options, progress) -> exit code``."""

from .baselines import baselines
from .board import board
from .fpga import fpga
from .machines import cost, verify
from .numbers import bounds, formats, models
from .quantization import accuracy, compare, export, quantize
from .reproduce import reproduce
from .rtl import rtl
from .runs import doctor, report, run
from .simulate import simulate
from .skipping import skipping

__all__ = [
    "accuracy",
    "baselines",
    "board",
    "bounds",
    "compare",
    "cost",
    "doctor",
    "export",
    "formats",
    "fpga",
    "models",
    "quantize",
    "report",
    "reproduce",
    "rtl",
    "run",
    "simulate",
    "skipping",
    "verify",
]
