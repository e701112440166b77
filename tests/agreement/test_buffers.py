"""Tile buffers and streams of any width: RTL = golden = simulator on random jobs."""

import numpy as np
import pytest

from bitsmith.verify import Case, random_cases

from .machines import BUFFERS
from .test_random_jobs import assert_agreement

pytestmark = pytest.mark.rtl


@pytest.mark.parametrize("name", BUFFERS)
def test_random_jobs(name: str) -> None:
    rng = np.random.default_rng(len(name))
    cases = random_cases(BUFFERS[name], 80, rng)
    without = [Case(name=f"{case.name}, no gaps", program=case.program) for case in cases[::3]]
    assert_agreement(BUFFERS[name], cases + without)
