"""Metrics of one point by itself, from reports of its own jobs: no vectors."""

from costmodel import CostReport, Estimate, cost
from sim.activity import Activity
from sim.results import PhaseTiming, Traffic

from ..job import Job
from .figures import MM2, PICO


def metrics_alone(prefill: Job, decode: Job) -> dict[str, float]:
    """The prefill of one job and the decode steps of another, as metrics of one point.

    Both have the same workload; a machine that does not rearrange itself is given twice. Metrics
    of a phase that the workload has not are left out.
    """
    first, then = prefill.timing.prefill, decode.timing.decode
    workload = decode.timing.workload
    steps, tokens = workload.decode_steps, workload.decode_steps * workload.batch
    times = (_seconds(prefill, first), _seconds(decode, then))
    costs = [_cost(job, phases) for job, phases in ((prefill, first), (decode, then))]
    done = [report for report in costs if report is not None]
    energy = Estimate.total(report.energy for report in done)
    on_chip = Estimate.total(report.energy_at("on_chip") for report in done)
    peak = sum(p.report.peak_macs_per_cycle * p.cycles for p in (*first, *then))
    found = {
        "latency_s": sum(times),
        "utilization": sum(p.activity.macs for p in (*first, *then)) / peak,
        "dram_bytes": float(sum(p.traffic.total_bytes for p in (*first, *then))),
        "edp_js": energy.value * PICO * sum(times),
        "power_w": on_chip.value * PICO / sum(report.time_s for report in done),
        **_interval("energy_j", energy.times(PICO)),
        **_interval("on_chip_j", on_chip.times(PICO)),
        **_interval("area_mm2", max((r.area for r in done), key=_expected).times(MM2)),
        **_interval("max_mhz", min((r.logic_fmax for r in done), key=_expected)),
    }
    if costs[0] is not None:
        found |= {"prefill_s": times[0], **_interval("prefill_j", costs[0].energy.times(PICO))}
    if costs[1] is not None:
        found |= {"s_per_token": times[1] / steps, "tokens_per_s": tokens / times[1]}
        found |= _interval("energy_per_token_j", costs[1].energy.times(PICO).per(tokens))
    return found


def _seconds(job: Job, phases: tuple[PhaseTiming, ...]) -> float:
    return sum(phase.cycles for phase in phases) / (job.config.accelerator.clock_mhz * 1e6)


def _cost(job: Job, phases: tuple[PhaseTiming, ...]) -> CostReport | None:
    """Area, and energy of some phases; None for no phases."""
    if not phases:
        return None
    memory = job.config.memory
    traffic = sum((phase.traffic for phase in phases), start=Traffic())
    return cost(
        job.machine,
        sum((phase.activity for phase in phases), start=Activity()),
        job.technology,
        memory=memory,
        traffic=None if memory is None else traffic,
    )


def _expected(estimate: Estimate) -> float:
    return estimate.value


def _interval(name: str, estimate: Estimate) -> dict[str, float]:
    ends = {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: estimate.value, **ends}
