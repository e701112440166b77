"""Accuracy of a byte-level model, with or without quantized linears, and its activations."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.quantize import QuantizedModel, quantize_activations

from .llama import Floats, LinearHook, LlamaModel

BYTE_VALUES = 256
WINDOWS_PER_BATCH = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class BitsPerByte:
    """Cross-entropy of the next byte, in bits.

    Attributes
    ----------
    mean : over all predicted bytes.
    standard_error : of the mean, with windows as the independent units (bytes of one window share
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
        total, windows = int(window_bytes.sum()), len(window_bits)
        mean = float(window_bits.sum()) / total
        spread = float(np.sum((window_bits - mean * window_bytes) ** 2))
        error = (spread * windows / (windows - 1)) ** 0.5 / total if windows > 1 else float("nan")
        return cls(
            mean=mean,
            standard_error=error,
            bytes=total,
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


def bits_per_byte(
    model: LlamaModel,
    text: bytes,
    *,
    context: int = 256,
    linear: LinearHook | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BitsPerByte:
    """Bits per byte of ``text`` in non-overlapping windows of ``context`` bytes.

    In each window bytes 1.. are predicted from those before them. A shorter last window counts if
    it has two bytes or more.

    Parameters
    ----------
    linear : replaces the block linears, see :func:`quantized_linear`.
    progress : called with (bytes predicted, bytes to predict) after each batch of windows.

    Raises
    ------
    InputError : not a byte-level model, fewer than two bytes of text, or a context outside 2 and
        the model's own.
    """
    data = _as_bytes(model, text)
    limit = model.architecture.max_position_embeddings
    if not 2 <= context <= limit:
        raise InputError(f"context must be from 2 to {limit} bytes, not {context}")
    if len(data) < 2:
        raise InputError(f"text of {len(data)} bytes: at least 2 are needed to predict one")
    whole = len(data) // context
    batches = [
        data[first * context : min(first + WINDOWS_PER_BATCH, whole) * context].reshape(-1, context)
        for first in range(0, whole, WINDOWS_PER_BATCH)
    ]
    if len(data) - whole * context >= 2:
        batches.append(data[None, whole * context :])
    to_predict = sum(windows.shape[0] * (windows.shape[1] - 1) for windows in batches)
    bits: list[NDArray[np.float64]] = []
    counts: list[int] = []
    for windows in batches:
        logits = model.forward(windows[:, :-1], linear=linear)
        bits.append(_next_token_bits(logits, windows[:, 1:]).sum(axis=1))
        counts += [windows.shape[1] - 1] * len(windows)
        if progress is not None:
            progress(sum(counts), to_predict)
    return BitsPerByte.from_windows(np.concatenate(bits), np.array(counts, dtype=np.int64))


def _as_bytes(model: LlamaModel, text: bytes) -> NDArray[np.uint8]:
    if model.architecture.vocab_size != BYTE_VALUES:
        raise InputError(
            f"the model has {model.architecture.vocab_size} tokens: only byte-level models "
            f"({BYTE_VALUES} tokens) can be measured in bits per byte"
        )
    return np.frombuffer(text, dtype=np.uint8)


def _next_token_bits(logits: Floats, targets: NDArray[np.uint8]) -> NDArray[np.float64]:
    """``-log2 p(target)``, float64 (batch, tokens)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normalizer = np.log(np.exp(shifted).sum(axis=-1, dtype=np.float64))
    chosen = np.take_along_axis(shifted, targets[..., None].astype(np.int64), axis=-1)[..., 0]
    return (normalizer - chosen) / np.log(2)


def quantized_linear(
    quantized: QuantizedModel,
    activation_bits: int | None,
    *,
    otherwise: LinearHook | None = None,
) -> LinearHook:
    """A hook that runs the linears of ``quantized``.

    With ``activation_bits`` each row of inputs is quantized dynamically, its integers are
    multiplied by the dequantized weights in float32, and the result by the row's scale.

    Parameters
    ----------
    activation_bits : 2 to 16, or None for floating-point inputs.
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
        if activation_bits is None:
            return x @ weights[name]
        codes, scales = quantize_activations(x, bits=activation_bits)
        return (codes.astype(np.float32) @ weights[name]) * scales[:, None]

    return linear


def capture_inputs(
    model: LlamaModel, text: bytes, tokens: int, *, linear: LinearHook | None = None
) -> dict[str, Floats]:
    """Inputs of every block linear while the model reads the first ``tokens`` bytes of ``text``.

    The text is read in windows of the model's context.

    Returns
    -------
    Layer name -> float32 (tokens, K), in order of execution.

    Raises
    ------
    InputError : not a byte-level model, or fewer than ``tokens`` bytes of text.
    """
    data = _as_bytes(model, text)
    if not 1 <= tokens <= len(data):
        raise InputError(f"tokens must be from 1 to the text's {len(data)} bytes, not {tokens}")
    apply = linear or model.linear
    seen: dict[str, list[Floats]] = {}

    def record(name: str, x: Floats) -> Floats:
        seen.setdefault(name, []).append(x)
        return apply(name, x)

    context = model.architecture.max_position_embeddings
    for first in range(0, tokens, context):
        model.forward(data[None, first : min(first + context, tokens)], linear=record)
    return {name: np.concatenate(parts) for name, parts in seen.items()}
