"""A quantized model: one quantized matrix per linear layer."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from configs.errors import InputError

from .manifest import MANIFEST, read_manifest
from .matrix import QuantizedMatrix
from .quantizer import check_activation_bits
from .storage import FLOAT_FILE, ModelWriter, StoredLayers, checked_bytes, describe

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)`` after every unit of work."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedModel:
    """Quantized linear layers of one model.

    Parameters
    ----------
    name : the model's name.
    layers : layer name -> quantized weights, in model order; at least one. Those of a saved model
        are read when asked for and not kept.
    activation_bits : width of the dynamic per-token activation codes, or None for activations
        that stay floating point.
    recipe : the settings that it was made with, as they are written; empty if it was made by hand.
    float_tensors : tensors outside the layers that transforms changed, by Hugging Face name.
    errors : layer name -> :func:`sw.quantize.error.layer_errors`, as far as they are known.

    Raises
    ------
    InputError : no layers, or activation bits that are not None or 2..16.
    """

    name: str
    layers: Mapping[str, QuantizedMatrix]
    activation_bits: int | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    float_tensors: Mapping[str, NDArray[np.floating]] | None = None
    errors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers:
            raise InputError(f"quantized model '{self.name}' has no layers")
        if self.activation_bits is not None:
            check_activation_bits(self.activation_bits)

    def describe(self) -> list[dict[str, Any]]:
        """One entry per layer: name, shape, bits_per_weight, planes, error (or None)."""
        if isinstance(self.layers, StoredLayers):
            return [dict(entry) for entry in self.layers.entries]
        return [describe(name, m, self.errors.get(name)) for name, m in self.layers.items()]

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(N, K) of every layer."""
        if isinstance(self.layers, StoredLayers):
            return {e["name"]: (e["shape"][0], e["shape"][1]) for e in self.layers.entries}
        return {name: matrix.shape for name, matrix in self.layers.items()}

    @property
    def weights(self) -> int:
        """Number of quantized weights."""
        return sum(n * k for n, k in self.shapes.values())

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per quantized weight, scales and format ids included."""
        stored = sum(e["bits_per_weight"] * prod(e["shape"]) for e in self.describe())
        return stored / self.weights

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the layers and ``manifest.json`` into ``folder``, see :mod:`sw.quantize.storage`.

        Equal models give equal bytes.

        Raises
        ------
        InputError : a layer's family is not one of the registered ones, or ``folder`` cannot be
            written.
        """
        self.describe()
        header = model_header(self.name, self.activation_bits, self.recipe)
        writer = ModelWriter(Path(folder), header, resume=False)
        for layer, matrix in self.layers.items():
            writer.add(layer, matrix, self.errors.get(layer))
        writer.finish(list(self.layers), self.float_tensors)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "QuantizedModel":
        """Open a folder that :meth:`save` wrote; every layer is read once and checked.

        Raises
        ------
        InputError : missing, corrupted or contradictory files, or number formats whose tables
            have changed since.
        """
        source = Path(folder)
        try:
            manifest = read_manifest(source)
            layers = StoredLayers(source, manifest["layers"])
            model = cls(
                name=manifest["name"],
                layers=layers,
                activation_bits=manifest["activation_bits"],
                recipe=manifest["recipe"],
                float_tensors=_float_tensors(source, manifest),
                errors={x["name"]: x["error"] for x in manifest["layers"] if x["error"]},
            )
            for layer in layers:
                _ = layers[layer]
            return model
        except OSError as error:
            reason = f"cannot read {Path(str(error.filename)).name} ({error.strerror})"
            raise InputError(f"quantized model in {source}: {reason}") from error
        except InputError as error:
            text = str(error)
            place = f"quantized model in {source}: "
            raise InputError(text if text.startswith(place) else place + text) from error
        except KeyError as error:
            raise InputError(
                f"quantized model in {source}: {MANIFEST} or its tensors lack {error}"
            ) from error
        except (ArithmeticError, AttributeError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"quantized model in {source}: {MANIFEST} has an ill-typed field ({error})"
            ) from error


def model_header(
    name: str, activation_bits: int | None, recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """What the manifest says besides the layers."""
    return {"name": name, "activation_bits": activation_bits, "recipe": dict(recipe)}


def _float_tensors(folder: Path, manifest: Mapping[str, Any]) -> dict[str, NDArray] | None:
    entry = manifest["float_tensors"]
    if entry is None:
        return None
    try:
        return parse_tensors(checked_bytes(folder, entry, FLOAT_FILE))
    except SafetensorError as error:
        raise InputError(f"{entry['file']} is not a safetensors file ({error})") from error
