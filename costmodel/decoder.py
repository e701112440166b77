"""Term decoders, as in ``hw/terms/``: their size from their truth tables."""

import functools
import itertools
import operator
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sw.compile import Machine
from sw.formats import FormatFamily, TermTable
from sw.formats.terms import MAX_CODE_BITS

from .structure import INCREMENT_GATES, Structure, enabled_register


def truth_table(family: FormatFamily, terms: TermTable) -> list[int]:
    """Packed terms of a family by slot (high), format id and code (low).

    Length is the product of the three ranges, each rounded up to a power of two.
    """
    table = []
    for slot in _padded_slots(terms):
        for format_id in range(1 << family.id_bits):
            known = format_id < len(family.members)
            for code in range(1 << family.bits):
                level = family.members[format_id].levels[code] if known else None
                table.append(terms.packed(level, slot))
    return table


def _padded_slots(terms: TermTable) -> list[int]:
    """Slots up to a power of two; those beyond the last are as the last."""
    return [min(slot, terms.slots - 1) for slot in range(1 << (terms.slots - 1).bit_length())]


def decision_nodes(table: Sequence[int], output_bits: int) -> tuple[int, int]:
    """Nodes of the shared decision diagram of a truth table, in a good order of its inputs.

    Every distinct sub-table is built once, and serves for its complement as well; a node between
    two of them is a multiplexer, a node with one constant branch a gate, and an input itself costs
    nothing. The order is found by sifting (Rudell, ICCAD 1993): each input in turn takes the place
    where the nodes are fewest.

    Returns
    -------
    tuple : (multiplexers, gates).
    """
    inputs = (len(table) - 1).bit_length()
    bits = np.asarray(table)[:, None] >> np.arange(output_bits) & 1
    functions = np.moveaxis(bits.astype(np.uint8), 0, 1).reshape(output_bits, *(2,) * inputs)
    order = list(range(inputs))
    best = _nodes(functions, order)
    for moved in range(inputs):
        others = [place for place in order if place != moved]
        for place in range(inputs):
            tried = [*others[:place], moved, *others[place:]]
            found = _nodes(functions, tried)
            if _weight(found) < _weight(best):
                best, order = found, tried
    return best


def _weight(nodes: tuple[int, int]) -> int:
    """A multiplexer is about two gates."""
    return 2 * nodes[0] + nodes[1]


def _nodes(functions: NDArray[np.uint8], order: list[int]) -> tuple[int, int]:
    """(multiplexers, gates) with the inputs in this order."""
    rows = functions.transpose(0, *(place + 1 for place in order)).reshape(len(functions), -1)
    multiplexers = gates = 0
    while rows.shape[1] > 1:
        # a sub-table and its complement are one, each distinct one is looked at once
        rows = rows ^ rows[:, :1]
        packed = np.ascontiguousarray(np.packbits(rows, axis=1))
        _, first = np.unique(packed.view(f"V{packed.shape[1]}"), return_index=True)
        rows = rows[first]
        half = rows.shape[1] // 2
        low, high = rows[:, :half], rows[:, half:]
        differs = (low != high).any(axis=1)
        constant = (low == low[:, :1]).all(axis=1).astype(int)
        constant += (high == high[:, :1]).all(axis=1)
        multiplexers += int((differs & (constant == 0)).sum())
        gates += int((differs & (constant == 1)).sum())
        rows = np.concatenate((low, high))
    return multiplexers, gates


_size = lru_cache(maxsize=256)(decision_nodes)


def term_bits(terms: TermTable) -> int:
    """Bits of a term: digit, sign unless the digit has one, exponent."""
    return terms.digit_bits + (terms.encoding != "signed") + terms.exponent_bits


def is_taken_apart(family: FormatFamily) -> bool:
    """Whether codes are floating-point numbers too wide for a table."""
    return family.bits > MAX_CODE_BITS


def term_decoder(machine: Machine) -> Structure:
    """``TermDecoder``, and half a ``PairDecoder`` for pairs."""
    family, terms = machine.family, machine.terms
    parts = Structure()
    if is_taken_apart(family):
        # hidden bit, exponent less 1; the rest are wires
        places = terms.exponent_bits
        return Structure(gates=places * (2 + INCREMENT_GATES))
    if family.special_code is None:
        table = truth_table(family, terms)
    else:
        # the other codes mean the same in every format; the special term comes from outside
        levels = list(family.members[0].levels)
        levels[family.special_code] = None
        table = [terms.packed(level, s) for s in _padded_slots(terms) for level in levels]
        parts += Structure(gates=family.bits - 1) + _special_choice(machine)
    parts += _table(table, machine)
    # a pair decoder compares each stored code with the identifier, and clears it
    pair_gates = 2 * family.stored_bits if family.pairs else 0
    # the digit is that of no term while no slot is issued
    return parts + Structure(gates=terms.digit_bits + pair_gates)


def _table(table: Sequence[int], machine: Machine) -> Structure:
    """A truth table of terms by slot (high) and what else they depend on.

    It is written slot by slot, and synthesis finds the joint decision diagram in part only.
    """
    bits = term_bits(machine.terms)
    rows = len(table) // len(_padded_slots(machine.terms))
    slots = [table[rows * slot : rows * (slot + 1)] for slot in range(machine.terms.slots)]
    changing = (
        functools.reduce(operator.or_, map(operator.xor, one, other))
        for one, other in itertools.pairwise(slots)
    )
    return Structure(
        table_nodes=_weight(_size(tuple(table), bits)),
        table_inputs=(len(table) - 1).bit_length(),
        slot_choices=sum(found.bit_count() for found in changing),
    )


def _special_choice(machine: Machine) -> Structure:
    """The special term or another: bits of it that never change need no multiplexer."""
    bits = term_bits(machine.terms)
    changing = (1 << bits) - 1
    if not machine.accelerator.programmable:
        packed = _special_table(machine)
        changing = functools.reduce(operator.or_, (term ^ packed[0] for term in packed))
    count = changing.bit_count()
    return Structure(mux2_bits=count, gates=bits - count)


def _special_table(machine: Machine) -> list[int]:
    """Packed special terms by slot (high) and format id."""
    family, terms, code = machine.family, machine.terms, machine.family.special_code
    assert code is not None
    levels = [member.levels[code] for member in family.members]
    levels += [None] * ((1 << family.id_bits) - len(levels))
    return [terms.packed(level, s) for s in _padded_slots(terms) for level in levels]


def special_terms(machine: Machine) -> Structure:
    """``SpecialTerms`` of one column: chosen by format id and slot."""
    family, terms = machine.family, machine.terms
    if machine.accelerator.programmable:
        values = len(family.members) * terms.slots
        return Structure(mux2_bits=(values - 1) * term_bits(terms))
    return _table(_special_table(machine), machine)


def special_values(machine: Machine) -> Structure:
    """``SpecialValues``: one register per format and slot, which a reset fills."""
    members = len(machine.family.members)
    bits = members * machine.terms.slots * term_bits(machine.terms)
    return enabled_register(bits) + Structure(gates=bits + members)


@lru_cache(maxsize=64)
def _columns(family: FormatFamily, terms: TermTable) -> list[tuple[int, ...]]:
    """What each bit of a decoded term is for every input of the decoder."""
    table = truth_table(family, terms)
    return [tuple(row >> bit & 1 for row in table) for bit in range(term_bits(terms))]


def term_register_bits(machine: Machine) -> int:
    """Bits of a term that a register must hold: not constant ones, nor copies of others.

    The digit is 0 while no slot is issued: its bits are no copies of sign and exponent, and those
    that are always set copies of one of the control pipeline.
    """
    terms = machine.terms
    if machine.accelerator.programmable or is_taken_apart(machine.family):
        return term_bits(terms)
    columns = _columns(machine.family, terms)
    parts = columns[: terms.digit_bits], columns[terms.digit_bits :]
    return sum(len({c for c in part if len(set(c)) > 1}) for part in parts)


def constant_term_bits(machine: Machine) -> int:
    """Registers that all lanes share: bits of sign and exponent that are always 1."""
    return _always_set(machine, slice(machine.terms.digit_bits, None))


def constant_digit_bits(machine: Machine) -> int:
    """Registers of a column that stands alone: digits that are 1 whenever a slot is issued."""
    return _always_set(machine, slice(machine.terms.digit_bits))


def _always_set(machine: Machine, places: slice) -> int:
    """One register, if a bit among these places of a term is 1 whatever is decoded."""
    if machine.accelerator.programmable or is_taken_apart(machine.family):
        return 0
    columns = _columns(machine.family, machine.terms)[places]
    return int(any(set(column) == {1} for column in columns))
