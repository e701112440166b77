"""The speed of the bounds is measured on results that are compared; small here."""

import json
import sys

import pytest

from benchmarks import bounds_speed
from configs.errors import InputError
from sw.accumulators import compiled


def test_every_case_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["", "--shape", "8x300", "--shape", "1x5", "--repeats", "1", "--json"]
    )
    bounds_speed.main()
    results = json.loads(capsys.readouterr().out)
    assert [r["case"] for r in results] == [case.name for case in bounds_speed.CASES] * 2
    ways = ("numpy", "numba") if compiled.COMPILED else ("numpy",)
    for result in results:
        speeds = [result[f"{way}_weights_per_s"] for way in ways]
        assert min(speeds) > 0
        assert result["met"] == (max(speeds) >= result["target_weights_per_s"])
    assert (results[9]["rows"], results[9]["columns"]) == (1, 5)


def test_the_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "--shape", "3x20", "--repeats", "1"])
    monkeypatch.setattr(bounds_speed, "PARALLEL_TARGET", 1e15)
    bounds_speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(bounds_speed.CASES)
    assert lines[2].split()[:3] == ["3x20", "whole", "row"] and lines[2].endswith("missed")


@pytest.mark.skipif(not compiled.COMPILED, reason="numba is not installed")
def test_a_difference_is_an_error(monkeypatch):
    """One way finds other widths than the other."""
    found = iter(range(99))
    monkeypatch.setattr(bounds_speed, "widths", lambda bounds: next(found))
    with pytest.raises(RuntimeError, match="whole row: numba and numpy differ"):
        next(bounds_speed.measure(2, 8, 1))
    assert compiled.COMPILED


@pytest.mark.parametrize("text", ["4096", "x", "0x8", "8x-1", "8x8x8"])
def test_bad_shapes_are_refused(text):
    with pytest.raises(InputError, match="--shape must be like 4096x4096"):
        bounds_speed.shape(text)
