"""Quantized models: made, saved, taken up again, loaded, damaged."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load, save

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.formats import FormatFamily, get_family
from sw.quantize import QuantizedModel, quantize_layer, quantize_matrix, quantize_model
from sw.quantize.storage import ModelWriter

ARRAYS = ("codes", "format_ids", "scales", "scale_codes", "channel_scales", "zero_points")


@pytest.fixture
def weights():
    rng = np.random.default_rng(3)
    return {"b.proj": rng.standard_normal((4, 10)), "a.proj": rng.standard_normal((3, 7))}


def make(weights, *, folder=None, progress=None, source=None, **options):
    settings = {"format": "bitmod_fp4", "group_size": 4, "activation_bits": 8, **options}
    recipe = QuantizationConfig(**settings)
    return quantize_model(
        weights, recipe, name="toy", folder=folder, progress=progress, source=source
    )


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def edit(folder, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def check_equal(ours, theirs):
    for one, other in zip(ours.planes, theirs.planes, strict=True):
        assert (one.family, one.group_size) == (other.family, other.group_size)
        assert (one.scale_format, one.group_rows) == (other.scale_format, other.group_rows)
        for field in ARRAYS:
            left, right = getattr(one, field), getattr(other, field)
            assert (left is None and right is None) or np.array_equal(left, right), field


def test_quantize_model_keeps_order_and_reports_progress(weights):
    calls = []
    model = make(weights, progress=lambda *call: calls.append(call))
    assert list(model.layers) == ["b.proj", "a.proj"] and calls == [(1, 2), (2, 2)]
    alone = quantize_matrix(weights["a.proj"], get_family("bitmod_fp4"), group_size=4)
    assert np.array_equal(model.layers["a.proj"].codes, alone.codes)
    stored = 4 * (4 * 10 + 3 * 7) + 18 * (4 * 3 + 3 * 2)
    assert model.weights == 61 and model.bits_per_weight == pytest.approx(stored / 61)


@pytest.mark.parametrize(
    "options",
    [
        {"scale_format": "float16"},
        {"scale_format": "uint8"},
        {"format": "int5"},
        {"format": "mxfp4", "group_size": 128},
        {"format": "nvfp4", "group_size": 128},
        {"format": "bfp3_b4", "group_size": 128},
        {"format": "int4_asym"},
        {"format": "int4_asym", "scale_format": "uint8"},
        {"format": "trit_planes"},
        {"format": "dual_binary"},
        {"format": "residual_int3x3", "group_size": 128},
        {"format": "olive4"},
        {"format": "int4", "group_size": "tensor"},
        {"format": "bitmod_fp3", "group_rows": 2},
    ],
)
def test_save_and_load(weights, tmp_path, options):
    model = make(weights, **options)
    model.save(tmp_path / "deep" / "folder")
    loaded = QuantizedModel.load(tmp_path / "deep" / "folder")
    assert (loaded.name, loaded.activation_bits) == ("toy", 8)
    assert loaded.recipe == json.loads(json.dumps(model.recipe))
    assert list(loaded.layers) == list(model.layers) and loaded.shapes == model.shapes
    assert loaded.bits_per_weight == model.bits_per_weight
    for name, matrix in model.layers.items():
        check_equal(matrix, loaded.layers[name])


def test_codes_are_stored_in_their_bits(tmp_path):
    rng = np.random.default_rng(0)
    make({"x": rng.standard_normal((64, 512))}, group_size=128).save(tmp_path)
    tensors = load(next(tmp_path.glob("layer-*")).read_bytes())
    assert {name: t.nbytes for name, t in tensors.items()} == {
        "codes": 64 * 512 * 4 // 8,
        "format_ids": 64 * 4 * 2 // 8,
        "scales": 64 * 4 * 2,
    }


def test_writing_a_layer_at_a_time_gives_the_same_bytes(weights, tmp_path):
    whole = make(weights)
    whole.save(tmp_path / "a")
    made = make(weights, folder=tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert list(made.layers) == ["b.proj", "a.proj"]


class _Failing(dict):
    """Weights whose last layer cannot be read."""

    def __getitem__(self, name):
        if name == "a.proj":
            raise KeyboardInterrupt
        self.setdefault("read", []).append(name)
        return super().__getitem__(name)

    def __iter__(self):
        return iter(("b.proj", "a.proj"))


def test_interrupted_quantization_is_taken_up(weights, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(_Failing(weights), folder=tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    assert len(list(tmp_path.glob("layer-*"))) == 1
    calls = []
    second = {"a.proj": weights["a.proj"]}

    class OnlySecond(dict):
        def __iter__(self):
            return iter(("b.proj", "a.proj"))

    made = make(OnlySecond(second), folder=tmp_path, progress=lambda *c: calls.append(c))
    assert calls == [(1, 2), (2, 2)]
    assert list(made.layers) == ["b.proj", "a.proj"]
    make(weights).save(tmp_path / "whole")
    assert files(tmp_path / "whole") == {
        name: data
        for name, data in ((p.name, p.read_bytes()) for p in tmp_path.iterdir() if p.is_file())
    }


@pytest.mark.parametrize("change", [{"group_size": 5}, {"source": {"files_sha256": "1"}}])
def test_layers_of_another_recipe_or_source_are_not_taken_up(weights, tmp_path, change):
    with pytest.raises(KeyboardInterrupt):
        make(_Failing(weights), folder=tmp_path)
    made = make(weights, folder=tmp_path, **change)
    plain = make(weights, **change)
    for name, matrix in plain.layers.items():
        check_equal(matrix, made.layers[name])
    assert len(list(tmp_path.glob("layer-*"))) == 2


def test_damaged_leftovers_are_not_taken_up(weights, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(_Failing(weights), folder=tmp_path)
    left = next(tmp_path.glob("layer-*"))
    left.write_bytes(left.read_bytes()[:-1] + b"x")
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"half a li')
    made = make(weights, folder=tmp_path)
    check_equal(made.layers["b.proj"], make(weights).layers["b.proj"])


def test_saving_is_deterministic_and_replaces_only_its_own_files(weights, tmp_path):
    make(weights).save(tmp_path / "a")
    make(weights).save(tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    (tmp_path / "a" / "layer-notes.safetensors").write_bytes(b"mine")
    make(weights, group_size=5, activation_bits=7).save(tmp_path / "a")
    assert len(files(tmp_path / "a")) == 4 and "layer-notes.safetensors" in files(tmp_path / "a")
    loaded = QuantizedModel.load(tmp_path / "a")
    assert loaded.layers["a.proj"].group_size == 5 and loaded.activation_bits == 7


def test_float_tensors_come_along(weights, tmp_path):
    model = make(weights)
    norms = {"model.norm.weight": np.arange(5, dtype=np.float32)}
    QuantizedModel(name="toy", layers=model.layers, float_tensors=norms).save(tmp_path)
    loaded = QuantizedModel.load(tmp_path)
    assert loaded.activation_bits is None and loaded.float_tensors is not None
    assert np.array_equal(loaded.float_tensors["model.norm.weight"], norms["model.norm.weight"])
    model.save(tmp_path)
    assert not list(tmp_path.glob("float-*"))


@pytest.mark.parametrize("victim", ["layer-", "manifest.json"])
def test_failed_save_leaves_the_old_model(weights, tmp_path, monkeypatch, victim):
    make(weights).save(tmp_path)
    before = QuantizedModel.load(tmp_path).layers["b.proj"]
    replace = os.replace

    def full(source, target):
        if target.name.startswith(victim):
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"cannot save .* disk full"):
        make(weights, group_size=5).save(tmp_path)
    check_equal(before, QuantizedModel.load(tmp_path).layers["b.proj"])


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
        ({"format": "bitmod_fp5"}, "unknown number format 'bitmod_fp5'"),
        ({"format": "mxfp5"}, "did you mean 'mxfp4'"),
        ({"group_size": -1}, "group_size"),
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


def plane(manifest):
    return manifest["layers"][0]["planes"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(kind="other"), "not the manifest of a quantized model"),
        (lambda m: m.update(version=99), "version 99"),
        (lambda m: m["layers"][0].update(file="../x"), "not a file of a quantized model"),
        (lambda m: m["layers"][0].update(file=None), "ill-typed"),
        (lambda m: m["layers"][0].update(sha256="0"), "SHA-256 differs"),
        (lambda m: m["layers"][0].update(planes=[]), "has no planes"),
        (lambda m: m.update(activation_bits="8"), "activation_bits"),
        (lambda m: m.update(layers=[]), "has no layers"),
        (lambda m: m.update(layers=3), "ill-typed"),
        (lambda m: m.pop("name"), "lacks 'name'"),
        (lambda m: m["layers"][0].pop("shape"), "lacks 'shape'"),
        (lambda m: plane(m).update(format="int5x"), "unknown number format"),
        (lambda m: plane(m).update(levels_sha256="0"), "table of 'bitmod_fp4' has changed"),
        (lambda m: plane(m).update(group_size=7), "layer 'b.proj': "),
        (lambda m: plane(m).update(group_size=0), "ill-typed|layer 'b.proj'"),
        (lambda m: m["layers"][0].update(shape=[1, 2]), "layer 'b.proj': packing"),
        (lambda m: plane(m).update(scale_format="uint8"), "lacks 'scale_codes'"),
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
    tensors = next(tmp_path.glob("layer-00000-*"))
    data = tensors.read_bytes()

    def replace(content):
        tensors.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        edit(tmp_path, lambda m: m["layers"][0].update(sha256=digest))

    tensors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(InputError, match="is damaged, its SHA-256"):
        QuantizedModel.load(tmp_path)
    replace(b"junk")
    with pytest.raises(InputError, match="not a safetensors file"):
        QuantizedModel.load(tmp_path)
    replace(save({**load(data), "scales": np.full((4, 3), np.inf, np.float16)}))
    with pytest.raises(InputError, match=r"layer 'b.proj': scales must be finite"):
        QuantizedModel.load(tmp_path)
    tensors.unlink()
    with pytest.raises(InputError, match="cannot read layer-"):
        QuantizedModel.load(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        QuantizedModel.load(tmp_path)


def test_a_layer_that_vanishes_later_is_one_clear_error(weights, tmp_path):
    make(weights).save(tmp_path)
    model = QuantizedModel.load(tmp_path)
    next(tmp_path.glob("layer-00001-*")).unlink()
    with pytest.raises(InputError, match=r"quantized model in .* cannot read layer-00001"):
        _ = model.layers["a.proj"]


def test_layers_are_read_from_one_folder_only(weights, tmp_path):
    """A writer does not trust what its progress file says about other files."""
    make(weights).save(tmp_path / "a")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    header = {key: manifest[key] for key in ("name", "activation_bits", "recipe")}
    entry = {**manifest["layers"][0], "file": "../a/" + manifest["layers"][0]["file"]}
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "progress.jsonl").write_text(f"{json.dumps(header)}\n{json.dumps(entry)}\n")
    assert len(ModelWriter(tmp_path / "b", header).done) == 0


def test_every_settings_field_counts(weights):
    one = quantize_layer(weights["b.proj"], QuantizationConfig(format="int4", group_size="channel"))
    assert one.groups == 1 and one.scale_format == "float16"


def test_saving_never_takes_up_another_model(weights, tmp_path, monkeypatch):
    one = make(weights)
    other = make({name: -3 * array for name, array in weights.items()})
    by_hand = [QuantizedModel(name="m", layers=model.layers) for model in (one, other)]
    add, calls = ModelWriter.add, []

    def stop(self, layer, *rest):
        calls.append(layer)
        if len(calls) == 2:
            raise KeyboardInterrupt
        add(self, layer, *rest)

    monkeypatch.setattr(ModelWriter, "add", stop)
    with pytest.raises(KeyboardInterrupt):
        by_hand[0].save(tmp_path)
    monkeypatch.setattr(ModelWriter, "add", add)
    by_hand[1].save(tmp_path)
    check_equal(QuantizedModel.load(tmp_path).layers["b.proj"], other.layers["b.proj"])


def test_a_second_process_is_kept_out(weights, tmp_path):
    code = (
        "import sys; from pathlib import Path; from configs.errors import InputError\n"
        "from sw.quantize.storage import ModelWriter\n"
        "try: ModelWriter(Path(sys.argv[1]), {})\n"
        "except InputError as error: print(error)\n"
    )

    def other():
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with pytest.raises(KeyboardInterrupt):
        make(_Failing(weights), folder=tmp_path)
    assert "another process is writing" in other()
    make(weights, folder=tmp_path)
    assert other() == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e["planes"][0].update(group_size=0),
        lambda e: e["planes"][0].update(group_size="4"),
        lambda e: e["planes"][0].update(group_rows=None),
        lambda e: e["planes"][0].update(scale_format=7),
        lambda e: e.update(shape=[10**10, 10**6]),
        lambda e: e.update(shape=[4.0, 10]),
        lambda e: e.update(shape="x"),
        lambda e: e.update(name=3),
        lambda e: e.update(planes=[3]),
        lambda e: e.update(error={"mse": "boo"}),
        lambda e: e.update(bits_per_weight=None),
    ],
)
def test_hostile_entries_are_one_clear_error(weights, tmp_path, change):
    """In the manifest refused, in the log of an interrupted run not taken up."""
    make(weights).save(tmp_path / "a")
    edit(tmp_path / "a", lambda m: change(m["layers"][0]))
    with pytest.raises(InputError, match="quantized model in"):
        QuantizedModel.load(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        make(_Failing(weights), folder=tmp_path / "b")
    log = tmp_path / "b" / "progress.jsonl"
    header, line = log.read_text().splitlines()
    entry = json.loads(line)
    change(entry)
    log.write_text(f"{header}\n{json.dumps(entry)}\n")
    made = make(weights, folder=tmp_path / "b")
    check_equal(made.layers["b.proj"], make(weights).layers["b.proj"])


@pytest.mark.parametrize("name", ["binary", "denseshift3", "iq4_nl"])
def test_layers_of_zeros_in_formats_without_a_zero(name, tmp_path):
    """Their error has no ratio to nothing, but is stored and read all the same."""
    made = make({"x": np.zeros((2, 8))}, format=name, folder=tmp_path)
    (entry,) = made.describe()
    assert entry["error"]["mean_square"] == 0 and entry["error"]["mse"] > 0
