"""Conditions, constraints and values: what is known of them, what is refused at once."""

from typing import Any

import pytest

from configs.errors import InputError

from .spaces import BASE, BEATS, LANES, PE, ROWS, space_of


def test_constraints_know_what_they_name() -> None:
    space = space_of(
        {ROWS: [2, 8], "quantization": ["int4", "int8"]},
        constraints=[
            f"{ROWS} < 8 and quantization == int4",
            "area_mm2_high <= 1",
            f"bits_per_byte <= fp16 + 0.1 * {ROWS}",
            {"fits": "ecp5-85k"},
        ],
    )
    on_axes, area, quality, fits = space.constraints
    assert on_axes.is_known_at_once
    assert not any(c.is_known_at_once for c in (area, quality, fits))
    assert on_axes.axes == {ROWS, "quantization"}
    assert area.metrics == {"area_mm2_high"}
    assert (quality.metrics, quality.axes, quality.needs_fp16) == ({"bits_per_byte"}, {ROWS}, True)
    assert (fits.device, fits.text, space.device) == ("ecp5-85k", "fits ecp5-85k", "ecp5-85k")


@pytest.mark.parametrize(
    ("axes", "given", "message"),
    [
        ({"accelerator.row": [1]}, {}, "unknown axis 'accelerator.row'"),
        ({"acelerator": ["a"]}, {}, "did you mean 'accelerator'?"),
        ({"accelerator.name": ["a"]}, {}, "unknown axis 'accelerator.name'"),
        ({"technology.figures.x": [1]}, {}, "unknown axis"),
        ({ROWS: [1, 1]}, {}, "axes: accelerator.rows: value 1 is given twice"),
        ({ROWS: [4, 0]}, {}, "axes: accelerator.rows: rows is 0, valid are 1..256"),
        ({ROWS: ["4"]}, {}, "axes: accelerator: rows: expected int, got '4'"),
        ({ROWS: [4.5]}, {}, "rows: expected int, got 4.5"),
        ({ROWS: [True]}, {}, "rows: expected int, got True"),
        ({PE: ["serail"]}, {}, "did you mean 'serial'?"),
        ({"accelerator.pipeline": [["sum"]]}, {}, "did you mean 'sums'?"),
        (
            {"accelerator.buffers.weight_beats": [1], BEATS: [1]},
            {},
            "weight_beats is 1, valid are 2..",
        ),
        ({"quantization.format": ["bitmod_fp5"]}, {}, "axes: quantization.format: "),
        ({"workload.kv_format": ["int88"]}, {}, "axes: workload.kv_format: "),
        ({"quantization": ["int44"]}, {}, "unknown quantization preset 'int44': did you mean"),
        ({"quantization": [4]}, {}, "expected a preset name, a path or a mapping, got 4"),
        ({"accelerator": [None]}, {}, "expected a preset name, a path or a mapping, got None"),
        ({"accelerator": [""]}, {}, "unknown accelerator preset ''"),
        ({ROWS: [2]}, {"base": {"workload": "scribe"}}, "base: key 'quantization' is missing"),
        ({ROWS: [2]}, {"base": {**BASE, "accelerator": "tiny"}}, "base: accelerator: unknown"),
        (
            {ROWS: [2]},
            {"base": {**BASE, "accelerator": {"name": "a", "cols": 2, "lanes": 2}}},
            "base: accelerator: key 'rows' is missing",
        ),
        ({ROWS: [2]}, {"when": {PE: "accelerator.rows > 1"}}, "unknown axis in when"),
        (
            {ROWS: [2]},
            {"when": {ROWS: "accelerator.rows > 1"}},
            "accelerator.rows depends on itself",
        ),
        (
            {ROWS: [2], PE: ["serial"], LANES: [2]},
            {"when": {ROWS: f"{LANES} > 1", LANES: f"{PE} == serial", PE: f"{ROWS} > 1"}},
            "depends on itself",
        ),
        ({ROWS: [2], LANES: [2]}, {"when": {ROWS: "area_mm2 > 1"}}, "area_mm2 is a metric"),
        ({ROWS: [2], LANES: [2]}, {"when": {ROWS: "area_mm2 == 1"}}, "area_mm2 is a metric"),
        ({ROWS: [2], LANES: [2]}, {"when": {ROWS: LANES}}, "compares no axis"),
        ({ROWS: [2], LANES: [2]}, {"when": {ROWS: "1 > 2"}}, "compares no axis"),
        ({ROWS: [2], LANES: [2]}, {"when": {ROWS: "accelerator.lane > 1"}}, "compares no axis"),
        (
            {ROWS: [2], LANES: [2]},
            {"when": {ROWS: f"{LANES} > 1 and accelerator.lane > 1"}},
            "unknown name 'accelerator.lane': did you mean 'accelerator.lanes'?",
        ),
        ({ROWS: [2], PE: ["serial"]}, {"when": {ROWS: f"{PE} == serail"}}, "mean 'serial'?"),
        (
            {"quantization.activation_bits": [6], ROWS: [2]},
            {"when": {"quantization.activation_bits": f"{ROWS} > 2"}},
            "follows the accelerator",
        ),
        ({ROWS: [2]}, {"objectives": ["area_mm"]}, "objectives: unknown metric 'area_mm'"),
        ({ROWS: [2]}, {"objectives": ["luts"]}, "luts needs a device"),
        ({ROWS: [2]}, {"constraints": ["luts_high < 100"]}, "luts needs a device"),
        ({ROWS: [2]}, {"constraints": ["area_mm < 1"]}, "did you mean 'area_mm2'?"),
        ({ROWS: [2]}, {"constraints": [f"{LANES} < 4"]}, f"{LANES} is no axis of this sweep"),
        ({ROWS: [2]}, {"constraints": [ROWS]}, "compares no metric"),
        ({ROWS: [2]}, {"constraints": ["2 > 1"]}, "compares no metric"),
        ({ROWS: [2]}, {"constraints": ["area_mm2 < fp16"]}, "beside one metric of quality"),
        ({ROWS: [2]}, {"constraints": [f"{ROWS} < fp16"]}, "beside one metric of quality"),
        (
            {ROWS: [2]},
            {"constraints": ["bits_per_byte < fp16 and perplexity < fp16"]},
            "beside one metric of quality",
        ),
        ({ROWS: [2]}, {"constraints": ["open('x') == 1"]}, "'call' is not allowed here"),
        ({ROWS: [2]}, {"constraints": [{"fit": "ecp5-85k"}]}, "unknown key 'fit'"),
        ({ROWS: [2]}, {"constraints": [{"fits": "ecp5-86k"}]}, "did you mean 'ecp5-85k'?"),
        ({ROWS: [2]}, {"constraints": [{}]}, "expected an expression or 'fits: DEVICE'"),
        (
            {ROWS: [2]},
            {"constraints": [{"fits": "ecp5-85k"}, {"fits": "ice40-hx8k"}]},
            "one device can be fitted",
        ),
    ],
)
def test_what_is_refused_at_once(axes: dict[str, Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        space_of(axes, **given)
    assert str(caught.value).startswith("sweep 's': ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
