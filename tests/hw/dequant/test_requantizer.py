"""The requantizer: refused beats, both ends of the range; a narrow one exhaustively."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("requantizer")["cycles"] >= CYCLES
