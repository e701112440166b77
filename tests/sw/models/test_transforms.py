"""Rewritten models compute the same function; the rotations are exact; the searches help."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.models import Architecture, LlamaModel, load_model
from sw.models.calibrate import calibration_batches, collect_statistics
from sw.models.llama import bias_shapes
from sw.models.transforms import (
    awq,
    fuse_norms,
    hadamard,
    hadamard_matrix,
    os_plus,
    rotate_stream,
    rotate_values,
    smoothquant,
)
from sw.models.transforms.awq import awq_scales
from sw.models.transforms.fold import scale_site, shift_site, sites
from sw.models.transforms.hadamard import rotation
from sw.quantize import quantize_activations

# grouped queries, heads that do not add up to the hidden size, odd widths
GQA = Architecture(
    model_type="llama",
    vocab_size=40,
    hidden_size=12,
    intermediate_size=18,
    num_hidden_layers=2,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=4,
    rms_norm_eps=1e-5,
    rope_theta=100.0,
    max_position_embeddings=32,
    tie_word_embeddings=False,
)
TIED = dataclasses.replace(GQA, tie_word_embeddings=True)
ODD = dataclasses.replace(GQA, hidden_size=18, head_dim=6, num_key_value_heads=3)
MODELS = {"gqa": GQA, "tied": TIED, "odd": ODD}


def make(architecture, seed=0, biases=False):
    """Random weights, uneven norm gains, a few large channels."""
    rng = np.random.default_rng(seed)
    shapes = architecture.expected_shapes()
    if biases:
        optional = bias_shapes(architecture)
        shapes |= {name: shape for name, shape in optional.items() if name != "model.norm.bias"}
    tensors = {name: rng.standard_normal(shape) / 2 for name, shape in shapes.items()}
    for name in tensors:
        if name.endswith("norm.weight"):
            tensors[name] = 1 + 0.5 * tensors[name]
            tensors[name][0] *= 20
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def run(architecture, tensors):
    tokens = np.random.default_rng(7).integers(0, architecture.vocab_size, (3, 20))
    return LlamaModel(architecture, tensors).forward(tokens)


def statistics_of(architecture, tensors, **options):
    model = LlamaModel(architecture, tensors)
    ids = np.random.default_rng(8).integers(0, architecture.vocab_size, 200)
    batches = calibration_batches(ids, context=25)
    return collect_statistics(model.hidden_states, model.linear, batches, **options)


def assert_same_function(architecture, tensors, new, tolerance=1e-4):
    before = {name: tensor.copy() for name, tensor in tensors.items()}
    expected, found = run(architecture, tensors), run(new.architecture, new.tensors)
    assert np.abs(found - expected).max() < tolerance * np.ptp(expected)
    assert all(np.array_equal(before[name], tensors[name]) for name in tensors)
    changed = [n for n in new.tensors if new.tensors[n] is not tensors.get(n)]
    assert changed and all(new.tensors[n].dtype == np.float32 for n in changed)


def coarse(name, weights):
    """Weights on 15 levels per row."""
    step = np.abs(weights).max(axis=1, keepdims=True) / 7
    return np.rint(weights / step) * step


def coarse_inputs(x):
    codes, scales = quantize_activations(x, bits=5)
    return (codes * scales[:, None]).astype(np.float32)


TRANSFORMS = {
    "fuse_norms": lambda a, t, s: fuse_norms(a, t),
    "rotate_stream": lambda a, t, s: rotate_stream(a, t, seed=3),
    "rotate_values": lambda a, t, s: rotate_values(a, t, seed=3),
    "hadamard": lambda a, t, s: hadamard(a, t),
    "smoothquant": lambda a, t, s: smoothquant(a, t, s, alpha=0.6),
    "os_plus": lambda a, t, s: os_plus(a, t, s, coarse, coarse_inputs),
    "awq": lambda a, t, s: awq(a, t, s, coarse),
}


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_function_is_kept(transform, model, biases):
    architecture = MODELS[model]
    tensors = make(architecture, biases=biases)
    statistics = statistics_of(architecture, tensors)
    new = TRANSFORMS[transform](architecture, tensors, statistics)
    assert_same_function(architecture, tensors, new)
    assert new.note
    again = TRANSFORMS[transform](architecture, tensors, statistics)
    assert all(np.array_equal(again.tensors[name], new.tensors[name]) for name in new.tensors)


@pytest.fixture(scope="module")
def scribe():
    model = load_model("scribe_1m")
    tensors = {name: np.asarray(model.tensors[name]) for name in model.tensors}
    runner = LlamaModel(model.architecture, tensors)
    ids = np.frombuffer(model.heldout[:2048], dtype=np.uint8)
    batches = calibration_batches(ids, context=256)
    return (
        model.architecture,
        tensors,
        collect_statistics(runner.hidden_states, runner.linear, batches),
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_function_of_a_trained_model_is_kept(scribe, transform):
    architecture, tensors, statistics = scribe
    assert_same_function(
        architecture, tensors, TRANSFORMS[transform](architecture, tensors, statistics)
    )


def test_transforms_can_follow_each_other(scribe):
    """OS+ leaves biases, which the rotation has to turn too."""
    architecture, tensors, statistics = scribe
    first = os_plus(architecture, tensors, statistics, coarse, coarse_inputs)
    second = hadamard(first.architecture, first.tensors)
    assert_same_function(architecture, tensors, second)
    assert not any(name.endswith("norm.bias") for name in second.tensors)


# ---- folding


def test_sites_of_grouped_queries():
    first, values, _, inner = sites(GQA)[:4]
    assert first.producer == "layers.0.input_layernorm" and len(first.readers) == 3
    # heads 0..2 read value head 0, heads 3..5 value head 1
    assert values.channels.tolist() == [0, 1, 2, 3] * 3 + [4, 5, 6, 7] * 3 and values.size == 8
    assert inner.size == 18 and not inner.shiftable
    per_input = np.arange(24.0)
    assert values.gather(per_input, "max").tolist() == [8, 9, 10, 11, 20, 21, 22, 23]
    assert values.gather(per_input, "min").tolist() == [0, 1, 2, 3, 12, 13, 14, 15]
    assert values.gather(per_input, "mean").tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert len(sites(GQA)) == 8


@pytest.mark.parametrize("index", range(4))
def test_any_scale_and_shift_keeps_the_function(index):
    tensors = make(GQA)
    site, new = sites(GQA)[index], dict(tensors)
    rng = np.random.default_rng(index)
    expected = run(GQA, tensors)
    scale_site(new, site, np.exp(rng.standard_normal(site.size)))
    if site.shiftable:
        shift_site(new, site, rng.standard_normal(site.size))
        assert f"model.{site.producer}.bias" in new
    else:
        with pytest.raises(InputError, match=r"layers\.0\.mlp\.up_proj pass a gate and cannot"):
            shift_site(new, site, np.ones(site.size))
    assert np.abs(run(GQA, new) - expected).max() < 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("scales", [np.ones(3), np.zeros(12), np.full(12, np.inf), -np.ones(12)])
def test_bad_scales_are_refused(scales):
    with pytest.raises(InputError, match=r"layers\.0\.input_layernorm must be 12 finite"):
        scale_site(dict(make(GQA)), sites(GQA)[0], scales)


def test_bad_shifts_are_refused():
    with pytest.raises(InputError, match="must be 12 finite numbers"):
        shift_site(dict(make(GQA)), sites(GQA)[0], np.full(12, np.nan))


def test_fused_norms():
    tensors = make(TIED)
    new = fuse_norms(TIED, tensors)
    assert not new.architecture.tie_word_embeddings
    gain = tensors["model.norm.weight"]
    expected = tensors["model.embed_tokens.weight"] * gain
    np.testing.assert_allclose(new.tensors["lm_head.weight"], expected, rtol=1e-6)
    assert all((new.tensors[n] == 1).all() for n in new.tensors if n.endswith("norm.weight"))
    # a gain of 1 needs no head of its own
    tensors["model.norm.weight"] = np.ones(12, dtype=np.float32)
    new = fuse_norms(TIED, tensors)
    assert new.architecture.tie_word_embeddings and "lm_head.weight" not in new.tensors
    with pytest.raises(InputError, match="the bias of the last norm cannot be fused"):
        fuse_norms(TIED, {**tensors, "model.norm.bias": np.ones(12)})


# ---- Hadamard matrices


def test_hadamard_matrices_are_exact():
    for order in (1, 2, *range(4, 92, 4), 100, 128, 160, 432, 576, 960):
        matrix = hadamard_matrix(order)
        assert matrix.dtype == np.int8 and matrix.shape == (order, order)
        assert (np.abs(matrix) == 1).all()
        wide = matrix.astype(np.int64)
        assert np.array_equal(wide @ wide.T, order * np.eye(order, dtype=np.int64)), order


@pytest.mark.parametrize("order", [0, -4, 3, 6, 92, 2.0, True])
def test_orders_without_a_construction_are_refused(order):
    with pytest.raises(InputError, match="Hadamard matrix"):
        hadamard_matrix(order)


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 120), seed=st.integers(0, 1000))
def test_rotations_are_orthogonal(size, seed):
    turn = rotation(size, seed)
    np.testing.assert_allclose(turn.matrix @ turn.matrix.T, np.eye(size), atol=1e-12)
    assert np.array_equal(turn.matrix, rotation(size, seed).matrix)
    if "orthogonal" not in turn.name:
        np.testing.assert_allclose(np.abs(turn.matrix), size**-0.5)


def test_names_of_rotations():
    assert rotation(160, 0).name == "Hadamard of order 160"
    assert rotation(96, 0).name == "Hadamard of order 96"
    assert rotation(18, 0).name == "Hadamard of order 2 x random orthogonal of order 9"
    assert "x random orthogonal of order 9" in rotate_stream(ODD, make(ODD)).note
    assert not np.array_equal(rotation(16, 0).matrix, rotation(16, 1).matrix)


def test_rotation_spreads_outliers(scribe):
    architecture, tensors, statistics = scribe
    new = hadamard(architecture, tensors)
    model = LlamaModel(new.architecture, new.tensors)
    ids = np.frombuffer(load_model("scribe_1m").heldout[:2048], dtype=np.uint8)
    after = collect_statistics(
        model.hidden_states, model.linear, calibration_batches(ids, context=256), hessians=False
    )

    def peak(known):
        return known.largest.max() / np.sqrt(known.mean_square.mean())

    for layer in range(architecture.num_hidden_layers):
        name = f"layers.{layer}.mlp.up_proj"
        assert peak(after[name]) < 0.9 * peak(statistics[name])


# ---- SmoothQuant, OS+, AWQ


def test_smoothquant_formula():
    tensors = make(GQA)
    statistics = statistics_of(GQA, tensors, hessians=False)
    new = smoothquant(GQA, tensors, statistics, alpha=0.25).tensors
    gain = "model.layers.1.post_attention_layernorm.weight"
    gate, up = (f"model.layers.1.mlp.{part}_proj.weight" for part in ("gate", "up"))
    inputs = statistics["layers.1.mlp.up_proj"]
    for j in range(12):
        largest = max(abs(inputs.lowest[j]), abs(inputs.highest[j]))
        weights = max(np.abs(tensors[gate][:, j]).max(), np.abs(tensors[up][:, j]).max())
        expected = largest**0.25 / weights**0.75
        assert tensors[gain][j] / new[gain][j] == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(new[gate][:, j], tensors[gate][:, j] * expected, rtol=1e-5)


def test_smoothquant_leaves_silent_channels():
    tensors = make(GQA)
    tensors["model.layers.0.input_layernorm.weight"][3] = 0
    for part in "qkv":
        tensors[f"model.layers.0.self_attn.{part}_proj.weight"][:, 5] = 0
    new = smoothquant(GQA, tensors, statistics_of(GQA, tensors)).tensors
    gain = "model.layers.0.input_layernorm.weight"
    assert new[gain][5] == tensors[gain][5] and new[gain][3] == 0
    q = "model.layers.0.self_attn.q_proj.weight"
    assert np.array_equal(new[q][:, 3], tensors[q][:, 3])


def test_os_plus_centres_its_inputs():
    tensors = make(GQA)
    for norm in ("input_layernorm", "post_attention_layernorm"):
        # off-centre inputs, as LayerNorm models have
        tensors[f"model.layers.0.{norm}.bias"] = np.linspace(-9, 9, 12, dtype=np.float32)
    new = os_plus(GQA, tensors, statistics_of(GQA, tensors), coarse, coarse_inputs)
    after = statistics_of(GQA, new.tensors)
    for name in ("self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj"):
        known = after[f"layers.0.{name}"]
        off_centre = np.abs(known.highest + known.lowest) / known.largest
        # channels of o_proj share the shift of their value channel
        limit = 1.5 if name.endswith("o_proj") else 1e-3
        assert off_centre.max() < limit
    assert_same_function(GQA, tensors, new)


def quantized_error(architecture, tensors, reference):
    """Mean squared difference of the logits with coarse weights and inputs."""
    model = LlamaModel(architecture, tensors)

    def hook(name, x):
        return coarse_inputs(x) @ coarse(name, model.weight(name)).T

    tokens = np.random.default_rng(7).integers(0, architecture.vocab_size, (3, 20))
    return float(np.mean((model.forward(tokens, linear=hook) - reference) ** 2))


@pytest.mark.parametrize("transform", ["smoothquant", "os_plus", "awq"])
def test_transform_lowers_the_error_of_quantization(transform):
    errors = np.zeros(2)
    for seed in range(4):
        tensors = make(GQA, seed)
        reference = run(GQA, tensors)
        new = TRANSFORMS[transform](GQA, tensors, statistics_of(GQA, tensors))
        errors += [quantized_error(GQA, t, reference) for t in (tensors, new.tensors)]
    assert errors[1] < errors[0]


def test_awq_scales():
    scales = awq_scales(np.array([1.0, 4.0, 16.0]), 0.5)
    np.testing.assert_allclose(scales, [0.5, 1, 2])
    assert np.array_equal(awq_scales(np.array([0.0, 3.0]), 0.0), [1, 1])
    assert np.isfinite(awq_scales(np.array([0.0, 3.0]), 1.0)).all()


def test_awq_never_raises_the_error_on_calibration_inputs():
    tensors = make(GQA)
    statistics = statistics_of(GQA, tensors)
    calls = []
    new = awq(GQA, tensors, statistics, coarse, progress=lambda *call: calls.append(call))
    assert calls == [(i, 8) for i in range(1, 9)]

    def output_error(weights, inputs, expected):
        """In the units of ``expected``: v_proj and up_proj give other outputs than before."""
        exact = inputs @ weights.T
        units = np.sum(exact * expected, axis=0) / np.sum(exact**2, axis=0)
        np.testing.assert_allclose(exact * units, expected, rtol=1e-2, atol=1e-2)
        return np.sum(((inputs @ coarse("", weights).T - exact) * units) ** 2)

    after = statistics_of(GQA, new.tensors)
    for site in sites(GQA):
        errors = np.zeros(2)
        for name in site.readers:
            old, rewritten = (t[f"model.{name}.weight"] for t in (tensors, new.tensors))
            expected = statistics[name].sample @ old.T
            errors[0] += output_error(old, statistics[name].sample, expected)
            errors[1] += output_error(rewritten, after[name].sample, expected)
        assert errors[1] < 1.001 * errors[0], site.producer


def test_exact_quantizer_leaves_the_model():
    """Where nothing is lost, no scale is better than none."""
    tensors = make(GQA)
    new = awq(GQA, tensors, statistics_of(GQA, tensors), lambda name, weights: weights)
    assert new.note == "AWQ, mean alpha 0.00"
    assert all(new.tensors[name] is tensors[name] for name in tensors)


def test_missing_statistics_and_bad_alpha_are_refused():
    tensors = make(GQA)
    with pytest.raises(InputError, match=r"no statistics of the inputs of 'layers\.0\.self_attn"):
        smoothquant(GQA, tensors, {})
    with pytest.raises(InputError, match=r"alpha must be from 0 to 1, not 1\.5"):
        smoothquant(GQA, tensors, statistics_of(GQA, tensors), alpha=1.5)
