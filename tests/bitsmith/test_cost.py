"""``bitsmith cost`` and ``bitsmith calibrate``: what they print, what they refuse."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from bitsmith.cli import main
from configs.errors import InputError
from configs.schema import load_axis, load_run
from costmodel import Technology
from costmodel.calibration.files import FITS, load_fit
from costmodel.gates import load_energy_fit

COST = ["cost", "scribe_1m"]
LIBRARY = ["calibrate", "--output", "x", "--name", "n", "--node-nm", "65", "--volts", "1"]


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
        ([*LIBRARY, "--liberty", "no.lib"], "no.lib"),
        ([*LIBRARY, "--liberty", "no.lib", "--node-nm", "40"], "no scaling to or from 40 nm"),
        ([*LIBRARY, "--liberty", "no.lib", "--volts", "5"], "5 V at 65 nm is outside"),
        ([*LIBRARY, "--liberty", ""], "--liberty is empty"),
        (["calibrate", "--output", "", "--fpga", "ecp5"], "--out is empty"),
        (["calibrate", "--output", "x", "--fpga", ""], "--fpga is empty"),
        ([*COST, "--tables", ""], "--tables is empty"),
        ([*COST, "--technology", ""], "--technology is empty"),
        ([*COST, "--memory", ""], "--memory is empty"),
        ([*COST, "--config", ""], "--config is empty"),
        ([*COST, "--recipe", ""], "--recipe is empty"),
        ([*COST, "--explain", ""], "--explain is empty"),
        (["cost", ""], "the model's name is empty"),
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


@pytest.fixture
def calibrated(tmp_path, monkeypatch) -> Path:
    """Calibration, without the synthesis: fits of a library that are copies of shipped ones."""

    def fit(kind, load, name, out):
        content = json.loads((FITS / f"sg13g2{kind}.json").read_text()) | {"name": name}
        (out / "fits").mkdir(parents=True, exist_ok=True)
        (out / "fits" / f"{name}{kind}.json").write_text(json.dumps(content))
        return load(name, where=out / "fits")

    module = sys.modules["bitsmith.commands.calibrate"]
    monkeypatch.setattr(
        module, "calibrate_asic", lambda _, name, out, **rest: fit("", load_fit, name, out)
    )
    monkeypatch.setattr(
        module,
        "calibrate_energy",
        lambda _, name, volts, out, **rest: fit("_energy", load_energy_fit, name, out),
    )
    return tmp_path / "my library"


def calibrate(out: Path, *more: str) -> int:
    needed = ["--name", "mine", "--node-nm", "130", "--volts", "1.2", "--liberty", "x.lib"]
    return main(["calibrate", "--out", str(out), *needed, *more])


def test_a_library_of_ones_own_is_used_by_the_command_that_is_printed(calibrated, capsys) -> None:
    assert calibrate(calibrated, "--energy") == 0
    program, *command = shlex.split(capsys.readouterr().out.split("use it: ")[1])
    assert program == "bitsmith" and command[0] == "cost"
    assert main([*COST, *command[1:], "--json"]) == 0
    mine = json.loads(capsys.readouterr().out)
    assert main([*COST, "--technology", "sg13g2_130nm", "--json"]) == 0
    shipped = json.loads(capsys.readouterr().out)
    assert mine.pop("technology") == "mine" and shipped.pop("technology") == "sg13g2_130nm"
    for key in ("area_um2", "energy_pj", "intervals", "blocks", "actions"):
        assert mine[key] == shipped[key]


def test_a_run_takes_a_technology_file_wherever_it_starts(
    calibrated, capsys, monkeypatch, tmp_path
) -> None:
    assert calibrate(calibrated, "--energy") == 0
    run = yaml.safe_load(
        (Path(load_run.__code__.co_filename).parent / "quickstart.yaml").read_text()
    )
    inline = yaml.safe_load((calibrated / "mine.yaml").read_text()) | {"fits": "../fits"}
    (calibrated / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    for technology in ("../mine.yaml", inline):
        file = calibrated / "runs" / "run.yaml"
        file.write_text(yaml.safe_dump(run | {"technology": technology}))
        config = load_run(file.relative_to(tmp_path)).technology
        assert Path(config.fits).resolve() == calibrated / "fits"
        assert Technology.of(config).asic.name == "mine"
    with pytest.raises(InputError, match="fits is empty"):
        load_axis("technology", inline | {"fits": " "})
    capsys.readouterr()


def test_without_energies_calibrate_and_cost_say_how_to_make_them(calibrated, capsys) -> None:
    assert calibrate(calibrated) == 0
    assert "after --energy, which it needs, too" in capsys.readouterr().out
    assert main([*COST, "--technology", str(calibrated / "mine.yaml")]) == 2
    error = capsys.readouterr().err
    assert "fit 'mine_energy' is missing" in error and "--energy --out" in error
    # what was edited is kept when energies come
    path = calibrated / "mine.yaml"
    path.write_text(path.read_text().replace("name: mine", "name: edited"))
    assert calibrate(calibrated, "--energy", "--json") == 0
    assert json.loads(capsys.readouterr().out)["technology"] == str(path)
    assert load_axis("technology", str(path)).name == "edited"


def test_shipped_fits_get_no_technology_beside_them(calibrated, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["bitsmith.commands.calibrate"], "FOLDER", calibrated)
    assert calibrate(calibrated, "--json") == 0
    assert "technology" not in json.loads(capsys.readouterr().out)
    assert [path.name for path in calibrated.iterdir()] == ["fits"]


def test_other_data_are_less_sure(result, capsys) -> None:
    assert main([*COST, "--data", "random", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    def width(report: dict) -> float:
        limits = report["intervals"]["on_chip_energy_pj"]
        return limits["high"] / limits["low"]

    assert width(found) > width(result)
    assert main([*COST, "--data", "random", "--explain", "pe.products"]) == 0
    capsys.readouterr()
