"""Tables and YAML of points: what is written is what is read."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from bitsmith.explore import export
from bitsmith.explore.export import (
    accelerator_yaml,
    axis_yaml,
    point_config,
    point_yaml,
    run_yaml,
    write_parquet,
    write_points,
    write_tables,
)
from configs.accelerator import RequantizerConfig
from configs.errors import InputError
from configs.load import preset_names
from configs.schema import AXES, RUN_AXES, load_axis, load_run

from .made_up_study import AXES as SWEPT
from .made_up_study import made_up_space, made_up_study

NASTY = 'yes: "no" # <script>\nsecond line'


@pytest.fixture(scope="module")
def study():
    return made_up_study(limit=400)


@pytest.mark.parametrize("axis", RUN_AXES)
def test_presets_survive(axis, tmp_path) -> None:
    for name in preset_names(AXES[axis][0]):
        config = load_axis(axis, name)
        (tmp_path / "axis.yaml").write_text(axis_yaml(config))
        assert load_axis(axis, "axis.yaml", base=tmp_path) == config


def test_a_point_loads_as_its_configuration(study, tmp_path) -> None:
    space = study.space
    path = tmp_path / "point.yaml"
    for number in range(0, space.size, 97):
        config = point_config(space, number)
        path.write_text(point_yaml(space, number))
        assert load_run(path) == config
        path.write_text(accelerator_yaml(space, number))
        assert load_axis("accelerator", "point.yaml", base=tmp_path) == config.accelerator


def test_odd_settings_survive(tmp_path) -> None:
    axes = {
        "accelerator.scale.format": ["uint8", "e8m0"],
        "accelerator.requantizer.shift_bits": [4, 6],
        "accelerator.slots": ["auto", 2],
        "memory.dram.transfers_mt_s": [1600, 3200.5],
        "memory.weight_sram.kib": [64],
        "quantization.group_size": [64, "channel"],
        "workload.batch": [1, 2],
        "technology.volts": [0.8, 1],
    }
    space = made_up_space(NASTY, axes=axes, when={})
    for number in range(space.size):
        (tmp_path / "point.yaml").write_text(point_yaml(space, number))
        config = point_config(space, number)
        assert load_run(tmp_path / "point.yaml") == config
        assert config.name == f"yes_no_script_second_line_{number}"


def test_records_of_defaults_are_kept(tmp_path) -> None:
    array = replace(load_axis("accelerator", "tiny_4x4x4"), requantizer=RequantizerConfig())
    (tmp_path / "a.yaml").write_text(axis_yaml(array))
    assert load_axis("accelerator", "a.yaml", base=tmp_path) == array


def test_files_say_no_more_than_needed(study) -> None:
    text = point_yaml(study.space, int(study.table.numbers[study.front[0]]))
    assert text.startswith("# point ")
    data = yaml.safe_load(text)
    assert data["workload"] == "llama3_8b" and data["technology"] == "generic_28nm"
    assert "activation_bits" not in data["accelerator"] and "seed" not in data
    assert all(len(line) <= 100 for line in text.splitlines())
    assert run_yaml(load_run("quickstart")).splitlines()[1:4] == [
        "workload: scribe", "quantization: bitmod_fp4_g32", "accelerator: tiny_4x4x4",
    ]  # fmt: skip


def test_relative_paths_are_made_absolute(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    config = load_run("quickstart")
    config = replace(config, workload=replace(config.workload, model="model"))
    loaded = yaml.safe_load(run_yaml(config))
    assert loaded["workload"]["model"] == str((tmp_path / "model").resolve())


def test_points_of_the_front(study, tmp_path) -> None:
    paths = write_points(tmp_path, study)
    numbers = study.table.numbers[study.front].tolist()
    assert sorted(path.name for path in paths) == sorted(f"{n}.yaml" for n in numbers)
    for number in numbers:
        loaded = load_run(tmp_path / "front" / f"{number}.yaml")
        assert loaded == point_config(study.space, number)
        named = {"name": "", "output": ""}
        expected = study.space.config(study.space.settings(number))
        array = replace(loaded.accelerator, name=expected.accelerator.name)
        assert replace(loaded, accelerator=array, **named) == replace(expected, **named)
        assert loaded.output.endswith(f"_{number}")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_points(tmp_path / "file", study)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def check_rows(study, rows, places) -> None:
    assert [int(row["number"]) for row in rows] == study.table.numbers[places].tolist()
    for row, place in zip(rows, places, strict=True):
        settings = study.space.settings(int(row["number"]))
        assert row["accelerator.rows"] == str(settings["accelerator.rows"])
        assert row["accelerator.pipeline"] in ("none", "operands+sums")
        own = settings.get("accelerator.rows_per_dequantizer", "")
        assert row["accelerator.rows_per_dequantizer"] == str(own)
        area = study.table.metrics["area_mm2"][place]
        assert row["area_mm2"] == ("" if np.isnan(area) else repr(float(area)))
        assert row["reason"] == study.table.reasons[study.table.reason[place]]
        assert row["front"] == str(int(place in study.front))


def test_tables(study, tmp_path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    front, everything = write_tables(tmp_path, study)
    rows = read_csv(front)
    check_rows(study, rows, study.front)
    named = {name for row in rows for name in row["name"].split("; ") if name}
    assert named == set(study.knees)
    table = parquet.read_table(everything)
    assert table.num_rows == len(study.table)
    assert str(table.schema.field("accelerator.rows").type) == "int64"
    assert str(table.schema.field("quantization").type) == "string"
    assert table["accelerator.rows_per_dequantizer"].null_count > 0
    assert table["area_mm2"].null_count == int(np.isnan(study.table.metrics["area_mm2"]).sum())
    texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in table.to_pylist()]
    check_rows(study, texts, range(len(study.table)))


def test_tables_come_in_pieces(study, tmp_path, monkeypatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(export, "_BATCH", 100)
    path = write_parquet(tmp_path / "points.parquet", study)
    file = parquet.ParquetFile(path)
    assert file.num_row_groups == -(-len(study.table) // 100)
    assert file.read()["number"].to_pylist() == study.table.numbers.tolist()


def test_without_pyarrow(study, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"bitsmith\[explore\]"):
        write_parquet(tmp_path / "points.parquet", study)
    _, everything = write_tables(tmp_path, study)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all_points.csv", "points.csv"]
    check_rows(study, read_csv(everything), range(len(study.table)))


def test_a_failed_table_leaves_nothing(study, tmp_path) -> None:
    (tmp_path / "points.parquet").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        write_parquet(tmp_path / "points.parquet", study)
    assert [p.name for p in tmp_path.iterdir()] == ["points.parquet"]


def test_swept_axes_are_all_columns(study, tmp_path) -> None:
    front = write_tables(tmp_path, study)[0]
    assert set(SWEPT) <= set(read_csv(front)[0])
