"""Layouts without a package to compare with, against slow packers; and a few bytes by hand."""

import numpy as np
import pytest

from configs.errors import InputError
from sw.formats.packing import TripleTablePacking, get_packing, packings, plane_packing

from . import slow

RNG = np.random.default_rng(4)
TERNARY = {
    "i2_s": (lambda c: slow.i2_s(c, 32), (3, 256)),
    "i2_s_arm": (lambda c: slow.i2_s(c, 16), (2, 192)),
    "i2_s_rows4": (slow.i2_s_rows4, (8, 7)),
    "base243": (slow.base243, (3, 13)),
    "tl1": (slow.tl1, (3, 7)),
    "tl2": (lambda c: slow.tl2(c, 96), (3, 96 * 2 + 31)),
}


@pytest.mark.parametrize("name", TERNARY)
def test_ternary(name: str) -> None:
    expected, shape = TERNARY[name]
    codes = RNG.integers(0, 3, shape)
    packing = get_packing(name)
    scales = np.float32(0.75) if packing.scale else None
    data = packing.pack(codes, scales)
    size = len(data) - (32 if packing.scale else 0)
    assert data[:size].tolist() == expected(codes)
    if packing.scale:
        assert data[size:].tobytes() == np.float32(0.75).tobytes() + bytes(28)
        assert packing.unpack_scales(data, shape) == np.float32(0.75)
        data[-28:] = 255  # filler is not read
    assert np.array_equal(packing.unpack(data, shape), codes)


@pytest.mark.parametrize("tile", [3, 6, 15, 48])
@pytest.mark.parametrize("columns", [1, 2, 5, 15, 47, 50])
def test_tl2_tiles(tile: int, columns: int) -> None:
    packing = TripleTablePacking(name="tl2", symbols=3, tile=tile, source="")
    codes = RNG.integers(0, 3, (3, columns))
    data = packing.pack(codes)
    assert data.tolist() == slow.tl2(codes, tile)
    assert np.array_equal(packing.unpack(data, codes.shape), codes)


def test_tl2_tile_of_whole_triples() -> None:
    with pytest.raises(InputError, match="tile of 32 columns is not a multiple of 3"):
        TripleTablePacking(name="tl2", symbols=3, tile=32, source="")


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("count", [1, 7, 8, 9, 65])
def test_dense(bits: int, count: int) -> None:
    codes = RNG.integers(0, 1 << bits, count)
    data = get_packing(f"dense{bits}").pack(codes)
    assert data.tolist() == slow.dense(codes, bits)
    assert np.array_equal(get_packing(f"dense{bits}").unpack(data, count), codes)


@pytest.mark.parametrize("name", ["fp6_2_4", "fp6_4_2", "fp5_1_4", "any_precision3"])
@pytest.mark.parametrize("count", [1, 3, 8, 21])
def test_planes(name: str, count: int) -> None:
    packing = get_packing(name)
    codes = RNG.integers(0, packing.symbols, count)
    data = packing.pack(codes)
    assert data.tolist() == slow.planes(codes, packing.widths)
    assert np.array_equal(packing.unpack(data, count), codes)


def test_any_precision_reads_fewer_bits() -> None:
    packing = get_packing("any_precision8")
    codes = RNG.integers(0, 256, (4, 24)).astype(np.uint8)
    data = packing.pack(codes)
    for planes in range(1, 9):
        top = packing.unpack_top(data, codes.shape, planes=planes)
        assert np.array_equal(top, codes >> np.uint8(8 - planes))
        if planes > 1:
            prefix = get_packing(f"any_precision{planes}").pack(top)
            assert np.array_equal(data[: len(prefix)], prefix)
    with pytest.raises(InputError, match="has 8 planes, 9 cannot be read"):
        packing.unpack_top(data, codes.shape, planes=9)


def test_fp6_fields_by_hand() -> None:
    """S E2 | E1 E0 M1 M0 of -28 = 1 111 11 and of 0.0625 = 0 000 01."""
    codes = [0b111111, 0b000001]
    assert get_packing("fp6_2_4").pack(codes).tolist() == [0b11000000, 0b11110001]
    assert get_packing("fp6_4_2").pack(codes).tolist() == [0b11110000, 0b11010000]
    other = plane_packing((3, 3), name="fp6_3_3", source="made up")
    assert other.pack(codes).tolist() == [0b11100000, 0b11100100]


def test_olive_pairs_by_hand() -> None:
    """Normal pair, outlier on the left (low nibble), outlier on the right."""
    packing = get_packing("olive4")
    codes = [1, 15, 0b0101, 8, 8, 0b1110]
    assert packing.pack(codes).tolist() == [0xF1, 0x85, 0xE8]
    assert packing.unpack(bytes([0xF1, 0x85, 0xE8]), 6).tolist() == codes


def test_trit_bytes_by_hand() -> None:
    assert get_packing("base243").pack([2, 2, 2, 2, 2, 0]).tolist() == [242, 40]
    scaled = get_packing("tq1_0").pack(np.full(256, 2), np.float16([1]))
    assert scaled[0] == 255 and scaled[-3] == 253  # ceil(242 * 256 / 243), ceil(240 * 256 / 243)


def test_registry() -> None:
    assert all(name == packing.name for name, packing in packings().items())
    assert all(packing.source for packing in packings().values())
    with pytest.raises(InputError, match="unknown packing 'tq1': did you mean 'tq1_0'"):
        get_packing("tq1")


@pytest.mark.parametrize(
    "name, expected",
    {"dense3": 3, "base243": 1.6, "tq1_0": 1.6875, "tq2_0": 2.0625, "tl1": 2, "tl2": 5 / 3}.items(),
)
def test_bits_per_weight(name: str, expected: float) -> None:
    packing = get_packing(name)
    assert packing.bits_per_weight == pytest.approx(expected, abs=1e-12)
    shape = (64, 96 * 5 * 256)
    assert packing.packed_bytes(shape) * 8 / np.prod(shape) == pytest.approx(expected, abs=1e-12)
