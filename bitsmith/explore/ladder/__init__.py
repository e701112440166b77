"""The fidelity ladder: model, stepped simulator, synthesis, RTL; and how far each was off."""

from .climbing import climb, promote, spread
from .promotion import RUNGS, ErrorRow, Promotion, summary

__all__ = ["RUNGS", "ErrorRow", "Promotion", "climb", "promote", "spread", "summary"]
