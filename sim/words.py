"""The cycle in which every word of a job is accepted, for those who replay it."""

import numpy as np
from numpy.typing import NDArray

from sw.compile import GemmShape, Machine

from .array import CycleReport, Gaps, trace_gemm
from .jobs import Jobs
from .trace import Trace


def word_cycles(
    machine: Machine, shape: GemmShape, gaps: Gaps
) -> tuple[CycleReport, tuple[NDArray[np.int64], ...]]:
    """Simulate a job; cycles of all weight, activation and result words, int64 (words,) each.

    Raises
    ------
    InputError : as :func:`sim.trace_gemm`.
    """
    report, trace = trace_gemm(machine, shape, gaps, beats=True)
    words = {name: int(count[0]) for name, count in Jobs.of(machine, shape).words.items()}
    taken = _free(gaps.results, words["result_words"])
    ends = trace.of("results")["start"] + trace.of("results")["cycles"] - 1
    results = _from_ends(taken, ends)
    inputs = (
        _input_cycles(machine, trace, "weights", gaps.weights, words["weight_words"]),
        _input_cycles(machine, trace, "activations", gaps.activations, words["activation_words"]),
    )
    return report, (*inputs, results)


def _free(gaps: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    """Cycles of the words of a stream that nothing holds back."""
    idle = np.zeros(words, dtype=np.int64)
    idle[: len(gaps)] = gaps[:words]
    return np.cumsum(1 + idle)


def _input_cycles(
    machine: Machine, trace: Trace, name: str, gaps: NDArray[np.int64], words: int
) -> NDArray[np.int64]:
    """Words of an operand: without buffers its beats, with them those of tiles one by one."""
    if machine.accelerator.buffers is None:
        found: NDArray[np.int64] = trace.of(f"beat_{name}")["start"]
        return found
    loads = trace.of(f"load_{name}")
    return _from_ends(_free(gaps, words), loads["start"] + loads["cycles"] - 1)


def _from_ends(free: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cycles of words that cross tile by tile, the last one of each tile in ``ends``.

    Only the first word of a tile is ever held back: the others keep their distances.
    """
    tiles = free.reshape(len(ends), -1)
    return (ends[:, None] - (tiles[:, -1:] - tiles)).ravel()
