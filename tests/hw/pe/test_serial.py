"""The serial PE: families, lanes, modes, signed and unsigned, with every pipeline register."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("serial_pe")["cycles"] >= CYCLES
