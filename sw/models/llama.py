"""Llama inference in numpy, float32, the whole sequence at once."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .architecture import EMBEDDING, HEAD, Architecture

Floats = NDArray[np.float32]
LinearHook = Callable[[str, Floats], Floats]
"""``hook(name, x)``: output (rows, N) of the block linear ``name`` for inputs ``x`` (rows, K)."""
KVHook = Callable[[int, Floats, Floats], tuple[Floats, Floats]]
"""``hook(layer, k, v)``: what attention reads in place of the rotated keys ``k`` and of the values
``v``, each (batch, tokens, kv_heads, head_dim)."""
NORMS = ("input_layernorm", "post_attention_layernorm")


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


def bias_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the biases that a model may have: of every block linear and every norm."""
    shapes: dict[str, tuple[int, ...]] = {
        f"model.layers.{layer}.{norm}.bias": (architecture.hidden_size,)
        for layer in range(architecture.num_hidden_layers)
        for norm in NORMS
    }
    for linear in architecture.block_linears():
        shapes[f"model.{linear.name}.bias"] = (linear.out_features,)
    return {**shapes, "model.norm.bias": (architecture.hidden_size,)}


class LlamaModel:
    """A Llama-class model ready to run.

    Parameters
    ----------
    architecture : shapes; the rotary embedding must be the plain one.
    tensors : Hugging Face name -> array, as in :class:`sw.models.weights.Model`, and any of the
        biases of :func:`bias_shapes`. float32 arrays are used as they are, not copied; tensors
        that the model does not need are not read.

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
        given = set(tensors)
        biases = {n: shape for n, shape in bias_shapes(architecture).items() if n in given}
        self.architecture = architecture
        self._tensors: dict[str, Floats] = {}
        for name, shape in (architecture.expected_shapes() | biases).items():
            tensor = np.asarray(tensors[name], dtype=np.float32) if name in given else None
            if tensor is None or tensor.shape != shape:
                found = "missing" if tensor is None else tensor.shape
                raise InputError(f"tensor '{name}' must have shape {shape}, it is {found}")
            self._tensors[name] = tensor
        exponents = np.arange(0, architecture.head_dim, 2) / architecture.head_dim
        self._frequencies = architecture.rope_theta**-exponents

    def weight(self, name: str) -> Floats:
        """Weights (N, K) of the block linear ``name``."""
        return self._tensors[f"model.{name}.weight"]

    def linear(self, name: str, x: Floats) -> Floats:
        """The unquantized block linear ``name`` without its bias: (rows, K) -> (rows, N)."""
        return x @ self.weight(name).T

    def forward(
        self, tokens: ArrayLike, *, linear: LinearHook | None = None, kv: KVHook | None = None
    ) -> Floats:
        """Logits of the next token at every position.

        Parameters
        ----------
        tokens : integers (batch, tokens), each below the vocabulary size.
        linear : replaces the block linears (q, k, v, o, gate, up, down), not the head; a bias is
            added to what it returns.
        kv : replaces the keys, after the rotary embedding, and the values of every layer.

        Returns
        -------
        float32 (batch, tokens, vocabulary).

        Raises
        ------
        InputError : wrong shape or type, a token out of range, or too long a sequence.
        """
        return self.logits(self.hidden_states(tokens, linear=linear, kv=kv))

    def hidden_states(
        self, tokens: ArrayLike, *, linear: LinearHook | None = None, kv: KVHook | None = None
    ) -> Floats:
        """What the head reads: the last norm's output, float32 (batch, tokens, hidden).

        Parameters and errors are those of :meth:`forward`.
        """
        x = self.embed(tokens)
        for layer in range(self.architecture.num_hidden_layers):
            x = self.block(layer, x, linear=linear, kv=kv)
        return self._norm(x, "norm")

    def logits(self, hidden: Floats) -> Floats:
        """The head: (..., hidden) -> float32 (..., vocabulary)."""
        tied = self.architecture.tie_word_embeddings
        return hidden @ self._tensors[EMBEDDING if tied else HEAD].T

    def embed(self, tokens: ArrayLike) -> Floats:
        """Inputs of the first block, float32 (batch, tokens, hidden); errors as :meth:`forward`."""
        return self._tensors[EMBEDDING][self._checked(tokens)]

    def block(
        self,
        layer: int,
        x: Floats,
        *,
        linear: LinearHook | None = None,
        kv: KVHook | None = None,
    ) -> Floats:
        """Block ``layer``, (batch, tokens, hidden) -> same shape; hooks as in :meth:`forward`."""
        apply = linear or self.linear
        batch, length, _ = x.shape
        name = f"layers.{layer}"

        def project(part: str, inputs: Floats) -> Floats:
            stem = f"{name}.{part}"
            y = apply(stem, inputs.reshape(batch * length, -1)).reshape(batch, length, -1)
            bias = self._tensors.get(f"model.{stem}.bias")
            return y if bias is None else y + bias

        inputs = self._norm(x, f"{name}.input_layernorm")
        q, k, v = (
            project(f"self_attn.{part}", inputs).reshape(
                batch, length, -1, self.architecture.head_dim
            )
            for part in ("q_proj", "k_proj", "v_proj")
        )
        angles = np.outer(np.arange(length), self._frequencies)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if kv is not None:
            k, v = kv(layer, k, v)
        x = x + project("self_attn.o_proj", causal_attention(q, k, v))
        inputs = self._norm(x, f"{name}.post_attention_layernorm")
        gate = silu(project("mlp.gate_proj", inputs))
        return x + project("mlp.down_proj", gate * project("mlp.up_proj", inputs))

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
        bias = self._tensors.get(f"model.{name}.bias")
        y = rms_norm(x, weight, self.architecture.rms_norm_eps)
        return y if bias is None else y + bias
