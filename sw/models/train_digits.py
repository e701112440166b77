"""Train the classifier of :mod:`sw.models.digits_task` in floating point.

PyTorch and scikit-learn (for the images) are needed here; inference is numpy. From the root of the
repository::

    pip install torch==2.13.0 scikit-learn==1.9.1
    python -m sw.models.train_digits --output sw/models/digits

Writes ``data.npz`` (images, labels, the split) and ``model.safetensors`` (float16) and prints the
test accuracy of the latter. The seeds fix split, initial weights and order.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import nn
from torch.nn import functional

from sw.models.digits_task import (
    CLASSES,
    DATA_FILE,
    LAYERS,
    MODEL_FILE,
    PIXELS,
    DigitsModel,
    load_digits,
)

HIDDEN = 256
TEST_IMAGES = 597
BATCH = 100


def write_data(folder: Path, seed: int) -> None:
    """Write the images of scikit-learn with a random split."""
    from sklearn.datasets import load_digits as sklearn_digits

    given = sklearn_digits()
    test = np.random.default_rng(seed).permutation(len(given.target))[:TEST_IMAGES]
    np.savez_compressed(
        folder / DATA_FILE,
        images=given.data.astype(np.uint8),
        labels=given.target.astype(np.uint8),
        test=np.sort(test).astype(np.uint16),
    )


class Perceptron(nn.Module):
    """64 - 256 - 256 - 10 with ReLU."""

    def __init__(self):
        super().__init__()
        widths = [PIXELS, HIDDEN, HIDDEN, CLASSES]
        for name, inputs, outputs in zip(LAYERS, widths, widths[1:], strict=False):
            self.add_module(name, nn.Linear(inputs, outputs))

    def forward(self, x):
        for name in LAYERS:
            x = self.get_submodule(name)(x)
            x = x if name == LAYERS[-1] else functional.relu(x)
        return x


def batches(images: torch.Tensor, labels: torch.Tensor, epochs: int, seed: int):
    """(images, labels) of every step; each epoch in an order of its own."""
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for part in torch.randperm(len(images), generator=order).split(BATCH):
            yield images[part], labels[part]


def cosine(step: int, steps: int) -> float:
    """Factor of the learning rate at ``step`` of ``steps``: from 1 to almost 0."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def train(folder: Path, epochs: int, learning_rate: float, seed: int) -> float:
    """Train, save, and return the test accuracy of what was saved."""
    torch.manual_seed(seed)
    seen = load_digits(folder / DATA_FILE).train
    images, labels = torch.from_numpy(seen.inputs), torch.from_numpy(seen.labels.astype(np.int64))
    model = Perceptron()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)
    steps = epochs * -(-len(images) // BATCH)
    for step, (x, y) in enumerate(batches(images, labels, epochs, seed)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * cosine(step, steps)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    tensors = {k: v.detach().half().numpy() for k, v in model.state_dict().items()}
    save_file(tensors, folder / MODEL_FILE)
    return DigitsModel(tensors, load_digits(folder / DATA_FILE)).evaluate()


def main() -> None:
    """Command line; every number of the recipe is an option with its default."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split-seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_data(arguments.output, arguments.split_seed)
    accuracy = train(arguments.output, arguments.epochs, arguments.learning_rate, arguments.seed)
    print(f"test accuracy {accuracy:.4f} on {TEST_IMAGES} images")


if __name__ == "__main__":
    main()
