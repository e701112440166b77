"""Readers of model files: safetensors, GGUF, ONNX, llama2.c and numpy; pickles are refused."""

from collections.abc import Callable
from pathlib import Path

from configs.errors import InputError

from .binary import read_head
from .gguf_file import GGUFFile
from .llama2c import Llama2cFile
from .npz_file import NpyFile, NpzFile
from .onnx_file import OnnxFile
from .safetensors_file import SafetensorsFile, SafetensorsFolder
from .source import QuantAnnotation, TensorInfo, TensorSource

__all__ = [
    "GGUFFile",
    "Llama2cFile",
    "NpyFile",
    "NpzFile",
    "OnnxFile",
    "QuantAnnotation",
    "SafetensorsFile",
    "SafetensorsFolder",
    "TensorInfo",
    "TensorSource",
    "open_tensors",
]

READERS: dict[str, Callable[[Path], TensorSource]] = {
    ".safetensors": SafetensorsFile,
    ".gguf": GGUFFile,
    ".onnx": OnnxFile,
    ".npz": NpzFile,
    ".npy": NpyFile,
    ".bin": Llama2cFile,
}
#: first bytes -> reader, for files with another suffix
MAGICS: dict[bytes, Callable[[Path], TensorSource]] = {b"GGUF": GGUFFile, b"\x93NUMPY": NpyFile}
PICKLE_SUFFIXES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill")
#: what PyTorch saves has one of these too
UNSURE_SUFFIXES = ("", ".bin")
ZIP = b"PK\x03\x04"


def open_tensors(path: str | Path) -> TensorSource:
    """Open a file of tensors, or a folder of ``*.safetensors``; no tensor is read yet.

    Parameters
    ----------
    path : a folder, or a ``.safetensors``, ``.gguf``, ``.onnx``, ``.npz``, ``.npy`` or llama2.c
        ``.bin`` file. Files with other suffixes are known by their first bytes.

    Raises
    ------
    InputError : the file cannot be read, is of another kind, not valid, or a pickle.
    """
    path = Path(path)
    if path.is_dir():
        return SafetensorsFolder(path)
    head, suffix = read_head(path), path.suffix.lower()
    if suffix in PICKLE_SUFFIXES or (suffix in UNSURE_SUFFIXES and _is_pickle(head)):
        raise InputError(
            f"{path} is a pickle, which can run code: convert it to safetensors where you trust it"
        )
    if suffix in READERS:
        return READERS[suffix](path)
    for magic, reader in MAGICS.items():
        if head.startswith(magic):
            return reader(path)
    *most, last = READERS
    raise InputError(
        f"cannot tell what {path} holds: tensors are read from {', '.join(most)} and {last} files"
    )


def _is_pickle(head: bytes) -> bool:
    """Whether a file may be one of PyTorch: an archive of pickles, or a pickle.

    Pickles of protocol 2 and later begin with 0x80 and their number, and go on with an operation;
    a llama2.c file of dim 640 begins with 0x80 0x02 0x00 0x00.
    """
    protocol = len(head) > 4 and head[0] == 0x80 and 2 <= head[1] <= 5
    return head[:4] == ZIP or (protocol and head[2:4] != b"\0\0")
