"""Statistics against all inputs at once, and quantization in order of execution."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.models import Architecture, LlamaModel
from sw.models.calibrate import (
    InputStatistics,
    calibration_batches,
    collect_statistics,
    quantize_in_order,
)

TINY = Architecture(
    model_type="llama",
    vocab_size=30,
    hidden_size=6,
    intermediate_size=8,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=4,
    rms_norm_eps=1e-5,
    rope_theta=100.0,
    max_position_embeddings=16,
    tie_word_embeddings=True,
)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    shapes = TINY.expected_shapes().items()
    return LlamaModel(TINY, {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes})


@pytest.fixture(scope="module")
def batches():
    """75 tokens in uneven batches."""
    rng = np.random.default_rng(1)
    return [rng.integers(0, 30, shape) for shape in ((1, 13), (3, 5), (1, 1), (3, 14), (2, 2))]


def inputs_of(model, batches, linear=None):
    """All inputs of every linear, (tokens, K)."""
    apply, seen = linear or model.linear, {}

    def watch(name, x):
        seen.setdefault(name, []).append(x.copy())
        return apply(name, x)

    for batch in batches:
        model.forward(batch, linear=watch)
    return {name: np.concatenate(parts) for name, parts in seen.items()}


def assert_statistics(found, x, sample_rows):
    assert found.tokens == len(x)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(found.hessian, wide.T @ wide, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.mean_abs, np.abs(wide).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.mean_square, (wide**2).mean(axis=0), rtol=1e-5)
    assert np.array_equal(found.lowest, x.min(axis=0))
    assert np.array_equal(found.highest, x.max(axis=0))
    assert np.array_equal(found.largest, np.abs(x).max(axis=0))
    # evenly spaced from the first row on, at least half as many as allowed
    stride = next(s for s in (1, 2, 4, 8, 16, 32, 64, 128) if -(-len(x) // s) <= sample_rows)
    assert np.array_equal(found.sample, x[::stride])


@pytest.mark.parametrize("sample_rows", [1, 10, 37, 100])
def test_statistics_equal_those_of_all_inputs(model, batches, sample_rows):
    calls = []
    found = collect_statistics(
        model.hidden_states, model.linear, batches, sample_rows=sample_rows, progress=calls.append
    )
    expected = inputs_of(model, batches)
    assert list(found) == list(expected) == [linear.name for linear in TINY.block_linears()]
    for name, x in expected.items():
        assert_statistics(found[name], x, sample_rows)
    assert calls == [13, 28, 29, 71, 75]


def test_linears_with_the_same_inputs_share_statistics(model, batches):
    found = collect_statistics(model.hidden_states, model.linear, batches)
    objects = {name.split(".", 2)[2]: id(found[name]) for name in found if "layers.1" in name}
    q, k, v, o, gate, up, down = objects.values()
    assert q == k == v and gate == up
    assert len({q, o, gate, down}) == 4


def test_only_what_is_asked_for(model, batches):
    names = ["layers.0.mlp.up_proj", "layers.1.self_attn.o_proj"]
    found = collect_statistics(
        model.hidden_states, model.linear, batches, hessians=False, names=names
    )
    assert list(found) == names
    assert found[names[0]].hessian is None


@pytest.mark.parametrize(
    ("tokens", "channels", "damping"),
    [(100, 50, 0.15), (2048, 512, 0.075), (100000, 500, 0.01), (10, 500, 1)],
)
def test_damping_falls_with_the_tokens(tokens, channels, damping):
    channel = np.ones(channels)
    known = InputStatistics(
        tokens=tokens,
        hessian=None,
        mean_abs=channel,
        mean_square=channel,
        lowest=-channel,
        highest=channel,
        sample=np.ones((1, channels), np.float32),
    )
    assert known.damping == pytest.approx(damping)


def test_output_error(model, batches):
    name = "layers.0.mlp.down_proj"
    x = inputs_of(model, batches)[name]
    difference = np.random.default_rng(2).standard_normal((6, 8)).astype(np.float32)
    expected = np.sum((x.astype(np.float64) @ difference.T) ** 2)
    for hessians in (True, False):
        found = collect_statistics(
            model.hidden_states, model.linear, batches, hessians=hessians, sample_rows=100
        )
        assert found[name].output_error(difference) == pytest.approx(expected, rel=1e-4)


def test_batches():
    ids = np.arange(1000)
    whole = calibration_batches(ids, context=10)
    assert np.array_equal(np.concatenate([b.ravel() for b in whole]), ids)
    assert all(batch.dtype == np.int64 and batch.shape[1] == 10 for batch in whole)
    ragged = calibration_batches(ids[:25].astype(np.uint16), context=10)
    assert [batch.tolist() for batch in ragged] == [
        [list(range(10)), list(range(10, 20))],
        [list(range(20, 25))],
    ]
    # a limit takes windows from all over the text
    spread = calibration_batches(ids, context=10, limit=34)
    assert [batch[:, 0].tolist() for batch in spread] == [[0, 250, 500], [750]]
    assert [batch.shape for batch in spread] == [(3, 10), (1, 4)]
    for limit in range(1, 26):
        assert sum(b.size for b in calibration_batches(ids[:25], context=10, limit=limit)) == limit
    assert [b.shape for b in calibration_batches(np.zeros(9000, int), context=3000)] == [
        (1, 3000)
    ] * 3


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (np.zeros((2, 3), int), {"context": 4}, "1-D array of token ids"),
        (np.zeros(0, int), {"context": 4}, "non-empty"),
        (np.zeros(3), {"context": 4}, "token ids"),
        (np.zeros(3, int), {"context": 0}, "context must be at least 1 token, not 0"),
        (np.zeros(3, int), {"context": 4, "limit": 4}, "has 3 tokens, 4 are asked for"),
        (np.zeros(3, int), {"context": 4, "limit": 0}, "0 are asked for"),
    ],
)
def test_bad_tokens_are_refused(ids, options, message):
    with pytest.raises(InputError, match=message):
        calibration_batches(ids, **options)


def test_bad_calibration_is_refused(model, batches):
    with pytest.raises(InputError, match="at least one batch"):
        collect_statistics(model.hidden_states, model.linear, [])
    with pytest.raises(InputError, match="at least one batch"):
        quantize_in_order(model, [], lambda *_: None)
    with pytest.raises(InputError, match="sample_rows must be at least 1, not 0"):
        collect_statistics(model.hidden_states, model.linear, batches, sample_rows=0)

    def broken(name, x):
        y = model.linear(name, x)
        return np.full_like(y, np.nan) if name == "layers.0.self_attn.v_proj" else y

    message = r"inputs of 'layers\.0\.self_attn\.o_proj' hold NaN"
    with pytest.raises(InputError, match=message), np.errstate(invalid="ignore"):
        collect_statistics(model.hidden_states, broken, batches)


def test_statistics_of_any_model():
    """Anything with replaceable linears will do."""
    weights = {"a": np.eye(3, dtype=np.float32), "b": np.ones((2, 3), np.float32)}

    def linear(name, x):
        return x @ weights[name].T

    def forward(tokens, *, linear):
        x = np.repeat(tokens.reshape(-1, 1).astype(np.float32), 3, axis=1)
        return linear("b", linear("a", x))

    found = collect_statistics(forward, linear, [np.array([[1, 2]]), np.array([[3]])])
    assert found["a"].hessian.tolist() == [[14] * 3] * 3
    assert found["b"].sample.tolist() == [[1] * 3, [2] * 3, [3] * 3]


@pytest.mark.parametrize("staged", [True, False])
def test_quantize_in_order(model, batches, staged):
    rng = np.random.default_rng(3)
    changed, calls, seen = {}, [], {}

    def visit(name, weights, statistics):
        assert weights is model.weight(name)
        seen[name] = statistics
        if name.endswith("gate_proj"):
            return None
        changed[name] = weights + rng.standard_normal(weights.shape)
        return changed[name]

    quantize_in_order(
        model,
        batches,
        visit,
        staged=staged,
        sample_rows=100,
        progress=lambda *call: calls.append(call),
    )
    names = [linear.name for linear in TINY.block_linears()]
    assert list(seen) == names and calls == [(i, 14) for i in range(1, 15)]
    stage_of = {"q": 0, "k": 0, "v": 0, "o": 1, "gate": 2, "up": 2, "down": 3}

    def stage(name):
        parts = name.split(".")
        return int(parts[1]), stage_of[parts[3].removesuffix("_proj")] if staged else 0

    for name in names:
        # inputs of this linear where exactly the earlier stages are replaced
        def linear(other, x, name=name):
            if other in changed and stage(other) < stage(name):
                return x @ changed[other].astype(np.float32).T
            return model.linear(other, x)

        expected = inputs_of(model, batches, linear)[name]
        np.testing.assert_allclose(seen[name].sample, expected, rtol=1e-4, atol=1e-4)
        wide = expected.astype(np.float64)
        np.testing.assert_allclose(seen[name].hessian, wide.T @ wide, rtol=1e-3, atol=1e-3)


def test_long_sequences_are_refused(model):
    batch = calibration_batches(np.zeros(40, int), context=40)
    with pytest.raises(InputError, match="40 tokens are more than the model's context of 16"):
        quantize_in_order(model, batch, lambda *_: None)
