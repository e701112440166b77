"""Bounds of layers that come as final integers, a layer at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import InputError
from sw.accumulators import LayerBounds, Mode, Stage, overflowing_channels
from sw.accumulators.checks import Integers
from sw.accumulators.float_sums import float_sum_report
from sw.accumulators.integers import IntegerLayer
from sw.accumulators.orders import order_bounds, order_witness
from sw.accumulators.report import layer_report
from sw.models.readers.integer_source import ReadLayer

from .layers import Question, witness_values


@dataclass(frozen=True, kw_only=True, eq=False)
class FileQuestion:
    """A question about integers, and the registers that are to hold them.

    Raises :class:`InputError` for floating-point sums in tiles or in another order than whole
    products one by one.

    Attributes
    ----------
    question : what is asked.
    mode : of all registers.
    inner_bits, outer_bits : widths to be checked; ``None`` to find them.
    floats : floating-point types that rows are summed in as well.
    scales : unsigned scale of each tile, (N, tiles); ``None`` for 1.
    """

    question: Question
    mode: Mode
    inner_bits: int | None = None
    outer_bits: int | None = None
    floats: tuple[str, ...] = ()
    scales: Integers | None = None

    def __post_init__(self) -> None:
        asked = self.question
        alone = asked.order == "parallel" and asked.tile is None and asked.lanes in (None, 1)
        if self.floats and not alone:
            raise InputError(
                "floating-point sums are bounded product by product over whole rows: --floats goes "
                "without --schedule, --tile and --lanes"
            )

    def input_range(self, layer: IntegerLayer) -> tuple[int, int]:
        """Smallest and largest code that enters ``layer``."""
        found = self.question.input_range or layer.input_range
        if found is None:
            raise InputError("nothing says what enters it, give --input-range LO HI")
        return found

    def arguments(self, layer: IntegerLayer) -> dict[str, Any]:
        """What both bounds and witnesses of ``layer`` take."""
        return {
            "order": self.question.order,
            "input_range": self.input_range(layer),
            "tile": self.question.tile,
            "lanes": self.question.lanes or 1,
            "weight_bits": self.question.planes(layer.weights),
            "input_zero_point": layer.input_zero_point,
            "padded": layer.padded,
        }


def file_bounds(found: Iterable[ReadLayer], asked: FileQuestion, source: Path) -> dict[str, Any]:
    """Widths that integers need.

    Keys
    ----
    source, order, inner_mode, outer_mode (equal); inner_bits, outer_bits (null without tiles) :
    what suffices for all layers; machine_inner_bits, machine_outer_bits : what was given, or null;
    overflows[] as of :func:`bitsmith.bounds.model.model_bounds`; layers[] : those of
    :func:`sw.accumulators.report.layer_report`, inner_slack, outer_slack (bits to spare, or null),
    witnesses[], notes[] (what the file does not tell), in channels[] ``bits``, ``low``, ``high`` of
    the register that a product goes into, and where types were named floats: type -> bit_exact,
    exact_channels, exact_in_any_order, largest_error (of the worst channel, if nothing overflows),
    may_overflow, may_stagnate.

    Raises
    ------
    InputError : no layers; nothing says what enters a layer; what the order cannot do.
    """
    reports, overflows = [], []
    for read in found:
        layer = read.layer
        bounds = _bounds(layer, asked)
        inner_bias = layer.bias if asked.question.tile is None else None
        entry = layer_report(layer.name, bounds, asked.mode, asked.mode, inner_bias=inner_bias)
        for channel in entry["channels"]:
            for key in ("bits", "low", "high"):
                channel[key] = channel[f"inner_{key}"]
        if asked.floats:
            entry["floats"] = _float_sums(layer, asked)
        for stage, width in (("inner", asked.inner_bits), ("outer", asked.outer_bits)):
            needed = entry[f"{stage}_bits"]
            known = width is not None and needed is not None
            entry[f"{stage}_slack"] = width - needed if known else None
        entry["notes"] = list(read.notes)
        entry["witnesses"] = list(_witnesses(layer, bounds, asked))
        reports.append(entry)
        overflows += [
            {"layer": layer.name, **one._asdict()}
            for one in overflowing_channels(
                bounds, asked.inner_bits, asked.outer_bits, asked.mode, asked.mode
            )
        ]
    if not reports:
        raise InputError(f"'{source}' holds no layers of integers")
    outer = [entry["outer_bits"] for entry in reports if entry["outer_bits"] is not None]
    return {
        "source": source.name,
        "order": asked.question.order,
        "inner_mode": asked.mode,
        "outer_mode": asked.mode,
        "inner_bits": max(entry["inner_bits"] for entry in reports),
        "outer_bits": max(outer, default=None),
        "machine_inner_bits": asked.inner_bits,
        "machine_outer_bits": asked.outer_bits,
        "overflows": overflows,
        "layers": reports,
    }


def of_one_matrix(result: dict[str, Any]) -> dict[str, Any]:
    """``result`` of a single layer, with what is said of that layer on top as well.

    Keys
    ----
    mode, bits, worst_channel, input_low, input_high; channels[]: bits, low, high; witness (inputs
    of the worst channel); overflowing_channels[] of the inner register.
    """
    (layer,) = result["layers"]
    witness = next(
        (w["inputs"] for w in layer["witnesses"] if w["channel"] == layer["worst_channel"]), None
    )
    return {
        **result,
        "mode": result["inner_mode"],
        "bits": layer["inner_bits"],
        "worst_channel": layer["worst_channel"],
        "input_low": layer["input_low"],
        "input_high": layer["input_high"],
        "channels": [{key: c[key] for key in ("bits", "low", "high")} for c in layer["channels"]],
        "witness": witness,
        "overflowing_channels": [
            found["channel"] for found in result["overflows"] if found["stage"] == "inner"
        ],
    }


def _bounds(layer: IntegerLayer, asked: FileQuestion) -> LayerBounds:
    try:
        return order_bounds(
            layer.weights, bias=layer.bias, scale_codes=asked.scales, **asked.arguments(layer)
        )
    except InputError as error:
        raise InputError(f"layer '{layer.name}': {error}") from None


def _float_sums(layer: IntegerLayer, asked: FileQuestion) -> dict[str, dict[str, Any]]:
    """Whole rows summed product by product in floating-point registers, the worst channel's."""
    if layer.bias is not None or layer.padded:
        raise InputError(
            f"layer '{layer.name}': floating-point sums are bounded for products alone, without "
            "bias and padding"
        )
    report = float_sum_report(layer.weights, asked.input_range(layer), asked.floats)
    return {
        name: {
            "bit_exact": found.bit_exact,
            "exact_channels": int(found.exact.sum()),
            "exact_in_any_order": bool(found.any_order.all()),
            "largest_error": int(found.errors.max()),
            "may_overflow": bool(found.may_overflow.any()),
            "may_stagnate": bool(found.may_stagnate.any()),
        }
        for name, found in report.sums.items()
    }


def _witnesses(layer: IntegerLayer, bounds: LayerBounds, asked: FileQuestion) -> Iterable[dict]:
    """Of every stage the worst channel, all or none."""
    stages: list[Stage] = ["inner"] if bounds.outer is None else ["inner", "outer"]
    for stage in stages:
        channels = {
            "worst": [bounds.worst_channel(stage, asked.mode)],
            "all": list(range(bounds.channels)),
            "none": [],
        }[asked.question.witnesses]
        for channel in channels:
            bias = None if layer.bias is None else int(layer.bias[channel])
            found = order_witness(
                np.asarray(layer.weights[channel]),
                stage=stage,
                mode=asked.mode,
                bias=bias,
                scale_codes=None if asked.scales is None else asked.scales[channel],
                **asked.arguments(layer),
            )
            yield witness_values(found, channel)
