"""The walker: every small job, counters at the ends of their ranges."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("walker")["cycles"] >= CYCLES
