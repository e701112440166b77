"""Small valid files of every kind, and what a reader may do with a damaged one."""

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from configs.errors import InputError
from sw.models.readers import OnnxFile, TensorSource, open_tensors

LLAMA2C = {"dim": 8, "hidden": 12, "layers": 2, "heads": 2, "kv_heads": 1, "vocab": 9, "context": 6}


def floats(*shape: int, seed: int = 7) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def llama2c_arrays(shared: bool) -> dict[str, np.ndarray]:
    return {n: floats(*shape, seed=i) for i, (n, shape) in enumerate(llama2c_shapes(shared))}


def safetensors_sample(path: Path) -> Path:
    tensors = {"a": floats(4, 8), "b": floats(3).astype(np.float16), "c": np.arange(2)}
    save_file(tensors, path, metadata={"format": "np"})
    return path


def gguf_sample(path: Path, alignment: int | None = None) -> Path:
    import gguf

    writer = gguf.GGUFWriter(path, "other")
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_string("text", "größer")
    writer.add_array("words", ["a", "", "ccc"])
    writer.add_array("numbers", [1, -2, 3])
    writer.add_float32("half", 0.5)
    writer.add_bool("yes", True)
    writer.add_tensor("plain", floats(3, 5))
    for kind in (gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0):
        data = gguf.quants.quantize(floats(2, 64), kind)
        writer.add_tensor(kind.name, data, raw_dtype=kind)
    return gguf_written(writer, path)


def gguf_written(writer, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def onnx_written(path: Path, nodes: list, constants: dict, outputs: tuple[str, ...] = ("y",)):
    """A model whose inputs are all called x; a constant is an array or a TensorProto."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    tensors = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in constants.items()
    ]
    result = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", given, result, initializer=tensors)
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert onnx.load(path, load_external_data=False)
    return path


def onnx_sample(path: Path) -> Path:
    from onnx import TensorProto, helper

    constants = {
        "w": floats(5, 3),
        "typed": helper.make_tensor("typed", TensorProto.FLOAT16, (3, 4), floats(12)),
        "k": floats(4, 2, 3, 3),
        "q": floats(6, 3),
        "scale": np.float32([[0.1], [0.2], [0.1], [0.3], [0.1], [0.5]]),
        "zero": np.float32(0),
        "bits": np.float32(4),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Gemm", ["y", "typed"], ["z"]),
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node(
            "Quant",
            ["q", "scale", "zero", "bits"],
            ["fake"],
            domain="qonnx.custom_op.general",
            signed=1,
            narrow=0,
            rounding_mode="ROUND",
        ),
        helper.make_node("Transpose", ["fake"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["y", "turned"], ["u"]),
    ]
    return onnx_written(path, nodes, constants)


def llama2c_shapes(shared: bool = True) -> list[tuple[str, tuple[int, ...]]]:
    """Arrays in the order of the file."""
    m = LLAMA2C
    layers, dim, hidden, kv = m["layers"], m["dim"], m["hidden"], 4 * m["kv_heads"]
    tables = (m["context"], dim // m["heads"] // 2)
    shapes = [
        ("embedding", (m["vocab"], dim)),
        ("attention_norm", (layers, dim)),
        ("wq", (layers, dim, dim)),
        ("wk", (layers, kv, dim)),
        ("wv", (layers, kv, dim)),
        ("wo", (layers, dim, dim)),
        ("ffn_norm", (layers, dim)),
        ("w1", (layers, hidden, dim)),
        ("w2", (layers, dim, hidden)),
        ("w3", (layers, hidden, dim)),
        ("norm", (dim,)),
        ("cos", tables),
        ("sin", tables),
    ]
    return shapes if shared else [*shapes, ("head", (m["vocab"], dim))]


def llama2c_written(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    numbers = list(LLAMA2C.values())
    if "head" in arrays:
        numbers[5] *= -1
    body = b"".join(array.astype("<f4").tobytes() for array in arrays.values())
    path.write_bytes(struct.pack("<7i", *numbers) + body)
    return path


def llama2c_sample(path: Path, shared: bool = True) -> Path:
    return llama2c_written(path, llama2c_arrays(shared))


def npz_sample(path: Path) -> Path:
    np.savez(path, a=floats(4, 8), b=np.asfortranarray(floats(3, 5)), c=np.arange(3))
    return path


def packed_npz_sample(path: Path) -> Path:
    np.savez_compressed(path, a=floats(4, 8), b=floats(3).astype(np.float16))
    return path


def npy_sample(path: Path) -> Path:
    np.save(path, floats(4, 8))
    return path


SAMPLES = {
    "safetensors": (safetensors_sample, ".safetensors"),
    "gguf": (gguf_sample, ".gguf"),
    "onnx": (onnx_sample, ".onnx"),
    "llama2c": (llama2c_sample, ".bin"),
    "npz": (npz_sample, ".npz"),
    "packed_npz": (packed_npz_sample, ".npz"),
    "npy": (npy_sample, ".npy"),
}


def use_up(source: TensorSource) -> None:
    """Everything that can be asked of a source."""
    assert len(source) == len(list(source)) == len(source.infos)
    for key in source.metadata:
        assert source.metadata[key] is not None
    for name, info in source.infos.items():
        if isinstance(source, OnnxFile):
            with contextlib.suppress(InputError):
                source.quantization(name)
        try:
            array = source[name]
        except InputError:
            continue
        assert array.shape == info.shape and array.dtype in (np.float16, np.float32)
        assert np.isfinite(array).all()


def survives(path: Path) -> bool:
    """Whether a file opens; the only error may be an :class:`InputError` of one line."""
    try:
        use_up(open_tensors(path))
    except InputError as error:
        assert str(error) and "\n" not in str(error)[:-1]
        return False
    return True


def npy_bytes(header: str, data: bytes, version: int = 1) -> bytes:
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def zip_bytes(name: bytes, stored: bytes, full: int, method: int = 8, crc: int | None = None):
    """An archive with one member, whose directory says what it is told to."""
    crc = zlib.crc32(b"") if crc is None else crc
    common = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 0, crc, len(stored), full, len(name), 0)
    local = b"PK\3\4" + common + name + stored
    # without the extra length field, which the directory has in another place
    entry = b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end
