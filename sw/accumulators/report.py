"""The bounds of all layers of a model, and the widths that suffice for every one of them."""

from dataclasses import dataclass
from typing import Any, get_args

from configs.errors import InputError

from .bounds import LayerBounds, StageRange
from .checks import Integers, Mode, check_word
from .width import a2q_plus_bits, dtype_bound_bits, l1_bound_bits, signed_widths

#: order whose register counts agreeing signs, not products: formulas of sums do not apply
COUNTER = "popcount"


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundReport:
    """Bounds of several layers that run on one machine.

    Parameters
    ----------
    layers : name -> bounds, in the model's order; at least one.
    inner_mode, outer_mode : the machine's accumulator modes.

    Raises
    ------
    InputError : no layer, or an unknown mode.
    """

    layers: dict[str, LayerBounds]
    inner_mode: Mode
    outer_mode: Mode

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError("a bound report needs at least one layer")
        check_word("inner accumulator mode", self.inner_mode, Mode)
        check_word("outer accumulator mode", self.outer_mode, Mode)

    def minimal_widths(
        self, inner_mode: Mode | None = None, outer_mode: Mode | None = None
    ) -> tuple[int, int | None]:
        """Smallest ``(P_I, P_O)`` in bits that hold for every input of every layer.

        ``P_O`` is ``None`` when no layer has an outer accumulator. Modes default to the report's.
        """
        inner_mode, outer_mode = inner_mode or self.inner_mode, outer_mode or self.outer_mode
        layers = self.layers.values()
        inner = max(layer.max_bits("inner", inner_mode) for layer in layers)
        outer = [b.max_bits("outer", outer_mode) for b in layers if b.outer is not None]
        return inner, max(outer, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values.

        Keys
        ----
        inner_mode, outer_mode : the modes that widths are for where no other is named.
        inner_bits, outer_bits : widths that suffice for all layers (``outer_bits`` may be null).
        layers[] : those of :func:`layer_report`.
        """
        inner_bits, outer_bits = self.minimal_widths()
        return {
            "inner_mode": self.inner_mode,
            "outer_mode": self.outer_mode,
            "inner_bits": inner_bits,
            "outer_bits": outer_bits,
            "layers": [
                layer_report(name, bounds, self.inner_mode, self.outer_mode)
                for name, bounds in self.layers.items()
            ],
        }


def layer_report(
    name: str,
    bounds: LayerBounds,
    inner_mode: Mode,
    outer_mode: Mode,
    *,
    inner_bias: Integers | None = None,
) -> dict[str, Any]:
    """One layer's bounds as JSON values.

    Parameters
    ----------
    inner_bias : what the inner register holds besides products, (N,); the formulas leave it out.

    Keys
    ----
    name; inner_bits, outer_bits (null without an outer stage) : widths in the given modes.
    worst_channel, outer_worst_channel : the first channel that needs them.
    needed : mode -> inner_bits, outer_bits, for all three modes.
    order, input_low, input_high, group_size, lanes, slots, weight_bits : what they hold for.
    dtype_bound_bits, l1_bound_bits (A2Q), a2q_plus_bits (A2Q+) : formulas of the literature for the
        inner stage, of the channel that needs most, bias left out; null for a counter of signs.
    a2q_plus_unsound : channels for which A2Q+'s formula is too narrow: it is no proof there.
    corrected_bits : width of whole rows' sums without the input's zero point; null where there is
        none.
    channels[] : ``inner_bits``, ``inner_low``, ``inner_high``; ``outer_bits``, ``outer_low``,
        ``outer_high`` (null without scales); ``l1`` (largest group), ``l1_bound_bits``,
        ``a2q_plus_bits``, ``a2q_plus_sound``.
    """
    has_outer = bounds.outer is not None
    channels = _channels(bounds, inner_mode, outer_mode, inner_bias)
    corrected = bounds.corrected
    return {
        "name": name,
        "inner_bits": bounds.max_bits("inner", inner_mode),
        "outer_bits": bounds.max_bits("outer", outer_mode) if has_outer else None,
        "worst_channel": bounds.worst_channel("inner", inner_mode),
        "outer_worst_channel": bounds.worst_channel("outer", outer_mode) if has_outer else None,
        "needed": {
            mode: {
                "inner_bits": bounds.max_bits("inner", mode),
                "outer_bits": bounds.max_bits("outer", mode) if has_outer else None,
            }
            for mode in get_args(Mode)
        },
        "order": bounds.order,
        "input_low": bounds.input_low,
        "input_high": bounds.input_high,
        "group_size": bounds.group_size,
        "lanes": bounds.lanes,
        "slots": bounds.slots,
        "weight_bits": bounds.weight_bits,
        **_formulas(bounds, channels),
        "corrected_bits": None if corrected is None else int(corrected.bits("wrap").max()),
        "channels": channels,
    }


def _formulas(bounds: LayerBounds, channels: list[dict[str, Any]]) -> dict[str, int | None]:
    """Formulas of the literature for the channel that needs most."""
    bits, signed = bounds.input_bits, bounds.input_signed
    found: dict[str, int | None] = {
        "dtype_bound_bits": dtype_bound_bits(bounds.group_size, bounds.weight_bits, bits, signed),
        "l1_bound_bits": max(channel["l1_bound_bits"] for channel in channels),
        "a2q_plus_bits": max(channel["a2q_plus_bits"] for channel in channels),
        "a2q_plus_unsound": sum(not channel["a2q_plus_sound"] for channel in channels),
    }
    if bounds.order == COUNTER:
        found = {**dict.fromkeys(found), "a2q_plus_unsound": 0}
    return found


def _channels(
    bounds: LayerBounds, inner_mode: Mode, outer_mode: Mode, bias: Integers | None
) -> list[dict[str, Any]]:
    bits, signed = bounds.input_bits, bounds.input_signed
    columns: dict[str, list[Any]] = {
        **_stage("inner", bounds.inner, inner_mode, bounds.channels),
        **_stage("outer", bounds.outer, outer_mode, bounds.channels),
        "l1": bounds.l1.tolist(),
    }
    columns["l1_bound_bits"] = [l1_bound_bits(v, bits, signed) for v in columns["l1"]]
    columns["a2q_plus_bits"] = [a2q_plus_bits(v, bits) for v in columns["l1"]]
    alone = bounds.inner
    if bias is not None:
        low, high = (end.astype(object) - bias for end in (alone.final_low, alone.final_high))
        final = signed_widths(low, high).tolist()
    else:
        final = alone.bits("wrap").tolist()
    columns["a2q_plus_sound"] = [
        formula >= needed for formula, needed in zip(columns["a2q_plus_bits"], final, strict=True)
    ]
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _stage(name: str, stage: StageRange | None, mode: Mode, channels: int) -> dict[str, list[Any]]:
    """Width and range of every channel; None where there is no such stage."""
    if stage is None:
        return {f"{name}_{key}": [None] * channels for key in ("bits", "low", "high")}
    return {
        f"{name}_bits": stage.bits(mode).tolist(),
        f"{name}_low": stage.low(mode).tolist(),
        f"{name}_high": stage.high(mode).tolist(),
    }
