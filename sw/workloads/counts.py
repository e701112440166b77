"""Elements, bytes and products of a workload, in exact integers.

Bytes are of what is stored or read, without alignment to bursts or words: each (N, K) matrix takes
``ceil(N x K x bits / 8)`` bytes. Bits may be fractions, such as 4.5 for 4-bit codes that share a
16-bit scale in groups of 32 (:func:`bits_with_scales`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction

from configs.errors import InputError

from .workload import Gemm, Operand, Workload

Bits = int | float | Fraction


def bits_with_scales(bits: Bits, *, group_size: int, scale_bits: Bits) -> Fraction:
    """Bits of an element with its share of what its group has in common.

    Parameters
    ----------
    bits : of an element.
    group_size : elements with common scale, zero point ...; all groups are taken as full.
    scale_bits : of all that a group has in common.
    """
    if group_size < 1:
        raise InputError(f"group_size is {group_size}, it must be at least 1")
    return _exact(bits) + _exact(scale_bits) / group_size


def weight_elements(gemms: Iterable[Gemm]) -> int:
    """Weights of one pass; of a mixture of experts, those of the active experts."""
    return sum(gemm.elements for gemm in gemms if gemm.operand == "weights")


def weight_bytes(gemms: Iterable[Gemm], bits: Bits | Mapping[str, Bits]) -> int:
    """Bytes of the weights of one pass, every matrix once, each rounded up by itself.

    Parameters
    ----------
    gemms : a phase of a workload; others than weights are passed over.
    bits : per weight, scales included; of all layers or by the names of the GEMMs.

    Raises
    ------
    InputError : bits that are not positive and finite, or none for a layer.
    """
    total = 0
    for gemm in gemms:
        if gemm.operand != "weights":
            continue
        if isinstance(bits, Mapping) and gemm.name not in bits:
            raise InputError(f"no bits per weight are given for layer '{gemm.name}'")
        total += gemm_bytes(gemm, bits[gemm.name] if isinstance(bits, Mapping) else bits)
    return total


def gemm_bytes(gemm: Gemm, bits: Bits) -> int:
    """Bytes of the different (N, K) matrices of a GEMM, each rounded up, in the first pass."""
    return gemm.matrices * math.ceil(gemm.n * gemm.k * _exact(bits) / 8)


def kv_bytes_read(workload: Workload, bits: Bits, *, step: int | None = None) -> int:
    """Bytes of keys and values that decode reads, each matrix of a head and sequence rounded up.

    With the attention on the host the workload has no such GEMM, and this is 0.

    Parameters
    ----------
    bits : per element, scales included.
    step : one decode step, counted from 0; None: all of them together.

    Raises
    ------
    InputError : a step that the workload does not have.
    """
    if step is not None:
        _check_step(workload, step)
    steps = range(workload.decode_steps) if step is None else range(step, step + 1)
    return _kv_bytes(workload.decode, bits, steps)


def kv_cache_bytes(workload: Workload, bits: Bits) -> int:
    """Bytes of keys and values at the end, of all layers, heads and sequences.

    Under a sliding window, only what it still holds. 0 with the attention on the host, or for an
    encoder.
    """
    if workload.decode:
        last = workload.decode_steps - 1
        return _kv_bytes(workload.decode, bits, range(last, last + 1))
    return _kv_bytes(workload.prefill, bits, range(1))


def macs_by_operand(workload: Workload) -> dict[Operand, int]:
    """Useful products of everything, by what the (N, K) matrix is."""
    found: dict[Operand, int] = {"weights": 0, "kv_cache": 0, "activations": 0}
    for gemm in workload.prefill:
        found[gemm.operand] += gemm.macs
    for gemm in workload.decode:
        found[gemm.operand] += gemm.over_steps(gemm.macs, workload.decode_steps)
    return found


def _kv_bytes(gemms: Iterable[Gemm], bits: Bits, steps: range) -> int:
    """Bytes of all cached matrices, summed over decode steps."""
    # layers have equal sizes: each size is worked out once
    alike = Counter(replace(g, name="layers") for g in gemms if g.operand == "kv_cache")
    return sum(
        times * sum(gemm_bytes(gemm.at_step(step), bits) for step in steps)
        for gemm, times in alike.items()
    )


def _check_step(workload: Workload, step: int) -> None:
    if not 0 <= step < workload.decode_steps:
        raise InputError(
            f"workload '{workload.name}' has {workload.decode_steps} decode steps: "
            f"there is no step {step}"
        )


def _exact(bits: Bits) -> Fraction:
    """Bits as a fraction; a float is what it is in binary."""
    if isinstance(bits, float) and not math.isfinite(bits):
        raise InputError(f"bits per element are {bits}, they must be finite")
    if bits <= 0:
        raise InputError(f"bits per element are {bits}, they must be positive")
    return Fraction(bits)
