"""What of a point is small enough to be stepped, synthesized or run as RTL."""

from dataclasses import dataclass, replace

import numpy as np

from bitsmith.job import Job
from bitsmith.verify import longest_k
from configs.memory import MemoryConfig
from sim import JOB_GAP_CYCLES
from sim.points import workload_points
from sw.compile import GemmShape, Machine
from sw.workloads import Gemm, Workload


@dataclass(frozen=True, kw_only=True)
class CutJob:
    """A few tiles of a GEMM.

    Attributes
    ----------
    phase : ``prefill`` or ``decode``.
    gemm : the GEMM that they are cut from.
    shape : what is left of it; all of K where the limit and the tile buffers allow it.
    """

    phase: str
    gemm: Gemm
    shape: GemmShape

    @property
    def text(self) -> str:
        """Both in words."""
        whole, left = self.gemm, self.shape
        return (
            f"{self.phase}: {left.m} x {left.n} x {left.k} (G {left.group_size}) of "
            f"{whole.name}'s {whole.m} x {whole.n} x {whole.k}"
        )


def shrunk(machine: Machine, most_lanes: int) -> Machine:
    """The machine with rows and columns halved until it has at most ``most_lanes`` lanes.

    The larger of the two goes first; a dequantizer keeps all its rows. All other settings, widths
    included, stay, so that a PE and its dequantizer are the very same circuits.
    """
    array = machine.accelerator
    rows, cols, shared = array.rows, array.cols, array.rows_per_dequantizer
    while rows * cols * array.lanes > most_lanes:
        fewer = max(shared, rows // 2 // shared * shared)
        if fewer < rows and (rows >= cols or cols == 1):
            rows = fewer
        elif cols > 1:
            cols //= 2
        else:
            break
    return replace(machine, accelerator=replace(array, rows=rows, cols=cols))


def shape_text(machine: Machine) -> str:
    """Rows, columns and lanes."""
    array = machine.accelerator
    return f"{array.rows} x {array.cols} x {array.lanes}"


def instance_text(whole: Machine, part: Machine) -> str:
    """What was built of a machine, in words."""
    if part == whole:
        return f"the whole {shape_text(whole)} array"
    return (
        f"{shape_text(part)} of the point's {shape_text(whole)} array, all other settings and all "
        "widths as they are"
    )


def cut_jobs(job: Job, machine: Machine, *, tiles: int, limit_steps: int) -> tuple[CutJob, ...]:
    """The largest GEMM with weights of the prefill, and of a decode step, cut down.

    Parameters
    ----------
    machine : the job's, or a smaller instance of it.
    tiles : rows and columns of tiles that are left, fewer where the GEMM has no more.
    limit_steps : chunks times slots that a cut job may have; K is shortened to whole groups.
    """
    found: dict[GemmShape, CutJob] = {}
    workload = job.timed_workload
    for phase, gemms in (("prefill", workload.prefill), ("decode", workload.decode)):
        fixed = [gemm for gemm in gemms if gemm.operand == "weights"]
        if fixed:
            # of equally large ones the first
            largest = max(fixed, key=lambda gemm: gemm.m * gemm.n * gemm.k)
            size = job.group_sizes[largest.name]
            shape = _shape(largest, size, machine, tiles=tiles, limit_steps=limit_steps)
            found.setdefault(shape, CutJob(phase=phase, gemm=largest, shape=shape))
    return tuple(found.values())


def _shape(gemm: Gemm, size: int, machine: Machine, *, tiles: int, limit_steps: int) -> GemmShape:
    array = machine.accelerator
    m, n = min(gemm.m, tiles * array.rows), min(gemm.n, tiles * array.cols)
    passes = -(-m // array.rows) * -(-n // array.cols) * machine.slots
    most = max(1, limit_steps // passes) * array.lanes
    k = gemm.k if gemm.k <= most else max(size, most // size * size)
    k = longest_k(machine, min(k, gemm.k), size)
    return GemmShape(m=m, n=n, k=k, group_size=size)


def modelled_cycles(machine: Machine, shape: GemmShape, memory: MemoryConfig | None) -> int:
    """Cycles of one job as the vectorised model has them: a point of a sweep, a workload of one."""
    array = machine.accelerator
    point = {
        name: np.array([getattr(array, name)])
        for name in ("rows", "cols", "queue_beats", "rows_per_dequantizer")
    }
    workload = Workload(name="cut", prefill=(Gemm(name="cut", m=shape.m, n=shape.n, k=shape.k),))
    found = workload_points(
        machine, point, workload, group_size=shape.group_size, memory=memory, threads=1
    )
    return int(found.prefill.cycles[0]) - JOB_GAP_CYCLES
