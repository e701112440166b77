"""Quantized models: made, saved, loaded, damaged."""

import hashlib
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load, save

from configs.errors import InputError
from sw.formats import FormatFamily, get_family
from sw.quantize import QuantizedModel, quantize_matrix, quantize_model

ARRAYS = ("codes", "format_ids", "scales", "scale_codes", "channel_scales")


@pytest.fixture
def weights():
    rng = np.random.default_rng(3)
    return {"b.proj": rng.standard_normal((4, 10)), "a.proj": rng.standard_normal((3, 7))}


def make(weights, **options):
    defaults = {"format_name": "bitmod_fp4", "group_size": 4, "name": "toy", "activation_bits": 8}
    return quantize_model(weights, **{**defaults, **options})


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_quantize_model_keeps_order_and_reports_progress(weights):
    calls = []
    model = make(weights, progress=lambda *call: calls.append(call))
    assert list(model.layers) == ["b.proj", "a.proj"] and calls == [(1, 2), (2, 2)]
    alone = quantize_matrix(weights["a.proj"], get_family("bitmod_fp4"), group_size=4)
    assert np.array_equal(model.layers["a.proj"].codes, alone.codes)
    stored = 4 * (4 * 10 + 3 * 7) + 18 * (4 * 3 + 3 * 2)
    assert model.weights == 61 and model.bits_per_weight == pytest.approx(stored / 61)


@pytest.mark.parametrize("scale_format", ["float16", "uint8"])
def test_save_and_load(weights, tmp_path, scale_format):
    model = make(weights, scale_format=scale_format)
    model.save(tmp_path / "deep" / "folder")
    loaded = QuantizedModel.load(tmp_path / "deep" / "folder")
    assert (loaded.name, loaded.activation_bits) == ("toy", 8)
    assert list(loaded.layers) == list(model.layers)
    for name, matrix in model.layers.items():
        other = loaded.layers[name]
        assert (other.family, other.group_size) == (matrix.family, matrix.group_size)
        for field in ARRAYS:
            ours, theirs = getattr(matrix, field), getattr(other, field)
            assert (ours is None and theirs is None) or np.array_equal(ours, theirs)


def test_saving_is_deterministic_and_replaces_only_its_own_files(weights, tmp_path):
    make(weights).save(tmp_path / "a")
    make(weights).save(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (tmp_path / "a" / "weights-notes.safetensors").write_bytes(b"mine")
    make(weights, group_size=5, activation_bits=None).save(tmp_path / "a")
    assert len(files(tmp_path / "a")) == 3 and "weights-notes.safetensors" in files(tmp_path / "a")
    loaded = QuantizedModel.load(tmp_path / "a")
    assert loaded.layers["a.proj"].group_size == 5 and loaded.activation_bits is None


@pytest.mark.parametrize("victim", ["weights-", "manifest.json"])
def test_failed_save_leaves_the_old_model(weights, tmp_path, monkeypatch, victim):
    make(weights).save(tmp_path)
    before = files(tmp_path)
    replace = os.replace

    def full(source, target):
        if target.name.startswith(victim):
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"cannot save .* disk full"):
        make(weights, group_size=5).save(tmp_path)
    assert files(tmp_path) == before


def test_unregistered_family_cannot_be_saved(weights, tmp_path):
    members = get_family("bitmod_fp4").members[:2]
    for name, message in (("bitmod_fp4", "not the registered one"), ("mine", "unknown number")):
        family = FormatFamily(name=name, members=members)
        layers = {"x": quantize_matrix(weights["a.proj"], family, group_size=4)}
        with pytest.raises(InputError, match=message):
            QuantizedModel(name="toy", layers=layers).save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format_name": "bitmod_fp5"}, "unknown number format 'bitmod_fp5'"),
        ({"group_size": -1}, "layer 'b.proj': group_size"),
        ({"activation_bits": 1}, "activation_bits"),
    ],
)
def test_bad_options_are_refused(weights, options, message):
    with pytest.raises(InputError, match=message):
        make(weights, **options)


def test_bad_models_are_refused(weights):
    with pytest.raises(InputError, match="has no layers"):
        make({})
    with pytest.raises(InputError, match=r"layer 'a.proj': weights hold nan"):
        make({**weights, "a.proj": np.full((2, 2), np.nan)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(kind="other"), "not the manifest of a quantized model"),
        (lambda m: m.update(version=99), "version 99"),
        (lambda m: m.update(weights_file="../x"), "not a weights file"),
        (lambda m: m.update(weights_file=None), "ill-typed"),
        (lambda m: m.update(weights_sha256="0"), "SHA-256 differs"),
        (lambda m: m.update(activation_bits="8"), "activation_bits"),
        (lambda m: m.update(layers=[]), "has no layers"),
        (lambda m: m.update(layers=3), "ill-typed"),
        (lambda m: m.pop("name"), "lack 'name'"),
        (lambda m: m["layers"][0].update(name="c"), "lack 'c.codes'"),
        (lambda m: m["layers"][0].update(format="int5x"), "unknown number format"),
        (lambda m: m["layers"][0].update(levels_sha256="0"), "table of 'bitmod_fp4' has changed"),
        (lambda m: m["layers"][0].update(group_size=7), "layer 'b.proj': format_ids"),
        (lambda m: m["layers"][0].update(shape=[1, 2]), r"manifest says \(1, 2\)"),
        (lambda m: m["layers"][0].update(scale_format="uint8"), "lack 'b.proj.scale_codes'"),
    ],
)
def test_damaged_manifest_is_refused(weights, tmp_path, change, message):
    make(weights).save(tmp_path)
    edit(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        QuantizedModel.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_damaged_files_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match=r"cannot read manifest.json \(No such file"):
        QuantizedModel.load(tmp_path)
    make(weights).save(tmp_path)
    tensors = next(tmp_path.glob("weights-*"))
    data = tensors.read_bytes()
    tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged, its SHA-256"):
        QuantizedModel.load(tmp_path)
    tensors.write_bytes(b"junk")
    edit(tmp_path, lambda m: m.update(weights_sha256=hashlib.sha256(b"junk").hexdigest()))
    with pytest.raises(InputError, match="not a safetensors file"):
        QuantizedModel.load(tmp_path)
    bad = save({**load(data), "b.proj.scales": np.full((4, 3), np.inf, np.float16)})
    tensors.write_bytes(bad)
    edit(tmp_path, lambda m: m.update(weights_sha256=hashlib.sha256(bad).hexdigest()))
    with pytest.raises(InputError, match=r"layer 'b.proj': scales must be finite"):
        QuantizedModel.load(tmp_path)
    tensors.unlink()
    with pytest.raises(InputError, match="cannot read weights-"):
        QuantizedModel.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        QuantizedModel.load(tmp_path)
