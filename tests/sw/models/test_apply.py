"""Recipes on a model: transforms and calibration, kept, taken up and put around the layers."""

import dataclasses

import numpy as np
import pytest

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import LlamaModel, apply, apply_recipe, bits_per_byte, load_model, prepared_model
from sw.models.evaluate import quantized_linear
from sw.quantize import QuantizedModel, quantize_layer, quantize_model

FEW = {"calibration_tokens": 1024, "format": "int3", "group_size": 64}


@pytest.fixture(scope="module")
def scribe():
    model = load_model("scribe_1m")
    return dataclasses.replace(model, tensors={n: model.tensors[n] for n in model.tensors})


def quality(model, quantized, bits=None):
    llama = LlamaModel(model.architecture, model.tensors)
    hook = quantized_linear(quantized, bits, otherwise=llama.linear)
    return bits_per_byte(llama, model.heldout[:8192], linear=hook).mean


def test_plain_recipe_is_rounding_to_nearest(scribe):
    recipe = QuantizationConfig(format="bitmod_fp4")
    prepared, quantized = apply_recipe(scribe, recipe)
    plain = quantize_model(scribe.linear_weights(), recipe)
    assert prepared is scribe and quantized.float_tensors is None
    for name, matrix in plain.layers.items():
        assert np.array_equal(quantized.layers[name].codes, matrix.codes)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "gptq", "scale_rule": "output_mse"},
        {"transforms": ("awq",), "scale_rule": "output_mse"},
        {"scale_rule": "output_mse"},
        {"transforms": ("hadamard",), "method": "gptq"},
        {"transforms": ("smoothquant",), "format": "int8", "activation_bits": 4},
        {"transforms": ("os_plus",), "format": "int8", "activation_bits": 4},
    ],
)
def test_every_method_beats_plain_rounding(scribe, plain, changes):
    """On three bits, or on narrow activations."""
    recipe = QuantizationConfig(**{**FEW, **changes})
    bits = recipe.activation_bits if recipe.activation_bits < 8 else None
    assert quality(*apply_recipe(scribe, recipe), bits) < plain[recipe.format, bits]


@pytest.fixture(scope="module")
def plain(scribe):
    """Bits per byte of rounding to nearest, by format and activation bits."""
    found = {}
    for name, bits in (("int3", None), ("int8", 4)):
        recipe = QuantizationConfig(format=name, group_size=64)
        found[name, bits] = quality(*apply_recipe(scribe, recipe), bits)
    return found


@pytest.mark.parametrize(
    "changes",
    [{"transforms": ("hadamard",), "method": "gptq"}, {"transforms": ("os_plus",)}],
)
def test_a_folder_holds_all_that_is_needed(scribe, changes, tmp_path):
    """In memory and through a folder the same model, rotated and shifted tensors included."""
    recipe = QuantizationConfig(**{**FEW, **changes})
    prepared, quantized = apply_recipe(scribe, recipe)
    again, stored = apply_recipe(scribe, recipe, folder=tmp_path / "q")
    for name, matrix in quantized.layers.items():
        assert np.array_equal(stored.layers[name].codes, matrix.codes)
        assert np.array_equal(stored.layers[name].scales, matrix.scales)
    opened = QuantizedModel.load(tmp_path / "q")
    rebuilt = prepared_model(load_model("scribe_1m"), opened)
    assert quality(rebuilt, opened) == quality(again, stored) == quality(prepared, quantized)


def test_gptq_is_taken_up_after_an_interruption(scribe, tmp_path):
    recipe = QuantizationConfig(**FEW, method="gptq")

    def stop(done, total):
        if done == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply_recipe(scribe, recipe, folder=tmp_path / "q", progress=stop)
    calls = []
    _, resumed = apply_recipe(
        scribe, recipe, folder=tmp_path / "q", progress=lambda done, total: calls.append(done)
    )
    assert calls == list(range(9, 29))
    _, whole = apply_recipe(scribe, recipe)
    for name, matrix in whole.layers.items():
        assert np.array_equal(resumed.layers[name].codes, matrix.codes), name


def test_overrides_mix_methods_and_leave_layers_alone(scribe):
    recipe = QuantizationConfig(
        **FEW,
        method="gptq",
        overrides={
            "layers.0.*": None,
            "*.down_proj": {"method": "rtn", "format": "int8"},
            "*.v_proj": {"format": "mxfp4", "method": "rtn"},
        },
    )
    prepared, quantized = apply_recipe(scribe, recipe)
    assert not any(name.startswith("layers.0.") for name in quantized.layers)
    name = "layers.2.mlp.down_proj"
    alone = quantize_layer(
        scribe.linear_weights()[name], QuantizationConfig(format="int8", group_size=64)
    )
    assert np.array_equal(quantized.layers[name].codes, alone.codes)
    assert quantized.layers["layers.1.self_attn.v_proj"].scale_format == "e8m0"
    assert quality(prepared, quantized) < 4


def test_what_cannot_be_calibrated_is_refused(scribe, tmp_path):
    np.savez(tmp_path / "bare.npz", w=np.ones((2, 4), np.float32))
    bare = load_model(tmp_path / "bare.npz")
    with pytest.raises(InputError, match="need a Llama-class model"):
        apply_recipe(bare, QuantizationConfig(format="int4", transforms=("hadamard",)))
    with pytest.raises(InputError, match=r"calibration text has \d+ tokens"):
        apply_recipe(
            scribe, QuantizationConfig(format="int4", method="gptq", calibration_tokens=1 << 20)
        )
    for name in ("olive4", "mxfp4", "trit_planes"):
        with pytest.raises(InputError, match=f"format '{name}' has no use for method"):
            apply_recipe(scribe, QuantizationConfig(format=name, method="gptq"))
    assert not (tmp_path / "q").exists()
    with pytest.raises(InputError, match="cannot read"):
        recipe = QuantizationConfig(
            format="int4", method="gptq", calibration_text=str(tmp_path / "none.txt")
        )
        apply_recipe(scribe, recipe, folder=tmp_path / "q")
    assert not (tmp_path / "q").exists()


def test_gptq_gets_what_was_measured(scribe, monkeypatch):
    """Damping by the number of tokens, the scale rule as it is, zero points where asked for."""
    seen = []
    honest = apply.gptq

    def watched(*arguments, **settings):
        seen.append((arguments[2].name, settings))
        return honest(*arguments, **settings)

    monkeypatch.setattr(apply, "gptq", watched)
    recipe = QuantizationConfig(
        format="int4_asym", method="gptq", scale_rule="output_mse", calibration_tokens=512
    )
    _, quantized = apply_recipe(scribe, recipe)
    assert len(seen) == 28 and {name for name, _ in seen} == {"int4_full"}
    assert all(s["zero_points"] and s["scale_rule"] == "output_mse" for _, s in seen)
    by_columns = {s["damping"] for _, s in seen}
    assert by_columns == {0.3 * 160 / 512, 0.3 * 432 / 512}
    assert all(matrix.zero_points is not None for matrix in quantized.layers.values())
