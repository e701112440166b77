"""Quantized models as ordinary weights again, opened by the readers and by onnx itself."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.models import LlamaModel, apply_recipe, bits_per_byte, export, load_model
from sw.models.evaluate import quantized_linear
from sw.models.export import export_file, export_folder
from sw.quantize import QuantizedModel


@pytest.fixture(scope="module")
def scribe():
    return load_model("scribe_1m")


def test_exported_folder_computes_the_same(scribe, tmp_path):
    """Also after transforms: the rotated norms, embedding and untied head come along."""
    recipe = QuantizationConfig(format="bitmod_fp4", transforms=("hadamard",))
    prepared, quantized = apply_recipe(scribe, recipe)
    names = export_folder(scribe, quantized, tmp_path / "out", source="scribe_1m")
    assert set(names) == {"model.safetensors", "config.json"}
    opened = load_model(tmp_path / "out")
    assert not opened.architecture.tie_word_embeddings
    text = scribe.heldout[:512]
    llama = LlamaModel(prepared.architecture, prepared.tensors)
    ours = bits_per_byte(llama, text, linear=quantized_linear(quantized, None)).mean
    theirs = bits_per_byte(LlamaModel(opened.architecture, opened.tensors), text).mean
    assert ours == theirs


def test_shards_and_types(scribe, tmp_path, monkeypatch):
    _, quantized = apply_recipe(scribe, QuantizationConfig(format="int8"))
    monkeypatch.setattr(export, "SHARD_BYTES", 1 << 20)
    names = export_folder(scribe, quantized, tmp_path / "out", source="scribe_1m", dtype="float16")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    files = {name for name in names if name.startswith("model-")}
    assert len(files) > 2 and set(index["weight_map"].values()) == files
    opened = load_model(tmp_path / "out")
    name = "layers.1.mlp.up_proj"
    wanted = quantized.layers[name].dequantize(np.float32).astype(np.float16)
    assert np.array_equal(opened.linear_weights()[name], wanted)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["torch_dtype"] == "float16"


def test_what_cannot_be_exported_is_refused(scribe, tmp_path):
    _, quantized = apply_recipe(scribe, QuantizationConfig(format="int8"))
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="exists already"):
        export_folder(scribe, quantized, tmp_path / "there", source="scribe_1m")
    layers = {"layers.9.mlp.up_proj": quantized.layers["layers.0.mlp.up_proj"]}
    other = QuantizedModel(name="x", layers=layers)
    with pytest.raises(InputError, match=r"no layer 'layers\.9\.mlp\.up_proj'"):
        export_folder(scribe, other, tmp_path / "out", source="scribe_1m")
    bias = {"model.norm.bias": np.zeros(160, np.float32)}
    shifted = dataclasses.replace(quantized, float_tensors=bias)
    with pytest.raises(InputError, match=r"'model\.norm\.bias' .* has no place"):
        export_folder(scribe, shifted, tmp_path / "out", source="scribe_1m")
    with pytest.raises(InputError, match=r"an \.onnx file is made from an \.onnx source"):
        export_file(scribe, quantized, tmp_path / "x.onnx", source="scribe_1m")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def _graph(path):
    """MatMul, Gemm both ways, a Conv, and a constant used twice; returns an input."""
    rng = np.random.default_rng(0)
    constants = {
        "a": rng.standard_normal((8, 6)),
        "b": rng.standard_normal((6, 6)),
        "c": rng.standard_normal((6, 6)),
        "k": rng.standard_normal((3, 1, 2, 2)),
        "unused_scale": np.ones(1),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["x1"]),
        helper.make_node("Gemm", ["x1", "b"], ["x2"], transB=1),
        helper.make_node("Gemm", ["x2", "c"], ["x3"]),
        helper.make_node("Gemm", ["x3", "b"], ["x4"], transB=1),
        helper.make_node("Unsqueeze", ["x4", "axes"], ["x5"]),
        helper.make_node("Conv", ["x5", "k"], ["y"]),
    ]
    initializers = [
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()
    ]
    initializers.append(numpy_helper.from_array(np.array([0, 1], dtype=np.int64), "axes"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c", "h", "w"])],
        initializers,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return constants, rng.standard_normal((4, 8)).astype(np.float32)


def test_onnx_graph_with_dequantized_matrices(tmp_path):
    constants, x = _graph(tmp_path / "in.onnx")
    model = load_model(tmp_path / "in.onnx")
    _, quantized = apply_recipe(model, QuantizationConfig(format="int8", group_size="channel"))
    assert list(quantized.layers) == ["a", "b", "c", "k"]
    source, target = str(tmp_path / "in.onnx"), tmp_path / "out.onnx"
    export_file(model, quantized, target, source=source)
    made = onnx.load(str(target))
    onnx.checker.check_model(made)
    names = {i.name for i in made.graph.initializer}
    assert names == {"axes", *(f"{n}.dequantized" for n in "abck")}
    (ours,) = ReferenceEvaluator(made).run(None, {"x": x})
    original = onnx.load(source)
    for tensor in original.graph.initializer:
        if tensor.name in quantized.layers:
            value = quantized.layers[tensor.name].dequantize()
            value = value.T if tensor.name in "ac" else value
            shape = constants[tensor.name].shape
            tensor.CopyFrom(numpy_helper.from_array(value.reshape(shape).copy(), tensor.name))
    (wanted,) = ReferenceEvaluator(original).run(None, {"x": x})
    assert np.allclose(ours, wanted, rtol=1e-6)


def test_bare_matrices_become_one_file(tmp_path):
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "m.npz", one=rng.standard_normal((4, 8)).astype(np.float32))
    model = load_model(tmp_path / "m.npz")
    _, quantized = apply_recipe(model, QuantizationConfig(format="int8"))
    export_file(model, quantized, tmp_path / "m.safetensors", source=str(tmp_path / "m.npz"))
    opened = load_model(tmp_path / "m.safetensors").linear_weights()["one"]
    assert np.array_equal(opened, quantized.layers["one"].dequantize())
    with pytest.raises(InputError, match=r"ends neither in \.safetensors nor in \.onnx"):
        export_file(model, quantized, tmp_path / "m.gguf", source=str(tmp_path / "m.npz"))
    with pytest.raises(InputError, match="has no architecture"):
        export_folder(model, quantized, tmp_path / "folder", source=str(tmp_path / "m.npz"))
