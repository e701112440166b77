"""Long lists of cases: some in `make test`, all in `make agreement`."""

from collections.abc import Iterable

import pytest


def sampled(names: Iterable[str], every: int) -> list:
    """Parameters of which each ``every``-th belongs to all runs, the others to the full sweep."""
    return [
        pytest.param(name, marks=pytest.mark.agreement if place % every else ())
        for place, name in enumerate(names)
    ]
