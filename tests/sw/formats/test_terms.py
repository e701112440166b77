"""The term search against brute force, and a snapshot of the tables it finds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats import (
    FormatFamily,
    NumberFormat,
    family_terms,
    get_family,
    smallest_pe,
    term_table,
)


def reachable(shifts, lane_exponent_bits: int) -> set[int]:
    """Every sum of one digit per slot."""
    digits = [0] + [s << e for s in (1, -1) for e in range(1 << lane_exponent_bits)]
    return {
        sum(d << s for d, s in zip(chosen, shifts, strict=True))
        for chosen in itertools.product(digits, repeat=len(shifts))
    }


#: the choice decides accumulator widths, so a change must be deliberate
SNAPSHOT = {
    "bitmod_fp4": ((0, 0), 0),
    "bitmod_fp3": ((0, 0), 0),
    "ant4": ((0, 0), 1),
    "int4": ((0, 0), 1),
    "int6": ((0, 2, 0), 4),
    "int8": ((0, 0, 4, 2), 16),
    "float6_e3m2fn": ((0, 2, 6, 4), 32),
    "nf4": ((0, 3, 0, 3), 0),
    "post4": ((0, 4, 1, 4), 0),
}


@pytest.mark.parametrize("name", SNAPSHOT)
def test_terms_add_up_to_levels(name: str) -> None:
    family, table = get_family(name), family_terms(get_family(name))
    assert set(table.terms) == set(family.all_levels)
    for level, terms in table.terms.items():
        assert sum(t.value << s for t, s in zip(terms, table.base_shifts, strict=True)) == level
        assert all(t.exponent < 4 and (t.present or not t.negative) for t in terms)


@pytest.mark.parametrize("name", SNAPSHOT)
def test_snapshot(name: str) -> None:
    table = family_terms(get_family(name))
    assert (table.base_shifts, table.worst_escape) == SNAPSHOT[name]


def test_seven_is_eight_minus_one() -> None:
    table = family_terms(get_family("int4"))
    assert [term.value for term in table.terms[7]] == [8, -1]
    assert [term.value for term in table.terms[-7]] == [1, -8]


@settings(max_examples=60, deadline=None)
@given(levels=st.sets(st.integers(-40, 40), min_size=1, max_size=6), bits=st.integers(1, 2))
def test_search_is_minimal(levels: set[int], bits: int) -> None:
    """No schedule with fewer slots or a smaller largest shift reaches the levels."""
    try:
        table = term_table(
            tuple(sorted(levels)), lane_exponent_bits=bits, max_base_shift=4, max_slots=3
        )
    except InputError:
        table = None
    feasible = [
        (slots, max(shifts))
        for slots in (1, 2, 3)
        for shifts in itertools.combinations_with_replacement(range(5), slots)
        if levels <= reachable(shifts, bits)
    ]
    if table is None:
        assert not feasible
    else:
        assert (table.slots, max(table.base_shifts)) == min(feasible)


@settings(max_examples=40, deadline=None)
@given(levels=st.sets(st.integers(-15, 15), min_size=1, max_size=5))
def test_worst_escape_is_minimal(levels: set[int]) -> None:
    table = term_table(tuple(sorted(levels)))
    digits = [0] + [s << e for s in (1, -1) for e in range(4)]

    def escape(level: int, shifts) -> int | None:
        best = None
        for chosen in itertools.product(digits, repeat=len(shifts)):
            sums = list(itertools.accumulate(d << s for d, s in zip(chosen, shifts, strict=True)))
            if sums[-1] == level:
                low, high = min(0, level), max(0, level)
                out = max(max(low - p, p - high, 0) for p in sums)
                best = out if best is None else min(best, out)
        return best

    largest = max(table.base_shifts)
    worst = []
    for shifts in itertools.product(range(largest + 1), repeat=table.slots):
        escapes = [escape(level, shifts) for level in levels]
        if max(shifts) == largest and None not in escapes:
            worst.append(max(escapes))
    assert table.worst_escape == min(worst)


def test_too_wide_levels_say_what_would_help() -> None:
    with pytest.raises(InputError, match=r"up to 6: fits with 5-bit lane exponents in 1 slot$"):
        term_table((0, 1 << 20), max_slots=2)
    with pytest.raises(InputError, match=r"in 5 slots$"):
        term_table((0b10101011,))
    assert term_table((0b10101011,), max_slots=5).slots == 5
    with pytest.raises(InputError, match=r"levels 0\.\.2\*\*58\.0 .* up to 6 bits forms them"):
        term_table((0, 1 << 58), lane_exponent_bits=6)


@pytest.mark.parametrize("bits", [5, 6])
def test_widest_lanes_do_not_overflow(bits: int) -> None:
    levels = (-(3 << 30), 0, 5 << 20, 7 << 30) if bits == 5 else (-(3 << 56), 0, 1, (1 << 58) - 1)
    table = term_table(levels, lane_exponent_bits=bits)
    assert table.slots == 2
    for level, terms in table.terms.items():
        assert sum(t.value << s for t, s in zip(terms, table.base_shifts, strict=True)) == level
    partial = table.partial_levels(np.array(levels))
    assert partial.shape == (2, 4) and partial[-1].tolist() == list(levels)


@settings(max_examples=40, deadline=None)
@given(levels=st.sets(st.integers(-40, 40), min_size=1, max_size=6))
def test_smallest_pe_is_minimal(levels: set[int]) -> None:
    """No PE with fewer slots, nor one as fast with narrower exponents, has per-lane shifts only."""
    padded = (*sorted(levels), *[None] * (8 - len(levels)))
    member = NumberFormat(name="x", bits=3, levels=padded, source="test")
    table = smallest_pe(FormatFamily(name="x", members=(member,)))
    feasible = [
        (slots, bits)
        for slots in (1, 2, 3)
        for bits in (1, 2, 3)
        if slots <= table.slots and levels <= reachable((0,) * slots, bits)
    ]
    assert (table.slots, table.lane_exponent_bits) == min(feasible)
    assert set(table.base_shifts) == {0} and set(table.terms) == levels
