"""Exponents of truncated sums: how long a group may be."""

from dataclasses import replace

import numpy as np
import pytest

from bitsmith.verify import Case, verify
from configs.accelerator import AcceleratorConfig, FloatConfig, ScaleConfig
from configs.errors import InputError
from sw.compile import GemmProgram, Machine, resolve_machine
from sw.formats import float_layout, get_family
from sw.golden.floating import float_gemm

MANTISSA_BITS = 5


def machine(rounding: str) -> Machine:
    floating = FloatConfig(guard_bits=0, rounding=rounding, mantissa_bits=MANTISSA_BITS)
    array = AcceleratorConfig(
        name="narrow",
        rows=1,
        cols=1,
        lanes=1,
        pe="multiplier",
        activation_format="float16",
        floating=floating,
    )
    return resolve_machine(array, get_family("int4"), 0, 0)


def drifting(built: Machine, inputs: int) -> GemmProgram:
    """The largest number, then the smallest negative products: each takes a last place away."""
    codes = built.family.members[0].encode([[-1] * inputs]).astype(np.uint8)
    activations = np.ones((1, inputs), dtype=np.int64)
    layout = float_layout("float16")
    activations[0, 0] = (layout.largest_place + 2 << layout.mantissa_bits) - 1
    return GemmProgram(
        machine=built,
        name="drifting",
        group_size=inputs,
        codes=codes,
        format_ids=np.zeros((1, 1), dtype=np.uint8),
        scale_codes=np.ones((1, 1), dtype=np.uint8),
        activations=activations,
    )


def longest(built: Machine) -> int:
    """Most steps of a group whose exponent surely fits."""
    widths = built.floating
    limit = 1 << widths.inner_exponent_bits
    return max(n for n in range(1, 4096) if widths.inner_exponent_after(n) < limit)


@pytest.mark.rtl
def test_the_longest_group_runs_and_a_longer_one_is_refused() -> None:
    built = machine("truncate")
    steps = longest(built)
    assert 50 < steps < 4000
    result = verify(built, [Case(name="longest", program=drifting(built, steps))])[0]
    assert not result.failure
    with pytest.raises(InputError, match=f"{steps + 1} steps of truncated sums could reach"):
        drifting(built, steps + 1)


def scaled(inputs: int) -> GemmProgram:
    """The outer accumulator starts from an inner exponent that truncation has raised."""
    floating = FloatConfig(
        guard_bits=1, rounding="truncate", mantissa_bits=4, outer_mantissa_bits=48
    )
    array = AcceleratorConfig(
        name="raised",
        rows=1,
        cols=1,
        lanes=1,
        pe="multiplier",
        activation_format="float16",
        floating=floating,
        scale=ScaleConfig(format="e8m0", binades=31, shift="barrel"),
    )
    built = resolve_machine(array, get_family("int8"), 0, 0)
    return replace(drifting(built, inputs), scale_codes=np.full((1, 1), 31, dtype=np.uint8))


@pytest.mark.rtl
def test_outer_exponents_start_from_what_truncation_left() -> None:
    accepted = []
    for inputs in (1, 20, 60, 120, 200, 280, 400):
        try:
            accepted.append(scaled(inputs))
        except InputError:
            break
    assert 2 <= len(accepted) < 6
    cases = [Case(name=str(job.shape.k), program=job) for job in accepted]
    assert not [result.failure for result in verify(accepted[0].machine, cases) if result.failure]


@pytest.mark.parametrize(("family", "lanes"), [("bitmod_fp3", 1), ("int4", 4), ("float16", 1)])
@pytest.mark.parametrize("alignment", ["row", "pe"])
@pytest.mark.parametrize("mantissas", [(40, 48), (16, 25), (12, 16)])
def test_ordinary_groups_are_never_refused(family, lanes, alignment, mantissas) -> None:
    """256 steps of truncated sums run, whatever the largest exponent happens to be."""
    for guard_bits in range(5):
        floating = FloatConfig(
            alignment=alignment,
            guard_bits=guard_bits,
            rounding="truncate",
            mantissa_bits=mantissas[0],
            outer_mantissa_bits=mantissas[1],
        )
        array = AcceleratorConfig(
            name="any",
            rows=1,
            cols=1,
            lanes=lanes,
            pe="serial" if family == "bitmod_fp3" else "multiplier",
            activation_format="float16",
            floating=floating,
        )
        built = resolve_machine(array, get_family(family), 0, 0)
        steps = 256
        assert built.floating.inner_exponent_after(steps) >> built.floating.inner_exponent_bits == 0
        outer = built.floating.outer_exponent_after(128, steps)
        assert outer >> built.floating.outer_exponent_bits == 0


def test_rounding_to_nearest_does_not_drift() -> None:
    built = machine("nearest_even")
    assert longest(built) == 4095
    assert drifting(built, 4000).tiling.chunks == 4000


def test_bound_is_met_by_the_golden_model() -> None:
    built = machine("truncate")
    reached = {}
    for steps in (1, 7, 40, longest(built)):
        reached[steps] = float_gemm(drifting(built, steps))[1].exponent.max()
        assert reached[steps] <= built.floating.inner_exponent_after(steps)
    # one exponent for every 2**(bits - 2) steps: the drift is no larger than it must be
    drift = (longest(built) - 40) // (1 << MANTISSA_BITS - 2)
    assert reached[longest(built)] - reached[40] >= drift - 1
