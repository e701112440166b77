"""The tutorial's commands run, and print what the page shows."""

import re
import shlex
from pathlib import Path

import pytest

from bitsmith.cli import main

from ..shown import same

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()


def commands() -> list[tuple[str, list[str]]]:
    """Every command of the page with the lines shown below it."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.rtl
def test_every_command_prints_what_is_shown(tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    (sweep,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert sweep.startswith("# decoder.yaml\n")
    Path("decoder.yaml").write_text(sweep)
    steps = commands()
    assert [shlex.split(command)[1] for command, _ in steps] == ["explore", "explore", "run", "rtl"]
    for command, shown in steps:
        assert main(shlex.split(command)[1:]) == 0, command
        real = iter(capsys.readouterr().out.splitlines())
        for line in shown:
            if line != "...":
                assert any(same(line, other) for other in real), f"{command}: not printed: {line}"
    assert Path("runs/explore/decoder/report.html").stat().st_size > 1_000_000
    assert Path("runs/decoder_14/report.html").exists() and Path("rtl/README.md").exists()
