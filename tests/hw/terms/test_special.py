"""Special values: registers written at random, every choice of a term."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
@pytest.mark.parametrize("kind", ["special_values", "special_terms"])
def test_against_plain_integers(kind: str) -> None:
    assert check_block(kind)["cycles"] >= CYCLES
