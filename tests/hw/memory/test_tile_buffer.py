"""The tile buffer: beats of several words, tiles read again, packets that do not fit the job."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("tile_buffer")["cycles"] >= CYCLES
