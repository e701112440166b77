"""llama2.c checkpoints (``.bin``): seven integers, then float32 arrays in a fixed order."""

import struct
from math import prod
from pathlib import Path

from numpy.typing import NDArray

from configs.errors import InputError

from .binary import file_size, read_floats, read_head
from .source import TensorInfo, TensorSource, Transform, split_halves

HEADER = struct.Struct("<7i")
FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len")
#: first bytes of the later versions of the format
VERSIONED = b"24ka"
MAX_LAYERS = 1000


class Llama2cFile(TensorSource):
    """A checkpoint as run.c of karpathy/llama2.c reads it, under Hugging Face names.

    The rows of ``q_proj`` and ``k_proj`` come in split halves (:func:`.source.split_halves`).
    A negative vocabulary size stands for a head of its own. The tables of rotary frequencies in
    front of it are skipped, as run.c does.

    Attributes
    ----------
    config : the header as the fields of a ``config.json``; what run.c has as constants is added.

    Raises
    ------
    InputError : the file cannot be read, or its size is not the one that its header asks for.
    """

    float_types = ("F32",)

    def __init__(self, path: Path) -> None:
        self.path = path
        size = file_size(path)
        head = read_head(path, HEADER.size)
        if head[:4] == VERSIONED:
            raise InputError(f"{path} is a versioned llama2.c file: only version 0 is read")
        if len(head) < HEADER.size:
            raise InputError(f"{path} is not a llama2.c file: it has {size} bytes")
        header = dict(zip(FIELDS, HEADER.unpack(head), strict=True))
        tied = header["vocab_size"] > 0
        header["vocab_size"] = abs(header["vocab_size"])
        self._check(header)
        self.metadata = dict(header)
        self.config = _config(header, tied)
        self.infos: dict[str, TensorInfo] = {}
        self._offsets: dict[str, int] = {}
        self._transforms: dict[str, Transform] = {}
        end = self._place(header, tied)
        if end != size:
            raise InputError(
                f"{path} is not a llama2.c file: its header asks for {end} bytes, it has {size}"
            )

    def read(self, name: str) -> NDArray:
        """float32, as stored but for the order of the rows of ``q_proj`` and ``k_proj``."""
        array = read_floats(self.path, "F32", self._offsets[name], self.infos[name].shape)
        return self._transforms[name](array) if name in self._transforms else array

    def _check(self, header: dict[str, int]) -> None:
        """Refuse headers without a meaning."""
        for field, value in header.items():
            if value < 1:
                raise InputError(f"{self.path} is not a llama2.c file: its {field} is {value}")
        dim, heads, kv_heads = header["dim"], header["n_heads"], header["n_kv_heads"]
        if dim % (2 * heads) or heads % kv_heads or header["n_layers"] > MAX_LAYERS:
            raise InputError(
                f"{self.path} is not a llama2.c file: {header['n_layers']} layers of dim {dim}, "
                f"{heads} heads and {kv_heads} KV heads do not fit together"
            )

    def _place(self, header: dict[str, int], tied: bool) -> int:
        """Fill in where every tensor is; returns the size that the file must have."""
        dim, hidden, heads = header["dim"], header["hidden_dim"], header["n_heads"]
        kv_heads, table = header["n_kv_heads"], (header["vocab_size"], dim)
        per_layer: list[tuple[str, tuple[int, ...], int]] = [
            ("input_layernorm", (dim,), 0),
            ("self_attn.q_proj", (dim, dim), heads),
            ("self_attn.k_proj", (dim // heads * kv_heads, dim), kv_heads),
            ("self_attn.v_proj", (dim // heads * kv_heads, dim), 0),
            ("self_attn.o_proj", (dim, dim), 0),
            ("post_attention_layernorm", (dim,), 0),
            ("mlp.gate_proj", (hidden, dim), 0),
            ("mlp.down_proj", (dim, hidden), 0),
            ("mlp.up_proj", (hidden, dim), 0),
        ]
        place = self._add("model.embed_tokens.weight", table, HEADER.size)
        for name, shape, rotary_heads in per_layer:
            for layer in range(header["n_layers"]):
                full = f"model.layers.{layer}.{name}.weight"
                place = self._add(full, shape, place)
                if rotary_heads:
                    self._transforms[full] = split_halves(rotary_heads)
        place = self._add("model.norm.weight", (dim,), place)
        place += 2 * 4 * header["seq_len"] * (dim // heads // 2)
        return place if tied else self._add("lm_head.weight", table, place)

    def _add(self, name: str, shape: tuple[int, ...], place: int) -> int:
        self.infos[name] = TensorInfo(shape=shape, dtype="F32")
        self._offsets[name] = place
        return place + 4 * prod(shape)


def _config(header: dict[str, int], tied: bool) -> dict[str, object]:
    return {
        "model_type": "llama",
        "vocab_size": header["vocab_size"],
        "hidden_size": header["dim"],
        "intermediate_size": header["hidden_dim"],
        "num_hidden_layers": header["n_layers"],
        "num_attention_heads": header["n_heads"],
        "num_key_value_heads": header["n_kv_heads"],
        "max_position_embeddings": header["seq_len"],
        "tie_word_embeddings": tied,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
    }
