"""Shapes of a transformer of any known type, read from a Hugging Face ``config.json``.

:mod:`sw.models.architecture` reads the models that can be *run* and refuses what it would compute
wrongly; here only sizes matter, and options that change none (biases, activation functions, scaled
rotary frequencies) are ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from configs.errors import unknown_name
from sw.models.architecture import _Fields as Fields

from .families import FAMILIES, Family


@dataclass(frozen=True, kw_only=True)
class Experts:
    """Sizes of a mixture of experts.

    Attributes
    ----------
    count, per_token : experts of a layer, and how many of them see a token.
    size : intermediate size of one.
    shared_size : intermediate size of the expert that sees all tokens; 0 without one.
    layers : which layers have experts; the others are dense.
    """

    count: int
    per_token: int
    size: int
    shared_size: int
    layers: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Patches:
    """An image in patches: ``count`` of them, each of ``size`` values (channels times pixels)."""

    count: int
    size: int


@dataclass(frozen=True, kw_only=True)
class TransformerShape:
    """Sizes of a transformer; fields without a description are those of ``config.json``.

    Attributes
    ----------
    family : names of its layers and what its blocks are made of.
    embedding_size : width of the token embedding and of the head's input.
    tied : the head is the embedding.
    windows : per layer, how many tokens one token meets at most; None: all.
    rotary_size : rotated elements of a head.
    max_positions : longest context in tokens; None where the file does not say.
    """

    model_type: str
    family: Family
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    embedding_size: int
    tied: bool
    windows: tuple[int | None, ...]
    rotary_size: int
    query_norms: bool
    final_norm: bool
    max_positions: int | None
    experts: Experts | None
    patches: Patches | None

    @property
    def causal(self) -> bool:
        """Whether it predicts tokens; an encoder has no decode steps and no head."""
        return self.family.causal

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_key_value_heads * self.head_dim

    @property
    def cache_values_per_token(self) -> int:
        """Keys and values of one token, all layers."""
        return 2 * self.num_hidden_layers * self.key_value_size

    def has_experts(self, layer: int) -> bool:
        """Whether ``layer`` is a mixture of experts."""
        return self.experts is not None and layer in self.experts.layers


def read_shape(config: Mapping[str, object], where: str) -> TransformerShape:
    """Read a parsed ``config.json``.

    Parameters
    ----------
    config : its keys; those that change no size are ignored, and absent ones have the defaults of
        transformers where it has a default for the type.
    where : the file's name, for messages.

    Raises
    ------
    InputError : an unknown ``model_type``, an option that changes the products in a way that is not
        supported, or a field that is missing, ill-typed or contradicts another.
    """
    fields = Fields.of(config, where)
    model_type = fields.require("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise unknown_name(f"model_type in {where}", model_type, FAMILIES)
    family = FAMILIES[model_type]
    for key, value in family.refused.items():
        fields.only(key, value)
    hidden = _size(fields, family, "hidden_size")
    heads = _size(fields, family, "num_attention_heads")
    kv_heads, head_dim = _heads(fields, family, hidden, heads)
    layers = _layers(fields, family)
    patches = _patches(fields) if family.image else None
    query_norms, rotary = family.query_norms, family.rotary
    embedding_key, norm_key = family.embedding_key, family.final_norm_key
    positions = family.keys.get("max_position_embeddings", "max_position_embeddings")
    return TransformerShape(
        model_type=model_type,
        family=family,
        hidden_size=hidden,
        intermediate_size=_size(
            fields, family, "intermediate_size", _times(family.inner_multiple, hidden)
        ),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=0 if patches else fields.count("vocab_size"),
        embedding_size=hidden if embedding_key is None else fields.count(embedding_key, hidden),
        tied=family.causal and fields.flag("tie_word_embeddings", family.tied),
        windows=_windows(fields, family, layers),
        rotary_size=_rotary(fields, *rotary, head_dim) if rotary else 0,
        query_norms=fields.flag("qk_layernorm", False) if query_norms is None else query_norms,
        final_norm=family.final_norm and (norm_key is None or fields.flag(norm_key, True)),
        max_positions=fields.count(positions) if fields.has(positions) else None,
        experts=_experts(fields, family, layers),
        patches=patches,
    )


def _size(fields: Fields, family: Family, name: str, default: int | None = None) -> int:
    """A field, by its name in this family."""
    return fields.count(family.keys.get(name, name), default)


def _times(multiple: int | None, size: int) -> int | None:
    return None if multiple is None else multiple * size


def _layers(fields: Fields, family: Family) -> int:
    """The number of layers, within reason."""
    key = family.keys.get("num_hidden_layers", "num_hidden_layers")
    layers = fields.count(key)
    if layers > 1000:
        raise fields.wrong(key, "at most 1000")
    return layers


def _heads(fields: Fields, family: Family, hidden: int, heads: int) -> tuple[int, int]:
    """Key-value heads and the width of a head."""
    own_width = family.grouped and (fields.has("head_dim") or family.head_dim is not None)
    if not own_width and hidden % heads:
        key = family.keys.get("hidden_size", "hidden_size")
        raise fields.wrong(key, f"a multiple of the number of attention heads ({heads})")
    if not family.grouped:
        return heads, hidden // heads
    default = heads if family.all_key_value_heads else None
    kv_heads = fields.count("num_key_value_heads", default)
    if heads % kv_heads:
        raise fields.wrong("num_key_value_heads", f"a divisor of num_attention_heads ({heads})")
    return kv_heads, fields.count("head_dim", family.head_dim or hidden // heads)


def _rotary(fields: Fields, key: str, default: float, head_dim: int) -> int:
    share = fields.positive(key) if fields.has(key) else default
    if share > 1:
        raise fields.wrong(key, "at most 1")
    return int(share * head_dim)


def _windows(fields: Fields, family: Family, layers: int) -> tuple[int | None, ...]:
    """The sliding window of every layer."""
    rule = family.window_rule
    everywhere: tuple[int | None, ...] = (None,) * layers
    if rule == "none" or (rule == "switched" and not fields.flag("use_sliding_window", False)):
        return everywhere
    # null means no window, absence the default
    window = family.window if "sliding_window" not in fields.config else None
    if fields.has("sliding_window"):
        window = fields.count("sliding_window")
    if window is None:
        return everywhere
    if fields.has("layer_types"):
        sliding = _layer_types(fields, layers)
    elif rule == "even":
        sliding = [not layer % 2 for layer in range(layers)]
    elif rule == "switched":
        # 0 is allowed: every layer slides
        first = 0 if fields.config.get("max_window_layers") == 0 else None
        first = fields.count("max_window_layers") if first is None else first
        sliding = [layer >= first for layer in range(layers)]
    else:
        sliding = [True] * layers
    return tuple(window if slides else None for slides in sliding)


def _layer_types(fields: Fields, layers: int) -> list[bool]:
    """Which layers slide, where the file has a list."""
    kinds = fields.config["layer_types"]
    valid = ("sliding_attention", "full_attention")
    if (
        not isinstance(kinds, list)
        or len(kinds) != layers
        or any(kind not in valid for kind in kinds)
    ):
        raise fields.wrong("layer_types", f"a list of {layers} of {' and '.join(valid)}")
    return [kind == valid[0] for kind in kinds]


def _experts(fields: Fields, family: Family, layers: int) -> Experts | None:
    names = family.experts
    if names is None:
        return None
    count, per_token = fields.count(names.count), fields.count("num_experts_per_tok")
    if per_token > count:
        raise fields.wrong("num_experts_per_tok", f"at most {names.count} ({count})")
    every = fields.count("decoder_sparse_step", 1)
    dense = fields.config.get("mlp_only_layers") or []
    if not isinstance(dense, list) or any(type(layer) is not int for layer in dense):
        raise fields.wrong("mlp_only_layers", "a list of layer numbers")
    if names.router.startswith("block_sparse_moe"):
        every, dense = 1, []
    return Experts(
        count=count,
        per_token=per_token,
        size=fields.count(names.size),
        shared_size=fields.count(names.shared_size) if names.shared_size else 0,
        layers=frozenset(x for x in range(layers) if x not in dense and not (x + 1) % every),
    )


def _patches(fields: Fields) -> Patches:
    """Patches of a square image."""
    image, patch = fields.count("image_size"), fields.count("patch_size")
    if patch > image:
        raise fields.wrong("patch_size", f"at most image_size ({image})")
    channels = fields.count("num_channels", 3)
    return Patches(count=(image // patch) ** 2, size=channels * patch * patch)
