"""Shapes of a transformer, read from a Hugging Face ``config.json``."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from configs.errors import InputError

SUPPORTED = ("llama", "mistral")
ENCODER = "bert"
KNOWN = (*SUPPORTED, ENCODER)
MAX_LAYERS = 1000
SAME_SILU = ("silu", "swish")
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


@dataclass(frozen=True, kw_only=True)
class LinearShape:
    """One linear layer: ``count`` matrices of (out_features, in_features)."""

    name: str
    out_features: int
    in_features: int
    count: int = 1

    @property
    def weights(self) -> int:
        """Number of weights, all ``count`` matrices together."""
        return self.count * self.out_features * self.in_features


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A Llama-class model: RMSNorm, rotary positions, grouped-query attention, SwiGLU, no biases.

    Field names are those of ``config.json``.

    Attributes
    ----------
    max_position_embeddings : longest context in tokens; the sliding window where one is narrower,
        because attention here is always over the full context.
    rope_type : ``"default"``, or the name of a rescaling of the rotary frequencies.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    rope_type: str = "default"

    @classmethod
    def from_config(cls, config: Mapping[str, object], where: str) -> "Architecture":
        """Read a parsed ``config.json``.

        Parameters
        ----------
        config : its keys; those that do not change shapes or arithmetic are ignored.
        where : the file's name, for messages.

        Raises
        ------
        InputError : an unsupported ``model_type`` or option, or a field that is missing, ill-typed
            or contradicts another.
        """
        fields = _Fields.of(config, where)
        model_type = fields.supported_type()
        hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
        kv_heads = fields.count("num_key_value_heads", heads)
        if heads % kv_heads:
            raise fields.wrong("num_key_value_heads", f"a divisor of num_attention_heads ({heads})")
        if not fields.has("head_dim") and hidden % heads:
            raise fields.wrong("hidden_size", f"a multiple of num_attention_heads ({heads})")
        head_dim = fields.count("head_dim", hidden // heads)
        if head_dim % 2:
            where_from = "head_dim" if fields.has("head_dim") else "hidden_size"
            raise fields.wrong(where_from, f"such that head_dim ({head_dim}) is even")
        context = fields.count("max_position_embeddings")
        rope_type, rope_theta = fields.rope()
        return cls(
            model_type=model_type,
            vocab_size=fields.count("vocab_size"),
            hidden_size=hidden,
            intermediate_size=fields.count("intermediate_size"),
            num_hidden_layers=fields.layers(),
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            rms_norm_eps=fields.positive("rms_norm_eps"),
            rope_theta=rope_theta,
            max_position_embeddings=min(context, fields.count("sliding_window", context)),
            tie_word_embeddings=fields.flag("tie_word_embeddings", False),
            rope_type=rope_type,
        )

    @property
    def query_size(self) -> int:
        """Width of all query heads together."""
        return self.num_attention_heads * self.head_dim

    @property
    def key_value_size(self) -> int:
        """Width of all key (or value) heads together."""
        return self.num_key_value_heads * self.head_dim

    def block_linears(self) -> tuple[LinearShape, ...]:
        """The linear layers of all blocks in the order of execution: q, k, v, o, gate, up, down."""
        shapes = {
            "self_attn.q_proj": (self.query_size, self.hidden_size),
            "self_attn.k_proj": (self.key_value_size, self.hidden_size),
            "self_attn.v_proj": (self.key_value_size, self.hidden_size),
            "self_attn.o_proj": (self.hidden_size, self.query_size),
            "mlp.gate_proj": (self.intermediate_size, self.hidden_size),
            "mlp.up_proj": (self.intermediate_size, self.hidden_size),
            "mlp.down_proj": (self.hidden_size, self.intermediate_size),
        }
        return tuple(
            LinearShape(name=f"layers.{layer}.{name}", out_features=rows, in_features=columns)
            for layer in range(self.num_hidden_layers)
            for name, (rows, columns) in shapes.items()
        )

    def linears(self) -> tuple[LinearShape, ...]:
        """Every linear layer: those of the blocks, then ``lm_head`` (also where it is tied)."""
        head = LinearShape(
            name="lm_head", out_features=self.vocab_size, in_features=self.hidden_size
        )
        return (*self.block_linears(), head)

    @property
    def parameter_count(self) -> int:
        """Trained parameters; a tied head counts once."""
        return sum(math.prod(shape) for shape in self.expected_shapes().values())

    def weight_name(self, linear: str) -> str:
        """Name in a checkpoint of the weights of ``linear``, one of :meth:`linears`."""
        if linear == "lm_head":
            return EMBEDDING if self.tie_word_embeddings else HEAD
        return f"model.{linear}.weight"

    def expected_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor that a checkpoint must hold."""
        hidden = (self.hidden_size,)
        table = (self.vocab_size, self.hidden_size)
        shapes: dict[str, tuple[int, ...]] = {EMBEDDING: table, "model.norm.weight": hidden}
        for layer in range(self.num_hidden_layers):
            for norm in ("input_layernorm", "post_attention_layernorm"):
                shapes[f"model.layers.{layer}.{norm}.weight"] = hidden
        for linear in self.block_linears():
            shapes[self.weight_name(linear.name)] = (linear.out_features, linear.in_features)
        if not self.tie_word_embeddings:
            shapes[HEAD] = table
        return shapes

    def attention_macs(self, tokens: int, context: int) -> int:
        """Multiply-accumulates of QK and PV, all layers, for ``tokens`` that see ``context`` each.

        No discount for the causal mask, as an array that computes full tiles does not get one.
        """
        return 2 * self.num_hidden_layers * self.query_size * tokens * context


@dataclass(frozen=True, kw_only=True)
class EncoderArchitecture:
    """A BERT encoder: learned positions, biases, LayerNorm after each sum, GELU.

    Field names are those of ``config.json``; layers and tensors have the names of a ``BertModel``
    checkpoint without its pooler, which sentence embeddings do not use.
    """

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float

    @classmethod
    def from_config(cls, config: Mapping[str, object], where: str) -> "EncoderArchitecture":
        """Read a parsed ``config.json``; parameters and errors as for :class:`Architecture`."""
        fields = _Fields.of(config, where)
        if fields.require("model_type") != ENCODER:
            raise fields.wrong("model_type", f"'{ENCODER}'")
        fields.only("hidden_act", "gelu")
        fields.only("position_embedding_type", "absolute")
        fields.only("is_decoder", False)
        hidden, heads = fields.count("hidden_size"), fields.count("num_attention_heads")
        if hidden % heads:
            raise fields.wrong("hidden_size", f"a multiple of num_attention_heads ({heads})")
        return cls(
            model_type=ENCODER,
            vocab_size=fields.count("vocab_size"),
            hidden_size=hidden,
            intermediate_size=fields.count("intermediate_size"),
            num_hidden_layers=fields.layers(),
            num_attention_heads=heads,
            max_position_embeddings=fields.count("max_position_embeddings"),
            type_vocab_size=fields.count("type_vocab_size", 2),
            layer_norm_eps=fields.positive("layer_norm_eps"),
        )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def tie_word_embeddings(self) -> bool:
        """True: there is no head besides the embedding table."""
        return True

    @property
    def parameter_count(self) -> int:
        """Trained parameters that embeddings of text depend on."""
        return sum(math.prod(shape) for shape in self.expected_shapes().values())

    def block_linears(self) -> tuple[LinearShape, ...]:
        """The linear layers of all blocks in the order of execution."""
        hidden, inner = self.hidden_size, self.intermediate_size
        shapes = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        return tuple(
            LinearShape(name=f"encoder.layer.{layer}.{name}", out_features=rows, in_features=cols)
            for layer in range(self.num_hidden_layers)
            for name, (rows, cols) in shapes.items()
        )

    def linears(self) -> tuple[LinearShape, ...]:
        """Every linear layer: those of the blocks."""
        return self.block_linears()

    def weight_name(self, linear: str) -> str:
        """Name in a checkpoint of the weights of ``linear``, one of :meth:`linears`."""
        return f"{linear}.weight"

    def expected_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name -> shape of every tensor that a checkpoint must hold; it may hold a pooler too."""
        hidden = self.hidden_size
        rows = {
            "word": self.vocab_size,
            "position": self.max_position_embeddings,
            "token_type": self.type_vocab_size,
        }
        shapes: dict[str, tuple[int, ...]] = {
            f"embeddings.{name}_embeddings.weight": (count, hidden) for name, count in rows.items()
        }
        norms = ["embeddings.LayerNorm"]
        for layer in range(self.num_hidden_layers):
            block = f"encoder.layer.{layer}"
            norms += [f"{block}.attention.output.LayerNorm", f"{block}.output.LayerNorm"]
        for linear in self.block_linears():
            shapes[f"{linear.name}.weight"] = (linear.out_features, linear.in_features)
            shapes[f"{linear.name}.bias"] = (linear.out_features,)
        for norm in norms:
            shapes[f"{norm}.weight"] = shapes[f"{norm}.bias"] = (hidden,)
        return shapes

    def attention_macs(self, tokens: int, context: int) -> int:
        """Multiply-accumulates of QK and PV, all layers, for ``tokens`` that see ``context``."""
        return 2 * self.num_hidden_layers * self.hidden_size * tokens * context


def read_architecture(
    config: Mapping[str, object], where: str
) -> Architecture | EncoderArchitecture:
    """Read a parsed ``config.json`` of any supported ``model_type``.

    Parameters
    ----------
    config, where : as for :meth:`Architecture.from_config`.

    Raises
    ------
    InputError : an unsupported ``model_type`` or option, or a field that is missing, ill-typed
        or contradicts another.
    """
    model_type = _Fields.of(config, where).require("model_type")
    if model_type == ENCODER:
        return EncoderArchitecture.from_config(config, where)
    return Architecture.from_config(config, where)


@dataclass(frozen=True)
class _Fields:
    """Typed access to a configuration; JSON null counts as absent."""

    config: Mapping[str, object]
    where: str

    @classmethod
    def of(cls, config: object, where: str) -> "_Fields":
        if not isinstance(config, Mapping):
            raise InputError(f"{where}: must hold a JSON object, not {type(config).__name__}")
        return cls(config, where)

    def has(self, key: str) -> bool:
        return self.config.get(key) is not None

    def wrong(self, key: str, valid: str) -> InputError:
        return InputError(
            f"{self.where}: field '{key}' is {self.config.get(key)!r}, it must be {valid}"
        )

    def require(self, key: str) -> object:
        if not self.has(key):
            raise InputError(f"{self.where}: field '{key}' is missing")
        return self.config[key]

    def supported_type(self) -> str:
        """The model type, after refusing every option that would change the arithmetic."""
        model_type = self.require("model_type")
        if model_type not in SUPPORTED:
            raise self.wrong("model_type", f"one of the supported {', '.join(KNOWN)}")
        for key in ("attention_bias", "mlp_bias"):
            if self.flag(key, False):
                raise self.wrong(key, "false, biases are not supported")
        if self.has("hidden_act") and self.config["hidden_act"] not in SAME_SILU:
            raise self.wrong("hidden_act", "'silu'")
        return str(model_type)

    def count(self, key: str, default: int | None = None) -> int:
        value = default if default is not None and not self.has(key) else self.require(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key, "a whole number of at least 1")
        return value

    def layers(self) -> int:
        """The number of layers, within reason: every one is simulated by itself."""
        layers = self.count("num_hidden_layers")
        if layers > MAX_LAYERS:
            raise self.wrong("num_hidden_layers", f"at most {MAX_LAYERS}")
        return layers

    def positive(self, key: str) -> float:
        value = self.require(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a positive number")
        if not 0 < value <= sys.float_info.max:
            raise self.wrong(key, "a positive number")
        return float(value)

    def only(self, key: str, value: object) -> None:
        """Refuse an option that is there and differs from the one value that can be run."""
        if self.has(key) and (self.config[key] != value):
            raise self.wrong(key, repr(value))

    def flag(self, key: str, default: bool) -> bool:
        value = self.config[key] if self.has(key) else default
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def rope(self) -> tuple[str, float]:
        """Kind and base of the rotary frequencies, in the older and the newer spelling."""
        base = self.positive("rope_theta") if self.has("rope_theta") else 10000.0
        kind: object = "default"
        for key in ("rope_scaling", "rope_parameters"):
            if not self.has(key):
                continue
            nested = self.config[key]
            if not isinstance(nested, Mapping):
                raise self.wrong(key, "an object or null")
            inner = _Fields(nested, f"{self.where}: {key}")
            kind = nested.get("rope_type", nested.get("type", kind))
            base = inner.positive("rope_theta") if inner.has("rope_theta") else base
        if not isinstance(kind, str):
            raise InputError(f"{self.where}: the rope_type is {kind!r}, it must be a name")
        return kind, base
