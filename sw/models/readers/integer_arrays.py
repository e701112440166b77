"""Layers of final integers from arrays: numpy and safetensors files."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.accumulators.integers import IntegerLayer

from .integer_source import IntegerSource, ReadLayer
from .source import TensorSource

#: integers as numpy and as safetensors name them
NUMPY_TYPES = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
SAFETENSORS_TYPES = tuple(f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64))
WEIGHT = ".weight"
#: what may go with a layer, behind its name
BIAS = (".bias", "_bias")
RANGE, ZERO_POINT = ".input_range", ".input_zero_point"
COMPANIONS = (*BIAS, RANGE, ZERO_POINT)
#: several codes to an element
PACKED = ("qweight", "qzeros", "weight_packed")


class ArrayLayers(IntegerSource):
    """The integer matrices of a file of tensors.

    Every array of integers with two axes (N, K), or four (N, C, y, x) of a convolution, is a layer.
    With it go, by the layer's name (without ``.weight`` at its end):

    ``name.bias`` or ``name_bias``
        (N,) integers in units of one product;
    ``name.input_range``
        smallest and largest input code;
    ``name.input_zero_point``
        code that stands for 0.

    A float bias is left out with a note.

    Raises
    ------
    InputError : while reading: a companion that does not fit or has no layer, packed codes, or no
        layer at all.
    """

    def __init__(self, tensors: TensorSource) -> None:
        super().__init__(tensors.path)
        self._tensors = tensors
        self._check()

    def _check(self) -> None:
        names = set(self._tensors.infos)
        for name in names:
            if name.rsplit(".", 1)[-1] in PACKED or f"{name}.absmax" in names:
                raise InputError(
                    f"{self.path}: tensor '{name}' holds packed codes: unpack it to one integer "
                    "an element"
                )
        stems = {_stem(name) for name in names if self._is_layer(name)}
        for name in names:
            suffix = _companion(name)
            if suffix in (RANGE, ZERO_POINT) and name.removesuffix(suffix) not in stems:
                raise InputError(
                    f"{self.path}: '{name}' goes with no layer: there is no matrix of integers "
                    f"'{name.removesuffix(suffix)}'"
                )

    def read(self) -> Iterator[ReadLayer]:
        """As :class:`IntegerSource`."""
        for name, info in self._tensors.infos.items():
            if self._is_layer(name):
                yield self._layer(name)
            elif len(info.shape) > 1:
                kind = "is not a matrix" if self._is_integer(name) else "does not hold integers"
                self.left_out[name] = f"it {kind}: shape {info.shape}, type {info.dtype}"

    def _is_integer(self, name: str) -> bool:
        return self._tensors.infos[name].dtype in (*NUMPY_TYPES, *SAFETENSORS_TYPES)

    def _is_layer(self, name: str) -> bool:
        matrix = len(self._tensors.infos[name].shape) in (2, 4)
        return self._is_integer(name) and matrix and not _companion(name)

    def _layer(self, name: str) -> ReadLayer:
        stem, notes = _stem(name), list[str]()
        weights = self._array(name)
        if not weights.size:
            raise InputError(f"{self.path}: tensor '{name}' of shape {weights.shape} is empty")
        given = [stem + suffix for suffix in BIAS if stem + suffix in self._tensors.infos]
        if len(given) > 1:
            raise InputError(f"{self.path}: '{given[0]}' and '{given[1]}' are both given")
        if given and not self._is_integer(given[0]):
            kind = self._tensors.infos[given[0]].dtype
            notes.append(f"its bias is left out: it has type {kind}, not integers")
            given = []
        limits, zero = self._numbers(stem + RANGE, 2), self._numbers(stem + ZERO_POINT, 1)
        try:
            layer = IntegerLayer(
                name=stem or name,
                weights=weights.reshape(len(weights), -1),
                bias=self._array(given[0]) if given else None,
                input_range=(limits[0], limits[1]) if limits else None,
                input_zero_point=zero[0] if zero else 0,
            )
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None
        return ReadLayer(layer=layer, notes=tuple(notes))

    def _numbers(self, name: str, count: int) -> list[int]:
        """A companion of ``count`` integers; none if it is not there."""
        info = self._tensors.infos.get(name)
        if info is None:
            return []
        if not self._is_integer(name) or int(np.prod(info.shape)) != count:
            raise InputError(
                f"{self.path}: '{name}' has shape {info.shape} and type {info.dtype}, it must hold "
                f"{count} integer{'s' * (count > 1)}"
            )
        return [int(value) for value in self._array(name).ravel()]

    def _array(self, name: str) -> NDArray:
        try:
            return self._tensors.read(name)
        except MemoryError as error:
            raise InputError(
                f"{self.path}: tensor '{name}' of shape {self._tensors.infos[name].shape} "
                "does not fit in memory"
            ) from error


def _stem(name: str) -> str:
    return name.removesuffix(WEIGHT)


def _companion(name: str) -> str:
    """The suffix of a companion; empty for other names."""
    return next((suffix for suffix in COMPANIONS if name.endswith(suffix)), "")
