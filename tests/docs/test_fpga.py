"""docs/fpga.md shows what was measured."""

import json
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_fpga.py"


def test_page_shows_the_measured_figures(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_fpga.py'"


def test_a_changed_figure_makes_the_page_stale(tmp_path, monkeypatch, capsys) -> None:
    for name in (SCRIPT.name, "fpga.md", "fpga.json"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    measured = json.loads((tmp_path / "fpga.json").read_text())
    measured["rows"][0]["used"]["lut"] += 1000
    (tmp_path / "fpga.json").write_text(json.dumps(measured))
    made = runpy.run_path(str(tmp_path / SCRIPT.name))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 1
    assert "stale" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [SCRIPT.name])
    assert made["main"]() == 0
    assert (tmp_path / "fpga.md").read_text() != (DOCS / "fpga.md").read_text()


def test_figures_agree_with_each_other() -> None:
    """Fmax is the worst seed, and operations follow from it."""
    rows = json.loads((DOCS / "fpga.json").read_text())["rows"]
    for row in rows:
        worst = min(seed["fmax_mhz"] for seed in row["seeds"])
        assert len(row["seeds"]) == 3 and row["fmax_mhz"] == worst
        count, cols, lanes = row["shape"]
        gops = 2 * count * cols * lanes / row["slots"] * worst / 1000
        assert row["gops"] == pytest.approx(gops, abs=1e-3)
        luts = row["used"]["lut"] - row.get("wrapper_cells", 0)
        assert row["gops_per_klut"] == pytest.approx(1000 * gops / luts, abs=1e-3)
