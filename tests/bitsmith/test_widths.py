"""`bitsmith widths`: quality against accumulator width against hardware."""

import csv
import json
from pathlib import Path

import pytest

from bitsmith.cli import main
from bitsmith.report.widths import STYLES
from bitsmith.widths import DIGITS, METHODS, DigitsTask, WidthSettings, find_task, trained_rows
from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.golden.narrow import UNLIMITED
from sw.models.digits_task import DigitsModel, integer_linear

RECIPE = QuantizationConfig(format="int4", scale_format="uint8", scale_rule="mse", group_size=64)
TRAINED = Path(__file__).resolve().parents[2] / "docs" / "narrow_training.json"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, list[dict]]:
    folder = tmp_path_factory.mktemp("widths")
    arguments = ["widths", DIGITS, "--widths", "9", "11", "--output", str(folder)]
    assert main([*arguments, "--methods", "axe_rtn", "wrap", "--trained", str(TRAINED)]) == 0
    return folder, json.loads((folder / "widths.json").read_text())["tasks"][DIGITS]


def test_methods_that_keep_to_a_width_are_proved_and_exact(study) -> None:
    kept = [row for row in study[1] if row["method"] == "axe_rtn"]
    assert [row["inner_bits"] for row in kept] == [9, 10, 11]
    for row in kept:
        assert row["proved"] and row["proved_inner_bits"] <= row["inner_bits"]
        assert row["value"] == row["exact_value"] and row["events"] == 0
    assert kept[-1]["value"] > 0.9


def test_registers_narrowed_with_nothing_done_overflow(study) -> None:
    wide = next(row for row in study[1] if row["method"] == "wide")
    for row in (row for row in study[1] if row["method"] == "wrap"):
        assert not row["proved"] and row["events"] > 0 and row["outputs_wrong"] > 0
        assert row["exact_value"] == wide["value"] and row["value"] < wide["value"]
        assert row["proved_inner_bits"] == wide["proved_inner_bits"] > row["inner_bits"]


def test_narrow_accumulators_make_smaller_machines(study) -> None:
    rows = [row for row in study[1] if row["luts"] is not None]
    wide = next(row for row in rows if row["method"] == "wide")
    for row in rows:
        assert row is wide or (row["area_um2"] < wide["area_um2"] and row["luts"] < wide["luts"])
    area = [row["area_um2"] for row in rows if row["method"] == "axe_rtn"]
    assert area == sorted(area)


def test_trained_models_stand_beside_the_others(study) -> None:
    listed = json.loads(TRAINED.read_text())
    rows = [row for row in study[1] if row["method"].endswith("trained")]
    assert {row["method"] for row in rows} <= set(STYLES)
    ten = next(r for r in rows if (r["method"], r["inner_bits"]) == ("a2q_plus trained", 10))
    seeds = [
        row["value"]
        for row in listed
        if (row["task"], row["method"], row["activation_bits"], row["inner_bits"])
        == ("digits", "a2q_plus", 4, 10)
    ]
    assert ten["value"] == pytest.approx(sum(seeds) / len(seeds))
    assert ten["luts"] == next(
        r["luts"] for r in study[1] if (r["method"], r["inner_bits"]) == ("axe_rtn", 10)
    )


def test_files(study) -> None:
    folder, rows = study
    page = (folder / "widths.html").read_text()
    assert DIGITS in page and "Quality against accumulator width" in page and "http" not in page
    with (folder / "widths.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(rows)


def test_digits_task_runs_the_models_own_arithmetic() -> None:
    task = DigitsTask(RECIPE)
    quantized = task.quantized(task.settings)
    narrow = task.narrow(quantized)
    direct = integer_linear(quantized, task._scales, task.array.activation_bits)
    expected = DigitsModel.load().evaluate(direct)
    assert task.evaluate(quantized, narrow.linear(UNLIMITED)) == expected
    assert expected > 0.9 and task.float_value > expected - 0.05


def test_a_width_without_room_for_a_weight_has_no_row(capsys) -> None:
    arguments = ["widths", DIGITS, "--widths", "4", "5", "--methods", "a2q", "a2q", "--json"]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)["tasks"][DIGITS]
    assert [row["method"] for row in rows] == ["wide"]


def test_bad_settings_are_refused(capsys, tmp_path) -> None:
    with pytest.raises(InputError, match="did you mean 'axe'"):
        WidthSettings(widths=(10,), methods=("axi",))
    with pytest.raises(InputError, match="width is 1"):
        WidthSettings(widths=(1,))
    with pytest.raises(InputError, match="at least one width"):
        WidthSettings(widths=())
    assert set(METHODS) <= set(STYLES)
    (tmp_path / "x.json").write_text('{"rows": 3}')
    with pytest.raises(InputError, match="no list of trained models"):
        trained_rows(tmp_path / "x.json", DigitsTask(RECIPE), [])
    with pytest.raises(InputError, match="nosuch"):
        find_task("nosuch", RECIPE, tokens=64)
    (tmp_path / "file").write_text("")
    for arguments in (
        ["--widths", "9", "8"],
        ["--tokens", "1"],
        ["--tokens", "0"],
        ["--group-size", "0"],
        ["--format", "int44"],
        ["--format", "bitmod_fp4", "--widths", "9", "9"],
        ["--trained", str(tmp_path / "none.json")],
        ["--output", str(tmp_path / "file" / "x")],
    ):
        assert main(["widths", DIGITS, *arguments]) == 2
        assert capsys.readouterr().err.startswith("bitsmith: ")
