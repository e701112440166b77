"""Proofs about the generated hardware: accumulators, streams, tile buffers and control.

Not part of any design. ``python -m hw.proofs`` runs them all.
"""

from .accumulator import GroupOfWeights
from .buffers import Tiles
from .bus import Guard, ResultWords, States
from .checks import Checks
from .lanes import LaneSum
from .loaders import Loader
from .registers import Answers
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
    "Answers",
    "Checks",
    "Contradiction",
    "Drain",
    "GroupOfWeights",
    "Guard",
    "Harness",
    "Interlocks",
    "LaneSum",
    "Loader",
    "LostProperty",
    "MissingSolver",
    "QuietReset",
    "RequantizerPipeline",
    "ResultWords",
    "States",
    "Tiles",
    "Verdict",
    "cover",
    "missing_solver",
    "prove",
    "search",
]
