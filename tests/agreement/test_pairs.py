"""OliVe pairs in RTL: every byte that means something, and what is refused."""

import dataclasses

import numpy as np
import pytest

from bitsmith.verify import Case, verify
from configs.errors import InputError
from sw.compile import GemmProgram
from sw.formats.pairs import get_pair_format, stored_codes, without_crowded_pairs
from sw.golden import golden_gemm
from sw.quantize import quantize_matrix

from .machines import machine


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["olive4", "olive4_flint"])
def test_every_byte(name: str) -> None:
    """One output per byte: token (1, 0) sees the left level, token (0, 1) the right one."""
    pair = get_pair_format(name)
    table = [(byte, levels) for byte, levels in enumerate(pair.byte_table) if levels is not None]
    stored = np.array([[byte & 15, byte >> 4] for byte, _ in table], dtype=np.uint8)
    built = machine(2, 3, 4, name)
    program = GemmProgram(
        machine=built,
        name="bytes",
        group_size=2,
        codes=pair.stream(stored),
        format_ids=np.zeros((len(table), 1), dtype=np.uint8),
        scale_codes=np.ones((len(table), 1), dtype=np.uint8),
        activations=np.eye(2, dtype=np.int64),
    )
    assert golden_gemm(program).outputs.T.tolist() == [list(levels) for _, levels in table]
    (result,) = verify(built, [Case(name="bytes", program=program)])
    assert result.passed, result.failure


def test_stored_codes_invert_the_decoder() -> None:
    pair, rng = get_pair_format("olive4"), np.random.default_rng(0)
    stored = pair.encode(rng.standard_normal((5, 40)) * 20)
    assert (stored == 8).any()
    assert np.array_equal(stored_codes(pair.stream(stored).astype(np.int64), 4), stored)
    crowded = rng.integers(16, 32, (3, 7)).astype(np.uint8)
    stored_codes(np.pad(without_crowded_pairs(crowded, 4), ((0, 0), (0, 1))).astype(np.int64), 4)


def test_quantized_weights_keep_outliers() -> None:
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((4, 61)) * 0.02
    weights[:, ::20] *= 12
    pair = get_pair_format("olive4")
    matrix = quantize_matrix(weights.astype(np.float16), pair.family, group_size=61)
    plain = quantize_matrix(
        weights.astype(np.float16), machine(1, 1, 2, "int4").family, group_size=61
    )
    errors = [((m.dequantize(np.float64) - weights) ** 2).mean() for m in (matrix, plain)]
    assert errors[0] < errors[1] / 2
    assert matrix.bits_per_weight == pytest.approx(4 + 16 / 61)


def test_what_cannot_be_stored_is_refused() -> None:
    with pytest.raises(InputError, match="an outlier beside a weight that is not 0"):
        stored_codes(np.array([[17, 3]]), 4)
    with pytest.raises(InputError, match="3 lanes: pairs of 'olive4' need an even number"):
        machine(1, 1, 3, "olive4")
    weights = np.ones((2, 12), dtype=np.float16)
    with pytest.raises(InputError, match="group size 3 splits a pair"):
        quantize_matrix(weights, get_pair_format("olive4").family, group_size=3)
    built = machine(1, 1, 2, "olive4")
    program = GemmProgram(
        machine=built, name="p", group_size=4, codes=np.zeros((1, 8), dtype=np.uint8),
        format_ids=np.zeros((1, 2), dtype=np.uint8), scale_codes=np.ones((1, 2), dtype=np.uint8),
        activations=np.zeros((1, 8), dtype=np.int64),
    )  # fmt: skip
    odd = np.zeros((1, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="group size 3 splits a pair"):
        dataclasses.replace(program, group_size=3, format_ids=odd, scale_codes=odd)
