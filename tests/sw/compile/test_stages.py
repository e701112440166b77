"""Dyadic requantization, programmable special values, and programs that do not fit a machine."""

import dataclasses
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, RequantizerConfig
from configs.errors import InputError
from sw.compile import GemmProgram, Machine, RequantizerParameters, dyadic, with_specials
from sw.formats import get_family
from sw.golden.gemm import requantize

ratios = st.floats(0, 200, allow_nan=False)


@given(ratio=ratios, multiplier_bits=st.integers(1, 32), shift_bits=st.integers(1, 6))
def test_dyadic_is_the_nearest(ratio: float, multiplier_bits: int, shift_bits: int) -> None:
    config = RequantizerConfig(multiplier_bits=multiplier_bits, shift_bits=shift_bits)
    largest, last_shift = (1 << multiplier_bits) - 1, (1 << shift_bits) - 1
    if ratio > largest:
        with pytest.raises(InputError, match="exceeds the multiplier's"):
            dyadic([ratio], config)
        return
    found = dyadic([ratio], config)
    multiplier, shift = int(found.multipliers[0]), int(found.shifts[0])
    assert 0 <= multiplier <= largest and 0 <= shift <= last_shift
    exact = Fraction(ratio)
    error = abs(Fraction(multiplier, 1 << shift) - exact)
    # no pair does better
    for other in range(last_shift + 1):
        nearest = min(max(0, round(exact * (1 << other))), largest)
        assert error <= abs(Fraction(nearest, 1 << other) - exact)


@given(
    total=st.integers(-(1 << 40), (1 << 40) - 1),
    multiplier=st.integers(0, (1 << 16) - 1),
    shift=st.integers(0, 63),
)
def test_requantize_rounds_half_up_and_saturates(total: int, multiplier: int, shift: int) -> None:
    parameters = RequantizerParameters(multipliers=np.array([multiplier]), shifts=np.array([shift]))
    exact = floor(Fraction(total * multiplier, 1 << shift) + Fraction(1, 2))
    found = requantize(np.array([[total]]), parameters)
    assert found.tolist() == [[min(max(exact, -128), 127)]]


def test_dyadic_refuses_what_is_no_ratio() -> None:
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="finite numbers, none negative"):
            dyadic([bad], RequantizerConfig())


def test_special_values_replace_one_code() -> None:
    family = get_family("bitmod_fp4")
    code = family.special_code
    changed = with_specials(family, (1, 2, 3, -4))
    assert code == 8
    assert [m.levels[code] for m in changed.members] == [1, 2, 3, -4]
    for own, new in zip(family.members, changed.members, strict=True):
        assert (
            own.levels[:code] + own.levels[code + 1 :] == new.levels[:code] + new.levels[code + 1 :]
        )
    with pytest.raises(InputError, match="takes 4 special values, not 3"):
        with_specials(family, (1, 2, 3))
    with pytest.raises(InputError, match="'int4' takes 0 special values"):
        with_specials(get_family("int4"), (1,))


def program(family: str = "int4", group_inputs: int = 8, **changes) -> GemmProgram:
    array_changes = changes.pop("array", {})
    array = AcceleratorConfig(name="small", rows=1, cols=1, lanes=2, **array_changes)
    machine = Machine(
        accelerator=array,
        family=get_family(family),
        inner_bits=20,
        outer_bits=30,
        group_inputs=group_inputs,
    )
    fields = {
        "machine": machine,
        "name": "job",
        "group_size": 4,
        "codes": np.zeros((2, 8), dtype=np.uint8),
        "format_ids": np.zeros((2, 2), dtype=np.uint8),
        "scale_codes": np.ones((2, 2), dtype=np.uint8),
        "activations": np.zeros((1, 8), dtype=np.int64),
    }
    return GemmProgram(**fields | changes)


ZERO_POINTS = {"zero_point_bits": 4}
REQUANTIZER = {"requantizer": RequantizerConfig(multiplier_bits=8, shift_bits=4)}
PROGRAMMABLE = {"programmable": True}


def parameters(multiplier: int = 1, shift: int = 0, n: int = 2) -> RequantizerParameters:
    return RequantizerParameters(multipliers=np.full(n, multiplier), shifts=np.full(n, shift))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zero_points": np.zeros((2, 2), int)}, "accelerator 'small' has no zero points"),
        ({"array": ZERO_POINTS}, "accelerator 'small' needs zero points"),
        (
            {"array": ZERO_POINTS, "zero_points": np.zeros((2, 3), int)},
            r"zero_points have shape \(2, 3\), expected \(2, 2\)",
        ),
        (
            {"array": ZERO_POINTS, "zero_points": np.full((2, 2), 8)},
            r"zero points 8..8 leave the machine's -8..7",
        ),
        (
            {"array": ZERO_POINTS, "zero_points": np.zeros((2, 2), int), "group_inputs": 3},
            "a group of 4 inputs is longer than the 3",
        ),
        ({"requantizer": parameters()}, "has no requantizer"),
        ({"array": REQUANTIZER}, "needs parameters of its requantizer"),
        (
            {"array": REQUANTIZER, "requantizer": parameters(multiplier=256)},
            r"multipliers 256..256 leave 0..255",
        ),
        (
            {"array": REQUANTIZER, "requantizer": parameters(shift=16)},
            r"shifts 16..16 leave 0..15",
        ),
        (
            {"array": REQUANTIZER, "requantizer": parameters(n=3)},
            r"multipliers have shape \(3,\), not \(2,\)",
        ),
        ({"family": "bitmod_fp4", "specials": (1, 2, 3, 4)}, "'small' is not programmable"),
        (
            {"family": "bitmod_fp4", "array": PROGRAMMABLE, "specials": (1, 2, 3, 11)},
            "special value 11 cannot be formed in 2 slots, valid are -16, -12, ",
        ),
    ],
)
def test_programs_that_do_not_fit(changes, message) -> None:
    with pytest.raises(InputError, match=message):
        program(**changes)


def test_machines_that_make_no_sense() -> None:
    with pytest.raises(InputError, match="is programmable, but 'int4' has no special value"):
        program(array=PROGRAMMABLE)
    with pytest.raises(InputError, match="needs the size of its largest group"):
        program(array=ZERO_POINTS, group_inputs=0)


def test_corrected_sums_always_fit() -> None:
    """Group sum less zero point times activation sum, at all ends of all ranges."""
    machine = program(array=ZERO_POINTS, zero_points=np.zeros((2, 2), int)).machine
    for bits in (2, 9, 20):
        built = dataclasses.replace(machine, inner_bits=bits)
        low, high = built.accelerator.integer_range
        half = 1 << built.corrected_bits - 1
        for group_sum in (-(1 << bits - 1), (1 << bits - 1) - 1):
            for activation in (low, high):
                for zero_point in (-8, 7):
                    corrected = group_sum - zero_point * activation * built.group_inputs
                    assert -half <= corrected < half
        sums = (built.group_inputs * low, built.group_inputs * high)
        assert -(1 << built.activation_sum_bits - 1) <= sums[0]
        assert sums[1] < 1 << built.activation_sum_bits - 1
