"""Configurations of points: base, files and fields in them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsmith.explore.space import VECTOR, axis_paths
from configs.errors import InputError
from configs.schema import load_axis, load_run

from .spaces import BASE, LANES, PE, ROWS, SHARED, counting, space_of


def test_without_settings_it_is_the_base() -> None:
    config = space_of({ROWS: [2, 4]}).config({})
    quickstart = load_run("quickstart")
    for axis in BASE:
        assert getattr(config, axis) == getattr(quickstart, axis)
    assert config.memory is None
    assert config.name == "s"


def test_fields_are_applied_to_the_file_that_was_chosen() -> None:
    space = space_of({LANES: [8], "accelerator": ["tiny_4x4x4", "edge_8x8x8"], ROWS: [2]})
    for name in ("tiny_4x4x4", "edge_8x8x8"):
        found = space.config({LANES: 8, "accelerator": name, ROWS: 2}).accelerator
        expected = dataclasses.replace(load_axis("accelerator", name), lanes=8, rows=2)
        assert found == expected


def test_nested_records_and_optional_ones() -> None:
    axes = {
        "accelerator.scale.format": ["uint8", "e8m0"],
        "accelerator.inner_accumulator.bits": ["auto", 20],
        "accelerator.buffers.weight_beats": [64],
        "accelerator.buffers.activation_beats": [32],
        "accelerator.pipeline": [["sums", "shift"]],
    }
    space = space_of(axes)
    array = space.config(space.settings(3)).accelerator
    assert array.scale.format == "e8m0"
    assert array.inner_accumulator.bits == 20
    assert array.buffers is not None
    assert (array.buffers.weight_beats, array.buffers.activation_beats) == (64, 32)
    assert array.pipeline == ("sums", "shift")
    assert space.settings(3)["accelerator.pipeline"] == ("sums", "shift")
    listed = {**space.settings(3), "accelerator.pipeline": ["sums", "shift"]}
    assert space.number(listed) == 3


def test_no_memory_is_a_choice() -> None:
    space = space_of(
        {"memory": [None, "ddr4"], "memory.dram.bus_bits": [32, 128]},
        when={"memory.dram.bus_bits": "memory != none"},
    )
    memories = [space.config(space.settings(n)).memory for n in counting(space)]
    assert [m.dram.bus_bits if m else None for m in memories] == [None, 32, 128]
    assert space.columns([0, 2])["memory"].tolist() == ["none", "ddr4"]
    # the base's memory has no bus
    assert np.isnan(space.columns([0])["memory.dram.bus_bits"][0])


def test_a_file_axis_with_a_condition_falls_back_to_the_base() -> None:
    space = space_of(
        {PE: ["serial", "multiplier"], "quantization": ["int8", "int4"], ROWS: [2]},
        when={"quantization": "accelerator.pe == multiplier"},
    )
    assert [space.settings(n).get("quantization") for n in counting(space)] == [
        None,
        "int8",
        "int4",
    ]
    assert space.columns(counting(space))["quantization"].tolist() == [
        "bitmod_fp4_g32",
        "int8",
        "int4",
    ]
    assert space.config(space.settings(0)).quantization.format == "bitmod_fp4"


def test_inactive_axes_show_what_the_chosen_file_says() -> None:
    space = space_of(
        {"accelerator": ["tiny_4x4x4", "edge_8x8x8"], ROWS: [2, 3], LANES: [2, 4]},
        when={ROWS: "accelerator.lanes == 2"},
    )
    kept = counting(space)
    columns = space.columns(kept)
    shown = [space.config(space.settings(n)).accelerator.rows for n in kept]
    assert columns[ROWS].tolist() == shown
    assert sorted(set(shown)) == [2, 3, 4, 8]


@pytest.mark.parametrize(
    ("quantization", "axes", "bits"),
    [
        # presets say 8, the accelerator decides
        ("int4", {"accelerator.activation_bits": [6]}, 6),
        ({"format": "int4"}, {"accelerator.activation_bits": [6]}, 6),
        ("int4", {"accelerator.activation_bits": [6], "quantization": ["int8"]}, 6),
        (
            {"format": "int4", "activation_bits": 7},
            {"accelerator.activation_bits": [6], "quantization": ["int8"]},
            6,
        ),
        # said by the base itself, or by an axis
        ({"format": "int4", "activation_bits": 7}, {"accelerator.activation_bits": [7]}, 7),
        ({"format": "int4", "activation_bits": 7}, {"accelerator.activation_bits": [6]}, None),
        (
            "int4",
            {"accelerator.activation_bits": [6], "quantization.activation_bits": [5]},
            None,
        ),
    ],
)
def test_activations_follow_the_accelerator(
    quantization: Any, axes: dict[str, Any], bits: int | None
) -> None:
    space = space_of(axes, base={**BASE, "quantization": quantization})
    if bits is None:
        with pytest.raises(InputError, match=r"quantization has activation_bits ., accelerator"):
            space.config(space.settings(0))
    else:
        assert space.config(space.settings(0)).quantization.activation_bits == bits


def test_a_combination_that_is_refused_says_why() -> None:
    space = space_of({ROWS: [3, 4], SHARED: [1, 2]})
    with pytest.raises(InputError) as caught:
        space.config({ROWS: 3, SHARED: 2})
    assert str(caught.value) == "accelerator: rows_per_dequantizer is 2, it must divide the 3 rows"
    assert space.config({ROWS: 4, SHARED: 2}).accelerator.rows_per_dequantizer == 2


def test_files_beside_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.yaml").write_text(
        "format: int4\nmethod: gptq\ncalibration_text: text.txt\n"
    )
    (tmp_path / "model").mkdir()
    axes = {"quantization": ["recipes/mine.yaml", "int4"], "workload.model": ["model", "scribe_1m"]}
    space = space_of(axes, tmp_path)
    config = space.config({"quantization": "recipes/mine.yaml", "workload.model": "model"})
    assert Path(config.quantization.calibration_text or "") == tmp_path / "recipes" / "text.txt"
    assert config.workload.model == str(tmp_path / "model")
    before = space.key
    (tmp_path / "recipes" / "mine.yaml").write_text("format: int6\n")
    assert space_of(axes, tmp_path).key != before


def test_axis_paths() -> None:
    paths = axis_paths()
    assert len(set(paths)) == len(paths)
    assert set(VECTOR) <= set(paths)
    for path in (
        "accelerator",
        "memory",
        "accelerator.scale.format",
        "memory.dram.transfers_mt_s",
        "memory.dram.energy_pj_per_bit.value",
        "memory.weight_sram.kib",
        "technology.volts",
        "workload.batch",
        "quantization.group_size",
        "quantization.accumulator.inner_bits",
        "accelerator.inner_accumulator.bits",
        "accelerator.requantizer.shift_bits",
    ):
        assert path in paths
    for path in ("baseline", "accelerator.name", "accelerator.scale", "technology.figures", "seed"):
        assert path not in paths
