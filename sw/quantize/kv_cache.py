"""Quantization of the key/value cache: keys per channel, values per token.

KIVI (Liu et al., ICML 2024, arXiv:2402.02750, sections 3.2 and 3.3): keys have a few channels that
are large for all tokens, so ``key_group`` consecutive tokens of one channel share a scale; values
have no such pattern, and ``value_group`` channels of one token share a scale. Both asymmetric::

    zero  = min X                                   float16
    scale = (max X - zero) / (2**bits - 1)          float16
    code  = (X - zero) / scale, rounded half to even, clipped to 0 .. 2**bits - 1
    X ~= code * scale + zero                        float32

The arithmetic is float32; zero and scale are rounded to float16 first, as they are stored. A group
whose scale becomes 0 (all elements equal, or nearly) has codes 0. Evaluation is over whole
sequences: what a generating model would hold in floating point, the latest ``residual_tokens`` and
the keys of a group that is not complete, stays as it is relative to the *last* token, and every
token reads the quantized past of all groups before that. Early tokens thus read quantized
neighbours that KIVI would still keep exact (pessimistic), and the scale of a group of keys sees all
its tokens, as it does in KIVI.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from configs.schema import KVCacheConfig

Floats = NDArray[np.float32]
KVQuantizer = Callable[[int, Floats, Floats], tuple[Floats, Floats]]
"""``quantizer(layer, k, v)``: what attention reads in place of k and v."""
FLOAT_BITS = 16
#: bits of a group's zero and scale
GROUP_BITS = 32
FLOAT16_MAX = float(np.finfo(np.float16).max)
#: usual widths; the groups are those of the configuration
KV_PRESETS = {
    "k8v8": KVCacheConfig(key_bits=8, value_bits=8),
    "k4v4": KVCacheConfig(key_bits=4, value_bits=4),
    "k4v2": KVCacheConfig(key_bits=4, value_bits=2),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedCache:
    """Quantized keys or values: ``code * scale + zero``.

    Attributes
    ----------
    axis : the axis that groups run along, 1 (tokens, for keys) or 3 (channels, for values).
    group_size : elements of a group; the last one may be shorter.
    codes : uint8, uint16 above 8 bits, (batch, tokens, kv_heads, head_dim).
    scales, zeros : float32, float16 values; the shape of ``codes`` with groups on ``axis``.
    """

    axis: int
    group_size: int
    codes: NDArray[np.unsignedinteger]
    scales: Floats
    zeros: Floats

    def dequantize(self) -> Floats:
        """float32, the shape of ``codes``."""
        scales, zeros = (self._expand(a) for a in (self.scales, self.zeros))
        return self.codes.astype(np.float32) * scales + zeros

    def _expand(self, per_group: Floats) -> Floats:
        return _expand(per_group, self.axis, self.group_size, self.codes.shape[self.axis])


def _expand(per_group: Floats, axis: int, size: int, length: int) -> Floats:
    """Repeat along every group; the last group may be shorter."""
    wide = np.repeat(per_group, min(size, length), axis=axis)
    return np.take(wide, np.arange(length), axis=axis)


def quantize_keys(keys: ArrayLike, *, bits: int, group: int) -> QuantizedCache:
    """Keys per channel: ``group`` consecutive tokens of a channel share zero and scale.

    Parameters
    ----------
    keys : real (batch, tokens, kv_heads, head_dim), finite, magnitudes that float16 holds.
    bits : width of a code, 2 to 16.

    Raises
    ------
    InputError : anything outside the above.
    """
    return _quantize(keys, 1, bits, group, "keys")


def quantize_values(values: ArrayLike, *, bits: int, group: int) -> QuantizedCache:
    """Values per token: ``group`` consecutive channels of a head share zero and scale.

    Parameters and errors are those of :func:`quantize_keys`.
    """
    return _quantize(values, 3, bits, group, "values")


def _quantize(x: ArrayLike, axis: int, bits: int, group: int, what: str) -> QuantizedCache:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 16:
        raise InputError(f"bits of {what} must be a whole number from 2 to 16, not {bits!r}")
    if isinstance(group, bool) or not isinstance(group, int) or group < 1:
        raise InputError(f"the group of {what} must be a whole number of at least 1, not {group!r}")
    with np.errstate(over="ignore"):
        array = np.asarray(x, dtype=np.float32)
    if array.ndim != 4 or not array.size:
        raise InputError(
            f"{what} must be a non-empty array (batch, tokens, heads, head_dim), "
            f"not of shape {array.shape}"
        )
    # NaN fails the comparison too
    if not (np.abs(array) <= FLOAT16_MAX).all():
        raise InputError(f"{what} must be finite numbers of at most {FLOAT16_MAX:g}")
    length, top = array.shape[axis], (1 << bits) - 1
    starts = np.arange(0, length, group)
    low = np.minimum.reduceat(array, starts, axis=axis).astype(np.float16).astype(np.float32)
    spread = np.maximum.reduceat(array, starts, axis=axis) - low
    scales = (spread / np.float32(top)).clip(0).astype(np.float16).astype(np.float32)
    steps = _expand(np.where(scales > 0, scales, np.float32(np.inf)), axis, group, length)
    codes = np.rint((array - _expand(low, axis, group, length)) / steps).clip(0, top)
    return QuantizedCache(
        axis=axis,
        group_size=group,
        codes=codes.astype(np.uint8 if bits <= 8 else np.uint16),
        scales=scales,
        zeros=low,
    )


def kv_hook(config: KVCacheConfig) -> KVQuantizer:
    """A hook for the ``kv`` parameter of a model's ``forward``, the same in every layer.

    Of T tokens the values of the first ``T - residual_tokens`` are quantized, and the keys of the
    complete groups among them.
    """

    def hook(layer: int, k: Floats, v: Floats) -> tuple[Floats, Floats]:
        key_tokens, value_tokens = _quantized_tokens(config, k.shape[1])
        if key_tokens:
            past = quantize_keys(k[:, :key_tokens], bits=config.key_bits, group=config.key_group)
            k = np.concatenate([past.dequantize(), k[:, key_tokens:]], axis=1)
        if value_tokens:
            past = quantize_values(
                v[:, :value_tokens], bits=config.value_bits, group=config.value_group
            )
            v = np.concatenate([past.dequantize(), v[:, value_tokens:]], axis=1)
        return k, v

    return hook


def _quantized_tokens(config: KVCacheConfig, tokens: int) -> tuple[int, int]:
    """Tokens whose keys, and whose values, are quantized in a cache of ``tokens`` tokens."""
    old = max(0, tokens - config.residual_tokens)
    return old // config.key_group * config.key_group, old


def kv_bits_per_value(config: KVCacheConfig, head_dim: int, tokens: int | None = None) -> float:
    """Stored bits per element of the cache, keys and values together, zeros and scales included.

    Parameters
    ----------
    head_dim : channels of a head; groups of values do not cross heads.
    tokens : length of the cache, whose latest tokens are 16 bits wide; None for the limit of a
        long one.

    Raises
    ------
    InputError : ``head_dim`` or ``tokens`` below 1.
    """
    if head_dim < 1 or (tokens is not None and tokens < 1):
        raise InputError("head_dim and tokens must be at least 1")
    key = config.key_bits + GROUP_BITS / config.key_group
    value = config.value_bits + GROUP_BITS * -(-head_dim // config.value_group) / head_dim
    if tokens is None:
        return (key + value) / 2
    key_tokens, value_tokens = _quantized_tokens(config, tokens)
    floats = 2 * tokens - key_tokens - value_tokens
    return (key_tokens * key + value_tokens * value + floats * FLOAT_BITS) / (2 * tokens)
