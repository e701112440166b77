"""The model types that can be read: what their layers are called and how a block is made.

Source: configuration and modeling files of Hugging Face transformers 4.52. Layers have the names of
the checkpoint without the prefix of the base model (``model.``, ``transformer.``, ``bert.`` ...).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class BlockNames:
    """Layers of a transformer block.

    Attributes
    ----------
    blocks : where the blocks are; block 3 of ``layers`` is ``layers.3``.
    attention : what the products of attention are called by: ``self_attn`` has
        ``self_attn.scores`` and ``self_attn.values``.
    inputs : projections to queries, keys and values, or the one that makes all three.
    output : projection of the heads' results.
    up : layers from the hidden size to the intermediate size; with ``gated`` two, or one that
        makes both.
    down : layer back to the hidden size.
    gated : one half of the intermediate values multiplies the other.
    """

    blocks: str
    attention: str
    inputs: tuple[str, ...]
    output: str
    up: tuple[str, ...]
    down: str
    gated: bool = False


@dataclass(frozen=True, kw_only=True)
class ExpertNames:
    """Layers of a mixture of experts, and the fields that give its sizes.

    Attributes
    ----------
    router : linear layer from the hidden size to one value per expert.
    up, down : layers of every expert; gated.
    count, size : fields with the number of experts and the intermediate size of one.
    shared_up, shared_down, shared_gate : the expert that sees every token; empty without one.
    shared_size : field with its intermediate size.
    """

    router: str
    up: tuple[str, ...]
    down: str
    count: str
    size: str
    shared_up: tuple[str, ...] = ()
    shared_down: str = ""
    shared_gate: str = ""
    shared_size: str = ""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One ``model_type``.

    Attributes
    ----------
    names, experts : of its layers; ``experts`` is None without a mixture.
    keys : fields of ``config.json`` that have other names than Llama's.
    causal : predicts the next token with a cache; else an encoder.
    image : reads an image in patches instead of tokens.
    grouped : may have fewer key-value heads than heads, and heads of any width.
    all_key_value_heads : as many key-value heads as heads where the file does not say.
    head_dim : width of a head where the file does not say; None: hidden size by heads.
    inner_multiple : intermediate size by hidden size where the file does not say; None: it must.
    embedding_key : field with the width of the embedding, if it may differ from the hidden size.
    tied : whether the head is tied to the embedding where the file does not say.
    window : sliding window where the file does not say; None: none.
    window_rule : layers with the window: ``all``; ``even`` ones; ``switched``: those from
        ``max_window_layers`` on, if ``use_sliding_window``; ``none``.
    norms : norms as wide as the hidden size in a block.
    query_norms : queries and keys are normalized; None: if the field ``qk_layernorm`` says so.
    sub_norms : inputs of the output and of the down projection are normalized.
    embedding_norm, final_norm : before the first and behind the last block.
    final_norm_key : field that can switch the final norm off.
    rotary : field with the share of a head that is rotated and its default; None: no rotation.
    refused : fields that must be absent or have this value, as others change the products.
    """

    names: BlockNames
    experts: ExpertNames | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    causal: bool = True
    image: bool = False
    grouped: bool = True
    all_key_value_heads: bool = False
    head_dim: int | None = None
    inner_multiple: int | None = None
    embedding_key: str | None = None
    tied: bool = False
    window: int | None = None
    window_rule: str = "none"
    norms: int = 2
    query_norms: bool | None = False
    sub_norms: bool = False
    embedding_norm: bool = False
    final_norm: bool = True
    final_norm_key: str | None = None
    rotary: tuple[str, float] | None = ("partial_rotary_factor", 1.0)
    refused: Mapping[str, object] = field(default_factory=dict)


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_LLAMA = BlockNames(
    blocks="layers",
    attention="self_attn",
    inputs=_QKV,
    output="self_attn.o_proj",
    up=("mlp.gate_proj", "mlp.up_proj"),
    down="mlp.down_proj",
    gated=True,
)
_BERT = BlockNames(
    blocks="encoder.layer",
    attention="attention.self",
    inputs=("attention.self.query", "attention.self.key", "attention.self.value"),
    output="attention.output.dense",
    up=("intermediate.dense",),
    down="output.dense",
)
_QWEN_EXPERTS = ExpertNames(
    router="mlp.gate",
    up=("mlp.experts.gate_proj", "mlp.experts.up_proj"),
    down="mlp.experts.down_proj",
    count="num_experts",
    size="moe_intermediate_size",
)
_llama = Family(names=_LLAMA, all_key_value_heads=True)
_qwen2 = Family(names=_LLAMA, window=4096, window_rule="switched")
_gemma = Family(names=_LLAMA, head_dim=256, tied=True)
_bert = Family(
    names=_BERT,
    causal=False,
    grouped=False,
    embedding_norm=True,
    final_norm=False,
    rotary=None,
    refused={
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    },
)
_phi = Family(
    names=replace(_LLAMA, output="self_attn.dense", up=("mlp.fc1",), down="mlp.fc2", gated=False),
    all_key_value_heads=True,
    norms=1,
    query_norms=None,
    rotary=("partial_rotary_factor", 0.5),
)
_opt = Family(
    names=BlockNames(
        blocks="decoder.layers",
        attention="self_attn",
        inputs=_QKV,
        output="self_attn.out_proj",
        up=("fc1",),
        down="fc2",
    ),
    keys={"intermediate_size": "ffn_dim"},
    grouped=False,
    embedding_key="word_embed_proj_dim",
    final_norm_key="do_layer_norm_before",
    tied=True,
    rotary=None,
)
_gpt2 = Family(
    names=BlockNames(
        blocks="h",
        attention="attn",
        inputs=("attn.c_attn",),
        output="attn.c_proj",
        up=("mlp.c_fc",),
        down="mlp.c_proj",
    ),
    keys={
        "hidden_size": "n_embd",
        "intermediate_size": "n_inner",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    },
    grouped=False,
    inner_multiple=4,
    tied=True,
    rotary=None,
    refused={"add_cross_attention": False},
)
_gpt_neox = Family(
    names=BlockNames(
        blocks="layers",
        attention="attention",
        inputs=("attention.query_key_value",),
        output="attention.dense",
        up=("mlp.dense_h_to_4h",),
        down="mlp.dense_4h_to_h",
    ),
    grouped=False,
    rotary=("rotary_pct", 0.25),
)
_vit = Family(
    names=replace(
        _BERT,
        attention="attention.attention",
        inputs=tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    ),
    causal=False,
    image=True,
    grouped=False,
    rotary=None,
)

#: families by ``model_type``
FAMILIES: dict[str, Family] = {
    "llama": _llama,
    "mistral": Family(names=_LLAMA, window=4096, window_rule="all"),
    "qwen2": _qwen2,
    "qwen3": replace(_qwen2, head_dim=128, query_norms=True),
    "gemma": _gemma,
    "gemma2": replace(_gemma, norms=4, window=4096, window_rule="even"),
    "bitnet": Family(names=_LLAMA, sub_norms=True),
    "phi": _phi,
    "phi3": replace(
        _llama,
        names=replace(_LLAMA, inputs=("self_attn.qkv_proj",), up=("mlp.gate_up_proj",)),
        window_rule="all",
    ),
    "opt": _opt,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "mixtral": Family(
        names=_LLAMA,
        window_rule="all",
        experts=ExpertNames(
            router="block_sparse_moe.gate",
            up=("block_sparse_moe.experts.w1", "block_sparse_moe.experts.w3"),
            down="block_sparse_moe.experts.w2",
            count="num_local_experts",
            size="intermediate_size",
        ),
    ),
    "qwen2_moe": replace(
        _qwen2,
        experts=replace(
            _QWEN_EXPERTS,
            shared_up=("mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj"),
            shared_down="mlp.shared_expert.down_proj",
            shared_gate="mlp.shared_expert_gate",
            shared_size="shared_expert_intermediate_size",
        ),
    ),
    "qwen3_moe": Family(
        names=_LLAMA,
        query_norms=True,
        experts=_QWEN_EXPERTS,
        refused={"use_sliding_window": False},
    ),
    "bert": _bert,
    "roberta": _bert,
    "vit": _vit,
}
