"""What an accelerator configuration may say."""

import pytest

from configs import timing
from configs.accelerator import AcceleratorConfig, FloatConfig, ScaleConfig
from configs.errors import InputError
from configs.load import preset_names
from configs.schema import load_axis

BASE = {"name": "a", "rows": 4, "cols": 2, "lanes": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows_per_dequantizer": 3}, "rows_per_dequantizer is 3, it must divide the 4 rows"),
        ({"rows_per_dequantizer": 0}, "rows_per_dequantizer is 0, it must divide"),
        ({"pipeline": ["shift", "shift"]}, "pipeline names a stage twice: shift, shift"),
        ({"pipeline": ["shfit"]}, "unknown value 'shfit': did you mean 'shift'"),
        ({"slots": 5}, "slots is 5, valid are 1..4"),
        ({"zero_point_bits": 9}, "zero_point_bits is 9, valid are 0..8"),
        ({"scale": {"format": "e5m2"}}, "unknown value 'e5m2'"),
        ({"scale": {"binades": 0}}, "binades is 0, valid are 1..31"),
        ({"scale": {"shift": "barel"}}, "did you mean 'barrel'"),
        ({"scale_bits": 8}, "unknown key 'scale_bits'"),
        ({"requantizer": {"multiplier_bits": 40}}, "multiplier_bits is 40, valid are 1..32"),
        ({"adders": "tree"}, "unknown value 'tree'"),
        ({"activation_signed": 1}, "expected bool, got 1"),
    ],
)
def test_mistakes_are_named(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        load_axis("accelerator", {**BASE, **changes})


def test_every_preset_loads() -> None:
    names = preset_names("accelerators")
    assert {"tiny_4x4x4", "mx_8x8x4", "nv_8x8x4", "asym_8x8x4", "fpga_8x8x8"} <= set(names)
    for name in names:
        assert load_axis("accelerator", name).name == name


@pytest.mark.parametrize(("signed", "ends"), [(True, (-16, 15)), (False, (0, 31))])
def test_activation_range(signed: bool, ends: tuple[int, int]) -> None:
    array = AcceleratorConfig(**BASE, activation_bits=5, activation_signed=signed)
    assert array.integer_range == ends


@pytest.mark.parametrize(
    ("scale", "serial", "barrel", "integer", "code"),
    [
        (ScaleConfig(), 8, 0, 8, 8),
        (ScaleConfig(format="e8m0", binades=15), 16, 0, 16, 4),
        (ScaleConfig(format="e8m0", binades=16), 17, 0, 17, 5),
        (ScaleConfig(format="e8m0", shift="barrel"), 1, 15, 16, 4),
        (ScaleConfig(format="e4m3"), 18, 0, 18, 8),
        (ScaleConfig(format="e4m3", shift="barrel"), 4, 14, 18, 8),
    ],
)
def test_scale_widths(scale, serial, barrel, integer, code) -> None:
    found = (scale.serial_bits, scale.barrel_shift, scale.integer_bits, scale.code_bits)
    assert found == (serial, barrel, integer, code)


def test_a_shared_dequantizer_takes_a_pass_per_row() -> None:
    scale = ScaleConfig(format="e4m3", shift="barrel")
    array = AcceleratorConfig(**BASE, scale=scale, zero_point_bits=3, rows_per_dequantizer=4)
    assert timing.dequantizer_cycles(array) == 4 * (3 + 4)


def test_the_exact_datapath_has_no_settings() -> None:
    with pytest.raises(InputError, match="datapath exact rounds nothing: leave guard_bits out"):
        FloatConfig(datapath="exact", guard_bits=1)
