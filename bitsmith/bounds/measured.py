"""What accumulators hold on real text, and how narrow they may be before quality drops."""

from typing import Any

from configs.errors import InputError
from sw.accumulators import Mode, Stage
from sw.golden.narrow import Events, Registers
from sw.models import Architecture
from sw.models.evaluate import BitsPerByte, tokenized
from sw.models.narrow import NarrowModel
from sw.models.widths import WidthRow, WidthStudy, language_score

from ..job import Job

METRIC = "bits per byte"
#: tokens of text where nothing else is said
TOKENS = 1024
#: relative increase of bits per byte that counts as none
TOLERANCE = 0.01
STAGES: tuple[Stage, Stage] = ("inner", "outer")
#: flagging registers wrap
MODES: tuple[Mode, Mode] = ("wrap", "saturate")


def width_study(job: Job, *, tokens: int | None, tolerance: float | None) -> WidthStudy:
    """A study of the job's model on text that it has not seen.

    Raises
    ------
    InputError : the model cannot be run on text here.
    """
    if not job.reads_text:
        raise InputError(
            f"'{job.quantized.name}' cannot be run on text here: only a Llama-class model with its "
            "weights and tokenizer can"
        )
    assert isinstance(job.model.architecture, Architecture)
    context = min(1024, job.model.architecture.max_position_embeddings)
    text = tokenized(job.evaluation_text(), job.model.tokenizer).spread(tokens or TOKENS, context)
    return WidthStudy(
        model=NarrowModel(job.quantized, job.config.accelerator, otherwise=job.around.linear),
        evaluate=language_score(job.around, text, context=context),
        tolerance=TOLERANCE if tolerance is None else tolerance,
    )


def add_observed(study: WidthStudy, result: dict[str, Any]) -> None:
    """Add to every layer of ``result`` what its accumulators hold on the study's text.

    Keys
    ----
    observed : tokens, needed {mode: {inner_bits, outer_bits}}, and inner_bits, outer_bits in the
        machine's modes; null for a layer that the text does not reach.
    """
    seen = study.observed
    for layer in result["layers"]:
        found = seen.get(layer["name"])
        layer["observed"] = None
        if found is None:
            continue
        ranges = {"inner": found.inner, "outer": found.outer}
        layer["observed"] = {
            "tokens": found.tokens,
            "needed": {
                mode: {f"{s}_bits": int(r.bits(mode).max()) for s, r in ranges.items()}
                for mode in MODES
            },
            **{
                f"{stage}_bits": int(range_.bits(result[f"{stage}_mode"]).max())
                for stage, range_ in ranges.items()
            },
        }


def simulated(study: WidthStudy, result: dict[str, Any]) -> dict[str, Any] | None:
    """The model on the machine's registers, where some input could overflow them; else None.

    Keys
    ----
    metric, value, wide_value (with unlimited registers), increase (relative), inner_bits,
    inner_mode, outer_bits, outer_mode; layers[] and, all together, events: inner_steps and
    outer_steps (additions that left the register; null where it wraps), inner_wrong (latched group
    sums that differ from exact ones, of ``latched``), outputs_wrong (of ``outputs``).
    """
    if not result["overflows"]:
        return None
    registers = Registers(
        inner_bits=result["machine_inner_bits"],
        inner_mode=result["inner_mode"],
        outer_bits=result["machine_outer_bits"],
        outer_mode=result["outer_mode"],
    )
    tally: dict[str, Events] = {}
    found = study.evaluate(study.model.linear(registers, tally=tally))
    value, wide = _mean(found), _mean(study.baseline)
    layers = [{"name": name, **events.totals()} for name, events in tally.items()]
    names = [key for key in layers[0] if key != "name"]
    return {
        "metric": METRIC,
        "value": value,
        "wide_value": wide,
        "increase": value / wide - 1,
        **vars(registers),
        "events": {
            key: None if layers[0][key] is None else sum(layer[key] for layer in layers)
            for key in names
        },
        "layers": layers,
    }


def _mean(score: BitsPerByte | float) -> float:
    return score if isinstance(score, float) else score.mean


def sufficient_widths(study: WidthStudy) -> dict[str, Any]:
    """Smallest widths that keep the score, one stage narrowed at a time.

    Keys
    ----
    metric, value (with wide registers), tokens, tolerance (relative); widths: stage -> mode ->
    bits; rows[]: stage, mode, width, value, increase (relative), increase_error, events (inner or
    outer steps that left the range, of a wrapping register latched sums that differ), outputs_wrong
    (share of all outputs).
    """
    found = {(s, m): study.preserving(s, m) for s in STAGES for m in MODES}
    value = _mean(study.baseline)
    return {
        "metric": METRIC,
        "value": value,
        "tokens": max(seen.tokens for seen in study.observed.values()),
        "tolerance": study.tolerance,
        "widths": {s: {m: found[s, m].bits for m in MODES} for s in STAGES},
        "rows": [width_row(row, value) for one in found.values() for row in one.rows],
    }


def width_row(row: WidthRow, baseline: float) -> dict[str, Any]:
    """One row of :func:`sufficient_widths`."""
    totals = row.totals()
    steps = totals[f"{row.stage}_steps"]
    wrong, outputs = totals["outputs_wrong"] or 0, totals["outputs"] or 1
    latched = totals["inner_wrong"] if row.stage == "inner" else wrong
    return {
        "stage": row.stage,
        "mode": row.mode,
        "width": row.bits,
        "value": row.score,
        "increase": row.increase / baseline,
        "increase_error": row.standard_error / baseline,
        "events": latched if steps is None else steps,
        "outputs_wrong": wrong / outputs,
    }
