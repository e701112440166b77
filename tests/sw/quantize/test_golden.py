"""Every array of the released BitMoD quantizer, bit for bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sw.formats import FormatFamily, get_family
from sw.formats.block_tables import get_block_format
from sw.quantize import kernels, quantize_blocks, quantize_matrix
from sw.quantize.asymmetric import quantize_asymmetric

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "bitmod_quant_golden.npz"
GROUP = 128
#: arrays of the release and the families that give them
FAMILIES = {
    **{f"mixed_bitmod_{b}": f"bitmod_fp{b}" for b in (3, 4)},
    **{f"mixed_{kind}_{b}": f"bitmod_fp{b}_{kind}" for kind in ("er", "ea") for b in (3, 4)},
    **{f"mixed_ant_{b}": f"ant{b}" for b in (3, 4)},
    **{
        f"fp{b}_{kind}_{sign}_{b}": f"bitmod_fp{b}_{kind}_{sign}"
        for b in (3, 4)
        for kind in ("er", "ea")
        for sign in ("pos", "neg")
    },
    **{f"int_sym_{b}": f"int{b}" for b in (3, 4, 5, 6, 8)},
    "fp3_3": "minifloat_e2m0",
    "fp4_4": "float4_e2m1fn",
    "flint4_4": "flint4s",
    "fp5_e2m2_5": "minifloat_e2m2",
    "fp5_e3m1_5": "minifloat_e3m1",
    "fp6_e2m3_6": "float6_e2m3fn",
    "fp6_e3m2_6": "float6_e3m2fn",
}
#: integers as one more grid of values, ties to the lower one
LOWER = {f"int{b}_{b}": f"int{b}" for b in (3, 4)}
ASYMMETRIC = {f"int_asym_{b}": b for b in (3, 4)}
BLOCKS = {f"mx_fp_{b}": f"mxfp{b}_bitmod" for b in (3, 4)}
CHOICES = {f"choice_{b}": f"bitmod_fp{b}" for b in (3, 4)}


@pytest.fixture(scope="module")
def golden():
    if not GOLDEN.is_file():
        pytest.skip("../shared/data/bitmod_quant_golden.npz is not there")
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def same_bits(found, wanted) -> bool:
    """Equal float16 bits; adding +0 makes -0 and 0 one value."""
    assert found.dtype == wanted.dtype == np.float16
    zero = np.float16(0)
    return np.array_equal((found + zero).view(np.uint16), (wanted + zero).view(np.uint16))


def test_every_array_is_compared(golden):
    compared = [*FAMILIES, *LOWER, *ASYMMETRIC, *BLOCKS, *CHOICES, "w_fp16"]
    assert sorted(compared) == sorted(golden)


@pytest.mark.parametrize("use_numba", [True, False])
@pytest.mark.parametrize("array", FAMILIES)
def test_families(golden, monkeypatch, array, use_numba):
    monkeypatch.setattr(kernels, "COMPILED", use_numba and kernels.COMPILED)
    matrix = quantize_matrix(golden["w_fp16"], get_family(FAMILIES[array]), group_size=GROUP)
    assert same_bits(matrix.dequantize(np.float16), golden[array])


@pytest.mark.parametrize("array", CHOICES)
def test_choices(golden, array):
    matrix = quantize_matrix(golden["w_fp16"], get_family(CHOICES[array]), group_size=GROUP)
    assert np.array_equal(matrix.format_ids, golden[array])


@pytest.mark.parametrize("array", LOWER)
def test_integers_with_ties_to_the_lower_level(golden, array):
    member = replace(get_family(LOWER[array]).members[0], ties="lower")
    family = FormatFamily(name=member.name, members=(member,))
    matrix = quantize_matrix(golden["w_fp16"], family, group_size=GROUP)
    assert same_bits(matrix.dequantize(np.float16), golden[array])
    even = quantize_matrix(golden["w_fp16"], get_family(LOWER[array]), group_size=GROUP)
    assert not same_bits(even.dequantize(np.float16), golden[array])


@pytest.mark.parametrize("array", ASYMMETRIC)
def test_zero_points(golden, array):
    matrix = quantize_asymmetric(golden["w_fp16"], bits=ASYMMETRIC[array], group_size=GROUP)
    assert same_bits(matrix.dequantize(np.float16), golden[array])


@pytest.mark.parametrize("array", BLOCKS)
def test_mx_of_the_release(golden, array):
    block = get_block_format(BLOCKS[array])
    matrix = quantize_blocks(golden["w_fp16"], block)
    assert same_bits(matrix.dequantize(np.float16), golden[array])
    values = block.decode(block.encode(golden["w_fp16"]))
    assert np.allclose(matrix.dequantize(np.float64), values, rtol=1e-7, atol=0)


@pytest.mark.parametrize("bits", [3, 4])
def test_float32_differs_in_few_groups(golden, bits):
    """And is not worse for it."""
    weights = golden["w_fp16"].astype(np.float64)
    found = {
        arithmetic: quantize_matrix(
            golden["w_fp16"],
            get_family(f"bitmod_fp{bits}"),
            group_size=GROUP,
            arithmetic=arithmetic,
        )
        for arithmetic in ("float16", "float32")
    }
    half, single = found["float16"], found["float32"]
    assert 0 < (half.format_ids != single.format_ids).mean() < 0.03
    errors = [np.mean((m.dequantize(np.float64) - weights) ** 2) for m in (half, single)]
    assert errors[1] < errors[0] * 1.0005


def test_mx_rule_by_hand():
    """Scale 2**floor(log2 amax), largest element twice that, ties to the lower value."""
    block = get_block_format("mxfp4_bitmod")
    values = np.array([[1.0, 1.5, 0.25, -0.25, 0.0], [0.99, -0.3, 0, 0, 0]])
    coded = block.encode(values)
    assert coded.scale_codes.tolist() == [[127], [126]]
    levels = get_family(block.element).members[0].decode(coded.codes).tolist()
    assert levels == [[6, 8, 1, -2, 0], [12, -4, 0, 0, 0]]
    assert block.decode(coded)[0, :2] == pytest.approx([1, 4 / 3])
    assert block.bits_per_weight == 4.25
    coarse = get_block_format("mxfp3_bitmod").encode([[1.0, 0.75, -0.75, 1.9]])
    levels = get_family("minifloat_e2m0").members[0].decode(coarse.codes).tolist()
    assert levels == [[2, 1, -2, 4]] and coarse.scale_codes.tolist() == [[127]]


@pytest.mark.parametrize("bits", [3, 4])
def test_ablation_families(bits):
    whole = get_family(f"bitmod_fp{bits}").members
    assert get_family(f"bitmod_fp{bits}_er").members == whole[:2]
    assert get_family(f"bitmod_fp{bits}_ea").members == whole[2:]
    assert get_family(f"bitmod_fp{bits}_er").id_bits == 1
