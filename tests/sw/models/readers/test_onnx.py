"""ONNX: which constants are matrices, their layout, where their data are, graphs that lie."""

import itertools
import sys

import ml_dtypes
import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import open_tensors

from .samples import floats, onnx_sample, onnx_written

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def node(kind, *inputs, output="y", name="", **attributes):
    return helper.make_node(kind, list(inputs), [output], name=name, **attributes)


def opened(tmp_path, nodes, constants):
    return open_tensors(onnx_written(tmp_path / "m.onnx", nodes, constants))


def test_matrices_are_outputs_by_products(tmp_path):
    w, gemm, turned = floats(5, 3), floats(3, 4), floats(6, 4)
    kernel, line, deep = floats(4, 2, 3, 3), floats(8, 1, 5), floats(2, 3, 1, 2, 2)
    nodes = [
        node("MatMul", "x", "w", output="a"),
        node("Gemm", "a", "gemm", "bias", output="b"),
        node("Gemm", "b", "turned", output="c", transB=1),
        node("Conv", "x", "kernel", output="d"),
        node("Conv", "x", "line", output="e", group=8),
        node("Conv", "x", "deep", output="f"),
        node("Gather", "table", "x", output="g"),
        node("MatMul", "a", "b", output="h"),
        node("MatMul", "x", "stack", output="i"),
        node("MatMul", "x", "vector", output="j"),
        helper.make_node("MatMul", ["x", "w"], ["k"], domain="mine"),
    ]
    constants = {
        "w": w,
        "gemm": gemm,
        "turned": turned,
        "kernel": kernel,
        "line": line,
        "deep": deep,
        "bias": floats(4),
        "table": floats(7, 5),
        "stack": floats(2, 5, 3),
        "vector": floats(5),
    }
    source = opened(tmp_path, nodes, constants)
    expected = {
        "w": w.T,
        "gemm": gemm.T,
        "turned": turned,
        "kernel": kernel.reshape(4, -1),
        "line": line.reshape(8, 5),
        "deep": deep.reshape(2, -1),
    }
    assert list(source) == list(expected)
    for name, array in expected.items():
        assert np.array_equal(source[name], array) and source[name].flags.c_contiguous
        assert source.infos[name].shape == array.shape and source.quantization(name) is None
    # a MatMul of tokens by features against numpy
    x = floats(2, 5)
    assert np.allclose(x @ source["w"].T, x @ w)


def test_constants_pass_identity_cast_and_transpose(tmp_path):
    w = floats(4, 6)
    kernel = floats(3, 3, 2, 8)
    nodes = [
        node("Identity", "w", output="same"),
        node("Transpose", "same", output="turned"),
        node("Cast", "turned", output="half", to=TensorProto.FLOAT16),
        node("Identity", "half", output="again"),
        node("MatMul", "x", "again"),
        node("Transpose", "kernel", output="order", perm=[3, 2, 0, 1]),
        node("Conv", "x", "order", output="z"),
        node("Cast", "whole", output="float", to=TensorProto.FLOAT),
        node("MatMul", "x", "float", output="v"),
    ]
    whole = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    source = opened(tmp_path, nodes, {"w": w, "kernel": kernel, "whole": whole})
    assert source["w"].dtype == np.float16 and np.array_equal(source["w"], w.astype(np.float16))
    assert np.array_equal(source["kernel"], kernel.transpose(3, 2, 0, 1).reshape(8, -1))
    assert np.array_equal(source["whole"], whole.T.astype(np.float32))


def test_types_and_ways_to_store_them(tmp_path):
    w = floats(3, 2)
    brain = w.astype(ml_dtypes.bfloat16)
    halves = [int(n) for n in w.astype(np.float16).view(np.uint16).ravel()]
    upper = [int(n) for n in brain.view(np.uint16).ravel()]
    typed = helper.make_tensor("typed", TensorProto.FLOAT, (3, 2), w.ravel())
    assert not typed.HasField("raw_data")
    constants = {
        "typed": typed,
        "half": TensorProto(name="half", dims=(3, 2), data_type=10, int32_data=halves),
        "brain": TensorProto(name="brain", dims=(3, 2), data_type=16, int32_data=upper),
        "raw": helper.make_tensor("raw", TensorProto.BFLOAT16, (3, 2), brain.tobytes(), raw=True),
        "double": w.astype(np.float64),
        "long": np.arange(6).reshape(3, 2),
        "small": helper.make_tensor("small", TensorProto.INT4, (3, 2), [1, 2, 3, 4, 5, 6]),
    }
    nodes = [node("MatMul", "x", name, output=f"y{i}") for i, name in enumerate(constants)]
    source = opened(tmp_path, nodes, constants)
    assert np.array_equal(source["typed"], w.T)
    assert np.array_equal(source["half"], w.T.astype(np.float16))
    for name in ("brain", "raw"):
        assert np.array_equal(source[name], brain.T.astype(np.float32))
    for name, kind in (("double", "DOUBLE"), ("long", "INT64"), ("small", "INT4")):
        with pytest.raises(InputError, match=f"'{name}' has type {kind}: supported are FLOAT, FLO"):
            source[name]


def test_constant_nodes_count(tmp_path):
    w = floats(3, 2)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(w, "")),
        helper.make_node("Constant", [], ["s"], value_float=1.5),
        node("MatMul", "x", "c"),
        node("MatMul", "x", "s", output="z"),
    ]
    source = opened(tmp_path, nodes, {})
    assert list(source) == ["c"] and np.array_equal(source["c"], w.T)


def test_names_are_unique_and_a_shared_matrix_is_listed_once(tmp_path):
    w = floats(3, 3)
    nodes = [
        node("MatMul", "x", "w", output="a", name="first"),
        node("MatMul", "x", "w", output="b", name="second"),
        node("Gemm", "x", "w", output="c", name="third", transB=1),
        node("Transpose", "w", output="t"),
        node("MatMul", "x", "t", output="d", name="third"),
        node("Identity", "w", output="i"),
        node("MatMul", "x", "i", output="e"),
    ]
    source = opened(tmp_path, nodes, {"w": w})
    assert list(source) == ["w", "w@third", "w@third#2", "w@e"]
    assert np.array_equal(source["w"], w.T) and np.array_equal(source["w@third"], w)
    assert np.array_equal(source["w@third#2"], w) and np.array_equal(source["w@e"], w.T)


def test_nested_graphs_are_left_alone(tmp_path):
    inner = helper.make_graph(
        [node("MatMul", "x", "inner", output="r")],
        "then",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, None)],
        initializer=[onnx.numpy_helper.from_array(floats(3, 2), "inner")],
    )
    nodes = [
        helper.make_node("If", ["x"], ["a"], then_branch=inner, else_branch=inner),
        node("MatMul", "a", "w"),
    ]
    assert list(opened(tmp_path, nodes, {"w": floats(2, 2)})) == ["w"]


def external(name, shape, kind=TensorProto.FLOAT, **entries):
    tensor = TensorProto(name=name, dims=shape, data_type=kind, data_location=1)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def test_external_data_are_read_from_the_folder(tmp_path):
    w, brain = floats(3, 2), floats(2, 2, 3).astype(ml_dtypes.bfloat16)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(b"1234" + w.tobytes() + brain.tobytes())
    here = {"location": "sub/w.bin"}
    constants = {
        "w": external("w", (3, 2), offset=4, length=24, **here),
        "k": external("k", (2, 2, 3), TensorProto.BFLOAT16, offset=28, **here),
    }
    nodes = [node("MatMul", "x", "w"), node("Conv", "x", "k", output="z")]
    source = opened(tmp_path, nodes, constants)
    assert np.array_equal(source["w"], w.T)
    assert np.array_equal(source["k"], brain.astype(np.float32).reshape(2, 6))
    (tmp_path / "sub" / "w.bin").write_bytes(b"1234")
    with pytest.raises(InputError, match=r"w.bin ends at byte 4, 24 bytes early"):
        source["w"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../w.bin"}, r"are in '../w.bin': only files in the model's folder are read"),
        ({"location": "/etc/passwd"}, r"are in '/etc/passwd': only"),
        ({"location": "link.bin"}, r"are in 'link.bin': only"),
        ({"location": "loop.bin"}, r"loop.bin"),
        ({"location": "a/../../w.bin"}, r"only files in the model's folder"),
        ({"location": ""}, r"are in '': only"),
        ({}, r"are in '': only"),
        ({"location": "a\0b"}, r"only files|embedded null"),
        ({"location": "missing.bin"}, r"cannot read .*missing.bin: No such file"),
        ({"location": "."}, r"Is a directory"),
        ({"location": "w.bin", "offset": 5}, r"are bytes 5 to 29 of .*w.bin, which has 28"),
        ({"location": "w.bin", "offset": 1 << 62}, r"which has 28"),
        ({"location": "w.bin", "offset": -1}, r"which are not whole numbers"),
        ({"location": "w.bin", "offset": "1_0"}, r"which are not whole numbers"),
        ({"location": "w.bin", "offset": "9" * 5000}, r"which are not whole numbers"),
        ({"location": "w.bin", "length": 23}, r"have 23 bytes, its shape takes 24"),
    ],
)
def test_external_data_elsewhere_are_refused(tmp_path, entries, message):
    folder = tmp_path / "model"
    folder.mkdir()
    for place in (tmp_path, folder):
        (place / "w.bin").write_bytes(bytes(28))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "loop.bin").symlink_to(folder / "loop.bin")
    with pytest.raises(InputError, match=message):
        opened(folder, [node("MatMul", "x", "w")], {"w": external("w", (3, 2), **entries)})


def test_a_cycle_is_refused(tmp_path):
    nodes = [
        node("Identity", "x", output="start", name="start"),
        node("Add", "start", "b", output="a", name="one"),
        node("Identity", "a", output="b", name="two"),
        node("MatMul", "x", "b", output="y", name="after"),
    ]
    with pytest.raises(InputError, match=r"m.onnx: a node uses 'b' before another gives it"):
        opened(tmp_path, nodes, {})
    with pytest.raises(InputError, match="uses 'self' before another gives it"):
        opened(tmp_path, [node("Identity", "self", output="self")], {})


def test_chains_are_bounded(tmp_path):
    for length, fits in ((64, True), (65, False)):
        names = ["w", *(f"n{i}" for i in range(length))]
        nodes = [node("Identity", a, output=b) for a, b in itertools.pairwise(names)]
        nodes.append(node("MatMul", "x", names[-1]))
        if fits:
            assert list(opened(tmp_path, nodes, {"w": floats(2, 2)})) == ["w"]
        else:
            with pytest.raises(InputError, match="more than 64 nodes lie between a constant and"):
                opened(tmp_path, nodes, {"w": floats(2, 2)})


def tensor(shape=(3, 2), kind=1, **fields):
    return TensorProto(name="w", dims=shape, data_type=kind, **fields)


@pytest.mark.parametrize(
    ("constant", "message"),
    [
        (tensor(raw_data=bytes(23)), r"shape \(3, 2\) of type FLOAT takes 24 bytes, there are 23"),
        (tensor(float_data=[0] * 7), "takes 6 values, there are 7"),
        (tensor(shape=(1 << 62, 4), raw_data=b""), "there are 0"),
        (tensor(shape=(-3, -2), raw_data=bytes(24)), r"it has shape \(-3, -2\)"),
        (tensor(segment=TensorProto.Segment(begin=0, end=1)), "comes in segments"),
    ],
)
def test_constants_that_lie_are_refused(tmp_path, constant, message):
    with pytest.raises(InputError, match=rf"m.onnx: constant 'w': .*{message}"):
        opened(tmp_path, [node("MatMul", "x", "w")], {"w": constant})


def test_an_unknown_type_is_refused_when_read(tmp_path):
    source = opened(tmp_path, [node("MatMul", "x", "w")], {"w": tensor(kind=77)})
    with pytest.raises(InputError, match="'w' has type 77: supported are FLOAT"):
        source["w"]


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("MatMul", "x")], "a MatMul node has no second input"),
        ([node("Conv", "x", "w")], r"a Conv has the kernel 'w' of shape \(3, 2\)"),
        ([node("Gemm", "x", "v")], r"a Gemm has the matrix 'v' of shape \(4,\)"),
        ([node("Gemm", "x", "w", transB=0.5)], "attribute 'transB' of a Gemm node has the wrong"),
        (
            [node("Transpose", "w", output="t", perm=[0, 0]), node("MatMul", "x", "t")],
            r"constant 'w': a Transpose of shape \(3, 2\) has the order",
        ),
        (
            [node("Transpose", "w", output="t", perm=[0, 1, 2]), node("MatMul", "x", "t")],
            "has the order",
        ),
        (
            [node("Cast", "w", output="t", to=TensorProto.INT8), node("MatMul", "x", "t")],
            "it is cast to INT8: supported are FLOAT, FLOAT16, DOUBLE",
        ),
        (
            [node("Cast", "w", output="t", to=1234), node("MatMul", "x", "t")],
            "it is cast to 1234",
        ),
        ([node("Relu", "x"), node("Relu", "x")], "'y' is given twice"),
        ([node("Relu", "x", output="w")], "'w' is given twice"),
        ([node("Relu", "x")], "holds no constant that a MatMul, Gemm or Conv multiplies by"),
    ],
)
def test_graphs_without_a_meaning_are_refused(tmp_path, nodes, message):
    with pytest.raises(InputError, match=message):
        opened(tmp_path, nodes, {"w": floats(3, 2), "v": floats(4)})


def test_what_overflows_in_a_cast_is_refused_when_read(tmp_path):
    nodes = [node("Cast", "w", output="t", to=TensorProto.FLOAT16), node("MatMul", "x", "t")]
    source = opened(tmp_path, nodes, {"w": np.full((2, 2), 1e6, dtype=np.float32)})
    with pytest.raises(InputError, match=r"tensor 'w' holds inf at \(0, 0\)"):
        source["w"]


def test_what_does_not_parse_is_refused(tmp_path):
    path = onnx_sample(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(
        InputError, match=r"m.onnx is not a valid ONNX file: the message at byte \d"
    ):
        open_tensors(path)
    path.write_bytes(b"\x0b\x0c")
    with pytest.raises(InputError, match="holds no constant that a MatMul"):
        open_tensors(path)


def message(number, content):
    """A field of a protobuf message."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_messages_are_counted_before_they_are_parsed(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(message(7, message(1, b"") * 500_001))
    with pytest.raises(InputError, match="it has more than 500000 nodes, attributes and tensors"):
        open_tensors(path)
    path.write_bytes(message(7, message(1, b"\x50\1" * 4_000_001)))
    with pytest.raises(InputError, match="it has more than 500000 nodes, attributes and tensors"):
        open_tensors(path)
    nested = b""
    for _ in range(60):
        nested = message(1, message(5, message(6, nested)))
    path.write_bytes(message(7, nested))
    with pytest.raises(InputError, match="more than 100 messages lie in each other"):
        open_tensors(path)


def test_a_model_in_pieces_is_the_same_model(tmp_path):
    """Protobuf joins the pieces of a message that is there several times."""
    model = onnx.load(onnx_sample(tmp_path / "m.onnx"))
    whole = open_tensors(tmp_path / "m.onnx")
    graph = onnx.GraphProto()
    graph.initializer.extend(model.graph.initializer)
    del model.graph.initializer[:]
    data = model.SerializeToString() + message(7, graph.SerializeToString())
    (tmp_path / "pieces.onnx").write_bytes(data)
    pieces = open_tensors(tmp_path / "pieces.onnx")
    assert list(pieces) == list(whole)
    for name in whole:
        assert np.array_equal(pieces[name], whole[name])


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = onnx_sample(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"needs the onnx package: pip install 'bitsmith\[reader"):
        open_tensors(path)
