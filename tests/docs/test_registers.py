"""docs/registers.md is what the register map says."""

import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_registers.py"


def test_page_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_registers.py'"


def test_a_changed_register_makes_it_stale(monkeypatch, tmp_path: Path, capsys) -> None:
    for name in (SCRIPT.name, "registers.md"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    made = runpy.run_path(str(tmp_path / SCRIPT.name))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 0
    monkeypatch.setitem(sys.modules["sw.compile.registers"].STATUS_BITS, "busy", "something else")
    assert made["main"]() == 1
    assert "stale" in capsys.readouterr().err
