"""A classifier of handwritten digits: a second task, small enough to train in seconds.

The images are the 1,797 of the test part of "Optical Recognition of Handwritten Digits" (E.
Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0): 8 x 8 pixels of 0 to 16. A
perceptron with two hidden layers and ReLU reads them (:mod:`sw.models.train_digits` trained it), so
every input of a linear layer is at least 0: the case in which A2Q+ doubles the budget of A2Q.
"""

import importlib.resources
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError
from sw.quantize import QuantizedModel
from sw.quantize.quantizer import check_activation_bits

from .evaluate import InputRecorder
from .llama import Floats, LinearHook
from .readers import open_tensors

DATA_FILE, MODEL_FILE = "data.npz", "model.safetensors"
PIXELS, PIXEL_MAX, CLASSES = 64, 16, 10
LAYERS = ("fc1", "fc2", "fc3")
#: shares of the largest input at which :func:`activation_scale` tries to clip
CLIP_SHARES = np.arange(20, 101) / 100

Accumulate = Callable[[str, NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
"""``accumulate(name, codes, levels)``: sums (rows, N) of codes (rows, K) times levels (N, K)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DigitImages:
    """Images and what they show.

    Attributes
    ----------
    images : uint8 (rows, 64), pixels 0 (paper) to 16 (ink), row by row.
    labels : uint8 (rows,), 0 to 9.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def inputs(self) -> Floats:
        """What the first layer reads: pixels as 0 to 1, float32 (rows, 64)."""
        return self.images.astype(np.float32) / np.float32(PIXEL_MAX)


@dataclass(frozen=True, kw_only=True, eq=False)
class Digits:
    """The data set, split once and for all: 1,200 images to train on, 597 to test on."""

    train: DigitImages
    test: DigitImages


def digits_folder() -> Path:
    """Folder of the data and the trained weights inside the installed package."""
    return Path(str(importlib.resources.files("sw.models") / "digits"))


def load_digits(path: str | os.PathLike[str] | None = None) -> Digits:
    """The images of ``path``, or those that bitsmith ships.

    Parameters
    ----------
    path : npz file with ``images`` uint8 (rows, 64), ``labels`` uint8 (rows,) and ``test``, indices
        of the images that training must not see.

    Raises
    ------
    InputError : the file is missing, not npz, or its arrays are not those.
    """
    file = digits_folder() / DATA_FILE if path is None else Path(path)
    try:
        with np.load(file, allow_pickle=False) as arrays:
            images, labels, test = (arrays[name] for name in ("images", "labels", "test"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read digits from {file}: {error}") from error
    rows = len(labels) if labels.ndim == 1 else 0
    fits = rows and images.shape == (rows, PIXELS) and images.max() <= PIXEL_MAX
    if not fits or labels.max() >= CLASSES or {images.dtype, labels.dtype} != {np.dtype(np.uint8)}:
        raise InputError(
            f"{file}: images must be uint8 (rows, {PIXELS}) of 0 to {PIXEL_MAX} and labels uint8 "
            f"(rows,) of 0 to {CLASSES - 1}, not {images.dtype} {images.shape} and "
            f"{labels.dtype} {labels.shape}"
        )
    held = np.zeros(rows, dtype=bool)
    if test.ndim != 1 or test.dtype.kind != "u" or not test.size or test.max() >= rows:
        raise InputError(f"{file}: test must hold unsigned indices below {rows}")
    held[test] = True
    parts = [DigitImages(images=images[part], labels=labels[part]) for part in (~held, held)]
    return Digits(train=parts[0], test=parts[1])


class DigitsModel:
    """The perceptron: linear layers ``fc1``, ``fc2``, ``fc3``, ReLU between them.

    Parameters
    ----------
    tensors : ``fc1.weight`` (N, K) and ``fc1.bias`` (N,) of every layer, floating point.
    digits : the images; those that bitsmith ships by default.

    Raises
    ------
    InputError : a tensor is missing or does not fit its neighbours.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.floating]], digits: Digits | None = None
    ) -> None:
        self.digits = load_digits() if digits is None else digits
        self._weights: dict[str, Floats] = {}
        self._biases: dict[str, Floats] = {}
        width = PIXELS
        for name in LAYERS:
            for part in ("weight", "bias"):
                if f"{name}.{part}" not in tensors:
                    raise InputError(f"digits model: tensor '{name}.{part}' is missing")
            weight = np.asarray(tensors[f"{name}.weight"], dtype=np.float32)
            bias = np.asarray(tensors[f"{name}.bias"], dtype=np.float32)
            outputs = CLASSES if name == LAYERS[-1] else len(weight)
            if weight.shape != (outputs, width) or bias.shape != (outputs,):
                raise InputError(
                    f"digits model: '{name}' must map {width} inputs to "
                    f"{'10' if name == LAYERS[-1] else 'any number of'} outputs, its weight has "
                    f"shape {weight.shape} and its bias {bias.shape}"
                )
            self._weights[name], self._biases[name] = weight, bias
            width = outputs

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> "DigitsModel":
        """The trained model of a safetensors file, or the one that bitsmith ships."""
        file = digits_folder() / MODEL_FILE if path is None else Path(path)
        source = open_tensors(file)
        return cls({name: source[name] for name in source})

    @property
    def weights(self) -> dict[str, Floats]:
        """Layer name -> float weights (N, K), in order of execution."""
        return dict(self._weights)

    @property
    def biases(self) -> dict[str, Floats]:
        """Layer name -> bias (N,), added to the outputs in floating point, after the register."""
        return dict(self._biases)

    def with_biases(self, tensors: Mapping[str, NDArray[np.floating]]) -> "DigitsModel":
        """This model with those of the biases ``fc1.bias`` .. that ``tensors`` holds."""
        own = {f"{name}.weight": weight for name, weight in self._weights.items()}
        own |= {f"{name}.bias": tensors.get(f"{name}.bias", self._biases[name]) for name in LAYERS}
        return DigitsModel(own, self.digits)

    def linear(self, name: str, x: Floats) -> Floats:
        """The float layer ``name`` without its bias: (rows, K) -> (rows, N)."""
        return x @ self._weights[name].T

    def forward(self, inputs: Floats, *, linear: LinearHook | None = None) -> Floats:
        """Scores of the ten digits, float32 (rows, 10).

        Parameters
        ----------
        inputs : (rows, 64), see :attr:`DigitImages.inputs`.
        linear : replaces the linear layers; the bias is added to what it returns.
        """
        apply, x = linear or self.linear, np.asarray(inputs, dtype=np.float32)
        for name in LAYERS:
            x = apply(name, x) + self._biases[name]
            if name != LAYERS[-1]:
                x = np.maximum(x, np.float32(0))
        return x

    def evaluate(self, linear: LinearHook | None = None) -> float:
        """Share of the 597 test images that are classified correctly, 0 to 1."""
        test = self.digits.test
        return float(np.mean(self.forward(test.inputs, linear=linear).argmax(1) == test.labels))

    def calibration_inputs(
        self, rows: int | None = None, *, linear: LinearHook | None = None
    ) -> dict[str, Floats]:
        """Inputs (rows, K) of every layer while the model reads training images.

        Parameters
        ----------
        rows : how many of the 1,200; all by default.
        """
        seen = self.digits.train.inputs[:rows]
        if not len(seen):
            raise InputError(f"calibration needs at least 1 image, not {rows}")
        record = InputRecorder(linear or self.linear)
        self.forward(seen, linear=record)
        return record.inputs(len(seen))


def activation_scale(inputs: ArrayLike, bits: int) -> float:
    """Scale of unsigned codes that leaves the smallest squared error on ``inputs``.

    Parameters
    ----------
    inputs : what a layer reads, at least 0, any shape.
    bits : width of a code, 2 to 16.

    Raises
    ------
    InputError : nothing, something negative or not finite, or bits out of range.
    """
    check_activation_bits(bits)
    x = np.asarray(inputs, dtype=np.float32)
    if not x.size or not np.isfinite(x).all() or x.min() < 0:
        raise InputError("unsigned activations need finite inputs that are not negative")
    largest = (1 << bits) - 1
    if not x.max():
        return 1.0
    # a scale that would round to 0 is the smallest that there is
    least = np.finfo(np.float32).smallest_subnormal
    scales = np.maximum((x.max() * CLIP_SHARES / largest).astype(np.float32), least)
    errors = [
        float(np.square(unsigned_codes(x, scale, bits) * scale - x, dtype=np.float64).sum())
        for scale in scales
    ]
    return float(scales[int(np.argmin(errors))])


def unsigned_codes(x: ArrayLike, scale: float | np.float32, bits: int) -> NDArray[np.int64]:
    """``x / scale`` in float32, rounded half to even, clipped to ``0 .. 2**bits - 1``."""
    steps = np.asarray(x, dtype=np.float32) / np.float32(scale)
    return np.rint(steps).clip(0, (1 << bits) - 1).astype(np.int64)


def integer_linear(
    quantized: QuantizedModel,
    scales: Mapping[str, float],
    activation_bits: int,
    *,
    accumulate: Accumulate | None = None,
) -> LinearHook:
    """A hook that runs the layers on unsigned input codes and integer weights.

    Parameters
    ----------
    quantized : weights with one scale per channel and without zero points.
    scales : layer name -> scale of its input codes, see :func:`activation_scale`.
    activation_bits : width of the codes, 2 to 16.
    accumulate : how a register sums the products; exactly by default. A simulation of a narrow
        register goes here.

    Raises
    ------
    InputError : a layer without a scale, with several scales per channel, or with zero points.
    """
    check_activation_bits(activation_bits)
    levels, steps = {}, {}
    for name, matrix in quantized.layers.items():
        if name not in scales:
            raise InputError(f"layer '{name}' has no scale for its inputs")
        if matrix.groups > 1 or matrix.zero_points is not None or matrix.residual is not None:
            raise InputError(
                f"layer '{name}' must have one scale per channel and no zero points or residual"
            )
        levels[name] = matrix.levels
        unit = np.float32(matrix.family.unit)
        steps[name] = matrix.scales[:, 0] * unit * np.float32(scales[name])

    def linear(name: str, x: Floats) -> Floats:
        if name not in levels:
            raise InputError(f"quantized model '{quantized.name}' has no layer '{name}'")
        codes = unsigned_codes(x, scales[name], activation_bits)
        sums = (accumulate or _exact)(name, codes, levels[name])
        return sums.astype(np.float32) * steps[name]

    return linear


def _exact(name: str, codes: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    return codes @ levels.T
