"""Bounds of a model's layers on a machine: the step ``bounds`` of a run."""

from pathlib import Path
from typing import Any

from configs.errors import InputError
from sw.accumulators import BoundReport, LayerBounds, Mode, Stage, overflowing_channels
from sw.compile import MachineLayer, activation_range, machine_layer

from ..float_errors import float_errors
from ..job import Job
from .layers import MACHINE_ORDER, MachineQuestion, Question

#: what a run asks: the machine's order, every activation that its port can carry
PLAIN = Question()


def bounds_step(job: Job, folder: Path) -> dict[str, Any]:
    """Prove accumulator widths: :func:`model_bounds` for what the machine does."""
    return model_bounds(job, PLAIN)


def model_bounds(job: Job, question: Question) -> dict[str, Any]:
    """Widths that the layers of a model need.

    Keys
    ----
    Those of :meth:`sw.accumulators.BoundReport.to_dict`, and source (the model), order,
    machine_inner_bits, machine_outer_bits (what the machine has; null where a question about
    another order or other activations leaves them to be found), machine_product_bits (the register
    between the two, derived: group sum times scale), overflows[]: layer, channel, stage,
    needed_bits, low, high (channels that some input can overflow at the machine's widths);
    layers[]: inner_slack, outer_slack (bits that the machine has more than the layer needs, or
    null) and witnesses[]: stage, channel, bits, value, group, chunk, slot (of another order: step,
    in words), inputs (activations that reach ``value``: one bit less than ``bits`` fails).

    On a machine with an aligned floating-point datapath those of :mod:`bitsmith.float_errors`.
    Without weights: ``skipped``, the reason.

    Raises
    ------
    InputError : activations that cannot reach the machine; a question about another order or other
        activations on a machine that rounds its sums.
    """
    array = job.config.accelerator
    if not job.has_weights:
        given = (array.inner_accumulator.bits, array.outer_accumulator.bits)
        worst = given == ("auto", "auto")
        state = "are the worst case of the format" if worst else "that were given are not checked"
        return {"skipped": f"the workload has no weights; the widths {state}"}
    if array.is_aligned:
        if question != PLAIN:
            raise InputError(
                f"accelerator '{array.name}' rounds its sums: errors are proved for its own order "
                "and all activations"
            )
        return float_errors(job)
    asked = MachineQuestion(array=array, family=job.family, question=question)
    _check_activations(asked)
    bounds, widths = _bounds(job, asked), _available(job, question)
    report = bounds.to_dict()
    modes = (bounds.inner_mode, bounds.outer_mode)
    for layer in report["layers"]:
        for stage, width in widths.items():
            needed = layer[f"{stage}_bits"]
            layer[f"{stage}_slack"] = None if width is None else width - needed
        matrix = machine_layer(job.quantized.layers[layer["name"]], array)
        layer["witnesses"] = _witnesses(matrix, bounds.layers[layer["name"]], asked, modes)
    return {
        "source": job.quantized.name,
        "order": question.order,
        **report,
        "machine_inner_bits": widths["inner"],
        "machine_outer_bits": widths["outer"],
        "machine_product_bits": _product_bits(job),
        "overflows": [
            {"layer": name, **found._asdict()}
            for name, layer_bound in bounds.layers.items()
            for found in overflowing_channels(layer_bound, widths["inner"], widths["outer"], *modes)
        ],
    }


def _check_activations(asked: MachineQuestion) -> None:
    """Refuse activations that cannot reach the machine."""
    (least, most), (low, high) = asked.input_range, activation_range(asked.array)
    if not low <= least <= most <= high:
        raise InputError(
            f"activations from {least} to {most} cannot enter accelerator '{asked.array.name}': "
            f"its port takes {low} to {high}"
        )


def _bounds(job: Job, asked: MachineQuestion) -> BoundReport:
    if asked.question.order == MACHINE_ORDER and asked.question.input_range is None:
        return job.bounds
    layers = {
        name: asked.bounds(machine_layer(matrix, asked.array))
        for name, matrix in job.progress(list(job.quantized.layers.items()), "bounds")
    }
    return BoundReport(
        layers=layers,
        inner_mode=asked.array.inner_accumulator.mode,
        outer_mode=asked.array.outer_accumulator.mode,
    )


def _available(job: Job, question: Question) -> dict[Stage, int | None]:
    """Widths of the machine; of ``auto`` ones that another question was not asked for, None."""
    array = job.config.accelerator
    if (question.order, question.input_range) == (PLAIN.order, PLAIN.input_range):
        return {"inner": job.machine.inner_bits, "outer": job.machine.outer_bits}
    given = {"inner": array.inner_accumulator.bits, "outer": array.outer_accumulator.bits}
    return {s: None if bits == "auto" else bits for s, bits in given.items()}  # type: ignore


def _product_bits(job: Job) -> int:
    """Bits of a group sum, corrected by its zero point, times its scale."""
    scale = job.config.accelerator.scale
    return job.machine.corrected_bits + scale.serial_bits - 1 + scale.barrel_shift


def _witnesses(
    layer: MachineLayer, bounds: LayerBounds, asked: MachineQuestion, modes: tuple[Mode, Mode]
) -> list[dict[str, Any]]:
    stages: tuple[Stage, Stage] = ("inner", "outer")
    found = []
    for stage, mode in zip(stages, modes, strict=True):
        channels = {
            "worst": [bounds.worst_channel(stage, mode)],
            "all": list(range(bounds.channels)),
            "none": [],
        }[asked.question.witnesses]
        found += [asked.witness(layer, channel=c, stage=stage, mode=mode) for c in channels]
    return found
