"""Ways to live with a narrow accumulator, beside each other at every width."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from configs.errors import InputError, check_range, unknown_name
from configs.schema import NARROW_METHODS, AccumulatorTarget, QuantizationConfig
from costmodel import Technology, machine_area
from sw.accumulators import Mode
from sw.compile import resolve_machine
from sw.golden.narrow import UNLIMITED, Events, Registers
from sw.models.narrow import NarrowModel
from sw.quantize import QuantizedModel
from sw.quantize.narrow import NoRoom

from ..bounds.cost import WIDE_BITS, pe_luts
from ..job import Progress, silent
from .tasks import Task

#: registers that are narrowed with nothing done about it
NAIVE: tuple[Mode, Mode] = ("saturate", "wrap")
METHODS = (*NARROW_METHODS, *NAIVE)


@dataclass(frozen=True, kw_only=True)
class WidthSettings:
    """What is tried.

    Parameters
    ----------
    widths : of the inner accumulator.
    methods : of :data:`METHODS`: quantizers that keep to the width, whose registers wrap, or
        ``saturate`` and ``wrap``, registers narrowed under weights that know nothing of it.

    Raises
    ------
    InputError : an unknown method, no method, no width, or a width out of range.
    """

    widths: tuple[int, ...]
    methods: tuple[str, ...] = METHODS

    def __post_init__(self) -> None:
        if not self.widths or not self.methods:
            raise InputError("a study of widths needs at least one width and one method")
        for width in self.widths:
            check_range("width", width, 2, WIDE_BITS)
        for method in self.methods:
            if method not in METHODS:
                raise unknown_name("method", method, METHODS)


def width_rows(
    task: Task,
    settings: WidthSettings,
    technology: Technology,
    *,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One row per method and width, and one for accumulators of 32 bits.

    Keys
    ----
    task, metric, float_value, higher_is_better; method (``wide`` for 32 bits); inner_bits,
    inner_mode; proved : whether no input can overflow the inner register; proved_inner_bits,
    proved_outer_bits : what the final integers need; value : the metric with an inner register of
    ``inner_bits``; exact_value : with unlimited ones; events : latched sums that differ from exact
    ones; outputs_wrong : share of outputs; sparsity : share of weights that are 0; area_um2 (of the
    machine), luts (of one PE), both with these widths.

    A method without room for any weight at a width has no row there.
    """
    plain = task.quantized(task.settings)
    base = {
        "task": task.name,
        "metric": task.metric,
        "float_value": task.float_value,
        "higher_is_better": task.higher_is_better,
    }
    wide = _Measured(task, plain, technology)
    rows = [base | {"method": "wide"} | wide.row(WIDE_BITS, "wrap")]
    jobs = [(method, bits) for method in settings.methods for bits in settings.widths]
    for method, bits in progress(jobs, task.name):
        if method in NAIVE:
            row = wide.row(bits, cast(Mode, method))
        else:
            quantized = _narrowed(task, method, bits)
            if quantized is None:
                continue
            row = _Measured(task, quantized, technology).row(bits, "wrap")
        rows.append(base | {"method": method} | row)
    return rows


def _narrowed(task: Task, method: str, bits: int) -> QuantizedModel | None:
    """The model quantized to ``bits``; None where the method has no room for any weight."""
    target = AccumulatorTarget(
        inner_bits=bits,
        input_bits=task.array.activation_bits,
        input_signed=task.array.activation_signed,
    )
    settings: QuantizationConfig = replace(
        task.settings,
        method=method,  # type: ignore[arg-type]
        accumulator=target,
    )
    try:
        return task.quantized(settings)
    except NoRoom:
        return None


class _Measured:
    """One quantized model, in registers of any width."""

    def __init__(self, task: Task, quantized: QuantizedModel, technology: Technology) -> None:
        self.task, self.quantized, self.technology = task, quantized, technology
        self.narrow: NarrowModel = task.narrow(quantized)
        self.bounds = [self.narrow.bounds(name) for name in self.narrow.linears]
        self.exact_value = task.evaluate(quantized, self.narrow.linear(UNLIMITED))
        zeros = sum(int((m.levels == 0).sum()) for m in quantized.layers.values())
        self.sparsity = zeros / quantized.weights

    def needed(self, mode: Mode) -> tuple[int, int]:
        """P_I in ``mode`` and P_O in mode ``wrap`` that hold for every input."""
        outer = [b.max_bits("outer", "wrap") for b in self.bounds]
        return max(b.max_bits("inner", mode) for b in self.bounds), max(outer)

    def row(self, bits: int, mode: Mode) -> dict[str, Any]:
        """The figures of :func:`width_rows` that depend on width and mode."""
        inner, outer = self.needed(mode)
        events: dict[str, Events] = {}
        value = self.exact_value
        if inner > bits:
            registers = Registers(inner_bits=bits, inner_mode=mode)
            linear = self.narrow.linear(registers, tally=events)
            value = self.task.evaluate(self.quantized, linear)
        totals = [found.totals() for found in events.values()]
        return {
            "inner_bits": bits,
            "inner_mode": mode,
            "proved": inner <= bits,
            "proved_inner_bits": inner,
            "proved_outer_bits": outer,
            "value": value,
            "exact_value": self.exact_value,
            "events": _sum(t["inner_wrong"] for t in totals),
            "outputs_wrong": _sum(t["outputs_wrong"] for t in totals)
            / max(1, _sum(t["outputs"] for t in totals)),
            "sparsity": self.sparsity,
            **self._costs(bits, outer, mode),
        }

    def _costs(self, inner_bits: int, outer_bits: int, mode: Mode) -> dict[str, Any]:
        """The machine with these accumulators; the outer one is as wide as proved, at least 2."""
        accumulator = replace(self.task.array.inner_accumulator, mode=mode)
        array = replace(self.task.array, inner_accumulator=accumulator)
        (family,) = {matrix.family.name: matrix.family for matrix in self.layers}.values()
        group = max(min(m.group_size, m.levels.shape[1]) for m in self.layers)
        widths = inner_bits, max(2, WIDE_BITS if inner_bits == WIDE_BITS else outer_bits)
        machine = resolve_machine(array, family, *widths, group_inputs=group)
        blocks = machine_area(machine, self.technology)
        return {
            "outer_bits": widths[1],
            "area_um2": sum(block.total_um2 for block in blocks),
            "luts": pe_luts(machine),
        }

    @property
    def layers(self) -> Any:
        """The quantized matrices."""
        return self.quantized.layers.values()


def _sum(values: Iterable[int | None]) -> int:
    return sum(value or 0 for value in values)
