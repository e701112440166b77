"""Baselines without RTL here, in time: an array that is never idle inside a tile, and a DRAM.

This is a bound from below, and favours the baseline: cycles of the array are tiles x chunks x
cycles of a chunk, without pipeline fill, drain or scales; buffers hold whatever reuse needs; DRAM
and array overlap completely inside a GEMM, so that it takes the longer of the two times, the DRAM's
latency hidden. Nothing of it is checked against hardware: ``verified`` is false everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from configs.analytic import AnalyticConfig
from configs.errors import InputError
from configs.memory import MemoryConfig
from sw.workloads import Gemm, Operand, Workload

from .activity import Activity
from .array import CycleReport
from .results import STALLS, PhaseTiming, Roofline, Traffic, WorkloadTiming

#: products of a GEMM in one step: integers of 64 bits count everything then
LARGEST_MACS = 1 << 50
Integers = NDArray[np.int64]


def simulate_analytic(
    config: AnalyticConfig,
    workload: Workload,
    *,
    weight_bits: float,
    activation_bits: int,
    kv_bits: int,
    memory: MemoryConfig | None = None,
) -> WorkloadTiming:
    """Cycles of every GEMM of a workload on an analytic baseline.

    Parameters
    ----------
    config : the baseline.
    workload : what to run; decode steps with a growing context are added up one by one.
    weight_bits : bits of a stored weight, its share of the scales included; the array multiplies by
        the whole bits of it.
    activation_bits, kv_bits : bits of an activation, and of a number of the cache.
    memory : the DRAM, and SRAMs in place of the baseline's own buffers; None never waits.

    Raises
    ------
    InputError : an operand is wider than the baseline takes, or a GEMM is too large to count.
    """
    run = _Run(
        config=config,
        bits={"weights": weight_bits, "kv_cache": kv_bits, "activations": activation_bits},
        memory=memory,
    )
    known: dict[tuple[Gemm, int], PhaseTiming] = {}

    def phases(gemms: Sequence[Gemm], steps: int) -> tuple[PhaseTiming, ...]:
        found = []
        for gemm in gemms:
            key = replace(gemm, name=""), steps  # layers repeat
            if key not in known:
                known[key] = run.phase(gemm, steps)
            found.append(replace(known[key], gemm=gemm))
        return tuple(found)

    return WorkloadTiming(
        workload=workload,
        prefill=phases(workload.prefill, 1),
        decode=phases(workload.decode, workload.decode_steps),
        roofline=Roofline(
            peak_macs_per_cycle=config.peak_macs_per_cycle(
                math.floor(weight_bits), activation_bits
            ),
            bytes_per_cycle=run.bytes_per_cycle,
        ),
        clock_mhz=config.clock_mhz,
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A baseline with the widths of its operands and a memory."""

    config: AnalyticConfig
    bits: dict[Operand, float]
    memory: MemoryConfig | None

    @property
    def bytes_per_cycle(self) -> float | None:
        """Bandwidth of the DRAM; None without a memory."""
        if self.memory is None:
            return None
        return self.memory.dram.bytes_per_s / (self.config.clock_mhz * 1e6)

    def phase(self, gemm: Gemm, steps: int) -> PhaseTiming:
        """All jobs of one GEMM."""
        if gemm.at_step(steps - 1).macs > LARGEST_MACS:
            raise InputError(f"GEMM '{gemm.name}' has more than {LARGEST_MACS} products in a step")
        n, k, repeats = _sizes_over_steps(gemm, steps)
        report = self._report(gemm)
        compute = gemm.count * self._array_cycles(gemm, n, k)
        traffic = self._traffic(gemm, n, k)
        dram = np.zeros_like(compute)
        if self.bytes_per_cycle is not None:
            dram = np.ceil(sum(traffic.values()) / self.bytes_per_cycle).astype(np.int64)
        busy = _sum(compute) * repeats
        waits = _sum(np.maximum(dram - compute, 0)) * repeats
        return PhaseTiming(
            gemm=gemm,
            report=report,
            jobs=gemm.count * steps,
            steps=steps,
            cycles=busy + waits,
            causes={"compute": busy},
            stalls=dict.fromkeys(STALLS, 0) | {"compute": busy, "dram": waits},
            activity=Activity(
                busy_cycles=busy + waits,
                slots=busy,
                pe_slots=busy * self.config.rows * self.config.cols,
                macs=gemm.count * gemm.m * _sum(n * k) * repeats,
            ),
            traffic=Traffic(
                **{name: _sum(crossed) * repeats for name, crossed in traffic.items()},
                ideal_bytes=_sum(self._ideal(gemm, n, k)) * repeats,
            ),
            verified=False,
        )

    def _chunk(self, gemm: Gemm) -> tuple[int, int]:
        """Inputs of a PE's chunk, and its cycles."""
        widths = (self.bits[gemm.operand], self.bits["activations"])
        return self.config.chunk(*map(math.floor, widths))

    def _array_cycles(self, gemm: Gemm, n: Integers, k: Integers) -> Integers:
        """Cycles of one product at each step."""
        inputs, cycles = self._chunk(gemm)
        row_tiles = -(-gemm.m // self.config.rows)
        return row_tiles * -(-n // self.config.cols) * -(-k // inputs) * cycles

    def _report(self, gemm: Gemm) -> CycleReport:
        """One product of the first step, the DRAM aside."""
        array, (inputs, chunk_cycles) = self.config, self._chunk(gemm)
        cycles = int(self._array_cycles(gemm, np.array(gemm.n), np.array(gemm.k)))
        return CycleReport(
            total_cycles=cycles,
            causes={"compute": cycles},
            counters={"tiles": -(-gemm.m // array.rows) * -(-gemm.n // array.cols)},
            macs=gemm.m * gemm.n * gemm.k,
            peak_macs_per_cycle=array.rows * array.cols * inputs / chunk_cycles,
        )

    def _sizes(self, gemm: Gemm, n: Integers, k: Integers) -> tuple[Integers, Integers, Integers]:
        """Bytes of one (N, K) matrix, of its tokens and of its results, at each step."""
        return (
            _bytes(n * k, self.bits[gemm.operand]),
            _bytes(gemm.m * k, self.bits["activations"]),
            _bytes(gemm.m * n, self.config.result_bits),
        )

    def _ideal(self, gemm: Gemm, n: Integers, k: Integers) -> Integers:
        """Bytes if everything crossed once."""
        matrix, tokens, results = self._sizes(gemm, n, k)
        return gemm.matrices * matrix + gemm.count * (tokens + results)

    def _traffic(self, gemm: Gemm, n: Integers, k: Integers) -> dict[str, Integers]:
        """Bytes over the DRAM interface at each step, by the fields of :class:`Traffic`."""
        matrix, tokens, results = self._sizes(gemm, n, k)
        for_weights, for_tokens = self._buffers()
        matrix_passes = np.full_like(n, -(-gemm.m // self.config.rows))
        token_passes = -(-n // self.config.cols)
        held = matrix <= for_weights
        once = np.ones_like(n)
        # an operand that its buffer does not hold whole crosses for every tile of the other one
        plans = [
            (
                np.where(held, once, matrix_passes),
                np.where(tokens <= for_tokens, once, token_passes),
            )
        ]
        if for_weights and for_tokens:
            # blocks of one operand fill its buffer, the other passes by once per block
            matrix_blocks, token_blocks = -(-matrix // for_weights), -(-tokens // for_tokens)
            plans += [(token_blocks, once), (once, matrix_blocks)]
        # a matrix that stays in its buffer serves all products that share it
        matrices = [matrix * np.where(held, gemm.matrices, gemm.count * w) for w, _ in plans]
        inputs = [gemm.count * tokens * times for _, times in plans]
        best = np.argmin(np.add(matrices, inputs), axis=0)
        sent = {"weight_bytes": np.choose(best, matrices), "kv_bytes": 0 * n}
        sent |= {"activation_bytes": np.choose(best, inputs), "result_bytes": gemm.count * results}
        return _by_operand(sent, gemm.operand)

    def _buffers(self) -> tuple[int, int]:
        """Bytes of buffer for the (N, K) matrix and for tokens."""
        kib = [self.config.weight_buffer_kib, self.config.activation_buffer_kib]
        if self.memory is not None:
            srams = (self.memory.weight_sram, self.memory.activation_sram)
            kib = [own if sram is None else sram.kib for own, sram in zip(kib, srams, strict=True)]
        return kib[0] * 1024, kib[1] * 1024


def _sizes_over_steps(gemm: Gemm, steps: int) -> tuple[Integers, Integers, int]:
    """N and K at each step that differs from the others, and how often all of them are done."""
    if gemm.grows is None:
        return np.array([gemm.n]), np.array([gemm.k]), steps
    sizes = getattr(gemm, gemm.grows) + np.arange(steps, dtype=np.int64)
    if gemm.limit is not None:
        sizes = np.minimum(sizes, gemm.limit)
    return (
        (sizes, np.full_like(sizes, gemm.k), 1)
        if gemm.grows == "n"
        else (np.full_like(sizes, gemm.n), sizes, 1)
    )


def _by_operand(sent: dict[str, Integers], operand: Operand) -> dict[str, Integers]:
    """What crossed as weights, under the name of what it is."""
    if operand == "weights":
        return sent
    name = {"kv_cache": "kv_bytes", "activations": "activation_bytes"}[operand]
    crossed = sent["weight_bytes"]
    return sent | {name: sent[name] + crossed, "weight_bytes": 0 * crossed}


def _bytes(elements: Integers, bits: float) -> Integers:
    """Whole bytes of packed elements."""
    return np.ceil(elements * bits / 8).astype(np.int64)


def _sum(values: Integers) -> int:
    """Exact sum: that of many steps may not fit 64 bits."""
    return sum(values.tolist())
