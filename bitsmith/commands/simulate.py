"""``bitsmith simulate``: cycles of a model, of a list of GEMMs, or of one GEMM."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from configs.errors import InputError
from sim import Trace, memory_rates, simulate_gemm, trace_gemm
from sim.array import Rates
from sim.export import timing_rows, timing_text, write_perfetto, write_scalesim
from sw.compile import GemmShape, Machine
from sw.quantize.recipe import group_length

from .. import steps
from ..job import KV_GROUP_SIZE, Job, Progress
from ..strict_json import plain
from ..tables import energy_text, write_csv
from .common import Options, emit, make_job


def simulate(options: Options, progress: Progress) -> int:
    """``bitsmith simulate``."""
    _check(options)
    job = make_job(options, progress)
    if options.gemm is not None:
        return _simulate_gemm(options, job)
    if options.decode and not job.workload.decode_steps:
        raise InputError(f"--decode: '{job.workload.name}' has no decode steps, it is an encoder")
    result = plain(steps.simulate_step(job, Path()))
    if options.output is not None:
        write_csv(options.output / "timing.csv", timing_rows(job.timing))
        write_scalesim(options.output, job.timing)
    if options.trace is not None:
        _write_trace(options.trace, _traces(job, _tiles(options)), job)
    emit(options, result, _text(result, job))
    return 0


#: of each job, unless asked for otherwise: a job of a large model has thousands, all alike
TRACED_TILES = 16
#: options that say nothing about one GEMM, or about a list of them
_OF_MODELS = ("prefill", "decode", "batch", "lm_head", "attention")
_OF_WORKLOADS = ("model", "gemms", "output", "kv_format", *_OF_MODELS)


def _check(options: Options) -> None:
    """Refuse options that would be ignored, and files that cannot be written."""
    for source, others in (("gemm", _OF_WORKLOADS), ("gemms", ("model", *_OF_MODELS))):
        for name in others if getattr(options, source) is not None else ():
            if getattr(options, name) is not None:
                shown = "a model" if name == "model" else f"--{name.replace('_', '-')}"
                raise InputError(f"--{source} is a workload of its own: it goes without {shown}")
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise InputError(f"--output: '{options.output}' is a file, it must be a folder")
    if options.trace_tiles is not None and (options.trace is None or options.trace_tiles < 1):
        raise InputError("--trace-tiles is a number of tiles, at least 1, and goes with --trace")
    if options.trace is not None:
        if options.trace.suffix != ".json":
            raise InputError(f"--trace: '{options.trace}' must end in .json")
        if not options.trace.absolute().parent.is_dir():
            raise InputError(f"--trace: there is no folder '{options.trace.parent}'")


def _text(result: dict[str, Any], job: Job) -> str:
    """The tables, then what they leave out."""
    memory = "words come at once: no memory is modelled (--memory)"
    if result["memory"] is not None:
        memory = (
            f"memory {result['memory']}: {result['dram_bytes'] / 1e9:.4g} GB, "
            f"{energy_text(result['dram_energy_pj'])}"
        )
    stalls = {k: v for k, v in result["timing"]["stalls"].items() if v}
    shares = ", ".join(f"{k} {100 * v / result['total_cycles']:.2f}%" for k, v in stalls.items())
    host = ", ".join(work["name"] for work in result["host_work"]) or "all but these GEMMs"
    lines = [timing_text(job.timing), "", f"total: {result['total_cycles']:,} cycles; {shares}"]
    if result["decode_tokens"]:
        lines.append(f"decode: {result['tokens_per_s_decode']:.4g} tokens/s")
    lines += [memory, f"on the host, not timed: {host}"]
    return "\n".join([*lines, *(f"assumed: {text}" for text in result["assumptions"])])


def _simulate_gemm(options: Options, job: Job) -> int:
    """One GEMM of the given shape."""
    m, n, k = options.gemm
    shape = GemmShape(m=m, n=n, k=k, group_size=group_length(job.config.quantization, k))
    machine = job.worst_case_machine(k)
    rates = _rates(job, machine, shape)
    report = simulate_gemm(machine, shape, rates)
    if options.trace is not None:
        trace = trace_gemm(machine, shape, rates, tiles=_tiles(options))[1]
        _write_trace(options.trace, [(f"{m} x {n} x {k}", 0, trace)], job)
    result = {
        "m": m,
        "n": n,
        "k": k,
        "group_size": shape.group_size,
        "total_cycles": report.total_cycles,
        "causes": report.causes,
        "macs": report.macs,
        "utilization": report.utilization,
    }
    emit(options, result, "\n".join(f"{key}: {value}" for key, value in result.items()))
    return 0


def _rates(job: Job, machine: Machine, shape: GemmShape) -> Rates | None:
    memory = job.config.memory
    return None if memory is None else memory_rates(machine, shape, memory)


def _tiles(options: Options) -> int:
    return TRACED_TILES if options.trace_tiles is None else options.trace_tiles


def _traces(job: Job, tiles: int) -> Iterator[tuple[str, int, Trace]]:
    """One job of every kind of GEMM, one after another: equal ones are traced once."""
    start, known = 0, set()
    for phase in job.timing.phases:
        gemm, cached = phase.gemm, phase.gemm.operand != "weights"
        size = KV_GROUP_SIZE if cached else job.group_sizes[gemm.name]
        shape = GemmShape(m=gemm.m, n=gemm.n, k=gemm.k, group_size=size)
        if (shape, cached) in known:
            continue
        known.add((shape, cached))
        machine = job.kv_machine if cached and job.kv_machine else job.machine
        rates = _rates(job, machine, shape)
        trace = trace_gemm(machine, shape, rates, tiles=tiles)[1]
        yield gemm.name, start, trace
        start += trace.total_cycles + 1


def _write_trace(path: Path, traces: Iterable[tuple[str, int, Trace]], job: Job) -> None:
    array = job.config.accelerator
    write_perfetto(path, traces, name=array.name, clock_mhz=array.clock_mhz)
