"""The clock of ECP5: the committed runs, and which stage is the deepest."""

import json

import numpy as np
import pytest

from configs.accelerator import AcceleratorConfig, AccumulatorConfig, ScaleConfig
from configs.errors import InputError
from costmodel.calibration.points import Point
from costmodel.fpga import fmax as module
from costmodel.fpga.fmax import (
    FIT,
    fit_fmax,
    fmax_amounts,
    load_fmax,
    predict_fmax_mhz,
    stage_levels,
)
from sw.compile import Machine
from sw.formats import get_family


def build(family: str = "int4", *, lanes: int = 8, **options) -> Machine:
    array = AcceleratorConfig(name="test", rows=1, cols=1, lanes=lanes, **options)
    widths = (18, 30)
    if array.is_aligned:
        widths = array.floating.mantissa_bits, array.floating.outer_mantissa_bits
    return Machine(
        accelerator=array, family=get_family(family), inner_bits=widths[0], outer_bits=widths[1]
    )


def committed() -> list[dict]:
    return json.loads(FIT.read_text())["rows"]


def test_runs_are_enough_and_held_out():
    rows = committed()
    assert len(rows) >= 24
    assert len({json.dumps(row["point"]) for row in rows}) == len(rows)
    assert sum(row["point"]["use"] == "held_out" for row in rows) >= 8


def test_committed_error_is_that_of_the_held_out_runs():
    error, errors = load_fmax().error, []
    for row in committed():
        if row["point"]["use"] == "held_out":
            found = predict_fmax_mhz(Point(**row["point"]).machine)
            errors.append(100 * abs(found.value / row["fmax_mhz"][0] - 1))
            assert found.low <= row["fmax_mhz"][0] * 1.0005
            assert row["fmax_mhz"][0] * 0.9995 <= found.high
    assert np.mean(errors) == pytest.approx(error.mean_percent, abs=0.01)
    assert max(errors) == pytest.approx(error.worst_percent, abs=0.01)


def test_fitting_again_gives_the_same_model():
    assert fit_fmax(committed()) == load_fmax()


def test_registers_shorten_the_lanes():
    plain = stage_levels(build())
    products = stage_levels(build(pipeline=("products",)))
    whole = stage_levels(build(pipeline=("products", "sums", "shift")))
    assert products["products"] + products["lane_sum"] == plain["lane_sum"]
    assert max(whole["products"], whole["sums"], whole["lane_sum"]) < products["lane_sum"]
    assert whole["inner_accumulator"] <= plain["inner_accumulator"]


def test_more_lanes_and_bounded_accumulators_are_deeper():
    levels = [stage_levels(build(lanes=lanes))["lane_sum"] for lanes in (1, 2, 4, 8, 16)]
    assert levels == sorted(set(levels))
    modes = [
        stage_levels(build(outer_accumulator=AccumulatorConfig(mode=mode)))["outer_accumulator"]
        for mode in ("wrap", "flag", "saturate")
    ]
    assert modes == sorted(set(modes))
    barrel = ScaleConfig(format="e4m3", shift="barrel")
    shifted = stage_levels(build(scale=barrel))["outer_accumulator"]
    assert shifted > modes[0]


def test_floating_point_accumulators_are_the_deepest_stage():
    levels = stage_levels(build(activation_format="float16", lanes=4))
    deepest = max(levels, key=levels.__getitem__)
    assert deepest in ("outer_accumulator", "inner_accumulator")
    amounts = fmax_amounts(build(activation_format="float16", lanes=4))
    assert amounts["float_levels"] == levels[deepest]
    assert "levels" not in amounts
    assert fmax_amounts(build())["levels"] == max(stage_levels(build()).values())


def test_slow_machines_are_predicted_slower():
    fast = predict_fmax_mhz(build(pipeline=("products", "sums", "shift")))
    slow = predict_fmax_mhz(build(activation_format="float16", lanes=4))
    assert slow.high < fast.value
    assert fast.low < fast.value < fast.high


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "missing"), ("", "corrupt"), ("[]", "corrupt"), ('{"model": {"terms": {}}}', "corrupt"),
     ("unknown", "corrupt")],
)  # fmt: skip
def test_a_missing_or_damaged_fit_is_named(content, problem, tmp_path, monkeypatch, capsys):
    path = tmp_path / "fmax.json"
    if content == "unknown":
        content = FIT.read_text().replace('"levels"', '"floors"', 1).replace('"rows"', '"lines"')
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(module, "FIT", path)
    load_fmax.cache_clear()
    try:
        sentence = f"fit 'fmax' is {problem}: .* 'python -m costmodel.fpga.fmax'"
        with pytest.raises(InputError, match=sentence):
            predict_fmax_mhz(build())
        assert module.main(["--fit-only"]) == 2
        assert f"error: fit 'fmax' is {problem}" in capsys.readouterr().err
    finally:
        load_fmax.cache_clear()
