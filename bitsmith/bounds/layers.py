"""Bounds and witnesses of layers, in the order of additions that a question names."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError, check_range
from sw.accumulators import LayerBounds, Mode, Stage, Witness, layer_bounds, witness
from sw.accumulators.checks import Integers, input_bounds
from sw.accumulators.orders import (
    OrderWitness,
    get_order,
    narrowest_weight_bits,
    order_bounds,
    order_witness,
)
from sw.compile import activation_range, step_terms
from sw.compile.layer import MachineLayer
from sw.formats import FormatFamily

#: which channels get a witness
Witnesses = Literal["worst", "all", "none"]
#: the order in which the machine of this project adds
MACHINE_ORDER = "slots"
#: planes of a weight, enough for any integer of a file
MOST_PLANES = 128


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a layer's accumulators.

    Parameters
    ----------
    order : order of additions, see :mod:`sw.accumulators.orders`.
    input_range : smallest and largest activation; ``None`` for all that can arrive.
    tile : products that an inner register sums; ``None`` for a whole row (of a model: its groups).
    lanes : products that one step adds; ``None`` for 1 (of a model: the machine's).
    weight_bits : planes of weights that are taken bit by bit; ``None`` for the fewest that do.
    witnesses : channels whose worst inputs are given.

    Raises
    ------
    InputError : an unknown order, sizes below 1.
    """

    order: str = MACHINE_ORDER
    input_range: tuple[int, int] | None = None
    tile: int | None = None
    lanes: int | None = None
    weight_bits: int | None = None
    witnesses: Witnesses = "worst"

    def __post_init__(self) -> None:
        if self.input_range is not None:
            input_bounds(self.input_range)
        serial = get_order(self.order).weights != "whole"
        if self.weight_bits is not None and not serial:
            raise InputError(
                f"order '{self.order}' takes whole weights: it goes without weight bits"
            )
        if self.order == MACHINE_ORDER and (self.lanes, self.tile) != (None, None):
            raise InputError(
                f"order '{MACHINE_ORDER}' has the machine's lanes and the model's groups: give "
                "another order, or another machine"
            )
        for name, most in (("tile", 1 << 30), ("lanes", 1 << 30), ("weight_bits", MOST_PLANES)):
            if getattr(self, name) is not None:
                check_range(name.replace("_", " "), getattr(self, name), 1, most)

    def planes(self, weights: Integers) -> int | None:
        """Planes of a layer's weights; None where they are taken whole."""
        if get_order(self.order).weights == "whole" or self.weight_bits is not None:
            return self.weight_bits
        return narrowest_weight_bits(weights, self.order)


@dataclass(frozen=True, kw_only=True, eq=False)
class MachineQuestion:
    """A question about layers of one machine.

    Attributes
    ----------
    array, family : the machine's accelerator and formats.
    question : what is asked.
    """

    array: AcceleratorConfig
    family: FormatFamily
    question: Question = Question()

    @property
    def input_range(self) -> tuple[int, int]:
        """Smallest and largest activation."""
        return self.question.input_range or activation_range(self.array)

    def _order(self, layer: MachineLayer) -> dict[str, Any]:
        return {
            "order": self.question.order,
            "tile": self.question.tile or layer.group_size,
            "lanes": self.question.lanes or self.array.lanes,
            "weight_bits": self.question.planes(layer.levels),
            "input_range": self.input_range,
        }

    def bounds(self, layer: MachineLayer) -> LayerBounds:
        """Groups in the inner register, scaled groups in the outer one."""
        own = layer_bounds(
            layer.levels,
            terms=step_terms(self.array, self.family),
            group_size=layer.group_size,
            lanes=self.array.lanes,
            input_range=self.input_range,
            scale_codes=layer.scales,
            outer_levels=None if layer.zero_points is None else layer.corrected_levels,
        )
        if self.question.order == MACHINE_ORDER:
            return own
        # in which order a group is added makes no difference to sums of groups
        return replace(order_bounds(layer.levels, **self._order(layer)), outer=own.outer)

    def witness(
        self, layer: MachineLayer, *, channel: int, stage: Stage, mode: Mode
    ) -> dict[str, Any]:
        """Activations that need all bits of a channel's accumulator, as JSON values."""
        levels = layer.levels[channel]
        found: Witness | OrderWitness
        if self.question.order == MACHINE_ORDER or stage == "outer":
            found = witness(
                levels,
                terms=step_terms(self.array, self.family),
                group_size=layer.group_size,
                lanes=self.array.lanes,
                input_range=self.input_range,
                scale_row=layer.scales[channel],
                stage=stage,
                mode=mode,
                outer_levels_row=layer.corrected_levels[channel],
            )
        else:
            found = order_witness(levels, stage=stage, mode=mode, **self._order(layer))
        return witness_values(found, channel)


def witness_values(found: Witness | OrderWitness, channel: int) -> dict[str, Any]:
    """A witness as JSON values: stage, channel, bits, value, where it is reached, inputs."""
    place: dict[str, Any]
    if isinstance(found, OrderWitness):
        place = {"step": str(found.step)}
    else:
        place = {name: getattr(found, name) for name in ("group", "chunk", "slot")}
    return {
        "stage": found.stage,
        "channel": channel,
        "bits": found.bits,
        "value": found.value,
        **place,
        "inputs": found.inputs.tolist(),
    }
