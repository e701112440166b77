"""Claims about guard, result port, registers, job control and tile buffers that must fail.

Each harness with one thing taken away: what the block is told, or what it is given.
"""

import pytest

from hw.proofs import Answers, Guard, ResultWords, States, Tiles, missing_solver, search
from hw.proofs.registers import small_map

pytestmark = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")


@pytest.mark.parametrize(
    ("harness", "depth", "failed"),
    [
        (Guard(stream_bits=2, told=False), 5, "a job is inside what is open"),
        (ResultWords(row_bits=24, stream_bits=16, told=False), 5, "words owed"),
        (Answers(registers=small_map(), strobes=False), 5, "write of act"),
        (States(told=False), 4, "refused otherwise"),
        (Tiles(kinds={"chunk": 2}, stream_bits=1, half_beats=2, fitting=False), 7, "no error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_search_finds_the_failure(harness, depth: int, failed: str) -> None:
    verdict = search(harness, depth=depth)
    assert (verdict.status, verdict.failed) == ("failed", (failed,))
