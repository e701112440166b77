"""GGUF files (llama.cpp): tensors dequantized by the gguf package, one at a time."""

from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .binary import read_array, read_floats
from .gguf_header import GGUFHeader
from .source import RenamedTensors, TensorSource, Transform, split_halves

#: values dequantized at a time, a multiple of every block
CHUNK = 1 << 20
#: stored as they are read, by the name that safetensors gives the type
PLAIN = {"F32": "F32", "F16": "F16", "BF16": "BF16"}


def _library() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise InputError(
            "reading .gguf needs the gguf package: pip install 'bitsmith[readers]'"
        ) from error
    return gguf


@cache
def _block_sizes() -> dict[int, tuple[str, int, int]]:
    """Type number -> name, values in a block, bytes of a block."""
    sizes = _library().GGML_QUANT_SIZES
    return {int(kind): (kind.name, *size) for kind, size in sizes.items()}


@cache
def _float_types() -> tuple[str, ...]:
    """Types that the package dequantizes, found by trying one block of each."""
    gguf, found = _library(), list(PLAIN)
    for kind, (name, _, size) in _block_sizes().items():
        try:
            _dequantize(gguf, np.zeros((1, size), dtype=np.uint8), kind)
        except NotImplementedError:
            continue
        if name not in found:
            found.append(name)
    return tuple(found)


def _dequantize(gguf: Any, rows: NDArray[np.uint8], kind: int) -> NDArray[np.float32]:
    # infinite scales of a corrupt file give NaN, which is refused later
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(kind))


class GGUFFile(TensorSource):
    """The tensors of a GGUF file by their names in it, shapes with the contiguous axis last.

    Quantized tensors come dequantized to float32, as llama.cpp does it: Q4_0, Q4_1, Q5_0, Q5_1,
    Q8_0, the K and IQ types, TQ1_0, TQ2_0, MXFP4 and NVFP4. ``metadata`` holds the key-value pairs.

    Raises
    ------
    InputError : the gguf package is missing, or the file cannot be read or is not valid.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header = GGUFHeader(path, _block_sizes())
        self.metadata = header.metadata
        self.float_types = _float_types()
        self._tensors = header.tensors
        self.infos = {name: tensor.info for name, tensor in header.tensors.items()}

    def read(self, name: str) -> NDArray:
        """float32, or float16 where stored so."""
        tensor = self._tensors[name]
        if tensor.info.dtype in PLAIN:
            return read_floats(self.path, PLAIN[tensor.info.dtype], tensor.start, tensor.info.shape)
        # blocks follow each other through all rows
        gguf, (_, block, block_bytes) = _library(), _block_sizes()[tensor.kind]
        values = np.empty(prod(tensor.info.shape), dtype=np.float32)
        for first in range(0, len(values), CHUNK):
            part = values[first : first + CHUNK]
            place, size = tensor.start + first // block * block_bytes, len(part) // block
            raw = read_array(self.path, np.uint8, place, size * block_bytes)
            part[:] = _dequantize(gguf, raw.reshape(1, -1), tensor.kind)[0]
        return values.reshape(tensor.info.shape)


LLAMA = "llama"
#: GGUF name -> Hugging Face name, outside and inside of a block
OUTER = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
#: factors of rescaled rotary frequencies (Llama 3)
ROPE_FACTORS = "rope_freqs.weight"
#: key under ``llama.`` -> field of config.json
FIELDS = {
    "vocab_size": "vocab_size",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
}


def is_llama(source: TensorSource) -> bool:
    """Whether a GGUF file says that it is a Llama-class model."""
    return source.metadata.get("general.architecture") == LLAMA


def llama_config(source: TensorSource) -> dict[str, object]:
    """The metadata of a Llama-class GGUF file as the fields of a ``config.json``.

    Raises
    ------
    InputError : a mixture of experts, or heads that are rotated in part.
    """
    given = {key: source.metadata.get(f"{LLAMA}.{key}") for key in FIELDS}
    config = {FIELDS[key]: value for key, value in given.items() if value is not None}
    if source.metadata.get(f"{LLAMA}.expert_count"):
        raise InputError(f"{source.path}: mixtures of experts are not supported")
    if "token_embd.weight" in source:
        config.setdefault("vocab_size", source.infos["token_embd.weight"].shape[0])
    rotated = source.metadata.get(f"{LLAMA}.rope.dimension_count")
    if config.setdefault("head_dim", rotated) != rotated and rotated is not None:
        raise InputError(
            f"{source.path}: {rotated} of {config['head_dim']} rows of a head are rotated, "
            "only whole heads are supported"
        )
    scaling = source.metadata.get(f"{LLAMA}.rope.scaling.type", "none")
    if ROPE_FACTORS in source:
        scaling = "llama3"
    if scaling != "none":
        config["rope_scaling"] = {"rope_type": scaling}
    tied = "output.weight" not in source
    return {"model_type": LLAMA, "tie_word_embeddings": tied, **config}


def llama_tensors(source: TensorSource, heads: int, kv_heads: int) -> TensorSource:
    """The tensors of a Llama-class GGUF file by their Hugging Face names.

    Rows of ``q_proj`` and ``k_proj`` come in split halves. Tensors with other names keep them.

    Parameters
    ----------
    heads, kv_heads : query heads and key heads.

    Raises
    ------
    InputError : two tensors would get one name.
    """
    names: dict[str, str] = {}
    transforms: Mapping[str, Transform] = {
        "attn_q": split_halves(heads),
        "attn_k": split_halves(kv_heads),
    }
    chosen: dict[str, Transform] = {}
    for name in source.infos:
        if name == ROPE_FACTORS:
            continue
        parts = name.split(".")
        inside = len(parts) == 4 and parts[0] == "blk" and parts[3] == "weight"
        if inside and parts[2] in INNER:
            new = f"model.layers.{parts[1]}.{INNER[parts[2]]}.weight"
            if parts[2] in transforms:
                chosen[new] = transforms[parts[2]]
        else:
            new = OUTER.get(name, name)
        if new in names:
            raise InputError(f"{source.path}: '{name}' and '{names[new]}' are the same tensor")
        names[new] = name
    return RenamedTensors(source, names, chosen)
