"""Moving gains, scales and shifts between the layers of a Llama-class model.

The linears of a block read four kinds of channels, and each kind has a producer that can take the
inverse of what its readers get, so that the model computes the same function::

    input_layernorm          -> q, k, v          (RMSNorm gain, and a bias where there is one)
    v_proj                   -> o_proj           (attention mixes tokens, never channels)
    post_attention_layernorm -> gate, up
    up_proj                  -> down_proj        (down reads silu(gate) * up)

With grouped-query attention several channels of o_proj read one channel of v_proj. Attention
weights of a token sum to 1, so a shift of the values passes through them unchanged; a shift of
up_proj would be multiplied by the gate and cannot be moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from ..architecture import EMBEDDING, HEAD, Architecture

Tensors = dict[str, NDArray[np.floating]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rewritten:
    """A model that computes the same function with other tensors.

    Attributes
    ----------
    architecture : differs from the given one where the head had to be untied.
    tensors : Hugging Face name -> array; those that changed are float32, the others are the given
        ones, not copied. May hold biases (:func:`sw.models.llama.bias_shapes`).
    note : what was done, for reports.
    """

    architecture: Architecture
    tensors: Tensors
    note: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Site:
    """Channels whose scale can move between the layer that makes them and those that read them.

    Attributes
    ----------
    producer : stem of the producer's tensors, ``layers.0.input_layernorm`` or a linear's name.
    readers : names of the linears that read the channels; all have the same inputs.
    channels : intp (K,), the producer's channel that each input channel of a reader is.
    shiftable : a constant added to the producer's output arrives at the readers as it is.
    """

    producer: str
    readers: tuple[str, ...]
    channels: NDArray[np.intp]
    shiftable: bool

    @property
    def size(self) -> int:
        """Number of the producer's channels."""
        return int(self.channels.max()) + 1

    def gather(
        self, values: NDArray[np.floating], how: Literal["mean", "max", "min"]
    ) -> NDArray[np.float64]:
        """Per-input figures (K,) of a reader as figures per channel of the producer (size,)."""
        wide = np.asarray(values, dtype=np.float64)
        if how == "mean":
            return np.bincount(self.channels, wide) / np.bincount(self.channels)
        result = np.full(self.size, -np.inf)
        sign = 1 if how == "max" else -1
        np.maximum.at(result, self.channels, sign * wide)
        return sign * result


def sites(architecture: Architecture) -> tuple[Site, ...]:
    """The four sites of every block, in order of execution."""
    dim = architecture.head_dim
    shared = architecture.num_attention_heads // architecture.num_key_value_heads
    hidden = np.arange(architecture.hidden_size)
    inner = np.arange(architecture.intermediate_size)
    heads = np.arange(architecture.num_attention_heads) // shared
    values = (heads[:, None] * dim + np.arange(dim)).ravel()
    kinds: tuple[tuple[str, tuple[str, ...], NDArray[np.intp], bool], ...] = (
        (
            "input_layernorm",
            ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            hidden,
            True,
        ),
        ("self_attn.v_proj", ("self_attn.o_proj",), values, True),
        ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj"), hidden, True),
        ("mlp.up_proj", ("mlp.down_proj",), inner, False),
    )
    return tuple(
        Site(
            producer=f"layers.{layer}.{producer}",
            readers=tuple(f"layers.{layer}.{reader}" for reader in readers),
            channels=channels,
            shiftable=shiftable,
        )
        for layer in range(architecture.num_hidden_layers)
        for producer, readers, channels, shiftable in kinds
    )


def stem_weight(tensors: Mapping[str, NDArray[np.floating]], stem: str) -> NDArray[np.float64]:
    """The weight of a linear or norm by its stem, as float64."""
    return np.asarray(tensors[f"model.{stem}.weight"], dtype=np.float64)


def scale_site(tensors: Tensors, site: Site, scales: ArrayLike) -> None:
    """Divide the producer's channels by ``scales`` (size,), multiply the readers'; in place.

    Raises
    ------
    InputError : scales that are not (size,), finite and positive.
    """
    factors = np.asarray(scales, dtype=np.float64)
    if factors.shape != (site.size,) or not (np.isfinite(factors) & (factors > 0)).all():
        raise InputError(
            f"scales of {site.producer} must be {site.size} finite numbers above 0, "
            f"not {factors.shape} with minimum {factors.min(initial=np.inf):g}"
        )
    for part in ("weight", "bias"):
        name = f"model.{site.producer}.{part}"
        if name in tensors:
            # channels are the rows of a linear, the elements of a norm or bias
            wide = np.asarray(tensors[name], dtype=np.float64)
            tensors[name] = (wide.T / factors).T.astype(np.float32)
    for reader in site.readers:
        columns = stem_weight(tensors, reader) * factors[site.channels]
        tensors[f"model.{reader}.weight"] = columns.astype(np.float32)


def shift_site(tensors: Tensors, site: Site, shifts: ArrayLike) -> None:
    """Subtract ``shifts`` (size,) from the producer's channels, by biases; in place.

    The producer gets the bias ``-shift``, every reader ``+ W @ shift``.

    Raises
    ------
    InputError : a site that cannot be shifted, or shifts that are not (size,) and finite.
    """
    if not site.shiftable:
        raise InputError(f"channels of {site.producer} pass a gate and cannot be shifted")
    offsets = np.asarray(shifts, dtype=np.float64)
    if offsets.shape != (site.size,) or not np.isfinite(offsets).all():
        raise InputError(f"shifts of {site.producer} must be {site.size} finite numbers")
    add_bias(tensors, site.producer, -offsets)
    for reader in site.readers:
        add_bias(tensors, reader, stem_weight(tensors, reader) @ offsets[site.channels])


def add_bias(tensors: Tensors, stem: str, amount: NDArray[np.floating]) -> None:
    """Add to the bias of a linear or norm, which may have none yet; in place."""
    name = f"model.{stem}.bias"
    bias = amount + np.asarray(tensors[name], dtype=np.float64) if name in tensors else amount
    tensors[name] = bias.astype(np.float32)


def fuse_norms(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.floating]]
) -> Rewritten:
    """Move every RMSNorm gain (and bias) into the linears that read it; all gains become 1.

    The last norm's gain goes into the head. A head that was tied to the embedding becomes a tensor
    of its own, except where that gain is 1 throughout.

    Raises
    ------
    InputError : a bias of the last norm, since the head has none to take it.
    """
    new: Tensors = {name: tensors[name] for name in tensors}
    if "model.norm.bias" in new:
        raise InputError("the bias of the last norm cannot be fused: the head has no bias")
    for site in sites(architecture):
        if site.producer.endswith("norm"):
            _fuse(new, site)
    gain = stem_weight(new, "norm")
    if (gain != 1).any():
        table = EMBEDDING if architecture.tie_word_embeddings else HEAD
        new[HEAD] = (np.asarray(new[table], dtype=np.float64) * gain).astype(np.float32)
        new["model.norm.weight"] = np.ones(gain.shape, dtype=np.float32)
        architecture = replace(architecture, tie_word_embeddings=False)
    return Rewritten(architecture=architecture, tensors=new, note="norm gains fused into linears")


def _fuse(tensors: Tensors, site: Site) -> None:
    """Fuse one norm, in place."""
    gain, bias = stem_weight(tensors, site.producer), f"model.{site.producer}.bias"
    offset = np.asarray(tensors.pop(bias), dtype=np.float64) if bias in tensors else None
    for reader in site.readers:
        weights = stem_weight(tensors, reader)
        if offset is not None:
            add_bias(tensors, reader, weights @ offset)
        tensors[f"model.{reader}.weight"] = (weights * gain).astype(np.float32)
    tensors[f"model.{site.producer}.weight"] = np.ones(gain.shape, dtype=np.float32)
