"""Design spaces: points and their numbers, classes, conditions, what is refused."""

import dataclasses
import itertools
import pickle
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.explore.metrics import METRICS
from bitsmith.explore.space import Space
from configs.errors import InputError
from configs.load import build, preset_names
from configs.schema import load_axis
from configs.sweep import SweepConfig, load_sweep

from .spaces import BASE, LANES, PE, ROWS, SHARED, counting, space_of

PAGE = Path(__file__).parents[3] / "docs" / "sweeps.md"


# -- spaces at random ----------------------------------------------------------------------------

_CANDIDATES = {
    "quantization": ["bitmod_fp4_g32", "int4", "int6"],
    PE: ["serial", "multiplier"],
    ROWS: [1, 2, 4, 6],
    LANES: [2, 4, 8],
    "accelerator.slots": ["auto", 2, 4],
    SHARED: [1, 2],
    "accelerator.queue_beats": [2, 4, 8],
    "accelerator.clock_mhz": [100, 250.5],
    "accelerator.pipeline": [[], ["sums"], ["sums", "shift"]],
    "memory": [None, "ddr4"],
    "memory.dram.bus_bits": [32, 64, 128],
}
_CONDITIONS = {
    SHARED: ["accelerator.rows > 1", "accelerator.pe == serial", "quantization != int6"],
    "accelerator.slots": ["accelerator.pe == serial", "accelerator.rows > 2"],
    "accelerator.queue_beats": ["accelerator.rows_per_dequantizer == 2", "memory == none"],
    "memory.dram.bus_bits": ["memory == ddr4"],
    LANES: ["accelerator.slots in [auto, 2] and accelerator.rows < 5"],
}


@st.composite
def _spaces(draw: st.DrawFn) -> Space:
    paths = draw(
        st.lists(st.sampled_from(sorted(_CANDIDATES)), min_size=1, max_size=6, unique=True)
    )
    axes = {
        path: draw(st.lists(st.sampled_from(_CANDIDATES[path]), min_size=1, unique_by=repr))
        for path in paths
    }
    when = {}
    for path in paths:
        if path in _CONDITIONS and draw(st.booleans()):
            when[path] = draw(st.sampled_from(_CONDITIONS[path]))
    try:
        return space_of(axes, when=when)
    except InputError as error:
        # a condition over an axis or a value that was not drawn, or a ring of conditions
        assert "when" in str(error)
        return space_of(axes)


def _slow(space: Space) -> list[dict[str, Any]]:
    """Every combination in the order of numbers: active settings, decided point by point."""
    fast = {axis.path for axis in space.vector_axes}
    order = [a for a in space.axes if a.path not in fast] + list(space.vector_axes)
    points = []
    for values in itertools.product(*(axis.values for axis in order)):
        chosen = dict(zip((axis.path for axis in order), values, strict=True))
        points.append({p: v for p, v in chosen.items() if _is_active(space, p, chosen)})
    return points


def _is_active(space: Space, path: str, chosen: Mapping[str, Any]) -> bool:
    when = space.axis[path].when
    if when is None:
        return True
    named = [name for name in when.names if name in chosen]
    if not all(_is_active(space, name, chosen) for name in named):
        return False
    texts = {name: space.axis[name].texts for name in named}
    row = {
        name: "none" if chosen[name] is None else str(chosen[name]) if texts[name] else chosen[name]
        for name in named
    }
    return bool(when.evaluate(row))


@settings(deadline=None, max_examples=15)
@given(space=_spaces())
def test_numbers_and_settings_are_inverse(space: Space) -> None:
    slow = _slow(space)
    assert len(slow) == space.size
    kept = counting(space)
    step = max(1, len(kept) // 40)
    for number in kept[::step]:
        found = space.settings(number)
        assert found == slow[number]
        assert list(found) == [axis.path for axis in space.axes if axis.path in found]
        assert space.number(found) == number
    # every point of the slow list counts exactly once
    distinct = {tuple(sorted((p, repr(v)) for p, v in point.items())) for point in slow}
    assert len(kept) == len(distinct)


@settings(deadline=None, max_examples=15)
@given(space=_spaces(), limit=st.integers(1, 40), data=st.data())
def test_chunks_cover_all_numbers_in_order(space: Space, limit: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, space.size))
    stop = data.draw(st.none() | st.integers(0, space.size + 3))
    chunks = list(space.chunks(limit, start, stop))
    numbers = [n for chunk in chunks for n in chunk.numbers.tolist()]
    assert numbers == list(range(start, space.size if stop is None else min(stop, space.size)))
    assert all(1 <= len(chunk) <= limit for chunk in chunks)
    for chunk in chunks:
        _check_chunk(space, chunk)


@settings(deadline=None, max_examples=15)
@given(space=_spaces(), data=st.data())
def test_groups_are_a_partition(space: Space, data: st.DataObject) -> None:
    numbers = data.draw(st.lists(st.integers(0, space.size - 1), max_size=30))
    chunks = space.group(numbers)
    assert [n for chunk in chunks for n in chunk.numbers.tolist()] == sorted(set(numbers))
    classes = [chunk.numbers[0] // space.class_size for chunk in chunks]
    assert len(set(classes)) == len(classes)
    for chunk in chunks:
        _check_chunk(space, chunk)


def _check_chunk(space: Space, chunk: Any) -> None:
    """The chunk's settings and columns say of each point what its number says."""
    fast = [axis.path for axis in space.vector_axes]
    assert len(set(chunk.numbers // space.class_size)) == 1
    assert set(chunk.columns) == {path.removeprefix("accelerator.") for path in fast}
    of_base = load_axis("accelerator", "tiny_4x4x4")
    for place, number in list(enumerate(chunk.numbers.tolist()))[:5]:
        found = space.settings(number)
        assert chunk.settings == {p: v for p, v in found.items() if p not in fast}
        for path in fast:
            name = path.removeprefix("accelerator.")
            assert chunk.columns[name].dtype == np.int64
            assert chunk.columns[name][place] == found.get(path, getattr(of_base, name))


@settings(deadline=None, max_examples=15)
@given(space=_spaces())
def test_columns_are_the_values_that_configurations_have(space: Space) -> None:
    numbers = np.array(counting(space)[:: max(1, space.size // 12)])
    columns = space.columns(numbers)
    assert list(columns) == [axis.path for axis in space.axes]
    for place, number in enumerate(numbers.tolist()):
        found = space.settings(number)
        for path, value in found.items():
            column = columns[path]
            if column.dtype == object:
                listed = "+".join(value) if isinstance(value, tuple) else value
                assert column[place] == ("none" if value in (None, ()) else str(listed))
            else:
                assert column[place] == value
        try:
            config = space.config(found)
        except InputError:
            continue
        for path in columns.keys() - found.keys():
            record: Any = config
            for step in path.split("."):
                record = getattr(record, step) if record is not None else None
            missing = record is None and columns[path].dtype == np.float64
            shown = columns[path][place]
            assert np.isnan(shown) if missing else str(shown) == str(record)


# -- numbering and conditions --------------------------------------------------------------------


def test_vector_axes_vary_fastest_in_file_order() -> None:
    space = space_of({ROWS: [1, 2], PE: ["serial", "multiplier"], SHARED: [1], LANES: [2, 4, 8]})
    assert [axis.path for axis in space.vector_axes] == [ROWS, SHARED]
    order = [(p[PE], p[LANES], p[ROWS]) for p in map(space.settings, range(space.size))]
    assert order == list(itertools.product(["serial", "multiplier"], [2, 4, 8], [1, 2]))
    assert [len(chunk) for chunk in space.chunks()] == [2] * 6


def test_a_vector_axis_that_decides_about_others_is_none() -> None:
    axes = {ROWS: [1, 2], SHARED: [1, 2], LANES: [2, 4], "accelerator.cols": [2, 4]}
    space = space_of(
        axes, when={LANES: "accelerator.rows_per_dequantizer == 1", SHARED: f"{ROWS}>1"}
    )
    assert [axis.path for axis in space.vector_axes] == ["accelerator.cols"]
    free = space_of(axes, when={SHARED: f"{ROWS} > 1"})
    assert [axis.path for axis in free.vector_axes] == [ROWS, SHARED, "accelerator.cols"]


def test_conditions_that_hang_on_inactive_axes_do_not_hold() -> None:
    space = space_of(
        {PE: ["serial", "multiplier"], "accelerator.slots": ["auto", 2], LANES: [4, 8]},
        when={
            "accelerator.slots": "accelerator.pe == serial",
            LANES: "accelerator.slots == auto",
        },
    )
    assert [space.settings(n) for n in counting(space)] == [
        {PE: "serial", "accelerator.slots": "auto", LANES: 4},
        {PE: "serial", "accelerator.slots": "auto", LANES: 8},
        {PE: "serial", "accelerator.slots": 2},
        {PE: "multiplier"},
    ]


def test_constraints_on_axes_decide_at_once_and_see_the_base() -> None:
    space = space_of(
        {ROWS: [2, 8], LANES: [2, 4], SHARED: [1, 2]},
        when={SHARED: "accelerator.rows > 2"},
        constraints=[
            f"{ROWS} * {LANES} <= 16",
            f"{SHARED} == 1 or {LANES} == 4",
            "area_mm2 <= 0",
        ],
    )
    kept = [space.settings(n) for n in counting(space)]
    assert kept == [
        {ROWS: 2, LANES: 2},
        {ROWS: 8, LANES: 2, SHARED: 1},
        {ROWS: 2, LANES: 4},
    ]


def test_numbers_are_large_but_no_larger_than_columns() -> None:
    wide = {"range": [1, 256, 1]}
    axes: dict[str, Any] = {ROWS: wide, "accelerator.cols": wide, LANES: {"range": [1, 64, 1]}}
    dram = ("bus_bits", "transfers_mt_s", "latency_ns", "energy_pj_per_bit.value")
    axes |= {f"memory.dram.{name}": {"range": [256, 511, 5]} for name in dram}
    space = space_of(axes, base={**BASE, "memory": "ddr4"})
    assert space.size == 52**4 << (8 + 8 + 6)
    number = space.size - 12345
    assert space.number(space.settings(number)) == number
    first = next(space.chunks(start=number))
    assert first.numbers[0] == number
    more = ("accelerator.clock_mhz", "workload.batch", "workload.evaluation_bytes")
    axes |= dict.fromkeys(more, wide)
    with pytest.raises(InputError, match="the number of combinations"):
        space_of(axes, base={**BASE, "memory": "ddr4"})


def test_numbers_that_no_point_has() -> None:
    space = space_of({ROWS: [2, 4]})
    for numbers in ([2], [-1], [0, 7]):
        with pytest.raises(InputError, match="there is no point"):
            space.allowed(numbers)
    with pytest.raises(InputError, match="integers"):
        space.columns([0.5])
    with pytest.raises(InputError, match="start is 3"):
        next(space.chunks(start=3))
    with pytest.raises(InputError, match="limit is 0"):
        next(space.chunks(limit=0))
    assert list(space.chunks(start=2)) == []
    assert space.group([]) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"accelerator.row": 2},
            "unknown axis 'accelerator.row': did you mean 'accelerator.rows'?",
        ),
        ({ROWS: 2, PE: "serail"}, "unknown value of accelerator.pe 'serail'"),
        ({ROWS: 2}, "axis accelerator.pe is missing"),
        ({ROWS: 2, PE: "serial", SHARED: 1}, f"axis {SHARED} is given, but not active here"),
        ({ROWS: 4, PE: "serial"}, f"axis {SHARED} is missing"),
    ],
)
def test_settings_that_are_no_point(given: dict[str, Any], message: str) -> None:
    space = space_of(
        {ROWS: [2, 4], PE: ["serial", "multiplier"], SHARED: [1, 2]}, when={SHARED: f"{ROWS} > 2"}
    )
    with pytest.raises(InputError) as caught:
        space.number(given)
    assert message in str(caught.value)


def test_a_setting_of_another_space_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean"):
        space_of({ROWS: [2]}).config({"accelerator.row": 2})


# -- paths, keys, pages --------------------------------------------------------------------------


def test_the_key_is_that_of_what_numbers_mean() -> None:
    sweep, folder = load_sweep("tiny")
    space = Space.of(sweep, folder)

    def key(**changes: Any) -> str:
        return Space.of(dataclasses.replace(sweep, **changes), folder).key

    assert re.fullmatch("[0-9a-f]{64}", space.key)
    promote = dataclasses.replace(sweep.promote, rtl=9)
    assert key(name="x", description="y", promote=promote, baselines=()) == space.key
    turned = dict(reversed(sweep.axes.items()))
    different = [
        key(axes=turned),
        key(axes={**sweep.axes, ROWS: [1, 2]}),
        key(when={}),
        key(constraints=()),
        key(objectives=("area_mm2",)),
        key(base={**sweep.base, "technology": "generic_16nm"}),
        key(search=dataclasses.replace(sweep.search, seed=1)),
    ]
    assert len({space.key, *different}) == len(different) + 1
    spelled = {**sweep.axes, ROWS: [1, 2, 4, 8]}
    assert key(axes=spelled) == space.key


def test_spaces_and_chunks_can_be_sent() -> None:
    space = Space.of(*load_sweep("tiny"))
    sent = pickle.loads(pickle.dumps(space))
    chunk = next(space.chunks())
    again = pickle.loads(pickle.dumps(chunk))
    assert (again.settings, again.numbers.tolist()) == (chunk.settings, chunk.numbers.tolist())
    assert sent.key == space.key
    assert sent.allowed(chunk.numbers).tolist() == space.allowed(chunk.numbers).tolist()
    assert sent.config(chunk.settings) == space.config(chunk.settings)


@pytest.mark.parametrize("name", preset_names("sweeps"))
def test_shipped_sweeps_are_spaces(name: str) -> None:
    space = Space.of(*load_sweep(name))
    chunk = next(space.chunks(limit=1000))
    assert any(map(partial(_loads, space), chunk.numbers[space.allowed(chunk.numbers)]))


def _loads(space: Space, number: int) -> bool:
    try:
        space.config(space.settings(number))
    except InputError:
        return False
    return True


def test_examples_of_the_page_are_spaces() -> None:
    first, *others = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    whole = {"name": "example", **yaml.safe_load(first)}
    bare = {key: whole[key] for key in ("name", "description", "base", "objectives")}
    for data in (whole, *({**bare, **yaml.safe_load(text)} for text in others)):
        space = Space.of(build(SweepConfig, data, "example"), Path())
        assert counting(space)


def test_the_page_lists_every_metric() -> None:
    page = PAGE.read_text()
    for m in METRICS.values():
        interval = "yes" if m.interval else ""
        assert f"| `{m.name}` | {m.unit} | {m.better or '-'} | {interval} | {m.text} |" in page
