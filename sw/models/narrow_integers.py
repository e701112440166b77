"""Training for a narrow accumulator, the part in integers: budgets, the result, its proof.

A2Q (ICCV 2023) and A2Q+ (ICML 2024) keep the L1 norm of a row's integer weights within a budget, so
that no input can take the sum out of a register of P bits. Training works in floating point
(:mod:`sw.models.train_narrow`, PyTorch); what it leaves is checked here on the final integers.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError, unknown_name
from sw.accumulators import layer_bounds
from sw.formats import get_family
from sw.quantize import QuantizedMatrix, QuantizedModel
from sw.quantize.narrow import a2q_budget, a2q_plus_budget, register_limit

Method = Literal["a2q", "a2q_plus", "none"]
WEIGHT_BITS = range(2, 9)
INPUT_BITS = range(2, 17)


def check_method(method: str) -> None:
    """Refuse anything but ``a2q``, ``a2q_plus`` and ``none``."""
    if method not in get_args(Method):
        raise unknown_name("training method", method, get_args(Method))


def input_range(bits: int, signed: bool) -> tuple[int, int]:
    """Smallest and largest code of ``bits``-wide inputs."""
    if bits not in INPUT_BITS:
        raise InputError(f"input bits must be from 2 to 16, not {bits}")
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def l1_budget(method: Method, inner_bits: int, input_bits: int, signed: bool) -> int:
    """Largest L1 norm of integer weights that ``method`` allows one sum.

    A2Q: ``(2**(P-1) - 1) * 2**(s-N)``. A2Q+: ``(2**P - 2) / (2**N - 1)``, which is sound only
    because the weights are centred before they are rounded toward zero. Both rounded down.

    Parameters
    ----------
    method : ``a2q`` or ``a2q_plus``; ``none`` has no budget.
    inner_bits : width P of the register, at least 1.
    input_bits, signed : width N of the input codes and whether they have a sign.

    Raises
    ------
    InputError : another method, or a width out of range.
    """
    check_method(method)
    input_range(input_bits, signed)
    if method == "none":
        raise InputError("training without a method has no budget: choose a2q or a2q_plus")
    if inner_bits < 1:
        raise InputError(f"inner bits must be at least 1, not {inner_bits}")
    limit = register_limit(inner_bits)
    if method == "a2q":
        return a2q_budget(limit, input_bits, signed)
    return a2q_plus_budget(limit, input_bits)


def integer_matrix(
    levels: ArrayLike, scales: ArrayLike, weight_bits: int, group_size: int | None
) -> QuantizedMatrix:
    """Trained integers as a quantized matrix of format ``int2`` .. ``int8``.

    Parameters
    ----------
    levels : integers (N, K), magnitudes up to ``2**(weight_bits - 1) - 1``.
    scales : float16 values (N, groups), above 0.
    weight_bits : 2 to 8.
    group_size : weights that share a scale and a sum; ``None`` for a whole row.

    Raises
    ------
    InputError : levels outside the format, or arrays that contradict each other.
    """
    if weight_bits not in WEIGHT_BITS:
        raise InputError(f"weight bits must be from 2 to 8, not {weight_bits}")
    array = np.asarray(levels, dtype=np.int64)
    largest = (1 << (weight_bits - 1)) - 1
    if array.ndim != 2 or not array.size or np.abs(array).max() > largest:
        raise InputError(f"levels must be a matrix of integers from {-largest} to {largest}")
    steps = np.asarray(scales, dtype=np.float32)
    return QuantizedMatrix(
        family=get_family(f"int{weight_bits}"),
        group_size=array.shape[1] if group_size is None else group_size,
        codes=(array & ((1 << weight_bits) - 1)).astype(np.uint8),
        format_ids=np.zeros(steps.shape, dtype=np.uint8),
        scales=steps,
    )


def proved_bits(matrix: QuantizedMatrix, inputs: tuple[int, int]) -> int:
    """Smallest register that no input overflows, from the final integers.

    One whole product per step, in any order: with 0 in the input range the range of final sums
    covers every partial sum, so the width holds in every mode. A machine that builds a weight from
    several terms (7 = 8 - 1) may step further; there it holds where the register wraps.

    Parameters
    ----------
    inputs : smallest and largest input code; 0 must be among them.
    """
    if not inputs[0] <= 0 <= inputs[1]:
        raise InputError(f"inputs {inputs[0]} to {inputs[1]} do not contain 0")
    bounds = layer_bounds(
        matrix.levels,
        terms=None,
        group_size=matrix.group_size,
        lanes=1,
        input_range=inputs,
        scale_codes=None,
    )
    return bounds.max_bits("inner", "saturate")


def checked_widths(
    layers: Mapping[str, QuantizedMatrix], inputs: tuple[int, int], inner_bits: int | None
) -> dict[str, int]:
    """:func:`proved_bits` of every layer; none may exceed ``inner_bits``.

    Raises
    ------
    InputError : a layer that needs more, by name.
    """
    widths = {name: proved_bits(matrix, inputs) for name, matrix in layers.items()}
    for name, width in widths.items():
        if inner_bits is not None and width > inner_bits:
            raise InputError(
                f"layer '{name}' needs a register of {width} bits, training was to keep it within "
                f"{inner_bits}: its final integers break the guarantee"
            )
    return widths


def sparsity(quantized: QuantizedModel) -> float:
    """Share of the weights that are 0."""
    zeros = sum(int((matrix.levels == 0).sum()) for matrix in quantized.layers.values())
    return zeros / quantized.weights


def input_scales(quantized: QuantizedModel) -> dict[str, float]:
    """Scale of the unsigned input codes of every layer, as trained and saved with the model.

    Raises
    ------
    InputError : the model holds none.
    """
    tensors: Mapping[str, NDArray] = quantized.float_tensors or {}
    missing = [name for name in quantized.layers if f"{name}.input_scale" not in tensors]
    if missing:
        raise InputError(
            f"quantized model '{quantized.name}' holds no input scale of layer '{missing[0]}'"
        )
    return {name: float(tensors[f"{name}.input_scale"][0]) for name in quantized.layers}
