"""Recipes with accumulator widths: read, refused, applied to a model, stored, run on a machine."""

import dataclasses

import numpy as np
import pytest

from bitsmith.job import Job
from configs.errors import InputError
from configs.schema import LayerQuantization, load_axis, load_run
from configs.target import AccumulatorTarget
from sw.models import apply, apply_recipe, load_model
from sw.quantize import QuantizedModel, layer_plan, quantize_layer, quantize_model
from sw.quantize.narrow import check_widths, guarantee

PRESETS = ("int4_a2q", "int4_a2q_plus", "int4_axe")
NARROW = {"format": "int4", "group_size": 32, "scale_format": "uint8"}


def recipe(**settings):
    return load_axis("quantization", {**NARROW, **settings})


@pytest.fixture(scope="module")
def scribe():
    """The shipped model, two blocks of it."""
    model = load_model("scribe_1m")
    tensors = {name: model.tensors[name] for name in model.tensors}
    architecture = dataclasses.replace(model.architecture, num_hidden_layers=1)
    return dataclasses.replace(model, architecture=architecture, tensors=tensors)


def test_inputs_have_the_width_of_the_recipe():
    target = {"inner_bits": 14}
    wanted = recipe(method="a2q", accumulator=target, activation_bits=6)
    assert layer_plan(wanted, ["a"])["a"].accumulator.input_range == (-32, 31)
    unsigned = recipe(method="a2q", accumulator={**target, "input_signed": False})
    assert layer_plan(unsigned, ["a"])["a"].accumulator.input_range == (0, 255)
    wide = recipe(method="a2q", accumulator={**target, "input_bits": 8}, activation_bits=6)
    assert layer_plan(wide, ["a"])["a"].accumulator.input_range == (-128, 127)
    assert AccumulatorTarget(inner_bits=4).input_range == (-128, 127)


def test_overrides_take_widths_of_their_own():
    wanted = recipe(
        method="axe_rtn",
        accumulator={"inner_bits": 14, "mode": "saturate"},
        overrides={
            "head": {"method": "rtn", "accumulator": None},
            "down": {"accumulator": {"inner_bits": 16}},
            "up": "int6",
        },
        activation_bits=5,
    )
    plan = layer_plan(wanted, ["head", "down", "up", "gate"])
    assert plan["head"].accumulator is None
    assert plan["down"].accumulator == AccumulatorTarget(inner_bits=16, input_bits=5)
    shared = AccumulatorTarget(inner_bits=14, mode="saturate", input_bits=5)
    assert plan["up"].accumulator == plan["gate"].accumulator == shared
    assert plan["up"].format == "int6"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "a2q"}, "method 'a2q' needs 'accumulator' with at least inner_bits"),
        ({"accumulator": {"inner_bits": 12}}, "method 'rtn' has no use for accumulator"),
        ({"method": "gptq", "accumulator": {"inner_bits": 12}}, "'gptq' has no use for accum"),
        ({"method": "axe", "accumulator": {}}, "accumulator: key 'inner_bits' is missing"),
        ({"method": "axe", "accumulator": {"inner_bits": 1}}, "inner_bits is 1"),
        ({"method": "axe", "accumulator": {"inner_bits": "auto"}}, "inner_bits: expected int"),
        ({"method": "axe", "accumulator": {"inner_bits": 9, "inner": 1}}, "unknown key 'inner'"),
        ({"method": "axe", "accumulator": {"inner_bits": 12, "mode": "clip"}}, "value 'clip'"),
        (
            {
                "method": "axe",
                "scale_format": "float16",
                "accumulator": {"inner_bits": 12, "outer_bits": 20},
            },
            "outer_bits is 20, but the outer accumulator sums 8-bit scale codes",
        ),
        (
            {"method": "a2q", "accumulator": {"inner_bits": 12, "input_bits": 4}},
            "input_bits is 4, activations have 8 bits",
        ),
        (
            {
                "method": "a2q",
                "accumulator": {"inner_bits": 12},
                "overrides": {"x": {"method": "rtn"}},
            },
            "overrides: x: method 'rtn' has no use for accumulator",
        ),
    ],
)
def test_recipes_that_say_nothing_useful(settings, message):
    with pytest.raises(InputError, match=message):
        recipe(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arithmetic": "float32"}, "'int4' has no use for arithmetic"),
        ({"percentile": 98.0}, "'int4' has no use for percentile"),
        ({"format": "bitmod_fp4"}, "format 'bitmod_fp4'"),
        ({"overrides": {"a": "float16"}}, "format 'float16'"),
        ({"group_size": "tensor"}, "not group_size tensor"),
        ({"accumulator": {"inner_bits": 7}}, "inner_bits is 7, with inputs of 8 bits 'a2q' needs"),
    ],
)
def test_plans_that_cannot_work(settings, message):
    wanted = recipe(**{"method": "a2q", "accumulator": {"inner_bits": 14}, **settings})
    with pytest.raises(InputError, match=message):
        layer_plan(wanted, ["a"])


def test_weights_alone_do_for_all_but_axe():
    weights = {"a": np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)}
    for method in ("a2q", "a2q_plus", "axe_rtn"):
        wanted = recipe(method=method, accumulator={"inner_bits": 12})
        model = quantize_model(weights, wanted)
        assert check_widths(model, wanted.base.accumulator)["a"].holds
        alone = quantize_layer(weights["a"], wanted.base)
        assert np.array_equal(alone.codes, model.layers["a"].codes)
    with pytest.raises(InputError, match="needs a model and calibration text"):
        quantize_model(weights, recipe(method="axe", accumulator={"inner_bits": 12}))


def test_transforms_try_weights_as_they_will_be_rounded():
    """Without the inputs, but within the same registers."""
    target = AccumulatorTarget(inner_bits=12)
    for method, tried in (("axe", "axe_rtn"), ("axe_rtn", "axe_rtn"), ("a2q", "a2q")):
        given = LayerQuantization(
            format="int4", method=method, accumulator=target, scale_rule="output_mse"
        )
        found = apply._rounding(given)
        assert (found.method, found.scale_rule, found.accumulator) == (tried, "mse", target)


@pytest.mark.parametrize(
    ("method", "mode"),
    [("a2q", "wrap"), ("a2q_plus", "flag"), ("axe_rtn", "saturate"), ("axe", "wrap")],
)
def test_model_fits_before_and_after_it_is_stored(scribe, method, mode, tmp_path):
    target = {"inner_bits": 12, "outer_bits": 21, "mode": mode}
    wanted = recipe(
        method=method,
        accumulator=target,
        calibration_tokens=512,
        scale_rule="output_mse" if method == "axe_rtn" else "mse",
    )
    _, model = apply_recipe(scribe, wanted, folder=tmp_path / "model")
    found = guarantee(QuantizedModel.load(tmp_path / "model"), wanted.base.accumulator)
    assert len(found) == 7
    assert max(check.inner_bits for check in found.values()) == 12
    assert max(check.outer_bits for check in found.values()) <= 21
    assert model.recipe["settings"]["accumulator"]["inner_bits"] == 12
    again = load_axis("quantization", model.recipe["settings"] | {"transforms": []})
    assert again.accumulator == wanted.accumulator


@pytest.mark.parametrize(
    "chosen",
    [
        *(load_axis("quantization", name) for name in PRESETS),
        recipe(method="axe_rtn", accumulator={"inner_bits": 12}, scale_rule="mse"),
    ],
    ids=lambda chosen: f"{chosen.method}-{chosen.accumulator.inner_bits}",
)
def test_machine_with_automatic_widths_takes_them(scribe, chosen):
    """It gets what the recipe left it, and no more: presets, and 12 bits."""
    model = apply_recipe(scribe, dataclasses.replace(chosen, calibration_tokens=512))[1]
    config = dataclasses.replace(load_run("quickstart"), quantization=chosen)
    machine = Job(config=config, quantized_model=model).machine
    assert machine.inner_bits == chosen.accumulator.inner_bits
    if chosen.accumulator.outer_bits is not None:
        assert machine.outer_bits <= chosen.accumulator.outer_bits
