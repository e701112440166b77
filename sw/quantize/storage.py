"""A quantized model as a folder: one safetensors file per layer, and one manifest.

A layer's file holds, for every plane, ``codes`` and ``format_ids`` as dense bit streams
(:class:`sw.formats.packing.bits.DensePacking`; no ids where the family has one member), ``scales``
(float16) or ``scale_codes`` and ``channel_scales``, and ``zero_points`` where there are any. The
tensors of plane p > 0 are called ``p.codes`` and so on. Files are named after their contents and
the manifest is replaced last, in one step: whoever reads the folder sees the old model or the new.
"""

import fcntl
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from configs.errors import InputError
from configs.files import replace_file
from sw.formats import FormatFamily, get_family
from sw.formats.packing import Packing, get_packing

from .manifest import KIND, MANIFEST, VERSION, check_entry
from .matrix import QuantizedMatrix, scale_values

PROGRESS = "progress.jsonl"
LAYER_FILE = re.compile(r"layer-\d{5}-[0-9a-f]{16}\.safetensors")
#: float tensors that a transform changed, beside the quantized layers
FLOAT_FILE = re.compile(r"float-[0-9a-f]{16}\.safetensors")
#: folders that this process is writing, and their open locks
_CLAIMED: dict[Path, int] = {}


def levels_sha256(family: FormatFamily) -> str:
    """Fingerprint of what the codes of a family mean."""
    meaning = [str(family.unit), [list(member.levels) for member in family.members]]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def describe(
    layer: str, matrix: QuantizedMatrix, error: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Manifest entry of a layer, all but its file; ``error`` is :func:`layer_errors`.

    Raises
    ------
    InputError : a family that is not the registered one of its name.
    """
    planes = []
    for plane in matrix.planes:
        family = plane.family
        if get_family(family.name) != family:
            raise InputError(
                f"layer '{layer}': family '{family.name}' is not the registered one of that name, "
                "so a saved model could not be read back"
            )
        planes.append(
            {
                "format": family.name,
                "levels_sha256": levels_sha256(family),
                "group_size": plane.group_size,
                "group_rows": plane.group_rows,
                "scale_format": plane.scale_format,
                "zero_points": plane.zero_points is not None,
                "format_mix": plane.format_mix,
            }
        )
    return {
        "name": layer,
        "shape": list(matrix.shape),
        "bits_per_weight": matrix.bits_per_weight,
        "planes": planes,
        "error": None if error is None else dict(error),
    }


def layer_tensors(matrix: QuantizedMatrix) -> dict[str, NDArray]:
    """Tensors of a layer's file."""
    tensors: dict[str, NDArray] = {}
    for number, plane in enumerate(matrix.planes):
        prefix = f"{number}." if number else ""
        tensors[f"{prefix}codes"] = _pack(plane.codes, plane.family.bits)
        if plane.family.id_bits:
            tensors[f"{prefix}format_ids"] = _pack(plane.format_ids, plane.family.id_bits)
        if plane.scale_codes is None or plane.channel_scales is None:
            tensors[f"{prefix}scales"] = np.ascontiguousarray(plane.scales.astype(np.float16))
        else:
            tensors[f"{prefix}scale_codes"] = np.ascontiguousarray(plane.scale_codes)
            tensors[f"{prefix}channel_scales"] = np.ascontiguousarray(plane.channel_scales)
        if plane.zero_points is not None:
            tensors[f"{prefix}zero_points"] = np.ascontiguousarray(plane.zero_points)
    return tensors


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, allow_nan=False) + "\n"


def _pack(codes: NDArray[np.unsignedinteger], bits: int) -> NDArray[np.uint8]:
    if bits > 8:
        return codes.astype("<u2").reshape(-1).view(np.uint8)
    return _packing(bits).pack(codes)


def _unpack(data: bytes, bits: int, shape: tuple[int, ...]) -> NDArray[np.unsignedinteger]:
    if bits > 8:
        if len(data) != 2 * math.prod(shape):
            raise InputError(f"{len(data)} bytes are not the codes of a matrix {shape}")
        return np.frombuffer(data, dtype="<u2").reshape(shape).astype(np.uint16)
    return _packing(bits).unpack(data, shape)


def _packing(bits: int) -> Packing:
    return get_packing(f"dense{bits}")


def read_layer(entry: Mapping[str, Any], data: bytes) -> QuantizedMatrix:
    """The layer of a manifest entry from the bytes of its file.

    Raises
    ------
    InputError : contents that contradict the entry, or a number format that changed since.
    """
    layer, shape = entry["name"], tuple(entry["shape"])
    try:
        tensors = parse_tensors(data)
    except SafetensorError as error:
        raise InputError(f"{entry['file']} is not a safetensors file ({error})") from error
    try:
        matrix: QuantizedMatrix | None = None
        for number, plane in reversed(list(enumerate(entry["planes"]))):
            prefix = f"{number}." if number else ""
            parts = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            matrix = _read_plane(plane, shape, parts, matrix)
    except InputError as error:
        raise InputError(f"layer '{layer}': {error}") from error
    except KeyError as error:
        raise InputError(f"layer '{layer}': its file or {MANIFEST} lacks {error}") from error
    except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"layer '{layer}': {MANIFEST} has an ill-typed field ({error})") from error
    if matrix is None:
        raise InputError(f"layer '{layer}' has no planes")
    return matrix


def _read_plane(
    plane: Mapping[str, Any],
    shape: tuple[int, ...],
    tensors: Mapping[str, NDArray],
    residual: QuantizedMatrix | None,
) -> QuantizedMatrix:
    family = get_family(str(plane["format"]))
    if plane["levels_sha256"] != levels_sha256(family):
        raise InputError(
            f"the table of '{family.name}' has changed since the model was saved, quantize it again"
        )
    # the stored bytes bear the shape out before anything of that shape is made
    codes = _unpack(tensors["codes"].tobytes(), family.bits, shape)
    rows, columns = codes.shape
    groups = -(-columns // plane["group_size"])
    ids = np.zeros((rows, groups), dtype=np.uint8)
    if family.id_bits:
        ids = _packing(family.id_bits).unpack(tensors["format_ids"].tobytes(), (rows, groups))
    parts: dict[str, Any] = {"scale_format": plane["scale_format"]}
    if plane["scale_format"] == "float16":
        parts["scales"] = tensors["scales"].astype(np.float32)
    else:
        stored, factors = tensors["scale_codes"], tensors["channel_scales"]
        parts["scales"] = scale_values(plane["scale_format"], stored) * factors[:, None]
        parts |= {"scale_codes": stored, "channel_scales": factors}
    return QuantizedMatrix(
        family=family,
        group_size=plane["group_size"],
        group_rows=plane["group_rows"],
        codes=codes,
        format_ids=ids,
        zero_points=tensors["zero_points"] if plane["zero_points"] else None,
        residual=residual,
        **parts,
    )


class StoredLayers(Mapping[str, QuantizedMatrix]):
    """Layers of a saved model by name; each is read when asked for and not kept."""

    def __init__(self, folder: Path, entries: list[dict[str, Any]]) -> None:
        self._folder = folder
        self._entries = {entry["name"]: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise InputError(f"{MANIFEST} lists a layer twice")

    def __getitem__(self, name: str) -> QuantizedMatrix:
        entry = self._entries[name]
        try:
            return read_layer(entry, checked_bytes(self._folder, entry, LAYER_FILE))
        except OSError as error:
            reason = f"cannot read {entry['file']} ({error.strerror})"
            raise InputError(f"quantized model in {self._folder}: {reason}") from error
        except InputError as error:
            raise InputError(f"quantized model in {self._folder}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What the manifest says of every layer."""
        return list(self._entries.values())


def checked_bytes(folder: Path, entry: Mapping[str, Any], names: re.Pattern[str]) -> bytes:
    """A file of the folder, if its name and hash are those of its manifest entry."""
    file = entry["file"]
    if not names.fullmatch(file):
        raise InputError(f"{MANIFEST} names '{file}', which is not a file of a quantized model")
    data = (folder / file).read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise InputError(f"{file} is damaged, its SHA-256 differs from the manifest's")
    return data


class ModelWriter:
    """Writes a quantized model layer by layer; an interrupted writer's layers are found again.

    Parameters
    ----------
    folder : made if it is not there; a model in it stays whole until :meth:`finish`.
    header : what the manifest says besides its layers.
    resume : take up the layers that an earlier writer with the same header left behind.

    Raises
    ------
    InputError : the folder cannot be written, or another process is writing it.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], *, resume: bool = True) -> None:
        self.folder, self.header = folder, dict(header)
        self._progress = folder / PROGRESS
        self._entries: dict[str, dict[str, Any]] = {}
        with _reported(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._claim()
            for leftover in folder.glob(".layer-*"):
                leftover.unlink()
            kept = self._earlier_layers() if resume else {}
            lines = [self.header, *kept.values()]
            text = "".join(_line(line) for line in lines)
            replace_file(self._progress, text.encode())
        self._entries = kept

    def _claim(self) -> None:
        """Keep other processes out until the model is finished or this process ends."""
        place = self.folder.resolve()
        if place in _CLAIMED:
            return
        lock = os.open(place, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise InputError(
                f"another process is writing the quantized model in {self.folder}"
            ) from None
        _CLAIMED[place] = lock

    def _earlier_layers(self) -> dict[str, dict[str, Any]]:
        """Layers of an interrupted writer with the same header whose files are undamaged."""
        try:
            lines = self._progress.read_text().splitlines()
            if json.loads(lines[0]) != json.loads(json.dumps(self.header)):
                return {}
        except (OSError, ValueError, IndexError):
            return {}
        kept = {}
        for line in lines[1:]:
            try:
                entry = json.loads(line)
                check_entry(entry)
                read_layer(entry, checked_bytes(self.folder, entry, LAYER_FILE))
                kept[entry["name"]] = entry
            except (OSError, ValueError, RecursionError, InputError):
                continue
        return kept

    @property
    def done(self) -> StoredLayers:
        """The layers that are written."""
        return StoredLayers(self.folder, list(self._entries.values()))

    def add(
        self, layer: str, matrix: QuantizedMatrix, error: Mapping[str, float] | None = None
    ) -> None:
        """Write one layer, and how far it is from the float weights if that is known.

        Raises
        ------
        InputError : an unregistered family, or a full or read-only disk.
        """
        entry = describe(layer, matrix, error)
        data = pack_tensors(layer_tensors(matrix))
        digest = hashlib.sha256(data).hexdigest()
        number = len(self._entries)
        entry |= {"file": f"layer-{number:05d}-{digest[:16]}.safetensors", "sha256": digest}
        with _reported(self.folder):
            replace_file(self.folder / entry["file"], data)
            with self._progress.open("a") as file:
                file.write(_line(entry))
        self._entries[layer] = entry

    def finish(
        self, order: list[str], float_tensors: Mapping[str, NDArray] | None = None
    ) -> dict[str, Any]:
        """Write the manifest with the layers in ``order`` and drop files of an older model.

        Parameters
        ----------
        float_tensors : tensors outside the layers that transforms changed, to be kept beside them.
        """
        manifest = {"kind": KIND, "version": VERSION, **self.header}
        manifest["layers"] = [self._entries[name] for name in order]
        manifest["float_tensors"] = None
        with _reported(self.folder):
            if float_tensors is not None:
                data = pack_tensors({n: np.ascontiguousarray(t) for n, t in float_tensors.items()})
                digest = hashlib.sha256(data).hexdigest()
                file = f"float-{digest[:16]}.safetensors"
                manifest["float_tensors"] = {"file": file, "sha256": digest}
                replace_file(self.folder / file, data)
            text = json.dumps(manifest, indent=2, allow_nan=False) + "\n"
            replace_file(self.folder / MANIFEST, text.encode())
            self._progress.unlink(missing_ok=True)
            self._drop_stale(manifest)
        lock = _CLAIMED.pop(self.folder.resolve(), None)
        if lock is not None:
            os.close(lock)
        return manifest

    def _drop_stale(self, manifest: Mapping[str, Any]) -> None:
        used = {entry["file"] for entry in manifest["layers"]}
        if manifest["float_tensors"]:
            used.add(manifest["float_tensors"]["file"])
        for path in self.folder.glob("*.safetensors"):
            ours = LAYER_FILE.fullmatch(path.name) or FLOAT_FILE.fullmatch(path.name)
            if ours and path.name not in used:
                path.unlink()


class _reported:
    """Turns an OSError into one sentence about the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError):
            raise InputError(
                f"cannot save the quantized model in {self._folder}: {error}"
            ) from error
