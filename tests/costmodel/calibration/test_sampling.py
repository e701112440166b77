"""The designed sample: drawn from its seed, split by component, buildable."""

from collections import Counter
from dataclasses import asdict

import pytest

from configs.errors import InputError
from costmodel import machine_blocks
from costmodel.calibration import sampling
from costmodel.calibration.axes import AXES, BEYOND
from costmodel.calibration.calibrate import FOLDER, committed
from costmodel.calibration.components import COMPONENTS, component_of
from costmodel.calibration.rows import read_sample
from costmodel.calibration.sampling import HELD_OUT
from sw.compile import Machine

from ...agreement.machines import STAGES

FEW = ("queue", "column_scale")
COMMITTED = [FOLDER / "samples" / f"{name}.json" for name in committed()]


@pytest.fixture
def few(monkeypatch):
    """Only two small components are drawn."""
    monkeypatch.setattr(sampling, "AXES", {name: AXES[name] for name in FEW})
    monkeypatch.setattr(sampling, "BEYOND", {"queue": BEYOND["queue"]})


@pytest.mark.usefixtures("few")
def test_a_seed_gives_one_sample():
    first, again, other = sampling.sample(3), sampling.sample(3), sampling.sample(4)
    assert [asdict(p) for p in first] == [asdict(p) for p in again]
    assert [asdict(p) for p in first] != [asdict(p) for p in other]
    assert Counter(p.component for p in first if p.use != "beyond") == {
        name: AXES[name][0] for name in FEW
    }


@pytest.mark.usefixtures("few")
def test_each_component_has_its_held_out_rows():
    points = sampling.sample(5)
    for name in FEW:
        uses = Counter(p.use for p in points if p.component == name)
        assert uses["held_out"] >= HELD_OUT * (uses["held_out"] + uses["fit"])
    beyond = [p.array["queue_beats"] for p in points if p.use == "beyond"]
    assert min(beyond) > max(AXES["queue"][1]["queue_beats"])


@pytest.mark.usefixtures("few")
def test_choices_are_taken_equally_often(monkeypatch):
    axes = {"queue_beats": (2, 3, 4, 5), "lanes": (2, 4)}
    monkeypatch.setattr(sampling, "AXES", {"queue": (8, axes)})
    points = [p for p in sampling.sample(1) if p.use != "beyond"]
    assert Counter(p.array["queue_beats"] for p in points) == dict.fromkeys((2, 3, 4, 5), 2)
    assert Counter(p.array["lanes"] for p in points) == {2: 4, 4: 4}


@pytest.mark.usefixtures("few")
def test_what_cannot_be_drawn_is_refused(monkeypatch):
    monkeypatch.setattr(sampling, "AXES", {"queue": (3, {"queue_beats": (2, 3)})})
    with pytest.raises(InputError, match=r"no further configuration of queue .* found"):
        sampling.sample(1)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_samples_hold_out_enough(path):
    sample = read_sample(path)
    uses = Counter(row.point.use for row in sample.rows)
    assert uses["held_out"] >= 60
    assert uses["held_out"] >= 0.3 * (uses["held_out"] + uses["fit"])
    by_component = {
        name: Counter(r.point.use for r in sample.rows if r.point.component == name)
        for name in COMPONENTS
    }
    for name, found in by_component.items():
        assert found["held_out"] >= 0.3 * (found["held_out"] + found["fit"]), name


@pytest.mark.parametrize("name", STAGES)
def test_every_block_has_a_component(name):
    built: Machine = STAGES[name]
    for block in machine_blocks(built):
        assert component_of(built, block.block) in COMPONENTS


def test_one_committed_component_is_drawn_again(monkeypatch):
    if not COMMITTED:
        pytest.skip("no sample is committed")
    committed = read_sample(COMMITTED[0])
    name = "control"
    monkeypatch.setattr(sampling, "AXES", {name: AXES[name]})
    monkeypatch.setattr(sampling, "BEYOND", {})
    drawn = [asdict(p) for p in sampling.sample(committed.seed)]
    assert drawn == [asdict(r.point) for r in committed.rows if r.point.component == name]
