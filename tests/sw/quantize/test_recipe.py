"""Recipes: overrides by pattern, formats by name, layers of every kind of format."""

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import LayerQuantization, load_axis, load_comparison
from sw.formats import families, get_family
from sw.formats.block_tables import block_formats
from sw.quantize import layer_plan, quantize_layer, quantize_model
from sw.quantize.recipe import check_format, group_length, machine_family

LAYERS = ["layers.0.self_attn.q_proj", "layers.0.mlp.down_proj", "layers.1.mlp.down_proj"]


def recipe(**settings):
    return load_axis("quantization", {"format": "bitmod_fp4", **settings})


def test_first_matching_override_counts_and_inherits():
    overrides = {"layers.1.*": "int8", "*.down_proj": {"group_size": 32}, "*.q_proj": None}
    plan = layer_plan(recipe(scale_format="uint8", overrides=overrides), LAYERS)
    assert list(plan) == LAYERS
    assert plan[LAYERS[0]] is None
    assert plan[LAYERS[1]] == LayerQuantization(
        format="bitmod_fp4", group_size=32, scale_format="uint8"
    )
    assert plan[LAYERS[2]] == LayerQuantization(format="int8", scale_format="uint8")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"*.down_prj": "int8"}, "'\\*.down_prj' fits no layer.* 'layers.[01].mlp.down_proj'"),
        ({"*.down_proj": "int9x"}, "unknown number format 'int9x'"),
        ({"*.Down_proj": "int8"}, "fits no layer"),
    ],
)
def test_override_that_changes_nothing_is_an_error(overrides, message):
    with pytest.raises(InputError, match=message):
        layer_plan(recipe(overrides=overrides), LAYERS)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"*": {"group_siz": 32}}, "overrides: \\*: unknown key 'group_siz': .*'group_size'"),
        ({"*": {"group_size": 0}}, "group_size is 0"),
        ({"*": {"activation_bits": 4}}, "unknown key 'activation_bits'"),
        ({"*": 3}, "expected str or dict"),
    ],
)
def test_bad_overrides_are_refused_when_read(overrides, message):
    with pytest.raises(InputError, match=message):
        recipe(overrides=overrides)


def test_unquantized_layers_are_left_out():
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((4, 8)) for name in LAYERS}
    model = quantize_model(weights, recipe(overrides={"*.q_proj": None, "*.0.mlp*": "int8"}))
    assert list(model.layers) == LAYERS[1:]
    assert [m.family.name for m in model.layers.values()] == ["int8", "bitmod_fp4"]
    with pytest.raises(InputError, match="has no layers"):
        quantize_model(weights, recipe(overrides={"*": None}))
    with pytest.raises(InputError, match="needs a model and calibration text"):
        quantize_model(weights, recipe(method="gptq"))


@pytest.mark.parametrize("name", [*families(), *block_formats(), "trit_planes"])
def test_every_listed_format_is_a_recipe(name):
    """Or says in one sentence why not."""
    check_format(name)
    weights = np.random.default_rng(0).standard_normal((3, 40))
    try:
        matrix = quantize_layer(weights, LayerQuantization(format=name, group_size=16))
    except InputError as error:
        assert any(word in str(error) for word in ("16-bit", "beyond", "codes", "float16"))
        assert name not in ("bitmod_fp4", "mxfp4", "int4")
        return
    assert matrix.shape == (3, 40)
    assert np.mean((matrix.dequantize() - weights) ** 2) < 2.1


def test_names_of_formats():
    for name in ("dual_binary", "residual_int2x3", "bfp4_b16", "minifloat_e3m1", "posit6_es1"):
        check_format(name)
    for name, near in (("mxfp5", "mxfp4"), ("int4_asm", "int4_asym"), ("trit_plane", "trit_pl")):
        with pytest.raises(InputError, match=f"did you mean '{near}"):
            check_format(name)


def test_machine_runs_elements_but_no_planes():
    assert machine_family("mxfp4") is get_family("float4_e2m1fn")
    assert machine_family("bitmod_fp3") is get_family("bitmod_fp3")
    assert machine_family("int4_asym") is get_family("int4_full")
    for name in ("trit_planes", "residual_int2x2"):
        with pytest.raises(InputError, match="cannot run on the machine yet"):
            machine_family(name)


def test_group_length():
    assert group_length(LayerQuantization(format="int4", group_size="channel"), 77) == 77
    assert group_length(LayerQuantization(format="nvfp4", group_size=128), 77) == 16
    assert group_length(LayerQuantization(format="int4"), 77) == 128


@pytest.mark.parametrize("name", ["formats", "ablation", "groups", "methods", "kv_cache"])
def test_shipped_comparisons_name_formats_that_exist(name):
    for settings in load_comparison(name).values():
        check_format(settings.format)
