"""The result port: rows of one word and of several, jobs stopped at any time."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("result_port")["cycles"] >= CYCLES
