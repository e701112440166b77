"""The designed sample: which configurations of which components are synthesized.

Drawn before anything is fitted, from a committed seed, together with what each of them is for.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from configs.accelerator import (
    AcceleratorConfig,
    AccumulatorConfig,
    BufferConfig,
    FloatConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from sw.compile import Machine, resolve_machine, worst_case_widths
from sw.formats import get_family

Use = Literal["fit", "held_out", "beyond"]
#: configurations that are objects in an accelerator
_OBJECTS: dict[str, Any] = {
    "floating": FloatConfig,
    "scale": ScaleConfig,
    "requantizer": RequantizerConfig,
    "buffers": BufferConfig,
    "streams": StreamConfig,
    "inner_accumulator": AccumulatorConfig,
    "outer_accumulator": AccumulatorConfig,
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One configuration of one component, as strict JSON has it.

    Attributes
    ----------
    component : key of :data:`costmodel.calibration.components.COMPONENTS`.
    use : what its measurement is for: to fit, to test, or to test beyond the sampled range.
    format : weight formats.
    group_size, inputs : what ``auto`` accumulators hold every sum of.
    array : settings of the accelerator that are not the default.
    """

    component: str
    use: Use
    format: str
    group_size: int
    inputs: int
    array: dict[str, Any]

    @cached_property
    def machine(self) -> Machine:
        """The machine that the component is of."""
        settings = {
            name: _OBJECTS[name](**value) if name in _OBJECTS and value is not None else value
            for name, value in self.array.items()
        }
        if "pipeline" in settings:
            settings["pipeline"] = tuple(settings["pipeline"])
        array = AcceleratorConfig(name="calibration", **settings)
        family = get_family(self.format)
        widths = worst_case_widths(array, family, group_size=self.group_size, k=self.inputs)
        return resolve_machine(array, family, *widths, group_inputs=self.group_size)
