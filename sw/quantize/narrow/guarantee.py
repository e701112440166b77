"""Whether final integers fit the registers they were made for.

No claim of a quantizer is taken: the codes that are stored, and the scale codes, go through
:func:`sw.accumulators.layer_bounds`, which knows nothing of how they came about.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.accelerator import AccumulatorMode
from configs.errors import InputError
from configs.target import AccumulatorTarget
from sw.accumulators import LayerBounds, layer_bounds
from sw.formats import FormatFamily, TermTable, fitting_terms

from ..matrix import QuantizedMatrix
from ..model import QuantizedModel


@dataclass(frozen=True, kw_only=True)
class WidthCheck:
    """What the final integers of one layer need, and what they were to fit.

    Attributes
    ----------
    name : of the layer.
    target : the registers.
    inner_bits : smallest inner width that holds for every input, in the target's mode.
    outer_bits : smallest outer width, or None where the target leaves it free.
    overflowing : output channels that some input can overflow, in order.
    zero_channels : output channels without a weight that is not 0.
    zero_groups : groups without one.
    sparsity : share of codes that are 0.
    """

    name: str
    target: AccumulatorTarget
    inner_bits: int
    outer_bits: int | None
    overflowing: tuple[int, ...]
    zero_channels: int
    zero_groups: int
    sparsity: float

    @property
    def holds(self) -> bool:
        """Whether no input can overflow a register."""
        return not self.overflowing

    def raise_if_broken(self) -> None:
        """Refuse a layer that does not fit.

        Raises
        ------
        InputError : with the first channel and what it needs.
        """
        if self.holds:
            return
        wanted = [f"inner_bits {self.target.inner_bits}"]
        needed = [f"inner_bits {self.inner_bits}"]
        if self.outer_bits is not None:
            wanted.append(f"outer_bits {self.target.outer_bits}")
            needed.append(f"outer_bits {self.outer_bits}")
        raise InputError(
            f"layer '{self.name}' does not fit {' and '.join(wanted)} ({self.target.mode}): "
            f"{len(self.overflowing)} channels can overflow, the first is {self.overflowing[0]}, "
            f"the layer needs {' and '.join(needed)}"
        )


def target_terms(family: FormatFamily, mode: AccumulatorMode) -> TermTable | None:
    """Terms that a PE steps through, where steps matter: not for ``wrap``."""
    return None if mode == "wrap" else fitting_terms(family)


def matrix_bounds(matrix: QuantizedMatrix, target: AccumulatorTarget) -> LayerBounds:
    """Exact bounds of a quantized layer on the registers of ``target``.

    Raises
    ------
    InputError : several planes; scales that are not 8-bit integers, where the outer width counts.
    """
    if matrix.residual is not None:
        raise InputError("weights in several planes have no single accumulator to check")
    scales = None
    if target.outer_bits is not None:
        if matrix.scale_format not in ("float16", "uint8"):
            raise InputError(
                f"the outer accumulator of {matrix.scale_format} scales is not checked here: "
                "leave outer_bits out"
            )
        scales = matrix.with_uint8_scales().scale_codes
    outer_levels = None
    if matrix.zero_points is not None:
        outer_levels = matrix.levels - matrix.expand(matrix.zero_points)
    return layer_bounds(
        matrix.levels,
        terms=target_terms(matrix.family, target.mode),
        group_size=matrix.group_size,
        lanes=target.lanes,
        input_range=target.input_range,
        scale_codes=scales,
        outer_levels=outer_levels,
    )


def check_matrix(name: str, matrix: QuantizedMatrix, target: AccumulatorTarget) -> WidthCheck:
    """Measure the final integers of one layer against ``target``; raises like matrix_bounds."""
    bounds = matrix_bounds(matrix, target)
    needed = bounds.inner_bits(target.mode)
    broken: NDArray[np.bool_] = needed > target.inner_bits
    outer_bits = None
    if target.outer_bits is not None:
        outer = bounds.outer_bits(target.mode)
        outer_bits = int(outer.max())
        broken = broken | (outer > target.outer_bits)
    used = matrix.used_groups
    return WidthCheck(
        name=name,
        target=target,
        inner_bits=int(needed.max()),
        outer_bits=outer_bits,
        overflowing=tuple(np.flatnonzero(broken).tolist()),
        zero_channels=int((~used.any(axis=1)).sum()),
        zero_groups=int((~used).sum()),
        sparsity=float(np.mean(matrix.levels == 0)),
    )


def check_widths(
    model: QuantizedModel, targets: AccumulatorTarget | Mapping[str, AccumulatorTarget]
) -> dict[str, WidthCheck]:
    """Check every layer of any quantized model, however it was made, a layer at a time.

    Parameters
    ----------
    targets : registers of all layers, or by layer; layers without an entry are not checked.

    Raises
    ------
    InputError : an entry for a layer that is not there, or as :func:`matrix_bounds`.
    """
    if isinstance(targets, AccumulatorTarget):
        targets = dict.fromkeys(model.shapes, targets)
    for name in targets:
        if name not in model.shapes:
            raise InputError(f"model '{model.name}' has no layer '{name}' to check")
    return {
        name: check_matrix(name, matrix, targets[name])
        for name, matrix in model.layers.items()
        if name in targets
    }


def guarantee(
    model: QuantizedModel, targets: AccumulatorTarget | Mapping[str, AccumulatorTarget]
) -> dict[str, WidthCheck]:
    """:func:`check_widths`, refusing a model with a layer that does not fit.

    Raises
    ------
    InputError : the first such layer, or as :func:`check_widths`.
    """
    found = check_widths(model, targets)
    for check in found.values():
        check.raise_if_broken()
    return found
