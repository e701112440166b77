"""Accuracy of a model, with or without quantized linears, and its activations."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.quantize import QuantizedModel, activation_values

from .llama import Floats, KVHook, LinearHook, LlamaModel
from .tokenizer import Tokenizer

BYTE_VALUES = 256
WINDOWS_PER_BATCH = 8
# what fits beside the weights of a small model: 64 MiB of attention scores, 16 MiB of logits
SCORES_PER_BATCH = 1 << 24
LOGITS_PER_CHUNK = 1 << 22

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class BitsPerByte:
    """Cross-entropy of the next token in bits, shared out over the bytes of the predicted text.

    Attributes
    ----------
    mean : over all predicted bytes.
    standard_error : of the mean, with windows as the independent units (tokens of one window share
        their context); nan for a single window.
    bytes : predicted bytes.
    window_bits : float64 (windows,), sum of the bits of each window.
    window_bytes : int64 (windows,), predicted bytes of each window.
    """

    mean: float
    standard_error: float
    bytes: int
    window_bits: NDArray[np.float64] = field(repr=False)
    window_bytes: NDArray[np.int64] = field(repr=False)

    @classmethod
    def from_windows(
        cls, window_bits: NDArray[np.float64], window_bytes: NDArray[np.int64]
    ) -> "BitsPerByte":
        """Mean and cluster-robust standard error of a ratio of sums."""
        mean, error = _ratio(window_bits, window_bytes)
        return cls(
            mean=mean,
            standard_error=error,
            bytes=int(window_bytes.sum()),
            window_bits=window_bits,
            window_bytes=window_bytes,
        )

    def minus(self, baseline: "BitsPerByte") -> "BitsPerByte":
        """Paired difference to ``baseline``, which must come from the same text and context.

        Raises
        ------
        InputError : the windows differ.
        """
        if not np.array_equal(self.window_bytes, baseline.window_bytes):
            raise InputError("a paired difference needs the same text and context on both sides")
        return self.from_windows(self.window_bits - baseline.window_bits, self.window_bytes)


def _ratio(bits: NDArray[np.float64], units: NDArray[np.int64]) -> tuple[float, float]:
    """Bits per unit and its standard error, with windows as clusters; (windows,) each."""
    total, windows = int(units.sum()), len(bits)
    mean = float(bits.sum()) / total
    spread = float(np.sum((bits - mean * units) ** 2))
    error = (spread * windows / (windows - 1)) ** 0.5 / total if windows > 1 else math.nan
    return mean, error


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageAccuracy:
    """How well a model predicts the next token of a text.

    Attributes
    ----------
    perplexity : 2 to the mean bits per predicted token.
    perplexity_error : its standard error, windows as the independent units, to first order.
    tokens : predicted tokens.
    bits_per_byte : the same cross-entropy by bytes of text, which tokenizers cannot change.
    window_tokens : int64 (windows,), predicted tokens of each window.
    """

    perplexity: float
    perplexity_error: float
    tokens: int
    bits_per_byte: BitsPerByte
    window_tokens: NDArray[np.int64] = field(repr=False)

    @classmethod
    def from_windows(
        cls,
        window_bits: NDArray[np.float64],
        window_tokens: NDArray[np.int64],
        window_bytes: NDArray[np.int64],
    ) -> "LanguageAccuracy":
        """Both rates from the sums of each window, (windows,)."""
        bits, error = _ratio(window_bits, window_tokens)
        perplexity = 2.0**bits if bits < 1024 else math.inf
        return cls(
            perplexity=perplexity,
            perplexity_error=perplexity * math.log(2) * error,
            tokens=int(window_tokens.sum()),
            bits_per_byte=BitsPerByte.from_windows(window_bits, window_bytes),
            window_tokens=window_tokens,
        )

    def perplexity_increase(self, baseline: "LanguageAccuracy") -> tuple[float, float]:
        """Difference of the perplexities and its standard error, paired by window.

        Raises
        ------
        InputError : ``baseline`` comes from another text or context.
        """
        if not np.array_equal(self.window_tokens, baseline.window_tokens):
            raise InputError("a paired difference needs the same text and context on both sides")
        # to first order, a window moves the perplexity by perplexity * ln 2 * its bits / tokens
        moves = [
            side.perplexity
            * math.log(2)
            * (side.bits_per_byte.window_bits - rate * self.window_tokens)
            for side in (self, baseline)
            for rate in [float(side.bits_per_byte.window_bits.sum()) / self.tokens]
        ]
        _, error = _ratio(moves[0] - moves[1], self.window_tokens)
        return self.perplexity - baseline.perplexity, error


@dataclass(frozen=True, kw_only=True, eq=False)
class TokenizedText:
    """A text as a model reads it.

    Attributes
    ----------
    ids : int64 (tokens,).
    byte_lengths : int64 (tokens,), bytes of text that each token stands for.
    """

    ids: NDArray[np.int64]
    byte_lengths: NDArray[np.int64]

    def first(self, tokens: int) -> "TokenizedText":
        """The first ``tokens`` of them, or all if there are fewer."""
        return TokenizedText(ids=self.ids[:tokens], byte_lengths=self.byte_lengths[:tokens])

    def spread(self, tokens: int, context: int) -> "TokenizedText":
        """At least ``tokens`` tokens in whole windows of ``context``, evenly spaced over the text.

        All of a text that is shorter than a window.
        """
        starts = np.arange(0, max(1, len(self.ids) - context + 1), context)
        count = min(len(starts), -(-tokens // context))
        chosen = starts[np.linspace(0, len(starts) - 1, count).astype(int)]
        at = (chosen[:, None] + np.arange(context)).ravel()
        at = at[at < len(self.ids)]
        return TokenizedText(ids=self.ids[at], byte_lengths=self.byte_lengths[at])


def tokenized(text: str, tokenizer: Tokenizer) -> TokenizedText:
    """Token ids of ``text`` and the bytes that each stands for.

    Raises
    ------
    InputError : the tokenizer does not keep all text, so bytes cannot be counted.
    """
    ids = tokenizer.encode(text)
    lengths = tokenizer.byte_lengths(ids)
    return TokenizedText(
        ids=np.array(ids, dtype=np.int64), byte_lengths=np.array(lengths, dtype=np.int64)
    )


def language_accuracy(
    model: LlamaModel,
    text: TokenizedText,
    *,
    context: int | None = None,
    linear: LinearHook | None = None,
    kv: KVHook | None = None,
    progress: Progress | None = None,
) -> LanguageAccuracy:
    """Perplexity and bits per byte of ``text`` in non-overlapping windows of ``context`` tokens.

    In each window tokens 1.. are predicted from those before them. A shorter last window counts if
    it has two tokens or more.

    Parameters
    ----------
    context : 1024 by default, or the model's own context if that is shorter.
    linear : replaces the block linears, see :func:`quantized_linear`.
    kv : replaces keys and values, see :meth:`sw.models.llama.LlamaModel.forward`.
    progress : called with (tokens predicted, tokens to predict) after each batch of windows.

    Raises
    ------
    InputError : fewer than two tokens, a token outside the vocabulary, a context outside 2 and the
        model's own, or predicted tokens that stand for no text at all.
    """
    if context is None:
        context = min(1024, model.architecture.max_position_embeddings)
    return _measure(model, text, context, "tokens", linear=linear, kv=kv, progress=progress)


def bits_per_byte(
    model: LlamaModel,
    text: bytes,
    *,
    context: int = 256,
    linear: LinearHook | None = None,
    kv: KVHook | None = None,
    progress: Progress | None = None,
) -> BitsPerByte:
    """Bits per byte of a byte-level model, in non-overlapping windows of ``context`` bytes.

    :func:`language_accuracy` without a tokenizer: windows, hooks and progress are as there.

    Raises
    ------
    InputError : not a byte-level model, fewer than two bytes of text, or a context outside 2 and
        the model's own.
    """
    data = _as_bytes(model, text)
    whole = TokenizedText(ids=data, byte_lengths=np.ones_like(data))
    found = _measure(model, whole, context, "bytes", linear=linear, kv=kv, progress=progress)
    return found.bits_per_byte


def _measure(
    model: LlamaModel,
    text: TokenizedText,
    context: int,
    unit: str,
    *,
    linear: LinearHook | None,
    kv: KVHook | None,
    progress: Progress | None,
) -> LanguageAccuracy:
    """:func:`language_accuracy`; ``unit`` names the tokens in messages."""
    limit = model.architecture.max_position_embeddings
    if not 2 <= context <= limit:
        raise InputError(f"context must be from 2 to {limit} {unit}, not {context}")
    if len(text.ids) < 2:
        raise InputError(f"text of {len(text.ids)} {unit}: at least 2 are needed to predict one")
    vocabulary = model.architecture.vocab_size
    outside = text.ids[(text.ids < 0) | (text.ids >= vocabulary)]
    if outside.size:
        raise InputError(f"token {outside[0]} is outside the vocabulary 0..{vocabulary - 1}")
    scores = model.architecture.num_attention_heads * context**2
    per_batch = min(WINDOWS_PER_BATCH, max(1, SCORES_PER_BATCH // scores))
    batches, lengths = (
        _windows(values, context, per_batch) for values in (text.ids, text.byte_lengths)
    )
    to_predict = sum(ids.shape[0] * (ids.shape[1] - 1) for ids in batches)
    bits: list[NDArray[np.float64]] = []
    tokens: list[int] = []
    for ids in batches:
        states = model.hidden_states(ids[:, :-1], linear=linear, kv=kv)
        bits.append(_next_token_bits(model, states, ids[:, 1:]).sum(axis=1))
        tokens += [ids.shape[1] - 1] * len(ids)
        if progress is not None:
            progress(sum(tokens), to_predict)
    window_bytes = np.concatenate([sizes[:, 1:].sum(axis=1) for sizes in lengths])
    if not window_bytes.any():
        raise InputError("the predicted tokens stand for no text: there are no bytes to count")
    return LanguageAccuracy.from_windows(
        np.concatenate(bits), np.array(tokens, dtype=np.int64), window_bytes
    )


def _windows(values: NDArray[np.int64], context: int, per_batch: int) -> list[NDArray[np.int64]]:
    """Batches (windows, context) of ``values``; a shorter last window of 2 or more by itself."""
    whole = len(values) // context
    batches = [
        values[first * context : min(first + per_batch, whole) * context].reshape(-1, context)
        for first in range(0, whole, per_batch)
    ]
    if len(values) - whole * context >= 2:
        batches.append(values[None, whole * context :])
    return batches


def _as_bytes(model: LlamaModel, text: bytes) -> NDArray[np.int64]:
    if model.architecture.vocab_size != BYTE_VALUES:
        raise InputError(
            f"the model has {model.architecture.vocab_size} tokens: only byte-level models "
            f"({BYTE_VALUES} tokens) read bytes, others need a tokenizer"
        )
    return np.frombuffer(text, dtype=np.uint8).astype(np.int64)


def _next_token_bits(
    model: LlamaModel, states: Floats, targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """``-log2 p(target)``, float64 (batch, tokens); the head runs on a few positions at a time."""
    batch, tokens = targets.shape
    chunk = max(1, LOGITS_PER_CHUNK // (batch * model.architecture.vocab_size))
    bits = np.empty((batch, tokens))
    for first in range(0, tokens, chunk):
        part = slice(first, first + chunk)
        logits = model.logits(states[:, part])
        logits -= logits.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(logits, targets[:, part, None], axis=-1)[..., 0]
        normalizer = np.log(np.exp(logits).sum(axis=-1, dtype=np.float64))
        bits[:, part] = (normalizer - chosen) / np.log(2)
    return bits


def quantized_linear(
    quantized: QuantizedModel,
    activations: int | str | None,
    *,
    otherwise: LinearHook | None = None,
) -> LinearHook:
    """A hook that runs the linears of ``quantized``.

    With ``activations`` each row of inputs is quantized dynamically, its codes' values are
    multiplied by the dequantized weights in float32, and the result by the row's scale.

    Parameters
    ----------
    activations : bits of integers, 2 to 16; name of a floating-point format, as in
        :func:`sw.quantize.float_activations`; or None for inputs as they are.
    otherwise : runs the linears that ``quantized`` lacks, for example ``model.linear``.

    Raises
    ------
    InputError : the hook is asked for a linear that neither has.
    """
    weights = {name: matrix.dequantize().T for name, matrix in quantized.layers.items()}

    def linear(name: str, x: Floats) -> Floats:
        if name not in weights:
            if otherwise is None:
                raise InputError(f"quantized model '{quantized.name}' has no layer '{name}'")
            return otherwise(name, x)
        if activations is None:
            return x @ weights[name]
        values, scales = activation_values(x, activations)
        return (values @ weights[name]) * scales[:, None]

    return linear


class InputRecorder:
    """A linear hook that runs ``apply`` and keeps the inputs it sees."""

    def __init__(self, apply: LinearHook) -> None:
        self._apply = apply
        self._seen: dict[str, list[Floats]] = {}

    def __call__(self, name: str, x: Floats) -> Floats:
        self._seen.setdefault(name, []).append(x)
        return self._apply(name, x)

    def inputs(self, rows: int) -> dict[str, Floats]:
        """Layer name -> first ``rows`` of the inputs seen, in order of execution."""
        return {name: np.concatenate(parts)[:rows] for name, parts in self._seen.items()}


def capture_inputs(
    model: LlamaModel, text: bytes | ArrayLike, tokens: int, *, linear: LinearHook | None = None
) -> dict[str, Floats]:
    """Inputs of every block linear while the model reads the first ``tokens`` tokens of ``text``.

    The text is read in windows of the model's context, or of 1024 tokens if that is shorter.

    Parameters
    ----------
    text : token ids (n,); or bytes, for a byte-level model.

    Returns
    -------
    Layer name -> float32 (tokens, K), in order of execution.

    Raises
    ------
    InputError : bytes for a model that does not read them, or fewer than ``tokens`` tokens.
    """
    is_bytes = isinstance(text, bytes)
    ids = _as_bytes(model, text) if isinstance(text, bytes) else np.asarray(text)
    if ids.ndim != 1 or not 1 <= tokens <= len(ids):
        unit = "bytes" if is_bytes else "tokens"
        raise InputError(f"tokens must be from 1 to the text's {ids.size} {unit}, not {tokens}")
    record = InputRecorder(linear or model.linear)
    context = min(1024, model.architecture.max_position_embeddings)
    for first in range(0, tokens, context):
        model.hidden_states(ids[None, first : min(first + context, tokens)], linear=record)
    return record.inputs(tokens)
