"""How narrow the accumulators of a model may be: proved, seen on data, and before quality drops."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from configs.errors import InputError
from sw.accumulators import Mode, Stage
from sw.accumulators.checks import check_word
from sw.golden.narrow import Events, Registers
from sw.golden.observed import Observed

from .evaluate import BitsPerByte, TokenizedText, language_accuracy
from .llama import KVHook, LinearHook, LlamaModel
from .narrow import LayerRegisters, NarrowModel

Evaluate = Callable[[LinearHook], BitsPerByte | float]
"""``evaluate(linear)``: how well a model does with ``linear`` as its linears; lower is better."""


def language_score(
    model: LlamaModel,
    text: TokenizedText,
    *,
    context: int | None = None,
    kv: KVHook | None = None,
) -> Evaluate:
    """Bits per byte of ``text``, as :func:`sw.models.evaluate.language_accuracy` measures them."""

    def evaluate(linear: LinearHook) -> BitsPerByte:
        found = language_accuracy(model, text, context=context, linear=linear, kv=kv)
        return found.bits_per_byte

    return evaluate


@dataclass(frozen=True, kw_only=True, eq=False)
class WidthRow:
    """Quality and events with one stage's accumulators of one width, the other stage unlimited.

    Attributes
    ----------
    stage, mode, bits : what was narrow, and how.
    layer : the only layer with narrow accumulators; None for all.
    score : what the evaluation gave, bits per byte for language.
    increase : of the score over unlimited accumulators.
    standard_error : of the increase, paired by window; nan where the evaluation has none.
    events : what went wrong, by layer.
    """

    stage: Stage
    mode: Mode
    bits: int
    layer: str | None
    score: float
    increase: float
    standard_error: float
    events: dict[str, Events]

    def totals(self) -> dict[str, int | None]:
        """Events of all layers together, see :meth:`sw.golden.narrow.Events.totals`."""
        parts = [events.totals() for events in self.events.values()]
        return {
            key: None if parts[0][key] is None else sum(part[key] or 0 for part in parts)
            for key in parts[0]
        }

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON values.

        Keys
        ----
        stage, mode, bits, layer, score, increase, standard_error (null if there is none); events:
        the keys of :meth:`sw.golden.narrow.Events.totals`, all layers together; layers[]: name
        and the same keys.
        """
        error = self.standard_error
        return {
            "stage": self.stage,
            "mode": self.mode,
            "bits": self.bits,
            "layer": self.layer,
            "score": self.score,
            "increase": self.increase,
            "standard_error": None if math.isnan(error) else error,
            "events": self.totals(),
            "layers": [{"name": name, **found.totals()} for name, found in self.events.items()],
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class PreservingWidth:
    """Smallest width that keeps the score.

    Attributes
    ----------
    bits : every width from here up stays within the tolerance.
    observed : width that the same data needs for no event at all.
    rows : the widths that were tried, falling; the last one is too narrow unless ``bits`` is 1.
    """

    bits: int
    observed: int
    rows: tuple[WidthRow, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class WidthStudy:
    """Accumulator widths of one model on one evaluation.

    Parameters
    ----------
    model : the quantized model on an accelerator.
    evaluate : runs the model with a hook for its linears.
    tolerance : largest increase of the score, relative to that of unlimited accumulators.

    Raises
    ------
    InputError : a tolerance that is negative or not finite.
    """

    model: NarrowModel
    evaluate: Evaluate
    tolerance: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < math.inf:
            raise InputError(f"tolerance must be a number from 0 up, not {self.tolerance}")

    @cached_property
    def _wide(self) -> tuple[BitsPerByte | float, dict[str, Observed]]:
        seen: dict[str, Observed] = {}
        score = self.evaluate(self.model.observing(seen))
        if not seen:
            raise InputError(f"the evaluation runs no quantized layer of '{self.model.name}'")
        return score, seen

    @property
    def baseline(self) -> BitsPerByte | float:
        """Score with unlimited accumulators."""
        return self._wide[0]

    @property
    def observed(self) -> dict[str, Observed]:
        """What the accumulators of every layer hold during the evaluation, in exact arithmetic."""
        return self._wide[1]

    def observed_bits(self, stage: Stage, mode: Mode, layer: str | None = None) -> int:
        """Width with which nothing happens during the evaluation, of all layers or of one."""
        check_word("accumulator stage", stage, Stage)
        layers = self.observed.values() if layer is None else [self.observed[layer]]
        ranges = [found.inner if stage == "inner" else found.outer for found in layers]
        return max(int(found.bits(mode).max()) for found in ranges)

    def layers(self) -> list[dict[str, Any]]:
        """Proved and observed widths of every layer side by side.

        Keys
        ----
        layer, tokens; proved_inner, observed_inner, proved_outer, observed_outer: {wrap, saturate}
        in bits (``flag`` needs what ``saturate`` needs).
        """
        rows = []
        modes: tuple[Mode, Mode] = ("wrap", "saturate")
        for name, seen in self.observed.items():
            bounds = self.model.bounds(name)
            row: dict[str, Any] = {"layer": name, "tokens": seen.tokens}
            for stage, found in (("inner", seen.inner), ("outer", seen.outer)):
                proved = bounds.inner if stage == "inner" else bounds.outer
                assert proved is not None
                row[f"proved_{stage}"] = {mode: int(proved.bits(mode).max()) for mode in modes}
                row[f"observed_{stage}"] = {mode: int(found.bits(mode).max()) for mode in modes}
            rows.append(row)
        return rows

    def row(self, stage: Stage, mode: Mode, bits: int, layer: str | None = None) -> WidthRow:
        """The evaluation with the accumulators of ``stage`` at ``bits``, in all layers or one."""
        check_word("accumulator stage", stage, Stage)
        if stage == "inner":
            narrow = Registers(inner_bits=bits, inner_mode=mode)
        else:
            narrow = Registers(outer_bits=bits, outer_mode=mode)
        registers: LayerRegisters = narrow if layer is None else {layer: narrow}
        events: dict[str, Events] = {}
        score = self.evaluate(self.model.linear(registers, tally=events))
        increase, error = _increase(score, self.baseline)
        return WidthRow(
            stage=stage,
            mode=mode,
            bits=bits,
            layer=layer,
            score=_value(score),
            increase=increase,
            standard_error=error,
            events=events if layer is None else {layer: events[layer]},
        )

    def by_width(
        self, stage: Stage, modes: Iterable[Mode], widths: Iterable[int]
    ) -> list[WidthRow]:
        """One row per mode and width, all layers at the same one."""
        chosen = list(widths)
        return [self.row(stage, mode, bits) for mode in modes for bits in chosen]

    def preserving(self, stage: Stage, mode: Mode, layer: str | None = None) -> PreservingWidth:
        """Smallest width with which the score rises by no more than the tolerance.

        Widths are tried downwards from the observed one, where nothing can happen, until the
        score is lost: a width below that, where two errors happened to cancel, does not count.

        Parameters
        ----------
        layer : the only layer to be narrowed, so that the widths of several layers found this way
            need not be harmless together; None for all layers at once.
        """
        observed = self.observed_bits(stage, mode, layer)
        allowed = self.tolerance * abs(_value(self.baseline))
        rows = []
        for bits in range(observed - 1, 0, -1):
            rows.append(self.row(stage, mode, bits, layer))
            if not rows[-1].increase <= allowed:
                return PreservingWidth(bits=bits + 1, observed=observed, rows=tuple(rows))
        return PreservingWidth(bits=1, observed=observed, rows=tuple(rows))


def _value(score: BitsPerByte | float) -> float:
    return score.mean if isinstance(score, BitsPerByte) else float(score)


def _increase(score: BitsPerByte | float, baseline: BitsPerByte | float) -> tuple[float, float]:
    """Difference of two scores and its standard error."""
    if isinstance(score, BitsPerByte) and isinstance(baseline, BitsPerByte):
        paired = score.minus(baseline)
        return paired.mean, paired.standard_error
    return _value(score) - _value(baseline), math.nan
