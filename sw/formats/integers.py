"""Integers of 1 to 8 bits: two's complement, unsigned, recentred, mid-rise, ternary, binary.

Casts round to nearest, ties to even, then clamp.
"""

from collections.abc import Callable
from functools import partial

from .format import NumberFormat

BITS = range(2, 9)


def integer(bits: int) -> NumberFormat:
    """Two's complement without the most negative value (symmetric, restricted).

    The default for weights: scale = amax / (2**(bits - 1) - 1). Code 1000.. has no level.
    """
    half = 1 << (bits - 1)
    return NumberFormat(
        name=f"int{bits}",
        bits=bits,
        levels=(*range(half), None, *range(1 - half, 0)),
        ties="even",
        source="symmetric restricted range, two's complement",
    )


def integer_full(bits: int) -> NumberFormat:
    """Two's complement, all codes."""
    half = 1 << (bits - 1)
    return NumberFormat(
        name=f"int{bits}_full",
        bits=bits,
        levels=(*range(half), *range(-half, 0)),
        ties="even",
        source="two's complement",
    )


def unsigned(bits: int) -> NumberFormat:
    """Unsigned: the level is the code."""
    return NumberFormat(
        name=f"uint{bits}",
        bits=bits,
        levels=tuple(range(1 << bits)),
        ties="even",
        source="unsigned binary",
    )


def asymmetric(bits: int) -> NumberFormat:
    """Codes of asymmetric quantization, recentred: level = code - 2**(bits - 1).

    The weight is ``(code - zero point) * scale``. The zero point is not part of the format: the
    quantizer keeps it, recentred by the same 2**(bits - 1), and subtracts zero point times the sum
    of the activations. Recentring saves a term: 4-bit codes need two instead of three.
    """
    half = 1 << (bits - 1)
    return NumberFormat(
        name=f"int{bits}_asym",
        bits=bits,
        levels=tuple(range(-half, half)),
        ties="even",
        source="asymmetric codes, recentred; the zero point is handled outside",
    )


def int2_midrise() -> NumberFormat:
    """Levels -3, -1, 1, 3: uniform, without a zero; the scale is a quarter of the clip value."""
    return NumberFormat(
        name="int2_midrise",
        bits=2,
        levels=(-3, -1, 1, 3),
        ties="even",
        source="ParetoQ, stretched elastic quantization (arXiv:2502.02631)",
    )


def abq_int2() -> NumberFormat:
    """Five levels -2..2 stored as 0..4 in three bits; codes 5 to 7 are unused."""
    return NumberFormat(
        name="abq_int2",
        bits=3,
        levels=(-2, -1, 0, 1, 2, None, None, None),
        ties="even",
        source="ABQ-LLM, bit balance strategy (arXiv:2408.08554)",
    )


def ternary() -> NumberFormat:
    """-1, 0, 1 as code level + 1 in two bits (the packing I2_S); code 3 is unused."""
    return NumberFormat(
        name="ternary",
        bits=2,
        levels=(-1, 0, 1, None),
        ties="zero",
        source="BitNet b1.58 (arXiv:2402.17764), codes of bitnet.cpp I2_S",
    )


def binary() -> NumberFormat:
    """Sign only: code 0 is -1, code 1 is +1; a cast takes 0 to +1."""
    return NumberFormat(
        name="binary",
        bits=1,
        levels=(-1, 1),
        ties="away",
        source="XNOR-Net (arXiv:1603.05279)",
    )


def dual_binary(sign: int) -> NumberFormat:
    """One plane of dual binarization: bits that count +1, or bits that count -1."""
    return NumberFormat(
        name=f"dual_binary_{'pos' if sign > 0 else 'neg'}",
        bits=1,
        levels=(0, sign),
        source="DB-LLM, flexible dual binarization (arXiv:2402.11960)",
    )


FORMATS: dict[str, Callable[[], NumberFormat]] = {
    **{f"int{b}": partial(integer, b) for b in BITS},
    **{f"int{b}_full": partial(integer_full, b) for b in BITS},
    **{f"uint{b}": partial(unsigned, b) for b in BITS},
    **{f"int{b}_asym": partial(asymmetric, b) for b in BITS},
    "int2_midrise": int2_midrise,
    "abq_int2": abq_int2,
    "ternary": ternary,
    "binary": binary,
    "dual_binary_pos": partial(dual_binary, 1),
    "dual_binary_neg": partial(dual_binary, -1),
}
