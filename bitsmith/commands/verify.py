"""The command that holds RTL, golden model and simulator against each other."""

import dataclasses
from pathlib import Path

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from configs.schema import load_axis

from .. import steps
from ..job import Job, Progress
from ..strict_json import plain
from ..tables import text_table, verify_text
from .common import Options, emit, make_job

#: not square, lanes not a power of two: what the first array's shape hides, this one shows
SECOND_ARRAY = "tall_6x3x5"


def _second_array(array: AcceleratorConfig) -> AcceleratorConfig:
    """Another shape to verify beside ``array``: the same arithmetic where the preset's is other."""
    if array.pe == "serial" and not array.has_floats:
        built: AcceleratorConfig = load_axis("accelerator", SECOND_ARRAY)
        return built
    rows = 2 * array.rows_per_dequantizer
    return dataclasses.replace(array, name=f"{array.name}, {rows} x 3", rows=rows, cols=3)


def verify(options: Options, progress: Progress) -> int:
    """``bitsmith verify``."""
    job = make_job(options, progress)
    settings = job.config.verify
    for name in ("tokens", "random_shapes"):
        if (value := getattr(options, name)) is not None:
            try:
                settings = dataclasses.replace(settings, **{name: value})
            except InputError as error:
                raise InputError(f"--{name.replace('_', '-')}: {error}") from None
    if options.waves is not None and options.waves.exists() and not options.waves.is_dir():
        raise InputError(f"--waves: '{options.waves}' is a file, a folder is needed")
    verilog = _read_verilog(options.verilog) if options.verilog else None
    if verilog is not None and options.also:
        raise InputError("--verilog is one machine's text: it goes without --also")
    arrays = [job.config.accelerator]
    if options.also:
        names = [name for name in options.also if name != "none"]
        arrays += [load_axis("accelerator", name, where="--also") for name in names]
    elif verilog is None:
        arrays.append(_second_array(arrays[0]))
    machines = []
    for array in arrays:
        config = dataclasses.replace(
            job.config, accelerator=array, verify=settings, seed=options.seed
        )
        one = Job(config=config, progress=progress, quantized_model=job.quantized_model)
        found = steps.verify_step(one, Path(), verilog=verilog, waves=options.waves)
        machines.append({"accelerator": array.name, **plain(found)})
    passed = all(machine["passed"] for machine in machines)
    header = ["job", "M x N x K", "gaps", "outputs", "RTL cycles", "simulated", "equal"]
    lines = []
    for machine in machines:
        rows = [
            [
                case["name"],
                f"{case['m']}x{case['n']}x{case['k']}",
                "yes" if case["gaps"] else "no",
                str(case["outputs"]),
                f"{case['rtl_cycles']:,}",
                f"{case['simulated_cycles']:,}",
                "yes" if case["passed"] else "NO",
            ]
            for case in machine["cases"]
        ]
        lines += [f"{machine['accelerator']}:", text_table(header, rows), verify_text(machine), ""]
    emit(options, {"passed": passed, "machines": machines}, "\n".join(lines).rstrip())
    return 0 if passed else 1


def _read_verilog(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--verilog: cannot read '{path}': {error}") from None
