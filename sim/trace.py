"""What happened when in a job: one row per event, in columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: kinds of events; the first are spans of the array, then of the streams, then waits by cause
KINDS = (
    "tile",  # first slot issued .. last slot issued
    "group",  # the same of a group
    "dequantize",  # first .. last cycle in which the dequantizers are busy with a group
    "results",  # first result word of a tile offered .. last one accepted
    "load_weights",  # first .. last word of a tile accepted (tile buffers only)
    "load_activations",
    "wait_output",  # cycles without a slot, by cause
    "wait_dequantizer",
    "wait_weights",
    "wait_activations",
    "beat_weights",  # a beat enters its queue (only where beats are asked for)
    "beat_activations",
)
EVENT = np.dtype(
    [("kind", "u1"), ("tile", "i4"), ("group", "i4"), ("start", "i8"), ("cycles", "i8")]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """The events of one job.

    Attributes
    ----------
    events : array of dtype :data:`EVENT`; ``kind`` indexes :data:`KINDS`, ``group`` is -1 where
        an event has none, ``start`` is a cycle of the job (docs/timing.md), ``cycles`` at least 1.
    total_cycles : of the job, or up to the last result of the tiles that were traced.
    """

    events: NDArray[np.void]
    total_cycles: int

    def of(self, kind: str) -> NDArray[np.void]:
        """The events of one kind, in order of their start."""
        chosen: NDArray[np.void] = self.events[self.events["kind"] == KINDS.index(kind)]
        return chosen
