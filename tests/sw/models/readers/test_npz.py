"""numpy files: layouts, pickles, and archives that lie."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest

from configs.errors import InputError
from sw.models.readers import open_tensors

from .samples import floats, npy_bytes, zip_bytes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    arrays = {
        "c": floats(4, 8),
        "fortran": np.asfortranarray(floats(3, 5)),
        "swapped": floats(2, 3).astype(">f4"),
        "half": floats(600, 700).astype(np.float16),
        "folder/one": floats(),
    }
    save(tmp_path / "m.npz", **arrays, whole=np.arange(3), double=np.ones(2))
    source = open_tensors(tmp_path / "m.npz")
    for name, array in arrays.items():
        assert np.array_equal(source[name], array) and source[name].dtype.isnative
    with pytest.raises(InputError, match="'whole' has type int64: supported are float32 and float"):
        source["whole"]
    with pytest.raises(InputError, match="'double' has type float64"):
        source["double"]


def test_a_single_array_is_named_after_its_file(tmp_path):
    array = np.asfortranarray(floats(3, 5))
    np.save(tmp_path / "some.npy", array)
    source = open_tensors(tmp_path / "some.npy")
    assert list(source) == ["some"] and np.array_equal(source["some"], array)
    np.save(tmp_path / "twos.npy", array.astype(np.float16), allow_pickle=False)
    (tmp_path / "twos.npy").rename(tmp_path / "no_suffix")
    assert open_tensors(tmp_path / "no_suffix")["no_suffix"].dtype == np.float16


def test_pickled_objects_are_refused(tmp_path):
    np.save(tmp_path / "m.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"m.npy holds pickled Python objects, which can run code"):
        open_tensors(tmp_path / "m.npy")
    np.savez(tmp_path / "m.npz", a=np.array([{}]))
    with pytest.raises(InputError, match=r"member 'a.npy' holds pickled Python objects"):
        open_tensors(tmp_path / "m.npz")
    with zipfile.ZipFile(tmp_path / "torch.npz", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(InputError, match=r"member 'archive/data.pkl' is a pickle"):
        open_tensors(tmp_path / "torch.npz")


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy_bytes(HEADER.format("<f4", (2,)), bytes(7)), "takes 8 bytes, the file has 7"),
        (npy_bytes(HEADER.format("<f4", (2,)), bytes(9)), "takes 8 bytes, the file has 9"),
        (npy_bytes(HEADER.format("<f4", (1 << 62, 1 << 62)), b""), "the file has 0"),
        (npy_bytes(HEADER.format("<f4", (-2,)), b""), r"its shape is \(-2,\)"),
        (npy_bytes(HEADER.format("<f4", (True,)), bytes(4)), r"its shape is \(True,\)"),
        (npy_bytes(HEADER.format("<f4", (1,) * 40), bytes(4)), "its shape is"),
        (npy_bytes(HEADER.format("<f4", "x"), b""), "is not a valid .npy array"),
        (npy_bytes(HEADER.format("|O", (1,)), b"x"), "holds pickled Python objects"),
        (npy_bytes("(" * 5000, b""), "is not a valid .npy array"),
        (npy_bytes(HEADER.format("<f4", (2,)) + " " * 20000, bytes(8), 2), "is not a valid .npy"),
        (npy_bytes(HEADER.format("<f4", (2,)), bytes(8), 3), "it begins with"),
        (b"\x93NUMPY\1\0\xff\xff", "its header would have 65535 bytes"),
        (b"\x93NUMPY\1\0\xff\0{", "is not a valid .npy array"),
        (b"\x93NUMPY", "it begins with"),
    ],
)
def test_arrays_that_lie_are_refused(tmp_path, data, message):
    (tmp_path / "m.npy").write_bytes(data)
    with pytest.raises(InputError, match=message):
        open_tensors(tmp_path / "m.npy")
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(InputError, match=message.replace("file has", "archive says")):
        open_tensors(tmp_path / "m.npz")


def test_a_bomb_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", a=np.zeros(40_000_000, dtype=np.float32))
    assert (tmp_path / "m.npz").stat().st_size < 200_000
    with pytest.raises(InputError, match=r"would unpack 15\d+ bytes to 160000128: refused"):
        open_tensors(tmp_path / "m.npz")
    # zeros of a reasonable size are no bomb
    np.savez_compressed(tmp_path / "m.npz", a=np.zeros(1_000_000, dtype=np.float32))
    assert not open_tensors(tmp_path / "m.npz")["a"].any()


def packed(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


ARRAY = npy_bytes(HEADER.format("<f4", (2,)), bytes(8))


def test_a_directory_that_says_more_or_less_than_there_is(tmp_path):
    path = tmp_path / "m.npz"
    whole = zip_bytes(b"a.npy", packed(ARRAY), len(ARRAY), crc=zlib.crc32(ARRAY))
    path.write_bytes(whole)
    assert np.array_equal(open_tensors(path)["a"], np.zeros(2))
    large = npy_bytes(HEADER.format("<f4", (3_000_000,)), bytes(12_000_000))
    path.write_bytes(zip_bytes(b"a.npy", packed(large), len(large), crc=1))
    with pytest.raises(InputError, match="array 'a' is corrupt: Bad CRC-32"):
        open_tensors(path)["a"]
    for full in (len(ARRAY) - 1, len(ARRAY) + 1, 2000):
        path.write_bytes(zip_bytes(b"a.npy", packed(ARRAY), full, crc=zlib.crc32(ARRAY[:full])))
        with pytest.raises(InputError, match="takes 8 bytes, the archive says"):
            open_tensors(path)
    # a header that asks for as much as the directory promises, with nothing behind
    empty = npy_bytes(HEADER.format("<f4", (1_000_000,)), b"")
    crc = zlib.crc32(empty)
    path.write_bytes(zip_bytes(b"a.npy", packed(empty), len(empty) + 4_000_000, crc=crc))
    with pytest.raises(InputError, match=r"array 'a' (ends early|is corrupt)"):
        open_tensors(path)["a"]
    path.write_bytes(zip_bytes(b"a.npy", packed(empty), 1 << 31))
    with pytest.raises(InputError, match="to 2147483648: refused"):
        open_tensors(path)
    path.write_bytes(zip_bytes(b"a.npy", ARRAY, len(ARRAY) + 10, method=0))
    with pytest.raises(InputError, match="is not compressed, but"):
        open_tensors(path)


@pytest.mark.parametrize(
    ("name", "method", "message"),
    [
        (b"a.txt", 8, "is not a .npy array"),
        (b"../a.npy", 12, "compressed in a way numpy does not use"),
        (b"a.npy", 99, "compressed in a way numpy does not use"),
    ],
)
def test_other_members_are_refused(tmp_path, name, method, message):
    (tmp_path / "m.npz").write_bytes(zip_bytes(name, packed(ARRAY), len(ARRAY), method=method))
    with pytest.raises(InputError, match=message):
        open_tensors(tmp_path / "m.npz")


def test_members_may_not_share_bytes_or_names(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", ARRAY)
        archive.writestr("b.npy", ARRAY)
    data = buffer.getvalue()
    place = data.rindex(b"PK\1\2")
    overlapping = data[: place + 42] + struct.pack("<I", 10) + data[place + 46 :]
    (tmp_path / "m.npz").write_bytes(overlapping)
    with pytest.raises(InputError, match=r"'a.npy' and 'b.npy' overlap at byte 10"):
        open_tensors(tmp_path / "m.npz")
    (tmp_path / "m.npz").write_bytes(data.replace(b"b.npy", b"a.npy"))
    with pytest.raises(InputError, match=r"member 'a.npy' is there twice"):
        open_tensors(tmp_path / "m.npz")
