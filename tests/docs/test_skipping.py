"""docs/skipping.md shows what was measured, and what was measured still comes out."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.skipping import ARRAY, RECIPES, job_of, row
from bitsmith.commands.skipping import model_report
from sim.skipping import DEPTHS

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_skipping.py"
MEASURED = json.loads((DOCS / "skipping.json").read_text())


def test_page_is_fresh(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_skipping.py'"


def test_a_changed_figure_makes_it_stale(tmp_path, monkeypatch, capsys) -> None:
    for name in (SCRIPT.name, "skipping.md"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    changed = json.loads(json.dumps(MEASURED))
    changed["rows"][0]["speed_ups"]["zero_terms own array"][1] += 1
    (tmp_path / "skipping.json").write_text(json.dumps(changed))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert runpy.run_path(str(tmp_path / SCRIPT.name))["main"]() == 1
    assert "skipping.md is stale" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_shipped_model_still_measures_the_same(recipe: str) -> None:
    cols, lanes = ARRAY
    report = model_report(job_of("scribe_1m", recipe), cols=cols, lanes=lanes, depths=list(DEPTHS))
    assert row("scribe_1m", recipe, report) in MEASURED["rows"]


def test_what_the_page_concludes() -> None:
    """On the large array, of both models."""
    depths = MEASURED["depths"]
    for found in MEASURED["rows"]:
        ways, several = found["speed_ups"], len(set(found["base_shifts"])) > 1
        if (found["cols"], found["lanes"]) != ARRAY:
            continue
        own = dict(zip(depths, ways["zero_terms own array"], strict=True))
        assert own[0] < 1.06
        assert own[2] - 1 > 0.65 * (own[None] - 1)
        assert own[None] < 0.9 * found["balanced"]
        assert ways["zero_weights shared array"][-1] < 1.17
        assert several == (ways["zero_terms shared array"][1] is None)
