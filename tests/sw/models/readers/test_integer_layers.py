"""Final integers from ONNX files: they must reproduce what the graph computes.

Judges: onnx.reference, sums written out in loops, and what brevitas itself multiplies by.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.accumulators import single_stage_bounds
from sw.models.readers.integer_layers import integer_layers, open_integer_layers

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

HERE = Path(__file__).parent
BREVITAS = HERE / "brevitas"
DECLARED = HERE.parents[4] / "shared" / "data" / "accumulator_bounds_brevitas.json"
QONNX = "qonnx.custom_op.general"
TYPES = {"i1": TensorProto.INT8, "u1": TensorProto.UINT8, "f4": TensorProto.FLOAT}


def node(kind, *inputs, output="y", domain="", name="", **attributes):
    return helper.make_node(kind, list(inputs), [output], domain=domain, name=name, **attributes)


def written(path, nodes, constants, *, inputs=None, outputs=("y",), opset=21):
    """A model; constants are arrays or TensorProtos, inputs are types by name."""
    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    given_values = [
        helper.make_tensor_value_info(name, kind, None)
        for name, kind in (inputs or {"x": TensorProto.FLOAT}).items()
    ]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "g", given_values, results, initializer=tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(QONNX, 2)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return path


def only(path):
    """The one layer of a file, its notes, and what was left out."""
    source = open_integer_layers(path)
    (found,) = source
    return found.layer, found.notes


def run(path, outputs=None, **values):
    """What onnx.reference computes."""
    # its sigmoid overflows on the way to the right value
    with np.errstate(over="ignore", invalid="ignore"):
        return ReferenceEvaluator(onnx.load(path)).run(outputs, values)


def sums(layer, codes):
    """Exact sums of rows of codes (M, K): (M, N)."""
    total = (codes.astype(object) - layer.input_zero_point) @ layer.weights.astype(object).T
    return total if layer.bias is None else total + layer.bias.astype(object)


def windows(codes, kernel, *, pad, stride, group, zero):
    """Windows of images (C, H, W) for each group: (group, pixels, C / group * ky * kx)."""
    padded = np.pad(codes, ((0, 0), (pad, pad), (pad, pad)), constant_values=zero)
    size = [(n - k) // stride + 1 for n, k in zip(padded.shape[1:], kernel, strict=True)]
    part = len(codes) // group
    return np.array(
        [
            [
                padded[
                    g * part : (g + 1) * part,
                    y * stride : y * stride + kernel[0],
                    x * stride : x * stride + kernel[1],
                ].ravel()
                for y, x in itertools.product(range(size[0]), range(size[1]))
            ]
            for g in range(group)
        ]
    ), size


# --- QuantizeLinear and DequantizeLinear --------------------------------------------------------


@st.composite
def quantized_products(draw):
    """Types, zero points and scales of a product in QDQ form."""
    return {
        "seed": draw(st.integers(0, 10**6)),
        "weight": draw(st.sampled_from(["i1", "u1", "INT4", "UINT4"])),
        "zeros": draw(st.booleans()),
        "channels": draw(st.booleans()),
        "input": draw(st.sampled_from(["i1", "u1"])),
        "bias": draw(st.booleans()),
        "kind": draw(st.sampled_from(["Gemm", "GemmT", "MatMul", "stored float"])),
    }


def drawn_weights(rng, kind, shape):
    """Codes in a type, and the tensor that stores them."""
    low, high = {"i1": (-128, 127), "u1": (0, 255), "INT4": (-8, 7), "UINT4": (0, 15)}[kind]
    codes = rng.integers(low, high + 1, shape)
    if kind in ("i1", "u1"):
        return codes, numpy_helper.from_array(codes.astype(kind), "w")
    number = getattr(TensorProto, kind)
    return codes, helper.make_tensor("w", number, shape, codes.ravel().tolist())


@given(quantized_products())
@settings(max_examples=80, deadline=None)
def test_products_in_qdq_form(tmp_path_factory, case):
    """Integers times both scales are what the graph computes on real numbers."""
    rng = np.random.default_rng(case["seed"])
    n, k = rng.integers(1, 6, 2)
    turned = case["kind"] == "GemmT"
    shape = (n, k) if turned else (k, n)
    kind = "i1" if case["kind"] == "stored float" else case["weight"]
    codes, tensor = drawn_weights(rng, kind, shape)
    axis = 0 if turned else 1
    count = n if case["channels"] else 1
    # powers of two, so that float32 products and sums are exact
    scale = (2.0 ** rng.integers(-4, 2, count)).astype(np.float32)
    zero = np.zeros(count, dtype=np.int64)
    if case["zeros"]:
        low, high = (codes.min(), codes.max())
        zero = rng.integers(low, high + 1, count)
    flat = (lambda x: x) if case["channels"] else (lambda x: x.reshape(()))
    zeros = (
        numpy_helper.from_array(flat(zero.astype(kind)), "wz")
        if kind in ("i1", "u1")
        else helper.make_tensor("wz", getattr(TensorProto, kind), flat(zero).shape, zero.tolist())
    )
    x_zero = rng.integers(*np.iinfo(case["input"]).min + np.array([0, 200])).astype(case["input"])
    constants = {"w": tensor, "ws": flat(scale), "xs": np.float32(0.25), "xz": x_zero, "wz": zeros}
    nodes = [
        node("QuantizeLinear", "x", "xs", "xz", output="xq"),
        node("DequantizeLinear", "xq", "xs", "xz", output="xd"),
    ]
    start = "w"
    if case["kind"] == "stored float":
        # the graph rounds and clips: halves, and values beyond the type
        real = (codes + rng.choice([-0.5, -0.25, 0, 0.25, 0.5], shape)) * scale
        real.flat[0] = 1e6
        constants["w"] = real.astype(np.float32)
        nodes.append(node("QuantizeLinear", "w", "ws", "wz", output="wq", axis=axis))
        start = "wq"
    nodes.append(node("DequantizeLinear", start, "ws", "wz", output="wd", axis=axis))
    bias = rng.integers(-1000, 1000, n).astype(np.int32)
    product = {"GemmT": "Gemm", "MatMul": "MatMul"}.get(case["kind"], "Gemm")
    inputs = ["xd", "wd"]
    if case["bias"]:
        constants |= {"b": bias, "bs": (scale * np.float32(0.25)).astype(np.float32)}
        if not case["channels"]:
            constants["bs"] = constants["bs"].reshape(())
        nodes.append(node("DequantizeLinear", "b", "bs", output="bd", axis=0))
        if product == "Gemm":
            inputs.append("bd")
    if product == "MatMul" and case["bias"]:
        nodes += [node("MatMul", *inputs, output="m"), node("Add", "m", "bd")]
    else:
        extra = {"transB": int(turned)} if product == "Gemm" else {}
        nodes.append(node(product, *inputs, **extra))
    path = written(tmp_path_factory.mktemp("qdq") / "m.onnx", nodes, constants)
    layer, notes = only(path)
    x = (rng.integers(-40, 40, (7, k)) / 8).astype(np.float32)
    xq, y = run(path, ["xq", "y"], x=x)
    assert np.array_equal((sums(layer, xq) * (scale * 0.25)).astype(np.float64), y)
    assert layer.weights.shape == (n, k) and layer.input_zero_point == x_zero
    assert layer.input_range == (np.iinfo(case["input"]).min, np.iinfo(case["input"]).max)
    assert (layer.bias is not None) == case["bias"] and not layer.padded
    folded = "the zero point of the weights is folded: rows are codes less their zero point"
    assert list(notes) == ([folded] if zero.any() else [])


@given(st.integers(0, 10**6), st.sampled_from([1, 2]), st.booleans(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_convolutions_of_every_kind(tmp_path_factory, seed, group, padded, zeros):
    """Conv in QDQ form, ConvInteger and QLinearConv have the same sums: those of loops."""
    rng = np.random.default_rng(seed)
    c, n, kernel = 2 * rng.integers(1, 3), 2 * rng.integers(1, 3), tuple(rng.integers(1, 4, 2))
    stride, pad = int(rng.integers(1, 3)), int(padded)
    w = rng.integers(-128, 128, (n, c // group, *kernel)).astype(np.int8)
    wz = (rng.integers(-9, 9, n) * zeros).astype(np.int8)
    xz = np.uint8(rng.integers(0, 200) * zeros)
    scale = (2.0 ** rng.integers(-3, 1, n)).astype(np.float32)
    bias = rng.integers(-99, 99, n).astype(np.int32)
    extra = {"group": group, "strides": [stride] * 2, "pads": [pad] * 4}
    constants = {
        "w": w,
        "wz": wz,
        "xz": xz,
        "ws": scale,
        "xs": np.float32(0.5),
        "b": bias,
        "bs": scale / 2,
        "ys": np.float32(4),
        "yz": np.uint8(128),
        "z0": np.int8(0),
    }
    names = ("x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b")
    nodes = [
        node("DequantizeLinear", "x", "xs", "xz", output="xd"),
        node("DequantizeLinear", "w", "ws", "wz", output="wd", axis=0),
        node("DequantizeLinear", "b", "bs", output="bd", axis=0),
        node("Conv", "xd", "wd", "bd", output="real", name="qdq", **extra),
        node("QLinearConv", *names, output="linear", **extra),
    ]
    if not zeros:
        nodes.append(node("ConvInteger", "x", "w", "xz", "z0", output="whole", **extra))
    path = written(
        tmp_path_factory.mktemp("conv") / "m.onnx",
        nodes,
        constants,
        inputs={"x": TensorProto.UINT8},
        outputs=("real", "linear"),
    )
    x = rng.integers(0, 256, (1, c, 4, 5)).astype(np.uint8)
    patches, size = windows(x[0], kernel, pad=pad, stride=stride, group=group, zero=xz)
    layers = list(integer_layers(path))
    assert len(layers) == len(nodes) - 3
    per = n // group
    for layer in layers:
        assert layer.input_range == (0, 255) and layer.input_zero_point == xz
        assert layer.padded == padded and layer.weights.shape == (n, c // group * np.prod(kernel))
    total = np.array([sums(layers[0], patches[i // per])[:, i] for i in range(n)])
    names = ["real", "linear"] + ["whole"] * (not zeros)
    real, linear, *whole = (y[0].reshape(n, -1) for y in run(path, names, x=x))
    assert size[0] * size[1] == real.shape[1]
    assert np.array_equal(total.astype(np.float64) * (scale / 2)[:, None], real)
    wanted = np.clip(np.rint(total.astype(np.float64) * (scale / 2)[:, None] / 4) + 128, 0, 255)
    assert np.array_equal(wanted, linear)
    assert np.array_equal(layers[1].weights, layers[0].weights)
    assert np.array_equal(layers[1].bias, bias) and np.array_equal(layers[0].bias, bias)
    if whole:
        assert layers[2].bias is None
        assert np.array_equal(total - bias[:, None], whole[0])


@pytest.mark.parametrize("kind", ["MatMulInteger", "QLinearMatMul"])
@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("stacked", [False, True])
def test_integer_products(tmp_path, kind, channels, stacked):
    rng = np.random.default_rng(3)
    shape = (2, 5, 3) if stacked else (5, 3)
    w = rng.integers(0, 256, shape).astype(np.uint8)
    wz = np.uint8([7, 100, 255] if channels else 9)
    if channels and stacked:
        wz = np.broadcast_to(wz, (2, 1, 3)).copy()
    constants = {
        "w": w,
        "wz": wz,
        "xz": np.int8(-3),
        "xs": np.float32(0.5),
        "ws": np.float32(0.25),
        "ys": np.float32(64),
        "yz": np.int8(1),
    }
    names = "x w xz wz" if kind == "MatMulInteger" else "x xs xz w ws wz ys yz"
    path = written(
        tmp_path / "m.onnx",
        [node(kind, *names.split())],
        constants,
        inputs={"x": TensorProto.INT8},
    )
    layer, _ = only(path)
    x = rng.integers(-128, 128, (4, 5)).astype(np.int8)
    total = np.array(np.split(sums(layer, x), 2 if stacked else 1, axis=1)).astype(np.float64)
    if kind == "QLinearMatMul":
        total = np.clip(np.rint(total * 0.125 / 64) + 1, -128, 127)
    (y,) = run(path, x=np.stack([x, x]) if stacked else x)
    assert np.array_equal(total if stacked else total[0], y)
    assert layer.input_range == (-128, 127) and layer.input_zero_point == -3


@pytest.mark.parametrize("turned", [0, 1])
def test_gemm_of_onnxruntime(tmp_path, turned):
    """QGemm, as onnxruntime's quantizer writes a Gemm; zero points lie along the outputs."""
    rng = np.random.default_rng(8)
    w, wz = rng.integers(0, 256, (3, 3)).astype(np.uint8), np.uint8([1, 128, 255])
    constants = {
        "w": w,
        "wz": wz,
        "ws": np.float32([1, 2, 3]),
        "xs": np.float32(1),
        "xz": np.uint8(7),
        "b": np.int32([5, 6, 7]),
    }
    names = ["x", "xs", "xz", "w", "ws", "wz", "b"]
    nodes = [node("QGemm", *names, domain="com.microsoft", transB=turned)]
    kinds = {"x": TensorProto.UINT8}
    layer, (note,) = only(written(tmp_path / "m.onnx", nodes, constants, inputs=kinds))
    rows = [[int(w[n, k] if turned else w[k, n]) - int(wz[n]) for k in range(3)] for n in range(3)]
    assert layer.weights.tolist() == rows and layer.bias.tolist() == [5, 6, 7]
    assert layer.input_range == (0, 255) and layer.input_zero_point == 7 and "folded" in note
    nodes = [node("MatMulNBits", "x", "w", domain="com.microsoft", name="packed")]
    source = open_integer_layers(written(tmp_path / "n.onnx", nodes, {"w": w}))
    with pytest.raises(InputError, match="'packed': MatMulNBits nodes are not read"):
        list(source)


def test_weights_as_the_first_operand(tmp_path):
    rng = np.random.default_rng(4)
    w, wz = rng.integers(-9, 9, (3, 5)).astype(np.int8), np.int8([1, -2, 3])
    scale = np.float32([1, 2, 4])
    constants = {"w": w, "wz": wz, "xz": np.uint8(5), "s": scale, "s1": np.float32(1)}
    nodes = [
        node("DequantizeLinear", "w", "s", "wz", output="wd", axis=0),
        node("DequantizeLinear", "x", "s1", "xz", output="xd"),
        node("MatMul", "wd", "xd"),
        node("MatMulInteger", "w", "x", "wz", "xz", output="b", name="b"),
    ]
    kinds = {"x": TensorProto.UINT8}
    first, second = integer_layers(written(tmp_path / "m.onnx", nodes, constants, inputs=kinds))
    # onnx.reference has no zero points by row
    path = written(tmp_path / "n.onnx", nodes[:3], constants, inputs=kinds)
    x = rng.integers(0, 256, (5, 2)).astype(np.uint8)
    (y,) = run(path, x=x)
    assert (first.name, second.name) == ("w", "w@b")
    for layer in (first, second):
        assert np.array_equal(layer.weights, w - wz[:, None]) and layer.input_range == (0, 255)
        assert np.array_equal((sums(layer, x.T) * scale).T.astype(np.float64), y)


# --- transposed convolutions --------------------------------------------------------------------


def linear_map(path, shape):
    """Which products of a kernel each output sums, by impulses: (outputs, inputs) of weights."""
    count = int(np.prod(shape))
    x = np.eye(count, dtype=np.float32).reshape(count, *shape)
    return run(path, x=x)[0].reshape(count, -1).T


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution_by_impulses(tmp_path, size, stride, dilation, group):
    """The rows are exactly the largest sets of weights that meet in an output."""
    rng = np.random.default_rng([size, stride, dilation, group])
    kernel = (2, 2 // group, size)
    w = rng.permutation(np.arange(1, np.prod(kernel) + 1)).reshape(kernel).astype(np.int8)
    # the first axis of two has the size, the second one 2 positions and another stride
    w = np.stack([w, -w], axis=-1)
    extra = {"strides": [stride, 1], "dilations": [dilation, 1], "group": group}
    nodes = [
        node("DequantizeLinear", "w", "s", output="wd"),
        node("ConvTranspose", "x", "wd", **extra),
    ]
    path = written(tmp_path / "m.onnx", nodes, {"w": w, "s": np.float32(1)})
    layer, _ = only(path)
    outputs = linear_map(path, (2, 9, 3)).astype(int)
    found = {tuple(sorted(row[row != 0].tolist())) for row in outputs}
    rows = [tuple(sorted(row[row != 0].tolist())) for row in layer.weights.astype(int)]
    assert layer.padded
    # every row is met, and every output sums a part of a row
    assert set(rows) <= found
    assert all(any(set(part) <= set(row) for row in rows) for part in found)
    assert layer.weights.shape[1] == max(map(len, rows))
    channels = 2
    assert len(rows) % channels == 0
    per = len(rows) // channels
    for channel in range(channels):
        own = w[:, channel] if group == 1 else w[channel]
        assert {n for row in rows[channel * per :][:per] for n in row} == set(own.ravel().tolist())


def test_transposed_convolution_with_scales_and_a_bias_per_channel(tmp_path):
    rng = np.random.default_rng(5)
    w = rng.integers(-8, 8, (3, 2, 3, 3)).astype(np.int8)
    scale, b = np.float32([0.5, 0.25]), np.int32([7, -9])
    nodes = [
        node("DequantizeLinear", "w", "s", output="wd", axis=1),
        node("QuantizeLinear", "x", "one", "z", output="q"),
        node("DequantizeLinear", "q", "one", "z", output="xd"),
        node("DequantizeLinear", "b", "s", output="bd", axis=0),
        node("ConvTranspose", "xd", "wd", "bd", strides=[2, 2]),
    ]
    constants = {"w": w, "s": scale, "one": np.float32(1), "b": b, "z": np.uint8(0)}
    path = written(tmp_path / "m.onnx", nodes, constants)
    layer, notes = only(path)
    assert notes == () and layer.bias.tolist() == [7] * 4 + [-9] * 4
    assert layer.weights.shape == (8, 12)
    wrong = [*nodes]
    wrong[0] = node("DequantizeLinear", "w", "s3", output="wd", axis=0)
    path = written(tmp_path / "n.onnx", wrong, constants | {"s3": np.float32([1, 2, 3])})
    with pytest.raises(InputError, match="the scale of its weights changes within the products"):
        list(integer_layers(path))


# --- QONNX ---------------------------------------------------------------------------------------


def quant(values, scale, zero, bits, signed, narrow):
    """Integers of QONNX's Quant with rounding mode ROUND, written down again."""
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1)
    if not signed:
        low, high = 0, 2**bits - 1 - narrow
    scaled = values.astype(np.float32) / np.float32(scale) + np.float32(zero)
    return np.round(np.clip(scaled, low, high)).astype(np.int64)


@given(st.integers(0, 10**6), st.integers(2, 8), st.booleans(), st.booleans(), st.integers(-2, 2))
@settings(max_examples=40, deadline=None)
def test_qonnx_products(tmp_path_factory, seed, bits, signed, narrow, zero):
    rng = np.random.default_rng(seed)
    n, k = rng.integers(1, 6, 2)
    w = rng.standard_normal((k, n)).astype(np.float32)
    scale = (2.0 ** rng.integers(-3, 1, (1, n))).astype(np.float32)
    bias = (rng.integers(-99, 99, n) * scale[0] / 4).astype(np.float32)
    constants = {
        "w": w,
        "ws": scale,
        "zero": np.float32(0),
        "xs": np.float32(0.25),
        "xz": np.float32(zero),
        "wb": np.float32(5),
        "xb": np.float32(bits),
        "b": bias,
        "bs": scale[0] / 4,
        "bb": np.float32(32),
    }
    kinds = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
    nodes = [
        node("Quant", "x", "xs", "xz", "xb", output="xq", domain=QONNX, **kinds),
        node("Quant", "w", "ws", "zero", "wb", output="wq", domain=QONNX, signed=1, narrow=1),
        node("Quant", "b", "bs", "zero", "bb", output="bq", domain=QONNX, signed=1, narrow=0),
        node("MatMul", "xq", "wq", output="m"),
        node("Add", "m", "bq"),
    ]
    path = written(tmp_path_factory.mktemp("q") / "m.onnx", nodes, constants)
    layer, notes = only(path)
    assert notes == ()
    weights = quant(w, scale, 0, 5, True, True)
    assert np.array_equal(layer.weights, weights.T)
    assert np.array_equal(layer.bias, np.round(bias / (scale[0] / 4)))
    # far outside both ends: every code of the type is met, and no other
    x = np.linspace(-100, 100, 4001)
    codes = quant(x, 0.25, zero, bits, signed, narrow)
    assert layer.input_range == (codes.min(), codes.max()) and layer.input_zero_point == zero
    row = quant(rng.standard_normal((3, k)), 0.25, zero, bits, signed, narrow)
    real = ((row - zero) * 0.25) @ (weights * scale.astype(np.float64)) + bias
    assert np.allclose((sums(layer, row) * (scale / 4)).astype(np.float64), real)


@pytest.mark.parametrize("declared", [2, 3, 8, 16, 24])
def test_declared_widths_of_weights_do_not_matter(tmp_path, declared):
    """Weights of -1, 0 and 1 in a node of 24 bits are weights of -1, 0 and 1."""
    w = np.random.default_rng(6).integers(-1, 2, (9, 4)).astype(np.float32)
    constants = {"w": w, "s": np.float32(1), "z": np.float32(0), "b": np.float32(declared)}
    nodes = [
        node("Quant", "w", "s", "z", "b", output="q", domain=QONNX, signed=1, narrow=0),
        node("MatMul", "x", "q"),
    ]
    layer, _ = only(written(tmp_path / "m.onnx", nodes, constants))
    assert np.array_equal(layer.weights, w.T)


def test_a_clip_counts_and_a_type_does_not(tmp_path):
    """As brevitas writes 3 bits: INT8 codes and a Clip; the INT8 values beyond it are not used."""
    w = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    constants = {
        "w": w,
        "s": np.float32(0.5),
        "z": np.int8(0),
        "low": np.int8(-3),
        "high": np.int8(3),
    }
    nodes = [
        node("Clip", "w", "low", "high", output="c"),
        node("DequantizeLinear", "c", "s", "z", output="d"),
        node("QuantizeLinear", "x", "s", "z", output="xq"),
        node("Clip", "xq", "low", "high", output="xc"),
        node("DequantizeLinear", "xc", "s", "z", output="xd"),
        node("Gemm", "xd", "d"),
    ]
    layer, _ = only(written(tmp_path / "m.onnx", nodes, constants))
    assert np.array_equal(layer.weights, np.clip(w, -3, 3).T) and layer.input_range == (-3, 3)


def test_bipolar_weights_and_inputs(tmp_path):
    constants = {"w": np.float32([[-2, 0], [0.5, -0.1]]), "s": np.float32(0.5)}
    nodes = [
        node("BipolarQuant", "x", "s", output="xq", domain=QONNX),
        node("BipolarQuant", "w", "s", output="wq", domain=QONNX),
        node("MatMul", "xq", "wq"),
    ]
    layer, _ = only(written(tmp_path / "m.onnx", nodes, constants))
    assert layer.weights.tolist() == [[-1, 1], [1, -1]] and layer.input_range == (-1, 1)


# --- ranges of activations ----------------------------------------------------------------------

#: nodes between x and the quantizer
BEFORE = {
    "nothing": [],
    "relu": [node("Relu", "x", output="t")],
    "clip": [node("Clip", "x", "least", "most", output="t")],
    "relu, clip": [node("Relu", "x", output="u"), node("Clip", "u", "", "most", output="t")],
    "sigmoid": [node("Sigmoid", "x", output="t")],
    "relu, reshape": [node("Relu", "x", output="u"), node("Reshape", "u", "shape", output="t")],
    "relu of negatives": [
        node("Clip", "x", "", "negative", output="u"),
        node("Relu", "u", output="t"),
    ],
}
#: nodes between the dequantizer and the layer
AFTER = {
    "nothing": [],
    "relu": [node("Relu", "d", output="e")],
    "transpose": [node("Transpose", "d", output="e", perm=[0, 1])],
    "identity, relu": [node("Identity", "d", output="f"), node("Relu", "f", output="e")],
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize("zero", [np.uint8(0), np.uint8(77), np.int8(-128), np.int8(5)])
def test_ranges_are_those_that_are_met(tmp_path, before, after, zero):
    """Over inputs far outside both ends, both ends are met and nothing beyond."""
    constants = {
        "w": np.ones((1, 1), dtype=np.int8),
        "one": np.float32(1),
        "s": np.float32(0.0625),
        "z": zero,
        "least": np.float32(-0.7),
        "most": np.float32(1.3),
        "negative": np.float32(-2),
        "shape": np.int64([-1, 1]),
    }
    nodes = [
        *BEFORE[before],
        node("QuantizeLinear", "t" if BEFORE[before] else "x", "s", "z", output="q"),
        node("DequantizeLinear", "q", "s", "z", output="d"),
        *AFTER[after],
        node("DequantizeLinear", "w", "one", output="wd"),
        node("MatMul", "e" if AFTER[after] else "d", "wd"),
    ]
    path = written(tmp_path / "m.onnx", nodes, constants)
    layer, notes = only(path)
    x = np.linspace(-100, 100, 9999, dtype=np.float32)[:, None]
    (y,) = run(path, ["y"], x=x)
    codes = y / 0.0625 + float(zero)
    assert notes == () and layer.input_range == (codes.min(), codes.max())
    assert layer.input_zero_point == zero


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("scale", [0.0625, 0.5])
def test_ranges_behind_qonnx_nodes(tmp_path, before, signed, zero, scale):
    constants = {
        "w": np.ones((1, 1), dtype=np.float32),
        "one": np.float32(1),
        "zero": np.float32(0),
        "s": np.float32(scale),
        "z": np.float32(zero),
        "bits": np.float32(5),
        "least": np.float32(-0.7),
        "most": np.float32(1.3),
        "negative": np.float32(-2),
        "shape": np.int64([-1, 1]),
    }
    last = "t" if BEFORE[before] else "x"
    nodes = [
        *BEFORE[before],
        node("Quant", last, "s", "z", "bits", output="q", domain=QONNX, signed=signed, narrow=0),
        node("Relu", "q", output="r"),
        node("Quant", "w", "one", "zero", "bits", output="wq", domain=QONNX),
        node("MatMul", "q", "wq", output="y"),
        node("MatMul", "r", "wq", output="y2", name="rectified"),
    ]
    path = written(tmp_path / "m.onnx", nodes, constants)
    layer, rectified = integer_layers(path)
    x = np.linspace(-100, 100, 9999, dtype=np.float32)[:, None]
    if BEFORE[before]:
        (x,) = run(written(tmp_path / "n.onnx", BEFORE[before], constants, outputs="t"), x=x)
    codes = quant(x, scale, zero, 5, signed, 0)
    assert layer.input_range == (codes.min(), codes.max())
    codes = np.maximum(codes, zero)
    assert rectified.input_range == (codes.min(), codes.max())


def test_ranges_of_joined_padded_and_dynamic_activations(tmp_path):
    constants = {
        "w": np.ones((1, 1), dtype=np.int8),
        "k": np.ones((1, 1, 1, 1), dtype=np.int8),
        "s": np.float32(0.5),
        "t": np.float32(0.25),
        "z": np.uint8(3),
        "four": np.uint8(4),
        "small": np.uint8(9),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "one": np.float32(1),
    }
    nodes = [
        node("QuantizeLinear", "x", "s", "z", output="q"),
        node("Clip", "q", "four", "small", output="c"),
        node("DequantizeLinear", "q", "s", "z", output="a"),
        node("DequantizeLinear", "c", "s", "z", output="b"),
        node("DequantizeLinear", "c", "t", "z", output="other"),
        node("DequantizeLinear", "w", "one", output="wd"),
        node("DequantizeLinear", "k", "one", output="kd"),
        node("Concat", "b", "a", output="ab", axis=0),
        node("MatMul", "ab", "wd", output="y0", name="joined"),
        node("Concat", "b", "other", output="mixed", axis=0),
        node("MatMul", "mixed", "wd", output="y1", name="mixed"),
        node("Pad", "b", "pads", output="padded"),
        node("Conv", "padded", "kd", output="y2", name="padded"),
        node("Pad", "b", "pads", "one", output="ones"),
        node("Conv", "ones", "kd", output="y3", name="ones"),
        node("Pad", "b", "pads", output="mirror", mode="reflect"),
        node("Conv", "mirror", "kd", output="y4", name="mirror"),
        helper.make_node("DynamicQuantizeLinear", ["x"], ["dq", "ds", "dz"]),
        node("MatMulInteger", "dq", "w", "dz", output="y5", name="dynamic"),
        node("MatMul", "x", "wd", output="y6", name="plain"),
        node("MatMul", "x", "a", output="y7", name="attention"),
        node("MatMul", "b", "one2", output="y8", name="float"),
        node("LSTM", "x", "x", "x", output="y9", name="recurrent"),
    ]
    constants["one2"] = np.float32([[1]])
    path = written(tmp_path / "m.onnx", nodes, constants, outputs=[f"y{i}" for i in range(9)])
    source = open_integer_layers(path)
    found = list(source)
    named = {f.layer.name: f for f in found}
    assert list(named) == ["w", "k", "k@ones", "k@mirror", "w@dynamic", "w@plain"]
    assert named["w"].layer.input_range == (0, 255)
    padded, mirror = named["k"].layer, named["k@mirror"].layer
    assert padded.input_range == mirror.input_range == (4, 9)
    assert padded.padded and not mirror.padded
    assert named["k@ones"].layer.input_range is None
    dynamic = named["w@dynamic"]
    assert dynamic.layer.input_range == (0, 255)
    assert dynamic.notes == (
        "the zero point of its activations is computed at run time: sums are of codes",
    )
    assert named["w@plain"].layer.input_range is None
    assert named["w@plain"].notes[0].startswith("its activations are not quantized in the file")
    assert source.left_out == {
        "mixed": "its activations have more than one scale or zero point",
        "attention": "no operand of it is a constant behind nodes that are followed",
        "float": "its weights are not quantized in the file",
        "recurrent": "LSTM nodes are not read",
    }


def test_activations_with_a_scale_per_channel_are_left_out(tmp_path):
    """Products of one output would not be in one unit."""
    constants = {
        "w": np.ones((2, 1), dtype=np.int8),
        "s": np.float32([0.5, 0.25]),
        "z": np.uint8([0, 0]),
        "t": np.float32(0.5),
        "zero": np.float32(0),
        "bits": np.float32(4),
    }
    weights = node("DequantizeLinear", "w", "t", output="wd")
    linear = [
        node("QuantizeLinear", "x", "s", "z", output="q", axis=1),
        node("DequantizeLinear", "q", "s", "z", output="d", axis=1),
    ]
    own = [node("Quant", "x", "s", "zero", "bits", output="d", domain=QONNX)]
    for name, nodes in (("m", linear), ("n", own)):
        product = node("MatMul", "d", "wd", name="here")
        source = open_integer_layers(
            written(tmp_path / f"{name}.onnx", [*nodes, weights, product], constants)
        )
        with pytest.raises(InputError, match="more than one scale or zero point"):
            list(source)
        assert list(source.left_out) == ["here"]


@pytest.mark.parametrize("bits", [4, 32])
def test_scales_that_are_computed_leave_the_range_known(tmp_path, bits):
    constants = {
        "w": np.ones((2, 1), dtype=np.int8),
        "t": np.float32(0.5),
        "zero": np.float32(0),
        "bits": np.float32(bits),
        "b": np.int32([3]),
    }
    nodes = [
        node("Abs", "x", output="a"),
        node("ReduceMax", "a", output="s", keepdims=0),
        node("Quant", "x", "s", "zero", "bits", output="d", domain=QONNX, signed=1, narrow=0),
        node("DequantizeLinear", "w", "t", output="wd"),
        node("DequantizeLinear", "b", "t", output="bd"),
        node("Gemm", "d", "wd", "bd"),
    ]
    layer, (note,) = only(written(tmp_path / "m.onnx", nodes, constants))
    assert layer.input_range == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert note == "its bias is left out: the scale of the activations is not known"


def test_weights_in_blocks(tmp_path):
    """A scale for each block of inputs makes no single sum; one for all inputs does."""
    w = np.arange(12, dtype=np.int8).reshape(4, 3)
    for block, names in ((2, []), (4, ["w"])):
        scale = np.arange(1, 1 + 12 // block, dtype=np.float32).reshape(-1, 3)
        nodes = [
            node("DequantizeLinear", "w", "s", output="wd", axis=0, block_size=block),
            node("MatMul", "x", "wd"),
        ]
        path = written(tmp_path / f"{block}.onnx", nodes, {"w": w, "s": scale})
        if names:
            layer, _ = only(path)
            assert np.array_equal(layer.weights, w.T)
        else:
            with pytest.raises(InputError, match="changes within the products of an output"):
                list(integer_layers(path))


# --- biases that are no integers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("bias", "scale", "why"),
    [
        (np.float32([1, 2]), None, "it is not quantized"),
        (np.int32([1, 2]), np.float32(0.5), "its scale is not that of weights times that"),
        (np.int32([1, 2]), np.float32([0.25, 0.5]), "its scale is not that of weights times"),
        (np.int32([1, 2]), np.float32(0.25 * (1 + 2**-16)), "its scale is not that of"),
    ],
)
def test_biases_that_are_left_out(tmp_path, bias, scale, why):
    constants = {"w": np.eye(2, dtype=np.int8), "s": np.float32(0.5), "z": np.uint8(0), "b": bias}
    nodes = [
        node("QuantizeLinear", "x", "s", "z", output="q"),
        node("DequantizeLinear", "q", "s", "z", output="d"),
        node("DequantizeLinear", "w", "s", output="wd"),
    ]
    name = "b"
    if scale is not None:
        constants["bs"], name = scale, "bd"
        nodes.append(node("DequantizeLinear", "b", "bs", output="bd", axis=0))
    path = written(tmp_path / "m.onnx", [*nodes, node("Gemm", "d", "wd", name)], constants)
    layer, (note,) = only(path)
    assert layer.bias is None and note.startswith(f"its bias is left out: {why}")
    scaled = node("Gemm", "d", "wd", "bd2", alpha=2.0)
    right = node("DequantizeLinear", "b2", "s2", output="bd2", axis=0)
    constants |= {"b2": np.int32([1, 2]), "s2": np.float32(0.25)}
    layer, (note,) = only(written(tmp_path / "n.onnx", [*nodes, right, scaled], constants))
    assert note == "its bias is left out: its node scales it by alpha or beta"
    plain = node("Gemm", "d", "wd", "bd2")
    layer, notes = only(written(tmp_path / "o.onnx", [*nodes, right, plain], constants))
    assert notes == () and layer.bias.tolist() == [1, 2]


# --- brevitas -----------------------------------------------------------------------------------


def truth(name):
    with np.load(BREVITAS / "truth.npz") as arrays:
        return {
            key.removeprefix(f"{name}."): arrays[key]
            for key in arrays
            if key.startswith(f"{name}.")
        }


def width(layer, input_range=None):
    return single_stage_bounds(layer.weights, input_range or layer.input_range).max_bits(
        "inner", "wrap"
    )


@pytest.mark.parametrize("kind", ["a2q_qcdq", "a2q_plus_qcdq"])
def test_brevitas_a2q_layers(kind):
    """Integers, inputs, bias and sums are those of brevitas, and the trained width holds."""
    wanted = truth(kind.removesuffix("_qcdq"))
    layer, notes = only(BREVITAS / f"{kind}.onnx")
    assert notes == ()
    assert np.array_equal(layer.weights, wanted["1.weight"])
    assert np.array_equal(layer.bias, wanted["1.bias"])
    assert np.array_equal(sums(layer, wanted["1.input"]), wanted["1.sum"])
    assert layer.input_range == (0, 15) and wanted["1.input"].max() == 15
    assert width(layer) <= 10


@pytest.mark.parametrize("name", ["a2q", "a2q_plus"])
def test_brevitas_qonnx_exports_of_a2q_hold_other_weights(name):
    """brevitas 0.13.4 leaves the normalisation of A2Q out of QONNX: the promised width is gone.

    The graph quantizes the raw parameter with the layer's scale; what was trained is in the same
    network's QCDQ export. A reader that believed the declared 4 bits and the trained 10 would pass
    a graph that overflows.
    """
    layer, _ = only(BREVITAS / f"{name}_qonnx.onnx")
    model = onnx.load(BREVITAS / f"{name}_qonnx.onnx")
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    (node_,) = (n for n in model.graph.node if n.input[0] == "1.weight")
    raw, scale, zero, bits = (constants[i] for i in node_.input)
    assert np.array_equal(layer.weights, quant(raw, scale, zero, int(bits), True, True))
    assert not np.array_equal(layer.weights, truth(name)["1.weight"])
    assert width(layer) > 10


@pytest.mark.parametrize("kind", ["qonnx", "qcdq", "dynamo"])
def test_brevitas_convolutions(kind):
    """Conv with a scale per channel and padding; ConvTranspose, whose rows are phases."""
    wanted = truth("images")
    conv, transposed = integer_layers(BREVITAS / f"images_{kind}.onnx")
    assert np.array_equal(conv.weights, wanted["1.weight"].reshape(3, -1))
    assert np.array_equal(conv.bias, wanted["1.bias"])
    assert conv.input_range == (-16, 15) and conv.padded and transposed.input_range == (0, 15)
    patches, _ = windows(wanted["1.input"][0], (3, 3), pad=1, stride=1, group=1, zero=0)
    assert np.array_equal(sums(conv, patches[0]).T, wanted["1.sum"][0].reshape(3, -1))
    kernel = wanted["3.weight"]
    assert transposed.bias.tolist() == np.repeat(wanted["3.bias"], 4).tolist()
    phases = [kernel[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    for channel, index in itertools.product(range(2), range(4)):
        row = transposed.weights[4 * channel + index]
        part = phases[index][:, channel].ravel()
        assert np.array_equal(row[: part.size], part) and not row[part.size :].any()
    # the middle pixel of an output sums all products of its phase
    inputs, y = wanted["3.input"][0], wanted["3.sum"][0]
    for channel in range(2):
        total = (inputs[:, 1:3, 1:3][:, ::-1, ::-1] * phases[0][:, channel]).sum()
        assert total + wanted["3.bias"][channel] == y[channel, 4, 4]


#: layers whose declared accumulator is too narrow: kind, shape, stride, bits of weights and inputs,
#: declared width, products of an output, width that is needed
TOO_NARROW = [
    ("transposed", (64, 3, 4, 4), 2, 4, 4, 12, 256, 16),
    ("transposed", (32, 1, 5, 5), 1, 4, 4, 12, 800, 18),
    ("linear", (1, 576), 1, 4, 4, 17, 576, 18),
]


def worst_layer(path, kind, shape, stride, weight_bits, input_bits):
    """The lowest weight everywhere, with unsigned inputs."""
    constants = {
        "w": np.full(shape, -(2 ** (weight_bits - 1)), dtype=np.float32),
        "s": np.float32(1),
        "z": np.float32(0),
        "wb": np.float32(weight_bits),
        "xb": np.float32(input_bits),
    }
    last = node("Gemm", "xq", "wq", transB=1)
    if kind == "transposed":
        last = node("ConvTranspose", "xq", "wq", strides=[stride] * 2)
    nodes = [
        node("Quant", "w", "s", "z", "wb", output="wq", domain=QONNX, signed=1, narrow=0),
        node("Quant", "x", "s", "z", "xb", output="xq", domain=QONNX, signed=0, narrow=0),
        last,
    ]
    layer, _ = only(written(path, nodes, constants))
    assert layer.input_range == (0, 2**input_bits - 1)
    return layer


@pytest.mark.parametrize(
    ("kind", "shape", "stride", "m", "n", "declared", "length", "exact"), TOO_NARROW
)
def test_accumulators_that_brevitas_declares_too_narrow(
    tmp_path, kind, shape, stride, m, n, declared, length, exact
):
    layer = worst_layer(tmp_path / "m.onnx", kind, shape, stride, m, n)
    assert layer.weights.shape[1] == length and width(layer) == exact > declared


@pytest.mark.skipif(not DECLARED.exists(), reason="needs the reference data beside the project")
def test_declared_accumulators_of_brevitas(tmp_path):
    """Never more than the worst weights of the declared types need, sometimes less."""
    rows, short = json.loads(DECLARED.read_text())["max_acc_bit_width"], 0
    for row in rows:
        kind, shape = "linear", (1, row["K"]) if "K" in row else None
        if row["op"] == "convtranspose2d":
            kind, shape = "transposed", (row["cin"], row["cout"], row["k"], row["k"])
        layer = worst_layer(
            tmp_path / "m.onnx", kind, shape, row.get("stride", 1), row["M"], row["N"]
        )
        assert layer.weights.shape[1] == row.get("true_K", row.get("K"))
        assert width(layer) == row["exact_unsigned_x_signed_w"] >= row["brevitas"]
        short += width(layer) > row["brevitas"]
    assert len(rows) == 5 and short == 1


# --- errors and damage --------------------------------------------------------------------------


def test_layers_are_read_one_at_a_time(tmp_path, monkeypatch):
    from sw.models.readers.onnx_constants import Constant

    constants = {f"w{i}": np.full((3, 3), i, dtype=np.int8) for i in range(4)}
    nodes = []
    for i in range(4):
        nodes.append(node("DequantizeLinear", f"w{i}", "s", output=f"d{i}"))
        nodes.append(node("MatMul", "x", f"d{i}", output=f"y{i}"))
    path = written(tmp_path / "m.onnx", nodes, {**constants, "s": np.float32(1)}, outputs=["y0"])
    read, original = [], Constant.read

    def recorded(self):
        read.append(self.shape)
        return original(self)

    monkeypatch.setattr(Constant, "read", recorded)
    layers = integer_layers(path)
    assert not read
    for i, layer in enumerate(layers):
        assert (layer.weights == i).all() and read.count((3, 3)) == i + 1


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("MatMul", "x", "w")], {"w": np.float32([[1]])}, "its weights are not quantized"),
        ([node("Relu", "x")], {}, "m.onnx holds no layer of integers$"),
        (
            [node("DequantizeLinear", "w", "s", output="d"), node("MatMul", "x", "d")],
            {"w": np.int8([[1]]), "s": np.float32(-1)},
            "must be positive and finite",
        ),
        (
            [node("DequantizeLinear", "w", "s", output="d"), node("MatMul", "x", "d")],
            {"w": np.int8([[1, 2]]), "s": np.float32([1, 2, 3])},
            r"of shape \(3,\) do not fit axis 1 of \(1, 2\)",
        ),
        (
            [node("DequantizeLinear", "w", "s", output="d", axis=7), node("MatMul", "x", "d")],
            {"w": np.int8([[1, 2]]), "s": np.float32([1, 2])},
            "has no axis 7",
        ),
        (
            [node("DequantizeLinear", "w", "s", "z", output="d"), node("MatMul", "x", "d")],
            {"w": np.int8([[1]]), "s": np.float32(1), "z": np.float32(0)},
            "the zero point of its DequantizeLinear node has the type FLOAT",
        ),
        (
            [node("DequantizeLinear", "w", "x", output="d"), node("MatMul", "x", "d")],
            {"w": np.int8([[1]])},
            "the scale of its DequantizeLinear node is not a constant",
        ),
        (
            [node("DequantizeLinear", "w", "s", output="d"), node("MatMul", "x", "d")],
            {"w": np.float32([[1]]), "s": np.float32(1)},
            "takes float32 values, not integers",
        ),
        (
            [node("DequantizeLinear", "w", "s", output="d"), node("MatMul", "x", "d")],
            {"w": np.zeros((0, 3), dtype=np.int8), "s": np.float32(1)},
            "they are empty",
        ),
        (
            [node("DequantizeLinear", "w", "s", output="d"), node("Conv", "x", "d")],
            {"w": np.int8([[1]]), "s": np.float32(1)},
            r"it has a kernel of shape \(1, 1\)",
        ),
        ([node("MatMulInteger", "x")], {}, "one of its operands is missing"),
        (
            [node("MatMulInteger", "x", "w")],
            {"w": np.float32([[1]])},
            "its weights have type FLOAT",
        ),
        (
            [
                node("DequantizeLinear", "w", "s", output="d"),
                node("ConvTranspose", "x", "d", strides=[0, 1]),
            ],
            {"w": np.ones((1, 1, 2, 2), dtype=np.int8), "s": np.float32(1)},
            r"strides \[0, 1\], dilations \[1, 1\] and 1 groups do not fit",
        ),
    ],
)
def test_graphs_that_cannot_be_read(tmp_path, nodes, constants, message):
    path = written(tmp_path / "m.onnx", nodes, constants)
    with pytest.raises(InputError, match=message) as caught:
        list(integer_layers(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def survives(path):
    """Whether a file is read; only an InputError may come instead."""
    try:
        for layer in integer_layers(path):
            assert layer.weights.ndim == 2 and layer.weights.size
    except InputError:
        return False
    return True


@pytest.mark.parametrize("name", ["images_qcdq", "images_qonnx", "a2q_qcdq"])
def test_damaged_files(tmp_path, name):
    """Bytes flipped, cut and put in: a clear error or layers, never anything else."""
    data = (BREVITAS / f"{name}.onnx").read_bytes()
    rng, path, opened = np.random.default_rng(7), tmp_path / "m.onnx", 0
    for trial in range(600):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 1 + trial % 3):
            damaged[place] = rng.integers(256) if trial % 2 else damaged[place] ^ 1 << trial % 8
        if trial % 5 == 0:
            start, stop = sorted(rng.integers(0, len(data), 2))
            damaged[start:stop] = [b"", rng.bytes(5), data[start:stop] * 2][trial % 3]
        path.write_bytes(bytes(damaged))
        try:
            opened += survives(path)
        except Exception as error:
            raise AssertionError(f"trial {trial} of {name}: {error!r}") from error
    assert 0 < opened < 600
