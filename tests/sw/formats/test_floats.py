"""Floating-point activations taken apart: every code against numpy and ml_dtypes."""

import re
from fractions import Fraction
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.formats import float_layout

DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}
NAMES = pytest.mark.parametrize("name", DTYPES)


def every_code(name: str) -> np.ndarray:
    """All codes, unsigned."""
    bits = float_layout(name).bits
    return np.arange(1 << bits, dtype=f"uint{bits}")


def values_of(name: str, codes: np.ndarray) -> np.ndarray:
    """What numpy reads in them."""
    with np.errstate(invalid="ignore"):
        return codes.view(DTYPES[name]).astype(np.float64)


@NAMES
def test_every_code_taken_apart(name: str) -> None:
    layout, codes = float_layout(name), every_code(name)
    values = values_of(name, codes)
    parts = layout.take_apart(codes)
    finite = np.isfinite(values)
    assert np.array_equal(parts.invalid, ~finite)
    assert np.array_equal(parts.negative[finite], np.signbit(values[finite]))
    magnitudes = np.ldexp(parts.significand.astype(float), parts.place + layout.unit_exponent)
    assert np.array_equal(magnitudes[finite], np.abs(values[finite]))
    assert np.array_equal(layout.values(codes), np.where(finite, values, 0).astype(np.float32))
    # what does not count has neither significand nor place
    assert not parts.significand[~finite].any() and not parts.place[~finite].any()


@NAMES
def test_parts_are_as_wide_as_the_layout_says(name: str) -> None:
    layout = float_layout(name)
    parts = layout.take_apart(every_code(name))
    hidden = 1 << layout.mantissa_bits
    assert parts.significand.max() == (1 << layout.significand_bits) - 1
    assert parts.place.max() == layout.largest_place
    # only numbers without the hidden bit lie at place 0 without it
    assert not parts.place[parts.significand < hidden].any()
    largest = max(int(s) << int(p) for s, p in zip(parts.significand, parts.place, strict=True))
    assert largest <= layout.largest_integer < 1 << layout.fixed_bits - 1
    assert largest.bit_length() == layout.fixed_bits - 1


@NAMES
def test_the_layout_is_that_of_the_type(name: str) -> None:
    layout, information = float_layout(name), ml_dtypes.finfo(DTYPES[name])
    assert layout.bits == information.bits
    assert layout.mantissa_bits == information.nmant
    assert layout.exponent_bits == information.nexp
    assert layout.unit == Fraction(float(information.smallest_subnormal))
    assert layout.unit == Fraction(2) ** layout.unit_exponent
    assert layout.largest_place + layout.mantissa_bits + layout.unit_exponent == int(
        np.floor(np.log2(float(information.max)))
    )


@NAMES
def test_encode_finds_every_number_again(name: str) -> None:
    layout, codes = float_layout(name), every_code(name)
    values = values_of(name, codes)
    known = np.isfinite(values)
    again = values_of(name, layout.encode(values[known]).astype(codes.dtype))
    assert np.array_equal(again, values[known])


@NAMES
def test_encode_rounds_as_the_type_and_saturates(name: str) -> None:
    layout, rng = float_layout(name), np.random.default_rng(6)
    codes = every_code(name)
    numbers = np.sort(values_of(name, codes)[np.isfinite(values_of(name, codes))])
    ties = (numbers[1:] + numbers[:-1]) / 2
    wide = np.ldexp(rng.normal(size=20_000), rng.integers(-30, 16, 20_000))
    wanted = np.concatenate([ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), wide])
    wanted = wanted[np.abs(wanted) <= numbers[-1]]
    # numpy has one rounding from float64 to float16 only; ml_dtypes goes through float32
    if name != "float16":
        wanted = wanted[wanted.astype(np.float32) == wanted]
    encoded = values_of(name, layout.encode(wanted).astype(codes.dtype))
    assert np.array_equal(encoded, wanted.astype(DTYPES[name]).astype(np.float64))
    beyond = values_of(name, layout.encode([np.inf, -np.inf]).astype(codes.dtype))
    assert beyond.tolist() == [numbers[-1], numbers[0]]
    assert layout.encode([-0.0, 0.0, -1e-300]).tolist() == [0, 0, 0]
    with pytest.raises(InputError) as error:
        layout.encode([1.0, np.nan])
    assert str(error.value) == f"NaN is no activation in {name}"


def test_some_columns_of_a_matrix() -> None:
    layout = float_layout("float8_e5m2")
    codes = np.random.default_rng(7).integers(0, 256, (3, 10))
    chosen = np.array([7, 0, 3])
    some, direct = layout.take_apart(codes).of_inputs(chosen), layout.take_apart(codes[:, chosen])
    assert all(np.array_equal(a, b) for a, b in zip(some, direct, strict=True))


@pytest.mark.parametrize("name", ["float8_e4m3fnuz", "minifloat_e2m2", "float4_e2m1fn"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(ValueError) as error:
        float_layout(name)
    assert str(error.value) == f"activations in '{name}' are not known to the hardware"


def test_the_numerics_page_has_the_same_numbers() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "numerics.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|(.*)", text, re.M
    )
    stated = {}
    for name, *numbers, rest in rows:
        found = re.match(r" (\d+) \| 2\^(-\d+) \|", rest)
        if name in DTYPES and found:
            stated[name] = [*map(int, numbers), *map(int, found.groups())]
    layouts = {name: float_layout(name) for name in DTYPES}
    assert stated == {
        name: [
            layout.bits,
            layout.exponent_bits,
            layout.mantissa_bits,
            layout.bias,
            layout.significand_bits,
            layout.largest_place,
            layout.unit_exponent,
        ]
        for name, layout in layouts.items()
    }
    for name, layout in layouts.items():
        assert re.search(rf"{layout.fixed_bits}\s+for\s+`{name}`", text), name
