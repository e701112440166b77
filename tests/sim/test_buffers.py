"""Tile buffers in time: repeated tiles and rounds are skipped exactly."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.accelerator import (
    AcceleratorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from sim import Gaps, simulate_gemm
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import activation_port, inner_tiles, weight_port
from sw.formats import get_family

from .clocked import clocked
from .visits import visited_groups

#: words of a tile that make a stream slower than the array, in bytes
NARROW = (8, 16, 24, 64)


@st.composite
def machines(draw, *, buffered: bool | None = None) -> Machine:
    """Small arrays; requantizer, shared dequantizers, narrow and wide streams."""
    rows = draw(st.integers(1, 3))
    has_buffers = draw(st.booleans()) if buffered is None else buffered
    streams = {"result_bits": draw(st.sampled_from(("auto", *NARROW)))}
    if has_buffers:
        for name in ("weight_bits", "activation_bits"):
            streams[name] = draw(st.sampled_from(("auto", *NARROW)))
    array = AcceleratorConfig(
        name="t",
        rows=rows,
        cols=draw(st.integers(1, 4)),
        lanes=draw(st.integers(1, 5)),
        queue_beats=draw(st.integers(2, 6)),
        scale=ScaleConfig(format=draw(st.sampled_from(("uint8", "e8m0"))), shift="barrel"),
        rows_per_dequantizer=draw(st.sampled_from((1, rows))),
        requantizer=draw(st.sampled_from((None, RequantizerConfig()))),
        streams=StreamConfig(**streams),
        buffers=_roomy(draw(st.sampled_from(("weights", "activations")))) if has_buffers else None,
    )
    family = get_family(draw(st.sampled_from(("bitmod_fp4", "ternary", "int8"))))
    return Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)


def _roomy(stationary: str) -> BufferConfig:
    return BufferConfig(weight_beats=500, activation_beats=500, stationary=stationary)


def shapes(tokens: int) -> st.SearchStrategy[GemmShape]:
    """Few inputs, so that rounds are short and their fill and drain matter."""
    return st.builds(
        GemmShape,
        m=st.integers(1, tokens),
        n=st.integers(1, tokens),
        k=st.integers(1, 24),
        group_size=st.integers(1, 24),
    )


def exact(built: Machine, shape: GemmShape) -> Machine:
    """The machine with the smallest buffers that hold a tile of ``shape``."""
    array, t = built.accelerator, tiling(built, shape)
    assert array.buffers is not None
    sizes = [len(port.beat_words(t)) for port in (weight_port(built), activation_port(built))]
    buffers = replace(array.buffers, weight_beats=max(2, sizes[0]), activation_beats=sizes[1])
    return replace(built, accelerator=replace(array, buffers=buffers))


@settings(max_examples=400, deadline=None)
@given(built=machines(), shape=shapes(50))
def test_skipping_rounds_changes_nothing(built: Machine, shape: GemmShape) -> None:
    """Every total and every counter; large jobs of short rounds, so that much is skipped."""
    assert simulate_gemm(built, shape, stepped=True) == simulate_gemm(built, shape)


@settings(max_examples=150, deadline=None)
@given(built=machines(buffered=True), shape=shapes(90), tokens=st.booleans())
def test_skipping_with_a_resident_operand(built: Machine, shape: GemmShape, tokens: bool) -> None:
    """An inner loop of one tile: the other operand is loaded once and stays for the whole job."""
    one = {"m": 1} if tokens else {"n": 1}
    shape = replace(shape, **one)
    assert simulate_gemm(built, shape, stepped=True) == simulate_gemm(built, shape)
    by_one = inner_tiles(built, tiling(built, shape)) == 1
    weights_stay = built.accelerator.buffers.stationary == "weights"
    assert by_one or weights_stay != tokens


@settings(max_examples=100, deadline=None)
@given(built=machines(buffered=True), shape=shapes(12))
def test_time_does_not_depend_on_spare_room(built: Machine, shape: GemmShape) -> None:
    """A half holds one tile: beats beyond the tile's are never used."""
    assert simulate_gemm(exact(built, shape), shape) == simulate_gemm(built, shape)


gap_lists = st.lists(st.integers(0, 9), max_size=80).map(lambda g: np.array(g, dtype=np.int64))
all_gaps = st.builds(Gaps, weights=gap_lists, activations=gap_lists, results=gap_lists)


@settings(max_examples=250, deadline=None)
@given(built=machines(buffered=True), shape=shapes(7), gaps=all_gaps)
def test_equals_a_model_that_is_clocked(built: Machine, shape: GemmShape, gaps: Gaps) -> None:
    """The second model, written from docs/timing.md alone, advances every register by one clock."""
    for room in (built, exact(built, shape)):
        report = simulate_gemm(room, shape, gaps)
        assert (report.total_cycles, report.causes) == clocked(room, shape, gaps)


@pytest.mark.parametrize("stationary", ["weights", "activations"])
@pytest.mark.parametrize("m, n", [(2048, 2048), (1, 2048), (2048, 1)])
def test_few_groups_are_visited(stationary: str, m: int, n: int) -> None:
    """A job of up to a million tiles is known after some of the first rounds' first tiles."""
    for weight_bits, activation_bits in ((8, 128), (128, 8), (32, 32)):
        array = AcceleratorConfig(
            name="t",
            rows=2,
            cols=2,
            lanes=2,
            buffers=_roomy(stationary),
            streams=StreamConfig(weight_bits=weight_bits, activation_bits=activation_bits),
        )
        family = get_family("bitmod_fp4")
        built = Machine(accelerator=array, family=family, inner_bits=20, outer_bits=34)
        for group_size in (2, 8, 32):
            shape = GemmShape(m=m, n=n, k=64, group_size=group_size)
            report = simulate_gemm(built, shape)
            assert sum(report.causes.values()) == report.total_cycles
            assert visited_groups(built, shape) < 1000
