"""docs/coverage.md is what docs/coverage.json and the table of reasons make."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from .coverage import holes, ranges
from .registry import blocks_by_kind

DOCS = Path(__file__).resolve().parents[3] / "docs"
FILES = ("make_coverage.py", "coverage.json", "coverage_holes.toml", "coverage.md")


@pytest.fixture
def page(tmp_path: Path, monkeypatch):
    """``page(*options)`` runs the generator on a copy of its files; the copy is its attribute."""
    for name in FILES:
        shutil.copy(DOCS / name, tmp_path)

    def run(*options: str) -> int:
        monkeypatch.setattr(sys, "argv", ["make_coverage.py", *options])
        return runpy.run_path(str(tmp_path / "make_coverage.py"))["main"]()

    run.folder = tmp_path
    return run


def test_the_page_is_fresh(page) -> None:
    assert page("--check") == 0, "run 'python docs/make_coverage.py'"


def test_every_block_is_measured() -> None:
    measured = json.loads((DOCS / "coverage.json").read_text())["coverage"]
    assert list(measured) == list(blocks_by_kind())
    assert all(found["line"]["points"] + found["toggle"]["points"] for found in measured.values())


def test_a_stale_page_is_found_and_mended(page, capsys) -> None:
    text = (page.folder / "coverage.md").read_text()
    (page.folder / "coverage.md").write_text(text.replace("| `walker` | 1 |", "| `walker` | 2 |"))
    assert page("--check") == 1
    assert "stale" in capsys.readouterr().err
    assert page() == 0
    assert (page.folder / "coverage.md").read_text() == text


def test_a_hole_needs_a_reason_and_a_reason_a_hole(page, capsys) -> None:
    path = page.folder / "coverage.json"
    measured = json.loads(path.read_text())
    new = {"kind": "toggle", "what": "busy[0]", "in": ["sequencer__2_8"]}
    measured["coverage"]["sequencer"]["holes"].append(new)
    measured["coverage"]["requantizer"]["holes"] = []
    path.write_text(json.dumps(measured))
    assert page() == 1
    complaints = capsys.readouterr().err
    assert "no reason: sequencer: toggle busy[0]" in complaints
    assert "no hole: requantizer: doubled" in complaints


def test_bits_are_shown_as_ranges() -> None:
    assert ranges([7, 0, 2, 1, 9, 8, 1]) == "0-2, 7-9"
    assert ranges([4]) == "4"
    assert holes({}) == []
