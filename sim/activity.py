"""What a job makes the hardware do: action counts, the input of the cost model."""

from dataclasses import dataclass, fields

import numpy as np

from sw.compile import GemmShape, Machine

from .array import CycleReport
from .jobs import Column, Jobs


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Action counts of one or more jobs; they add up.

    Attributes
    ----------
    busy_cycles : cycles from job to last result, stalls included.
    slots : cycles in which the array did a slot.
    pe_slots : slots times PEs, padded ones included.
    weight_bits, activation_bits, result_bits : bits of the beats that went in and out of the array.
    streamed_weight_bits, streamed_activation_bits, streamed_result_bits : bits that crossed each
        stream port.
    buffered_bits : bits written to tile buffers; the array's beats are read from there.
    decoded_terms : terms that the decoders produced.
    group_dequantizations : group sums times scale, one per PE and group.
    macs : useful products.
    """

    busy_cycles: int = 0
    slots: int = 0
    pe_slots: int = 0
    weight_bits: int = 0
    activation_bits: int = 0
    result_bits: int = 0
    streamed_weight_bits: int = 0
    streamed_activation_bits: int = 0
    streamed_result_bits: int = 0
    buffered_bits: int = 0
    decoded_terms: int = 0
    group_dequantizations: int = 0
    macs: int = 0

    def __add__(self, other: "Activity") -> "Activity":
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Activity(**sums)

    def times(self, count: int) -> "Activity":
        """The same job ``count`` times."""
        return Activity(**{f.name: getattr(self, f.name) * count for f in fields(self)})


def activity_columns(jobs: Jobs, cycles: Column) -> dict[str, Column]:
    """Action counts of each job whose time is known, by the names of :class:`Activity`.

    Parameters
    ----------
    jobs : the jobs, of one machine or of many (``designs``).
    cycles : total cycles of each, int64 (jobs,).
    """
    rows, cols, lanes = (jobs.setting(name) for name in ("rows", "cols", "lanes"))
    slots = jobs.tiles * jobs.tile_chunks * jobs.slots
    beats = jobs.tile_chunks + jobs.groups + jobs.has_parameters
    streamed = {name: words * jobs.word_bits[name] for name, words in jobs.words.items()}
    weights, activations = streamed["weight_words"], streamed["activation_words"]
    buffered = jobs.machine.accelerator.buffers is not None
    return {
        "busy_cycles": cycles,
        "slots": slots,
        "pe_slots": slots * (rows * cols),
        "weight_bits": jobs.tiles * beats * jobs.beat_bits["weight"],
        "activation_bits": jobs.tiles * jobs.tile_chunks * jobs.beat_bits["activation"],
        "result_bits": jobs.tiles * (rows * jobs.beat_bits["result"]),
        "streamed_weight_bits": weights,
        "streamed_activation_bits": activations,
        "streamed_result_bits": streamed["result_words"],
        "buffered_bits": weights + activations if buffered else 0 * weights,
        "decoded_terms": slots * (cols * lanes),
        "group_dequantizations": jobs.tiles * jobs.groups * (rows * cols),
        "macs": jobs.macs,
    }


def jobs_activity(jobs: Jobs, cycles: Column, repeats: Column) -> Activity:
    """Action counts of jobs of one machine whose time is known.

    Parameters
    ----------
    jobs : the jobs.
    cycles, repeats : total cycles of each, and how often it is run, int64 (jobs,).
    """
    counts = activity_columns(jobs, cycles)
    return Activity(**{name: int(count @ repeats) for name, count in counts.items()})


def gemm_activity(machine: Machine, shape: GemmShape, cycles: CycleReport) -> Activity:
    """Action counts of one GEMM whose time is known."""
    total = np.array([cycles.total_cycles])
    return jobs_activity(Jobs.of(machine, shape), total, np.ones(1, dtype=np.int64))
