"""The stream guard: packets that pass, are cut, drained and flushed."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("stream_guard")["cycles"] >= CYCLES
