"""Second rung: the point alone, on its own machine; and a cut-down job stepped cycle by cycle."""

from collections.abc import Iterable

from bitsmith.job import Job
from bitsmith.steps import cost_report
from costmodel import Estimate, job_energy
from sim import Activity, memory_rates, simulate_gemm
from sim.results import PhaseTiming, Traffic

from .cut import cut_jobs, modelled_cycles
from .promotion import Found

#: rows and columns of tiles of a cut-down job
TILES = 5
#: chunks times slots that are stepped of one
LIMIT_STEPS = 4_000_000


def point_figures(job: Job) -> dict[str, float]:
    """Metrics of timing and cost, each from the point's own timing and cost report."""
    timing, clock_hz = job.timing, job.config.accelerator.clock_mhz * 1e6
    workload, report = timing.workload, cost_report(job)
    latency_s = timing.total_cycles / clock_hz
    energy_j = report.energy_pj * 1e-12
    found = {
        "prefill_s": timing.prefill_cycles / clock_hz,
        "latency_s": latency_s,
        "utilization": timing.utilization,
        "dram_bytes": float(timing.traffic.total_bytes),
        "prefill_j": _energy_j(job, timing.prefill),
        "energy_j": energy_j,
        "on_chip_j": report.on_chip_energy_pj * 1e-12,
        "edp_js": energy_j * latency_s,
        "area_mm2": report.area_um2 * 1e-6,
        "power_w": report.power_mw * 1e-3,
        "max_mhz": report.logic_fmax.value,
    }
    if steps := workload.decode_steps:
        step_s = timing.decode_cycles / clock_hz / steps
        sequences = steps * workload.batch
        found["s_per_token"] = step_s
        found["tokens_per_s"] = workload.batch / step_s
        found["energy_per_token_j"] = _energy_j(job, timing.decode) / sequences
    return found


def _energy_j(job: Job, phases: Iterable[PhaseTiming]) -> float:
    """Energy of some phases, on the chip and of the DRAM."""
    phases, memory = tuple(phases), job.config.memory
    if not phases:
        return 0.0
    activity = sum((phase.activity for phase in phases), Activity())
    traffic = sum((phase.traffic for phase in phases), Traffic()) if memory else None
    actions = job_energy(job.machine, activity, job.technology, memory=memory, traffic=traffic)
    return Estimate.total(action.total for action in actions).value * 1e-12


def climb_stepped(job: Job) -> Found:
    """The point's own timing and cost; cut-down jobs stepped, against the vectorised model.

    ``PHASE_cut_cycles`` are those of the phase's cut-down job.
    """
    memory, machine = job.config.memory, job.machine
    cuts = cut_jobs(job, machine, tiles=TILES, limit_steps=LIMIT_STEPS)
    figures, lower = point_figures(job), {}
    for cut in cuts:
        rates = memory_rates(machine, cut.shape, memory) if memory else None
        report = simulate_gemm(machine, cut.shape, rates, stepped=True)
        figures[f"{cut.phase}_cut_cycles"] = float(report.total_cycles)
        lower[f"{cut.phase}_cut_cycles"] = float(modelled_cycles(machine, cut.shape, memory))
    behind = f", behind {memory.name}" if memory else ""
    note = (
        f"whole workload '{job.workload.name}' on the point's own machine; every chunk stepped "
        f"of {'; '.join(cut.text for cut in cuts)}{behind}"
    )
    return Found(figures=figures, lower=lower, note=note)
