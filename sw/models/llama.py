"""Llama inference in numpy, float32, the whole sequence at once (no key/value cache)."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .architecture import Architecture
from .weights import EMBEDDING, HEAD, expected_shapes

Floats = NDArray[np.float32]
LinearHook = Callable[[str, Floats], Floats]
"""``hook(name, x)``: output (rows, N) of the block linear ``name`` for inputs ``x`` (rows, K)."""


def rms_norm(x: Floats, weight: Floats, eps: float) -> Floats:
    """``x / sqrt(mean(x**2) + eps) * weight`` over the last axis."""
    power: Floats = np.mean(np.square(x), axis=-1, keepdims=True)
    return x / np.sqrt(power + np.float32(eps)) * weight


def silu(x: Floats) -> Floats:
    """``x * sigmoid(x)``, written with tanh, which cannot overflow."""
    half = np.float32(0.5)
    return x * half * (np.tanh(x * half) + np.float32(1))


def rotate(x: Floats, cos: Floats, sin: Floats) -> Floats:
    """Rotary embedding with split halves (Hugging Face layout).

    Parameters
    ----------
    x : (batch, tokens, heads, head_dim).
    cos, sin : (tokens, head_dim / 2), by position and frequency.
    """
    first, second = np.split(x, 2, axis=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def causal_attention(q: Floats, k: Floats, v: Floats) -> Floats:
    """Softmax attention in which token t sees tokens 0..t.

    Parameters
    ----------
    q : (batch, tokens, heads, head_dim).
    k, v : (batch, tokens, kv_heads, head_dim); query head h uses head ``h // (heads / kv_heads)``.

    Returns
    -------
    (batch, tokens, heads, head_dim).
    """
    batch, tokens, heads, dim = q.shape
    kv_heads = k.shape[2]
    shared = (batch, kv_heads, heads // kv_heads * tokens, dim)
    queries = q.transpose(0, 2, 1, 3).reshape(shared)
    scores = queries @ k.transpose(0, 2, 3, 1) * np.float32(dim**-0.5)
    scores = scores.reshape(batch, heads, tokens, tokens)
    scores = np.where(np.tri(tokens, dtype=bool), scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = weights.reshape(batch, kv_heads, -1, tokens) @ v.transpose(0, 2, 1, 3)
    return mixed.reshape(batch, heads, tokens, dim).transpose(0, 2, 1, 3)


class LlamaModel:
    """A Llama-class model ready to run.

    Parameters
    ----------
    architecture : shapes; the rotary embedding must be the plain one.
    tensors : Hugging Face name -> array, as in :class:`sw.models.weights.Model`.

    Raises
    ------
    InputError : rescaled rotary frequencies, or a tensor missing or of the wrong shape.
    """

    def __init__(
        self, architecture: Architecture, tensors: Mapping[str, NDArray[np.floating]]
    ) -> None:
        if architecture.rope_type != "default":
            raise InputError(
                f"rope_type '{architecture.rope_type}' cannot be run: only the unscaled rotary "
                "embedding ('default') is supported"
            )
        for name, shape in expected_shapes(architecture).items():
            found = np.shape(tensors[name]) if name in tensors else "missing"
            if found != shape:
                raise InputError(f"tensor '{name}' must have shape {shape}, it is {found}")
        self.architecture = architecture
        self._tensors = {name: np.asarray(t, dtype=np.float32) for name, t in tensors.items()}
        exponents = np.arange(0, architecture.head_dim, 2) / architecture.head_dim
        self._frequencies = architecture.rope_theta**-exponents

    def linear(self, name: str, x: Floats) -> Floats:
        """The unquantized block linear ``name``: (rows, K) -> (rows, N)."""
        return x @ self._tensors[f"model.{name}.weight"].T

    def forward(self, tokens: ArrayLike, *, linear: LinearHook | None = None) -> Floats:
        """Logits of the next token at every position.

        Parameters
        ----------
        tokens : integers (batch, tokens), each below the vocabulary size.
        linear : replaces the block linears (q, k, v, o, gate, up, down), not the head.

        Returns
        -------
        float32 (batch, tokens, vocabulary).

        Raises
        ------
        InputError : wrong shape or type, a token out of range, or too long a sequence.
        """
        ids = self._checked(tokens)
        apply = linear or self.linear
        batch, length = ids.shape

        def project(name: str, x: Floats) -> Floats:
            return apply(name, x.reshape(batch * length, -1)).reshape(batch, length, -1)

        angles = np.outer(np.arange(length), self._frequencies)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        x = self._tensors[EMBEDDING][ids]
        for layer in range(self.architecture.num_hidden_layers):
            x = self._block(x, f"layers.{layer}", project, cos, sin)
        x = self._norm(x, "norm")
        tied = self.architecture.tie_word_embeddings
        return x @ self._tensors[EMBEDDING if tied else HEAD].T

    def _checked(self, tokens: ArrayLike) -> NDArray[np.integer]:
        ids = np.asarray(tokens)
        if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "iu":
            raise InputError(
                "tokens must be a non-empty 2-D integer array (batch, tokens), "
                f"not {ids.dtype} {ids.shape}"
            )
        limit = self.architecture.max_position_embeddings
        if ids.shape[1] > limit:
            raise InputError(f"{ids.shape[1]} tokens are more than the model's context of {limit}")
        vocabulary = self.architecture.vocab_size
        if ids.min() < 0 or ids.max() >= vocabulary:
            bad = ids[(ids < 0) | (ids >= vocabulary)][0]
            raise InputError(f"token {bad} is outside the vocabulary 0..{vocabulary - 1}")
        return ids

    def _norm(self, x: Floats, name: str) -> Floats:
        weight = self._tensors[f"model.{name}.weight"]
        return rms_norm(x, weight, self.architecture.rms_norm_eps)

    def _block(
        self, x: Floats, block: str, project: LinearHook, cos: Floats, sin: Floats
    ) -> Floats:
        batch, length, _ = x.shape
        dim = self.architecture.head_dim

        def heads(name: str) -> Floats:
            return project(f"{block}.self_attn.{name}", inputs).reshape(batch, length, -1, dim)

        inputs = self._norm(x, f"{block}.input_layernorm")
        q, k, v = heads("q_proj"), heads("k_proj"), heads("v_proj")
        mixed = causal_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + project(f"{block}.self_attn.o_proj", mixed.reshape(batch, length, -1))
        inputs = self._norm(x, f"{block}.post_attention_layernorm")
        gate = silu(project(f"{block}.mlp.gate_proj", inputs))
        inner = gate * project(f"{block}.mlp.up_proj", inputs)
        return x + project(f"{block}.mlp.down_proj", inner)
