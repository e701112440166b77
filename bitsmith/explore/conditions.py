"""Conditions and constraints of a sweep, their names checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from configs.errors import InputError, unknown_name
from configs.expressions import Expression
from configs.sweep import SweepConfig
from costmodel.fpga.targets import find_target

from .axes import axis_paths, inside
from .metrics import METRICS

#: in a constraint, the same metric of the unquantized model
FLOAT16 = "fp16"


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """What a feasible point fulfils: a condition, or a device that it fits.

    Attributes
    ----------
    text : as in the file.
    metrics : that the condition names.
    axes : that it names.
    needs_fp16 : whether it names the unquantized model's figure.
    """

    text: str
    expression: Expression | None = None
    device: str | None = None
    metrics: frozenset[str] = frozenset()
    axes: frozenset[str] = frozenset()
    needs_fp16: bool = False

    @property
    def is_known_at_once(self) -> bool:
        """Whether it only names axes."""
        return self.device is None and not self.metrics


def read_conditions(sweep: SweepConfig, values: Mapping[str, Any]) -> dict[str, Expression]:
    """Conditions by axis; every name is an axis, and no axis depends on itself."""
    whens = {}
    for path, text in sweep.when.items():
        if path not in values:
            raise unknown_name("axis in when", path, values)
        if path == "quantization.activation_bits":
            raise InputError(f"when: {path} follows the accelerator where it is not set: no when")
        when = inside(f"when: {path}", Expression.parse, text)
        metrics = sorted(when.names & METRICS.keys())
        if metrics:
            raise InputError(f"when: {path}: {metrics[0]} is a metric, a condition names axes")
        if not when.is_condition or not when.names & values.keys():
            raise InputError(f"when: {path}: '{text}' compares no axis with anything")
        whens[path] = when
    for first in whens:
        reached = [first]
        for path in reached:  # grows while it is walked
            named = whens[path].names & whens.keys() if path in whens else frozenset()
            if first in named:
                raise InputError(f"when: {first} depends on itself")
            reached.extend(sorted(named - set(reached)))
    return whens


def read_constraint(given: Any, known: Mapping[str, frozenset[str] | None]) -> Constraint:
    """One constraint of the file, its names checked."""
    if isinstance(given, Mapping):
        for key in given:
            if key != "fits":
                raise InputError(f"constraints: {unknown_name('key', key, ['fits'])}")
        device = given.get("fits")
        if not isinstance(device, str):
            raise InputError("constraints: expected an expression or 'fits: DEVICE'")
        target = inside("constraints: fits", find_target, device)
        return Constraint(text=f"fits {device}", device=target.name)
    expression = inside("constraints", Expression.parse, given)
    for name in sorted(expression.names & set(axis_paths()) - known.keys() - expression.words):
        raise InputError(f"constraints: '{given}': {name} is no axis of this sweep")
    bounds = [f"{m.name}{end}" for m in METRICS.values() if m.interval for end in ("_low", "_high")]
    metrics = dict.fromkeys([*METRICS, *bounds])
    names = inside("constraints", expression.check, {**metrics, **known, FLOAT16: None})
    if not expression.is_condition or not names:
        raise InputError(f"constraints: '{given}' compares no metric and no axis with anything")
    constraint = Constraint(
        text=given,
        expression=expression,
        metrics=names & metrics.keys(),
        axes=names & known.keys(),
        needs_fp16=FLOAT16 in names,
    )
    quality = [
        metric
        for metric in map(METRICS.get, constraint.metrics)
        if metric is not None and metric.source == "quality" and metric.better is not None
    ]
    if constraint.needs_fp16 and len(quality) != 1:
        raise InputError(
            f"constraints: '{given}': {FLOAT16} is the unquantized model's figure, it stands "
            "beside one metric of quality"
        )
    return constraint


def check_metrics(sweep: SweepConfig, constraints: tuple[Constraint, ...]) -> None:
    """Objectives are metrics with a direction; figures of a device need one."""
    for name in sweep.objectives:
        if name not in METRICS:
            raise InputError(f"objectives: {unknown_name('metric', name, METRICS)}")
        if METRICS[name].better is None:
            raise InputError(f"objectives: {name} is neither better if less nor if more")
    devices = [c.text for c in constraints if c.device is not None]
    if len(devices) > 1:
        raise InputError(f"constraints: one device can be fitted, not {' and '.join(devices)}")
    named = {*sweep.objectives, *(name for c in constraints for name in c.metrics)}
    for metric in METRICS.values():
        asked = {metric.name, f"{metric.name}_low", f"{metric.name}_high"} & named
        if asked and metric.source == "fpga" and not devices:
            raise InputError(f"{metric.name} needs a device: add a constraint 'fits: DEVICE'")
