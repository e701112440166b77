"""The queue: every short sequence, random paces, its parameters."""

import pytest

from hw.array import Queue

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_a_list() -> None:
    assert check_block("queue")["cycles"] >= CYCLES


def test_a_queue_without_places_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        Queue(width=8, depth=0)
