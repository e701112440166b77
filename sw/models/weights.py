"""Loading a model folder: ``config.json`` and safetensors files with Hugging Face names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from configs.errors import InputError

from .architecture import Architecture
from .registry import model_folder

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
# buffers that old checkpoints carry and that the architecture already defines
IGNORED_SUFFIX = "rotary_emb.inv_freq"


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A floating-point model.

    Attributes
    ----------
    name : the registered name or the folder's name.
    tensors : Hugging Face name -> float16 or float32 array; ``lm_head.weight`` only if not tied.
    heldout : text that training never saw, or None.
    """

    name: str
    architecture: Architecture
    tensors: dict[str, NDArray[np.floating]]
    heldout: bytes | None = None

    def linear_weights(self) -> dict[str, NDArray[np.floating]]:
        """Weights (N, K) of the block linears by name, in the order q, k, v, o, gate, up, down.

        These are the matrices that bitsmith quantizes. The embedding and the head (one table
        where tied) stay in floating point, as in the published evaluations.
        """
        return {
            linear.name: self.tensors[f"model.{linear.name}.weight"]
            for linear in self.architecture.block_linears()
        }


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that a checkpoint of ``architecture`` must hold."""
    hidden = (architecture.hidden_size,)
    table = (architecture.vocab_size, architecture.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {EMBEDDING: table, "model.norm.weight": hidden}
    for layer in range(architecture.num_hidden_layers):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{norm}.weight"] = hidden
    for linear in architecture.block_linears():
        shapes[f"model.{linear.name}.weight"] = (linear.out_features, linear.in_features)
    if not architecture.tie_word_embeddings:
        shapes[HEAD] = table
    return shapes


def load_model(path_or_name: str | Path) -> Model:
    """Load a named model, or a folder with ``config.json`` and one or more ``*.safetensors``.

    float16 and float32 tensors are kept as they are, bfloat16 is widened to float32 (exactly).
    A file ``heldout.txt`` beside them becomes ``heldout``.

    Raises
    ------
    InputError : an unknown or missing model, unreadable files, or tensors that are missing,
        unexpected, of the wrong shape or type, or not finite.
    """
    folder = model_folder(path_or_name)
    config = _read_config(folder / "config.json")
    architecture = Architecture.from_config(config, where=str(folder / "config.json"))
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise InputError(f"model folder {folder} holds no *.safetensors file")
    tensors: dict[str, NDArray[np.floating]] = {}
    for shard in shards:
        for name, tensor in _read_shard(shard).items():
            if name in tensors:
                raise InputError(f"{shard}: tensor '{name}' is already in another file")
            tensors[name] = tensor
    heldout = folder / "heldout.txt"
    return Model(
        name=folder.resolve().name,
        architecture=architecture,
        tensors=_checked(tensors, architecture, folder),
        heldout=heldout.read_bytes() if heldout.is_file() else None,
    )


def _read_config(path: Path) -> dict[str, object]:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def _read_shard(path: Path) -> dict[str, NDArray[np.floating]]:
    try:
        entries = deserialize(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    return {
        name: _to_array(entry, f"{path}: tensor '{name}'")
        for name, entry in entries
        if not name.endswith(IGNORED_SUFFIX)
    }


def _to_array(entry: Mapping, where: str) -> NDArray[np.floating]:
    """One tensor of a safetensors file as float16 or float32, checked to be finite."""
    kind, data = entry["dtype"], entry["data"]
    if kind == "BF16":
        # bfloat16 is the upper half of a float32
        raw = (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    elif kind in ("F16", "F32"):
        raw = np.frombuffer(data, dtype={"F16": "<f2", "F32": "<f4"}[kind])
    else:
        raise InputError(f"{where} has type {kind}: supported are F16, BF16 and F32")
    if not np.isfinite(raw).all():
        raise InputError(f"{where} holds NaN or infinite values")
    return raw.reshape(entry["shape"])


def _checked(
    tensors: dict[str, NDArray[np.floating]], architecture: Architecture, folder: Path
) -> dict[str, NDArray[np.floating]]:
    """Exactly the expected tensors, in the order of :func:`expected_shapes`."""
    if architecture.tie_word_embeddings and HEAD in tensors and EMBEDDING in tensors:
        if not np.array_equal(tensors[HEAD], tensors[EMBEDDING]):
            raise InputError(
                f"model folder {folder}: tie_word_embeddings is true, but '{HEAD}' "
                f"differs from '{EMBEDDING}'"
            )
        tensors = {name: tensor for name, tensor in tensors.items() if name != HEAD}
    shapes = expected_shapes(architecture)
    for name, shape in shapes.items():
        if name not in tensors:
            raise InputError(f"model folder {folder}: tensor '{name}' is missing")
        if tensors[name].shape != shape:
            raise InputError(
                f"model folder {folder}: tensor '{name}' has shape {tensors[name].shape}, "
                f"config.json asks for {shape}"
            )
    extra = sorted(set(tensors) - set(shapes))
    if extra:
        raise InputError(
            f"model folder {folder}: tensor '{extra[0]}' does not belong to a "
            f"{architecture.model_type} model without biases"
        )
    return {name: tensors[name] for name in shapes}
