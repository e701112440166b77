"""Weights taken whole: a level as one digit times a power of two, for PEs with multipliers.

A table of one slot whose term is ``digit * 2**exponent``. For integers the exponents vanish and a
PE multiplies by the level itself; ANT's and OliVe's levels become pairs of exponent and integer,
float16 weights their significand and exponent.
"""

from functools import cache

from .digits import Encoding, Term, TermTable
from .format import FormatFamily


def _odd_part(level: int) -> int:
    return abs(level) // (abs(level) & -abs(level)) if level else 0


@cache
def multiplier_terms(family: FormatFamily, encoding: Encoding) -> TermTable:
    """The narrowest digits that form every level of ``family``.

    A digit's magnitude has as many bits as the largest odd part of a level. Where one bit more does
    without exponents, it has that. Of several exponents a level takes the smallest.

    Parameters
    ----------
    encoding : ``"magnitude"`` and sign, or ``"signed"``, in two's complement.
    """
    bits = max(_odd_part(level).bit_length() for level in family.all_levels)
    if family.max_magnitude.bit_length() <= bits + 1:
        bits = family.max_magnitude.bit_length()
    terms: dict[int, tuple[Term, ...]] = {}
    for level in family.all_levels:
        exponent = max(0, abs(level).bit_length() - bits)
        terms[level] = (
            Term(
                present=level != 0,
                negative=level < 0,
                exponent=exponent,
                magnitude=abs(level) >> exponent if level else 1,
            ),
        )
    largest = max(term.exponent for (term,) in terms.values())
    return TermTable(
        lane_exponent_bits=largest.bit_length(),
        base_shifts=(0,),
        terms=terms,
        worst_escape=0,
        encoding=encoding,
    )
