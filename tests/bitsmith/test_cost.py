"""``bitsmith cost`` and ``bitsmith calibrate``: what they print, what they refuse."""

import json

import pytest
import yaml

from bitsmith.cli import main

COST = ["cost", "scribe_1m"]


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> dict:
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([*COST, "--json"]) == 0
    return json.loads(text.getvalue())


def test_every_total_has_an_interval(result) -> None:
    for name, limits in result["intervals"].items():
        assert 0 < limits["low"] < result[name] < limits["high"], name
    total = sum(cause["energy_pj"] for cause in result["causes"].values())
    assert total == pytest.approx(result["energy_pj"])


def test_explain_says_where_a_block_comes_from(result, capsys) -> None:
    assert main([*COST, "--explain", "pe.inner_accumulator"]) == 0
    text = capsys.readouterr().out
    block = next(b for b in result["blocks"] if b["block"] == "pe.inner_accumulator")
    assert f"{block['count']:,} x {block['area_um2']:.4g} um2" in text
    assert "fitted to" in text and "left out of the fit" in text and "130 nm" in text


def test_data_change_energies_only(result, capsys) -> None:
    assert main([*COST, "--data", "zero_rich", "--json"]) == 0
    zeros = json.loads(capsys.readouterr().out)
    assert zeros["area_um2"] == result["area_um2"]
    assert zeros["causes"]["compute"]["energy_pj"] < result["causes"]["compute"]["energy_pj"]


def test_tables_are_written(tmp_path, capsys) -> None:
    assert main([*COST, "--tables", str(tmp_path / "t")]) == 0
    names = ["ART.json", "ART.yaml", "ERT.json", "ERT.yaml"]
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == names
    for name in ("ART", "ERT"):
        read = yaml.safe_load((tmp_path / "t" / f"{name}.yaml").read_text())
        assert read == json.loads((tmp_path / "t" / f"{name}.json").read_text())
        assert read[name]["tables"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([*COST, "--explain", "pe.inner"], "did you mean"),
        ([*COST, "--data", "randm"], "did you mean 'random'?"),
        ([*COST, "--explain", "area", "--tables", "x"], "goes without --tables"),
        (["calibrate", "--output", "x"], "give --liberty FILE"),
        (["calibrate", "--output", "x", "--liberty", "a.lib", "--fpga", "ecp5"], "one of them"),
        (["calibrate", "--output", "x", "--liberty", "a.lib"], "needs --name, --node-nm, --volts"),
        (["calibrate", "--output", "x", "--fpga", "ecp6"], "ecp5"),
        (["calibrate", "--fpga", "ecp5"], "--out"),
        (
            ["calibrate", "--output", "x", "--liberty", "no.lib", "--name", "n", "--node-nm", "65",
             "--volts", "1"],
            "no.lib",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(arguments, sentence, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:  # the parser's own
        code = stop.code
    assert code == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and not captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_tables_folder_that_is_a_file_is_refused(tmp_path, capsys) -> None:
    (tmp_path / "t").write_text("mine")
    assert main([*COST, "--tables", str(tmp_path / "t")]) == 2
    assert "is a file, a folder is needed" in capsys.readouterr().err
    assert (tmp_path / "t").read_text() == "mine"
