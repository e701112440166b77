"""The registry of formats. The tables are in the modules beside this one: adding a format means
adding one entry there; everything else is derived.

Tables are built when first asked for, so that importing costs nothing.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

from configs.errors import unknown_name

from . import ant, bitmod, codebooks, integers, minifloats, tapered
from .format import FormatFamily, NumberFormat
from .terms import MAX_CODE_BITS, MAX_LEVEL_BITS

#: single formats by name, in the order of listings
FORMATS: dict[str, Callable[[], NumberFormat]] = {
    **integers.FORMATS,
    **minifloats.FORMATS,
    **ant.FORMATS,
    **tapered.FORMATS,
    **codebooks.FORMATS,
}
#: families of several members
FAMILIES: dict[str, Callable[[], FormatFamily]] = {**bitmod.FAMILIES, **ant.FAMILIES}


def _pair_family(name: str) -> FormatFamily:
    from .pairs import get_pair_format  # its normal formats come from this registry

    return get_pair_format(name).family


#: outlier-victim pairs: codes behind a pair decoder
FAMILIES |= {name: partial(_pair_family, name) for name in ("olive4", "olive4_flint")}
#: formats of any size, resolved by name: pattern, how to write it, builder
PATTERNS: list[
    tuple[re.Pattern[str], str, Callable[[re.Match[str]], NumberFormat | FormatFamily]]
] = [
    (minifloats.PATTERN, minifloats.PATTERN_NAME, minifloats.by_name),
    (tapered.POSIT_PATTERN, tapered.POSIT_NAME, tapered.posit_by_name),
    (tapered.ADAPTIVFLOAT_PATTERN, tapered.ADAPTIVFLOAT_NAME, tapered.adaptivfloat_by_name),
    (bitmod.PATTERN, bitmod.PATTERN_NAME, bitmod.by_name),
]


def _single(member: NumberFormat) -> FormatFamily:
    return FormatFamily(name=member.name, members=(member,))


@cache
def _listed(name: str) -> FormatFamily:
    return FAMILIES[name]() if name in FAMILIES else _single(FORMATS[name]())


@cache
def _by_pattern(name: str) -> FormatFamily | None:
    """The family that a pattern gives ``name``; None if none fits."""
    for pattern, _, build in PATTERNS:
        if match := pattern.fullmatch(name):
            built = build(match)
            return built if isinstance(built, FormatFamily) else _single(built)
    return None


class _Registry(Mapping[str, FormatFamily]):
    """Families by name, each built when it is first looked up."""

    def __getitem__(self, name: str) -> FormatFamily:
        if name not in FAMILIES and name not in FORMATS:
            raise KeyError(name)
        return _listed(name)

    def __iter__(self) -> Iterator[str]:
        return iter([*FAMILIES, *FORMATS])

    def __len__(self) -> int:
        return len(FAMILIES) + len(FORMATS)


_REGISTRY = _Registry()


def families() -> Mapping[str, FormatFamily]:
    """Every listed family by name, a single format being the family of itself.

    16-bit and scale formats are among them; formats of any size (``minifloat_e4m1``) are not, they
    come from :func:`get_family`.
    """
    return _REGISTRY


@cache
def serial_families() -> Mapping[str, FormatFamily]:
    """The families that a term-serial PE can multiply by, by name.

    Their codes have at most 8 bits, and their levels fit the shifts of the widest lane exponents:
    not the 16-bit formats, nor the scale format float8_e8m0fnu. All have a term table for some PE
    (:func:`sw.formats.smallest_pe`), not all for one with 2-bit lane exponents.
    """
    return {
        name: family
        for name, family in families().items()
        if family.bits <= MAX_CODE_BITS and family.max_magnitude.bit_length() <= MAX_LEVEL_BITS
    }


def get_family(name: str) -> FormatFamily:
    """The family called ``name``, or the family of the single format of that name.

    Besides the listed names: ``minifloat_e{e}m{m}``, ``posit{n}_es{e}``, ``adaptivfloat{n}_e{e}``
    of any size, and ``bitmod_fp4_sv_pos5_neg2p5`` for special values of one's own.

    Raises
    ------
    InputError : no such format (the nearest name is given), or a size that it cannot have.
    """
    if name in FAMILIES or name in FORMATS:
        return _listed(name)
    if (family := _by_pattern(name)) is not None:
        return family
    members = {m.name: m for listed in FAMILIES for m in _listed(listed).members}
    if name in members:
        return _single(members[name])
    written = [text for _, text, _ in PATTERNS]
    raise unknown_name("number format", name, [*families(), *members, *written])
