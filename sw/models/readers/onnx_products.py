"""Nodes of ONNX that multiply by weights: their operands, and the products of each output."""

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from .onnx_graph import STANDARD, attribute

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, kw_only=True)
class Places:
    """Which inputs of a node are what; ``None`` for what it does not have.

    Nodes with ``integer`` take integers with zero points of their own, others real numbers.
    """

    activation: int = 0
    weight: int = 1
    bias: int | None = None
    integer: bool = False
    activation_zero: int | None = None
    weight_scale: int | None = None
    weight_zero: int | None = None


_INTEGER = Places(integer=True, activation_zero=2, weight_zero=3)
_LINEAR = Places(integer=True, weight=3, activation_zero=2, weight_scale=4, weight_zero=5)
_LINEAR_CONV = Places(
    integer=True, weight=3, activation_zero=2, weight_scale=4, weight_zero=5, bias=8
)
_LINEAR_GEMM = Places(
    integer=True, weight=3, activation_zero=2, weight_scale=4, weight_zero=5, bias=6
)
#: nodes of ONNX itself, and of onnxruntime
STANDARD_NODES = {
    "Conv": Places(bias=2),
    "ConvTranspose": Places(bias=2),
    "Gemm": Places(bias=2),
    "MatMul": Places(),
    "ConvInteger": _INTEGER,
    "MatMulInteger": _INTEGER,
    "QLinearConv": _LINEAR_CONV,
    "QLinearMatMul": _LINEAR,
}
MICROSOFT_NODES = {"QGemm": _LINEAR_GEMM}
#: hold products in a form that is not read
UNREAD = ("Attention", "DeformConv", "Einsum", "GRU", "If", "LSTM", "Loop", "RNN", "Scan")


def places(node: Any) -> Places | None:
    """The operands of a node that multiplies by weights; None for other nodes."""
    if node.domain in STANDARD:
        return STANDARD_NODES.get(node.op_type)
    return MICROSOFT_NODES.get(node.op_type) if node.domain == MICROSOFT else None


def is_unread(node: Any) -> bool:
    """Whether a node may hold products that cannot be told from it."""
    if node.domain in STANDARD:
        return node.op_type in UNREAD
    return node.domain == MICROSOFT and any(x in node.op_type for x in ("MatMul", "Gemm", "Conv"))


def is_convolution(node: Any) -> bool:
    """Whether the weights of a product are a kernel."""
    return "Conv" in node.op_type


def channel_axis(node: Any) -> int:
    """Axis of the weights along which zero points and scales of integer nodes lie."""
    turned = node.op_type == "QGemm" and attribute(node, "transB", 0)
    return 0 if is_convolution(node) or turned else -1


def pads(node: Any) -> bool:
    """Whether a convolution has sums in which positions beyond an edge take part."""
    if not is_convolution(node):
        return False
    if attribute(node, "auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        return True
    # the ends of a transposed convolution lack products, whatever its pads cut off
    return node.op_type == "ConvTranspose" or any(attribute(node, "pads", []))


def product_rows(
    node: Any, weights: NDArray, *, first: bool, fill: Literal["constant", "edge"]
) -> NDArray:
    """Weights as rows of products: (N, K).

    N are the columns of a matrix (of all matrices of a stack), or the channels of a convolution;
    of a transposed one, each channel has a row for every set of kernel positions that meet in an
    output: with stride s along each axis those that are equal modulo s. K are the products of one
    output; shorter rows end in zeros.

    Parameters
    ----------
    first : whether the weights are the first operand of the product.
    fill : ``edge`` ends shorter rows in their last value instead.

    Raises
    ------
    InputError : the shape does not fit the node.
    """
    axes = weights.ndim
    if is_convolution(node):
        if axes < 3:
            raise InputError(f"it has a kernel of shape {weights.shape}")
        if node.op_type == "ConvTranspose":
            return _transposed_rows(node, weights, fill)
        return weights.reshape(len(weights), prod(weights.shape[1:]))
    if node.op_type in ("Gemm", "QGemm"):
        if axes != 2:
            raise InputError(f"it has a matrix of shape {weights.shape}")
        return weights if attribute(node, "transB", 0) else weights.T
    if axes == 0:
        raise InputError("it has a single number for a matrix")
    if axes > 1 and not first:
        weights = weights.swapaxes(-1, -2)
    return weights.reshape(prod(weights.shape[:-1]), weights.shape[-1])


def _transposed_rows(node: Any, kernel: NDArray, fill: Literal["constant", "edge"]) -> NDArray:
    """Rows of a kernel (C_in, C_out / groups, ...), all of one channel together."""
    groups, spatial = attribute(node, "group", 1), kernel.shape[2:]
    strides = attribute(node, "strides", [1] * len(spatial))
    dilations = attribute(node, "dilations", [1] * len(spatial))
    fits = len(strides) == len(dilations) == len(spatial) and groups > 0
    if not fits or min(*strides, *dilations) < 1 or len(kernel) % groups:
        raise InputError(
            f"strides {strides}, dilations {dilations} and {groups} groups do not fit a kernel "
            f"of shape {kernel.shape}"
        )
    meeting = [
        _meeting(size, stride, dilation)
        for size, stride, dilation in zip(spatial, strides, dilations, strict=True)
    ]
    grouped = kernel.reshape(groups, len(kernel) // groups, *kernel.shape[1:])
    channels = groups * kernel.shape[1]
    longest = len(kernel) // groups * prod(max(map(len, axis), default=0) for axis in meeting)
    rows = []
    for positions in product(*meeting):
        place: tuple[Any, ...] = (slice(None), slice(None), slice(None), *np.ix_(*positions))
        part = grouped[place]
        part = part.swapaxes(1, 2).reshape(channels, -1)
        rows.append(np.pad(part, ((0, 0), (0, longest - part.shape[1])), mode=fill))
    if not rows or not longest:
        raise InputError(f"it has a kernel of shape {kernel.shape}")
    return np.stack(rows, axis=1).reshape(channels * len(rows), longest)


def _meeting(size: int, stride: int, dilation: int) -> list[list[int]]:
    """Positions along one axis that meet in an output, one list for each phase of the outputs."""
    phases: dict[int, list[int]] = {}
    for position in range(size):
        phases.setdefault(position * dilation % stride, []).append(position)
    return [phases[phase] for phase in sorted(phases)]
