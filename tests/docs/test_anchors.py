"""docs/anchors.md and its picture show what docs/anchors.json holds."""

import json
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_anchors.py"


def test_page_shows_the_committed_figures(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_anchors.py'"


def test_a_changed_figure_makes_page_and_picture_stale(tmp_path, monkeypatch, capsys):
    for name in (SCRIPT.name, "anchors.md", "anchors.svg", "anchors.json"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    changed = json.loads((tmp_path / "anchors.json").read_text())
    changed["rows"][0]["measured"]["sg13g2"]["scaled"] *= 3
    changed["sweeps"][0]["targets"]["ecp5"]["values"][0] += 20
    (tmp_path / "anchors.json").write_text(json.dumps(changed))
    made = runpy.run_path(str(tmp_path / SCRIPT.name))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 1
    said = capsys.readouterr().err
    assert "anchors.md is stale" in said and "anchors.svg is stale" in said
    monkeypatch.setattr(sys, "argv", [SCRIPT.name])
    assert made["main"]() == 0
    assert (tmp_path / "anchors.md").read_text() != (DOCS / "anchors.md").read_text()
