"""Size of a term decoder, from its truth table."""

from sw.formats import FormatFamily, TermTable


def truth_table(family: FormatFamily, terms: TermTable) -> list[int]:
    """Packed terms of ``hw.terms.TermDecoder`` by slot (high), format id and code (low).

    Length is the product of the three ranges, each rounded up to a power of two.
    """
    slots = 1 << (terms.slots - 1).bit_length()
    table = []
    for slot in range(slots):
        for format_id in range(1 << family.id_bits):
            for code in range(1 << family.bits):
                level = None
                if format_id < len(family.members):
                    level = family.members[format_id].levels[code]
                if level is None:
                    table.append(0)
                    continue
                term = terms.terms[level][min(slot, terms.slots - 1)]
                table.append(term.present | term.negative << 1 | term.exponent << 2)
    return table


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
