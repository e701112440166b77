"""The column's scale and zero point: headers that wait, bits in order."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("column_scale")["cycles"] >= CYCLES
