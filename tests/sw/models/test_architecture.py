"""Shapes from config.json: published parameter counts, defaults and refusals."""

import math

import pytest

from configs.errors import InputError
from sw.models import Architecture, LinearShape
from sw.models.architecture import EncoderArchitecture, read_architecture

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
    "tie_word_embeddings": False,
    "rope_scaling": None,
}
SMOLLM2 = LLAMA2_7B | {
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
LLAMA3_8B = LLAMA2_7B | {
    "vocab_size": 128256,
    "intermediate_size": 14336,
    "num_key_value_heads": 8,
    "rope_theta": 500000,
}
MINILM = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 30522,
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
}


def parse(**changes):
    return Architecture.from_config({**LLAMA2_7B, **changes}, where="config.json")


@pytest.mark.parametrize(
    ("config", "linears", "total"),
    [
        (LLAMA2_7B, 6_476_005_376, 6_738_415_616),
        (LLAMA3_8B, 6_979_321_856, 8_030_261_248),
        (SMOLLM2, 106_168_320, 134_515_008),
    ],
)
def test_published_parameter_counts(config, linears, total):
    architecture = Architecture.from_config(config, where="config.json")
    assert sum(linear.weights for linear in architecture.block_linears()) == linears
    assert architecture.parameter_count == total


def test_linears_are_named_one_by_one():
    architecture = Architecture.from_config(SMOLLM2, where="config.json")
    linears = architecture.linears()
    assert len(linears) == len({linear.name for linear in linears}) == 30 * 7 + 1
    assert [linear.name for linear in linears[:7]] == [
        f"layers.0.{name}"
        for name in (
            *(f"self_attn.{x}_proj" for x in "qkvo"),
            *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
        )
    ]
    shapes = {linear.name: (linear.out_features, linear.in_features) for linear in linears}
    assert shapes["layers.29.self_attn.k_proj"] == (192, 576)
    assert shapes["layers.29.mlp.down_proj"] == (576, 1536)
    assert shapes["lm_head"] == (49152, 576)
    assert LinearShape(name="x", out_features=3, in_features=5, count=2).weights == 30


def test_defaults():
    plain = dict(LLAMA2_7B)
    del plain["num_key_value_heads"], plain["tie_word_embeddings"]
    architecture = Architecture.from_config(plain, where="config.json")
    assert (architecture.num_key_value_heads, architecture.head_dim) == (32, 128)
    assert not architecture.tie_word_embeddings
    assert (architecture.rope_theta, architecture.rope_type) == (10000.0, "default")


def test_other_spellings():
    wide = parse(model_type="mistral", head_dim=64, sliding_window=1024, hidden_act="silu")
    assert (wide.query_size, wide.max_position_embeddings) == (2048, 1024)
    scaled = parse(rope_scaling={"type": "linear", "factor": 2.0})
    assert scaled.rope_type == "linear"
    newer = parse(rope_parameters={"rope_type": "llama3", "rope_theta": 5e5})
    assert (newer.rope_type, newer.rope_theta) == ("llama3", 5e5)


def test_attention_macs_counts_qk_and_pv():
    architecture = Architecture.from_config(LLAMA3_8B, where="config.json")
    per_head_qk = 7 * 100 * 128  # tokens x context x head_dim
    assert architecture.attention_macs(7, 100) == 2 * per_head_qk * 32 * 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, r"'model_type' is 'gpt2', .* supported llama, mistral, bert"),
        ({"model_type": "qwen2"}, "supported llama, mistral"),
        ({"model_type": "bert"}, "'model_type' is 'bert'"),
        ({"model_type": None}, "'model_type' is missing"),
        ({"hidden_size": None}, "config.json: field 'hidden_size' is missing"),
        ({"hidden_size": "4096"}, "'hidden_size' is '4096', .* whole number"),
        ({"hidden_size": 4096.0}, "whole number"),
        ({"num_hidden_layers": True}, "'num_hidden_layers' is True"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' is 0, .* at least 1"),
        ({"num_attention_heads": 30, "num_key_value_heads": None}, "a multiple of num_att"),
        ({"num_key_value_heads": 5}, r"a divisor of num_attention_heads \(32\)"),
        ({"head_dim": 33}, r"'head_dim' is 33, .* \(33\) is even"),
        ({"hidden_size": 32 * 3}, r"'hidden_size' is 96, .* \(3\) is even"),
        ({"rms_norm_eps": None}, "'rms_norm_eps' is missing"),
        ({"rms_norm_eps": 0}, "positive"),
        ({"rms_norm_eps": "x"}, "positive"),
        ({"rope_theta": math.inf}, "'rope_theta' is inf"),
        ({"tie_word_embeddings": 1}, "true or false"),
        ({"attention_bias": True}, "'attention_bias' is True, .* biases are not supported"),
        ({"mlp_bias": True}, "'mlp_bias'"),
        ({"hidden_act": "gelu"}, "'hidden_act' is 'gelu', it must be 'silu'"),
        ({"rope_scaling": "linear"}, "an object or null"),
        ({"rope_parameters": {"rope_theta": -1}}, "rope_parameters: field 'rope_theta' is -1"),
        ({"rope_scaling": {"rope_type": 3}}, "rope_type is 3"),
    ],
)
def test_bad_configurations_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        parse(**changes)


def test_not_an_object():
    with pytest.raises(InputError, match=r"config.json: must hold a JSON object, not list"):
        Architecture.from_config([], where="config.json")


def test_tensors_of_a_checkpoint():
    architecture = Architecture.from_config(SMOLLM2, where="config.json")
    shapes = architecture.expected_shapes()
    assert len(shapes) == 272 and "lm_head.weight" not in shapes
    assert shapes["model.embed_tokens.weight"] == (49152, 576)
    for linear in architecture.linears():
        name = architecture.weight_name(linear.name)
        assert shapes[name] == (linear.out_features, linear.in_features)
    assert architecture.weight_name("layers.3.mlp.up_proj") == "model.layers.3.mlp.up_proj.weight"
    assert architecture.weight_name("lm_head") == "model.embed_tokens.weight"
    untied = Architecture.from_config(LLAMA2_7B, where="config.json")
    assert untied.weight_name("lm_head") == "lm_head.weight"
    assert untied.expected_shapes()["lm_head.weight"] == (32000, 4096)


def test_encoder():
    architecture = read_architecture(MINILM, where="config.json")
    assert isinstance(architecture, EncoderArchitecture)
    assert isinstance(read_architecture(LLAMA2_7B, where="config.json"), Architecture)
    # 22,713,728 in the file, of which 147,840 pooler and 512 position numbers are of no use here
    assert architecture.parameter_count == 22_713_728 - 147_840 - 512
    linears, shapes = architecture.block_linears(), architecture.expected_shapes()
    assert architecture.linears() == linears and len(linears) == 36
    assert linears[0].name == "encoder.layer.0.attention.self.query"
    for linear in linears:
        name = architecture.weight_name(linear.name)
        assert shapes[name] == (linear.out_features, linear.in_features)
        assert shapes[name.replace("weight", "bias")] == (linear.out_features,)
    assert sum(linear.weights for linear in linears) == 6 * (4 * 384**2 + 2 * 384 * 1536)
    assert architecture.head_dim == 32 and architecture.tie_word_embeddings
    per_head_qk = 7 * 100 * 32
    assert architecture.attention_macs(7, 100) == 2 * per_head_qk * 12 * 6
    assert sum(name.endswith("LayerNorm.weight") for name in shapes) == 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "roberta"}, "supported llama, mistral, bert"),
        ({"hidden_act": "gelu_new"}, "'hidden_act' is 'gelu_new', it must be 'gelu'"),
        ({"position_embedding_type": "relative_key"}, "must be 'absolute'"),
        ({"is_decoder": True}, "'is_decoder' is True, it must be False"),
        ({"num_attention_heads": 7}, r"a multiple of num_attention_heads \(7\)"),
        ({"layer_norm_eps": None}, "'layer_norm_eps' is missing"),
        ({"vocab_size": 0}, "at least 1"),
        ({"num_hidden_layers": 1001}, "at most 1000"),
    ],
)
def test_bad_encoders_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        read_architecture({**MINILM, **changes}, where="config.json")


@pytest.mark.parametrize("config", [[], "x", None])
def test_any_configuration_must_be_an_object(config):
    with pytest.raises(InputError, match=r"c.json: must hold a JSON object"):
        read_architecture(config, where="c.json")
    with pytest.raises(InputError, match="'model_type' is 'llama', it must be 'bert'"):
        EncoderArchitecture.from_config(LLAMA2_7B, where="c.json")
