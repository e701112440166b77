"""The steps of a job. Each takes a :class:`Job` and returns one JSON object with stable keys."""

import hashlib
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.schema import QuantizationConfig
from costmodel import CostReport, Estimate, cost, job_energy
from hw.benches.batch import TOP, accelerator_verilog
from sim.export.table import timing_json
from sw.compile import Machine
from sw.models import LanguageAccuracy, language_accuracy, quantized_linear
from sw.models.evaluate import tokenized
from sw.quantize import QuantizedModel, layer_plan
from sw.quantize.error import relative_error, sqnr_db
from sw.quantize.kv_cache import kv_hook
from sw.quantize.narrow import guarantee

from .bounds.model import bounds_step
from .job import Job
from .strict_json import write_text
from .verify import layer_cases, random_cases, verify

Step = Callable[[Job, Path], dict[str, Any]]


def quantize_step(job: Job, folder: Path) -> dict[str, Any]:
    """Quantize and save the model.

    Keys
    ----
    Those of :func:`describe_quantized`.
    """
    if not job.has_weights:
        return {"skipped": "the workload has no weights"}
    job.quantize_into(folder / "quantized")
    return describe_quantized(job.quantized, job.config.quantization)


def describe_quantized(model: QuantizedModel, recipe: QuantizationConfig) -> dict[str, Any]:
    """A quantized model in numbers.

    Keys
    ----
    model, format, group_size, scale_format, activation_bits, weights, bits_per_weight;
    layers[]: name, n, k, format_mix {format: share}, bits_per_weight, mse, relative_error,
    sqnr_db, hardware_relative_error (with the second-level scales that the hardware uses).
    accumulators[], where the recipe names widths: name, mode, wanted_inner_bits, wanted_outer_bits
    (null: free), inner_bits, outer_bits (what the stored integers need, proved again), sparsity,
    zero_channels.

    Raises
    ------
    InputError : a layer does not keep to the widths that its recipe names.
    """
    layers = []
    for entry in model.describe():
        error = entry["error"] or dict.fromkeys(("mse", "mean_square", "hardware_mse"), nan)
        relative = relative_error(error["mse"], error["mean_square"])
        layers.append(
            {
                "name": entry["name"],
                "n": entry["shape"][0],
                "k": entry["shape"][1],
                "format_mix": entry["planes"][0]["format_mix"],
                "bits_per_weight": entry["bits_per_weight"],
                "mse": error["mse"],
                "relative_error": relative,
                "sqnr_db": sqnr_db(relative),
                "hardware_relative_error": relative_error(
                    error["hardware_mse"], error["mean_square"]
                ),
            }
        )
    return {
        "model": model.name,
        "format": recipe.format,
        "group_size": recipe.group_size,
        "scale_format": recipe.scale_format,
        "activation_bits": recipe.activation_bits,
        "weights": model.weights,
        "bits_per_weight": model.bits_per_weight,
        "layers": layers,
        "accumulators": _kept_widths(model, recipe),
    }


def _kept_widths(model: QuantizedModel, recipe: QuantizationConfig) -> list[dict[str, Any]]:
    """What layers need of the registers that the recipe quantizes them to."""
    plan = layer_plan(recipe, model.shapes)
    targets = {name: s.accumulator for name, s in plan.items() if s and s.accumulator}
    return [
        {
            "name": name,
            "mode": check.target.mode,
            "wanted_inner_bits": check.target.inner_bits,
            "wanted_outer_bits": check.target.outer_bits,
            "inner_bits": check.inner_bits,
            "outer_bits": check.outer_bits,
            "sparsity": check.sparsity,
            "zero_channels": check.zero_channels,
        }
        for name, check in guarantee(model, targets).items()
    ]


def evaluate_step(job: Job, folder: Path) -> dict[str, Any]:
    """Quality on held-out text: float weights, quantized weights, quantized activations too.

    Keys
    ----
    tokens, bytes (predicted), windows; variants[]: name, perplexity, bits_per_byte,
    standard_error, increase, increase_error (of the bits per byte, paired with the float model).
    """
    wanted = job.config.workload.evaluation_bytes
    if not (job.has_weights and wanted):
        return {"skipped": "there is no text to evaluate on"}
    if not job.reads_text:
        return {"skipped": "the model does not predict text"}
    context = min(1024, job.llama.architecture.max_position_embeddings)
    whole = tokenized(job.evaluation_text(), job.model.tokenizer)
    share = wanted / max(1, int(whole.byte_lengths.sum()))
    text = whole.spread(max(1, round(len(whole.ids) * share)), context)
    recipe = job.config.quantization
    array, kv = job.config.accelerator, recipe.kv_cache
    activations: int | str = recipe.activation_bits
    described = f"INT{activations} per token"
    if array.has_floats:
        activations = described = array.activation_format
    cache = kv_hook(kv) if kv else None
    cached = f", keys INT{kv.key_bits}, values INT{kv.value_bits}" if kv else ""
    linear = job.around.linear
    hooks = {
        "float": (None, None),
        f"weights quantized{cached}": (
            quantized_linear(job.quantized, None, otherwise=linear),
            cache,
        ),
        f"weights and activations quantized ({described}{cached})": (
            quantized_linear(job.quantized, activations, otherwise=linear),
            cache,
        ),
    }
    measured = {
        name: language_accuracy(
            job.llama if hook is None else job.around,
            text,
            context=context,
            linear=hook,
            kv=stored,
        )
        for name, (hook, stored) in job.progress(list(hooks.items()), "evaluate")
    }
    reference = measured["float"]
    return {
        "tokens": reference.tokens,
        "bytes": reference.bits_per_byte.bytes,
        "windows": len(reference.window_tokens),
        "variants": [_variant(name, found, reference) for name, found in measured.items()],
    }


def _variant(name: str, found: LanguageAccuracy, reference: LanguageAccuracy) -> dict[str, Any]:
    paired = found.bits_per_byte.minus(reference.bits_per_byte)
    return {
        "name": name,
        "perplexity": found.perplexity,
        "bits_per_byte": found.bits_per_byte.mean,
        "standard_error": found.bits_per_byte.standard_error,
        "increase": paired.mean,
        "increase_error": paired.standard_error,
    }


def simulate_step(job: Job, folder: Path) -> dict[str, Any]:
    """Count cycles.

    Keys
    ----
    prefill_tokens, decode_tokens, batch, slots, prefill_cycles, decode_cycles (of all steps),
    decode_step_cycles (their mean), total_cycles, causes {cause: cycles}, utilization,
    seconds_prefill, tokens_per_s_decode, clock_mhz, memory (its name or null), dram_bytes,
    dram_energy_pj (null without a memory), host_work, assumptions[]; timing: stalls, roofline and
    rows of docs/outputs.md;
    layers[]: name, n, k, prefill_cycles, decode_step_cycles (mean of the steps), total_cycles,
    utilization.
    """
    timing, clock_hz = job.timing, job.config.accelerator.clock_mhz * 1e6
    workload, memory = timing.workload, job.config.memory
    steps = workload.decode_steps
    moved = timing.traffic.total_bytes
    return {
        "prefill_tokens": workload.prefill_tokens,
        "decode_tokens": steps,
        "batch": workload.batch,
        "slots": job.machine.slots,
        "prefill_cycles": timing.prefill_cycles,
        "decode_cycles": timing.decode_cycles,
        "decode_step_cycles": _mean(timing.decode_cycles, steps),
        "total_cycles": timing.total_cycles,
        "causes": timing.causes,
        "utilization": timing.utilization,
        "seconds_prefill": timing.prefill_cycles / clock_hz,
        "tokens_per_s_decode": (
            steps * workload.batch * clock_hz / timing.decode_cycles if steps else 0.0
        ),
        "clock_mhz": timing.clock_mhz,
        "memory": None if memory is None else memory.name,
        "dram_bytes": moved,
        "dram_energy_pj": 8 * moved * memory.dram.energy_pj_per_bit.value if memory else None,
        "host_work": [vars(work) for work in workload.host],
        "assumptions": list(workload.assumptions),
        "timing": timing_json(timing),
        "layers": [
            {
                "name": layer.name,
                "n": layer.gemm.n,
                "k": layer.gemm.k,
                "prefill_cycles": layer.prefill.cycles if layer.prefill else 0,
                "decode_step_cycles": _mean(layer.decode.cycles, steps) if layer.decode else 0,
                "total_cycles": layer.total_cycles,
                "utilization": layer.utilization,
            }
            for layer in timing.layers
        ],
    }


def _mean(total: int, count: int) -> int | float:
    """A whole number where it is one."""
    if not count:
        return 0
    return total // count if total % count == 0 else total / count


def cost_report(job: Job) -> CostReport:
    """Area and energy of the whole workload."""
    memory = job.config.memory
    return cost(
        job.machine,
        job.timing.activity,
        job.technology,
        memory=memory,
        traffic=job.timing.traffic if memory is not None else None,
    )


def cost_step(job: Job, folder: Path) -> dict[str, Any]:
    """Area and energy.

    Keys
    ----
    Those of :meth:`costmodel.CostReport.to_dict` for the whole workload, and
    layers[]: name, energy_pj with low_pj and high_pj, on_chip_energy_pj.
    """
    machine, technology, memory = job.machine, job.technology, job.config.memory

    total = cost_report(job)
    layers = []
    for layer in job.progress(list(job.timing.layers), "cost"):
        traffic = layer.traffic if memory is not None else None
        one = job_energy(machine, layer.activity, technology, memory=memory, traffic=traffic)
        energy = Estimate.total(action.total for action in one)
        layers.append(
            {
                "name": layer.name,
                "energy_pj": energy.value,
                "low_pj": energy.low,
                "high_pj": energy.high,
                "on_chip_energy_pj": sum(a.total_pj for a in one if a.place == "on_chip"),
            }
        )
    return {**total.to_dict(), "layers": layers}


def rtl_step(job: Job, folder: Path) -> dict[str, Any]:
    """Write the Verilog.

    Keys
    ----
    top, file, sha256, lines, inner_bits, outer_bits, held_bits (the dequantizer's group sum),
    inner_mode, outer_mode, weight_beat_bits, activation_beat_bits, result_beat_bits.
    """
    verilog = accelerator_verilog(job.machine)
    path = folder / "verilog" / f"{TOP}.v"
    write_text(path, verilog)
    return {
        "top": TOP,
        "file": str(path.relative_to(folder)),
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "lines": verilog.count("\n"),
        **machine_widths(job.machine),
    }


def machine_widths(machine: Machine) -> dict[str, Any]:
    """Widths and modes of a machine, as :func:`rtl_step` reports them.

    Where sums are rounded, the modes are the rounding and the widths those of mantissas.
    """
    array = machine.accelerator
    modes: tuple[str, str] = (array.inner_accumulator.mode, array.outer_accumulator.mode)
    if array.is_aligned:
        modes = (array.floating.rounding, array.floating.rounding)
    return {
        "inner_bits": machine.inner_bits,
        "outer_bits": machine.outer_bits,
        "held_bits": machine.held_bits,
        "inner_mode": modes[0],
        "outer_mode": modes[1],
        "weight_beat_bits": machine.weight_beat_bits,
        "activation_beat_bits": machine.activation_beat_bits,
        "result_beat_bits": machine.result_beat_bits,
    }


def verify_step(
    job: Job, folder: Path, *, verilog: str | None = None, waves: Path | None = None
) -> dict[str, Any]:
    """Run the RTL against golden model and simulator.

    Keys
    ----
    passed, outputs, rtl_cycles, cases[]: see :class:`bitsmith.verify.CaseResult`.
    """
    settings, machine = job.config.verify, job.machine
    rng = np.random.default_rng(job.config.seed)
    cases = []
    if job.has_weights:
        inputs = job.layer_inputs(settings.tokens)
        cases = layer_cases(
            machine, job.quantized.layers, inputs, random_gaps=settings.random_gaps, rng=rng
        )
    cases += random_cases(machine, settings.random_shapes, rng)
    if not cases:
        raise InputError("nothing to verify: no weights, and random_shapes is 0")
    steps = iter(job.progress(range(len(cases) + 1), "verify"))
    results = verify(
        machine, cases, verilog=verilog, waves=waves, progress=lambda _: next(steps, None)
    )
    for _ in steps:
        pass
    return {
        "passed": bool(results) and all(result.passed for result in results),
        "outputs": sum(result.outputs for result in results),
        "rtl_cycles": sum(result.rtl_cycles for result in results),
        "cases": [result.to_dict() for result in results],
    }


STEPS: dict[str, Step] = {
    "quantize": quantize_step,
    "evaluate": evaluate_step,
    "bounds": bounds_step,
    "simulate": simulate_step,
    "cost": cost_step,
    "rtl": rtl_step,
    "verify": verify_step,
}
