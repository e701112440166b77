"""BERT encoder in numpy, float32: token ids of sentences to embeddings."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .architecture import EncoderArchitecture
from .llama import Floats, LinearHook

SENTENCES_PER_BATCH = 32

_ERF_LIMIT = 4.0  # |erf| is 1 beyond, in float32
_ERF_STEPS = 128  # a unit: half a step to the fourth power, times |erf''''| / 24, is below 1e-10
_ERF_GRID = [step / _ERF_STEPS for step in range(int(_ERF_LIMIT * _ERF_STEPS) + 1)]
_ERF = np.array([math.erf(x) for x in _ERF_GRID], dtype=np.float32)
_ERF_SLOPE = np.array(
    [2 / math.sqrt(math.pi) * math.exp(-x * x) for x in _ERF_GRID], dtype=np.float32
)


def erf(x: Floats) -> Floats:
    """Error function, float32, absolute error below 1e-7.

    Third-order Taylor series about the nearest of 513 points on 0..4, whose values and slopes are
    those of :func:`math.erf` and of its derivative ``2 / sqrt(pi) * exp(-x**2)``.
    """
    magnitude = np.fmin(np.abs(x), np.float32(_ERF_LIMIT))  # NaN too gets a place
    place = np.rint(magnitude * np.float32(_ERF_STEPS)).astype(np.int32)
    point = place.astype(np.float32) * np.float32(1 / _ERF_STEPS)
    h = magnitude - point
    # erf'' = -2 x erf', erf''' = (4 x^2 - 2) erf'
    cubic = (np.square(point) * np.float32(2) - np.float32(1)) * h * np.float32(1 / 3) - point
    value = _ERF[place] + _ERF_SLOPE[place] * h * (np.float32(1) + h * cubic)
    return np.copysign(value, x)


def gelu(x: Floats) -> Floats:
    """``x * Phi(x)`` with the normal distribution function, not its tanh approximation."""
    return x * np.float32(0.5) * (np.float32(1) + erf(x * np.float32(math.sqrt(0.5))))


def layer_norm(x: Floats, weight: Floats, bias: Floats, eps: float) -> Floats:
    """``(x - mean) / sqrt(variance + eps) * weight + bias`` over the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance: Floats = np.mean(np.square(centred), axis=-1, keepdims=True)
    return centred / np.sqrt(variance + np.float32(eps)) * weight + bias


def masked_attention(q: Floats, k: Floats, v: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Softmax attention of every token to all tokens of its sentence.

    Parameters
    ----------
    q, k, v : (batch, tokens, heads, head_dim).
    mask : (batch, tokens), False where there is no token; one token or more in each row.

    Returns
    -------
    (batch, tokens, heads, head_dim); what stands where no token is, means nothing.
    """
    q, k, v = (part.transpose(0, 2, 1, 3) for part in (q, k, v))
    scores = q @ k.transpose(0, 1, 3, 2) * np.float32(q.shape[-1] ** -0.5)
    scores = np.where(mask[:, None, None, :], scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).transpose(0, 2, 1, 3)


class EncoderModel:
    """A BERT encoder ready to run.

    Parameters
    ----------
    architecture : shapes.
    tensors : name in the checkpoint -> array; those of
        :meth:`~sw.models.architecture.EncoderArchitecture.expected_shapes`, others are not read.

    Raises
    ------
    InputError : a tensor missing or of the wrong shape.
    """

    def __init__(
        self, architecture: EncoderArchitecture, tensors: Mapping[str, NDArray[np.floating]]
    ) -> None:
        self.architecture = architecture
        self._tensors: dict[str, Floats] = {}
        for name, shape in architecture.expected_shapes().items():
            tensor = np.asarray(tensors[name], dtype=np.float32) if name in tensors else None
            if tensor is None or tensor.shape != shape:
                found = "missing" if tensor is None else tensor.shape
                raise InputError(f"tensor '{name}' must have shape {shape}, it is {found}")
            self._tensors[name] = tensor

    def weight(self, name: str) -> Floats:
        """Weights (N, K) of the block linear ``name``."""
        return self._tensors[f"{name}.weight"]

    def linear(self, name: str, x: Floats) -> Floats:
        """The unquantized block linear ``name`` without its bias: (rows, K) -> (rows, N)."""
        return x @ self.weight(name).T

    def hidden_states(
        self, sentences: Sequence[Sequence[int]], *, linear: LinearHook | None = None
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Output of the last block for sentences that are run together.

        Parameters
        ----------
        sentences : token ids, special tokens included; the sentences may differ in length.
        linear : replaces the block linears; a bias is added to what it returns. Its rows are the
            tokens of all sentences, one sentence after the other, without any padding.

        Returns
        -------
        float32 (sentences, tokens of the longest, hidden), zero where a shorter sentence has no
        token, and bool (sentences, tokens), where there are tokens.

        Raises
        ------
        InputError : no sentence, an empty or too long one, or a token outside the vocabulary.
        """
        ids, mask = self._padded(sentences)
        rows, places = np.nonzero(mask)
        tables = self._tensors
        x = tables["embeddings.word_embeddings.weight"][ids[rows, places]]
        x = x + tables["embeddings.position_embeddings.weight"][places]
        x = x + tables["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x, "embeddings.LayerNorm")
        for layer in range(self.architecture.num_hidden_layers):
            x = self._block(x, f"encoder.layer.{layer}", mask, linear or self.linear)
        padded = np.zeros((*mask.shape, x.shape[-1]), dtype=np.float32)
        padded[mask] = x
        return padded, mask

    def embed(
        self,
        sentences: Sequence[Sequence[int]],
        *,
        linear: LinearHook | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Floats:
        """Sentence embeddings: mean over the tokens, scaled to length 1.

        Sentences of similar length are run together, 32 at a time.

        Parameters
        ----------
        sentences, linear : as for :meth:`hidden_states`.
        progress : called with (sentences done, sentences) after each batch.

        Returns
        -------
        float32 (sentences, hidden), in the order of ``sentences``.

        Raises
        ------
        InputError : as :meth:`hidden_states`.
        """
        if len(sentences) == 0:
            raise InputError("there are no sentences to embed")
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        found = np.empty((len(sentences), self.architecture.hidden_size), dtype=np.float32)
        for first in range(0, len(order), SENTENCES_PER_BATCH):
            chosen = order[first : first + SENTENCES_PER_BATCH]
            states, mask = self.hidden_states([sentences[i] for i in chosen], linear=linear)
            mean = states.sum(axis=1) / mask.sum(axis=1, keepdims=True).astype(np.float32)
            length = np.sqrt(np.square(mean).sum(axis=1, keepdims=True))
            found[chosen] = mean / np.maximum(length, np.float32(1e-12))
            if progress is not None:
                progress(first + len(chosen), len(order))
        return found

    def _padded(
        self, sentences: Sequence[Sequence[int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Token ids (sentences, tokens), 0 where there is none, and where there are tokens."""
        limit = self.architecture.max_position_embeddings
        vocabulary = self.architecture.vocab_size
        if len(sentences) == 0:
            raise InputError("there are no sentences to run")
        lengths = [len(sentence) for sentence in sentences]
        if not 1 <= min(lengths) <= max(lengths) <= limit:
            bad = max(lengths) if min(lengths) else 0
            raise InputError(f"a sentence of {bad} tokens: it must have from 1 to {limit}")
        mask = np.arange(max(lengths)) < np.array(lengths)[:, None]
        flat = np.concatenate([np.asarray(sentence) for sentence in sentences])
        if flat.dtype.kind not in "iu":
            raise InputError(f"tokens must be integers, not {flat.dtype}")
        if flat.min() < 0 or flat.max() >= vocabulary:
            bad = flat[(flat < 0) | (flat >= vocabulary)][0]
            raise InputError(f"token {bad} is outside the vocabulary 0..{vocabulary - 1}")
        ids = np.zeros(mask.shape, dtype=np.int64)
        ids[mask] = flat
        return ids, mask

    def _norm(self, x: Floats, name: str) -> Floats:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return layer_norm(x, weight, bias, self.architecture.layer_norm_eps)

    def _block(self, x: Floats, block: str, mask: NDArray[np.bool_], apply: LinearHook) -> Floats:
        """One block on the tokens of all sentences, (tokens, hidden) -> (tokens, hidden)."""

        def project(part: str, inputs: Floats) -> Floats:
            name = f"{block}.{part}"
            return apply(name, inputs) + self._tensors[f"{name}.bias"]

        def heads(part: str) -> Floats:
            flat = project(f"attention.self.{part}", x)
            padded = np.zeros((*mask.shape, flat.shape[-1]), dtype=np.float32)
            padded[mask] = flat
            return padded.reshape(*mask.shape, -1, self.architecture.head_dim)

        mixed = masked_attention(heads("query"), heads("key"), heads("value"), mask)
        mixed = mixed.reshape(*mask.shape, -1)[mask]
        x = self._norm(
            x + project("attention.output.dense", mixed), f"{block}.attention.output.LayerNorm"
        )
        inner = gelu(project("intermediate.dense", x))
        return self._norm(x + project("output.dense", inner), f"{block}.output.LayerNorm")
