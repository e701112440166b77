"""Block layouts of ggml, byte for byte against the gguf package."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf.quants import dequantize, quantize

from sw.formats.packing import get_packing

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@pytest.mark.parametrize("name, kind", [("tq1_0", Kind.TQ1_0), ("tq2_0", Kind.TQ2_0)])
def test_ternary_blocks(name: str, kind: Kind) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, (3, 512)).astype(np.uint8)
    scales = rng.uniform(0.1, 2, (3, 2)).astype(np.float16)
    codes[:, ::256] = 2  # gguf takes the largest magnitude of a block as its scale
    weights = (codes.astype(np.float32) - 1) * np.repeat(scales, 256, axis=1).astype(np.float32)
    packing = get_packing(name)
    data = packing.pack(codes, scales)
    assert np.array_equal(data, quantize(weights, kind).reshape(-1))
    assert np.array_equal(dequantize(data.reshape(3, -1), kind), weights)
    assert np.array_equal(packing.unpack(data, codes.shape), codes)
    assert np.array_equal(packing.unpack_scales(data, codes.shape), scales)
    assert len(data) * 8 / codes.size == packing.bits_per_weight


def test_mxfp4() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 16, (4, 96)).astype(np.uint8)
    scales = rng.integers(100, 150, (4, 3)).astype(np.uint8)
    packing = get_packing("mxfp4")
    data = packing.pack(codes, scales)
    values = E2M1[codes] * np.repeat(2.0 ** (scales.astype(int) - 127), 32, axis=1)
    assert np.array_equal(dequantize(data.reshape(4, -1), Kind.MXFP4), values)
    codes[codes == 8] = 0  # gguf never writes -0
    codes[:, ::32] = 7  # the scale of a block follows from its largest magnitude
    data = packing.pack(codes, scales)
    values = E2M1[codes] * np.repeat(2.0 ** (scales.astype(int) - 127), 32, axis=1)
    assert np.array_equal(quantize(values.astype(np.float32), Kind.MXFP4).reshape(-1), data)
    assert np.array_equal(packing.unpack(data, codes.shape), codes)
    assert np.array_equal(packing.unpack_scales(data, codes.shape), scales)
    assert packing.bits_per_weight == 4.25 == len(data) * 8 / codes.size


def test_nvfp4() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 16, (5, 128)).astype(np.uint8)
    scales = rng.integers(0, 0x7F, (5, 8)).astype(np.uint8)
    packing = get_packing("nvfp4")
    data = packing.pack(codes, scales)
    low, high = scales & 7, (scales >> 3).astype(int)
    e4m3 = np.where(high == 0, low * 2.0**-9, (1 + low / 8) * 2.0 ** (high - 7))
    values = E2M1[codes] * np.repeat(e4m3, 16, axis=1)
    assert np.array_equal(dequantize(data.reshape(5, -1), Kind.NVFP4), values)
    assert np.array_equal(packing.unpack(data, codes.shape), codes)
    assert np.array_equal(packing.unpack_scales(data, codes.shape), scales)
    assert packing.bits_per_weight == 4.5 == len(data) * 8 / codes.size
