"""Floating-point activations: every code, every chunk of two 8-bit codes, all settings."""

import ml_dtypes
import numpy as np
import pytest

from sw.formats import float_layout

from ..blocks.checks import CYCLES, check_block
from ..blocks.float_register import FORMATS
from ..blocks.settings import check_settings

_SETTINGS = {("parts", ""), ("fixed", ""), ("aligned", "truncate"), ("aligned", "nearest_even")}


@pytest.mark.rtl
def test_against_plain_integers() -> None:
    assert check_block("float_activations")["cycles"] >= CYCLES


@pytest.mark.rtl
def test_every_setting() -> None:
    def setting_of(block) -> tuple[str, str]:
        return block.p.target, block.p.rounding if block.p.target == "aligned" else ""

    cycles = check_settings("float_activations", setting_of)
    assert cycles.keys() == _SETTINGS
    assert min(cycles.values()) >= CYCLES


@pytest.mark.parametrize("name", FORMATS)
def test_the_model_takes_codes_apart_as_numpy_does(name: str) -> None:
    layout = FORMATS[name]
    dtype = np.float16 if name == "float16" else getattr(ml_dtypes, name)
    codes = np.arange(1 << layout.bits, dtype=f"uint{layout.bits}")
    with np.errstate(invalid="ignore"):
        values = codes.view(dtype).astype(np.float64)
    unit = float(np.ldexp(1.0, float_layout(name).unit_exponent))
    for code, value in zip(codes.tolist(), values.tolist(), strict=True):
        negative, significand, place, invalid = layout.take_apart(code)
        assert invalid == (not np.isfinite(value))
        assert 0 <= place <= layout.largest_place
        if not invalid:
            assert negative == np.signbit(value)
            assert significand * 2.0**place * unit == abs(value)
