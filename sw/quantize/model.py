"""A quantized model: one quantized matrix per linear layer, saved and loaded as a folder."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as pack_tensors

from configs.errors import InputError
from sw.formats import FormatFamily, get_family

from .matrix import QuantizedMatrix
from .quantizer import check_activation_bits, quantize_matrix

MANIFEST = "manifest.json"
KIND = "bitsmith quantized model"
VERSION = 1
WEIGHTS_NAME = re.compile(r"weights-[0-9a-f]{16}\.safetensors")

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` after every unit of work."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedModel:
    """Quantized linear layers of one model.

    Parameters
    ----------
    name : the model's name.
    layers : layer name -> quantized weights, in model order; at least one.
    activation_bits : width of the dynamic per-token activation codes, or None for activations
        that stay floating point.

    Raises
    ------
    InputError : no layers, or activation bits that are not None or 2..16.
    """

    name: str
    layers: dict[str, QuantizedMatrix]
    activation_bits: int | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"quantized model '{self.name}' has no layers")
        if self.activation_bits is not None:
            check_activation_bits(self.activation_bits)

    @property
    def weights(self) -> int:
        """Number of quantized weights."""
        return sum(matrix.codes.size for matrix in self.layers.values())

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per quantized weight, scales and format ids included."""
        stored = sum(matrix.bits_per_weight * matrix.codes.size for matrix in self.layers.values())
        return stored / self.weights

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write one safetensors file and ``manifest.json`` into ``folder``.

        The tensors' file is named after its contents and the manifest is replaced last, in one
        step: whoever reads the folder sees the old model or the new one. Equal models give equal
        bytes.

        Raises
        ------
        InputError : a layer's family is not one of the registered ones, or ``folder`` cannot be
            written.
        """
        for layer, matrix in self.layers.items():
            if get_family(matrix.family.name) != matrix.family:
                raise InputError(
                    f"layer '{layer}': family '{matrix.family.name}' is not the registered one of "
                    "that name, so a saved model could not be read back"
                )
        data = pack_tensors(_tensors(self.layers))
        digest = hashlib.sha256(data).hexdigest()
        manifest = {
            "kind": KIND,
            "version": VERSION,
            "name": self.name,
            "activation_bits": self.activation_bits,
            "weights_file": f"weights-{digest[:16]}.safetensors",
            "weights_sha256": digest,
            "layers": [_describe(layer, matrix) for layer, matrix in self.layers.items()],
        }
        target = Path(folder)
        try:
            _commit(target, manifest, data)
        except OSError as error:
            raise InputError(f"cannot save the quantized model in {target}: {error}") from error

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "QuantizedModel":
        """Read a folder that :meth:`save` wrote.

        Raises
        ------
        InputError : missing, corrupted or contradictory files, or number formats whose tables
            have changed since.
        """
        source = Path(folder)
        try:
            manifest = _read_manifest(source / MANIFEST)
            tensors = _read_tensors(source, manifest)
            names = [entry["name"] for entry in manifest["layers"]]
            if len(set(names)) < len(names):
                raise InputError(f"{MANIFEST} lists a layer twice")
            return cls(
                name=manifest["name"],
                layers={entry["name"]: _matrix(entry, tensors) for entry in manifest["layers"]},
                activation_bits=manifest["activation_bits"],
            )
        except OSError as error:
            reason = f"cannot read {Path(str(error.filename)).name} ({error.strerror})"
            raise InputError(f"quantized model in {source}: {reason}") from error
        except InputError as error:
            raise InputError(f"quantized model in {source}: {error}") from error
        except KeyError as error:
            raise InputError(
                f"quantized model in {source}: {MANIFEST} or its tensors lack {error}"
            ) from error
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"quantized model in {source}: {MANIFEST} has an ill-typed field ({error})"
            ) from error


def _levels_sha256(family: FormatFamily) -> str:
    """Fingerprint of what the codes of a family mean."""
    meaning = [str(family.unit), [list(member.levels) for member in family.members]]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def _describe(layer: str, matrix: QuantizedMatrix) -> dict[str, object]:
    return {
        "name": layer,
        "format": matrix.family.name,
        "levels_sha256": _levels_sha256(matrix.family),
        "group_size": matrix.group_size,
        "scale_format": matrix.scale_format,
        "shape": list(matrix.shape),
    }


def _tensors(layers: Mapping[str, QuantizedMatrix]) -> dict[str, NDArray]:
    """Tensors to store: codes and format ids, and float16 scales or both second-level parts."""
    tensors: dict[str, NDArray] = {}
    for layer, matrix in layers.items():
        tensors[f"{layer}.codes"] = np.ascontiguousarray(matrix.codes)
        tensors[f"{layer}.format_ids"] = np.ascontiguousarray(matrix.format_ids)
        if matrix.scale_codes is None or matrix.channel_scales is None:
            tensors[f"{layer}.scales"] = np.ascontiguousarray(matrix.scales.astype(np.float16))
        else:
            tensors[f"{layer}.scale_codes"] = np.ascontiguousarray(matrix.scale_codes)
            tensors[f"{layer}.channel_scales"] = np.ascontiguousarray(matrix.channel_scales)
    return tensors


def _matrix(entry: Mapping, tensors: Mapping[str, NDArray]) -> QuantizedMatrix:
    layer, family = entry["name"], get_family(str(entry["format"]))
    if entry["levels_sha256"] != _levels_sha256(family):
        raise InputError(
            f"layer '{layer}': the table of '{family.name}' has changed since the model was saved, "
            "quantize it again"
        )
    second_level = entry["scale_format"] == "uint8"
    stored = ("scale_codes", "channel_scales") if second_level else ("scales",)
    parts = {part: tensors[f"{layer}.{part}"] for part in ("codes", "format_ids", *stored)}
    if second_level:
        parts["scales"] = parts["scale_codes"] * parts["channel_scales"][:, None]
    else:
        parts["scales"] = parts["scales"].astype(np.float32)
    try:
        matrix = QuantizedMatrix(family=family, group_size=entry["group_size"], **parts)
    except InputError as error:
        raise InputError(f"layer '{layer}': {error}") from error
    if [list(matrix.shape), matrix.scale_format] != [entry["shape"], entry["scale_format"]]:
        raise InputError(
            f"layer '{layer}' is {matrix.shape} with {matrix.scale_format} scales, "
            f"its manifest says {tuple(entry['shape'])} with {entry['scale_format']}"
        )
    return matrix


def _commit(folder: Path, manifest: Mapping, data: bytes) -> None:
    """Write the tensors, then the manifest, then drop the tensors of an older manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / manifest["weights_file"]
    is_new = not tensors.exists()
    try:
        _replace(tensors, data)
        _replace(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    except BaseException:
        if is_new:
            tensors.unlink(missing_ok=True)
        raise
    for stale in folder.glob("weights-*.safetensors"):
        if WEIGHTS_NAME.fullmatch(stale.name) and stale != tensors:
            stale.unlink()


def _replace(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path``, then rename, so that no half-written file is ever seen."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_manifest(path: Path) -> dict:
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{MANIFEST} is damaged, not valid JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND:
        raise InputError(f"{MANIFEST} is not the manifest of a quantized model")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"{MANIFEST} has version {manifest.get('version')!r}, this reader knows {VERSION}"
        )
    return manifest


def _read_tensors(folder: Path, manifest: Mapping) -> dict[str, NDArray]:
    file = manifest["weights_file"]
    if not WEIGHTS_NAME.fullmatch(file):
        raise InputError(f"{MANIFEST} names '{file}', which is not a weights file")
    data = (folder / file).read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["weights_sha256"]:
        raise InputError(f"{file} is damaged, its SHA-256 differs from the manifest's")
    try:
        return parse_tensors(data)
    except SafetensorError as error:
        raise InputError(f"{file} is not a safetensors file ({error})") from error


def quantize_model(
    model_weights: Mapping[str, NDArray],
    *,
    format_name: str,
    group_size: int,
    scale_format: str = "float16",
    activation_bits: int | None = None,
    name: str = "model",
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantize every matrix of ``model_weights`` to one family of formats.

    Parameters
    ----------
    model_weights : layer name -> floating-point weights (N, K), in model order.
    format_name : a family or single format of :mod:`sw.formats`.
    group_size, scale_format : as in :func:`sw.quantize.quantize_matrix`.
    activation_bits, name : stored in the result.
    progress : called with (layers done, layers) after each layer.

    Raises
    ------
    InputError : an unknown format, or a matrix that cannot be quantized (with its name).
    """
    family = get_family(format_name)
    layers: dict[str, QuantizedMatrix] = {}
    for done, (layer, weights) in enumerate(model_weights.items(), start=1):
        try:
            layers[layer] = quantize_matrix(
                weights, family, group_size=group_size, scale_format=scale_format
            )
        except InputError as error:
            raise InputError(f"layer '{layer}': {error}") from error
        if progress is not None:
            progress(done, len(model_weights))
    return QuantizedModel(name=name, layers=layers, activation_bits=activation_bits)
