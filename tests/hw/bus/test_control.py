"""The job control: jobs that end, fail, are refused and aborted."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("job_control")["cycles"] >= CYCLES
