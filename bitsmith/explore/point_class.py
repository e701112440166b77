"""What the points of one class have in common: job, machine, prices, and what is kept of them."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from configs.accelerator import AcceleratorConfig, StreamConfig
from configs.schema import RunConfig
from costmodel import Technology
from sw.compile import Machine

from ..baselines import stored_bits
from ..job import KV_GROUP_SIZE as KV_GROUP_SIZE
from ..job import Job

#: settings of an array that change no width: a class differs in them, and so may several classes
_FREE: dict[str, Any] = {
    "name": "",
    "rows": 1,
    "cols": 1,
    "queue_beats": 2,
    "rows_per_dequantizer": 1,
    "buffers": None,
    "streams": StreamConfig(),
    "clock_mhz": 1.0,
}


@dataclass(kw_only=True)
class Kept:
    """The latest values by key; those used longest ago go first."""

    most: int
    _values: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of a key, made where it is not there."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self.most:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


@dataclass(frozen=True, kw_only=True, eq=False)
class PointClass:
    """One point of a class, which stands for all.

    Attributes
    ----------
    config : of that point.
    machine, kv_machine : its widths hold for all points: rows, columns, queues and shared
        dequantizers change none.
    bits_per_weight : as stored; None where the model was not quantized.
    """

    config: RunConfig
    job: Job
    machine: Machine
    kv_machine: Machine | None
    technology: Technology
    bits_per_weight: float | None


@dataclass(kw_only=True)
class Classes:
    """Makes classes; keeps what takes long and other classes need too.

    Parameters
    ----------
    quantizes : whether models are quantized even where no width depends on it.
    """

    quantizes: bool
    _models: Kept = field(default_factory=lambda: Kept(most=2))
    _bounds: Kept = field(default_factory=lambda: Kept(most=64))
    _workloads: Kept = field(default_factory=lambda: Kept(most=8))
    _technologies: Kept = field(default_factory=lambda: Kept(most=16))

    def of(self, config: RunConfig) -> PointClass:
        """The class of a configuration.

        Raises
        ------
        InputError : the configuration cannot be built or run.
        """
        job = Job(config)
        known: Mapping[str, Any] = vars(job)
        known_workload = self._workloads.get(repr(config.workload), lambda: job.workload)
        vars(job)["workload"] = known_workload
        vars(job)["technology"] = self._technologies.get(
            repr(config.technology), lambda: job.technology
        )
        if job.has_weights:
            self._recall(job)
        machine = job.machine
        is_stored = job.has_weights and (self.quantizes or "quantized" in known)
        return PointClass(
            config=config,
            job=job,
            machine=machine,
            kv_machine=job.kv_machine,
            technology=job.technology,
            bits_per_weight=_bits_per_weight(job, machine, is_stored=is_stored),
        )

    def _recall(self, job: Job) -> None:
        """Give a job the quantized model and the bounds that earlier ones made."""
        config = job.config
        array = config.accelerator
        recipe = repr((config.workload.model, config.quantization))
        is_proved = not array.is_aligned and "auto" in (
            array.inner_accumulator.bits,
            array.outer_accumulator.bits,
        )
        if not (self.quantizes or is_proved):
            return
        job.check()
        vars(job)["quantized"] = self._models.get(recipe, lambda: job.quantized)
        if is_proved:
            key = recipe, repr(freed(array))
            vars(job)["bounds"] = self._bounds.get(key, lambda: job.bounds)


def freed(array: AcceleratorConfig) -> AcceleratorConfig:
    """The array with all settings that change no width set alike."""
    return replace(array, **_FREE)


def _bits_per_weight(job: Job, machine: Machine, *, is_stored: bool) -> float | None:
    if is_stored:
        return job.quantized.bits_per_weight
    if job.has_weights:
        return None
    return stored_bits(machine, job.timed_workload, job.group_sizes)
