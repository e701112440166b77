"""Second rung: the point alone, on its own machine; and a cut-down job stepped cycle by cycle."""

from bitsmith.job import Job
from sim import memory_rates, simulate_gemm

from ..alone import metrics_alone
from .cut import cut_jobs, modelled_cycles
from .promotion import Found

#: rows and columns of tiles of a cut-down job
TILES = 5
#: chunks times slots that are stepped of one
LIMIT_STEPS = 4_000_000


def climb_stepped(job: Job) -> Found:
    """The point's own timing and cost; cut-down jobs stepped, against the vectorised model.

    ``PHASE_cut_cycles`` are those of the phase's cut-down job.
    """
    memory, machine = job.config.memory, job.machine
    cuts = cut_jobs(job, machine, tiles=TILES, limit_steps=LIMIT_STEPS)
    figures, lower = metrics_alone(job, job), {}
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
