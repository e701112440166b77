"""docs/float_accuracy.md and its picture show what was measured, and choose by it."""

import json
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_float_accuracy.py"
FILES = ("float_accuracy.md", "float_accuracy.svg", "float_accuracy.json", "float_area.json")


@pytest.fixture
def copy(tmp_path):
    """The script's functions, working on copies of page, picture and measurements."""
    for name in (SCRIPT.name, *FILES):
        if (DOCS / name).is_file():
            (tmp_path / name).write_text((DOCS / name).read_text())
    return tmp_path, runpy.run_path(str(tmp_path / SCRIPT.name))


def row(measured, rounding="nearest_even", alignment="row", guard=3, mantissa=12):
    wanted = {
        "datapath": "aligned",
        "activations": "float16",
        "normalization": "right",
        "rounding": rounding,
        "alignment": alignment,
        "guard_bits": guard,
        "mantissa_bits": mantissa,
    }
    return next(row for row in measured["rows"] if wanted.items() <= row.items())


def test_page_and_picture_are_fresh(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_float_accuracy.py'"


def test_a_changed_figure_makes_both_stale(copy, monkeypatch, capsys):
    folder, made = copy
    results = json.loads((folder / "float_accuracy.json").read_text())
    row(results["scribe_1m"]["bitmod_fp4"])["divergence"] *= 30
    (folder / "float_accuracy.json").write_text(json.dumps(results))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 1
    said = capsys.readouterr().err
    assert "float_accuracy.md is stale" in said and "float_accuracy.svg is stale" in said
    monkeypatch.setattr(sys, "argv", [SCRIPT.name])
    assert made["main"]() == 0
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 0


def test_the_choice_follows_figures_and_areas(copy):
    """The cheapest setting that is good everywhere: spoil it on one model, and another is taken."""
    folder, made = copy
    results = json.loads((folder / "float_accuracy.json").read_text())
    size, good = made["areas"](), made["lossless"]
    first = made["cheapest"](results, size, good, "nearest_even")
    assert first is not None and first[0] == "nearest_even"
    for model in results:
        measured = results[model]["bitmod_fp4"]
        spoiled = row(measured, *first)
        kept, spoiled["divergence"] = spoiled["divergence"], 1.0
        other = made["cheapest"](results, size, good, "nearest_even")
        assert other not in (None, first)
        assert not size or size[other] >= size[first]
        spoiled["divergence"] = kept
    assert made["cheapest"](results, {}, good, "nearest_even")[3] == first[3]
    assert made["cheapest"](results, size, lambda *_: False, "truncate") is None


def test_no_measurable_loss_needs_both_conditions(copy):
    folder, made = copy
    measured = json.loads((folder / "float_accuracy.json").read_text())["scribe_1m"]["bitmod_fp4"]
    found = dict(row(measured, mantissa=16))
    assert made["lossless"](measured, found) and made["like_float16"](measured, found)
    assert not made["lossless"](measured, found | {"increase": 0.1})
    assert not made["lossless"](measured, found | {"increase_error": 0.1})
    assert not made["lossless"](measured, found | {"divergence": 0.1})
    assert not made["like_float16"](measured, found | {"divergence": 0.1})


def test_without_areas_there_is_still_a_page(copy):
    folder, made = copy
    (folder / "float_area.json").unlink(missing_ok=True)
    results = json.loads((folder / "float_accuracy.json").read_text())
    assert "fewest bits" in made["page"](results)
    assert "mantissa bits" in made["picture"](results)


def test_the_picture_is_an_image_with_every_swept_point(copy):
    folder, made = copy
    results = json.loads((folder / "float_accuracy.json").read_text())
    size = made["areas"]()
    drawn = [
        row
        for found in results.values()
        for row in found["bitmod_fp4"]["rows"]
        if made["is_swept"](row) and (not size or made["key"](row) in size)
    ]
    circles = ElementTree.parse(folder / "float_accuracy.svg").getroot().iter()
    count = sum(element.tag.endswith("circle") for element in circles)
    assert count == len(drawn) + len(made["SERIES"])
