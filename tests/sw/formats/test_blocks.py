"""Block formats against gguf, gfloat and ml_dtypes, and against slow exact rules."""

import math
from fractions import Fraction

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from sw.formats.block_tables import MX_ELEMENTS, bfp, block_formats, get_block_format
from sw.formats.blocks import BlockCodes
from sw.formats.packing import get_packing

from .block_values import weights

GFLOAT = {
    "mxfp8_e4m3": gfloat.formats.format_info_mxfp8_e4m3,
    "mxfp8_e5m2": gfloat.formats.format_info_mxfp8_e5m2,
    "mxfp6_e2m3": gfloat.formats.format_info_mxfp6_e2m3,
    "mxfp6_e3m2": gfloat.formats.format_info_mxfp6_e3m2,
    "mxfp4": gfloat.formats.format_info_mxfp4_e2m1,
    "mxint8": gfloat.formats.format_info_mxint8,
}
E8M0 = [*GFLOAT, "razer_mxfp4", "bfp5_b7"]


@pytest.mark.parametrize("name", GFLOAT)
def test_decode_equals_gfloat(name: str) -> None:
    """Every element code, a few scales; among them NaN."""
    block, info = get_block_format(name), GFLOAT[name]
    codes = (np.arange(256) % (1 << info.element_bits)).astype(np.uint8).reshape(-1, 32)
    scales = np.array([[0], [1], [127], [128], [140], [253], [254], [255]], dtype=np.uint8)
    for code in scales:
        scale = np.repeat(code[None], len(codes), axis=0)
        coded = BlockCodes(
            codes=codes,
            scale_codes=scale,
            format_ids=np.zeros_like(scale),
            tensor_scale=np.float32(1),
        )
        expected = [list(gfloat.decode_block(info, [int(code[0]), *row.tolist()])) for row in codes]
        assert np.array_equal(block.decode(coded), np.array(expected), equal_nan=True)


@pytest.mark.parametrize("seed", range(3))
def test_mxfp4_equals_gguf(seed: int) -> None:
    """Scales, codes and bytes; random values meet no ties, where gguf rounds toward zero."""
    values = weights(seed, (64, 128))
    values[3, 32:64] = 0
    coded = get_block_format("mxfp4").encode(values)
    data = get_packing("mxfp4").pack(coded.codes, coded.scale_codes)
    assert np.array_equal(data, quantize(values, Kind.MXFP4).reshape(-1))
    decoded = get_block_format("mxfp4").decode(coded)
    assert np.array_equal(decoded, dequantize(data.reshape(64, -1), Kind.MXFP4))


def test_nvfp4_decodes_as_gguf() -> None:
    values = weights(5, (32, 128), spread=2)
    block = get_block_format("nvfp4")
    coded = block.encode(values)
    data = get_packing("nvfp4").pack(coded.codes, coded.scale_codes).reshape(32, -1)
    expected = dequantize(data, Kind.NVFP4).astype(np.float64) * float(coded.tensor_scale)
    assert np.array_equal(block.decode(coded), expected)
    assert np.abs(expected - values).max() <= np.abs(values).max() / 6


@pytest.mark.parametrize("name", MX_ELEMENTS)
@pytest.mark.parametrize("rule", ["floor_emax", "ceil_noclip"])
def test_mx_elements_equal_ml_dtypes(name: str, rule: str) -> None:
    kind = getattr(ml_dtypes, MX_ELEMENTS[name])
    values = weights(6, (40, 96))
    values[0] = np.arange(96) / 16 * 3.5  # ties
    block = get_block_format(name, rule=rule)
    coded = block.encode(values)
    scales = coded.scale_codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    largest = float(ml_dtypes.finfo(kind).max)
    quotient = (values.reshape(40, 3, 32) / scales[..., None]).clip(-largest, largest)
    expected = quotient.astype(kind).astype(np.float64) * scales[..., None]
    assert np.array_equal(block.decode(coded), expected.reshape(40, 96))
    if rule == "ceil_noclip":
        tight = np.abs(values.reshape(40, 3, 32)).max(axis=2)
        assert (tight <= largest * scales).all() and (tight > largest * scales / 2).all()


def exact_exponent(amax: float, largest: Fraction, rule: str) -> int:
    """Scale exponent in exact arithmetic, by trying."""
    for exponent in range(-127, 128):
        if rule == "ceil_noclip" and Fraction(amax) <= largest * Fraction(2) ** exponent:
            return exponent
        top = 2 ** math.floor(math.log2(largest)) * Fraction(2) ** (exponent + 1)
        if rule == "floor_emax" and Fraction(amax) < top:
            return exponent
    return 127


@settings(max_examples=150, deadline=None)
@given(
    amax=st.one_of(
        st.floats(1e-45, 1e38),
        st.integers(-140, 127).map(lambda e: 2.0**e),
        st.integers(-100, 100).map(lambda e: math.nextafter(2.0**e, 0)),
        st.integers(-100, 100).map(lambda e: 6 * 2.0**e),
    ),
    name=st.sampled_from(E8M0),
    rule=st.sampled_from(["floor_emax", "ceil_noclip"]),
)
def test_scale_rule_is_exact(amax: float, name: str, rule: str) -> None:
    """Also one step below a power of two, where a float logarithm fails."""
    block = get_block_format(name, rule=rule)
    found = int(block.encode([[amax]]).scale_codes[0, 0]) - 127
    assert found == exact_exponent(amax, block.largest, rule)


def test_rounding_of_ties() -> None:
    """Quotients 0.25 0.75 1.25 1.75 2.5 3.5 5 and an exact 6, under scale 1."""
    values = [[0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -5, 6]]
    even = get_block_format("mxfp4")
    away = get_block_format("mxfp4", rounding="away")
    assert even.decode(even.encode(values)).tolist() == [[0, 1, 1, 2, 2, 4, 4, -4, 6]]
    assert away.decode(away.encode(values)).tolist() == [[0.5, 1, 1.5, 2, 3, 4, 6, -6, 6]]


def test_clipping_of_the_floor_rule() -> None:
    """7.9 lies under 8 and above the largest element 6."""
    floor, ceil = (get_block_format("mxfp4", rule=r) for r in ("floor_emax", "ceil_noclip"))
    assert floor.decode(floor.encode([[7.9, 1]])).tolist() == [[6, 1]]
    assert ceil.decode(ceil.encode([[7.9, 1]])).tolist() == [[8, 1]]


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from([*block_formats(), "bfp5_b7"]),
    rows=st.integers(1, 3),
    columns=st.integers(1, 70),
    seed=st.integers(0, 1 << 32),
)
def test_ragged_blocks_and_round_trip(name: str, rows: int, columns: int, seed: int) -> None:
    """A shorter last block is a block of its own, and decoded values encode to themselves."""
    values = weights(seed, (rows, columns))
    block = get_block_format(name)
    coded = block.encode(values)
    size = block.block_size
    assert coded.codes.shape == values.shape
    assert coded.scale_codes.shape == (rows, -(-columns // size))
    first = (columns - 1) // size * size
    if not block.two_level:
        alone = block.encode(values[:, first:])
        assert np.array_equal(alone.codes, coded.codes[:, first:])
        assert np.array_equal(alone.scale_codes[:, 0], coded.scale_codes[:, -1])
    if name in GFLOAT:
        decoded = block.decode(coded)
        assert np.array_equal(block.decode(block.encode(decoded)), decoded)


@pytest.mark.parametrize("name", block_formats())
def test_zero(name: str) -> None:
    block = get_block_format(name)
    coded = block.encode(np.zeros((2, 40)))
    assert not coded.codes.any() and not coded.scale_codes.any() and coded.tensor_scale == 1
    assert not block.decode(coded).any()


@pytest.mark.parametrize("name", [*block_formats(), "bfp4_b16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(name: str, bad: float) -> None:
    with pytest.raises(InputError, match=r"at \(0, 1\) is not finite"):
        get_block_format(name).encode([[1, bad]])


@pytest.mark.parametrize(
    "name, code, value", [("mxfp4", 255, 1.5), ("nvfp4", 0x7F, 2688), ("mxint8", 255, 1.5)]
)
def test_nan_scale_makes_the_block_nan(name: str, code: int, value: float) -> None:
    block = get_block_format(name)
    coded = block.encode(np.full((1, 2 * block.block_size), value))
    coded.scale_codes[0, 1] = code
    expected = [value] * block.block_size + [np.nan] * block.block_size
    assert np.array_equal(block.decode(coded), [expected], equal_nan=True)


def replaced(coded: BlockCodes, **fields) -> BlockCodes:
    """A copy with some fields changed."""
    names = ("codes", "scale_codes", "format_ids", "tensor_scale")
    return BlockCodes(**{name: getattr(coded, name) for name in names} | fields)


def test_malformed_codes() -> None:
    block = get_block_format("nvfp4")
    coded = block.encode(np.ones((2, 20)))
    for fields, message in [
        ({"codes": np.full((2, 20), 16, np.uint8)}, "codes end at 15"),
        ({"codes": np.zeros((2, 0), np.uint8)}, "not empty"),
        ({"codes": np.zeros((2, 20))}, "codes must be uint8"),
        ({"scale_codes": np.zeros((2, 1), np.uint8)}, r"must be uint8 \(2, 2\)"),
        ({"scale_codes": np.zeros((2, 2))}, "not float64"),
        ({"format_ids": np.ones((2, 2), np.uint8)}, "format ids at 0"),
        ({"scale_codes": np.full((2, 2), 0x80, np.uint8)}, "scale code 128 is negative"),
    ]:
        with pytest.raises(InputError, match=message):
            block.decode(replaced(coded, **fields))
    int4 = get_block_format("nvint4")
    with pytest.raises(InputError, match="code 8 has no value"):
        int4.decode(replaced(int4.encode(np.ones((2, 20))), codes=np.full((2, 20), 8, np.uint8)))


@pytest.mark.parametrize("values", [[], [[]], [1, 2], [[[1]]]])
def test_malformed_values(values: list) -> None:
    with pytest.raises(InputError, match="non-empty 2-D"):
        get_block_format("mxfp4").encode(values)


def test_names_and_parameters() -> None:
    with pytest.raises(InputError, match="unknown block format 'mxpf4': did you mean 'mxfp4'"):
        get_block_format("mxpf4")
    with pytest.raises(InputError, match="unknown scale rule of e8m0 scales 'floor'"):
        get_block_format("mxfp4", rule="floor")
    with pytest.raises(InputError, match="unknown scale rule of e4m3 scales 'floor_emax'"):
        get_block_format("nvfp4", rule="floor_emax")
    with pytest.raises(InputError, match="unknown rounding"):
        get_block_format("mxfp4", rounding="down")
    with pytest.raises(InputError, match="2 to 8 mantissa bits, not 9"):
        bfp(9, 16)
    with pytest.raises(InputError, match="block size 0 is not 1 or more"):
        bfp(4, 0)
    with pytest.raises(InputError, match="beyond a float32 tensor scale"):
        get_block_format("nvfp4").encode([[1e300]])
    assert get_block_format("mxfp4", rule="ceil_noclip").provisional


@pytest.mark.parametrize(
    "name, bits",
    {"mxfp8_e5m2": 8.25, "mxfp6_e2m3": 6.25, "mxfp4": 4.25, "mxint8": 8.25, "nvfp4": 4.5}.items(),
)
def test_bits_per_weight(name: str, bits: float) -> None:
    assert get_block_format(name).bits_per_weight == bits
