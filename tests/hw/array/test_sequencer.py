"""The sequencer: every cycle's slot, cause and counters."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("sequencer")["cycles"] >= CYCLES
