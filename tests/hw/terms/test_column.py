"""A column's terms: families with special values, pairs, and several formats."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("column_terms")["cycles"] >= CYCLES
