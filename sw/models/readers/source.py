"""Tensors in files: what is there, and each one when it is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

Transform = Callable[[NDArray], NDArray]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One tensor of a file: its shape, and its type as the file names it."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantAnnotation:
    """How a file says that one matrix (N, K) is quantized: ``(integers - zero_point) * scale``.

    Attributes
    ----------
    integers : int32 (N, K).
    scale : float32 that broadcasts to (N, K): (1, 1), (N, 1), (1, K) or (N, K), positive.
    zero_point : int32, of one of the same shapes.
    bit_width : 1 to 24; 1 and signed stands for the two values -1 and 1.
    signed, narrow : integers are -2**(b-1)..2**(b-1)-1, or 0..2**b-1 if not signed; narrow takes
        away the lowest (signed) or the highest of them.
    rounding_mode : how the file's floats became integers, such as ``"ROUND"`` (half to even).
    """

    integers: NDArray[np.int32]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int32]
    bit_width: int
    signed: bool
    narrow: bool
    rounding_mode: str

    def dequantize(self) -> NDArray[np.float32]:
        """The values that the integers stand for, float32 (N, K)."""
        return (self.integers - self.zero_point).astype(np.float32) * self.scale


class TensorSource(Mapping[str, NDArray[np.floating]], ABC):
    """Tensors by name, float16 or float32, finite; each is read when asked for and not kept.

    Attributes
    ----------
    path : the file or folder.
    infos : what is there, in the order of the file; known without reading any tensor.
    metadata : what else the file says (GGUF key-value pairs, a header); empty for most.
    float_types : the types, as the file names them, that can be read; asking for a tensor of
        another type is an error.
    """

    path: Path
    infos: Mapping[str, TensorInfo]
    metadata: Mapping[str, object]
    float_types: tuple[str, ...]

    @abstractmethod
    def read(self, name: str) -> NDArray:
        """Tensor ``name``, one of ``infos``, as stored or widened exactly to float32."""

    def quantization(self, name: str) -> QuantAnnotation | None:
        """What the file says about how ``name`` is quantized, or None."""
        return None

    def is_float(self, name: str) -> bool:
        """Whether tensor ``name`` can be read."""
        return self.infos[name].dtype in self.float_types

    def check_type(self, name: str) -> None:
        """Refuse a tensor that cannot be read.

        Raises
        ------
        InputError : its type is not one of ``float_types``.
        """
        if not self.is_float(name):
            *most, last = self.float_types
            raise InputError(
                f"{self.path}: tensor '{name}' has type {self.infos[name].dtype}: "
                f"supported are {', '.join(most)} and {last}"
            )

    def __getitem__(self, name: str) -> NDArray[np.floating]:
        if name not in self.infos:
            raise KeyError(name)
        self.check_type(name)
        try:
            array = self.read(name)
            finite = np.isfinite(array)
        except MemoryError as error:
            raise InputError(
                f"{self.path}: tensor '{name}' of shape {self.infos[name].shape} "
                "does not fit in memory"
            ) from error
        if not finite.all():
            place = tuple(np.argwhere(~finite)[0].tolist())
            raise InputError(
                f"{self.path}: tensor '{name}' holds {array[place]} at {place}: "
                "NaN and infinite values are refused"
            )
        return array

    def __contains__(self, name: object) -> bool:
        return name in self.infos

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)


class RenamedTensors(TensorSource):
    """Some tensors of another source, in another order and by other names.

    Parameters
    ----------
    base : where the tensors are.
    names : new name -> name in ``base``; others are left out.
    transforms : new name -> function of the tensor that keeps its shape.
    """

    def __init__(
        self,
        base: TensorSource,
        names: Mapping[str, str],
        transforms: Mapping[str, Transform] | None = None,
    ) -> None:
        self.path = base.path
        self.metadata = base.metadata
        self.float_types = base.float_types
        self.infos = {new: base.infos[old] for new, old in names.items()}
        self._base, self._names, self._transforms = base, dict(names), dict(transforms or {})

    def read(self, name: str) -> NDArray:
        """As ``base``, then transformed."""
        array = self._base.read(self._names[name])
        return self._transforms[name](array) if name in self._transforms else array


def split_halves(heads: int) -> Transform:
    """Rows of a query or key matrix from interleaved rotary pairs to split halves.

    GGUF and llama2.c keep the two rows of a rotary pair next to each other, Hugging Face puts all
    first rows of a head before all second ones; :func:`sw.models.llama.rotate` wants the latter.

    Parameters
    ----------
    heads : heads in the matrix (rows, K); each has rows / heads rows, an even number.
    """

    def transform(array: NDArray) -> NDArray:
        pairs = array.reshape(heads, -1, 2, array.shape[1])
        return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(array.shape)

    return transform
