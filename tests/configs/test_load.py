"""The strict loader: what it accepts, and the sentence for everything else."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import yaml

from configs.errors import InputError, unknown_name
from configs.load import build, read_yaml
from configs.schema import (
    AcceleratorConfig,
    AccumulatorConfig,
    Figure,
    QuantizationConfig,
    TechnologyConfig,
    WorkloadConfig,
    load_axis,
    load_run,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int | Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    rate: float = 1.0
    inner: Inner = field(default_factory=Inner)
    sizes: tuple[int, ...] = ()
    bits: Literal[8] = 8


def test_defaults_nesting_and_integers_as_floats() -> None:
    assert build(Outer, {"name": "x"}, "f") == Outer(name="x")
    data = {"name": "x", "rate": 2, "inner": {"width": 7}, "sizes": [1, 2]}
    built = build(Outer, data, "f")
    assert built == Outer(name="x", rate=2.0, inner=Inner(width=7), sizes=(1, 2))
    assert isinstance(built.rate, float)


BAD = [
    (["x"], "f: expected a mapping, got ['x']"),
    (None, "f: expected a mapping, got None"),
    ({}, "f: key 'name' is missing"),
    ({"nane": "x"}, "f: unknown key 'nane': did you mean 'name'?"),
    ({"name": 3}, "f: name: expected str, got 3"),
    ({"name": "x", "rate": "fast"}, "f: rate: expected float, got 'fast'"),
    ({"name": "x", "rate": True}, "f: rate: expected float, got True"),
    ({"name": "x", "inner": 4}, "f: inner: expected a mapping, got 4"),
    ({"name": "x", "inner": {"width": "wide"}}, "width: expected int or 'auto', got 'wide'"),
    ({"name": "x", "inner": {"width": True}}, "width: expected int or 'auto', got True"),
    ({"name": "x", "sizes": 3}, "f: sizes: expected a list, got 3"),
    ({"name": "x", "sizes": [1, "b"]}, "f: sizes[1]: expected int, got 'b'"),
    ({"name": "x", "bits": 8.0}, "f: bits: unknown value '8.0'"),
    ({1: "x"}, "f: unknown key '1'"),
]


@pytest.mark.parametrize(("data", "sentence"), BAD)
def test_bad_values(data, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        build(Outer, data, "f")


TECHNOLOGY = {"name": "t", "description": "", "library": "x", "node_nm": 28, "volts": 0.9}
RANGES = [
    (AccumulatorConfig, {"bits": 65}, "bits is 65, valid are 2..64"),
    (AcceleratorConfig, {"name": "a", "rows": 0, "cols": 1, "lanes": 1}, "rows is 0"),
    (AcceleratorConfig, {"name": "a", "rows": 1, "cols": 1, "lanes": 1, "clock_mhz": 0}, "clock_"),
    (QuantizationConfig, {"format": "int4", "group_size": 0}, "group_size is 0"),
    (QuantizationConfig, {"format": "int4", "activation_bits": 3}, "activation_bits is 3"),
    (WorkloadConfig, {}, "give exactly one of 'model', 'architecture' and 'gemms'"),
    (WorkloadConfig, {"model": "a", "architecture": {}}, "give exactly one"),
    (Figure, {"value": -1.0, "kind": "quoted", "source": "x"}, "value is -1.0"),
    (Figure, {"value": float("nan"), "kind": "quoted", "source": "x"}, "value is nan"),
    (Figure, {"value": 1.0, "kind": "guessed", "source": "x"}, "unknown value 'guessed'"),
    (Figure, {"value": 1.0, "kind": "quoted", "source": " "}, "source is empty"),
    (TechnologyConfig, TECHNOLOGY | {"figures": 3}, "expected a mapping with"),
    (
        TechnologyConfig,
        TECHNOLOGY | {"figures": {"a": {"value": 1}}},
        "figures: a: key 'kind' is missing",
    ),
    (TechnologyConfig, TECHNOLOGY | {"figures": {}, "node_nm": 0}, "node_nm is 0"),
    (TechnologyConfig, TECHNOLOGY | {"figures": {}, "volts": 9.0}, "volts is 9.0"),
]


@pytest.mark.parametrize(("kind", "data", "sentence"), RANGES)
def test_ranges(kind, data, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        build(kind, data, "f")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(InputError, match="cannot read"):
        read_yaml(tmp_path / "latin.yaml")
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\n")
    with pytest.raises(InputError, match="key 'name' is given twice, near line 2"):
        read_yaml(tmp_path / "twice.yaml")


def test_axis_by_name_path_and_mapping(tmp_path: Path) -> None:
    preset = load_axis("accelerator", "tiny_4x4x4")
    data = {"name": "tiny_4x4x4", "rows": 4, "cols": 4, "lanes": 4, "clock_mhz": 500}
    assert load_axis("accelerator", data) == preset
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(data))
    assert load_axis("accelerator", "mine.yaml", base=tmp_path) == preset
    with pytest.raises(InputError, match="expected a preset name, a path or a mapping, got 3"):
        load_axis("accelerator", 3)


def test_activation_widths_must_agree(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "workload: scribe\nquantization: int4\ntechnology: generic_28nm\n"
        "accelerator: {name: six, rows: 1, cols: 1, lanes: 1, activation_bits: 6}\n"
    )
    with pytest.raises(InputError, match="activation_bits 8, accelerator 'six' takes 6"):
        load_run(tmp_path / "run.yaml")


def test_far_names_list_what_is_valid() -> None:
    assert str(unknown_name("thing", "zzz", ["b", "a"])) == "unknown thing 'zzz': valid are a, b"
