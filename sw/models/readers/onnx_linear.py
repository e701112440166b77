"""QuantizeLinear, DequantizeLinear and Clip of ONNX, applied to constants."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .onnx_steps import Affine, Step

#: ONNX type -> its smallest and largest value
INTEGER_TYPES = {
    f"{'' if signed else 'U'}INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1)
    if signed
    else (0, (1 << bits) - 1)
    for bits in (2, 4, 8, 16, 32)
    for signed in (True, False)
}


@dataclass(frozen=True)
class Clip(Step):
    """Values limited to ``low`` and ``high``; integers stay integers."""

    low: float
    high: float

    def apply(self, array: NDArray) -> NDArray:
        """As :class:`Step`; where the limits cross, the upper one wins, as ONNX has it."""
        return np.minimum(np.maximum(array, self.low), self.high).astype(array.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizeLinear(Affine):
    """``saturate(round(x / scale) + zero_point)`` in integers of type ``name``, half to even.

    The division is one of float32. Source: ONNX, operator QuantizeLinear.
    """

    name: str

    def dtype(self, dtype: str) -> str:
        """As :class:`Step`."""
        return self.name

    def integers(self, array: NDArray) -> NDArray[np.int64]:
        """int64 of the constant's shape. NaN and infinite values are refused."""
        if not np.isfinite(array).all():
            raise InputError("NaN and infinite values are refused")
        with np.errstate(over="ignore"):
            scaled = array.astype(np.float32) / self.scale
        whole = np.rint(scaled).astype(np.float64) + self.zero_point
        return np.clip(whole, *INTEGER_TYPES[self.name]).astype(np.int64)

    def apply(self, array: NDArray) -> NDArray:
        """The integers, not what they stand for."""
        return self.integers(array)


@dataclass(frozen=True, kw_only=True, eq=False)
class DequantizeLinear(Affine):
    """``(integers - zero_point) * scale``. Source: ONNX, operator DequantizeLinear."""

    def dtype(self, dtype: str) -> str:
        """As :class:`Step`."""
        return "FLOAT"

    def integers(self, array: NDArray) -> NDArray:
        """The constant itself, which must hold integers."""
        if array.dtype.kind not in "iu":
            raise InputError(f"its DequantizeLinear node takes {array.dtype} values, not integers")
        return array

    def apply(self, array: NDArray) -> NDArray:
        """float32."""
        return (self.integers(array).astype(np.int64) - self.zero_point).astype(
            np.float32
        ) * self.scale


def along(values: NDArray, axis: int, block: int, shape: tuple[int, ...] | None) -> NDArray:
    """Scales or zero points so that they broadcast to a tensor of ``shape``.

    Parameters
    ----------
    axis, block : attributes of the node; one value for each index along ``axis``, or for each
        ``block`` of them.
    shape : of the tensor; ``None`` if it is not known, then only single values are taken.

    Raises
    ------
    InputError : there are too few values or too many.
    """
    if values.size == 1:
        return values.reshape(())
    if shape is None:
        raise InputError(f"{values.size} scales or zero points for a tensor of unknown shape")
    if not -len(shape) <= axis < len(shape) or block < 0:
        raise InputError(f"a tensor of shape {shape} has no axis {axis} or no blocks of {block}")
    axis %= len(shape)
    if not block:
        if values.shape != (shape[axis],):
            raise InputError(
                f"scales or zero points of shape {values.shape} do not fit axis {axis} of {shape}"
            )
        return values.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    wanted = tuple(-(-n // block) if i == axis else n for i, n in enumerate(shape))
    if values.shape != wanted:
        raise InputError(
            f"scales or zero points of shape {values.shape} are not one for each block of {block} "
            f"along axis {axis} of {shape}"
        )
    places = np.arange(shape[axis]) // block
    return values.take(places, axis=axis)
