"""Slots and base shifts against an independent table: one row per format, checked by brute force.

The columns: format, unit, distinct levels, base shifts of a PE with 2-bit lane exponents and base
shifts up to 6 ("-": more than four slots), then slots and lane exponent width of a PE whose shifts
are all per lane.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import FormatFamily, NumberFormat, family_terms, get_family, smallest_pe

ROWS = """
int2_midrise        | 1         |   4 | 0 0     | 2 | 2
trit plane pair     | 1         |   9 | 0 0     | 2 | 2
binary              | 1         |   2 | 0       | 1 | 1
ternary             | 1         |   3 | 0       | 1 | 1
int2_full           | 1         |   4 | 0       | 1 | 1
abq_int2            | 1         |   5 | 0       | 1 | 1
int3_full           | 1         |   8 | 0 0     | 2 | 2
int4_full           | 1         |  16 | 0 0     | 2 | 2
int5_full           | 1         |  32 | 0 0 0   | 3 | 3
int6_full           | 1         |  64 | 0 0 2   | 3 | 3
int7_full           | 1         | 128 | 0 0 0 3 | 4 | 3
int8_full           | 1         | 256 | 0 0 2 4 | 4 | 3
int3                | 1         |   7 | 0 0     | 2 | 2
int4                | 1         |  15 | 0 0     | 2 | 2
int5                | 1         |  31 | 0 0 0   | 3 | 3
int6                | 1         |  63 | 0 0 2   | 3 | 3
int7                | 1         | 127 | 0 0 0 3 | 4 | 3
int8                | 1         | 255 | 0 0 2 4 | 4 | 3
uint2               | 1         |   4 | 0 0     | 2 | 2
uint3               | 1         |   8 | 0 0     | 2 | 2
uint4               | 1         |  16 | 0 0 0   | 3 | 3
minifloat_e2m0      | 1         |   7 | 0       | 1 | 2
bitmod_fp3_er       | 1         |   9 | 0 0     | 2 | 2
bitmod_fp4_er       | 1/2       |  17 | 0 0     | 2 | 3
bitmod_fp3_ea       | 1         |   9 | 0 0     | 2 | 2
bitmod_fp4_ea       | 1/2       |  17 | 0 0     | 2 | 3
float4_e2m1fn       | 1/2       |  15 | 0 0     | 2 | 3
minifloat_e1m2      | 1/4       |  15 | 0 0     | 2 | 2
minifloat_e3m0      | 1/4       |  15 | 0 3     | 1 | 3
minifloat_e2m2      | 1/4       |  31 | 0 2     | 2 | 3
minifloat_e3m1      | 1/8       |  31 | 0 0 3 4 | 2 | 4
float6_e2m3fn       | 1/8       |  63 | 0 0 3   | 3 | 3
float6_e3m2fn       | 1/16      |  63 | 0 0 4 6 | 2 | 4
float8_e3m4         | 1/64      | 223 | -       | 3 | 4
float8_e4m3fn       | 1/512     | 253 | -       | 3 | 5
float8_e5m2         | 1/65536   | 247 | -       | 2 | 6
hifloat8            | 1/4194304 | 253 | -       | 3 | 6
posit8_es0          | 1/64      | 255 | -       | 4 | 4
posit8_es2          | 1/16777216| 255 | -       | 3 | 6
flint3s             | 1         |   7 | 0       | 1 | 2
flint4s             | 1         |  15 | 0 0     | 2 | 3
flint4u             | 1         |  16 | 0 0 3   | 2 | 3
flint5s             | 1         |  31 | 0 0 3   | 2 | 3
flint8s             | 1         | 255 | -       | 4 | 4
olive abfloat4      | 1         |  14 | 2 3     | 2 | 3
olive int4 stream   | 1         |  29 | 0 2 3   | 2 | 3
olive flint4 stream | 1         |  29 | 0 0 3 4 | 2 | 4
dybit4s             | 1/4       |  15 | 0 0     | 2 | 3
dybit8s             | 1/64      | 255 | -       | 4 | 4
denseshift2         | 1         |   4 | 0       | 1 | 1
denseshift3         | 1         |   8 | 0       | 1 | 2
denseshift4         | 1         |  16 | 0 4     | 1 | 3
pot4                | 1         |  15 | 0 3     | 1 | 3
apot4               | 1         |  15 | 0 0     | 2 | 2
nf4                 | 1/127     |  16 | 0 0 1 4 | 4 | 3
iq4_nl              | 1         |  16 | 0 0 1 4 | 4 | 3
adaptivfloat4_e2    | 1/2       |  15 | 0 1     | 2 | 3
adaptivfloat8_e3    | 1/16      | 255 | -       | 3 | 4
"""
OLIVE = [12, 16, 24, 32, 48, 64, 96]
#: rows that are no single format: code books of a decoder in front of the PE
LEVELS = {
    "trit plane pair": [3 * a + b for a in (-1, 0, 1) for b in (-1, 0, 1)],
    "olive abfloat4": [s * v for s in (1, -1) for v in OLIVE],
    "olive int4 stream": [*range(-7, 8), *(s * v for s in (1, -1) for v in OLIVE)],
    "olive flint4 stream": [
        s * v for s in (1, -1) for v in [0, 1, 2, 3, 4, 6, 8, 16, *(2 * v for v in OLIVE)]
    ],
}
#: the rows take the lexicographically first sorted schedule; term_table the one with the smallest
#: largest base shift, then the smallest escape (it decides accumulator widths)
OTHER_SCHEDULE: dict[str, tuple[int, ...]] = {
    "int7_full": (0, 0, 2, 2),
    "int7": (0, 0, 2, 2),
    "float6_e2m3fn": (0, 2, 2),
    "float6_e3m2fn": (0, 2, 4, 6),
    "flint4u": (0, 2, 2),
    "flint5s": (0, 2, 2),
    "nf4": (0, 0, 3, 3),
    "iq4_nl": (0, 1, 3, 3),
}
#: the rows take the width of the non-adjacent form (7 = 8 - 1); other terms, as few, can do with
#: smaller exponents (3 = 2 + 1, 12 = 8 + 4)
NARROWER: dict[str, int] = {
    "int2_midrise": 1,
    "trit plane pair": 1,
    "int3_full": 1,
    "int3": 1,
    "uint2": 1,
    "bitmod_fp3_er": 1,
    "int5_full": 2,
    "int5": 2,
    "uint4": 2,
    "bitmod_fp4_er": 2,
    "bitmod_fp4_ea": 2,
    "float4_e2m1fn": 2,
    "flint4s": 2,
    "dybit4s": 2,
    "minifloat_e3m1": 3,
    "olive flint4 stream": 3,
}
CASES = [[field.strip() for field in row.split("|")] for row in ROWS.strip().splitlines()]


def family(name: str) -> FormatFamily:
    """The format of a row; a BitMoD row has the special value of either sign."""
    if name.startswith("bitmod"):
        members = tuple(get_family(f"{name}_{sign}").members[0] for sign in ("pos", "neg"))
        return FormatFamily(name=name, members=members)
    if name not in LEVELS:
        return get_family(name)
    levels = [*sorted(set(LEVELS[name]))]
    bits = (len(levels) - 1).bit_length()
    levels += [None] * ((1 << bits) - len(levels))
    member = NumberFormat(name=name, bits=bits, levels=tuple(levels), source="test")
    return FormatFamily(name=name, members=(member,))


def sums(shifts: tuple[int, ...], lane_bits: int) -> np.ndarray:
    """Every sum of one digit per slot, by brute force."""
    digits = np.array([0] + [s << e for s in (1, -1) for e in range(1 << lane_bits)])
    found = np.array([0])
    for shift in shifts:
        found = np.unique(np.add.outer(found, digits << shift))
    return found


def reaches(shifts: tuple[int, ...], levels: tuple[int, ...], lane_bits: int = 2) -> bool:
    if max(map(abs, levels)) > sum(1 << (s + (1 << lane_bits) - 1) for s in shifts):
        return False
    return bool(np.isin(levels, sums(shifts, lane_bits)).all())


@pytest.mark.parametrize(("name", "unit", "count", "shifts"), [c[:4] for c in CASES])
def test_schedule(name: str, unit: str, count: str, shifts: str) -> None:
    found = family(name)
    assert found.unit == Fraction(unit) and len(found.all_levels) == int(count)
    if shifts == "-":
        with pytest.raises(InputError, match="need more than 4 slots with 2-bit lane exponents"):
            family_terms(found)
        every = itertools.combinations_with_replacement(range(7), 4)
        assert not any(reaches(schedule, found.all_levels) for schedule in every)
        return
    listed = tuple(map(int, shifts.split()))
    first = next(
        schedule
        for slots in range(1, 5)
        for schedule in itertools.combinations_with_replacement(range(7), slots)
        if reaches(schedule, found.all_levels)
    )
    assert first == listed
    base_shifts = tuple(sorted(family_terms(found).base_shifts))
    assert base_shifts == OTHER_SCHEDULE.get(name, listed)
    assert len(base_shifts) == len(listed) and base_shifts[-1] <= listed[-1]


@pytest.mark.parametrize(("name", "slots", "width"), [(c[0], int(c[4]), int(c[5])) for c in CASES])
def test_smallest_pe(name: str, slots: int, width: int) -> None:
    found = family(name)
    table = smallest_pe(found)
    assert (table.slots, set(table.base_shifts)) == (slots, {0})
    assert table.lane_exponent_bits == NARROWER.get(name, width)
    for level, terms in table.terms.items():
        assert sum(term.value for term in terms) == level
    # the listed width is that of the non-adjacent form
    forms = [(abs(v) ^ 3 * abs(v)) >> 1 for v in found.all_levels]
    assert slots == max(form.bit_count() for form in forms)
    assert width == max(1, max(form.bit_length() - 1 for form in forms).bit_length())
    for narrow in range(1, table.lane_exponent_bits):
        assert not reaches((0,) * slots, found.all_levels, narrow)


@pytest.mark.parametrize("name", [c[0] for c in CASES if c[3] == "-"])
def test_refusals_say_what_would_fit(name: str) -> None:
    slots, width = next((c[4], c[5]) for c in CASES if c[0] == name)
    with pytest.raises(InputError, match=f"'{name}'.*fits with {width}-bit lane .* {slots} slots"):
        family_terms(get_family(name))
