"""Proofs about the generated hardware: accumulators, streams and the tile controller.

Not part of any design. ``python -m hw.proofs`` runs them all.
"""

from .accumulator import GroupOfWeights
from .checks import Checks
from .lanes import LaneSum
from .loaders import Loader
from .reset import QuietReset
from .results import Drain, RequantizerPipeline
from .runner import (
    Contradiction,
    Harness,
    LostProperty,
    MissingSolver,
    Verdict,
    cover,
    missing_solver,
    prove,
    search,
)
from .sequencer import Interlocks

__all__ = [
    "Checks",
    "Contradiction",
    "Drain",
    "GroupOfWeights",
    "Harness",
    "Interlocks",
    "LaneSum",
    "Loader",
    "LostProperty",
    "MissingSolver",
    "QuietReset",
    "RequantizerPipeline",
    "Verdict",
    "cover",
    "missing_solver",
    "prove",
    "search",
]
