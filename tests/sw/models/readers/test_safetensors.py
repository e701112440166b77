"""safetensors: types, shards, indexes, and headers that lie."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from configs.errors import InputError
from sw.models.readers import SafetensorsFile, open_tensors
from sw.models.readers.binary import CHUNK, float8_values

from .samples import floats


def write(path, tensors, data, **changes):
    """A file by hand: name -> (type, shape, first byte, byte after the last), then the data."""
    header = {
        name: {"dtype": kind, "shape": shape, "data_offsets": [start, stop]}
        for name, (kind, shape, start, stop) in tensors.items()
    }
    text = json.dumps(header | changes).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_types_are_kept_or_widened(tmp_path):
    tensors = {"single": floats(5, 7), "half": floats(3).astype(np.float16), "one": floats()}
    save_file(tensors | {"whole": np.arange(3)}, tmp_path / "m.safetensors", metadata={"k": "v"})
    source = open_tensors(tmp_path / "m.safetensors")
    assert source.metadata == {"k": "v"} and "single" in source and "other" not in source
    assert source.infos["whole"].dtype == "I64" and source.infos["whole"].shape == (3,)
    for name, tensor in tensors.items():
        assert source[name].dtype == tensor.dtype and np.array_equal(source[name], tensor)
        assert source[name].flags.writeable
    with pytest.raises(InputError, match=r"'whole' has type I64: supported are F32, F16, BF16, "):
        source["whole"]
    with pytest.raises(KeyError):
        source["other"]


def test_bfloat16_is_widened_exactly_over_chunks(tmp_path):
    codes = np.random.default_rng(3).integers(0, 0x7F80, CHUNK + 5, dtype=np.uint16)
    path = write(
        tmp_path / "m.safetensors",
        {"a": ("BF16", [CHUNK + 5], 0, 2 * CHUNK + 10)},
        codes.astype("<u2").tobytes(),
    )
    expected = codes.view(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(open_tensors(path)["a"], expected)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("F8_E4M3", ml_dtypes.float8_e4m3fn), ("F8_E5M2", ml_dtypes.float8_e5m2)]
)
def test_float8_is_widened_exactly(tmp_path, kind, dtype):
    codes = np.arange(256, dtype=np.uint8)
    expected = codes.view(dtype).astype(np.float32)
    found = float8_values(kind)
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(np.signbit(found)[:-3], np.signbit(expected)[:-3])
    codes = codes[np.isfinite(expected)]
    path = write(
        tmp_path / "m.safetensors", {"a": (kind, [len(codes)], 0, len(codes))}, codes.tobytes()
    )
    assert np.array_equal(open_tensors(path)["a"], expected[np.isfinite(expected)])


@pytest.mark.parametrize(("value", "text"), [(np.nan, "nan"), (-np.inf, "-inf")])
def test_what_is_not_finite_is_refused_when_read(tmp_path, value, text):
    array = floats(4, 3)
    array[2, 1] = value
    save_file({"a": array, "b": floats(2)}, tmp_path / "m.safetensors")
    source = open_tensors(tmp_path / "m.safetensors")
    assert source["b"].shape == (2,)
    with pytest.raises(InputError, match=rf"'a' holds {text} at \(2, 1\): NaN and infinite"):
        source["a"]


@pytest.mark.parametrize(
    ("tensors", "size"),
    [
        ({"a": ("F32", [2], 0, 8), "b": ("F32", [2], 4, 12)}, 12),
        ({"a": ("F32", [2], 0, 8)}, 4),
        ({"a": ("F32", [2], 0, 8)}, 12),
        ({"a": ("F32", [3], 0, 8)}, 8),
        ({"a": ("F32", [1 << 62, 1 << 62], 0, 8)}, 8),
        ({"a": ("F32", [-2], 0, 8)}, 8),
        ({"a": ("F32", [2], 8, 0)}, 8),
        ({"a": ("F99", [2], 0, 8)}, 8),
    ],
    ids=["overlap", "truncated", "trailing", "shape", "huge", "negative", "backwards", "type"],
)
def test_headers_that_contradict_are_refused(tmp_path, tensors, size):
    path = write(tmp_path / "m.safetensors", tensors, bytes(size))
    with pytest.raises(InputError, match=r"m.safetensors is not a safetensors file: "):
        open_tensors(path)


def test_header_lengths_that_lie_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(InputError, match="header would have 1152921504606846976 bytes, the file"):
        open_tensors(path)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 1 << 33))
        file.truncate(1 << 34)
    with pytest.raises(InputError, match="its header has 8589934592 bytes, up to 8388608 are read"):
        open_tensors(path)


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    one = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    text = f"{{{one},{one}}}".encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0")
    with pytest.raises(InputError, match="'a' is in the header twice"):
        open_tensors(path)


def test_a_file_that_shrinks_after_opening_is_refused(tmp_path):
    save_file({"a": floats(100)}, tmp_path / "m.safetensors")
    source = SafetensorsFile(tmp_path / "m.safetensors")
    with open(tmp_path / "m.safetensors", "r+b") as file:
        file.truncate(200)
    with pytest.raises(InputError, match="ends at byte 200, "):
        source["a"]


@pytest.fixture
def shards(tmp_path):
    save_file({"a": floats(2), "b": floats(3)}, tmp_path / "one.safetensors")
    save_file({"c": floats(4)}, tmp_path / "two.safetensors")
    return tmp_path


def index(folder, placed):
    text = json.dumps({"metadata": {}, "weight_map": placed})
    (folder / "model.safetensors.index.json").write_text(text)


def test_shards_with_and_without_an_index(shards):
    assert list(open_tensors(shards)) == ["a", "b", "c"] and open_tensors(shards)["c"].size == 4
    # without the index this file would clash
    save_file({"a": floats(9)}, shards / "consolidated.safetensors")
    with pytest.raises(InputError, match=r"one.safetensors: tensor 'a' is already in another file"):
        open_tensors(shards)
    index(shards, {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"})
    assert open_tensors(shards)["a"].size == 2


@pytest.mark.parametrize(
    "place",
    [
        "../one.safetensors",
        "/one.safetensors",
        "x/one.safetensors",
        "x\\one.safetensors",
        "..",
        "",
        "one.bin",
        3,
        None,
        "\0.safetensors",
    ],
)
def test_an_index_may_not_point_outside(shards, place):
    index(shards, {"a": place})
    with pytest.raises(InputError, match=r"must be a \*.safetensors file of the same folder"):
        open_tensors(shards)


def test_an_index_must_be_right(shards):
    index(shards, {"a": "two.safetensors"})
    with pytest.raises(InputError, match=r"tensor 'a' is not in 'two.safetensors'"):
        open_tensors(shards)
    index(shards, {"a": "three.safetensors"})
    with pytest.raises(InputError, match=r"cannot read .*three.safetensors: No such file"):
        open_tensors(shards)
    for text in ("[]", "{}", '{"weight_map": []}', '{"weight_map": {}}'):
        (shards / "model.safetensors.index.json").write_text(text)
        with pytest.raises(InputError, match="field 'weight_map' must be an object"):
            open_tensors(shards)
    for text in ("{", "[" * 100_000, "\ud800".encode("utf-8", "surrogatepass").decode("latin1")):
        (shards / "model.safetensors.index.json").write_text(text)
        with pytest.raises(InputError, match="is not valid JSON"):
            open_tensors(shards)


def test_a_folder_of_pickles_is_refused_by_name(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match=r"only 'pytorch_model.bin': convert it to safetensors"):
        open_tensors(tmp_path)
