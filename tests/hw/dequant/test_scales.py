"""The scale decoder: every code of every format."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("scale_decoder")["cycles"] >= CYCLES
