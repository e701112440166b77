"""Single faults in every block: the batch stimulus finds them, or they are proved to be none.

docs/coverage.md shows the result, docs/coverage.json is what it must be again.
"""

import json
from pathlib import Path

import pytest

from ..hw.blocks.mutation import MUTATED, THRESHOLD, measure
from ..hw.blocks.registry import blocks_by_kind

RECORDED = json.loads((Path(__file__).resolve().parents[2] / "docs" / "coverage.json").read_text())


def test_every_block_has_mutants() -> None:
    assert {name.split("__")[0] for name in MUTATED} == set(blocks_by_kind())
    assert list(RECORDED["mutation"]) == list(MUTATED)
    assert all(found["mutants"] >= 20 for found in RECORDED["mutation"].values())


def test_enough_mutants_are_killed() -> None:
    found = RECORDED["mutation"].values()
    open_ones = sum(block["mutants"] - block["equivalent"] for block in found)
    assert sum(block["killed"] for block in found) >= THRESHOLD * open_ones


@pytest.mark.rtl
@pytest.mark.agreement
@pytest.mark.parametrize("name", MUTATED)
def test_mutants_are_killed(name: str) -> None:
    found, recorded = measure(name, seconds=30), RECORDED["mutation"][name]
    advice = "run 'python docs/make_coverage.py --measure'"
    assert [found[key] for key in ("mutants", "killed")] == [
        recorded[key] for key in ("mutants", "killed")
    ], advice
    # a proof that took longer than the one on record allows may succeed now
    assert set(found["survivors"]) <= set(recorded["survivors"]), advice
