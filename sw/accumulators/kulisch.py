"""How wide a register must be to sum products of two number formats without any rounding."""

from typing import NamedTuple

from sw.formats import NumberFormat, get_family
from sw.formats.minifloats import PATTERN, TABLE

from .checks import integer
from .width import signed_width


class KulischBits(NamedTuple):
    """Width of a fixed-point register for sums of products, sign included, no guard bits.

    exact : bits of the true range, in products of the two units.
    published : the formula ``2**Ea + Ma + 2**Eb + Mb + ceil(log2 n) - 1`` (Kulisch), for two
        formats ExMy; it counts codes of Inf and NaN as numbers. None for other formats.
    """

    exact: int
    published: int | None


def kulisch_bits(format_a: str, format_b: str, products: int) -> KulischBits:
    """Width of the exact sum of ``products`` products of one number each of two formats.

    Parameters
    ----------
    format_a, format_b : names of formats or families; of a family, all its levels count.
    products : n, at least 1.

    Raises
    ------
    InputError : an unknown format, or no product.
    """
    products = integer(products, "products", least=1)
    ends = [_ends(name) for name in (format_a, format_b)]
    corners = [a * b * products for a in ends[0] for b in ends[1]]
    shapes = [_shape(name) for name in (format_a, format_b)]
    published = None
    if shapes[0] is not None and shapes[1] is not None:
        published = (products - 1).bit_length() - 1
        published += sum((1 << exponent) + mantissa for exponent, mantissa in filter(None, shapes))
    return KulischBits(signed_width(min(corners), max(corners)), published)


def _ends(name: str) -> tuple[int, int]:
    """Lowest and highest level of a format or family."""
    members: tuple[NumberFormat, ...] = get_family(name).members
    levels = [level for member in members for level in member.levels if level is not None]
    return min(levels), max(levels)


def _shape(name: str) -> tuple[int, int] | None:
    """Exponent and mantissa bits of a minifloat."""
    match = PATTERN.fullmatch(name)
    if match:
        return int(match[1]), int(match[2])
    return next(((row[1], row[2]) for row in TABLE if row[0] == name), None)
