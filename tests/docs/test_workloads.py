"""docs/workloads.md shows what the presets come to, and its example runs."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from configs.schema import load_axis
from sw.workloads import FAMILIES

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_workloads.py"
PAGE = (DOCS / "workloads.md").read_text()


def test_the_table_is_fresh(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_workloads.py'"


def test_a_stale_table_is_found() -> None:
    made = runpy.run_path(str(SCRIPT))
    assert made["page"](PAGE.replace("6,607,077,376", "6,607,077,377")) == PAGE


def test_all_types_are_named() -> None:
    named = set(re.findall(r"`([a-z0-9_]+)`", PAGE.split("\nTypes: ")[1].split("Another type")[0]))
    assert named == set(FAMILIES)


def test_the_example_runs() -> None:
    code = PAGE.split("```python\n")[1].split("```")[0]
    lines = code.strip().split("\n")
    names = {"config": load_axis("workload", "llama2_7b").architecture}
    exec("\n".join(lines[:-1]), names)
    assert eval(lines[-1], names)[2] == 262_144 * 1280
