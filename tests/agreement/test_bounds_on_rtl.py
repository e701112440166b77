"""Accumulator bounds are two-sided in golden model and RTL: P holds, P - 1 has a witness."""

import dataclasses

import numpy as np
import pytest

from configs.accelerator import ScaleConfig
from hw.benches.batch import BatchBench
from sw.accumulators import layer_bounds, witness
from sw.compile import GemmProgram, Machine, scale_integers
from sw.golden import golden_gemm

from .machines import machine

pytestmark = pytest.mark.rtl


def run_both(built: Machine, weights: GemmProgram, x: np.ndarray):
    """Golden result and RTL result of one row of activations; they must agree."""
    program = dataclasses.replace(weights, machine=built, activations=x[None, :])
    expected = golden_gemm(program)
    with BatchBench(built) as bench:
        got = bench.run(program)
    assert np.array_equal(got.outputs, expected.outputs)
    assert np.array_equal(got.inner_overflow, expected.inner_overflow)
    assert np.array_equal(got.outer_overflow, expected.outer_overflow)
    return expected


def check_two_sided(built: Machine, weights: GemmProgram, stage: str) -> None:
    """At P nothing fails; at P - 1 the witness fails in the sense of the stage's mode."""
    array = built.accelerator
    mode = getattr(array, f"{stage}_accumulator").mode
    scales = scale_integers(array.scale, weights.scale_codes)
    corrected = weights.levels
    if weights.zero_points is not None:
        corrected = corrected - weights.zero_points[:, weights.group_of]
    bounds = layer_bounds(
        weights.levels,
        terms=built.terms,
        group_size=weights.group_size,
        lanes=array.lanes,
        input_range=array.integer_range,
        scale_codes=scales,
        outer_levels=corrected,
    )
    channel, bits = bounds.worst_channel(stage, mode), bounds.max_bits(stage, mode)
    found = witness(
        weights.levels[channel],
        terms=built.terms,
        group_size=weights.group_size,
        lanes=array.lanes,
        input_range=array.integer_range,
        scale_row=scales[channel],
        stage=stage,
        mode=mode,
        outer_levels_row=corrected[channel],
    )
    assert found.bits == bits
    exact = golden_gemm(
        dataclasses.replace(
            weights,
            machine=dataclasses.replace(built, inner_bits=40, outer_bits=56),
            activations=found.inputs[None, :],
        )
    )
    for width, fails in ((bits, False), (bits - 1, True)):
        narrow = dataclasses.replace(built, **{f"{stage}_bits": width})
        result = run_both(narrow, weights, found.inputs)
        flags = getattr(result, f"{stage}_overflow")
        if mode == "wrap":
            values = "group_sums" if stage == "inner" else "outputs"
            differs = getattr(result, values) != getattr(exact, values)
            assert differs[..., channel].any() == fails
        else:
            assert flags[channel % array.cols] == fails
            if not fails:
                assert not flags.any()
                assert np.array_equal(result.outputs, exact.outputs)


@pytest.mark.parametrize("stage", ["inner", "outer"])
@pytest.mark.parametrize("mode", ["wrap", "saturate", "flag"])
def test_random_weights(mode: str, stage: str) -> None:
    built = machine(1, 2, 3, "bitmod_fp4", modes=(mode, mode), widths=(30, 48))
    rng = np.random.default_rng(5)
    program = GemmProgram(
        machine=built,
        name="bounds",
        group_size=16,
        codes=rng.integers(0, 16, (4, 40)).astype(np.uint8),
        format_ids=rng.integers(0, 4, (4, 3)).astype(np.uint8),
        scale_codes=rng.integers(1, 256, (4, 3)).astype(np.uint8),
        activations=np.zeros((1, 40), dtype=np.int64),
    )
    check_two_sided(built, program, stage)


@pytest.mark.parametrize("stage", ["inner", "outer"])
@pytest.mark.parametrize("mode", ["wrap", "saturate"])
@pytest.mark.parametrize("signed", [True, False])
def test_zero_points_and_powers_of_two(signed: bool, mode: str, stage: str) -> None:
    """The outer range is that of the corrected levels, with unsigned activations too."""
    built = machine(
        1,
        2,
        3,
        "int4",
        modes=(mode, mode),
        widths=(30, 48),
        activation_signed=signed,
        zero_point_bits=4,
        scale=ScaleConfig(format="e8m0", binades=3),
    )
    rng = np.random.default_rng(6)
    program = GemmProgram(
        machine=built,
        name="bounds",
        group_size=16,
        codes=rng.choice([c for c in range(16) if c != 8], (4, 40)).astype(np.uint8),
        format_ids=np.zeros((4, 3), dtype=np.uint8),
        scale_codes=rng.integers(0, 4, (4, 3)).astype(np.uint8),
        zero_points=rng.integers(-8, 8, (4, 3)),
        activations=np.zeros((1, 40), dtype=np.int64),
    )
    check_two_sided(built, program, stage)


@pytest.mark.parametrize("mode", ["saturate", "flag"])
def test_partial_sums_of_terms_need_more_than_the_final_range(mode: str) -> None:
    """7 = 8 - 1 passes through 8: nine sevens fit 14 bits at the end but need 15 on the way."""
    built = machine(1, 1, 3, "int4", modes=(mode, mode), widths=(30, 48))
    program = GemmProgram(
        machine=built,
        name="sevens",
        group_size=9,
        codes=np.full((1, 9), 7, dtype=np.uint8),
        format_ids=np.zeros((1, 1), dtype=np.uint8),
        scale_codes=np.ones((1, 1), dtype=np.uint8),
        activations=np.zeros((1, 9), dtype=np.int64),
    )
    bounds = layer_bounds(
        program.levels,
        terms=built.terms,
        group_size=9,
        lanes=3,
        input_range=(-128, 127),
        scale_codes=program.scale_codes,
    )
    assert bounds.max_bits("inner", "wrap") == 14
    assert bounds.max_bits("inner", mode) == 15
    check_two_sided(built, program, "inner")
    # the final-range width is not enough: the RTL overflows there, and wrapping still does not
    x = np.full(9, -128)
    assert run_both(dataclasses.replace(built, inner_bits=14), program, x).inner_overflow.any()
    wrapping = machine(1, 1, 3, "int4", widths=(14, 30))
    assert run_both(wrapping, program, x).outputs[0, 0] == -128 * 63
