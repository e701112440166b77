"""The sub-commands, one function each: ``command(options, progress) -> exit code``."""

from .machines import cost, rtl, simulate, verify
from .numbers import bounds, formats, models, quantize
from .runs import doctor, report, run

__all__ = [
    "bounds",
    "cost",
    "doctor",
    "formats",
    "models",
    "quantize",
    "report",
    "rtl",
    "run",
    "simulate",
    "verify",
]
