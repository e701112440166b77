"""One layer quantized to accumulator widths, checked, tightened until the check holds.

The budgets of a method are about final sums of one group. What they leave open is closed here, by
the exact bounds of the final integers: steps that overshoot (7 = 8 - 1 passes through 8, which
counts where registers saturate), and the outer register, where scales come in. A group that is
beyond its register gets a smaller limit and is rounded anew, until the whole layer holds.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from configs.schema import FEEDBACK_METHODS, NARROW_METHODS, LayerQuantization
from configs.target import AccumulatorTarget
from sw.accumulators import layer_bounds
from sw.formats import FormatFamily, get_family

from ..gptq import checked_moments
from ..matrix import QuantizedMatrix
from ..rounding import check_importance, largest_weight
from ..tiles import as_weights, block_shape
from .budgets import Room, Whole, a2q_budget, a2q_plus_budget, register_limit
from .descent import descend, output_errors
from .feedback import Inputs, feedback_codes
from .guarantee import check_matrix, target_terms
from .projection import Wide, nearest_codes_within
from .rounding import fit_groups_narrow, rounding_of
from .scales import scale_codes_within

#: symmetric integers: budgets count in units of the smallest weight
FORMATS = tuple(f"int{bits}" for bits in range(2, 9))
#: times that groups beyond a register are rounded anew before their rows are given up as zeros
ATTEMPTS = 12


class NoRoom(InputError):
    """Registers so narrow that a method leaves no weight."""


def quantize_narrow(
    weights: ArrayLike,
    settings: LayerQuantization,
    *,
    importance: ArrayLike | None = None,
    hessian: ArrayLike | None = None,
    damping: float = 0.01,
) -> QuantizedMatrix:
    """Quantize the weights (N, K) of one layer so that no input overflows its registers.

    Parameters
    ----------
    settings : one of the methods ``a2q``, ``a2q_plus``, ``axe``, ``axe_rtn``, with ``accumulator``.
        ``scale_rule: absmax`` takes the plain scale of each group, ``mse`` and ``output_mse`` look
        for the best over a grid.
    importance : mean squares of the input channels, (K,), for ``output_mse``.
    hessian : ``X^T X`` of the layer's inputs, (K, K), for ``axe``; ``damping`` as for
        :func:`sw.quantize.gptq.gptq`.

    Raises
    ------
    InputError : other formats than int2 .. int8, settings that do not go together, weights that
        are not finite, or widths without room for a single weight.
    """
    target = settings.accumulator
    if settings.method not in NARROW_METHODS or target is None:
        raise InputError(f"method '{settings.method}' does not quantize to accumulator widths")
    check_narrow(settings)
    family = get_family(settings.format)
    array = as_weights(weights, largest_weight(family, "float32"), "float32").astype(np.float64)
    weight = check_importance(importance, array.shape[1:])
    layer = _Layer(
        weights=array,
        settings=settings,
        target=target,
        family=family,
        size=block_shape(array.shape, settings.group_size, 1)[2],
        importance=None if weight is None else _positive(weight),
    )
    if settings.method in FEEDBACK_METHODS:
        if hessian is None:
            raise InputError("method 'axe' needs inputs of the layer: use axe_rtn without them")
        moments = checked_moments(array, hessian, family)[1]
        fed = replace(layer, inputs=Inputs.of(moments, damping, layer.width)).run()
        matrix = _better_rows(array, layer.run(), fed, moments)
    else:
        matrix = layer.run()
    check_matrix("weights", matrix, target).raise_if_broken()
    if array.any() and not matrix.used_groups.any():
        raise NoRoom(
            f"accumulator: inner_bits {target.inner_bits} and outer_bits {target.outer_bits} leave "
            "every weight 0: give more bits, or larger groups"
        )
    return matrix


def _positive(importance: NDArray[np.float32]) -> Wide:
    """Weights of errors with mean 1; channels without any keep a millionth."""
    mean = float(importance.mean(dtype=np.float64))
    wide = importance.astype(np.float64) / (mean if mean > 0 else 1)
    return np.maximum(wide, 1e-6)


def _better_rows(
    weights: Wide, plain: QuantizedMatrix, fed: QuantizedMatrix, moments: Wide
) -> QuantizedMatrix:
    """Of two matrices, row by row, the one with less error on the calibration inputs."""
    errors = (output_errors(m.dequantize(np.float64) - weights, moments) for m in (plain, fed))
    better = np.flatnonzero(np.less(*errors))

    def rows(name: str) -> Any:
        """A field of ``fed``, with the rows of ``plain`` that are better."""
        kept = getattr(fed, name)
        if kept is not None:
            kept = kept.copy()
            kept[better] = getattr(plain, name)[better]
        return kept

    names = ("codes", "scales", "scale_codes", "channel_scales")
    return replace(fed, **{name: rows(name) for name in names})


def check_narrow(settings: LayerQuantization) -> None:
    """Refuse settings of a narrow method that do not go together.

    Raises
    ------
    InputError : the first of them.
    """
    method, target = settings.method, settings.accumulator
    assert target is not None
    if settings.format not in FORMATS:
        raise InputError(
            f"method '{method}': {unknown_name('format', settings.format, FORMATS)} "
            "(symmetric integers)"
        )
    if settings.group_rows != 1 or settings.group_size == "tensor":
        given = "group_size tensor" if settings.group_rows == 1 else "group_rows above 1"
        raise InputError(f"method '{method}' takes one scale per row and group, not {given}")
    if settings.scale_rule not in ("absmax", "mse", "output_mse"):
        raise InputError(
            f"method '{method}' takes scale_rule absmax, mse or output_mse, "
            f"not {settings.scale_rule}"
        )
    least = least_bits(method, target)
    for stage in ("inner", "outer"):
        bits = getattr(target, f"{stage}_bits")
        if bits is not None and bits < least:
            raise NoRoom(
                f"accumulator: {stage}_bits is {bits}, with inputs of {target.width} bits "
                f"'{method}' needs at least {least} for a single weight"
            )


def least_bits(method: str, target: AccumulatorTarget) -> int:
    """Smallest width in which ``method`` has room for a weight of 1, and for one of -1."""
    for bits in range(2, 64):
        limit = register_limit(bits)
        if method == "a2q":
            room = a2q_budget(limit, target.width, target.input_signed)
        elif method == "a2q_plus":
            # each sign has half of it
            room = a2q_plus_budget(limit, target.width) // 2
        else:
            room = min(int(n[0]) for n in Room.of(target, np.array([limit])).units())
        if room:
            return bits
    raise AssertionError("no width up to 63 bits holds one weight")


@dataclass(kw_only=True, eq=False)
class _Layer:
    """A layer on its way to codes that fit."""

    weights: Wide
    settings: LayerQuantization
    target: AccumulatorTarget
    family: FormatFamily
    size: int
    importance: Wide | None
    inputs: Inputs | None = None

    def __post_init__(self) -> None:
        channels, length = self.weights.shape
        self.width = min(self.size, length)
        self.seen = self.weights if self.inputs is None else self.weights * self.inputs.alive
        self.top = self.family.max_magnitude
        self.search = self.settings.scale_rule != "absmax"
        shape = (channels, -(-length // self.width))
        self.codes = np.zeros(self.weights.shape, dtype=np.int64)
        self.scales = np.ones(shape, dtype=np.float32)
        self.limits = np.full(shape, register_limit(self.target.inner_bits), dtype=np.int64)
        self.scale_codes = np.ones(shape, dtype=np.uint8)
        self.factors = np.ones(channels, dtype=np.float32)

    def run(self) -> QuantizedMatrix:
        """The matrix, once every row fits; rows that never do are zeros."""
        todo = np.arange(len(self.weights))
        for _ in range(ATTEMPTS):
            self._round(todo)
            todo = self._tighten(todo)
            if not todo.size:
                break
        self.codes[todo] = 0
        matrix = QuantizedMatrix(
            family=self.family,
            group_size=self.size,
            codes=self.family.members[0].encode(self.codes).astype(np.uint8),
            format_ids=np.zeros(self.scales.shape, dtype=np.uint8),
            scales=self.scales,
        )
        if self.target.outer_bits is None:
            uint8 = self.settings.scale_format == "uint8"
            return matrix.with_uint8_scales() if uint8 else matrix
        return replace(
            matrix,
            scales=self.scale_codes * self.factors[:, None],
            scale_codes=self.scale_codes,
            channel_scales=self.factors,
            scale_format="uint8",
        )

    def _round(self, rows: NDArray[np.intp]) -> None:
        """Codes and float16 scales of some rows, within their limits."""
        for group, part in enumerate(self._parts()):
            weight = None if self.importance is None else self.importance[part]
            self.codes[rows, part], self.scales[rows, group] = fit_groups_narrow(
                self.seen[rows, part],
                self.limits[rows, group],
                rounding_of(self.settings.method, self.target, self.top, weight),
                self.top,
                search=self.search,
                importance=weight,
            )
        if self.inputs is not None:
            self._feed(rows, self.inputs)

    def _feed(self, rows: NDArray[np.intp], inputs: Inputs) -> None:
        """From the nearest codes of some rows to ones that are better for ``inputs``."""
        weights, limits = self.seen[rows], self.limits[rows]
        shared = {"group_size": self.width, "top": self.top}
        starts = (
            (self.codes[rows], self.scales[rows]),
            feedback_codes(
                weights, inputs.factor, limits, self.target, search=self.search, **shared
            ),
        )
        groups = np.arange(weights.shape[1]) // self.width
        least = np.full(len(rows), np.inf)
        # feedback counts on room that later columns may not have: it is not always the better start
        for codes, scales in starts:
            found = descend(
                weights,
                codes,
                scales,
                inputs.moments,
                limits,
                self.target,
                refit=self.search,
                **shared,
            )
            errors = output_errors(weights - found[0] * found[1][:, groups], inputs.moments)
            better = errors < least
            least[better] = errors[better]
            self.codes[rows[better]], self.scales[rows[better]] = (f[better] for f in found)
        for group, part in enumerate(self._parts()):
            unseen = np.flatnonzero(~inputs.alive[part]) + part.start
            if unseen.size:
                self._fill(rows, group, unseen)

    def _fill(self, rows: NDArray[np.intp], group: int, columns: NDArray[np.intp]) -> None:
        """Give the room that is left in a group to those of its columns, whose codes are 0."""
        codes = self.codes[rows][:, self._parts()[group]]
        room = Room.of(self.target, self.limits[rows, group]).less(codes)
        place = np.ix_(rows, columns)
        values = self.weights[place] / self.scales[rows, group, None]
        self.codes[place] = nearest_codes_within(values, room, self.top)

    def _parts(self) -> list[slice]:
        """Columns of every group."""
        length = self.weights.shape[1]
        return [slice(i, min(i + self.width, length)) for i in range(0, length, self.width)]

    def _tighten(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Rows that do not fit; the limits of what is beyond its register get smaller."""
        ranges = [self._ranges(self.codes[rows, part]) for part in self._parts()]
        steps, sums = (np.stack([found[i] for found in ranges], axis=2) for i in (0, 1))
        most = register_limit(self.target.inner_bits)
        excess = np.maximum(steps[1] - most, -1 - steps[0] - most)
        limits = self.limits[rows] - np.maximum(excess, 0)
        broken = (excess > 0).any(axis=1)
        if self.target.outer_bits is not None:
            used = (sums != 0).any(axis=0)
            found = scale_codes_within(
                self.scales[rows], used, sums[0], sums[1], self.target.outer_bits
            )
            self.scale_codes[rows], self.factors[rows], times = found
            wide = times > 1
            # a little less than its share, so that rounding does not stand in the way
            share = 0.98 / np.where(wide, times, 1)
            share = (np.abs(sums).max(axis=0) * share[:, None]).astype(np.int64)
            limits[wide] = np.minimum(limits, share)[wide]
            broken |= wide
        self.limits[rows] = np.maximum(limits, 0)
        return rows[broken]

    def _ranges(self, codes: Whole) -> tuple[Whole, Whole]:
        """Ends of the steps that count and of the final sums of one group, (2, R) each."""
        found = layer_bounds(
            codes,
            terms=target_terms(self.family, self.target.mode),
            group_size=self.width,
            lanes=self.target.lanes,
            input_range=self.target.input_range,
            scale_codes=None,
        ).inner
        steps = np.stack([found.low(self.target.mode), found.high(self.target.mode)])
        return steps, np.stack([found.final_low, found.final_high])
