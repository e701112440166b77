"""The loaders: full queues, wrong packet ends, jobs back to back."""

import pytest

from ..blocks.checks import CYCLES, check_block


@pytest.mark.rtl
@pytest.mark.parametrize("kind", ["weight_loader", "activation_loader"])
def test_against_plain_integers(kind: str) -> None:
    assert check_block(kind)["cycles"] >= CYCLES
