"""What happens to a constant on its way to a MatMul: casts, transpositions, QONNX quantization."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

MAX_BIT_WIDTH = 24


def _half_up(x: NDArray) -> NDArray:
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def _half_down(x: NDArray) -> NDArray:
    return np.sign(x) * np.ceil(np.abs(x) - 0.5)


def _up(x: NDArray) -> NDArray:
    return np.sign(x) * np.ceil(np.abs(x))


#: rounding modes of QONNX, as its documentation of Quant describes them
ROUNDING: dict[str, Callable[[NDArray], NDArray]] = {
    "ROUND": np.round,
    "HALF_EVEN": np.round,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": _up,
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,
    "HALF_UP": _half_up,
    "HALF_DOWN": _half_down,
}


class Step(ABC):
    """One operation between a constant and what it feeds."""

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the result."""
        return shape

    def dtype(self, dtype: str) -> str:
        """The type of the result, as ONNX names it."""
        return dtype

    @abstractmethod
    def apply(self, array: NDArray) -> NDArray:
        """The result."""


@dataclass(frozen=True)
class Transpose(Step):
    """Axes in another order."""

    order: tuple[int, ...]

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As :class:`Step`; refuses an order that does not fit."""
        if sorted(self.order) != list(range(len(shape))):
            raise InputError(f"a Transpose of shape {shape} has the order {self.order}")
        return tuple(shape[axis] for axis in self.order)

    def apply(self, array: NDArray) -> NDArray:
        """A view."""
        return array.transpose(self.order)


@dataclass(frozen=True)
class Flatten(Step):
    """All axes but the first in one: (out, in, ky, kx) of a convolution to (N, K)."""

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As :class:`Step`."""
        return shape[0], prod(shape[1:])

    def apply(self, array: NDArray) -> NDArray:
        """As :class:`Step`."""
        return array.reshape(self.shape(array.shape))


@dataclass(frozen=True)
class Cast(Step):
    """Another type, rounding to nearest where it is narrower: FLOAT, FLOAT16 or DOUBLE."""

    name: str

    def dtype(self, dtype: str) -> str:
        """As :class:`Step`."""
        return self.name

    def apply(self, array: NDArray) -> NDArray:
        """As :class:`Step`; what overflows is refused when the finished tensor is checked."""
        with np.errstate(over="ignore"):
            return array.astype({"FLOAT": "f4", "FLOAT16": "f2", "DOUBLE": "f8"}[self.name])


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine(Step):
    """Integers that stand for ``(integers - zero_point) * scale``.

    Parameters
    ----------
    scale : float32 that broadcasts to the constant, positive.
    zero_point : whole numbers that broadcast to it.
    """

    scale: NDArray[np.float32]
    zero_point: NDArray

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise InputError(
                f"the scale of a {type(self).__name__} node must be positive and finite"
            )

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As :class:`Step`; refuses a scale or zero point of another shape."""
        for name, array in (("scale", self.scale), ("zero point", self.zero_point)):
            try:
                fits = np.broadcast_shapes(array.shape, shape) == shape
            except ValueError:
                fits = False
            if not fits:
                raise InputError(
                    f"a {type(self).__name__} node of shape {shape} has a {name} "
                    f"of shape {array.shape}"
                )
        return shape

    @abstractmethod
    def integers(self, array: NDArray) -> NDArray:
        """The integers of the constant, in its shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quant(Affine):
    """A QONNX ``Quant`` (or ``IntQuant``), or a ``BipolarQuant``.

    Integers are ``round(clip(x / scale + zero_point))`` in float32, or the sign of that (0 counts
    as positive) where they are signed and have one bit; results are
    ``(integers - zero_point) * scale``. Source: QONNX, docs/qonnx-custom-ops/quant_op.md and
    custom_op/general/quant.py.

    Parameters
    ----------
    scale : float32 that broadcasts to the constant, positive.
    zero_point : float32 whole numbers that broadcast to it.
    widest : largest bit width that is not refused.
    """

    zero_point: NDArray[np.float32]
    bit_width: int
    signed: bool
    narrow: bool
    rounding_mode: str
    widest: int = MAX_BIT_WIDTH

    def __post_init__(self) -> None:
        super().__post_init__()
        zero = self.zero_point
        largest = 1 << MAX_BIT_WIDTH
        if not (np.isfinite(zero).all() and (zero == np.round(zero)).all()):
            raise InputError("the zero point of a Quant node must be whole")
        if (np.abs(zero) > largest).any():
            raise InputError(f"the zero point of a Quant node must be within -+{largest}")
        if not 1 <= self.bit_width <= self.widest:
            raise InputError(
                f"the bit width of a Quant node is {self.bit_width}, it must be 1 to {self.widest}"
            )
        if self.rounding_mode not in ROUNDING:
            raise InputError(
                f"the rounding mode of a Quant node is '{self.rounding_mode}': "
                f"known are {', '.join(ROUNDING)}"
            )

    @property
    def limits(self) -> tuple[int, int]:
        """The lowest and the highest integer."""
        if self.signed:
            half = 1 << (self.bit_width - 1)
            return -half + self.narrow, half - 1
        return 0, (1 << self.bit_width) - 1 - self.narrow

    def dtype(self, dtype: str) -> str:
        """As :class:`Step`."""
        return "FLOAT"

    def integers(self, array: NDArray) -> NDArray:
        """int32 (int64 above 24 bits) of the constant's shape. NaN and infinite are refused."""
        if not np.isfinite(array).all():
            raise InputError("NaN and infinite values are refused")
        with np.errstate(over="ignore"):
            scaled = array.astype(np.float32) / self.scale + self.zero_point
        if self.signed and self.bit_width == 1:
            return np.where(scaled >= 0, 1, -1).astype(np.int32)
        if self.bit_width > MAX_BIT_WIDTH:
            # float32 does not hold the limits
            clipped = np.clip(scaled.astype(np.float64), *self.limits)
            return ROUNDING[self.rounding_mode](clipped).astype(np.int64)
        return ROUNDING[self.rounding_mode](np.clip(scaled, *self.limits)).astype(np.int32)

    def apply(self, array: NDArray) -> NDArray:
        """As :class:`Step`."""
        return (self.integers(array).astype(np.float32) - self.zero_point) * self.scale


def compact(array: NDArray) -> NDArray:
    """Axes along which nothing changes cut to length 1."""
    for axis in range(array.ndim):
        first = array.take([0], axis=axis)
        if (array == first).all():
            array = first
    return array
