"""Term decoders, as in ``hw/terms/``: their size from their truth tables."""

from functools import lru_cache

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


def decision_nodes(table: list[int], output_bits: int) -> tuple[int, int]:
    """Nodes of the shared decision diagram of a truth table, inputs high bit first.

    Every distinct sub-table is built once; a node between two of them is a multiplexer, a node
    with one constant branch a gate, and an input itself costs nothing. Logic optimization finds
    something smaller, so this is an upper bound.

    Returns
    -------
    tuple : (multiplexers, gates).
    """
    seen: set[tuple[int, ...]] = set()
    multiplexers = gates = 0
    waiting = [tuple(row >> bit & 1 for row in table) for bit in range(output_bits)]
    while waiting:
        rows = waiting.pop()
        if rows in seen or len(set(rows)) == 1:
            continue
        seen.add(rows)
        low, high = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        waiting += [low, high]
        constant = (len(set(low)) == 1) + (len(set(high)) == 1)
        if low != high:
            multiplexers += constant == 0
            gates += constant == 1
    return multiplexers, gates


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
        parts += Structure(gates=family.bits - 1, mux2_bits=term_bits(terms))
    mux2, gates = decision_nodes(table, term_bits(terms))
    # a pair decoder compares each stored code with the identifier, and clears it
    pair_gates = 2 * family.stored_bits if family.pairs else 0
    return parts + Structure(mux2_bits=mux2, gates=gates + pair_gates)


def special_terms(machine: Machine) -> Structure:
    """``SpecialTerms`` of one column: chosen by format id and slot."""
    family, terms, code = machine.family, machine.terms, machine.family.special_code
    assert code is not None
    if machine.accelerator.programmable:
        values = len(family.members) * terms.slots
        return Structure(mux2_bits=(values - 1) * term_bits(terms))
    levels = [member.levels[code] for member in family.members]
    levels += [None] * ((1 << family.id_bits) - len(levels))
    table = [terms.packed(level, s) for s in _padded_slots(terms) for level in levels]
    mux2, gates = decision_nodes(table, term_bits(terms))
    return Structure(mux2_bits=mux2, gates=gates)


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
    if machine.accelerator.programmable or is_taken_apart(machine.family):
        return 0
    others = _columns(machine.family, machine.terms)[machine.terms.digit_bits :]
    return int(any(set(column) == {1} for column in others))
