"""Last rung: the point's RTL under Verilator, against golden model, simulator and model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bitsmith.job import Job
from bitsmith.verify import Case, CaseResult, random_program, verify
from configs.memory import MemoryConfig
from sim import memory_rates
from sw.compile import Machine
from sw.compile.transfers import stream_counts

from .cut import CutJob, cut_jobs, instance_text, modelled_cycles, shrunk
from .promotion import Found

#: lanes of all PEs of the array that is compiled, a larger one is made smaller: with integers, with
#: floating-point activations; so that emitting and compiling take one or two minutes
MOST_LANES, MOST_FLOAT_LANES = 1024, 512
#: rows and columns of tiles of a cut-down job
TILES = 2
#: chunks times slots of one, below which K is whole
LIMIT_STEPS = 200_000


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """One case, the name of its figure, and the vectorised model's cycles."""

    case: Case
    figure: str
    modelled: int


def climb_rtl(job: Job, *, most_lanes: int | None = None, verilog: str | None = None) -> Found:
    """Jobs cut from the workload, without and behind the point's memory.

    ``PHASE_rtl_cycles`` and ``PHASE_memory_rtl_cycles`` have the vectorised model below them,
    ``rtl_cycles``, those of all cases, the simulator. ``wrong_cases`` must be 0: cases of which an
    output, an overflow bit or a counter is wrong, or that were not run after such a one.

    Parameters
    ----------
    most_lanes : of the array that is built; by default what compiles in a minute or two.
    verilog : text to run instead of the machine's own.
    """
    if most_lanes is None:
        most_lanes = MOST_FLOAT_LANES if job.machine.accelerator.has_floats else MOST_LANES
    machine, memory = shrunk(job.machine, most_lanes), job.config.memory
    cuts = cut_jobs(job, machine, tiles=TILES, limit_steps=LIMIT_STEPS)
    asked = list(_asked(machine, cuts, memory, np.random.default_rng(job.config.seed)))
    results = verify(machine, [one.case for one in asked], verilog=verilog)
    wrong = len(asked) - sum(result.passed for result in results)
    figures, lower = {"wrong_cases": float(wrong)}, {"wrong_cases": 0.0}
    # without cycles it hung
    ended = [(one, r) for one, r in zip(asked, results, strict=False) if r.rtl_cycles]
    for one, result in ended:
        figures[one.figure], lower[one.figure] = float(result.rtl_cycles), float(one.modelled)
    if ended:
        figures["rtl_cycles"] = float(sum(result.rtl_cycles for _, result in ended))
        lower["rtl_cycles"] = float(sum(result.simulated_cycles for _, result in ended))
    behind = f", each alone and behind {memory.name}" if memory else ""
    note = (
        f"RTL of {instance_text(job.machine, machine)}: {'; '.join(cut.text for cut in cuts)}"
        f"{behind}; random operands, seed {job.config.seed}; {_outcome(results, len(asked))}"
    )
    return Found(figures=figures, lower=lower, note=note)


def _asked(
    machine: Machine, cuts: Iterable[CutJob], memory: MemoryConfig | None, rng: np.random.Generator
) -> Iterator[_Asked]:
    """Every cut-down job, and the same operands behind a memory whose rates the bench keeps."""
    for cut in cuts:
        shape = cut.shape
        program = random_program(machine, shape.m, shape.n, shape.k, shape.group_size, rng)
        yield _Asked(
            case=Case(name=cut.text, program=program),
            figure=f"{cut.phase}_rtl_cycles",
            modelled=modelled_cycles(machine, shape, None),
        )
        if memory is not None:
            gaps = memory_rates(machine, shape, memory).gaps(stream_counts(machine, program.tiling))
            yield _Asked(
                case=Case(name=f"{cut.text} behind {memory.name}", program=program, gaps=gaps),
                figure=f"{cut.phase}_memory_rtl_cycles",
                modelled=modelled_cycles(machine, shape, memory),
            )


def _outcome(results: Sequence[CaseResult], cases: int) -> str:
    """What verification found, in words."""
    failed = [result for result in results if not result.passed]
    if failed:
        skipped = cases - len(results)
        after = f"; {skipped} cases after it were not run" if skipped else ""
        return f"THE RTL DIFFERS in {failed[0].name}: {failed[0].failure}{after}"
    outputs = sum(result.outputs for result in results)
    return f"all {outputs:,} outputs as the golden model's, all counters as the simulator's"
