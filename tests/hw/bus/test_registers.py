"""The register file: every kind of register, handshakes in every order."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("register_file")["cycles"] >= CYCLES
