"""Round trips at every length, and one clear refusal for whatever else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats.packing import Packing, get_packing, packings

ANY = st.sampled_from(sorted(packings()))
FAST = settings(max_examples=150, deadline=None)


def shapes(packing: Packing) -> st.SearchStrategy[tuple[int, ...]]:
    """Small shapes that a packing takes."""
    rows = st.sampled_from([4, 8]) if packing.name == "i2_s_rows4" else st.integers(1, 5)
    tries = st.integers(1, 3 if packing.row_multiple > 1 else 230)
    columns = tries.map(lambda n: n * packing.row_multiple)
    pairs = st.tuples(rows, columns)
    return pairs if packing.name == "i2_s_rows4" else st.one_of(pairs, st.tuples(columns))


def draw(data: st.DataObject, name: str) -> tuple[Packing, np.ndarray, np.ndarray | None]:
    """Random codes and scales for a packing."""
    packing = get_packing(name)
    shape = data.draw(shapes(packing))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    codes = rng.integers(0, packing.symbols, shape).astype(np.uint8)
    if name == "olive4":
        codes[..., 0::2][codes[..., 0::2] == 8] = 7
        codes[..., 0::2][(codes[..., 1::2] == 8) & (codes[..., 0::2] == 0)] = 3
    scales = None
    if packing.scale:
        size = packing.scale_shape(shape)
        scales = rng.integers(0, 120, size).astype(packing.scale.dtype)
    return packing, codes, scales


@FAST
@given(data=st.data(), name=ANY)
def test_round_trip(data: st.DataObject, name: str) -> None:
    packing, codes, scales = draw(data, name)
    packed = packing.pack(codes, scales)
    assert packed.dtype == np.uint8 and packed.shape == (packing.packed_bytes(codes.shape),)
    assert np.array_equal(packing.unpack(packed, codes.shape), codes)
    assert np.array_equal(packing.unpack(packed.tobytes(), codes.shape), codes)
    if packing.scale:
        assert np.array_equal(packing.unpack_scales(packed, codes.shape), scales)


@FAST
@given(data=st.data(), name=ANY, cut=st.integers(-9, 9).filter(bool))
def test_wrong_length(data: st.DataObject, name: str, cut: int) -> None:
    packing, codes, scales = draw(data, name)
    packed = packing.pack(codes, scales).tobytes()
    wrong = packed[:cut] if cut < 0 else packed + bytes(cut)
    with pytest.raises(InputError, match=f"take {len(packed)} bytes, {len(wrong)} given"):
        packing.unpack(wrong, codes.shape)


@FAST
@given(data=st.data(), name=ANY, seed=st.integers(0, 1 << 32))
def test_any_bytes_mean_one_thing_or_are_refused(data: st.DataObject, name: str, seed: int) -> None:
    """Whatever unpacks packs to the same bytes again."""
    packing = get_packing(name)
    shape = data.draw(shapes(packing))
    random = np.random.default_rng(seed).integers(0, 256, packing.packed_bytes(shape))
    packed = random.astype(np.uint8)
    if packing.scale and packing.scale.filler_bytes:
        packed[-packing.scale.filler_bytes :] = 0
    try:
        codes = packing.unpack(packed, shape)
    except InputError as error:
        assert f"packing '{name}'" in str(error)
        return
    scales = packing.unpack_scales(packed, shape) if packing.scale else None
    assert np.array_equal(packing.pack(codes, scales), packed)


@FAST
@given(data=st.data(), name=ANY)
def test_code_out_of_range(data: st.DataObject, name: str) -> None:
    packing, codes, scales = draw(data, name)
    wrong = codes.astype(np.int64)
    at = data.draw(st.integers(0, codes.size - 1))
    wrong.flat[at] = data.draw(st.sampled_from([-1, packing.symbols, 1 << 40]))
    with pytest.raises(InputError, match=f"at weight {at} is outside 0..{packing.symbols - 1}"):
        packing.pack(wrong, scales)


UNUSED = {
    "dense3": ([0b11111000], 1, "byte 0 of the codes is 248"),
    "any_precision2": ([0x80, 0x01], 1, "byte 1 of the codes is 1,"),
    "base243": ([243], 5, "byte 0 of the codes is 243"),
    "tl1": ([0x94], 4, "byte 0 of the codes is 148"),
    "olive4": ([0x11, 0x88], 4, r"pair 1 is \(1000, 1000\)"),
}


@pytest.mark.parametrize("name", UNUSED)
def test_unused_patterns(name: str) -> None:
    data, count, message = UNUSED[name]
    with pytest.raises(InputError, match=message):
        get_packing(name).unpack(bytes(data), count)


@pytest.mark.parametrize("byte", [0x08, 0x80, 0x88])
def test_identifier_needs_an_outlier(byte: int) -> None:
    with pytest.raises(InputError, match="never beside 0000 or 1000"):
        get_packing("olive4").unpack(bytes([byte]), 2)
    with pytest.raises(InputError, match="never beside 0000 or 1000"):
        get_packing("olive4").pack([byte & 15, byte >> 4])


def test_base243_has_243_bytes() -> None:
    good = []
    for byte in range(256):
        try:
            get_packing("base243").unpack(bytes([byte]), 5)
            good.append(byte)
        except InputError:
            pass
    assert good == list(range(243))


@pytest.mark.parametrize("name", ["i2_s", "tq2_0"])
def test_ternary_code_3(name: str) -> None:
    packing = get_packing(name)
    shape = (packing.row_multiple,)
    scales = np.ones(packing.scale_shape(shape), dtype=packing.scale.dtype)
    packed = packing.pack(np.zeros(shape, dtype=int), scales)
    packed[5] = 0b11
    weight = 5 + (96 if name == "i2_s" else 0)
    with pytest.raises(InputError, match=f"weight {weight} has the unused code 3"):
        packing.unpack(packed, shape)


def test_tl2_unused_index_and_negative_zero() -> None:
    packing = get_packing("tl2")
    packed = packing.pack(np.ones(96, dtype=int))
    assert not packed.any()
    for at, byte in [(0, 0xE0), (3, 0x0F), (16, 0x80)]:
        wrong = packed.copy()
        wrong[at] = byte
        with pytest.raises(InputError, match=r"byte \d+ of the codes is"):
            packing.unpack(wrong, 96)


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "tq1_0", "tq2_0", "i2_s", "i2_s_arm", "olive4"])
def test_rows_of_whole_blocks(name: str) -> None:
    packing = get_packing(name)
    with pytest.raises(InputError, match=f"takes rows of a multiple of {packing.row_multiple}"):
        packing.packed_bytes((packing.row_multiple, packing.row_multiple + 1))


@pytest.mark.parametrize("name", sorted(packings()))
@pytest.mark.parametrize("count", [0, -3, (), (4, 0), 1.5, True])
def test_nothing_to_pack(name: str, count: object) -> None:
    packing = get_packing(name)
    with pytest.raises(InputError, match="at least 1 weight"):
        packing.unpack(b"", count)
    with pytest.raises(InputError, match="at least 1 weight"):
        packing.pack(np.zeros((0, 256), dtype=np.uint8))


def test_wrong_kinds() -> None:
    dense, block = get_packing("dense4"), get_packing("mxfp4")
    with pytest.raises(InputError, match="takes integer codes, not float64"):
        dense.pack([0.5])
    with pytest.raises(InputError, match="a row of bytes, not int64"):
        dense.unpack(np.array([1, 2]), 4)
    with pytest.raises(InputError, match="'dense4' stores no scales"):
        dense.pack([1], np.uint8([1]))
    with pytest.raises(InputError, match="'dense4' stores no scales"):
        dense.unpack_scales(b"1", 2)
    codes = np.zeros(64, dtype=int)
    with pytest.raises(InputError, match=r"stores scales of uint8 \(2,\), not none"):
        block.pack(codes)
    with pytest.raises(InputError, match=r"uint8 \(2,\), not float64 \(2,\)"):
        block.pack(codes, [1.0, 2.0])
    with pytest.raises(InputError, match="multiple of 4 rows"):
        get_packing("i2_s_rows4").pack(np.zeros((3, 8), dtype=int), np.float32(1))
