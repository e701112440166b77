"""The digits task: the data, the shipped accuracy, integer arithmetic in place of floats."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.models import load_model
from sw.models.digits_task import (
    LAYERS,
    MODEL_FILE,
    DigitsModel,
    activation_scale,
    digits_folder,
    integer_linear,
    load_digits,
    unsigned_codes,
)
from sw.models.narrow_integers import integer_matrix
from sw.quantize import QuantizedModel

#: correct of 597, printed by `python -m sw.models.train_digits`
SHIPPED_CORRECT = 579


@pytest.fixture(scope="module")
def model():
    return DigitsModel.load()


def test_data_is_split_once():
    digits = load_digits()
    assert digits.train.images.shape == (1200, 64) and digits.test.images.shape == (597, 64)
    for part in (digits.train, digits.test):
        assert part.images.max() == 16 and set(part.labels) == set(range(10))
        assert part.inputs.dtype == np.float32 and part.inputs.max() == 1


def test_data_equals_that_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    given_ = datasets.load_digits()
    with np.load(digits_folder() / "data.npz") as arrays:
        assert np.array_equal(arrays["images"], given_.data)
        assert np.array_equal(arrays["labels"], given_.target)
        assert len(np.unique(arrays["test"])) == 597


def test_shipped_model_reaches_its_figure(model):
    assert round(model.evaluate() * 597) == SHIPPED_CORRECT


def test_forward_is_the_plain_perceptron(model):
    x = model.digits.test.inputs[:7].astype(np.float64)
    for name in LAYERS:
        x = x @ model.weights[name].T.astype(np.float64) + model.biases[name]
        x = x if name == "fc3" else np.maximum(x, 0)
    np.testing.assert_allclose(model.forward(model.digits.test.inputs[:7]), x, atol=1e-4)


def test_weights_load_as_a_file_of_matrices():
    file = load_model(digits_folder() / MODEL_FILE)
    assert file.linear_shapes == {
        "fc1.weight": (256, 64),
        "fc2.weight": (256, 256),
        "fc3.weight": (10, 256),
    }


def test_calibration_inputs_come_from_training_and_are_not_negative(model):
    seen = model.calibration_inputs(50)
    assert {name: x.shape for name, x in seen.items()} == {
        "fc1": (50, 64),
        "fc2": (50, 256),
        "fc3": (50, 256),
    }
    assert np.array_equal(seen["fc1"], model.digits.train.inputs[:50])
    assert all(x.min() >= 0 for x in seen.values())
    assert len(model.calibration_inputs()["fc2"]) == 1200
    with pytest.raises(InputError, match="at least 1 image"):
        model.calibration_inputs(0)


def test_a_hook_replaces_the_layers_and_biases_can_be_replaced(model):
    zeros = model.with_biases({"fc3.bias": np.arange(10.0)})
    scores = zeros.forward(
        model.digits.test.inputs[:2], linear=lambda name, x: 0 * model.linear(name, x)
    )
    assert np.array_equal(scores, np.tile(np.arange(10, dtype=np.float32), (2, 1)))
    assert np.array_equal(zeros.biases["fc1"], model.biases["fc1"])


def rounded(model, weight_bits):
    """The layers, rounded to nearest with a scale per channel."""
    layers = {}
    for name, weight in model.weights.items():
        largest = (1 << (weight_bits - 1)) - 1
        scale = (np.abs(weight).max(axis=1, keepdims=True) / largest).astype(np.float16)
        scale = scale.astype(np.float32)
        levels = np.rint(weight / scale).clip(-largest, largest)
        layers[name] = integer_matrix(levels.astype(np.int64), scale, weight_bits, None)
    return QuantizedModel(name="digits", layers=layers)


def test_integers_of_eight_bits_keep_the_accuracy(model):
    quantized = rounded(model, 8)
    scales = {n: activation_scale(x, 8) for n, x in model.calibration_inputs().items()}
    seen = []

    def exact(name, codes, levels):
        seen.append(name)
        assert codes.dtype == levels.dtype == np.int64
        assert codes.min() >= 0 and codes.max() <= 255
        return codes @ levels.T

    linear = integer_linear(quantized, scales, 8)
    counted = integer_linear(quantized, scales, 8, accumulate=exact)
    assert abs(model.evaluate(linear) - model.evaluate()) <= 0.01
    assert model.evaluate(counted) == model.evaluate(linear)
    assert seen == list(LAYERS)


def test_a_narrow_register_costs_accuracy(model):
    """The register's simulation goes into ``accumulate``: here, one of 10 bits that wraps."""
    scales = {n: activation_scale(x, 4) for n, x in model.calibration_inputs().items()}

    def wrapped(name, codes, levels):
        return (codes @ levels.T + 512) % 1024 - 512

    quantized = rounded(model, 4)
    exact = model.evaluate(integer_linear(quantized, scales, 4))
    assert exact > 0.93
    assert model.evaluate(integer_linear(quantized, scales, 4, accumulate=wrapped)) < exact - 0.2


def test_integer_linear_equals_float_products_of_the_values():
    rng = np.random.default_rng(0)
    levels, scales = rng.integers(-7, 8, (5, 12)), np.full((5, 1), 0.25, np.float32)
    quantized = QuantizedModel(name="m", layers={"a": integer_matrix(levels, scales, 4, None)})
    x = rng.random((3, 12)).astype(np.float32)
    linear = integer_linear(quantized, {"a": 0.125}, 3)
    expected = (unsigned_codes(x, 0.125, 3) * 0.125) @ (levels * 0.25).T
    assert np.array_equal(linear("a", x), expected.astype(np.float32))
    with pytest.raises(InputError, match="no layer 'b'"):
        linear("b", x)


def test_integer_linear_refuses_what_one_register_cannot_sum():
    levels = np.ones((2, 4), dtype=np.int64)
    halves = integer_matrix(levels, np.ones((2, 2), np.float32), 4, 2)
    for layers, scales, message in [
        ({"a": halves}, {"a": 1.0}, "layer 'a' must have one scale per channel"),
        ({"a": halves}, {}, "layer 'a' has no scale"),
    ]:
        with pytest.raises(InputError, match=message):
            integer_linear(QuantizedModel(name="m", layers=layers), scales, 8)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(0, 100, width=32), min_size=1, max_size=30),
    bits=st.integers(2, 8),
)
@example(values=[7.146622168056567e-44], bits=5)
def test_activation_scale_beats_the_largest_value(values, bits):
    """The chosen scale loses no more than the one that clips nothing."""
    x = np.array(values, dtype=np.float32)
    scale = activation_scale(x, bits)
    codes = unsigned_codes(x, scale, bits)
    assert scale > 0 and codes.min() >= 0 and codes.max() < 1 << bits
    if x.max() > 1e-30:
        whole = np.float32(x.max() / ((1 << bits) - 1))
        error = [
            np.square(unsigned_codes(x, s, bits) * np.float32(s) - x, dtype=np.float64).sum()
            for s in (scale, whole)
        ]
        assert error[0] <= error[1] * (1 + 1e-5) + 1e-12


@pytest.mark.parametrize("bad", [[], [-1.0], [np.inf], [np.nan]])
def test_activation_scale_refuses(bad):
    with pytest.raises(InputError, match="unsigned activations need"):
        activation_scale(np.array(bad), 8)


def test_damaged_files_are_refused(tmp_path, model):
    with pytest.raises(InputError, match="cannot read digits from"):
        load_digits(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(InputError, match="cannot read digits from"):
        load_digits(tmp_path / "text.npz")
    images, labels = np.zeros((4, 64), np.uint8), np.zeros(4, np.uint8)
    good = {"images": images, "labels": labels, "test": np.array([1], np.uint16)}
    for change, message in [
        ({"images": images + 17}, "images must be uint8"),
        ({"images": images[:3]}, "images must be uint8"),
        ({"labels": labels + 10}, "images must be uint8"),
        ({"labels": labels.astype(int)}, "images must be uint8"),
        ({"test": np.array([4], np.uint16)}, "indices below 4"),
        ({"test": np.array([-1])}, "indices below 4"),
    ]:
        np.savez(tmp_path / "bad.npz", **(good | change))
        with pytest.raises(InputError, match=message):
            load_digits(tmp_path / "bad.npz")
    np.savez(tmp_path / "good.npz", **good)
    assert len(load_digits(tmp_path / "good.npz").train.labels) == 3
    tensors = {f"{n}.weight": w for n, w in model.weights.items()}
    with pytest.raises(InputError, match=r"'fc1\.bias' is missing"):
        DigitsModel(tensors)
    tensors |= {f"{n}.bias": b for n, b in model.biases.items()}
    with pytest.raises(InputError, match="'fc2' must map 256 inputs"):
        DigitsModel(tensors | {"fc2.weight": np.zeros((256, 64))})


def test_licence_is_stated():
    notice = digits_folder() / "licence.txt"
    assert "CC BY 4.0" in notice.read_text() and "Alpaydin" in notice.read_text()
