"""Every claim of the catalogue is proved, and its interesting states can be reached."""

import pytest

from hw.proofs import cover, missing_solver, prove
from hw.proofs.catalogue import CLAIMS

pytestmark = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.agreement if c.slow else ()) for n, c in CLAIMS.items()],
)
def test_claim(name):
    claim = CLAIMS[name]
    verdict = prove(claim.harness(), depth=claim.induction, search=claim.induction + 2)
    assert (verdict.status, verdict.phase, verdict.failed) == ("proved", "", ())
    if not claim.covers:
        return
    covered = cover(claim.harness(), depth=claim.covers)
    assert (covered.status, covered.failed) == ("reached", ())
