"""What stands behind the streams: how fast words come, and which bytes cross the DRAM interface.

docs/memory.md states the model. Rates are idle cycles that a test bench can keep, so that the RTL
takes exactly the cycles found here; that a memory keeps them is the assumption.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.memory import MemoryConfig, SramConfig
from sw.compile import GemmShape, Machine

from . import state
from .array import Rate, Rates
from .jobs import Column, Jobs

#: a tile's time is rounded up to whole cycles, that of a short tile to parts of a cycle
_FINE = 1000
_FINEST = 64
#: cycles of a job, and numerator times denominator of a word's cycles, for 64-bit integers
LONGEST_JOB, LARGEST_PRODUCT = 1 << 58, 1 << 62


@dataclass(frozen=True, kw_only=True, eq=False)
class Supply:
    """Jobs behind a memory; properties are columns (jobs,).

    Parameters
    ----------
    jobs : what is run, on one machine or on many (``designs``).
    memory : where its words come from; None for words without any delay.
    """

    jobs: Jobs
    memory: MemoryConfig | None

    @cached_property
    def bytes_per_cycle(self) -> float | None:
        """Of the DRAM, at the accelerator's clock; None without a memory."""
        if self.memory is None:
            return None
        return self.memory.dram.bytes_per_s / (self.jobs.machine.accelerator.clock_mhz * 1e6)

    @cached_property
    def once(self) -> dict[str, Column]:
        """Words of each stream with every tile crossing once."""
        jobs = self.jobs
        return {
            "weight_words": jobs.col_tiles * jobs.tile_weight_words,
            "activation_words": jobs.row_tiles * jobs.tile_activation_words,
            "result_words": jobs.tiles * jobs.tile_result_words,
        }

    @cached_property
    def dram_words(self) -> dict[str, Column]:
        """Words of each stream that come from DRAM: all, or each once where the SRAM holds them."""
        found = dict(self.jobs.words)
        for name, sram in self.srams.items():
            if sram is not None:
                size = self.once[name] * self.jobs.word_bits[name]
                fits = size <= sram.kib * 8192
                found[name] = np.where(fits, np.minimum(self.once[name], found[name]), found[name])
        return found

    @cached_property
    def srams(self) -> dict[str, SramConfig | None]:
        """What stands before each operand's stream."""
        if self.memory is None:
            return {}
        return {
            "weight_words": self.memory.weight_sram,
            "activation_words": self.memory.activation_sram,
        }

    def bytes_of(self, words: dict[str, Column], name: str) -> Column:
        """Bytes of so many words of a stream."""
        return words[name] * self.jobs.word_bits[name] // 8

    def traffic_columns(self, *, cached: bool) -> dict[str, Column]:
        """Bytes of each job by the names of :class:`sim.Traffic`.

        ``cached``: the (N, K) matrix is a cache.
        """
        names = ("weight_words", "activation_words", "result_words")
        matrix, activations, results = (self.bytes_of(self.dram_words, name) for name in names)
        nothing = np.zeros_like(matrix)
        ideal = sum((self.bytes_of(self.once, name) for name in names), start=nothing)
        return {
            "weight_bytes": nothing if cached else matrix,
            "kv_bytes": matrix if cached else nothing,
            "activation_bytes": activations,
            "result_bytes": results,
            "ideal_bytes": ideal,
        }

    @cached_property
    def rates(self) -> NDArray[np.int64]:
        """How fast the streams may go, int64 (jobs, 3, RATE), for :func:`sim.kernel.run_jobs`."""
        free = np.repeat(Rates().rows[None], len(self.jobs), axis=0)
        if self.memory is None:
            return free
        if not self.fits.all() and not self.jobs.designs:
            raise InputError(
                f"memory '{self.memory.name}' is too slow for a GEMM of "
                f"{self.jobs.macs.max():.3g} products: its cycles are too many to count"
            )
        return np.where(self.fits[:, None, None], self._pace.rates(free.copy()), free)

    @cached_property
    def _pace(self) -> "_Pace":
        assert self.memory is not None
        return _Pace(supply=self, memory=self.memory)

    @cached_property
    def fits(self) -> NDArray[np.bool_]:
        """Whether a job fits the machine and takes so few cycles that they can be counted."""
        return self.jobs.fits if self.memory is None else self._pace.counted


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pace:
    """Rates at which the streams share the DRAM.

    The operand of which fewer tiles cross the stream leads: its first tile comes at full speed,
    words of the other follow. From then on both keep the pace at which all bytes of a round of the
    inner loop, results included, cross in one time.
    """

    supply: Supply
    memory: MemoryConfig

    @property
    def _jobs(self) -> Jobs:
        return self.supply.jobs

    @cached_property
    def _word_cycles(self) -> dict[str, tuple[Any, int]]:
        """Shortest time of one word of each stream from DRAM, cycles as a fraction."""
        bandwidth = self.supply.bytes_per_cycle
        assert bandwidth is not None
        found = {}
        for name, bits in self._jobs.word_bits.items():
            cycles = np.ceil(_FINEST * bits / 8 / bandwidth).astype(np.int64)
            found[name] = (np.maximum(cycles, _FINEST), _FINEST)
        return found

    def _sram_cycles(self, name: str) -> NDArray[np.float64]:
        """Shortest time of one word from SRAM; one port gives way to what is written."""
        sram = self.supply.srams.get(name)
        if sram is None:
            return np.zeros(len(self._jobs))
        cycles = np.full(len(self._jobs), self._jobs.word_bits[name] / sram.bits_per_cycle)
        if sram.ports == "1rw":
            cycles *= 1 + self.supply.dram_words[name] / self._jobs.words[name]
        return cycles

    @cached_property
    def _weights_lead(self) -> Column:
        jobs = self._jobs
        if jobs.machine.accelerator.buffers is None:
            return np.zeros(len(jobs), dtype=bool)
        fewer = jobs.weight_packets < jobs.activation_packets
        alike = jobs.weight_packets == jobs.activation_packets
        return fewer | (alike & (jobs.tile_weight_words < jobs.tile_activation_words))

    @cached_property
    def _activations_lead(self) -> Column:
        if self._jobs.machine.accelerator.buffers is None:
            return np.zeros(len(self._jobs), dtype=bool)
        return ~self._weights_lead

    @property
    def _operands(self) -> tuple[tuple[str, Column, Column, Column], ...]:
        """Of each operand: name of its words, whether it leads, words of a tile, tiles."""
        jobs = self._jobs
        return (
            ("weight_words", self._weights_lead, jobs.tile_weight_words, jobs.weight_packets),
            (
                "activation_words",
                self._activations_lead,
                jobs.tile_activation_words,
                jobs.activation_packets,
            ),
        )

    @cached_property
    def _short(self) -> NDArray[np.bool_]:
        """Jobs that fit, and in less than :data:`LONGEST_JOB` cycles move their words."""
        words, bits = self._jobs.words, self._jobs.word_bits
        moved = sum(words[name].astype(float) * bits[name] / 8 for name in words)
        return self._jobs.fits & (moved / self.supply.bytes_per_cycle < LONGEST_JOB)

    def _tile_time(self) -> tuple[Column, Column]:
        """Time of one tile pass at the common pace, as a fraction of whole cycles."""
        jobs, supply = self._jobs, self.supply
        total = supply.bytes_of(supply.dram_words, "result_words").astype(float)
        for name, leads, _, packets in self._operands:
            resident = leads & (packets == 1)
            total += np.where(resident, 0, supply.bytes_of(supply.dram_words, name))
        cycles = np.where(self._short, total / supply.bytes_per_cycle / jobs.tiles, 1)
        fine = 2 ** np.ceil(np.log2(_FINE / np.clip(cycles, 1, _FINE)))
        fine = np.minimum(fine, _FINEST).astype(np.int64)
        return np.ceil(cycles * fine).astype(np.int64), fine

    @cached_property
    def _paces(self) -> dict[str, tuple[Column, Column]]:
        """Cycles of a word of each operand at the common pace, as a fraction."""
        (time, parts), found = self._tile_time(), {}
        for name, _, words, packets in self._operands:
            # all its words share the time of all tile passes
            p = np.where(self._short, time * self._jobs.tiles, 1)
            q = np.where(self._short, parts * words * packets, 1)
            common = np.gcd(p, q)
            found[name] = p // common, q // common
        return found

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Jobs whose products of cycles and words are 64-bit integers."""
        products = [p.astype(float) * q for p, q in self._paces.values()]
        return self._short & (np.max(products, axis=0) < LARGEST_PRODUCT)

    def rates(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """``found`` (jobs, 3, RATE) with the pace filled in."""
        jobs = self._jobs
        found[..., state.KIND] = state.RULE
        lead_cycles = np.zeros(len(jobs), dtype=np.int64)
        for stream, (name, leads, words, _) in enumerate(self._operands):
            rate = found[:, stream]
            top, bottom = self._word_cycles[name]
            rate[:, state.LEAD] = np.where(leads, words, 0)
            rate[:, state.P0], rate[:, state.Q0] = top, bottom
            lead_cycles += -(-rate[:, state.LEAD] * top // bottom)
            p, q = self._paces[name]
            sram = np.ceil(self._sram_cycles(name) * _FINEST).astype(np.int64)
            from_sram = sram / _FINEST > p / q
            rate[:, state.P1] = np.where(from_sram, np.maximum(sram, _FINEST), np.maximum(p, q))
            rate[:, state.Q1] = np.where(from_sram, _FINEST, q)
        latency = ceil(self.memory.dram.latency_ns * jobs.machine.accelerator.clock_mhz / 1e3)
        leads = np.stack([leads for _, leads, _, _ in self._operands], axis=1)
        found[:, :2, state.DELAY] = latency + np.where(leads, 0, lead_cycles[:, None])
        top, bottom = self._word_cycles["result_words"]
        found[:, state.RESULTS, state.P1], found[:, state.RESULTS, state.Q1] = top, bottom
        return found


def memory_rates(machine: Machine, shape: GemmShape, memory: MemoryConfig) -> Rates:
    """How fast the streams of one GEMM may go, for :func:`sim.simulate_gemm` or a test bench."""
    rows = Supply(jobs=Jobs.of(machine, shape), memory=memory).rates[0].tolist()

    def rate(row: list[int]) -> Rate:
        return Rate(
            cycles=(row[state.P1], row[state.Q1]),
            lead=row[state.LEAD],
            lead_cycles=(row[state.P0], row[state.Q0]),
            delay=row[state.DELAY],
        )

    weights, activations, results = map(rate, rows)
    return Rates(weights=weights, activations=activations, results=results)
