"""``bitsmith skipping``: what a machine that skips zeros would gain on a model's weights."""

from typing import Any, get_args

from configs.errors import InputError
from sim.skipping import (
    DEPTHS,
    Digits,
    LayerSkipping,
    Scheme,
    SkippingReport,
    skipping_report,
)
from sw.compile import step_terms

from ..job import Job, Progress
from ..strict_json import plain
from ..tables import text_table
from .common import Options, choice, emit, make_job

#: depth of a queue that holds a whole group, on the command line and in the table
UNLIMITED = "group"


def skipping(options: Options, progress: Progress) -> int:
    """``bitsmith skipping``."""
    depths = [_depth(text) for text in options.depths] if options.depths else list(DEPTHS)
    job = make_job(options, progress)
    report = model_report(
        job,
        cols=options.cols,
        lanes=options.lanes,
        depths=depths,
        digits=choice(options.digits, "--digits", get_args(Digits)) or "fewest",
    )
    emit(options, result(report), text(report))
    return 0


def _depth(text: str) -> int | None:
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InputError(
            f"--depths: '{text}' is no queue depth, valid are whole numbers from 0 "
            f"and '{UNLIMITED}'"
        )
    return int(text)


def model_report(
    job: Job,
    *,
    cols: int | None = None,
    lanes: int | None = None,
    depths: list[int | None],
    digits: Any = "fewest",
) -> SkippingReport:
    """The report on a job's model and accelerator.

    Parameters
    ----------
    cols, lanes : of another array with the same PE, or None for the accelerator's.

    Raises
    ------
    InputError : no weights, weights taken whole, or as :func:`sim.skipping.skipping_report`.
    """
    array = job.config.accelerator
    if not job.has_weights:
        raise InputError("skipping depends on weights: the workload has shapes only")
    terms = step_terms(array, job.family)
    if terms is None:
        raise InputError(
            f"accelerator '{array.name}' takes weights whole: there are no terms to skip"
        )
    layers = list(job.quantized.layers.items())
    return skipping_report(
        job.progress(layers, "skipping"),
        terms=terms,
        cols=array.cols if cols is None else cols,
        lanes=array.lanes if lanes is None else lanes,
        depths=depths,
        digits=digits,
    )


def result(report: SkippingReport) -> dict[str, Any]:
    """The report as a JSON object; depth null is a queue of a whole group."""
    return {
        "cols": report.cols,
        "lanes": report.lanes,
        "slots": report.slots,
        "base_shifts": list(report.base_shifts),
        "digits": report.digits,
        "own_slots": report.own_slots,
        "own_exponent_bits": report.own_exponent_bits,
        "layers": [_layer(layer) for layer in report.layers],
        "total": _layer(report.total),
    }


def _layer(layer: LayerSkipping) -> dict[str, Any]:
    return {
        "name": layer.name,
        "weights": layer.weights,
        "zero_weights": layer.zero_weights,
        "table_terms": layer.table_terms,
        "fewest_terms": layer.fewest_terms,
        "chunks": layer.chunks,
        "unskipped_cycles": layer.unskipped_cycles,
        "balanced_cycles": layer.balanced_cycles,
        "schemes": [
            {**plain(vars(scheme)), "cycles": cycles} for scheme, cycles in layer.cycles.items()
        ],
    }


def text(report: SkippingReport) -> str:
    """Tables for people."""
    total = report.total
    shifts = ", ".join(map(str, report.base_shifts))
    lines = [
        text_table(*layer_rows(report)),
        "",
        text_table(*scheme_rows(report)),
        "",
        f"{report.cols} columns x {report.lanes} lanes, {report.slots} slots with base shifts "
        f"{shifts}: {total.unskipped_cycles:,} cycles for {total.chunks:,} chunks "
        "without skipping, one pass over the weights",
        f"own: {report.digits} terms, up to {report.own_slots} a weight, exponents of "
        f"{report.own_exponent_bits} bits in every lane; perfectly balanced "
        f"{total.largest_speed_up:.2f}x",
        "speed-ups are of compute cycles, memory is not counted; all lanes wait at a group's end",
    ]
    return "\n".join(lines)


def layer_rows(report: SkippingReport) -> tuple[list[str], list[list[str]]]:
    """Header and a row per layer: what its weights are like."""
    rows = [
        [
            layer.name,
            f"{layer.weights:,}",
            f"{100 * layer.zero_weights / layer.weights:.1f}%",
            f"{layer.table_terms / layer.weights:.2f}",
            f"{layer.fewest_terms / layer.weights:.2f}",
            f"{layer.largest_speed_up:.2f}x",
        ]
        for layer in (*report.layers, report.total)
    ]
    rows[-1][0] = "all"
    return ["layer", "weights", "zero", "terms", "fewest", "balanced"], rows


def scheme_rows(report: SkippingReport) -> tuple[list[str], list[list[str]]]:
    """Header and a row per way to skip: speed-up of the whole model by queue depth."""
    total = report.total
    depths = list(dict.fromkeys(scheme.depth for scheme in total.cycles))
    rows = []
    for way in dict.fromkeys((s.mode, s.base_shift, s.scope) for s in total.cycles):
        mode, base_shift, scope = way
        found = [Scheme(mode=mode, base_shift=base_shift, scope=scope, depth=d) for d in depths]
        cells = [f"{total.speed_up(s):.2f}x" if s in total.cycles else "-" for s in found]
        rows.append([mode.replace("_", " "), base_shift, scope, *cells])
    names = [UNLIMITED if depth is None else f"depth {depth}" for depth in depths]
    return ["skipped", "base shift", "scope", *names], rows
