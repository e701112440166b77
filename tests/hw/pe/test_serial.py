"""The serial PE: families, lanes, modes, signed and unsigned, with every pipeline register."""

import pytest

from ..blocks.checks import CYCLES, check_block
from ..blocks.pe import SETTINGS
from ..blocks.settings import check_settings


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("serial_pe")["cycles"] >= CYCLES


@pytest.mark.rtl
def test_every_setting_of_aligned_mantissas() -> None:
    cycles = check_settings("serial_pe", lambda block: block.p.setting)
    assert cycles.keys() == set(SETTINGS)
    assert min(cycles.values()) >= CYCLES
