"""Workloads of transformers: names, products, growing contexts, experts, host work, refusals."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.models.architecture import read_architecture
from sw.workloads import FAMILIES, macs_by_operand, model_workload, weight_elements

LLAMA2_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 4096,
}
TINY = {
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "max_position_embeddings": 64,
}
MIXTRAL = TINY | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
BERT = {
    "model_type": "bert",
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "max_position_embeddings": 64,
    "layer_norm_eps": 1e-12,
}
VIT = {
    "model_type": "vit",
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "image_size": 20,
    "patch_size": 4,
}
GPT2 = {"model_type": "gpt2", "vocab_size": 50, "n_embd": 24, "n_layer": 2, "n_head": 6}


def workload(config=TINY, prefill=5, decode=4, **options):
    return model_workload(
        config, "config.json", prefill_tokens=prefill, decode_steps=decode, **options
    )


def host(found):
    return {work.name: (work.prefill, work.decode) for work in found.host}


@pytest.mark.parametrize("config", [TINY, LLAMA2_7B, TINY | {"model_type": "mistral"}, BERT])
def test_names_and_shapes_are_those_of_the_models_that_run(config) -> None:
    architecture = read_architecture(config, "config.json")
    found = workload(config, 3, 0)
    layers = {linear.name: linear for linear in architecture.linears()}
    assert [gemm.name for gemm in found.prefill] == list(layers)
    for gemm in found.prefill:
        assert (gemm.n, gemm.k) == (layers[gemm.name].out_features, layers[gemm.name].in_features)
        assert gemm.m == (1 if gemm.name == "lm_head" else 3)


def test_llama2_7b_per_token() -> None:
    """One decode step behind an empty cache is every weight once, and one key and value."""
    found = workload(LLAMA2_7B, 0, 1, attention="array")
    assert macs_by_operand(found) == {
        "weights": 6_738_415_616 - 32000 * 4096 - 65 * 4096,
        "kv_cache": 2 * 32 * 4096,
        "activations": 0,
    }


@pytest.mark.parametrize("config", [TINY, LLAMA2_7B, BERT])
@pytest.mark.parametrize("tokens", [1, 7])
def test_attention_has_the_products_of_the_architecture(config, tokens) -> None:
    architecture = read_architecture(config, "config.json")
    found = workload(config, tokens, 0, attention="array", batch=3)
    macs = macs_by_operand(found)
    assert macs["kv_cache"] + macs["activations"] == 3 * architecture.attention_macs(tokens, tokens)
    assert bool(macs["activations"]) is (config is BERT)


def test_query_heads_that_share_keys_are_stacked() -> None:
    found = workload(prefill=5, decode=3, batch=2, attention="array")
    scores, values = (g for g in found.prefill if g.name.startswith("layers.1.self_attn.s")), None
    scores = next(scores)
    values = next(g for g in found.prefill if g.name == "layers.1.self_attn.values")
    assert (scores.m, scores.n, scores.k, scores.count) == (5 * 3, 5, 4, 2 * 2)
    assert (values.m, values.n, values.k, values.count) == (5 * 3, 4, 5, 2 * 2)
    step = {g.name: g for g in found.decode}
    scores, values = (step[f"layers.1.self_attn.{x}"] for x in ("scores", "values"))
    assert (scores.m, scores.n, scores.k, scores.grows) == (3, 6, 4, "n")
    assert (values.m, values.n, values.k, values.grows) == (3, 4, 6, "k")
    assert scores.at_step(2).n == values.at_step(2).k == 8
    assert scores.operand == values.operand == "kv_cache"
    names = [gemm.name for gemm in found.prefill][:6]
    assert names == [
        f"layers.0.self_attn.{x}"
        for x in ("q_proj", "k_proj", "v_proj", "scores", "values", "o_proj")
    ]


@pytest.mark.parametrize(
    ("choice", "tied", "prefill", "decode"),
    [
        ("auto", False, 2, 2),
        ("last", False, 2, 2),
        ("all", False, 10, 2),
        ("none", False, None, None),
        ("auto", True, None, None),
        ("last", True, 2, 2),
        ("all", True, 10, 2),
    ],
)
def test_rows_of_the_head(choice, tied, prefill, decode) -> None:
    config = TINY | {"tie_word_embeddings": tied}
    found = workload(config, batch=2, lm_head=choice)
    for gemms, rows in ((found.prefill, prefill), (found.decode, decode)):
        assert [g.m for g in gemms if g.name == "lm_head"] == ([] if rows is None else [rows])
    on_host = host(found).get("products of lm_head")
    assert on_host == ((2 * 50 * 24, 4 * 2 * 50 * 24) if choice == "auto" and tied else None)


def test_experts_are_balanced() -> None:
    found = workload(MIXTRAL, 13, 2, batch=3)
    layer = {g.name.split("block_sparse_moe.")[1]: g for g in found.prefill if "moe" in g.name}
    # 39 tokens to 2 experts each: 78 over 8 are 10 at most
    assert {n: (g.m, g.n, g.k, g.count) for n, g in layer.items()} == {
        "gate": (39, 8, 24, 1),
        "experts.w1": (10, 40, 24, 8),
        "experts.w3": (10, 40, 24, 8),
        "experts.w2": (10, 24, 40, 8),
    }
    assert "prefill: 8 of 8 experts active, 10 tokens each (78 rounded up)" in found.assumptions
    # one step of 3 tokens: 6 experts with one token each, and only their weights
    step = {g.name: (g.m, g.count) for g in found.decode}
    assert step["layers.2.block_sparse_moe.experts.w2"] == (1, 6)
    assert "decode: 6 of 8 experts active, 1 tokens each" in found.assumptions
    attention = 2 * 24 * 24 + 2 * 8 * 24
    assert weight_elements(found.decode) == 50 * 24 + 3 * (attention + 8 * 24 + 6 * 3 * 24 * 40)


def test_dense_layers_and_shared_experts_of_qwen() -> None:
    config = MIXTRAL | {
        "model_type": "qwen2_moe",
        "num_experts": 4,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 12,
        "decoder_sparse_step": 2,
        "num_hidden_layers": 4,
        "mlp_only_layers": [3],
    }
    names = [g.name for g in workload(config, 3, 0).prefill]
    assert [x for x in range(4) if f"layers.{x}.mlp.down_proj" in names] == [0, 2, 3]
    assert [x for x in range(4) if f"layers.{x}.mlp.gate" in names] == [1]
    sizes = {g.name: (g.m, g.n, g.k, g.count) for g in workload(config, 3, 0).prefill}
    assert sizes["layers.1.mlp.shared_expert.up_proj"] == (3, 12, 24, 1)
    assert sizes["layers.1.mlp.shared_expert.down_proj"] == (3, 24, 12, 1)
    assert sizes["layers.1.mlp.shared_expert_gate"] == (3, 1, 24, 1)
    assert sizes["layers.1.mlp.experts.gate_proj"] == (2, 16, 24, 4)


def contexts(found, layer=0):
    """Context of a layer in every decode step."""
    gemm = next(g for g in found.decode if g.name == f"layers.{layer}.self_attn.scores")
    return [gemm.at_step(step).n for step in range(found.decode_steps)]


@pytest.mark.parametrize(
    ("changes", "sliding"),
    [
        ({"model_type": "mistral", "sliding_window": 7}, {0, 1, 2}),
        ({"model_type": "mistral", "sliding_window": None}, set()),
        ({"model_type": "mixtral"} | MIXTRAL | {"sliding_window": 7}, {0, 1, 2}),
        ({"model_type": "phi3"}, set()),
        ({"model_type": "phi3", "sliding_window": 7}, {0, 1, 2}),
        ({"model_type": "gemma2", "sliding_window": 7}, {0, 2}),
        ({"model_type": "qwen2", "sliding_window": 7, "max_window_layers": 1}, set()),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 7,
                "use_sliding_window": True,
                "max_window_layers": 1,
            },
            {1, 2},
        ),
        (
            {
                "model_type": "gemma2",
                "sliding_window": 7,
                "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
            },
            {1, 2},
        ),
        ({"model_type": "llama", "sliding_window": 7}, set()),
    ],
)
def test_sliding_windows(changes, sliding) -> None:
    found = workload(TINY | changes, 4, 6, attention="array")
    for layer in range(3):
        limit = 7 if layer in sliding else math.inf
        assert contexts(found, layer) == [min(4 + s + 1, limit) for s in range(6)]
    assert any("sliding window" in text for text in found.assumptions) is bool(sliding)
    long = workload(TINY | changes, 9, 1, attention="array")
    prompt = {g.name: g for g in long.prefill}
    for layer in range(3):
        assert prompt[f"layers.{layer}.self_attn.values"].k == (7 if layer in sliding else 9)


def test_the_window_of_mistral_where_the_file_is_silent() -> None:
    """As in transformers: 4096, and null is none."""
    config = TINY | {"model_type": "mistral"}
    assert contexts(workload(config, 5000, 1, attention="array")) == [4096]
    config["sliding_window"] = None
    assert contexts(workload(config, 5000, 1, attention="array")) == [5001]


def test_an_image_is_patches_and_a_class_token() -> None:
    found = workload(VIT, 26, 0, batch=3, attention="array")
    sizes = {g.name: (g.m, g.n, g.k, g.count, g.operand) for g in found.prefill}
    patches = "embeddings.patch_embeddings.projection"
    assert sizes[patches] == (3 * 25, 24, 3 * 16, 1, "weights")
    layer = "encoder.layer.1."
    assert sizes[layer + "attention.attention.query"] == (3 * 26, 24, 24, 1, "weights")
    assert sizes[layer + "attention.attention.scores"] == (26, 26, 4, 18, "activations")
    assert sizes[layer + "attention.output.dense"] == (3 * 26, 24, 24, 1, "weights")
    assert sizes[layer + "output.dense"] == (3 * 26, 24, 40, 1, "weights")
    with pytest.raises(InputError, match="26 tokens: prefill_tokens is 256, it must be that"):
        workload(VIT, 256, 0)


def test_fused_projections_and_other_names() -> None:
    names = {g.name: (g.n, g.k) for g in workload(TINY | {"model_type": "phi3"}, 1, 0).prefill}
    assert names["layers.0.self_attn.qkv_proj"] == (24 + 2 * 8, 24)
    assert names["layers.0.mlp.gate_up_proj"] == (80, 24)
    assert names["layers.0.mlp.down_proj"] == (24, 40)
    assert {g.name: (g.n, g.k) for g in workload(GPT2, 1, 0).prefill if "h.1." in g.name} == {
        "h.1.attn.c_attn": (72, 24),
        "h.1.attn.c_proj": (24, 24),
        "h.1.mlp.c_fc": (96, 24),
        "h.1.mlp.c_proj": (24, 96),
    }
    opt = TINY | {"model_type": "opt", "ffn_dim": 40, "word_embed_proj_dim": 10}
    found = {g.name: (g.m, g.n, g.k) for g in workload(opt, 5, 0, lm_head="last").prefill}
    assert found["decoder.project_in"] == (5, 24, 10)
    assert found["decoder.project_out"] == (1, 10, 24)
    assert found["lm_head"] == (1, 50, 10)
    assert found["decoder.layers.2.fc1"] == (5, 40, 24)
    assert found["decoder.layers.2.self_attn.k_proj"] == (5, 24, 24)


def test_host_work_of_a_small_model() -> None:
    """Every entry written out by hand: 2 sequences of 5 tokens, then 4 steps."""
    found = workload(batch=2, attention="array")
    rows, steps = 2 * 5, 2 * 4
    pairs, later = 2 * 5 * 5, 2 * (6 + 7 + 8 + 9)
    quantized = 3 * (2 * 24 + 24 + 40) + 3 * (24 + 2 * 8)
    results = 3 * (24 + 2 * 8 + 24 + 2 * 40 + 24) + 3 * 24
    assert host(found) == {
        "embedding": (rows * 24, steps * 24),
        "norms": (rows * 7 * 24, steps * 7 * 24),
        "rotary positions": (rows * 3 * 8 * 4, steps * 3 * 8 * 4),
        "softmax": (3 * 6 * pairs, 3 * 6 * later),
        "activation function": (rows * 3 * 40, steps * 3 * 40),
        "residual sums": (rows * 3 * 2 * 24, steps * 3 * 2 * 24),
        "activation quantization": (
            rows * quantized + 3 * 6 * pairs + 2 * 24,
            steps * quantized + 3 * 6 * later + steps * 24,
        ),
        "rescaling of results": (
            rows * results + 3 * 6 * pairs + 2 * 50,
            steps * results + 3 * 6 * later + steps * 50,
        ),
    }
    elsewhere = host(workload(batch=2))
    assert elsewhere["products of attention"] == (2 * 24 * 3 * pairs, 2 * 24 * 3 * later)
    assert elsewhere["softmax"] == host(found)["softmax"]
    # queries, new keys and values and probabilities stay on the host
    assert elsewhere["activation quantization"] == tuple(
        all_of_it - tokens * 3 * (24 + 2 * 8) - 3 * 6 * products
        for all_of_it, tokens, products in zip(
            host(found)["activation quantization"], (rows, steps), (pairs, later), strict=True
        )
    )


def test_host_work_of_other_types() -> None:
    assert host(workload(TINY | {"model_type": "qwen3", "head_dim": 4}))["norms"] == (
        5 * (7 * 24 + 3 * (24 + 8)),
        4 * (7 * 24 + 3 * (24 + 8)),
    )
    assert host(workload(TINY | {"model_type": "bitnet"}))["norms"][0] == 5 * (
        7 * 24 + 3 * (24 + 40)
    )
    assert host(workload(TINY | {"model_type": "gemma2", "head_dim": 4}))["norms"][0] == 5 * 13 * 24
    # its further norms are behind the layers, not before
    gemma = host(workload(TINY | {"model_type": "gemma2", "head_dim": 4}))
    assert gemma["activation quantization"][0] == 5 * 3 * (2 * 24 + 24 + 40)
    assert host(workload(BERT, 5, 0))["norms"] == (5 * 5 * 24, 0)
    neox = host(workload(TINY | {"model_type": "gpt_neox"}))
    assert neox["rotary positions"][0] == 5 * 3 * 12
    phi = host(workload(TINY | {"model_type": "phi", "partial_rotary_factor": 0.5}))
    assert phi["norms"][0] == 5 * 4 * 24
    assert phi["activation quantization"][0] == 5 * 3 * (24 + 24 + 40) + 24
    assert phi["rotary positions"][0] == 5 * 3 * 8 * 2
    assert "rotary positions" not in host(workload(GPT2))
    moe = host(workload(MIXTRAL))
    assert moe["activation function"][0] == 5 * 3 * 2 * 40
    assert moe["routing of experts"][0] == 5 * 3 * (8 + 2 * 24)


def sizes():
    return st.integers(1, 9)


@st.composite
def configs(draw):
    """Small configurations of a random causal type."""
    kinds = sorted(name for name, family in FAMILIES.items() if family.causal)
    kv_heads, groups, head_dim = draw(sizes()), draw(st.integers(1, 3)), draw(sizes())
    heads = kv_heads * groups
    layers = draw(st.integers(1, 4))
    values = {
        "model_type": draw(st.sampled_from(kinds)),
        "vocab_size": draw(sizes()),
        "hidden_size": heads * head_dim,
        "intermediate_size": draw(sizes()),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "sliding_window": draw(st.none() | st.integers(1, 20)),
        "use_sliding_window": True,
        "max_window_layers": draw(st.integers(0, 4)),
        "tie_word_embeddings": draw(st.booleans()),
        "num_local_experts": 4,
        "num_experts": 4,
        "num_experts_per_tok": draw(st.integers(1, 4)),
        "moe_intermediate_size": draw(sizes()),
        "shared_expert_intermediate_size": draw(sizes()),
    }
    if values["model_type"] == "qwen3_moe":
        values["use_sliding_window"] = False
    values |= {"n_embd": heads * head_dim, "n_head": heads, "n_layer": layers}
    return values | {"ffn_dim": values["intermediate_size"]}


@settings(deadline=None)
@given(
    configs(),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 3),
    st.sampled_from(["auto", "last", "all", "none"]),
)
def test_any_configuration(config, prompt, steps, batch, head) -> None:
    """Sums over steps, and products of attention counted pair by pair."""
    if not prompt + steps:
        steps = 1
    options = {"batch": batch, "lm_head": head}
    found = workload(config, prompt, steps, attention="array", **options)
    by_step = sum(g.macs for g in found.prefill) + sum(
        g.at_step(step).macs for g in found.decode for step in range(found.decode_steps)
    )
    assert found.macs == by_step == sum(macs_by_operand(found).values())
    for gemms in (found.prefill, found.decode):
        assert not [name for name, times in Counter(g.name for g in gemms).items() if times > 1]
    bare = workload(config, prompt, steps, **options)
    linears = [g for g in found.prefill + found.decode if g.operand == "weights"]
    assert list(bare.prefill + bare.decode) == linears
    pairs = batch * sum(
        sum(min(prompt, window) for _ in range(prompt))
        + sum(min(prompt + step + 1, window) for step in range(steps))
        for window in windows(config)
    )
    width = config["hidden_size"]
    assert macs_by_operand(found)["kv_cache"] == 2 * width * pairs
    assert sum(host(found)["softmax"]) == config["num_attention_heads"] * pairs
    assert sum(host(bare)["products of attention"]) == 2 * width * pairs
    results = sum(g.results for g in found.prefill) + sum(
        g.at_step(step).results for g in found.decode for step in range(steps)
    )
    assert sum(host(found)["rescaling of results"]) == results


def windows(config):
    """Windows of all layers, from the description of the types."""
    layers, kind = config["num_hidden_layers"], config["model_type"]
    window = config["sliding_window"] or math.inf
    sliding = {
        "mistral": range(layers),
        "mixtral": range(layers),
        "phi3": range(layers),
        "gemma2": range(0, layers, 2),
        "qwen2": range(config["max_window_layers"], layers),
        "qwen3": range(config["max_window_layers"], layers),
        "qwen2_moe": range(config["max_window_layers"], layers),
    }.get(kind, ())
    return [window if layer in sliding else math.inf for layer in range(layers)]


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"model_type": "lama"}, {}, "unknown model_type in config.json 'lama': did you mean 'lla"),
        ({"model_type": 3}, {}, "unknown model_type in config.json '3': valid are bert, bitnet"),
        ({}, {}, "config.json: field 'model_type' is missing"),
        (TINY | {"model_type": "mistral", "num_key_value_heads": None}, {}, "heads' is missing"),
        (TINY | {"num_key_value_heads": 4}, {}, "it must be a divisor of num_attention_heads"),
        (TINY | {"hidden_size": 25}, {}, "'hidden_size' is 25, it must be a multiple of"),
        (GPT2 | {"n_embd": 25}, {}, "'n_embd' is 25, it must be a multiple of"),
        (TINY | {"num_hidden_layers": 1001}, {}, "'num_hidden_layers' is 1001, it must be at most"),
        (TINY | {"vocab_size": "50"}, {}, "'vocab_size' is '50', it must be a whole number"),
        (MIXTRAL | {"num_experts_per_tok": 9}, {}, "at most num_local_experts"),
        (MIXTRAL | {"sliding_window": 0}, {}, "'sliding_window' is 0, it must be a whole"),
        (BERT | {"position_embedding_type": "relative_key"}, {}, "it must be 'absolute'"),
        (BERT, {"decode": 0, "lm_head": "all"}, "a bert has no lm_head: lm_head is 'all'"),
        (BERT, {}, "a bert is an encoder and generates no tokens: decode_steps is 4"),
        (VIT | {"patch_size": 21}, {}, "'patch_size' is 21, it must be at most image_size"),
        (TINY, {"prefill": 0, "decode": 0}, "both 0: nothing to run"),
        (TINY, {"prefill": -1}, "prefill_tokens is -1, valid are"),
        (TINY, {"batch": 0}, "batch is 0, valid are"),
        (TINY, {"lm_head": "first"}, "unknown value of lm_head 'first'"),
        (TINY, {"attention": "aray"}, "did you mean 'array'"),
        (
            TINY | {"model_type": "gemma2", "layer_types": ["full_attention"]},
            {},
            "'layer_types' is .* it must be a list of 3 of",
        ),
        (
            TINY | {"model_type": "phi", "partial_rotary_factor": 1.5},
            {},
            "'partial_rotary_factor' is 1.5, it must be at most 1",
        ),
        (
            TINY | {"model_type": "qwen2", "use_sliding_window": True},
            {},
            "'max_window_layers' is missing",
        ),
    ],
)
def test_refusals(config, options, message) -> None:
    with pytest.raises(InputError, match=message) as error:
        workload(config, **options)
    assert "\n" not in str(error.value)


def test_assumptions_are_stated() -> None:
    assert workload(prefill=1, decode=0, attention="array").assumptions == ()
    found = workload(TINY | {"tie_word_embeddings": True}, 60, 8, batch=2).assumptions
    assert found == (
        "all 2 sequences have the same length and run together",
        "products of attention in the prefill count as whole rectangles: no causal discount",
        "lm_head is tied to the embedding and left to the host",
        "logits are computed of the last prompt token of each sequence only",
        "the host computes the products of attention and keeps the cache",
        "the context of 68 tokens exceeds the model's 64",
    )
