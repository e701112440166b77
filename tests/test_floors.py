"""House rules that a machine can check: floors, sizes, docstrings, presets."""

import ast
from pathlib import Path

import pytest

from configs.load import preset_folder, preset_names
from configs.schema import AXES, load_axis, load_run

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"configs": 0, "sw": 1, "hw": 2, "sim": 2, "costmodel": 3, "bitsmith": 4}
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


def imported_floors(tree: ast.AST) -> set[str]:
    """Top-level packages of the project that a module imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names & set(FLOORS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    here = path.relative_to(ROOT).parts[0]
    climbs = {n for n in imported_floors(tree) if n != here and FLOORS[n] >= FLOORS[here]}
    assert not climbs, f"{path.name} on floor {here} imports {climbs}"
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(tree), "module docstring"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node) is not None
            text_lines = node.body[0].end_lineno - node.body[0].lineno + 1 if documented else 0
            lines = node.end_lineno - node.lineno + 1 - text_lines
            assert lines <= 50, f"{node.name} is too long"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or here == "sw", f"{node.name} has no docstring"


@pytest.mark.parametrize("axis", AXES)
def test_every_preset_loads(axis: str) -> None:
    folder, kind = AXES[axis]
    names = preset_names(folder)
    assert names
    for name in names:
        assert isinstance(load_axis(axis, name), kind)


def test_every_run_configuration_loads() -> None:
    for name in preset_names(""):
        assert load_run(preset_folder("") / f"{name}.yaml") == load_run(name)


def test_no_paths_of_a_machine_in_the_tree() -> None:
    for path in SOURCES:
        assert str(Path.home()) not in path.read_text(), path
