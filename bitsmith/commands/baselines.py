"""``bitsmith baselines``: accelerators of the literature beside each other on one workload."""

import dataclasses
from pathlib import Path
from typing import Any

from configs.errors import InputError
from configs.load import preset_names
from configs.schema import WorkloadConfig, load_axis
from sw.models.weights import load_model
from sw.workloads import Workload, model_workload

from ..baselines import GROUP_SIZE, Result, compare_baselines
from ..job import Progress
from ..tables import text_table
from .common import Options, changed_workload, emit, read_json

DEFAULT_WORKLOAD = "llama2_7b"
HEADER = (
    "accelerator",
    "known by",
    "weights x activations",
    "bits/w",
    "array",
    "PEs",
    "MACs/cycle",
    "MHz",
    "prefill cycles",
    "ms",
    "speed-up",
    "decode step",
    "ms",
    "speed-up",
)


def baselines(options: Options, progress: Progress) -> int:
    """``bitsmith baselines``."""
    workload = _workload(options)
    memory = None
    if options.memory is not None:
        memory = load_axis("memory", options.memory, where="--memory")
    results = compare_baselines(workload, memory)
    rows = [_described(result, results[0]) for result in results]
    found = {
        "workload": workload.name,
        "prefill_tokens": workload.prefill_tokens,
        "decode_steps": workload.decode_steps,
        "memory": None if memory is None else memory.name,
        "assumptions": list(workload.assumptions),
        "baselines": rows,
    }
    steps = f"{workload.decode_steps} decode steps" if workload.decode_steps else "no decode"
    behind = "none, streams never wait" if memory is None else memory.description
    lines = [
        text_table(HEADER, [_row(one) for one in rows]),
        "",
        f"{workload.name}: prefill of {workload.prefill_tokens} tokens, {steps}; memory: {behind}",
        f"groups of {GROUP_SIZE} weights, float16 without; speed-up over {results[0].name} "
        "in time, each at its own clock",
        "array: tokens x output channels x lanes, of the prefill and, where it differs, of decode",
        "RTL: the simulator, which tests hold to the Verilog of small siblings cycle for cycle; "
        "analytic: a bound from below that nothing checks",
    ]
    emit(options, found, "\n".join(lines))
    return 0


def _workload(options: Options) -> Workload:
    """The workload that the positional argument and the numbers of tokens describe."""
    name = DEFAULT_WORKLOAD if options.model is None else options.model
    if not name:
        raise InputError("the workload's name is empty")
    label = Path(name).stem
    if name in preset_names("workloads") or name.endswith((".yaml", ".yml")):
        config = load_axis("workload", name)
    elif name.endswith(".json"):
        config = WorkloadConfig(architecture=read_json(Path(name)), evaluation_bytes=0)
    else:
        config = WorkloadConfig(model=name)
    config = changed_workload(config, options)
    return model_workload(
        _architecture(config),
        name,
        prefill_tokens=config.prefill_tokens,
        decode_steps=config.decode_tokens,
        batch=config.batch,
        lm_head=config.lm_head,
        name=label,
    )


def _architecture(config: WorkloadConfig) -> dict[str, Any]:
    """The keys of ``config.json``."""
    if config.gemms is not None:
        raise InputError(f"'{config.gemms}' is a list of GEMMs: give a model or its config.json")
    if config.model is None:
        assert config.architecture is not None
        return config.architecture
    architecture = load_model(config.model).architecture
    if architecture is None:
        raise InputError(f"'{config.model}' holds matrices: give a model or its config.json")
    return dataclasses.asdict(architecture)


def _described(result: Result, first: Result) -> dict[str, Any]:
    """JSON values of a result; speed-ups are in time over the ``first``."""

    def ratio(of_first: float | None, own: float | None) -> float | None:
        return None if of_first is None or own is None else of_first / own

    return {
        **dataclasses.asdict(result),
        "known_by": result.known,
        "prefill_s": result.prefill_s,
        "decode_step_s": result.decode_step_s,
        "prefill_speedup": ratio(first.prefill_s, result.prefill_s),
        "decode_speedup": ratio(first.decode_step_s, result.decode_step_s),
    }


def _row(one: dict[str, Any]) -> list[str]:
    """A line of the table."""
    prefill, decode = one["arrays"]
    cells = [
        one["name"],
        one["known_by"],
        f"{one['weights']} x {one['activations']}",
        f"{one['bits_per_weight']:.2f}",
        prefill if prefill == decode else f"{prefill}, {decode}",
        f"{one['pes']:,}",
        f"{one['peak_macs_per_cycle']:,.0f}",
        f"{one['clock_mhz']:.0f}",
    ]
    for phase, cycles in (("prefill", "prefill_cycles"), ("decode", "decode_step_cycles")):
        if one[cycles] is None:
            cells += ["-", "-", "-"]
            continue
        seconds = one["prefill_s" if phase == "prefill" else "decode_step_s"]
        cells += [
            f"{one[cycles]:,.0f}",
            _milliseconds(seconds),
            f"{one[f'{phase}_speedup']:.2f}",
        ]
    return cells


def _milliseconds(seconds: float) -> str:
    """At least four digits, never with an exponent."""
    value = 1e3 * seconds
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
