"""Published parameter counts, from the weights of a workload and what it does not list.

The workload gives the weights of the linear layers; embeddings, norms and biases are added here by
formulas of their own.
"""

import pytest

from configs.load import preset_names
from configs.schema import load_axis
from sw.workloads import model_workload, weight_elements


def rms(hidden, layers, per_block=2):
    """Norms without biases, and the final one."""
    return layers * per_block * hidden + hidden


def ungated_biases(hidden, inner, layers):
    """q, k, v, o, up, down with biases, two LayerNorms with biases."""
    return layers * (4 * hidden + inner + hidden + 2 * 2 * hidden)


#: preset -> published parameters, tokens that reach all experts, parameters besides the linears
PRESETS = {
    # "Llama 2", and the model cards: 6.7 B, 13.0 B, 8.03 B, 6.06 B
    "llama2_7b": (6_738_415_616, 1, 32000 * 4096 + rms(4096, 32)),
    "llama2_13b": (13_015_864_320, 1, 32000 * 5120 + rms(5120, 40)),
    "llama3_8b": (8_030_261_248, 1, 128256 * 4096 + rms(4096, 32)),
    "yi_6b": (6_061_035_520, 1, 64000 * 4096 + rms(4096, 32)),
    "mistral_7b": (7_241_732_096, 1, 32000 * 4096 + rms(4096, 32)),
    "mixtral_8x7b": (46_702_792_704, 4, 32000 * 4096 + rms(4096, 32)),
    # biases of q, k and v
    "qwen2_5_7b": (7_615_616_512, 1, 152064 * 3584 + rms(3584, 28) + 28 * (3584 + 2 * 512)),
    # norms of queries and keys, of one head each
    "qwen3_30b_a3b": (30_532_122_624, 16, 151936 * 2048 + rms(2048, 48) + 48 * 2 * 128),
    # one norm a block, biases of all linears and of the head
    "phi_2": (
        2_779_683_840,
        1,
        51200 * 2560 + 32 * (4 * 2560 + 10240 + 2560 + 2 * 2560) + 2 * 2560 + 51200,
    ),
    "phi3_mini": (3_821_079_552, 1, 32064 * 3072 + rms(3072, 32)),
    # tied, the head is the embedding; 2 positions more than usable
    "opt_1_3b": (
        1_315_758_080,
        1,
        2050 * 2048 + ungated_biases(2048, 8192, 24) + 2 * 2048,
    ),
    # word, position and type embeddings and their norm; pooler
    "bert_base": (
        109_482_240,
        1,
        (30522 + 512 + 2) * 768 + 2 * 768 + ungated_biases(768, 3072, 12) + 768 * 768 + 768,
    ),
    # positions, class token, bias of the patches, final norm; head of 1000 classes
    "vit_base": (
        86_567_656,
        197,
        197 * 768 + 768 + 768 + ungated_biases(768, 3072, 12) + 2 * 768 + 1000 * 769,
    ),
}
#: other types: config.json, published parameters, parameters besides the linears
OTHERS = {
    # the head is tied: the embedding counts once, as the weights of lm_head
    "gpt2": (
        {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12},
        124_439_808,
        1024 * 768 + ungated_biases(768, 3072, 12) + 2 * 768,
    ),
    # "Pythia", table 1
    "pythia_1_4b": (
        {
            "model_type": "gpt_neox",
            "vocab_size": 50304,
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
        },
        1_414_647_808,
        50304 * 2048 + ungated_biases(2048, 8192, 24) + 2 * 2048,
    ),
    # embeddings of half the width, projected; no final norm
    "opt_350m": (
        {
            "model_type": "opt",
            "vocab_size": 50272,
            "hidden_size": 1024,
            "word_embed_proj_dim": 512,
            "ffn_dim": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "do_layer_norm_before": False,
        },
        331_196_416,
        2050 * 1024 + ungated_biases(1024, 4096, 24),
    ),
    "gemma_7b": (
        {
            "model_type": "gemma",
            "vocab_size": 256000,
            "hidden_size": 3072,
            "intermediate_size": 24576,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "head_dim": 256,
        },
        8_537_680_896,
        rms(3072, 28),
    ),
    "gemma2_2b": (
        {
            "model_type": "gemma2",
            "vocab_size": 256000,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
        },
        2_614_341_888,
        rms(2304, 26, per_block=4),
    ),
    "qwen3_8b": (
        {
            "model_type": "qwen3",
            "vocab_size": 151936,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
        8_190_735_360,
        151936 * 4096 + rms(4096, 36) + 36 * 2 * 128,
    ),
    # biases of q, k and v; the shared expert and its gate are linears
    "qwen1_5_moe_a2_7b": (
        {
            "model_type": "qwen2_moe",
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "num_experts": 60,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 1408,
            "shared_expert_intermediate_size": 5632,
        },
        14_315_784_192,
        151936 * 2048 + rms(2048, 24) + 24 * 3 * 2048,
    ),
    # with the pooler
    "roberta_base": (
        {
            "model_type": "roberta",
            "vocab_size": 50265,
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
        },
        124_645_632,
        (50265 + 514 + 1) * 768 + 2 * 768 + ungated_biases(768, 3072, 12) + 768 * 768 + 768,
    ),
}


def weights(config, tokens=1):
    """Weights of all linear layers, the head included where it has none of its own."""
    encoder = config["model_type"] in ("bert", "roberta", "vit")
    found = model_workload(
        config,
        "config.json",
        prefill_tokens=tokens,
        decode_steps=0,
        lm_head="auto" if encoder else "last",
    )
    return weight_elements(found.prefill)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_have_the_published_parameters(name) -> None:
    published, tokens, besides = PRESETS[name]
    preset = load_axis("workload", name)
    assert weights(preset.architecture, tokens) + besides == published


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_other_types_have_the_published_parameters(name) -> None:
    config, published, besides = OTHERS[name]
    tokens = 15 if "num_experts" in config else 1
    assert weights(config, tokens) + besides == published


def test_bitnet_has_about_the_published_parameters() -> None:
    """Published are 2084.0 M weights in the blocks and 2.41 B parameters."""
    config = load_axis("workload", "bitnet_2b").architecture
    found = weights(config) - 128256 * 2560
    assert round(found / 1e6, 1) == 2084.0
    assert round((weights(config) + rms(2560, 30) + 30 * (2560 + 6912)) / 1e9, 2) == 2.41


def test_every_preset_of_shapes_is_checked() -> None:
    shapes = {n for n in preset_names("workloads") if load_axis("workload", n).architecture}
    assert shapes - {"bitnet_2b"} == set(PRESETS)
