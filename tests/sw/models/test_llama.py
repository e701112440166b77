"""Inference against an oracle written from the definition, bits per byte, captured inputs."""

import dataclasses
import math

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import (
    Architecture,
    BitsPerByte,
    LlamaModel,
    bits_per_byte,
    capture_inputs,
    quantized_linear,
)
from sw.models.llama import bias_shapes, rms_norm, silu
from sw.models.weights import expected_shapes
from sw.quantize import QuantizedModel, quantize_activations, quantize_model

TINY = Architecture(
    model_type="llama",
    vocab_size=256,
    hidden_size=6,
    intermediate_size=7,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=4,
    rms_norm_eps=1e-5,
    rope_theta=100.0,
    max_position_embeddings=16,
    tie_word_embeddings=False,
)
TEXT = b"In the beginning God created the heaven and the earth."


def make(architecture=TINY, seed=0):
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in expected_shapes(architecture).items()
    }
    return LlamaModel(architecture, tensors), tensors


def linears(tensors):
    return {
        name.removeprefix("model.").removesuffix(".weight"): tensor
        for name, tensor in tensors.items()
        if "_proj" in name
    }


def oracle_norm(architecture, x, gains):
    root = math.sqrt(sum(v * v for v in x) / len(x) + architecture.rms_norm_eps)
    return [v / root * float(gain) for v, gain in zip(x, gains, strict=True)]


def oracle_rotation(architecture, x, position):
    """Turn the pairs (i, i + dim / 2) by position / theta**(2 i / dim)."""
    dim, out = len(x), list(x)
    for i in range(dim // 2):
        angle = position / architecture.rope_theta ** (2 * i / dim)
        a, b = x[i], x[i + dim // 2]
        out[i] = a * math.cos(angle) - b * math.sin(angle)
        out[i + dim // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def oracle(architecture, tensors, tokens):
    """Logits of one sequence, every sum a Python loop in double precision."""
    heads, kv = architecture.num_attention_heads, architecture.num_key_value_heads
    dim = architecture.head_dim

    def biased(name, x):
        bias = tensors.get(name.replace(".weight", ".bias"), [0] * len(x))
        return [v + float(b) for v, b in zip(x, bias, strict=True)]

    def matvec(name, x):
        out = [sum(float(w) * v for w, v in zip(row, x, strict=True)) for row in tensors[name]]
        return biased(name, out)

    def norm(x, name):
        return biased(name, oracle_norm(architecture, x, tensors[name]))

    def turn(x, position):
        return oracle_rotation(architecture, x, position)

    states = [[float(v) for v in tensors["model.embed_tokens.weight"][t]] for t in tokens]
    for layer in range(architecture.num_hidden_layers):
        at = f"model.layers.{layer}."
        keys, values, after = [], [], []
        for position, x in enumerate(states):
            h = norm(x, at + "input_layernorm.weight")
            q, k, v = (matvec(f"{at}self_attn.{n}_proj.weight", h) for n in "qkv")
            keys.append([turn(k[g * dim : (g + 1) * dim], position) for g in range(kv)])
            values.append([v[g * dim : (g + 1) * dim] for g in range(kv)])
            mixed = []
            for head in range(heads):
                g = head * kv // heads
                query = turn(q[head * dim : (head + 1) * dim], position)
                scores = [
                    sum(a * b for a, b in zip(query, key[g], strict=True)) / math.sqrt(dim)
                    for key in keys
                ]
                weights = [math.exp(s) for s in scores]
                for i in range(dim):
                    total = sum(w * value[g][i] for w, value in zip(weights, values, strict=True))
                    mixed.append(total / sum(weights))
            out = matvec(at + "self_attn.o_proj.weight", mixed)
            x = [a + b for a, b in zip(x, out, strict=True)]
            h = norm(x, at + "post_attention_layernorm.weight")
            gate, up = (matvec(f"{at}mlp.{n}_proj.weight", h) for n in ("gate", "up"))
            inner = [g / (1 + math.exp(-g)) * u for g, u in zip(gate, up, strict=True)]
            down = matvec(at + "mlp.down_proj.weight", inner)
            after.append([a + b for a, b in zip(x, down, strict=True)])
        states = after
    head = "model.embed_tokens.weight" if architecture.tie_word_embeddings else "lm_head.weight"
    return [matvec(head, norm(x, "model.norm.weight")) for x in states]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("tied", [False, True])
def test_forward_equals_oracle(kv_heads, tied):
    architecture = dataclasses.replace(
        TINY, num_key_value_heads=kv_heads, tie_word_embeddings=tied, vocab_size=9
    )
    model, tensors = make(architecture)
    tokens = np.random.default_rng(1).integers(0, 9, (2, 6))
    logits = model.forward(tokens)
    assert logits.dtype == np.float32 and logits.shape == (2, 6, 9)
    for row in range(2):
        expected = np.array(oracle(architecture, tensors, tokens[row].tolist()))
        np.testing.assert_allclose(logits[row], expected, rtol=1e-4, atol=1e-4)


def with_biases(tensors):
    rng = np.random.default_rng(5)
    shapes = bias_shapes(TINY).items()
    return tensors | {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes}


def test_biases_equal_oracle():
    tensors = with_biases(make()[1])
    model = LlamaModel(TINY, tensors)
    tokens = [3, 200, 77, 3]
    expected = np.array(oracle(TINY, tensors, tokens))
    np.testing.assert_allclose(model.forward([tokens])[0], expected, rtol=1e-4, atol=1e-4)
    # a hook computes the product alone
    hooked = model.forward([tokens], linear=model.linear)
    assert np.array_equal(hooked, model.forward([tokens]))


def test_parts_make_the_whole():
    model, tensors = make()
    tokens = np.arange(10).reshape(2, 5)
    hidden = model.hidden_states(tokens)
    assert hidden.shape == (2, 5, 6) and hidden.dtype == np.float32
    assert np.array_equal(model.logits(hidden), model.forward(tokens))
    x = model.embed(tokens)
    for layer in range(2):
        x = model.block(layer, x)
    assert np.array_equal(rms_norm(x, tensors["model.norm.weight"], 1e-5), hidden)


def test_kv_hook_sees_rotated_keys_and_replaces_both():
    model, tensors = make()
    tokens = np.array([[3, 200, 77, 3]])
    seen = {}

    def watch(layer, k, v):
        seen[layer] = k, v
        return k, v

    assert np.array_equal(model.forward(tokens, kv=watch), model.forward(tokens))
    assert list(seen) == [0, 1]
    inputs = {}

    def linear(name, x):
        inputs[name] = x
        return model.linear(name, x)

    model.forward(tokens, linear=linear)
    for layer, (k, v) in seen.items():
        assert k.shape == v.shape == (1, 4, 2, 4)
        x = inputs[f"layers.{layer}.self_attn.k_proj"]
        straight = x @ tensors[f"model.layers.{layer}.self_attn.k_proj.weight"].T
        for position, row in enumerate(straight.reshape(4, 2, 4)):
            for head in range(2):
                turned = oracle_rotation(TINY, row[head].tolist(), position)
                np.testing.assert_allclose(k[0, position, head], turned, rtol=1e-5, atol=1e-5)
        values = x @ tensors[f"model.layers.{layer}.self_attn.v_proj.weight"].T
        assert np.array_equal(v[0].reshape(4, 8), values)

    # without values attention adds nothing: what o_proj reads is zero
    model.forward(tokens, linear=linear, kv=lambda layer, k, v: (k, 0 * v))
    assert not inputs["layers.1.self_attn.o_proj"].any()
    # with equal keys it is the mean of the values so far
    model.forward(tokens, linear=linear, kv=lambda layer, k, v: (0 * k, v))
    mean = np.cumsum(seen[0][1], axis=1) / np.arange(1, 5)[:, None, None]
    expected = np.repeat(mean, 2, axis=2).reshape(4, 16)
    np.testing.assert_allclose(inputs["layers.0.self_attn.o_proj"], expected, rtol=1e-4, atol=1e-5)


def test_float32_tensors_are_not_copied():
    _, tensors = make()
    tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float16)
    model = LlamaModel(TINY, tensors)
    name = "layers.0.mlp.up_proj"
    assert model.weight(name) is tensors[f"model.{name}.weight"]
    assert model.hidden_states([[1]]).dtype == np.float32


def test_only_needed_tensors_are_read():
    class Lazy(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    read = []
    LlamaModel(TINY, Lazy(with_biases(make()[1]) | {"model.vision.weight": np.ones(3)}))
    assert sorted(read) == sorted([*TINY.expected_shapes(), *bias_shapes(TINY)])


def test_forward_is_causal():
    model, _ = make()
    tokens = np.arange(10)[None]
    changed = np.concatenate([tokens[:, :7], tokens[:, 7:] + 50], axis=1)
    before, after = model.forward(tokens), model.forward(changed)
    np.testing.assert_allclose(before[:, :7], after[:, :7], rtol=1e-5, atol=1e-5)
    assert not np.allclose(before[:, 7], after[:, 7])


def test_silu_does_not_overflow():
    x = np.array([-1e4, -2, 0, 2, 1e4], dtype=np.float32)
    expected = [0, -2 / (1 + math.exp(2)), 0, 2 / (1 + math.exp(-2)), 1e4]
    np.testing.assert_allclose(silu(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([1, 2], "2-D integer"),
        (np.zeros((0, 3), np.int64), "non-empty"),
        ([[1.0]], "not float64"),
        ([[0] * 17], "17 tokens are more than the model's context of 16"),
        ([[3, 256]], r"token 256 is outside the vocabulary 0\.\.255"),
        ([[-1]], "token -1"),
    ],
)
def test_bad_tokens_are_refused(tokens, message):
    with pytest.raises(InputError, match=message):
        make()[0].forward(tokens)


def test_bad_tensors_are_refused():
    _, tensors = make()
    with pytest.raises(InputError, match="rope_type 'llama3' cannot be run"):
        LlamaModel(dataclasses.replace(TINY, rope_type="llama3"), tensors)
    with pytest.raises(InputError, match=r"'model.norm.weight' must have shape \(6,\), .*\(7,\)"):
        LlamaModel(TINY, {**tensors, "model.norm.weight": np.ones(7)})
    bias = "model.layers.1.mlp.up_proj.bias"
    with pytest.raises(InputError, match=r"up_proj.bias' must have shape \(7,\), it is \(6,\)"):
        LlamaModel(TINY, {**tensors, bias: np.ones(6)})
    del tensors["lm_head.weight"]
    with pytest.raises(InputError, match=r"'lm_head.weight' .* it is missing"):
        LlamaModel(TINY, tensors)


def test_bits_per_byte_equals_definition():
    model, tensors = make()
    data, calls = list(TEXT), []
    found = bits_per_byte(model, TEXT, context=5, progress=lambda *call: calls.append(call))
    windows = [data[start : start + 5] for start in range(0, len(data), 5)]
    bits = []
    for window in windows:
        logits = np.array(oracle(TINY, tensors, window))[:-1]
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        bits.append(-np.log2(chances[np.arange(len(window) - 1), window[1:]]).sum())
    sizes = [len(window) - 1 for window in windows]
    assert found.bytes == sum(sizes) == 43 and found.window_bytes.tolist() == sizes
    np.testing.assert_allclose(found.window_bits, bits, rtol=1e-4)
    assert found.mean == pytest.approx(sum(bits) / 43, rel=1e-4)
    assert calls == [(32, 43), (40, 43), (43, 43)]


def test_standard_error():
    # equal windows: the standard error of the mean of the window means
    bits = np.array([10.0, 14, 12, 20])
    found = BitsPerByte.from_windows(bits, np.full(4, 2))
    assert found.mean == 7 and found.bytes == 8
    assert found.standard_error == pytest.approx((bits / 2).std(ddof=1) / 2)
    shifted = BitsPerByte.from_windows(bits + 1, np.full(4, 2)).minus(found)
    assert (shifted.mean, shifted.standard_error) == (0.5, 0)
    assert math.isnan(BitsPerByte.from_windows(bits[:1], np.full(1, 2)).standard_error)
    with pytest.raises(InputError, match="same text and context"):
        found.minus(BitsPerByte.from_windows(bits, np.full(4, 3)))


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        (b"x", 8, "text of 1 bytes"),
        (TEXT, 1, "context must be from 2 to 16 bytes, not 1"),
        (TEXT, 17, "not 17"),
    ],
)
def test_bad_text_is_refused(text, context, message):
    with pytest.raises(InputError, match=message):
        bits_per_byte(make()[0], text, context=context)


def test_only_byte_level_models_are_measured():
    model, _ = make(dataclasses.replace(TINY, vocab_size=9))
    with pytest.raises(InputError, match="the model has 9 tokens: only byte-level"):
        bits_per_byte(model, TEXT)
    with pytest.raises(InputError, match="only byte-level"):
        capture_inputs(model, TEXT, 4)


@pytest.mark.parametrize("bits", [None, 8])
def test_quantized_linear(bits):
    _, tensors = make()
    quantized = quantize_model(
        linears(tensors), QuantizationConfig(format="bitmod_fp4", group_size=4)
    )
    hook = quantized_linear(quantized, bits)
    x = np.random.default_rng(2).standard_normal((3, 7)).astype(np.float32)
    name = "layers.1.mlp.down_proj"
    inputs = x.astype(np.float64)
    if bits:
        codes, scales = quantize_activations(x, bits=bits)
        inputs = codes * scales[:, None].astype(np.float64)
    expected = inputs @ quantized.layers[name].dequantize(np.float64).T
    found = hook(name, x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_quantized_model_runs_and_int8_is_close():
    model, tensors = make()
    quantized = quantize_model(linears(tensors), QuantizationConfig(format="int8", group_size=4))
    plain = model.forward([list(TEXT[:16])])
    close = model.forward([list(TEXT[:16])], linear=quantized_linear(quantized, 16))
    assert 0 < np.abs(close - plain).mean() < 0.05 * plain.std()


def test_partly_quantized_model():
    model, tensors = make()
    quantized = quantize_model(linears(tensors), QuantizationConfig(format="int8", group_size=4))
    name = "layers.0.mlp.up_proj"
    part = QuantizedModel(name="part", layers={name: quantized.layers[name]})
    x = np.ones((1, 6), np.float32)
    hook = quantized_linear(part, None, otherwise=model.linear)
    other = "layers.1.mlp.up_proj"
    assert np.array_equal(hook(other, x), model.linear(other, x))
    assert not np.array_equal(hook(name, x), model.linear(name, x))
    with pytest.raises(InputError, match=r"'part' has no layer 'layers.1.mlp.up_proj'"):
        quantized_linear(part, None)(other, x)


def test_capture_inputs():
    model, tensors = make()
    inputs = capture_inputs(model, TEXT, 21)
    assert list(inputs) == list(linears(tensors))
    for name, weights in linears(tensors).items():
        assert inputs[name].shape == (21, weights.shape[1]) and inputs[name].dtype == np.float32
    # the very first input is the normalized embedding, whatever the window
    rows = tensors["model.embed_tokens.weight"][list(TEXT[:21])].astype(np.float64)
    rows /= np.sqrt((rows**2).mean(axis=1, keepdims=True) + TINY.rms_norm_eps)
    rows *= tensors["model.layers.0.input_layernorm.weight"]
    np.testing.assert_allclose(inputs["layers.0.self_attn.q_proj"], rows, rtol=1e-5, atol=1e-6)
    shared = [inputs[f"layers.1.self_attn.{n}_proj"] for n in "qkv"]
    assert np.array_equal(shared[0], shared[1]) and np.array_equal(shared[0], shared[2])
    with pytest.raises(InputError, match="tokens must be from 1 to the text's 54 bytes, not 55"):
        capture_inputs(model, TEXT, 55)
