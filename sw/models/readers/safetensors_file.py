"""safetensors: one file, or the shards of a Hugging Face model folder.

The safetensors library checks the header (offsets without gaps or overlaps, sizes that fit types
and shapes). The data are then read by byte range, because the library maps the whole file, and
pages of a mapping stay in memory.
"""

import json
from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from configs.errors import InputError

from .binary import FLOATS, file_size, read_array, read_bytes, read_floats, read_json
from .source import TensorInfo, TensorSource

#: bytes; a header names about 100 tensors in 10 KB
HEADER_LIMIT = 8 << 20
#: type of integers -> numpy type, little-endian
INTEGERS = {f"{sign}{8 * size}": f"<{sign.lower()}{size}" for sign in "IU" for size in (1, 2, 4, 8)}
INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class SafetensorsFile(TensorSource):
    """The tensors of one ``.safetensors`` file.

    Raises
    ------
    InputError : the file cannot be read or is not valid.
    """

    float_types = FLOATS

    def __init__(self, path: Path) -> None:
        self.path = path
        size = file_size(path)
        length = int.from_bytes(read_bytes(path, 0, min(8, size)), "little")
        if size < 8 or length > size - 8:
            raise InputError(
                f"{path} is not a safetensors file: its header would have {length} bytes, "
                f"the file has {size}"
            )
        if length > HEADER_LIMIT:
            raise InputError(
                f"{path}: its header has {length} bytes, up to {HEADER_LIMIT} are read"
            )
        try:
            with safe_open(str(path), framework="numpy"):
                pass
            header = json.loads(read_bytes(path, 8, length), object_pairs_hook=_unique)
        except InputError as error:
            raise InputError(f"{path} is not a safetensors file: {error}") from error
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is not a safetensors file: {error}") from error
        self.metadata = header.pop("__metadata__", None) or {}
        self.infos = {
            name: TensorInfo(shape=tuple(entry["shape"]), dtype=entry["dtype"])
            for name, entry in header.items()
        }
        self._offsets = {n: 8 + length + entry["data_offsets"][0] for n, entry in header.items()}

    def read(self, name: str) -> NDArray:
        """float32, float16 and integers as stored, bfloat16 and float8 widened to float32."""
        info = self.infos[name]
        if info.dtype in INTEGERS:
            array = read_array(
                self.path, INTEGERS[info.dtype], self._offsets[name], prod(info.shape)
            )
            return array.reshape(info.shape)
        return read_floats(self.path, info.dtype, self._offsets[name], info.shape)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, refused if a key is there twice: parsers disagree about which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InputError(f"'{twice}' is in the header twice")
    return found


class SafetensorsFolder(TensorSource):
    """All tensors of a folder's ``*.safetensors``, or of those that its index lists.

    The index ``model.safetensors.index.json`` may name plain files of the folder only, and each
    tensor must be in the file that it says.

    Raises
    ------
    InputError : no such files, one that is not valid, a wrong index, or a tensor in two files.
    """

    float_types = FLOATS

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.metadata = {}
        self.infos: dict[str, TensorInfo] = {}
        self._files: dict[str, SafetensorsFile] = {}
        placed = _read_index(folder) if (folder / INDEX).exists() else None
        paths: Iterable[Path] = sorted(folder.glob("*.safetensors"))
        if placed is not None:
            paths = [folder / name for name in sorted(set(placed.values()))]
        elif not paths:
            raise InputError(f"model folder {folder} holds no *.safetensors file{_hint(folder)}")
        for path in paths:
            file = SafetensorsFile(path)
            for name, info in file.infos.items():
                if name in self.infos:
                    raise InputError(f"{path}: tensor '{name}' is already in another file")
                self.infos[name] = info
                self._files[name] = file
        for name, place in (placed or {}).items():
            if name not in self._files or self._files[name].path.name != place:
                raise InputError(f"{folder / INDEX}: tensor '{name}' is not in '{place}'")

    def read(self, name: str) -> NDArray:
        """As the file that holds ``name``."""
        return self._files[name].read(name)


def _read_index(folder: Path) -> dict[str, str]:
    """Tensor name -> file name, both strings, the latter without folders."""
    path = folder / INDEX
    index = read_json(path)
    placed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise InputError(f"{path}: field 'weight_map' must be an object: tensor name to file name")
    for name, file in placed.items():
        plain = isinstance(file, str) and file.endswith(".safetensors") and "\0" not in file
        if not plain or "\\" in file or Path(file).name != file:
            raise InputError(
                f"{path}: tensor '{name}' is said to be in {file!r}: "
                "it must be a *.safetensors file of the same folder"
            )
    return placed


def _hint(folder: Path) -> str:
    """What else there is, where that is the likely mistake."""
    found = [path.name for pattern in PICKLES for path in sorted(folder.glob(pattern))]
    return f", only '{found[0]}': convert it to safetensors" if found else ""
