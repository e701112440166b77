"""Packed beats, read back bit by bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.schema import AcceleratorConfig
from sw.compile import GemmProgram, GemmShape, Machine, resolve_machine, worst_case_widths
from sw.compile.program import pack_bits
from sw.formats import get_family


def draw(seed: int, rows: int, cols: int, lanes: int, family: str, activation_bits=8):
    rng = np.random.default_rng(seed)
    accelerator = AcceleratorConfig(
        name="t", rows=rows, cols=cols, lanes=lanes, activation_bits=activation_bits
    )
    machine = Machine(
        accelerator=accelerator, family=get_family(family), inner_bits=20, outer_bits=27
    )
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (7, 9, 40, 15))
    groups, members = -(-k // group_size), len(machine.family.members)
    low, high = accelerator.integer_range
    program = GemmProgram(
        machine=machine,
        name="t",
        group_size=group_size,
        codes=rng.integers(0, 7, (n, k)).astype(np.uint8),
        format_ids=rng.integers(0, members, (n, groups)).astype(np.uint8),
        scale_codes=rng.integers(0, 256, (n, groups)).astype(np.uint8),
        activations=rng.integers(low, high + 1, (m, k)),
    )
    return program


def as_integer(words: np.ndarray) -> int:
    return sum(int(word) << 32 * i for i, word in enumerate(words))


def field(beat: int, index: int, bits: int) -> int:
    return beat >> index * bits & (1 << bits) - 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 4),
    cols=st.integers(1, 5),
    lanes=st.integers(1, 6),
    family=st.sampled_from(["bitmod_fp4", "bitmod_fp3", "int8", "int6"]),
    activation_bits=st.integers(4, 8),
)
def test_beats_hold_every_operand_once(seed, rows, cols, lanes, family, activation_bits) -> None:
    program = draw(seed, rows, cols, lanes, family, activation_bits)
    t, machine = program.tiling, program.machine
    assert program.weight_beats.shape[:2] == (t.col_tiles, t.groups + t.tile_chunks)
    for col_tile in range(t.col_tiles):
        beats = iter(program.weight_beats[col_tile])
        for group in range(t.groups):
            header = as_integer(next(beats))
            ids = header >> cols * 8
            for col in range(cols):
                n = col_tile * cols + col
                inside = n < t.shape.n
                scale = program.scale_codes[n, group] if inside else 0
                assert field(header, col, 8) == scale
                if machine.family.id_bits:
                    wanted = program.format_ids[n, group] if inside else 0
                    assert field(ids, col, machine.family.id_bits) == wanted
            start = group * program.group_size
            stop = min(start + program.group_size, t.shape.k)
            for first in range(start, stop, lanes):
                beat = as_integer(next(beats))
                assert beat < 1 << machine.chunk_bits
                for col in range(cols):
                    for lane in range(lanes):
                        n, k = col_tile * cols + col, first + lane
                        wanted = program.codes[n, k] if n < t.shape.n and k < stop else 0
                        assert field(beat, col * lanes + lane, machine.family.bits) == wanted
        assert next(beats, None) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 4),
    lanes=st.integers(1, 6),
    activation_bits=st.integers(4, 8),
)
def test_activation_beats(seed, rows, lanes, activation_bits) -> None:
    program = draw(seed, rows, 2, lanes, "int4", activation_bits)
    t = program.tiling
    for row_tile in range(t.row_tiles):
        for chunk, inputs in enumerate(program.chunk_inputs):
            beat = as_integer(program.activation_beats[row_tile, chunk])
            for row in range(rows):
                for lane, k in enumerate(inputs):
                    m = row_tile * rows + row
                    wanted = program.activations[m, k] if m < t.shape.m and k >= 0 else 0
                    got = field(beat, row * lanes + lane, activation_bits)
                    assert got == wanted % (1 << activation_bits)


@given(seed=st.integers(0, 10**6), outer_bits=st.integers(2, 64), cols=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_results_unpack_what_was_packed(seed, outer_bits, cols) -> None:
    program = draw(seed, 2, cols, 3, "int4")
    machine = dataclasses.replace(program.machine, outer_bits=outer_bits)
    program = dataclasses.replace(program, machine=machine)
    t, rng = program.tiling, np.random.default_rng(seed)
    half = 1 << (outer_bits - 1)
    shape = (t.row_tiles * t.rows, t.col_tiles * t.cols)
    values = rng.integers(-half, half - 1, shape, endpoint=True, dtype=np.int64)
    tiled = values.reshape(t.row_tiles, t.rows, t.col_tiles, t.cols).transpose(2, 0, 1, 3)
    raw = pack_bits(tiled.reshape(-1, t.cols), machine.result_bits)
    words = np.zeros((len(raw), -(-raw.shape[1] // 4) * 4), dtype=np.uint8)
    words[:, : raw.shape[1]] = raw
    assert np.array_equal(
        program.unpack_results(words.view("<u4")), values[: t.shape.m, : t.shape.n]
    )


BAD = [
    ({"scale_codes": np.zeros((1, 1), dtype=np.uint8)}, "scale_codes have shape"),
    ({"activations": np.full((1, 3), 128)}, r"activations leave the port's range -128\.\.127"),
    ({"activations": np.zeros((1, 4), dtype=np.int64)}, "weights have 3 inputs, activations 4"),
    ({"activations": np.zeros(3, dtype=np.int64)}, "must be matrices"),
    ({"format_ids": np.full((2, 2), 4, dtype=np.uint8)}, "format id 4 is not in family"),
]


@pytest.mark.parametrize(("change", "sentence"), BAD)
def test_contradictions_are_refused(change, sentence) -> None:
    good = {
        "machine": draw(0, 1, 1, 1, "bitmod_fp4").machine,
        "name": "layer",
        "group_size": 2,
        "codes": np.zeros((2, 3), dtype=np.uint8),
        "format_ids": np.zeros((2, 2), dtype=np.uint8),
        "scale_codes": np.zeros((2, 2), dtype=np.uint8),
        "activations": np.zeros((1, 3), dtype=np.int64),
    }
    GemmProgram(**good)
    with pytest.raises(InputError, match=sentence):
        GemmProgram(**(good | change))


def test_empty_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="GEMM m is 0"):
        GemmShape(m=0, n=1, k=1, group_size=1)


def test_worst_case_widths_hold_for_extreme_weights() -> None:
    """All weights at -8 (level -16), all activations at -128: the largest positive sum."""
    accelerator = AcceleratorConfig(name="t", rows=1, cols=1, lanes=4)
    family = get_family("bitmod_fp4")
    inner, outer = worst_case_widths(accelerator, family, group_size=8, k=20)
    group, total = 8 * 16 * 128, 20 * 16 * 128 * 255
    assert 1 << (inner - 2) <= group < 1 << (inner - 1)
    assert 1 << (outer - 2) <= total < 1 << (outer - 1)
    machine = resolve_machine(accelerator, family, inner, outer)
    assert (machine.inner_bits, machine.outer_bits) == (inner, outer)
