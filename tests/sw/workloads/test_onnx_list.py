"""ONNX graphs as GEMMs: graphs made here, shapes by numpy, everything else listed or refused."""

from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.models.readers.onnx_file import OnnxFile
from sw.workloads import read_gemms, weight_elements

onnx = pytest.importorskip("onnx")
helper, FLOAT, INT8, UINT8 = onnx.helper, 1, 3, 2


def save(path, nodes, inputs, constants=(), *, opset=17, domains=(), functions=(), kind=FLOAT):
    """Write a graph; inputs and constants are name -> shape or array."""
    tensors = [
        onnx.numpy_helper.from_array(
            np.ones(value, dtype=np.float32) if isinstance(value, tuple) else value, name
        )
        for name, value in dict(constants).items()
    ]
    last = next(filter(None, nodes[-1].output))
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info(name, kind, list(shape))
            for name, shape in dict(inputs).items()
        ],
        [onnx.ValueInfoProto(name=last)],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    model.ir_version = 9
    onnx.save(model, path)
    return path


def sizes(found):
    return {g.name: (g.m, g.n, g.k, g.count, g.operand) for g in found.prefill}


def host(found):
    assert not any(work.decode for work in found.host)
    return {work.name: work.prefill for work in found.host}


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs, [output], name=f"the_{output}", **attributes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.onnx"


def test_a_small_network(path) -> None:
    nodes = [
        node("MatMul", ["x", "w1"], "a"),
        node("Relu", ["a"], "b"),
        node("Gemm", ["b", "w2", "bias"], "c", transB=1, alpha=0.5),
        node("Softmax", ["c"], "d"),
    ]
    found = read_gemms(
        save(path, nodes, {"x": (4, 10)}, {"w1": (10, 6), "w2": (3, 6), "bias": (3,)})
    )
    assert found.name == "net"
    assert sizes(found) == {"w1": (4, 6, 10, 1, "weights"), "w2": (4, 3, 6, 1, "weights")}
    assert host(found) == {"Relu": 24, "bias": 12, "Softmax": 12}
    assert (found.decode, found.prefill_tokens) == ((), 0)
    # the names are those of the reader of weights
    assert {n: (m[1], m[2]) for n, m in sizes(found).items()} == {
        name: info.shape for name, info in OnnxFile(path).infos.items()
    }


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("weights_first", [False, True])
def test_gemm(path, trans_a, trans_b, weights_first) -> None:
    a, b = (5, 7), (7, 3)
    shapes = {"a": a[::-1] if trans_a else a, "b": b[::-1] if trans_b else b}
    inputs, constants = ("b", "a") if weights_first else ("a", "b")
    nodes = [node("Gemm", ["a", "b"], "y", transA=trans_a, transB=trans_b)]
    found = read_gemms(save(path, nodes, {inputs: shapes[inputs]}, {constants: shapes[constants]}))
    m, n = (3, 5) if weights_first else (5, 3)
    assert sizes(found) == {constants: (m, n, 7, 1, "weights")}
    assert host(found) == {}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 7), (7, 3), (5, 3, 7, 1)),
        ((2, 4, 5, 7), (7, 3), (40, 3, 7, 1)),
        ((2, 4, 5, 7), (2, 4, 7, 3), (5, 3, 7, 8)),
        # the same matrix for both members of the first axis
        ((2, 4, 5, 7), (1, 4, 7, 3), (10, 3, 7, 4)),
        ((2, 4, 5, 7), (4, 7, 3), (10, 3, 7, 4)),
        ((5, 7), (4, 7, 3), (5, 3, 7, 4)),
        ((2, 1, 5, 7), (1, 4, 7, 3), (10, 3, 7, 4)),
        ((7,), (7, 3), (1, 3, 7, 1)),
        ((5, 7), (7,), (5, 1, 7, 1)),
        ((7,), (7,), (1, 1, 7, 1)),
        ((7,), (4, 7, 3), (1, 3, 7, 4)),
        ((4, 5, 7), (7,), (20, 1, 7, 1)),
    ],
)
@pytest.mark.parametrize("weights", [None, "a", "b"])
def test_matmul(path, a, b, expected, weights) -> None:
    shapes = {"a": a, "b": b}
    constants = {weights: shapes.pop(weights)} if weights else {}
    found = read_gemms(save(path, [node("MatMul", ["a", "b"], "y")], shapes, constants))
    (gemm,) = found.prefill
    assert gemm.macs == prod(np.matmul(np.zeros(a), np.zeros(b)).shape) * 7
    assert gemm.operand == ("weights" if weights else "activations")
    assert gemm.name == (weights or "the_y")
    if weights == "a":
        assert gemm.elements == prod(a)
    else:
        assert (gemm.m, gemm.n, gemm.k, gemm.count) == expected
        assert gemm.elements == prod(b)


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 3).flatmap(
        lambda axes: st.lists(
            st.tuples(st.integers(1, 4), st.sampled_from(["both", "a", "b"])),
            min_size=axes,
            max_size=axes,
        )
    )
)
def test_any_stack(tmp_path_factory, axes) -> None:
    """Products are all elements of the result times K; elements are those of the second stack."""
    a = (*(1 if which == "b" else size for size, which in axes), 2, 5)
    b = (*(1 if which == "a" else size for size, which in axes), 5, 3)
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    found = read_gemms(save(path, [node("MatMul", ["a", "b"], "y")], {"a": a, "b": b}))
    (gemm,) = found.prefill
    assert gemm.macs == prod(np.matmul(np.zeros(a), np.zeros(b)).shape) * 5
    assert gemm.elements == prod(b)


@pytest.mark.parametrize(
    ("image", "kernel", "options", "pixels"),
    [
        ((2, 6, 9, 8), (4, 6, 3, 3), {}, (7, 6)),
        ((2, 6, 9, 8), (4, 3, 3, 3), {"group": 2}, (7, 6)),
        ((2, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}, (9, 8)),
        ((1, 6, 9, 8), (4, 6, 3, 2), {"strides": [2, 3], "pads": [0, 1, 2, 1]}, (5, 3)),
        ((1, 6, 9, 8), (4, 6, 3, 3), {"dilations": [2, 3]}, (5, 2)),
        ((1, 6, 9, 8), (4, 6, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (5, 4)),
        ((1, 6, 9), (4, 6, 3), {}, (7,)),
        ((1, 2, 4, 4, 4), (3, 2, 2, 2, 2), {}, (3, 3, 3)),
    ],
)
def test_convolutions(path, image, kernel, options, pixels) -> None:
    nodes = [
        node("Conv", ["x", "w", "b"], "y", **options),
        node("Flatten", ["y"], "f"),
        node("Transpose", ["f"], "t"),
        node("Gemm", ["f", "t", "c"], "z"),
    ]
    constants = {"w": kernel, "b": (kernel[0],), "c": (1,)}
    found = read_gemms(save(path, nodes, {"x": image}, constants))
    groups = options.get("group", 1)
    m = image[0] * prod(pixels)
    n, k = kernel[0] // groups, prod(kernel[1:])
    assert sizes(found)["w"] == (m, n, k, groups, "weights")
    assert found.prefill[0].elements == prod(kernel)
    assert host(found)["bias"] == m * kernel[0] + image[0] * image[0]
    assert "convolutions are GEMMs of their windows, padding included" in found.assumptions


def test_integer_products(path) -> None:
    scale, zero = np.float32(0.5), np.int8(0)
    nodes = [
        node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z", "bias"], "c"),
        node("Flatten", ["c"], "f"),
        node("QLinearMatMul", ["f", "s", "z", "v", "s", "z", "s", "z"], "d"),
        node("MatMulInteger", ["d", "u"], "y"),
    ]
    constants = {
        "s": np.array(scale),
        "z": np.array(zero),
        "w": np.ones((4, 3, 3, 3), np.int8),
        "bias": np.ones(4, np.int32),
        "v": np.ones((36, 5), np.int8),
        "u": np.ones((5, 2), np.int8),
    }
    found = read_gemms(save(path, nodes, {"x": (2, 3, 5, 5)}, constants, kind=INT8))
    assert sizes(found) == {
        "w": (18, 4, 27, 1, "weights"),
        "v": (2, 5, 36, 1, "weights"),
        "u": (2, 2, 5, 1, "weights"),
    }
    assert host(found) == {"bias": 72, "Flatten": 72}
    nodes = [node("ConvInteger", ["x", "w"], "y")]
    constants = {"w": np.ones((4, 3, 3, 3), np.int8)}
    found = read_gemms(save(path, nodes, {"x": (2, 3, 5, 5)}, constants, kind=INT8))
    assert sizes(found) == {"w": (18, 4, 27, 1, "weights")}


def test_weights_behind_other_nodes(path) -> None:
    """DequantizeLinear, Transpose, Cast, Identity, Reshape; what is constant is not host work."""
    nodes = [
        node("DequantizeLinear", ["q", "scale"], "w0"),
        node("Transpose", ["w0"], "w1", perm=[1, 0]),
        node("Cast", ["w1"], "w2", to=FLOAT),
        node("Identity", ["w2"], "w3"),
        node("Reshape", ["w3", "shape"], "w4"),
        node("MatMul", ["x", "w4"], "y"),
        node("Constant", [], "c", value=onnx.numpy_helper.from_array(np.ones((8, 2), np.float32))),
        node("MatMul", ["y", "c"], "z"),
    ]
    constants = {
        "q": np.ones((4, 12), np.int8),
        "scale": np.array(1, np.float32),
        "shape": np.array([6, 8]),
    }
    found = read_gemms(save(path, nodes, {"x": (3, 6)}, constants))
    assert sizes(found) == {"q": (3, 8, 6, 1, "weights"), "c": (3, 2, 8, 1, "weights")}
    assert host(found) == {}


def test_attention_is_a_product_of_activations(path) -> None:
    nodes = [
        node("Transpose", ["k"], "t", perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "t"], "s"),
        node("Softmax", ["s"], "p"),
        node("MatMul", ["p", "v"], "y"),
    ]
    heads = (2, 3, 5, 4)
    found = read_gemms(save(path, nodes, {"q": heads, "k": heads, "v": heads}))
    assert sizes(found) == {
        "the_s": (5, 5, 4, 6, "activations"),
        "the_y": (5, 4, 5, 6, "activations"),
    }
    assert host(found) == {"Transpose": 120, "Softmax": 150}


def test_shared_weights_and_equal_names(path) -> None:
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("MatMul", ["a", "w"], "b"),
        node("MatMul", ["a", "b"], "c"),
        node("MatMul", ["c", "a"], "d"),
    ]
    nodes[3].name = nodes[2].name
    found = read_gemms(save(path, nodes, {"x": (4, 4)}, {"w": (4, 4)}))
    assert list(sizes(found)) == ["w", "w@the_b", "the_c", "the_c#2"]


def test_dynamic_dimensions(path) -> None:
    save(path, [node("MatMul", ["x", "w"], "y")], {"x": ("batch", None, 6)}, {"w": (6, 2)})
    found = read_gemms(path, sizes={"batch": 3, "x[1]": 5})
    assert sizes(found) == {"w": (15, 2, 6, 1, "weights")}
    assert "dynamic dimensions: batch=3, x[1]=5" in found.assumptions
    for given_sizes, message in (
        ({}, "dimension 0 of input 'x' is dynamic: give a size for 'batch'"),
        ({"batch": 1}, r"dimension 1 of input 'x' is dynamic: give a size for 'x\[1\]'"),
        ({"batch": 1, "x[1]": 0}, r"size of dimension 'x\[1\]' is 0, it must be at least 1"),
        ({"batch": 1, "x[1]": 1, "batsh": 1}, "unknown dynamic dimension of .*did you mean 'batch"),
    ):
        with pytest.raises(InputError, match=message):
            read_gemms(path, sizes=given_sizes)


def test_shapes_that_are_computed(path) -> None:
    """Reshape to a shape that comes from a Shape node, as exporters write it."""
    nodes = [
        node("Shape", ["x"], "s"),
        node("Gather", ["s", "zero"], "n"),
        node("Unsqueeze", ["n", "axes"], "n1"),
        node("Concat", ["n1", "rest"], "target", axis=0),
        node("Reshape", ["x", "target"], "r"),
        node("MatMul", ["r", "w"], "y"),
    ]
    constants = {
        "zero": np.array(0),
        "axes": np.array([0]),
        "rest": np.array([-1]),
        "w": (12, 2),
    }
    save(path, nodes, {"x": ("batch", 3, 4)}, constants)
    found = read_gemms(path, sizes={"batch": 5})
    assert sizes(found) == {"w": (5, 2, 12, 1, "weights")}
    assert host(found) == {"Shape": 3, "Gather": 1, "Unsqueeze": 1, "Concat": 2, "Reshape": 60}


def test_stale_names_of_dimensions_do_not_matter(path) -> None:
    save(path, [node("Relu", ["x"], "h"), node("MatMul", ["h", "w"], "y")], {"x": ("n", 6)},
         {"w": (6, 2)})  # fmt: skip
    model = onnx.load(path)
    model.graph.value_info.append(helper.make_tensor_value_info("h", FLOAT, ["unk__1", 6]))
    onnx.save(model, path)
    assert sizes(read_gemms(path, sizes={"n": 4})) == {"w": (4, 2, 6, 1, "weights")}


def test_qonnx_quantizers_keep_shapes(path) -> None:
    quant = dict(domain="qonnx.custom_op.general", signed=1, narrow=0, rounding_mode="ROUND")
    parameters = ["one", "zero", "bits"]
    nodes = [
        helper.make_node("Quant", ["x", *parameters], ["xq"], **quant),
        helper.make_node("Quant", ["w", *parameters], ["wq"], **quant),
        node("MatMul", ["xq", "wq"], "y"),
    ]
    constants = {
        "w": (6, 2),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32),
        "bits": np.array(4, np.float32),
    }
    save(path, nodes, {"x": (3, 6)}, constants, domains=["qonnx.custom_op.general"])
    found = read_gemms(path)
    assert sizes(found) == {"w": (3, 2, 6, 1, "weights")}
    assert host(found) == {"Quant": 18}


def test_functions_are_put_in_place(path) -> None:
    function = helper.make_function(
        "mine",
        "Twice",
        ["a", "b"],
        ["c"],
        [
            helper.make_node("MatMul", ["a", "b"], ["t"]),
            helper.make_node("MatMul", ["t", "b"], ["c"]),
        ],
        [helper.make_opsetid("", 17)],
    )
    nodes = [helper.make_node("Twice", ["x", "w"], ["y"], domain="mine")]
    save(path, nodes, {"x": (3, 6)}, {"w": (6, 6)}, domains=["mine"], functions=[function])
    found = read_gemms(path)
    assert [(g.m, g.n, g.k, g.operand) for g in found.prefill] == [(3, 6, 6, "weights")] * 2


@pytest.mark.parametrize("size", [2, 64])
def test_external_weights_are_not_read(path, size) -> None:
    save(path, [node("MatMul", ["x", "w"], "y")], {"x": (2, size)}, {"w": (size, size)})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="w.bin", size_threshold=0)
    (path.parent / "w.bin").unlink()
    assert sizes(read_gemms(path)) == {"w": (2, size, size, 1, "weights")}


def test_random_numbers_are_no_weights(path) -> None:
    nodes = [node("RandomNormal", [], "r", shape=[6, 2]), node("MatMul", ["x", "r"], "y")]
    found = read_gemms(save(path, nodes, {"x": (3, 6)}))
    assert sizes(found) == {"the_y": (3, 2, 6, 1, "activations")}
    assert host(found) == {"RandomNormal": 12}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Relu", ["x"], "y")], "holds no MatMul, Gemm or Conv: there is no GEMM to run"),
        (
            [node("Einsum", ["x", "w"], "y", equation="ij,jk->ik")],
            "node 'the_y' (Einsum): Einsum nodes cannot be read as GEMMs or host work",
        ),
        (
            [
                helper.make_node("Foo", ["x"], ["a"], domain="com.me"),
                node("MatMul", ["a", "w"], "y"),
            ],
            "node 'a' (com.me.Foo): com.me.Foo nodes cannot be read as GEMMs or host work",
        ),
        (
            [node("Constant", [], "y", value_float=1.0), node("MatMul", ["x", ""], "z")],
            "net.onnx: ",
        ),
        ([node("MatMul", ["x", "bad"], "y")], "shapes cannot be inferred: "),
        (
            [
                node("NonZero", ["x"], "i"),
                node("Cast", ["i"], "f", to=FLOAT),
                node("MatMul", ["w", "f"], "y"),
            ],
            "node 'the_y' (MatMul): the shape of 'f' is [2, ?] and cannot be inferred",
        ),
    ],
)
def test_refusals(path, nodes, message) -> None:
    save(path, nodes, {"x": (4, 6)}, {"w": (6, 2), "bad": (5, 2)}, domains=["com.me"])
    with pytest.raises(InputError) as error:
        read_gemms(path)
    assert message in str(error.value)
    assert "net.onnx" in str(error.value)
    assert "\n" not in str(error.value)


def test_host_work_of_unknown_size_is_named(path) -> None:
    nodes = [node("NonZero", ["x"], "i"), node("MatMul", ["x", "w"], "y")]
    found = read_gemms(save(path, nodes, {"x": (4, 6)}, {"w": (6, 2)}))
    assert host(found) == {}
    assert "host work of unknown size is not counted: results of NonZero (1)" in found.assumptions


def test_files_that_are_no_graph(path) -> None:
    path.write_bytes(b"no protobuf")
    with pytest.raises(InputError, match=r"net\.onnx is not a valid ONNX file"):
        read_gemms(path)


def test_names_that_are_no_text(path) -> None:
    save(path, [node("MatMul", ["x", "w"], "y")], {"x": (2, 6)}, {"w": (6, 2)})
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MatMu\xff"))
    with pytest.raises(InputError, match=r"not a valid ONNX file: it holds the name b'MatMu"):
        read_gemms(path)


def test_inputs_without_a_shape(path) -> None:
    save(path, [node("MatMul", ["x", "w"], "y")], {"x": (2, 6)}, {"w": (6, 2)})
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(InputError, match="input 'x' is no tensor with a shape"):
        read_gemms(path)


@pytest.mark.parametrize(
    # parameters as published with torchvision, less biases and batch norms; MACs of He et al.
    # (ResNet-50, strides in the 3x3 layers, 4.09 G) and of Simonyan and Zisserman (VGG-19, 19.6 G)
    ("name", "weights", "giga_macs"),
    [
        ("resnet50", 25_557_032 - 53_120 - 1000, 4.09),
        ("vgg19", 143_667_240 - 14_696, 19.63),
    ],
)
def test_networks_that_come_with_onnx(name, weights, giga_macs) -> None:
    path = Path(onnx.__file__).parent / f"backend/test/data/light/light_{name}.onnx"
    if not path.exists():
        pytest.skip(f"this onnx package has no {path.name}")
    found = read_gemms(path)
    assert weight_elements(found.prefill) == weights
    assert round(found.macs / 1e9, 2) == giga_macs
