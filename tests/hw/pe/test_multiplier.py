"""The PE with multipliers: digits of integers, ANT and OliVe; integer and floating sums."""

import pytest

from hw.emit import to_verilog

from ..blocks.checks import CYCLES, check_block
from ..blocks.pe import SETTINGS
from ..blocks.registry import block
from ..blocks.settings import check_settings


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("multiplier_pe")["cycles"] >= CYCLES


@pytest.mark.rtl
def test_every_setting_of_aligned_mantissas() -> None:
    cycles = check_settings("multiplier_pe", lambda block: block.p.setting)
    assert cycles.keys() == set(SETTINGS)
    assert min(cycles.values()) >= CYCLES


@pytest.mark.parametrize(("name", "lanes"), [("int8", 4), ("int8_one", 1), ("ant4", 4)])
def test_a_multiplication_per_lane_is_left_to_the_tools(name: str, lanes: int) -> None:
    text = to_verilog(block(f"multiplier_pe__{name}").component(), "pe")
    assert text.count(" * ") == lanes
