"""A layer as simulations of its accumulators take it: integers, their order, proved ranges."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.accumulators import LayerBounds, StageRange, layer_bounds
from sw.accumulators.checks import integer
from sw.compile.layer import MachineLayer
from sw.compile.machine import activation_range, machine_terms
from sw.formats import TermTable

Int64 = NDArray[np.int64]
#: what a compiled loop takes of a group, see :mod:`sw.golden.narrow_loops`
Operands = tuple[NDArray[Any], NDArray[Any], NDArray[Any], int]
#: sums of an addition stay within three times a bound on exact sums
_SPARE_BITS = 2
#: no integer may need more bits, sign included; registers this wide are as good as unlimited
MOST_BITS = 63


@dataclass(frozen=True, kw_only=True, eq=False)
class NarrowLayer:
    """Integer weights and the order in which they are added.

    Parameters
    ----------
    levels : int64 (N, K).
    terms : what a PE steps through, or None where it takes weights whole.
    group_size, lanes : the schedule along K; the last group and chunk may be ragged.
    input_range : smallest and largest activation, both inclusive.
    scales : int64 (N, groups), not negative; None for ones, groups that are only added.
    zero_points : int64 (N, groups): times the sum of the group's activations they are subtracted
        from its sum before scaling; None for none.

    Raises
    ------
    InputError : arrays that do not fit together, a level without terms, or sums that could leave
        62 bits, beyond which this model's integers would not be exact.
    """

    levels: Int64
    terms: TermTable | None
    group_size: int
    lanes: int
    input_range: tuple[int, int]
    scales: Int64 | None = None
    zero_points: Int64 | None = None

    def __post_init__(self) -> None:
        shape = len(self.levels), len(self.parts)
        for name, values in (("scales", self.scales), ("zero points", self.zero_points)):
            if values is not None and values.shape != shape:
                raise InputError(f"{name} have shape {values.shape}, the layer needs {shape}")
        if self.scales is not None and self.scales.min() < 0:
            raise InputError(f"scales must not be negative, found {self.scales.min()}")
        if max(self._outer_reach, *self.reach).bit_length() + _SPARE_BITS >= MOST_BITS:
            raise InputError(
                f"sums of up to {self._outer_reach} are too large for exact 64-bit integers"
            )

    @classmethod
    def of(cls, layer: MachineLayer, terms: TermTable | None = None) -> "NarrowLayer":
        """``layer`` on its accelerator.

        Parameters
        ----------
        terms : of a machine that is programmed to the layer's formats; None: the formats' own.

        Raises
        ------
        InputError : an accelerator with floating-point activations.
        """
        array = layer.array
        if array.has_floats:
            raise InputError(f"accelerator '{array.name}' has no integer accumulators to narrow")
        return cls(
            levels=layer.levels,
            terms=machine_terms(array, layer.family) if terms is None else terms,
            group_size=layer.group_size,
            lanes=array.lanes,
            input_range=activation_range(array),
            scales=layer.scales,
            zero_points=layer.zero_points,
        )

    @cached_property
    def parts(self) -> tuple[slice, ...]:
        """Inputs of each group."""
        size = integer(self.group_size, "group size", least=1)
        length = self.levels.shape[1]
        return tuple(slice(k, min(k + size, length)) for k in range(0, length, size))

    @cached_property
    def ranges(self) -> tuple[StageRange, ...]:
        """Proved range of each group's sums, by channel."""
        return tuple(bounds.inner for bounds in self._bounds)

    @cached_property
    def _bounds(self) -> tuple[LayerBounds, ...]:
        return tuple(
            layer_bounds(
                self.levels[:, part],
                terms=self.terms,
                group_size=part.stop - part.start,
                lanes=self.lanes,
                input_range=self.input_range,
                scale_codes=None,
            )
            for part in self.parts
        )

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """A bound on every sum of each group, whatever the order."""
        largest = max(abs(end) for end in self.input_range)
        return tuple(
            max(
                -int(bounds.inner.step_low.min()),
                int(bounds.inner.step_high.max()),
                int(bounds.l1.max()) * largest,
            )
            for bounds in self._bounds
        )

    @cached_property
    def _outer_reach(self) -> int:
        """A bound on every outer sum."""
        largest, total = max(abs(end) for end in self.input_range), 0
        for group, part in enumerate(self.parts):
            zero = 0 if self.zero_points is None else int(np.abs(self.zero_points[:, group]).max())
            scale = 1 if self.scales is None else int(self.scales[:, group].max())
            total += (self.reach[group] + zero * largest * (part.stop - part.start)) * scale
        return total

    @cached_property
    def steps(self) -> tuple[NDArray[np.signedinteger], Int64]:
        """Places of the levels in a table (N, K), and that table of terms, (slots, places).

        Raises
        ------
        AssertionError : the terms do not add up to the levels.
        """
        known, places = np.unique(self.levels, return_inverse=True)
        if self.terms is None:
            table = known[None, :]
        else:
            partial = self.terms.partial_levels(known)
            if not np.array_equal(partial[-1], known):
                raise AssertionError("the term table does not add up to the levels")
            table = np.diff(partial, axis=0, prepend=0)
        kind = np.int16 if len(known) < 1 << 15 else np.int64
        return places.reshape(self.levels.shape).astype(kind), table.astype(np.int64)

    def exact_sums(self, group: int, activations: Int64) -> Int64:
        """Exact sums of one group, (M, N), from a product in the narrowest exact type."""
        bits = self.reach[group].bit_length()
        kind: Any = np.float32 if bits <= 24 else np.float64 if bits <= 53 else np.int64
        part = self.parts[group]
        weights: NDArray[Any] = self.levels[:, part].T.astype(kind)
        inputs: NDArray[Any] = activations[:, part].astype(kind)
        return np.asarray(inputs @ weights).astype(np.int64)

    def scaled(self, group: int, sums: Int64, activations: Int64) -> Int64:
        """Group sums (M, N) less zero points, times scales."""
        if self.zero_points is not None:
            totals = activations[:, self.parts[group]].sum(axis=1)
            sums = sums - totals[:, None] * self.zero_points[:, group]
        return sums if self.scales is None else sums * self.scales[:, group]

    def check_activations(self, activations: Int64) -> None:
        """Refuse what does not fit, or lies outside the range that the bounds hold for."""
        low, high = self.input_range
        if activations.ndim != 2 or activations.shape[1] != self.levels.shape[1]:
            raise InputError(
                f"activations have shape {activations.shape}, the layer takes "
                f"{self.levels.shape[1]} inputs"
            )
        if not activations.size or activations.dtype.kind != "i":
            raise InputError("activations must be signed integers, at least one token of them")
        if activations.min() < low or activations.max() > high:
            raise InputError(
                f"activations {activations.min()}..{activations.max()} leave the layer's input "
                f"range {low}..{high}"
            )

    def operands(self, group: int, channels: Int64, activations: Int64) -> Operands:
        """What the compiled loops take, in the narrowest integers that cannot overflow."""
        places, table = self.steps
        part = self.parts[group]
        kind = np.int32 if self.reach[group].bit_length() + _SPARE_BITS < 32 else np.int64
        inputs = np.ascontiguousarray(activations[:, part].T.astype(kind))
        return inputs, np.ascontiguousarray(places[channels, part]), table.astype(kind), self.lanes
