"""The README's example runs, and the output that it shows is the real one."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from bitsmith.cli import main

from .shown import same

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Fenced code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_python_example_runs() -> None:
    (example,) = blocks("python")
    statements = [line for line in example.splitlines() if line and not line.startswith("import")]
    assert len(statements) <= 10
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert "(4, 160)" in printed.getvalue()


@pytest.mark.rtl
def test_shown_output_is_the_real_output(capsys, monkeypatch, tmp_path: Path) -> None:
    """Every shown line occurs in this order; ``...`` stands for left-out ones.

    Counts are exact; measured numbers may differ in the last place with the CPU's arithmetic.
    """
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(ROOT / "configs" / "quickstart.yaml")]) == 0
    real = iter(capsys.readouterr().out.splitlines())
    (shown,) = blocks("text")
    lines = [line for line in shown.splitlines() if line != "..."]
    assert len(lines) > 15
    for line in lines:
        assert any(same(line, candidate) for candidate in real), f"not in the real output: {line}"


def test_commands_exist(capsys) -> None:
    """Every `bitsmith ...` line of the README parses."""
    from bitsmith.cli import build_parser

    commands = re.findall(r"^\$ bitsmith (.*?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        build_parser().parse_args(command.split())
