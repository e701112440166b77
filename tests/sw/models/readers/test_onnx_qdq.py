"""Matrices behind QuantizeLinear and DequantizeLinear: the values that arrive at the product."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import open_tensors

from .samples import floats, onnx_written

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


def node(kind, *inputs, output="y", **attributes):
    return helper.make_node(kind, list(inputs), [output], **attributes)


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT4", "UINT4", "INT16"])
@pytest.mark.parametrize("stored", ["integers", "floats"])
def test_values_are_those_of_the_graph(tmp_path, kind, stored):
    number = getattr(TensorProto, kind)
    scale = np.float32([0.1, 0.3, 0.7])
    codes = list(range(15))
    constants = {
        "s": scale,
        "z": helper.make_tensor("z", number, (3,), [1, 0, 2]),
        "w": helper.make_tensor("w", number, (5, 3), [c % 8 for c in codes]),
    }
    nodes = [
        node("DequantizeLinear", "q" if stored == "floats" else "w", "s", "z", output="d", axis=1)
    ]
    if stored == "floats":
        constants["w"] = floats(5, 3) * 100
        nodes.insert(0, node("QuantizeLinear", "w", "s", "z", output="q", axis=1))
    nodes.append(node("MatMul", "x", "d"))
    path = onnx_written(tmp_path / "m.onnx", nodes, constants)
    source = open_tensors(path)
    (y,) = ReferenceEvaluator(onnx.load(path)).run(None, {"x": np.eye(5, dtype=np.float32)})
    assert source.infos["w"].dtype == "FLOAT" and source.infos["w"].shape == (3, 5)
    assert np.array_equal(source["w"], y.T) and source.quantization("w") is None


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("block", [1, 2, 3, 6])
def test_scales_of_blocks(tmp_path, axis, block):
    w = np.arange(36, dtype=np.int8).reshape(6, 6)
    shape = (6 // block, 6) if axis == 0 else (6, 6 // block)
    scale = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    nodes = [
        node("DequantizeLinear", "w", "s", output="d", axis=axis, block_size=block),
        node("MatMul", "x", "d"),
    ]
    source = open_tensors(onnx_written(tmp_path / "m.onnx", nodes, {"w": w, "s": scale}))
    blocks = np.kron(scale, np.ones((block, 1) if axis == 0 else (1, block)))
    assert np.array_equal(source["w"], (w * blocks).T)


def test_values_are_clipped(tmp_path):
    w = floats(4, 2)
    constants = {"w": w, "low": np.float32(-0.5), "high": np.float32(0.25)}
    nodes = [node("Clip", "w", "low", "high", output="c"), node("MatMul", "x", "c")]
    source = open_tensors(onnx_written(tmp_path / "m.onnx", nodes, constants))
    assert np.array_equal(source["w"], np.clip(w, -0.5, 0.25).T)
    constants["low"] = np.float32(np.nan)
    with pytest.raises(InputError, match="the limits of its Clip node must be numbers"):
        open_tensors(onnx_written(tmp_path / "n.onnx", nodes, constants))


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "INT64"])
def test_types_that_are_no_short_integers_are_refused(tmp_path, kind):
    nodes = [
        node("QuantizeLinear", "w", "s", output="q", output_dtype=getattr(TensorProto, kind)),
        node("DequantizeLinear", "q", "s", output="d"),
        node("MatMul", "x", "d"),
    ]
    path = onnx_written(tmp_path / "m.onnx", nodes, {"w": floats(2, 2), "s": np.float32(1)})
    with pytest.raises(InputError, match=f"its QuantizeLinear node makes numbers of type {kind}"):
        open_tensors(path)
