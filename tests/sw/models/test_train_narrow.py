"""Training for narrow registers: the width holds at every step, whatever training did."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.accumulators import single_stage_bounds
from sw.models.narrow_integers import input_scales, l1_budget, proved_bits
from sw.quantize import QuantizedModel, quantize_activations

torch = pytest.importorskip("torch", reason="PyTorch is not installed (bitsmith[train])")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from sw.models import train_narrow  # noqa: E402
from sw.models.digits_task import DigitsModel, activation_scale, integer_linear  # noqa: E402
from sw.models.train_digits import Perceptron, batches, write_data  # noqa: E402
from sw.models.train_narrow_layers import (  # noqa: E402
    NarrowLinear,
    NarrowSettings,
    NarrowWeight,
    SignedInputs,
    UnsignedInputs,
    grouped,
    l1_projection,
)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def settings(method, inner_bits, **others):
    given = {"weight_bits": 4, "activation_bits": 4} | others
    return NarrowSettings(method=method, inner_bits=inner_bits, **given)


def test_projection_meets_its_optimality_conditions():
    """Nearest point of the L1 ball: on its surface, every kept magnitude shrunk by one threshold,
    every dropped one at most that threshold (the KKT conditions, which are sufficient)."""
    rows = torch.randn(200, 9, dtype=torch.float64) * 3
    for radius in (0.5, 2.0, 7.0, 22.0):
        found = l1_projection(rows, radius)
        inside = rows.abs().sum(-1) <= radius
        assert inside.any() == (radius > 20)
        assert torch.equal(found[inside], rows[inside])
        for row, near in zip(rows[~inside], found[~inside], strict=True):
            assert abs(near.abs().sum() - radius) < 1e-9
            kept = near != 0
            threshold = (row.abs() - near.abs())[kept]
            assert threshold.max() - threshold.min() < 1e-9
            assert (row.abs()[~kept] <= threshold.max() + 1e-9).all()
            assert (row * near >= 0).all()
    assert not l1_projection(rows, 0).any()


@pytest.mark.parametrize("length, size", [(12, 4), (10, 4), (7, 7)])
def test_groups_keep_every_weight(length, size):
    weight = torch.randn(3, length)
    rows, present = grouped(weight, size)
    assert rows.shape == (3, -(-length // size), size)
    assert torch.equal(rows.flatten(1)[:, :length], weight)
    assert present.sum() == weight.numel() and not rows[present == 0].any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("method", ["a2q", "a2q_plus"])
def test_the_width_holds_for_any_parameters(method, signed):
    """Parameters that training could reach, and worse: the integers stay inside the register."""
    for inner in range(4, 17):
        for activation in (2, 4, 8):
            given = settings(method, inner, activation_bits=activation, signed=signed)
            weight = NarrowWeight(torch.randn(6, 40) + 0.7, given)
            for _ in range(3):
                levels, _ = weight.integers()
                low, high = (-(1 << activation) // 2, (1 << activation) // 2 - 1)
                inputs = (low, high) if signed else (0, (1 << activation) - 1)
                assert single_stage_bounds(levels, inputs).max_bits("inner", "saturate") <= inner
                assert np.abs(levels).sum(axis=1).max() <= l1_budget(
                    method, inner, activation, signed
                )
                with torch.no_grad():
                    weight.direction.normal_(0.3, 2)
                    weight.log_norm.normal_(0, 4)
                    weight.log_scale.normal_(-2, 3)


@pytest.mark.parametrize("method", ["a2q", "a2q_plus"])
def test_the_budget_is_used(method):
    """A row that wants more than the budget gets nearly all of it; else the bound is idle."""
    given = settings(method, 12)
    weight = NarrowWeight(torch.randn(4, 256), given)
    with torch.no_grad():
        weight.log_norm.fill_(20)
    used = np.abs(weight.integers()[0]).sum(axis=1) / given.budget
    assert used.min() > 0.3 and used.max() <= 1


def test_centring_is_what_makes_the_wide_budget_sound():
    """Weights of one sign, the A2Q+ budget, no centring: the checked width must catch it."""
    given = settings("a2q_plus", 12)
    weight = NarrowWeight(torch.rand(4, 272) + 0.5, given)
    weight._centred = lambda rows: rows
    with torch.no_grad():
        weight.direction.fill_(1)
        weight.log_norm.fill_(20)
        weight.log_scale.fill_(0)
    layer = NarrowLinear(nn.Linear(272, 4), given, 1.0)
    layer.weight = weight
    with pytest.raises(InputError, match="needs a register of 13 bits"):
        train_narrow.exported(nn.Sequential(layer), "m", given)


def test_groups_have_budgets_of_their_own():
    given = settings("a2q", 10, activation_bits=8, group_size=4, signed=True)
    layer = NarrowLinear(nn.Linear(10, 3), given, None)
    quantized, widths = train_narrow.exported(nn.Sequential(layer), "m", given)
    matrix = quantized.layers["0"]
    assert matrix.groups == 3 and widths["0"] == proved_bits(matrix, (-128, 127)) <= 10
    sums = np.add.reduceat(np.abs(matrix.levels), [0, 4, 8], axis=1)
    assert sums.max() <= given.budget and np.abs(matrix.levels).sum(axis=1).max() > given.budget


def test_values_in_training_are_those_of_the_integers():
    for method in ("a2q", "a2q_plus", "none"):
        for size in (None, 8):
            given = settings(method, 10, group_size=size)
            layer = NarrowLinear(nn.Linear(20, 5), given, 0.1)
            quantized, _ = train_narrow.exported(nn.Sequential(layer), "m", given)
            expected = quantized.layers["0"].dequantize()
            np.testing.assert_array_equal(layer.weight().detach().numpy(), expected)


def test_input_codes_are_those_of_the_numpy_side():
    x = torch.randn(7, 12) * 3
    codes, scales = quantize_activations(x.numpy(), bits=8)
    np.testing.assert_allclose(SignedInputs(8)(x), codes * scales[:, None], rtol=1e-6)
    zero = torch.zeros(2, 4)
    assert torch.equal(SignedInputs(8)(zero), zero)
    found = UnsignedInputs(4, 0.25)(torch.tensor([-1.0, 0.0, 0.3, 0.375, 9.0])).detach()
    assert found.tolist() == [0, 0, 0.25, 0.5, 3.75]


def test_gradients_reach_every_parameter():
    for method in ("a2q", "a2q_plus"):
        layer = NarrowLinear(nn.Linear(16, 4), settings(method, 9), 0.1)
        functional.mse_loss(layer(torch.rand(8, 16)), torch.ones(8, 4)).backward()
        weight = layer.weight
        assert weight.direction.grad.abs().sum() > 0 and layer.bias.grad.abs().sum() > 0
        assert weight.log_scale.grad.abs().sum() > 0
        assert layer.inputs.log_scale.grad.abs().sum() > 0
        with torch.no_grad():
            weight.log_norm.fill_(-3)  # below the budget: the norm itself is learned
        layer(torch.rand(8, 16)).sum().backward()
        assert weight.log_norm.grad.abs().sum() > 0


@pytest.mark.parametrize("method, inner", [("a2q", 11), ("a2q_plus", 10), ("none", None)])
def test_digits_training_learns_and_repeats(method, inner, tmp_path):
    given = settings(method, inner)
    runs = [
        train_narrow.train_digits(given, epochs=4, learning_rate=2e-3, seed=5) for _ in range(2)
    ]
    first, second = runs
    assert first.value == second.value and first.widths == second.widths
    for name in first.widths:
        pair = [run.quantized.layers[name].levels for run in runs]
        assert np.array_equal(*pair)
    assert first.value > 0.9 and (inner is None or first.value > first.before)
    assert inner is None or max(first.widths.values()) <= inner
    # a stranger repeats the figure from the saved integers, in numpy
    first.quantized.save(tmp_path / "m")
    loaded = QuantizedModel.load(tmp_path / "m")
    linear = integer_linear(loaded, input_scales(loaded), 4)
    assert DigitsModel.load().with_biases(loaded.float_tensors).evaluate(linear) == first.value


def test_torch_and_numpy_agree_on_the_trained_digits():
    given = settings("a2q_plus", 12)
    shipped, model = DigitsModel.load(), Perceptron()
    for name, seen in shipped.calibration_inputs(100).items():
        layer = model.get_submodule(name)
        layer.weight.data = torch.from_numpy(shipped.weights[name])
        layer.bias.data = torch.from_numpy(shipped.biases[name])
        setattr(model, name, NarrowLinear(layer, given, activation_scale(seen, 4)))
    quantized, _ = train_narrow.exported(model, "m", given)
    inputs = shipped.digits.test.inputs[:200]
    linear = integer_linear(quantized, input_scales(quantized), 4)
    ours = shipped.with_biases(quantized.float_tensors).forward(inputs, linear=linear)
    theirs = model(torch.from_numpy(inputs)).detach().numpy()
    assert (ours.argmax(1) == theirs.argmax(1)).mean() >= 0.99


def test_only_the_linear_layers_of_scribe_learn():
    given = settings("a2q", 12, activation_bits=8, group_size=32, signed=True)
    model = train_narrow.narrow_scribe(given)
    layers = train_narrow.narrow_layers(model)
    assert len(layers) == 28 and "layers.0.self_attn.q_proj" in layers
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(".weight." in name for name in learning) and len(learning) == 3 * 28
    before = {name: part.weight.integers()[0] for name, part in layers.items()}
    data = train_narrow.windows(
        np.frombuffer(b"the quick brown fox " * 200, np.uint8), 2, np.random.default_rng(0)
    )
    train_narrow.fit(model, lambda tokens: train_narrow.training_bits(model, tokens), data, 2, 1e-3)
    quantized, widths = train_narrow.exported(model, "scribe_1m", given)
    assert max(widths.values()) <= 12 and quantized.activation_bits == 8
    assert any((quantized.layers[n].levels != before[n]).any() for n in layers)


def test_batches_show_every_image_once_an_epoch():
    seen = [y for _, y in batches(torch.zeros(250, 2), torch.arange(250), 2, seed=1)]
    assert [len(part) for part in seen] == [100, 100, 50] * 2
    epochs = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert all(torch.equal(order.sort().values, torch.arange(250)) for order in epochs)
    assert not torch.equal(*epochs)


def test_written_data_is_the_shipped_data(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    write_data(tmp_path, seed=0)
    from sw.models.digits_task import digits_folder

    with np.load(tmp_path / "data.npz") as new, np.load(digits_folder() / "data.npz") as old:
        assert all(np.array_equal(new[name], old[name]) for name in ("images", "labels", "test"))


@pytest.mark.parametrize(
    "words, message",
    [
        ("digits --method a2q", "needs --inner-bits"),
        ("digits --method none --group-size 32", "for scribe_1m"),
        ("digits --method none --epochs 0", "at least 1"),
        ("digits --method a2q --inner-bits 0", "at least 1"),
        ("digits --method none --activation-bits 1", "from 2 to 16"),
        ("digits --method none --weight-bits 9", "from 2 to 8"),
    ],
)
def test_bad_command_lines_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        train_narrow.run(train_narrow.parser().parse_args(words.split()))


def test_command_line_prints_and_saves(tmp_path, capsys, monkeypatch):
    words = "digits --method a2q_plus --inner-bits 11 --activation-bits 4 --epochs 1 --output"
    monkeypatch.setattr("sys.argv", ["train_narrow", *words.split(), str(tmp_path / "m")])
    train_narrow.main()
    printed = capsys.readouterr().out
    assert "accuracy, float model: 0.9698" in printed and "proved register: 11 bits" in printed
    assert QuantizedModel.load(tmp_path / "m").recipe["training"]["inner_bits"] == 11
