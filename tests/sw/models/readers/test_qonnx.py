"""QONNX annotations: integers, scales and zero points against the published formula."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import open_tensors

from .samples import floats, onnx_written

pytest.importorskip("onnx")
from onnx import TensorProto, helper

DOMAIN = "qonnx.custom_op.general"


def limits(bits, signed, narrow):
    """``min_int`` and ``max_int`` of QONNX."""
    if signed:
        return -(2 ** (bits - 1)) + (1 if narrow else 0), 2 ** (bits - 1) - 1
    return 0, 2**bits - (2 if narrow else 1)


def integers(x, scale, zero, bits, signed, narrow, rounding=np.round):
    """``quant`` of qonnx/custom_op/general/quant.py without its last step, written down again."""
    y = (x / scale + zero).astype(np.float32)
    low, high = limits(bits, signed, narrow)
    return rounding(np.where(y > high, high, np.where(y < low, low, y)))


def quant(*inputs, kind="Quant", domain=DOMAIN, output="fake", **attributes):
    return helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)


def opened(tmp_path, nodes, constants):
    return open_tensors(onnx_written(tmp_path / "m.onnx", nodes, constants))


def parameters(scale=0.25, zero=0.0, bits=4.0):
    return {"scale": np.float32(scale), "zero": np.float32(zero), "bits": np.float32(bits)}


INPUTS = ("w", "scale", "zero", "bits")
MATMUL = helper.make_node("MatMul", ["x", "fake"], ["y"])


@pytest.mark.parametrize("domain", [DOMAIN, "onnx.brevitas"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_integers_follow_the_formula(tmp_path, domain, signed, narrow, bits):
    w = 2 * floats(40, 6)
    # halfway cases of both signs, and values far outside
    w.flat[:9] = [-0.625, -0.375, -0.125, 0.125, 0.375, 0.625, 0.875, 1e9, -1e9]
    zero = 0.0 if signed else 1.0
    node = quant(*INPUTS, domain=domain, signed=signed, narrow=narrow, rounding_mode="ROUND")
    source = opened(tmp_path, [node, MATMUL], {"w": w, **parameters(0.25, zero, bits)})
    found = source.quantization("w")
    expected = integers(w, np.float32(0.25), np.float32(zero), bits, signed, narrow)
    assert found.integers.dtype == np.int32 and np.array_equal(found.integers, expected.T)
    assert (found.integers.min(), found.integers.max()) == limits(bits, signed, narrow)
    assert (found.bit_width, found.signed, found.narrow) == (bits, bool(signed), bool(narrow))
    assert found.scale.shape == found.zero_point.shape == (1, 1)
    assert found.scale == 0.25 and found.zero_point == zero and found.rounding_mode == "ROUND"
    # the values are those that arrive at the MatMul
    arrives = ((expected - zero) * np.float32(0.25)).T
    assert np.array_equal(source["w"], arrives) and np.array_equal(found.dequantize(), arrives)
    assert source.infos["w"].shape == (6, 40)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("ROUND", [-2, -2, 0, 0, 2, 2]),
        ("half_even", [-2, -2, 0, 0, 2, 2]),
        ("CEIL", [-2, -1, 0, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, 0, 1, 2]),
        ("UP", [-3, -2, -1, 1, 2, 3]),
        ("DOWN", [-2, -1, 0, 0, 1, 2]),
        ("ROUND_TO_ZERO", [-2, -1, 0, 0, 1, 2]),
        ("HALF_UP", [-3, -2, -1, 1, 2, 3]),
        ("HALF_DOWN", [-2, -1, 0, 0, 1, 2]),
    ],
)
def test_rounding_modes(tmp_path, mode, expected):
    w = np.float32([[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])
    node = quant(*INPUTS, signed=1, narrow=0, rounding_mode=mode)
    source = opened(tmp_path, [node, MATMUL], {"w": w, **parameters(1.0)})
    assert source.quantization("w").integers.ravel().tolist() == expected


def test_attributes_default_to_signed_narrow_and_round(tmp_path):
    w = np.float32([[-9, 9, 2.5]])
    source = opened(tmp_path, [quant(*INPUTS), MATMUL], {"w": w, **parameters(1.0)})
    found = source.quantization("w")
    assert found.signed and found.narrow and found.integers.ravel().tolist() == [-7, 7, 2]


@pytest.mark.parametrize("kind", ["Quant", "IntQuant"])
def test_scales_follow_the_layout(tmp_path, kind):
    """Per channel: of a Linear's weight, turned after quantization, of a Gemm, and of a Conv."""
    w, k = floats(6, 3), floats(4, 2, 3, 3)
    rows = np.float32([[1], [2], [3], [4], [5], [6]]) / 8
    zeros = np.float32([[0], [1], [2], [0], [1], [2]])
    out = np.float32([1, 2, 3, 4]).reshape(4, 1, 1, 1) / 8
    bits = {"kind": kind, "signed": 1, "narrow": 0}
    nodes = [
        quant("w", "rows", "zeros", "bits", output="q1", **bits),
        helper.make_node("Transpose", ["q1"], ["t1"]),
        helper.make_node("MatMul", ["x", "t1"], ["a"]),
        helper.make_node("Cast", ["t1"], ["c1"], to=TensorProto.FLOAT16),
        helper.make_node("Gemm", ["x", "c1"], ["d"], name="d"),
        helper.make_node("Gemm", ["x", "q1"], ["b"], name="b", transB=1),
        quant("k", "out", "zero", "bits", output="q2", **bits),
        helper.make_node("Conv", ["x", "q2"], ["c"]),
    ]
    constants = {"w": w, "k": k, "rows": rows, "out": out, "zeros": zeros, **parameters()}
    source = opened(tmp_path, nodes, constants)
    expected = integers(w, rows, zeros, 4, True, False)
    for name in ("w", "w@b", "w@d"):
        found = source.quantization(name)
        assert np.array_equal(found.integers, expected)
        assert np.array_equal(found.scale, rows) and np.array_equal(found.zero_point, zeros)
        assert np.allclose(source[name], (expected - zeros) * rows, rtol=1e-3)
    assert source["w@d"].dtype == np.float16
    found = source.quantization("k")
    expected = integers(k, out, np.float32(0), 4, True, False)
    assert np.array_equal(found.integers, expected.reshape(4, -1))
    assert found.scale.ravel().tolist() == [0.125, 0.25, 0.375, 0.5] and found.scale.shape == (4, 1)
    assert np.array_equal(source["k"], (expected * out).reshape(4, -1))


def test_one_bit_is_a_sign(tmp_path):
    w = np.float32([[-1.0, -0.1, 0.0, 0.1]])
    nodes = [
        quant(*INPUTS, signed=1, narrow=0),
        MATMUL,
        quant("w", "scale", kind="BipolarQuant", output="bipolar"),
        helper.make_node("MatMul", ["x", "bipolar"], ["z"], name="z"),
    ]
    source = opened(tmp_path, nodes, {"w": w, **parameters(0.5, bits=1)})
    for name in ("w", "w@z"):
        found = source.quantization(name)
        assert found.integers.ravel().tolist() == [-1, -1, 1, 1] and found.bit_width == 1
        assert source[name].ravel().tolist() == [-0.5, -0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": np.float32(0)}, "the scale of a Quant node must be positive and finite"),
        ({"scale": np.float32(np.nan)}, "must be positive and finite"),
        ({"scale": np.ones(3, dtype=np.float32)}, r"shape \(5, 4\) has a scale of shape \(3,\)"),
        ({"scale": np.ones((2, 5, 4), dtype=np.float32)}, "has a scale of shape"),
        ({"zero": np.float32(0.5)}, "the zero point of a Quant node must be whole"),
        ({"zero": np.float32(1e30)}, "the zero point of a Quant node must be within"),
        ({"bits": np.float32(2.5)}, "must be one whole number"),
        ({"bits": np.float32(np.inf)}, "must be one whole number"),
        ({"bits": np.float32([4, 4])}, "must be one whole number"),
        ({"bits": np.float32(0)}, "is 0, it must be 1 to 24"),
        ({"bits": np.float32(1e9)}, "is 1000000000, it must be 1 to 24"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(tmp_path, change, message):
    constants = {"w": floats(5, 4), **parameters(), **change}
    with pytest.raises(InputError, match=rf"m.onnx: constant 'w': .*{message}"):
        opened(tmp_path, [quant(*INPUTS), MATMUL], constants)


def test_nodes_that_make_no_sense_are_refused(tmp_path):
    constants = {"w": floats(5, 4), **parameters()}
    with pytest.raises(InputError, match="the rounding mode of a Quant node is 'SOMEHOW': known"):
        opened(tmp_path, [quant(*INPUTS, rounding_mode="somehow"), MATMUL], constants)
    with pytest.raises(InputError, match="the scale of its Quant node is not a constant"):
        opened(tmp_path, [quant("w", "x", "zero", "bits"), MATMUL], constants)
    with pytest.raises(InputError, match="the bit width of its Quant node is not a constant"):
        opened(tmp_path, [quant("w", "scale", "zero"), MATMUL], constants)
    twice = [quant(*INPUTS, output="once"), quant("once", *INPUTS[1:]), MATMUL]
    with pytest.raises(InputError, match="constant 'w' is quantized twice"):
        opened(tmp_path, twice, constants)
    nested = [quant(*INPUTS, output="once"), quant("w", "once", *INPUTS[2:]), MATMUL]
    with pytest.raises(InputError, match="the scale of its Quant node is not a constant"):
        opened(tmp_path, nested, constants)
    # activations are quantized by such nodes too
    free = [quant("x", *INPUTS[1:]), MATMUL, helper.make_node("MatMul", ["x", "w"], ["z"])]
    assert list(opened(tmp_path, free, constants)) == ["w"]


def test_values_that_are_not_finite_are_refused_when_read(tmp_path):
    w = np.float32([[np.nan, 1]])
    source = opened(tmp_path, [quant(*INPUTS), MATMUL], {"w": w, **parameters()})
    for ask in (source.quantization, source.__getitem__):
        with pytest.raises(InputError, match="tensor 'w': NaN and infinite values are refused"):
            ask("w")
