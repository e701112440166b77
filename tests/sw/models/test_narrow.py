"""A model whose linears run on accumulators of any width."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import AcceleratorConfig, AccumulatorConfig
from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.accumulators import layer_bounds
from sw.compile import machine_layer, resolve_machine, step_terms
from sw.golden import golden_gemm, rescale
from sw.golden.narrow import Events, Registers
from sw.golden.observed import Observed
from sw.models import quantized_linear
from sw.models.narrow import NarrowLinear, NarrowModel
from sw.quantize import QuantizedModel, quantize_activations, quantize_model

ARRAY = AcceleratorConfig(name="t", rows=2, cols=3, lanes=4)
ZERO_POINTS = replace(ARRAY, zero_point_bits=5)
MODES = ["wrap", "saturate", "flag"]


def quantized_as(name: str) -> QuantizedModel:
    rng = np.random.default_rng(0)
    weights = {"a": rng.standard_normal((6, 40)), "b": rng.standard_normal((5, 20))}
    recipe = QuantizationConfig(format=name, group_size=16, scale_format="float16")
    return quantize_model({n: w.astype(np.float32) for n, w in weights.items()}, recipe)


MODELS = {
    name: (quantized_as(name), array)
    for name, array in (("bitmod_fp4", ARRAY), ("int4_asym", ZERO_POINTS))
}


def inputs(k: int = 40, seed: int = 1, rows: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, k)).astype(np.float32)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    modes=st.tuples(*[st.sampled_from(MODES)] * 2),
    widths=st.tuples(st.integers(6, 18), st.integers(12, 28)),
)
def test_a_hook_gives_what_the_machine_gives(name, seed, modes, widths) -> None:
    model, array = MODELS[name]
    narrow = replace(
        array,
        inner_accumulator=AccumulatorConfig(bits=widths[0], mode=modes[0]),
        outer_accumulator=AccumulatorConfig(bits=widths[1], mode=modes[1]),
    )
    layer = machine_layer(model.layers["a"], narrow)
    machine = resolve_machine(narrow, layer.family, 0, 0, group_inputs=16)
    codes, scales = quantize_activations(inputs(seed=seed))
    wanted = rescale(
        golden_gemm(layer.program(machine, "a", codes)).outputs,
        channel_scales=layer.channel_factors,
        unit=layer.family.unit,
        activation_scales=scales,
    )
    registers = Registers(
        inner_bits=widths[0], inner_mode=modes[0], outer_bits=widths[1], outer_mode=modes[1]
    )
    hook = NarrowModel(model, array).linear(registers)
    assert np.array_equal(hook("a", inputs(seed=seed)), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_unlimited_registers_come_close_to_float32(name: str) -> None:
    model, array = MODELS[name]
    second_level = replace(
        model, layers={n: m.with_uint8_scales() for n, m in model.layers.items()}
    )
    tally: dict[str, Events] = {}
    found = NarrowModel(model, array).linear(tally=tally)("a", inputs())
    wanted = quantized_linear(second_level, 8)("a", inputs())
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    assert tally["a"].totals()["outputs_wrong"] == 0
    rough = NarrowModel(model, array).linear(Registers(inner_bits=8))("a", inputs())
    assert np.abs(rough - wanted).max() > 0.1 * np.abs(wanted).max()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stage", ["inner", "outer"])
@pytest.mark.parametrize("name", MODELS)
def test_observed_widths_are_two_sided_on_the_data(name: str, stage: str, mode: str) -> None:
    model = NarrowModel(*MODELS[name])
    seen: dict[str, Observed] = {}
    wanted = model.observing(seen)("a", inputs())
    bits = getattr(seen["a"], stage).bits(mode)
    for width in range(int(bits.max()) - 3, int(bits.max()) + 1):
        tally: dict[str, Events] = {}
        registers = Registers(**{f"{stage}_bits": width, f"{stage}_mode": mode})
        found = model.linear(registers, tally=tally)("a", inputs())
        counts = getattr(tally["a"], f"{stage}_steps")
        if mode == "wrap":
            counts = tally["a"].inner_wrong if stage == "inner" else tally["a"].outputs_wrong
        assert np.array_equal(counts > 0, bits > width)
        assert np.array_equal(found, wanted) or width < bits.max()


@pytest.mark.parametrize("name", MODELS)
def test_bounds_are_those_of_the_machine_and_hold_what_is_observed(name: str) -> None:
    quantized, array = MODELS[name]
    model = NarrowModel(quantized, array)
    layer = machine_layer(quantized.layers["a"], array)
    wanted = layer_bounds(
        layer.levels,
        terms=step_terms(array, layer.family),
        group_size=16,
        lanes=4,
        input_range=(-128, 127),
        scale_codes=layer.scales,
        outer_levels=layer.corrected_levels,
    )
    seen: dict[str, Observed] = {}
    model.observing(seen)("a", inputs(rows=200))
    found = model.bounds("a")
    for stage in ("inner", "outer"):
        for mode in ("wrap", "saturate"):
            bits = found.stage(stage).bits(mode)
            assert np.array_equal(bits, wanted.stage(stage).bits(mode))
            assert (getattr(seen["a"], stage).bits(mode) <= bits).all()


def test_registers_by_layer_and_tallies_over_calls() -> None:
    model = NarrowModel(*MODELS["bitmod_fp4"])
    tally: dict[str, Events] = {}
    narrow = Registers(inner_bits=8, inner_mode="saturate")
    hook = model.linear({"b": narrow}, tally=tally)
    assert np.array_equal(hook("a", inputs()), model.linear()("a", inputs()))
    first, second = inputs(20, seed=1), inputs(20, seed=2, rows=30)
    parts = [hook("b", first), hook("b", second)]
    alone: dict[str, Events] = {}
    together = model.linear(narrow, tally=alone)("b", np.concatenate([first, second]))
    assert np.array_equal(np.concatenate(parts), together)
    assert tally["b"].totals() == alone["b"].totals()
    assert tally["b"].tokens == 37 and tally["b"].outputs == 37 * 5
    steps = tally["b"].inner_steps
    assert steps is not None and steps.sum() > 0
    seen: dict[str, Observed] = {}
    watch = model.observing(seen)
    watch("b", first), watch("b", second)
    whole: dict[str, Observed] = {}
    model.observing(whole)("b", np.concatenate([first, second]))
    assert seen["b"].tokens == 37
    for end in ("final_low", "final_high", "step_low", "step_high"):
        for stage in ("inner", "outer"):
            parts = [getattr(getattr(found["b"], stage), end).tolist() for found in (seen, whole)]
            assert parts[0] == parts[1]


def test_other_linears_and_unknown_names() -> None:
    quantized, array = MODELS["bitmod_fp4"]
    model = NarrowModel(quantized, array)
    with pytest.raises(InputError, match="has no quantized layer 'c'"):
        model.linear()("c", inputs())
    with pytest.raises(InputError, match="unknown layer 'aa'"):
        model.linear({"aa": Registers(inner_bits=8)})
    helped = NarrowModel(quantized, array, otherwise=lambda name, x: x + 1)
    assert np.array_equal(helped.linear()("c", inputs()), inputs() + 1)


def test_machines_that_have_no_such_accumulators() -> None:
    quantized, _ = MODELS["bitmod_fp4"]
    for change, message in (
        ({"activation_format": "float16"}, "no integer accumulators to narrow"),
        ({"activation_signed": False}, "takes unsigned activations"),
    ):
        with pytest.raises(InputError, match=message):
            NarrowModel(quantized, replace(ARRAY, **change))


def test_a_model_of_any_linears() -> None:
    """A hand-made linear with static scales behaves like the one made of a quantized matrix."""
    quantized, array = MODELS["bitmod_fp4"]
    made = NarrowLinear.of(machine_layer(quantized.layers["a"], array))
    plain = NarrowLinear(
        layer=made.layer,
        encode=lambda x: (np.rint(x * 10).astype(np.int64), np.ones(len(x), np.float32)),
        decode=lambda sums, scales: sums.astype(np.float32),
    )
    model = NarrowModel.of_linears("hand made", {"fc": plain})
    codes = np.rint(inputs() * 10).astype(np.int64)
    scales = np.asarray(made.layer.scales)
    group = np.arange(40) // 16
    wanted = codes @ (made.layer.levels * scales[:, group]).T
    assert np.array_equal(model.linear()("fc", inputs()), wanted)
    tally: dict[str, Events] = {}
    model.linear(Registers(outer_bits=10, outer_mode="flag"), tally=tally)("fc", inputs())
    assert (tally["fc"].totals()["outer_steps"] or 0) > 0
