"""BitMoD: FP3 and FP4 whose redundant code -0 is a special value, chosen per group.

RaZeR (same authors) is the same remap on the blocks of MXFP4 and NVFP4: float4_e2m1fn with +-5 or
+-8 for -0, which are the members of ``bitmod_fp4``.
"""

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

from configs.errors import InputError, unknown_name

from .format import FormatFamily, NumberFormat, sign_magnitude

SOURCE = "BitMoD (HPCA 2025), Table IV"
MAGNITUDES = {3: (0, 1, 2, 4), 4: (0, 1, 2, 3, 4, 6, 8, 12)}
UNITS = {3: Fraction(1), 4: Fraction(1, 2)}

_VALUE = r"_(?:pos|neg)(?:0|[1-9][0-9]{0,3})(?:p[0-9]{0,3}[1-9])?"
PATTERN = re.compile(rf"(bitmod_fp([34])_sv((?:{_VALUE})+))(_as{_VALUE})?")
PATTERN_NAME = "bitmod_fp{3,4}_sv_{pos,neg}{value}_.."
#: special values are multiples of 1/FINEST, and members are counted by a format id of 4 bits
FINEST, LARGEST, MAX_MEMBERS = 16, 64, 16


def bitmod(bits: int) -> FormatFamily:
    """The published families.

    FP4: 0.5 1 1.5 2 3 4 6 with +-5 or +-8; FP3: 1 2 4 with +-3 or +-6. Members in the order of the
    published search: extra resolution +, -, extra asymmetry +, -.
    """
    resolution, asymmetry = (10, 16) if bits == 4 else (3, 6)
    specials = {
        "er_pos": resolution,
        "er_neg": -resolution,
        "ea_pos": asymmetry,
        "ea_neg": -asymmetry,
    }
    return FormatFamily(
        name=f"bitmod_fp{bits}",
        members=tuple(
            sign_magnitude(
                f"bitmod_fp{bits}_{suffix}",
                MAGNITUDES[bits],
                minus_zero=special,
                unit=UNITS[bits],
                source=SOURCE,
            )
            for suffix, special in specials.items()
        ),
    )


def ablation(bits: int, kind: str) -> FormatFamily:
    """The half of a published family with one kind of special value, of either sign.

    Parameters
    ----------
    bits : 3 or 4.
    kind : ``er``, extra resolution (+-3, +-5), or ``ea``, extra asymmetry (+-6, +-8).
    """
    members = tuple(m for m in bitmod(bits).members if f"_{kind}_" in m.name)
    return FormatFamily(name=f"bitmod_fp{bits}_{kind}", members=members)


def _suffix(value: Fraction) -> str:
    """5 -> ``pos5``, -2.5 -> ``neg2p5``."""
    digits = f"{float(abs(value)):g}".replace(".", "p")
    return ("neg" if value < 0 else "pos") + digits


def _check(bits: int, values: Sequence[Fraction]) -> None:
    if bits not in MAGNITUDES:
        raise InputError(f"BitMoD formats have 3 or 4 bits, not {bits}")
    name = f"bitmod_fp{bits}"
    if not 1 <= len(values) <= MAX_MEMBERS or len(set(values)) < len(values):
        raise InputError(f"family '{name}': give 1..{MAX_MEMBERS} distinct special values")
    basic = {level * UNITS[bits] for level in MAGNITUDES[bits]}
    for value in values:
        if abs(value) in basic:
            raise InputError(f"family '{name}': fp{bits} has the value {value} already")
        if abs(value) > LARGEST or (value * FINEST).denominator > 1:
            raise InputError(
                f"family '{name}': special value {value} is not a multiple of 1/{FINEST} "
                f"up to {LARGEST}"
            )


def bitmod_custom(bits: int, specials: Sequence[float | Fraction]) -> FormatFamily:
    """FP3 or FP4 with special values of one's own, a member for each.

    Parameters
    ----------
    bits : 3 or 4.
    specials : 1 to 16 distinct values that the format lacks, multiples of 1/16 up to 64. The unit
        becomes finer where they need it.

    Raises
    ------
    InputError : anything else.
    """
    try:
        values = [Fraction(value) for value in specials]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"special values must be finite numbers, not {specials}") from None
    _check(bits, values)
    unit = min(UNITS[bits], *(Fraction(1, value.denominator) for value in values))
    finer = int(UNITS[bits] / unit)
    name = "_".join([f"bitmod_fp{bits}_sv", *map(_suffix, values)])
    return FormatFamily(
        name=name,
        members=tuple(
            sign_magnitude(
                f"{name}_as_{_suffix(value)}" if len(values) > 1 else name,
                [level * finer for level in MAGNITUDES[bits]],
                minus_zero=int(value / unit),
                unit=unit,
                source=f"{SOURCE}, special values chosen by the user",
            )
            for value in values
        ),
    )


def by_name(match: re.Match[str]) -> FormatFamily | NumberFormat:
    """``bitmod_fp4_sv_pos5_neg2p5``: the family of :func:`bitmod_custom` of that name.

    With ``_as_neg2p5`` behind it: its member with that special value.
    """
    values = [
        Fraction(text[3:].replace("p", ".")) * (-1 if text.startswith("neg") else 1)
        for text in match[3].split("_")[1:]
    ]
    family = bitmod_custom(int(match[2]), values)
    if match[4] is None:
        return family
    members = {member.name: member for member in family.members}
    if match[0] not in members:
        raise unknown_name(f"member of '{match[1]}'", match[0], members)
    return members[match[0]]


FAMILIES: dict[str, Callable[[], FormatFamily]] = {
    "bitmod_fp4": lambda: bitmod(4),
    "bitmod_fp3": lambda: bitmod(3),
    **{f"bitmod_fp{b}_{kind}": partial(ablation, b, kind) for b in (4, 3) for kind in ("er", "ea")},
}
