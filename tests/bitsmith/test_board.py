"""``bitsmith board``: files and summary of a build whose tools are replaced by a record."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from bitsmith.cli import main
from hw.boards import build as build_module

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("amaranth_boards") is None, reason="amaranth-boards is not installed"
)
REPORT = {
    "fmax": {"clk": {"achieved": 18.5, "constraint": 12.0}},
    "utilization": {
        "ICESTORM_LC": {"used": 4507, "available": 5280},
        "SB_WARMBOOT": {"used": 0, "available": 1},
    },
}
COMMAND = ["board", "ice40_board_1x2x2", "--format", "int4", "--board", "icebreaker"]


@pytest.fixture
def fmax(monkeypatch) -> dict[str, float]:
    """What the recorded report says; the tools are not run."""
    reached = {"mhz": 18.5}

    def run_tool(command, folder: Path, board) -> None:
        report = json.loads(json.dumps(REPORT))
        report["fmax"]["clk"]["achieved"] = reached["mhz"]
        (folder / "report.json").write_text(json.dumps(report))
        (folder / "bitsmith_board.bin").write_bytes(bytes(100))

    monkeypatch.setattr(build_module, "_run_tool", run_tool)
    monkeypatch.setattr(build_module, "check_tools", lambda commands: None)
    return reached


def test_files_and_summary(fmax, capsys, tmp_path: Path) -> None:
    out = tmp_path / "new" / "board"
    assert main([*COMMAND, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "clock 12 MHz, Fmax 18.50 MHz by place and route: met" in text
    assert "4,507" in text and "WARMBOOT" not in text
    assert f"iceprog {out / 'bitsmith_board.bin'}" in text
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {
        "bitsmith_board.bin",
        "bitsmith_board.pcf",
        "bitsmith_board.v",
        "board.json",
        "driver/bitsmith_accelerator.py",
        "driver/uart_backend.py",
        "report.json",
    }
    assert "module bitsmith_board(" in (out / "bitsmith_board.v").read_text()
    for path in out.rglob("*.py"):
        compile(path.read_text(), path.name, "exec")
        assert str(json.loads((out / "board.json").read_text())["fingerprint"]) in path.read_text()


def test_a_clock_that_is_missed(fmax, capsys, tmp_path: Path) -> None:
    fmax["mhz"] = 11.9
    assert main([*COMMAND, "--out", str(tmp_path), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["timing_met"] is False
    assert result["fmax_mhz"] == 11.9
    assert (result["largest_k"], result["inner_bits"], result["outer_bits"]) == (256, 19, 27)
    assert result["baud"] == 1_000_000
    assert result["bitstream_bytes"] == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--board", "icebraker"], "unknown board 'icebraker': did you mean 'icebreaker'?"),
        (["--baud", "0"], "--baud is 0"),
        (["--format", "int44"], "unknown number format 'int44': did you mean 'int4'?"),
        (["--group-size", "0"], "group_size is 0"),
        (["--k", "0"], "--k is 0"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([*COMMAND, "--out", str(out), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_widths_of_a_model(fmax, capsys, tmp_path: Path) -> None:
    """With a model the widths are those that its weights need."""
    accelerator = ["--config", "ecp5_board_4x4x4", "--format", "int4", "--board", "icebreaker"]
    command = ["board", "scribe_1m", *accelerator, "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    # 256 chunks of 4 lanes
    assert (result["largest_k"], result["outer_bits"] < 29) == (1024, True)


def test_a_model_whose_tiles_do_not_fit(fmax, capsys, tmp_path: Path) -> None:
    out = tmp_path / "out"
    accelerator = ["--config", "ice40_board_1x2x2", "--format", "int4", "--board", "icebreaker"]
    assert main(["board", "scribe_1m", *accelerator, "--out", str(out)]) == 2
    assert "weight_beats is 136: set it to 220 or more" in capsys.readouterr().err
    assert not out.exists()


def test_all_or_nothing(fmax, capsys, tmp_path: Path, monkeypatch) -> None:
    """A folder of its own is replaced, another is refused before any tool runs."""
    out = tmp_path / "out"
    assert main([*COMMAND, "--out", str(out)]) == 0
    first = (out / "board.json").read_text()
    assert main([*COMMAND, "--out", str(out)]) == 0
    assert (out / "board.json").read_text() == first
    (out / "thesis.txt").write_text("mine")

    def fails(*arguments) -> None:
        raise AssertionError("a tool was run")

    monkeypatch.setattr(build_module, "_run_tool", fails)
    assert main([*COMMAND, "--out", str(out)]) == 2
    assert "'thesis.txt', which bitsmith did not write" in capsys.readouterr().err
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    assert main([*COMMAND, "--out", str(foreign)]) == 2
    assert "is not empty and not a board of bitsmith" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "out"]


def test_an_interrupted_write_leaves_the_former_board(
    fmax, capsys, tmp_path: Path, monkeypatch
) -> None:
    out = tmp_path / "out"
    assert main([*COMMAND, "--out", str(out)]) == 0
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def fails(source: Path, goal: Path) -> None:
        if Path(source).name == "made":
            raise OSError(28, "No space left on device")
        rename(source, goal)

    rename = os.rename
    monkeypatch.setattr("bitsmith.package.writer.os.rename", fails)
    fmax["mhz"] = 20
    assert main([*COMMAND, "--out", str(out)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept


def test_the_verilog_says_where_it_comes_from(fmax, capsys, tmp_path: Path) -> None:
    assert main([*COMMAND, "--out", str(tmp_path / "out")]) == 0
    described = json.loads((tmp_path / "out" / "board.json").read_text())
    head = (tmp_path / "out" / "bitsmith_board.v").read_text()[:400]
    for part in ("ice40_board_1x2x2", described["fingerprint"], described["bitsmith"]):
        assert part in head
    assert set(described["files"]) >= {"bitsmith_board.v", "driver/uart_backend.py"}


def test_a_preset_with_wide_streams(capsys, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["board", "tiny_4x4x4", "--board", "icebreaker", "--out", str(out)]
    assert main(command) == 2
    assert "streams: weight_bits is 64" in capsys.readouterr().err


def test_out_is_a_file(capsys, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert main([*COMMAND, "--out", str(tmp_path / "out")]) == 2
    assert "is a file, a folder is needed" in capsys.readouterr().err
