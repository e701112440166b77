"""Metrics of time and energy, from cycles, activity and prices in columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from costmodel.points import PointPrices, Range
from sim.points import PhasePoints, WorkloadPoints
from sw.workloads import Workload

Floats = NDArray[np.float64]
#: J in a pJ, mm2 in a um2, W in a mW
PICO, MM2, MILLI = 1e-12, 1e-6, 1e-3
_BYTES = ("weight_bytes", "kv_bytes", "activation_bytes", "result_bytes")


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseEnergy:
    """Energy of one phase on every point."""

    on_chip_pj: Range
    dram_pj: Range

    @classmethod
    def of(cls, prices: PointPrices, phase: PhasePoints, *, has_memory: bool) -> "PhaseEnergy":
        """As :func:`bitsmith.steps.cost_report`: without a memory, streams are the traffic."""
        traffic = phase.traffic if has_memory else None
        on_chip, dram = prices.energies_pj(phase.activity, traffic)
        return cls(on_chip_pj=on_chip, dram_pj=dram)

    @property
    def total_pj(self) -> Range:
        """On chip and of the DRAM."""
        return added(self.on_chip_pj, self.dram_pj)


def added(one: Range, other: Range) -> Range:
    """Sums; limits add up as the cost model's do."""
    return Range(value=one.value + other.value, low=one.low + other.low, high=one.high + other.high)


def interval(name: str, found: Range, factor: float = 1.0) -> dict[str, Floats]:
    """A metric with its limits."""
    return {
        name: found.value * factor,
        f"{name}_low": found.low * factor,
        f"{name}_high": found.high * factor,
    }


def timing_metrics(timing: WorkloadPoints, workload: Workload, hz: float) -> dict[str, Floats]:
    """Metrics of timing; those of a phase that the workload has not are left out."""
    phases = (timing.prefill, timing.decode)
    prefill_s, decode_s = (phase.cycles / hz for phase in phases)
    macs = sum((phase.activity["macs"] for phase in phases), start=np.zeros(1, dtype=np.int64))
    moved = [phase.traffic[name] for phase in phases for name in _BYTES]
    found = {
        "latency_s": (timing.prefill.cycles + timing.decode.cycles) / hz,
        "utilization": macs / (timing.prefill.peak_macs + timing.decode.peak_macs),
        "dram_bytes": np.sum(moved, axis=0).astype(np.float64),
    }
    if workload.prefill:
        found["prefill_s"] = prefill_s
    if workload.decode and workload.decode_steps:
        found["s_per_token"] = decode_s / workload.decode_steps
        found["tokens_per_s"] = workload.decode_steps * workload.batch / decode_s
    return found


def cost_metrics(
    timing: WorkloadPoints, prices: PointPrices, workload: Workload, hz: float, *, has_memory: bool
) -> dict[str, Floats]:
    """Metrics of energy; those of a phase that the workload has not are left out."""
    prefill = PhaseEnergy.of(prices, timing.prefill, has_memory=has_memory)
    decode = PhaseEnergy.of(prices, timing.decode, has_memory=has_memory)
    total = added(prefill.total_pj, decode.total_pj)
    on_chip = added(prefill.on_chip_pj, decode.on_chip_pj)
    latency_s = (timing.prefill.cycles + timing.decode.cycles) / hz
    busy = timing.prefill.activity["busy_cycles"] + timing.decode.activity["busy_cycles"]
    found = {
        **interval("energy_j", total, PICO),
        **interval("on_chip_j", on_chip, PICO),
        "edp_js": total.value * PICO * latency_s,
        "power_w": on_chip.value * PICO / (busy / hz),
    }
    if workload.prefill:
        found |= interval("prefill_j", prefill.total_pj, PICO)
    if workload.decode and workload.decode_steps:
        tokens = workload.decode_steps * workload.batch
        found |= interval("energy_per_token_j", decode.total_pj, PICO / tokens)
    return found
