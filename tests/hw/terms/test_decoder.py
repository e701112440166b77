"""The term decoder: its ports, and every term of every family in RTL."""

import pytest
from amaranth.hdl import Fragment, Value

from hw.terms import TermDecoder
from sw.formats import families, family_terms, serial_families

from ..benches_cocotb.designs import TERNARY, blocks_verilog, decoder_cases


def ports(family) -> dict[str, int]:
    """Width of every input."""
    decoder = TermDecoder(family=family, terms=family_terms(family))
    Fragment.get(decoder, None)
    members = decoder.signature.members
    return {name: len(Value.cast(getattr(decoder, name))) for name in members}


def test_selectors_exist_only_where_there_is_a_choice():
    known = families()
    assert ports(known["bitmod_fp4"]) == {"code": 4, "term": 4, "format_id": 2, "slot": 1}
    assert ports(known["int8"]) == {"code": 8, "term": 4, "slot": 2}
    assert ports(TERNARY) == {"code": 2, "term": 4}


@pytest.mark.rtl
def test_terms_add_up_to_levels(run_bench):
    decoded = {family.name for family, _ in decoder_cases().values()}
    # uint8 needs 5 slots
    assert set(serial_families()) - decoded == {"uint8"}
    passed = run_bench(blocks_verilog(), "blocks", "bench_decoder")
    assert len(passed) == len(decoder_cases())
