"""The term decoder: its ports, and every code of every family in RTL."""

import pytest
from amaranth.hdl import Fragment, Value

from hw.terms import TermDecoder
from sw.formats import families, family_terms, serial_families

from ..benches_cocotb.designs import TERNARY
from ..blocks.checks import CYCLES, check_block
from ..blocks.decoders import MIXED, decoder_cases


def ports(family) -> dict[str, int]:
    """Width of every input."""
    decoder = TermDecoder(family=family, terms=family_terms(family))
    Fragment.get(decoder, None)
    members = decoder.signature.members
    return {name: len(Value.cast(getattr(decoder, name))) for name in members}


def test_selectors_exist_only_where_there_is_a_choice() -> None:
    known = families()
    assert ports(known["bitmod_fp4"]) == {"code": 4, "term": 4, "special": 4, "slot": 1}
    assert ports(MIXED) == {"code": 4, "term": 4, "format_id": 2, "slot": 2}
    assert ports(known["int8"]) == {"code": 8, "term": 4, "slot": 2}
    assert ports(TERNARY).keys() == {"code", "term"}


def test_every_family_is_tried() -> None:
    decoded = {family.name for family, _ in decoder_cases().values()}
    # uint8 needs 5 slots
    assert set(serial_families()) - decoded == {"uint8"}


@pytest.mark.rtl
def test_terms_add_up_to_levels() -> None:
    assert check_block("term_decoder")["cycles"] >= CYCLES
