"""Layers of final integers from files: what accumulator bounds are computed from."""

from collections.abc import Iterator
from pathlib import Path

from configs.errors import InputError
from sw.accumulators.integers import IntegerLayer

from . import open_tensors
from .gguf_file import GGUFFile
from .integer_arrays import ArrayLayers
from .integer_source import IntegerSource, ReadLayer
from .llama2c import Llama2cFile
from .onnx_layers import OnnxLayers

__all__ = ["IntegerSource", "ReadLayer", "integer_layers", "open_integer_layers"]


def open_integer_layers(path: str | Path) -> IntegerSource:
    """Open a file of final integers; no weight is read yet.

    Parameters
    ----------
    path : a ``.npy``, ``.npz``, ``.safetensors`` or ``.onnx`` file, or a folder of
        ``*.safetensors``. Rules: :class:`~sw.models.readers.integer_arrays.ArrayLayers` and
        :class:`~sw.models.readers.onnx_layers.OnnxLayers`.

    Raises
    ------
    InputError : the file cannot be read, is of another kind or not valid.
    """
    path = Path(path)
    if path.suffix.lower() == ".onnx" and not path.is_dir():
        return OnnxLayers(path)
    tensors = open_tensors(path)
    if isinstance(tensors, GGUFFile | Llama2cFile):
        raise InputError(
            f"{path} holds no layers of integers: they are read from .npy, .npz, .safetensors and "
            ".onnx files"
        )
    return ArrayLayers(tensors)


def integer_layers(path: str | Path) -> Iterator[IntegerLayer]:
    """The layers of :func:`open_integer_layers`, one at a time, without notes.

    Raises
    ------
    InputError : as there; while reading, a layer that makes no sense, or none at all.
    """
    return (found.layer for found in open_integer_layers(path))
