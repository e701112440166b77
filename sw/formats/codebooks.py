"""Code books: values from a table, brought to an INT8 grid for the term-serial PE.

The level of a value v in [-1, 1] is ``round(127 * v)`` and the unit is 1/127, so the machine's
value ``level / 127`` is off by at most 1/254 of the scale. The published values stay at hand in
``codebook_values``. The largest error of each table:

============= ======== ======================================================================
nf4           0.0037   worst at -0.1848
nf3           0.0036   worst at 0.5626
nf2           0.0007   worst at 0.3379
quantile3     0.0036   worst at -0.3186
quantile4     0.0038   worst at -0.3109
dynamic_tree8 0.0038   the 256 codes share 156 levels: values below 1/254 become 0, so what makes
                       the format good for optimizer states is lost; that takes a code book PE
iq4_nl        0        its values are INT8 levels already
============= ======== ======================================================================

Casts go to the nearest level, ties to the lower one.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from statistics import NormalDist

from .format import NumberFormat

GRID = 127
#: first probability of the NormalFloat tables: 1 - (1/30 + 1/32) / 2
NORMALFLOAT_OFFSET = 0.9677083

#: QLoRA (arXiv:2305.14314), appendix E
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
#: llama.cpp, kvalues_iq4nl
IQ4_NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def codebook(
    name: str, values: tuple[float, ...], *, source: str, provisional: bool = False
) -> NumberFormat:
    """``values`` in [-1, 1] by code, on the INT8 grid."""
    return NumberFormat(
        name=name,
        bits=(len(values) - 1).bit_length(),
        levels=tuple(round(GRID * value) for value in values),
        unit=Fraction(1, GRID),
        codebook_values=values,
        provisional=provisional,
        source=source,
    )


def normalfloat_values(bits: int) -> tuple[float, ...]:
    """Normal quantiles by rising value: 2**(bits - 1) positive ones, 0, one fewer negative."""

    def quantiles(count: int) -> list[float]:
        step = (0.5 - NORMALFLOAT_OFFSET) / count
        found = [NormalDist().inv_cdf(NORMALFLOAT_OFFSET + i * step) for i in range(count)]
        return [value / found[0] for value in found]

    positive, negative = (quantiles((1 << (bits - 1)) - i) for i in (0, 1))
    return (*(-value for value in negative), 0.0, *reversed(positive))


def normalfloat(bits: int) -> NumberFormat:
    """NF2 and NF3, by the formula behind NF4."""
    return codebook(
        f"nf{bits}", normalfloat_values(bits), source="LQ-LoRA (arXiv:2311.12023), NF4's formula"
    )


def quantile(bits: int) -> NumberFormat:
    """Normal quantiles at the middle of 2**bits bins of equal probability, absmax 1, no zero."""
    count = 1 << bits
    found = [NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)]
    return codebook(
        f"quantile{bits}",
        tuple(value / found[-1] for value in found),
        provisional=True,
        source="quantile data type of k-bit scaling laws (arXiv:2212.09720); bin rule recalled",
    )


def dynamic_tree_values() -> tuple[float, ...]:
    """The 256 values of dynamic tree quantization in rising order, as bitsandbytes builds them.

    Decade i = 0..6 from 10**(i - 7) to 10**(i - 6) is cut into 2**i equal parts, whose middles are
    the values of either sign; with 0 and 1.0.
    """
    values = [Fraction(0), Fraction(1)]
    for i in range(7):
        edges = [Fraction(1, 10) + Fraction(9 * j, 10 << i) for j in range((1 << i) + 1)]
        for low, high in pairwise(edges):
            middle = (low + high) / 2 / 10 ** (6 - i)
            values += [middle, -middle]
    return tuple(float(value) for value in sorted(values))


def dynamic_tree8() -> NumberFormat:
    """Dynamic tree quantization; the code is the place in rising order."""
    return codebook(
        "dynamic_tree8",
        dynamic_tree_values(),
        source="8-bit Approximations (arXiv:1511.04561), table of bitsandbytes",
    )


def iq4_nl() -> NumberFormat:
    """The non-linear 4-bit table of llama.cpp: exact, unit 1."""
    return NumberFormat(
        name="iq4_nl",
        bits=4,
        levels=IQ4_NL,
        codebook_values=tuple(map(float, IQ4_NL)),
        source="llama.cpp, IQ4_NL",
    )


FORMATS: dict[str, Callable[[], NumberFormat]] = {
    "nf4": lambda: codebook("nf4", NF4, source="QLoRA (arXiv:2305.14314), appendix E"),
    **{f"nf{b}": partial(normalfloat, b) for b in (3, 2)},
    "iq4_nl": iq4_nl,
    **{f"quantile{b}": partial(quantile, b) for b in (3, 4)},
    "dynamic_tree8": dynamic_tree8,
}
