"""One bit less than proved: the proofs must fail, and the search finds a run that overflows."""

from dataclasses import replace

import pytest

from hw.proofs import missing_solver, prove, search
from hw.proofs.catalogue import group_of_weights

pytestmark = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")


@pytest.mark.parametrize("mode", ["wrap", "saturate", "flag"])
def test_search_finds_an_overflow(mode):
    group = group_of_weights("int4", 6, mode, lanes=3)
    depth = group.steps + 3
    narrow = search(replace(group, bits=group.bits - 1), depth=depth)
    assert (narrow.status, narrow.phase) == ("failed", "search")
    # a step is accumulated in the second cycle after it was offered, the first cycle is the reset
    assert 2 <= narrow.cycle < depth
    assert narrow.trace["pe.overflow"][narrow.cycle] == (mode != "wrap")


@pytest.mark.parametrize(
    ("family", "length", "mode", "options"),
    [
        ("int4", 14, "saturate", {}),
        ("bitmod_fp4", 16, "flag", {"lane_exponent_bits": 1}),
        ("int4", 16, "wrap", {"activations": (100, 127)}),
    ],
)
def test_induction_fails(family, length, mode, options):
    group = group_of_weights(family, length, mode, **options)
    verdict = prove(replace(group, bits=group.bits - 1))
    assert (verdict.status, verdict.phase) == ("failed", "induction")


def test_wrapping_needs_less():
    """Running sums of the wrapping claim leave its register: only the final sum must fit."""
    group = group_of_weights("int4", 16, "wrap", activations=(100, 127))
    assert group.bits < replace(group, mode="flag").needed_bits()
    verdict = prove(replace(group, mode="flag"))
    assert verdict.status == "failed"
