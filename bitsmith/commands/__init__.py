"""The sub-commands, one function each: ``command(options, progress) -> exit code``."""

from .machines import cost, rtl, simulate, verify
from .numbers import bounds, formats, models
from .quantization import accuracy, compare, export, quantize
from .runs import doctor, report, run

__all__ = [
    "accuracy",
    "bounds",
    "compare",
    "cost",
    "doctor",
    "export",
    "formats",
    "models",
    "quantize",
    "report",
    "rtl",
    "run",
    "simulate",
    "verify",
]
