"""Accelerators of the literature on a sweep's workload, memory and technology."""

import math
from dataclasses import dataclass, replace

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError, unknown_name
from configs.schema import QuantizationConfig, RunConfig, load_axis

from ..baselines import COMPARED, GROUP_SIZE, Competitor
from ..job import Job
from .alone import metrics_alone
from .quality import Quality, quality_of
from .result import Baseline
from .space import Space

#: name in a sweep -> names in the comparison of baselines
LITERATURE = {
    "fp16": "FP16",
    "int8": "FP16 x INT8",
    "ant": "ANT",
    "olive": "OliVe",
    "bitmod": "BitMoD",
}


def check_baselines(space: Space) -> None:
    """Refuse names that are no accelerator of the literature.

    Raises
    ------
    InputError : an unknown name.
    """
    for name in space.sweep.baselines:
        if name not in LITERATURE:
            raise InputError(f"baselines: {unknown_name('baseline', name, LITERATURE)}")


def baselines(space: Space, number: int = 0) -> tuple[Baseline, ...]:
    """What the sweep names, in its order; one per weight format that the accelerator is known for.

    Each is the paper's array in this project's RTL, timed and priced as a point of the sweep is.
    It has the paper's two shapes, one for each phase, and the paper's clock where its critical
    path allows that in the sweep's technology. One that cannot run has no metrics, and a note that
    says why. Workload, memory and technology are those of point ``number``.

    Raises
    ------
    InputError : an unknown name.
    """
    check_baselines(space)
    if not space.sweep.baselines:
        return ()
    base, found = _surroundings(space, number), []
    for name in space.sweep.baselines:
        for one in COMPARED:
            if isinstance(one, Competitor) and one.name == LITERATURE[name]:
                found.append(_baseline(base, one))
    return tuple(found)


def _surroundings(space: Space, number: int) -> RunConfig:
    """The base with a point's workload, memory and technology."""
    kept = ("workload", "memory", "technology")
    settings = space.settings(number)
    return space.config({path: v for path, v in settings.items() if path.split(".")[0] in kept})


def _baseline(base: RunConfig, one: Competitor) -> Baseline:
    name = f"{one.name} {one.format}" if one.name == LITERATURE["bitmod"] else one.name
    try:
        prefill = _Half.of(base, one, one.array)
        decode = _Half.of(base, one, one.decode_array)
        quality = quality_of(prefill.job.config)
        return Baseline(
            name=name,
            metrics=metrics_alone(prefill.job, decode.job) | _quality_metrics(quality),
            note=_note(prefill, decode, quality),
            quoted=quality is not None and quality.quoted,
        )
    except InputError as error:
        return Baseline(name=name, metrics={}, note=f"cannot run: {error}")


@dataclass(frozen=True, kw_only=True)
class _Half:
    """The whole workload on the array of one phase; only that phase counts."""

    job: Job
    asked_mhz: float

    @classmethod
    def of(cls, base: RunConfig, one: Competitor, preset: str) -> "_Half":
        """At the preset's clock, or the highest whole MHz that the critical path allows."""
        array: AcceleratorConfig = load_axis("accelerator", preset)
        recipe = QuantizationConfig(format=one.format, group_size=GROUP_SIZE)
        config = replace(base, name=preset, accelerator=array, quantization=recipe)
        job = Job(config)
        allowed = math.floor(job.technology.fmax_mhz(job.machine).value)
        if allowed < array.clock_mhz:
            job = Job(replace(config, accelerator=replace(array, clock_mhz=allowed)))
        return cls(job=job, asked_mhz=array.clock_mhz)


def _quality_metrics(quality: Quality | None) -> dict[str, float]:
    if quality is None:
        return {}
    found = {
        "perplexity": quality.perplexity,
        "bits_per_byte": quality.bits_per_byte,
        "quality_quoted": float(quality.quoted),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _note(prefill: _Half, decode: _Half, quality: Quality | None) -> str:
    """How the figures are known."""
    arrays = [half.job.config.accelerator for half in (prefill, decode)]
    shapes = [f"{a.rows} x {a.cols} x {a.lanes}" for a in arrays]
    recipe = prefill.job.config.quantization
    text = f"{recipe.format} x {arrays[0].activation_format}, the paper's array in this RTL"
    if shapes[0] != shapes[1]:
        text += f", {shapes[0]} in the prefill and {shapes[1]} in decode as if it rearranged itself"
    if arrays[0].clock_mhz < prefill.asked_mhz:
        text += f"; {arrays[0].clock_mhz:g} MHz, what the critical path allows here, "
        text += f"not {prefill.asked_mhz:g}"
    if quality is None:
        return f"{text}; quality is not known"
    return f"{text}; quality {'quoted: ' if quality.quoted else ''}{quality.source}"
