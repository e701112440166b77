"""Every decoder, exhaustively, against the levels of its formats."""

import cocotb
from cocotb.triggers import Timer
from designs import decoder_cases

from sw.formats import family_terms


def term_value(packed: int) -> int:
    """Value of ``term_layout`` bits: present, negative, exponent from the low bit up."""
    present, negative, exponent = packed & 1, packed >> 1 & 1, packed >> 2
    return (present << exponent) * (-1 if negative else 1)


@cocotb.test()
@cocotb.parametrize(name=list(decoder_cases()))
async def terms_add_up_to_levels(dut, name):
    family, lane_exponent_bits = decoder_cases()[name]
    base_shifts = family_terms(family, lane_exponent_bits=lane_exponent_bits).base_shifts
    output = getattr(dut, f"{name}_term")
    assert len(output) == 2 + lane_exponent_bits
    for format_id, member in enumerate(family.members):
        for code, level in enumerate(member.levels):
            total = 0
            for slot, base_shift in enumerate(base_shifts):
                dut.code.value, dut.format_id.value, dut.slot.value = code, format_id, slot
                await Timer(1, "ns")
                packed = int(output.value)
                assert level is not None or not packed & 1, f"unused code {code} has a term"
                total += term_value(packed) << base_shift
            place = f"{member.name}, code {code}"
            assert level is None or total == level, f"{place}: expected {level}, got {total}"
