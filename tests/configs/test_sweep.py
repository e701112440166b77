"""Sweep files: value lists, strict loading, the examples of the reference page."""

import dataclasses
import itertools
import math
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.load import build, preset_names
from configs.sweep import (
    MAX_VALUES,
    SERIES,
    PromoteConfig,
    SearchConfig,
    SweepConfig,
    axis_values,
    load_sweep,
)

PAGE = Path(__file__).parents[2] / "docs" / "sweeps.md"
SMALL = {
    "name": "small",
    "description": "one axis",
    "base": {"workload": "scribe"},
    "axes": {"accelerator.rows": [1, 2]},
    "objectives": ["area_mm2"],
}


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([4, 8, 6], (4, 8, 6)),
        (["auto", 16], ("auto", 16)),
        ([None, "ddr4"], (None, "ddr4")),
        ([[], ["sums"], ["sums", "shift"]], ((), ("sums",), ("sums", "shift"))),
        ([True, False], (True, False)),
        ({"range": [4, 16, 4]}, (4, 8, 12, 16)),
        ({"range": [3, 1, -1]}, (3, 2, 1)),
        ({"range": [5, 5, 1]}, (5,)),
        ({"range": [0.1, 0.4, 0.1]}, (0.1, 0.2, 0.3, 0.4)),
        ({"range": [0.5, 2, 0.5]}, (0.5, 1.0, 1.5, 2.0)),
        ({"log2": [1, 8]}, (1, 2, 4, 8)),
        ({"log2": [16, 16]}, (16,)),
        ({"log": [1, 1000, 4]}, (1, 10, 100, 1000)),
        ({"log": [100, 1000, 4]}, (100, 215, 464, 1000)),
        ({"log": [0.5, 2.0, 3]}, (0.5, 1.0, 2.0)),
        ({"log": [2.0**-1000, 2.0**50, 3]}, (2.0**-1000, float(f"{2.0**-475:.12g}"), 2.0**50)),
    ],
)
def test_values(given: object, values: tuple[object, ...]) -> None:
    made = axis_values(given)
    assert made == values
    assert [type(value) for value in made] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (4, "expected a list of values or one of range, log2, log, got 4"),
        ("4", "expected a list of values"),
        ([], "the list is empty"),
        ([4, 8, 4], "value 4 is given twice"),
        ([{"rows": 4}], "is neither a number, a text, null nor a list of words"),
        ([[1]], "is neither a number"),
        ([math.nan], "is neither a number"),
        ([math.inf], "is neither a number"),
        ([1 << 60], "is neither a number"),
        ({"log3": [1, 9]}, "unknown key 'log3': did you mean 'log'?"),
        ({}, "expected one of range, log2, log, got {}"),
        ({"range": [1, 2, 1], "log2": [1, 2]}, "expected one of range, log2, log"),
        ({"range": [1, 2]}, "range: expected 3 numbers in a list, got [1, 2]"),
        ({"range": "1..2"}, "range: expected 3 numbers"),
        ({"range": [1, True, 1]}, "range: expected 3 numbers"),
        ({"range": [1, math.inf, 1]}, "range: expected 3 numbers"),
        ({"range": [1, 10, 4]}, "the steps do not meet the last value: they end at 9"),
        ({"range": [1, 2, 0]}, "the steps never reach the last value"),
        ({"range": [1, 2, -1]}, "the steps never reach the last value"),
        ({"range": [0, 10**9, 1]}, "the number of values is 1000000001.0"),
        ({"range": [0, 1, 1e-300]}, "the number of values is"),
        ({"range": [0, 1, 5e-324]}, "the number of values is"),
        ({"log2": [1, 6]}, "6 is no power of two"),
        ({"log2": [0, 8]}, "0 is no power of two"),
        ({"log2": [1.0, 8]}, "1.0 is no power of two"),
        ({"log2": [8, 4]}, "the first value is beyond the last"),
        ({"log": [1, 4, 10]}, "value 1 is given twice"),
        ({"log": [0, 4, 3]}, "expected 0 < first < last"),
        ({"log": [4, 4, 3]}, "expected 0 < first < last"),
        ({"log": [1, 4, 1]}, "the count is 1, valid are 2.."),
        ({"log": [1, 4, 2.5]}, "the count is 2.5, expected an integer"),
    ],
)
def test_bad_values(given: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        axis_values(given)
    assert message in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    first=st.integers(-50, 50),
    step=st.integers(-9, 9).filter(bool),
    count=st.integers(0, 40),
    tenths=st.booleans(),
)
def test_a_range_holds_both_ends_and_equal_steps(
    first: int, step: int, count: int, tenths: bool
) -> None:
    scale = 0.1 if tenths else 1
    numbers = [first * scale, (first + count * step) * scale, step * scale]
    values = axis_values({"range": numbers})
    assert len(values) == count + 1
    for place, value in enumerate(values):
        assert value == pytest.approx((first + place * step) * scale, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(first=st.floats(1e-3, 1e3), ratio=st.floats(1.01, 1e6), count=st.integers(2, 50))
def test_a_log_series_has_equal_ratios(first: float, ratio: float, count: int) -> None:
    values = axis_values({"log": [first, first * ratio, count]})
    assert (values[0], values[-1], len(values)) == (first, first * ratio, count)
    for value, after in itertools.pairwise(values):
        assert after / value == pytest.approx(ratio ** (1 / (count - 1)), rel=1e-9)


def test_as_many_values_as_allowed() -> None:
    assert len(axis_values({"range": [1, MAX_VALUES, 1]})) == MAX_VALUES


@pytest.mark.parametrize("name", preset_names("sweeps"))
def test_shipped_sweeps_load(name: str) -> None:
    sweep, folder = load_sweep(name)
    assert sweep.name == name
    assert folder.name == "sweeps"


def _written(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def test_a_file_is_named_after_itself_unless_it_says_so(tmp_path: Path) -> None:
    path = _written(tmp_path)
    assert load_sweep(path)[0].name == "small"
    path.write_text(yaml.safe_dump({k: v for k, v in SMALL.items() if k != "name"}))
    sweep, folder = load_sweep(path)
    assert (sweep.name, folder) == ("mine", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axis": {}}, "unknown key 'axis': did you mean 'axes'?"),
        ({"axes": {}}, "axes is empty"),
        ({"objectives": []}, "objectives is empty"),
        ({"objectives": ["area_mm2", "area_mm2"]}, "objectives names something twice"),
        ({"base": {"quantisation": "int4"}}, "base: 'quantisation' is none of workload"),
        ({"search": {"method": "nsga"}}, "unknown value 'nsga': did you mean 'nsga2'?"),
        ({"search": {"points": 0}}, "points is 0"),
        ({"promote": {"rtl": -1}}, "rtl is -1"),
        ({"when": {"accelerator.rows": 3}}, "when: accelerator.rows: expected str, got 3"),
        ({"constraints": [3]}, "constraints[0]: expected"),
    ],
)
def test_bad_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_sweep(_written(tmp_path, **changes))
    assert message in str(caught.value)


def test_unknown_sweeps_and_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sweep 'tini'.*tiny"):
        load_sweep("tini")
    path = tmp_path / "list.yaml"
    path.write_text("[1]")
    with pytest.raises(InputError, match="expected a mapping of sweep settings"):
        load_sweep(path)


def test_examples_of_the_page_load() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        data = yaml.safe_load(block)
        if "objectives" in data:
            build(SweepConfig, {"name": "example", **data}, "example")
        else:
            build(SweepConfig, {**SMALL, **data}, "example")
        for values in data.get("axes", {}).values():
            axis_values(values)


def test_the_page_names_every_key() -> None:
    page = PAGE.read_text()
    for kind in (SweepConfig, SearchConfig, PromoteConfig):
        for field in dataclasses.fields(kind):
            assert f"`{field.name}`" in page, field.name
    for name in SERIES:
        assert f"`{name}`" in page or f"{{{name}:" in page, name
