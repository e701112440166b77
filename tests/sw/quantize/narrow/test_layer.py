"""Layers quantized to a width: whatever the weights, no input overflows the registers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.schema import NARROW_METHODS, LayerQuantization
from configs.target import AccumulatorTarget
from sw.accumulators import reference_accumulate, signed_range, witness
from sw.formats import fitting_terms, get_family
from sw.quantize import QuantizedMatrix, quantize_layer
from sw.quantize.gptq import gptq
from sw.quantize.narrow import check_matrix, least_bits, matrix_bounds, quantize_narrow


def narrow(method, bits, *, outer=None, mode="wrap", inputs=8, signed=True, lanes=4, **changes):
    target = AccumulatorTarget(
        inner_bits=bits,
        outer_bits=outer,
        mode=mode,
        input_bits=inputs,
        input_signed=signed,
        lanes=lanes,
    )
    given = {"format": "int4", "group_size": 16, "scale_format": "uint8", **changes}
    return LayerQuantization(method=method, accumulator=target, **given)


def weights_of(rows, columns, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (0.02 * (rng.standard_normal((rows, columns)) + shift)).astype(np.float32)


def hessian_of(columns, seed=0):
    rng = np.random.default_rng(seed + 50)
    mix = np.eye(columns) + 0.4 * rng.standard_normal((columns, columns))
    x = rng.standard_normal((4 * columns, columns)) @ mix
    return x.T @ x


def error(weights, matrix):
    return float(np.square(matrix.dequantize(np.float64) - weights).sum())


def replayed(matrix, target, channel, inputs, inner_bits, outer_bits=None):
    mode = target.mode
    scales = None if matrix.scale_codes is None else matrix.scale_codes[channel]
    return reference_accumulate(
        matrix.levels[channel],
        inputs,
        terms=fitting_terms(matrix.family),
        group_size=matrix.group_size,
        lanes=target.lanes,
        scale_row=scales,
        inner_bits=inner_bits,
        outer_bits=outer_bits,
        inner_mode=mode,
        outer_mode=mode,
    )


def worst_inputs(matrix, target, channel, stage, mode):
    return witness(
        matrix.levels[channel],
        terms=fitting_terms(matrix.family),
        group_size=matrix.group_size,
        lanes=target.lanes,
        input_range=target.input_range,
        scale_row=None if matrix.scale_codes is None else matrix.scale_codes[channel],
        stage=stage,
        mode=mode,
    )


cases = st.fixed_dictionaries(
    {
        "method": st.sampled_from(NARROW_METHODS),
        "format": st.sampled_from(["int2", "int3", "int4", "int6", "int8"]),
        "group_size": st.sampled_from([3, 8, 16, "channel"]),
        "bits": st.integers(4, 20),
        "outer": st.none() | st.integers(10, 26),
        "mode": st.sampled_from(["wrap", "saturate", "flag"]),
        "inputs": st.integers(2, 8),
        "signed": st.booleans(),
        "lanes": st.sampled_from([1, 3, 4]),
        "scale_rule": st.sampled_from(["absmax", "mse"]),
    }
)


@settings(max_examples=120, deadline=None)
@given(case=cases, seed=st.integers(0, 1 << 16), shift=st.sampled_from([0.0, 1.0, -3.0]))
def test_no_witness_overflows_the_registers(case, seed, shift):
    """The slow replay judges, on the inputs that are worst for the final integers."""
    wanted = narrow(**case)
    target, weights = wanted.accumulator, weights_of(3, 22, seed, shift)
    weights[0, ::2] *= 30
    try:
        found = quantize_narrow(weights, wanted, hessian=hessian_of(22, seed), damping=0.1)
    except InputError as refused:
        assert "needs at least" in str(refused) or "leave every weight 0" in str(refused)
        return
    stages = [("inner", target.inner_bits)]
    stages += [("outer", target.outer_bits)] if target.outer_bits else []
    for channel in range(3):
        for stage, bits in stages:
            worst = worst_inputs(found, target, channel, stage, target.mode)
            assert worst.bits <= bits
            outer_bits = target.outer_bits or 60
            run = replayed(found, target, channel, worst.inputs, target.inner_bits, outer_bits)
            assert not run.fails("inner", target.mode) and not run.fails("outer", target.mode)


@pytest.mark.parametrize("method", NARROW_METHODS)
@pytest.mark.parametrize("mode", ["wrap", "saturate", "flag"])
def test_budgets_are_used_and_one_bit_less_fails(method, mode):
    """On weights that want more: the width is needed, its witness fails with one bit less."""
    wanted = narrow(method, 12, mode=mode, scale_rule="mse")
    weights = weights_of(12, 64, 3)
    found = quantize_narrow(weights, wanted, hessian=hessian_of(64), damping=0.1)
    check = check_matrix("w", found, wanted.accumulator)
    assert check.holds and check.inner_bits == 12
    bounds = matrix_bounds(found, wanted.accumulator)
    channel = bounds.worst_channel("inner", mode)
    worst = worst_inputs(found, wanted.accumulator, channel, "inner", mode)
    run = replayed(found, wanted.accumulator, channel, worst.inputs, 11)
    assert run.fails("inner", mode)


@pytest.mark.parametrize("method", NARROW_METHODS)
def test_outer_register_holds_too(method):
    weights, hessian = weights_of(10, 96, 5), hessian_of(96)
    free = quantize_narrow(weights, narrow(method, 13, scale_rule="mse"), hessian=hessian)
    wide = matrix_bounds(free, narrow(method, 13, outer=40).accumulator)
    needed = wide.max_bits("outer", "wrap")
    errors = []
    for outer in (needed + 1, needed - 2, needed - 4, needed - 6):
        wanted = narrow(method, 13, outer=outer, scale_rule="mse")
        found = quantize_narrow(weights, wanted, hessian=hessian)
        check = check_matrix("w", found, wanted.accumulator)
        assert check.holds and check.outer_bits <= outer
        assert np.array_equal(
            found.scales, found.scale_codes * found.channel_scales[:, None].astype(np.float32)
        )
        errors.append(error(weights, found))
    assert errors[0] <= errors[-1]


def test_steps_that_overshoot_are_caught_where_registers_saturate():
    """7 = 8 - 1 passes through 8: -1 and 7 end within 7 bits for 4-bit inputs, a step does not."""
    weights = np.array([[-1.0, 7.0]], dtype=np.float32)
    shared = {"inputs": 4, "group_size": 2, "lanes": 1}
    wrap = quantize_narrow(weights, narrow("axe_rtn", 7, **shared))
    assert wrap.levels.tolist() == [[-1, 7]]
    saturate = narrow("axe_rtn", 7, mode="saturate", **shared)
    broken = check_matrix("w", wrap, saturate.accumulator)
    assert not broken.holds and broken.inner_bits == 8
    tight = quantize_narrow(weights, saturate)
    assert check_matrix("w", tight, saturate.accumulator).holds
    assert tight.levels.any() and tight.levels.tolist() != [[-1, 7]]


def test_methods_in_order_of_their_error():
    """At tight widths, by squared error of the weights (axe: of the outputs, with their inputs)."""
    weights, hessian = weights_of(40, 128, 7), hessian_of(128)
    for inputs, bits in ((8, 12), (8, 13), (4, 9)):
        for signed in (True, False):
            found = {}
            for method in NARROW_METHODS:
                wanted = narrow(method, bits, inputs=inputs, signed=signed, scale_rule="mse")
                found[method] = quantize_narrow(weights, wanted, hessian=hessian, damping=0.05)
            errors = {name: error(weights, matrix) for name, matrix in found.items()}
            assert errors["axe_rtn"] < errors["a2q_plus"] <= errors["a2q"]
            outputs = {
                name: np.vdot(d @ hessian, d)
                for name, d in ((n, m.dequantize(np.float64) - weights) for n, m in found.items())
            }
            assert outputs["axe"] < outputs["axe_rtn"]


def test_centring_doubles_what_unsigned_inputs_allow():
    weights = weights_of(40, 128, 7)
    wanted = {m: narrow(m, 12, signed=False, scale_rule="mse") for m in ("a2q", "a2q_plus")}
    errors = {m: error(weights, quantize_narrow(weights, s)) for m, s in wanted.items()}
    assert errors["a2q_plus"] < 0.8 * errors["a2q"]


def test_wide_registers_change_nothing():
    """With room for everything, axe_rtn is rounding to nearest and axe is GPTQ."""
    weights, hessian = weights_of(20, 48, 9), hessian_of(48)
    shared = {"scale_format": "float16", "group_size": 16}
    plain = quantize_layer(
        weights, LayerQuantization(format="int4", arithmetic="float32", group_size=16)
    )
    found = quantize_narrow(weights, narrow("axe_rtn", 30, **shared))
    same = found.levels == plain.levels
    halves = np.abs(weights / plain.expand(plain.scales) % 1 - 0.5) < 1e-2
    assert np.allclose(found.scales, plain.scales, rtol=1e-3) and (same | halves).all()
    fed = quantize_narrow(weights, narrow("axe", 30, **shared), hessian=hessian, damping=0.1)
    reference = gptq(weights, hessian, get_family("int4"), group_size=16, damping=0.1)
    difference = np.mean(fed.levels != reference.levels)
    assert difference < 0.02, "but for ties and the scale's own rounding"


def test_searching_for_a_scale_pays():
    weights = weights_of(30, 64, 11)
    for method in NARROW_METHODS:
        found = [
            quantize_narrow(
                weights,
                narrow(method, 12, scale_rule=rule, group_size=32),
                hessian=np.eye(64),
                damping=0.01,
            )
            for rule in ("absmax", "mse")
        ]
        assert error(weights, found[1]) < error(weights, found[0])


@pytest.mark.parametrize("method", ["a2q", "a2q_plus", "axe_rtn"])
def test_scales_follow_the_codes(method):
    """Least squares for codes that stay, rounded to float16."""
    weights = weights_of(20, 32, 15)
    wanted = narrow(method, 12, scale_rule="mse", scale_format="float16", group_size=32)
    found = quantize_narrow(weights, wanted)
    codes = found.levels.astype(float)
    best = (weights * codes).sum(axis=1) / np.square(codes).sum(axis=1)
    assert np.allclose(found.scales[:, 0], best, rtol=6e-4)


def test_inputs_that_matter_come_first():
    weights, importance = weights_of(30, 32, 13), np.ones(32)
    importance[:4] = 1000
    wanted = narrow("axe_rtn", 11, scale_rule="output_mse", group_size=32)
    weighted = quantize_narrow(weights, wanted, importance=importance)
    plain = quantize_narrow(weights, wanted)
    lost = [np.square(m.dequantize() - weights)[:, :4].sum() for m in (weighted, plain)]
    assert lost[0] < 0.5 * lost[1]


def test_zero_rows_are_kept_and_counted():
    weights = weights_of(6, 32)
    weights[2] = 0
    for method in NARROW_METHODS:
        wanted = narrow(method, 13)
        found = quantize_narrow(weights, wanted, hessian=np.eye(32), damping=0.1)
        check = check_matrix("w", found, wanted.accumulator)
        assert check.zero_channels == 1 and check.zero_groups == 2
        assert check.sparsity == np.mean(found.levels == 0)
    nothing = quantize_narrow(np.zeros((2, 8), np.float32), narrow("a2q", 13))
    assert not nothing.levels.any()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("method", NARROW_METHODS)
def test_least_width_holds_one_weight_and_less_is_refused(method, signed):
    for inputs in (2, 4, 8):
        target = AccumulatorTarget(inner_bits=8, input_bits=inputs, input_signed=signed)
        least = least_bits(method, target)
        weights = np.array([[0.0, -1.0, 0.001, 0.0]], dtype=np.float32)
        shared = {"inputs": inputs, "signed": signed, "scale_rule": "mse"}
        found = quantize_narrow(weights, narrow(method, least, **shared), hessian=np.eye(4))
        assert found.levels.any()
        if least > 2:
            with pytest.raises(InputError, match=f"at least {least} for a single weight"):
                quantize_narrow(weights, narrow(method, least - 1, **shared), hessian=np.eye(4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "bitmod_fp4"}, "'a2q'.*format 'bitmod_fp4'.*symmetric integers"),
        ({"format": "int4_asym"}, "format 'int4_asym'"),
        ({"group_rows": 2}, "not group_rows above 1"),
        ({"group_size": "tensor"}, "not group_size tensor"),
        ({"scale_rule": "percentile"}, "scale_rule absmax, mse or output_mse, not percentile"),
    ],
)
def test_settings_that_do_not_go_together(changes, message):
    with pytest.raises(InputError, match=message):
        quantize_narrow(weights_of(2, 16), narrow("a2q", 14, **changes))


def test_bad_weights_and_missing_inputs():
    with pytest.raises(InputError, match="finite"):
        quantize_narrow(np.full((2, 4), np.nan, np.float32), narrow("a2q", 14))
    with pytest.raises(InputError, match="needs inputs of the layer: use axe_rtn"):
        quantize_narrow(weights_of(2, 16), narrow("axe", 14))
    with pytest.raises(InputError, match="does not quantize to accumulator widths"):
        quantize_narrow(weights_of(2, 16), LayerQuantization(format="int4"))
    with pytest.raises(InputError, match="leave every weight 0"):
        quantize_narrow(weights_of(2, 512), narrow("a2q", 9, outer=9))


def grown_back(matrix, weights):
    """The trap: the scale is made again from the shrunk weights, and codes from that scale."""
    shrunk = matrix.dequantize(np.float64)
    shape = (len(shrunk), matrix.groups, matrix.group_size)
    scales = np.abs(shrunk.reshape(shape)).max(axis=2) / 7
    steps = np.repeat(np.where(scales > 0, scales, 1), matrix.group_size, axis=1)
    return QuantizedMatrix(
        family=matrix.family,
        group_size=matrix.group_size,
        codes=matrix.family.members[0].encode(np.rint(shrunk / steps).astype(int)).astype(np.uint8),
        format_ids=matrix.format_ids,
        scales=scales.astype(np.float16).astype(np.float32),
    )


@pytest.mark.parametrize("method", NARROW_METHODS)
def test_a_scale_made_again_from_shrunk_weights_is_caught(method):
    weights, wanted = weights_of(8, 64, 17), narrow(method, 11, scale_rule="mse", group_size=32)
    found = quantize_narrow(weights, wanted, hessian=hessian_of(64), damping=0.1)
    assert check_matrix("w", found, wanted.accumulator).holds
    trapped = check_matrix("w", grown_back(found, weights), wanted.accumulator)
    assert not trapped.holds and trapped.inner_bits > 11
    with pytest.raises(InputError, match=r"layer 'w' does not fit inner_bits 11 \(wrap\)"):
        trapped.raise_if_broken()


def test_the_most_negative_number_of_the_register_is_used():
    """-128 x 16 = -2048 is the last sum of 12 bits, which a symmetric limit leaves unused."""
    target = narrow("axe_rtn", 12, group_size=16).accumulator
    assert signed_range(12)[0] == -2048 == 16 * target.input_range[0]
    found = quantize_narrow(np.ones((1, 16), np.float32) * 0.1, narrow("axe_rtn", 12))
    assert found.levels.sum() == 16
