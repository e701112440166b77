"""The bounds of all layers of a model, and the widths that suffice for every one of them."""

from dataclasses import dataclass
from typing import Any

from configs.errors import InputError

from .bounds import LayerBounds
from .checks import Mode, check_word
from .width import a2q_plus_bits, l1_bound_bits


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
        inner_mode, outer_mode : the modes that every width below is for.
        inner_bits, outer_bits : widths that suffice for all layers (``outer_bits`` may be null).
        layers[] : ``name``; ``inner_bits``, ``outer_bits``; ``worst_channel`` and
            ``outer_worst_channel``, the first channel that needs them; ``input_low``,
            ``input_high``, ``group_size``, ``lanes``, ``slots``; ``channels``.
        layers[].channels[] : ``inner_bits``, ``inner_low``, ``inner_high``; ``outer_bits``,
            ``outer_low``, ``outer_high`` (null without scales); and for comparison with the inner
            stage ``l1`` (largest group), ``l1_bound_bits`` (A2Q) and ``a2q_plus_bits`` (A2Q+, not
            a proof).
        """
        inner_bits, outer_bits = self.minimal_widths()
        return {
            "inner_mode": self.inner_mode,
            "outer_mode": self.outer_mode,
            "inner_bits": inner_bits,
            "outer_bits": outer_bits,
            "layers": [self._layer(name, bounds) for name, bounds in self.layers.items()],
        }

    def _layer(self, name: str, bounds: LayerBounds) -> dict[str, Any]:
        has_outer, mode = bounds.outer is not None, self.outer_mode
        return {
            "name": name,
            "inner_bits": bounds.max_bits("inner", self.inner_mode),
            "outer_bits": bounds.max_bits("outer", mode) if has_outer else None,
            "worst_channel": bounds.worst_channel("inner", self.inner_mode),
            "outer_worst_channel": bounds.worst_channel("outer", mode) if has_outer else None,
            "input_low": bounds.input_low,
            "input_high": bounds.input_high,
            "group_size": bounds.group_size,
            "lanes": bounds.lanes,
            "slots": bounds.slots,
            "channels": self._channels(bounds),
        }

    def _channels(self, bounds: LayerBounds) -> list[dict[str, Any]]:
        bits, signed = bounds.input_bits, bounds.input_signed
        columns: dict[str, list[Any]] = {}
        for name, stage, mode in (
            ("inner", bounds.inner, self.inner_mode),
            ("outer", bounds.outer, self.outer_mode),
        ):
            absent: list[Any] = [None] * bounds.channels
            columns[f"{name}_bits"] = stage.bits(mode).tolist() if stage else absent
            columns[f"{name}_low"] = stage.low(mode).tolist() if stage else absent
            columns[f"{name}_high"] = stage.high(mode).tolist() if stage else absent
        columns["l1"] = bounds.l1.tolist()
        columns["l1_bound_bits"] = [l1_bound_bits(v, bits, signed) for v in columns["l1"]]
        columns["a2q_plus_bits"] = [a2q_plus_bits(v, bits) for v in columns["l1"]]
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]
