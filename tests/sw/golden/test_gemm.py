"""The golden model against Python integers, one multiplication at a time."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from configs.schema import AcceleratorConfig, AccumulatorConfig
from sw.accumulators import reference_accumulate
from sw.compile import GemmProgram, Machine
from sw.formats import get_family
from sw.golden import golden_gemm


def draw_program(seed: int, family: str, modes, widths, lanes: int) -> GemmProgram:
    rng = np.random.default_rng(seed)
    accelerator = AcceleratorConfig(
        name="t",
        rows=2,
        cols=3,
        lanes=lanes,
        inner_accumulator=AccumulatorConfig(mode=modes[0]),
        outer_accumulator=AccumulatorConfig(mode=modes[1]),
    )
    machine = Machine(
        accelerator=accelerator,
        family=get_family(family),
        inner_bits=widths[0],
        outer_bits=widths[1],
    )
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (4, 6, 30, 12))
    groups = -(-k // group_size)
    ids = rng.integers(0, len(machine.family.members), (n, groups))
    codes = np.zeros((n, k), dtype=np.uint8)
    for channel in range(n):
        for i in range(k):
            levels = machine.family.members[ids[channel, i // group_size]].levels
            codes[channel, i] = rng.choice([c for c, v in enumerate(levels) if v is not None])
    return GemmProgram(
        machine=machine,
        name="random",
        group_size=group_size,
        codes=codes,
        format_ids=ids.astype(np.uint8),
        scale_codes=rng.integers(0, 256, (n, groups)).astype(np.uint8),
        activations=rng.integers(-128, 128, (m, k)),
    )


def python_outputs(program: GemmProgram) -> list[list[int]]:
    """Exact outputs from codes, level tables and scales alone."""
    members = program.machine.family.members
    return [
        [
            sum(
                members[program.format_ids[n, k // program.group_size]].levels[program.codes[n, k]]
                * int(program.activations[m, k])
                * int(program.scale_codes[n, k // program.group_size])
                for k in range(program.shape.k)
            )
            for n in range(program.shape.n)
        ]
        for m in range(program.shape.m)
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    family=st.sampled_from(["bitmod_fp4", "bitmod_fp3", "int4", "int6", "int8"]),
    outer_bits=st.sampled_from([10, 17, 40, 64]),
)
def test_wrap_is_the_exact_sum_modulo(seed: int, family: str, outer_bits: int) -> None:
    program = draw_program(seed, family, ("wrap", "wrap"), (32, outer_bits), 3)
    result = golden_gemm(program)
    half = 1 << (outer_bits - 1)
    wanted = [[(v + half) % (2 * half) - half for v in row] for row in python_outputs(program)]
    assert result.outputs.tolist() == wanted
    assert not result.inner_overflow.any() and not result.outer_overflow.any()


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    family=st.sampled_from(["bitmod_fp4", "int4", "int8"]),
    modes=st.tuples(*[st.sampled_from(["wrap", "saturate", "flag"])] * 2),
    widths=st.tuples(st.integers(8, 16), st.integers(10, 24)),
    lanes=st.integers(1, 4),
)
def test_every_mode_equals_the_step_by_step_replay(seed, family, modes, widths, lanes) -> None:
    program = draw_program(seed, family, modes, widths, lanes)
    result = golden_gemm(program)
    flags = np.zeros((2, 3), dtype=bool)
    for m in range(program.shape.m):
        for n in range(program.shape.n):
            replay = reference_accumulate(
                program.levels[n],
                program.activations[m],
                terms=program.machine.terms,
                group_size=program.group_size,
                lanes=lanes,
                scale_row=program.scale_codes[n],
                inner_bits=widths[0],
                outer_bits=widths[1],
                inner_mode=modes[0],
                outer_mode=modes[1],
            )
            assert result.outputs[m, n] == replay.value
            assert result.group_sums[:, m, n].tolist() == list(replay.group_sums)
            flags[0, n % 3] |= replay.inner_flag and modes[0] != "wrap"
            flags[1, n % 3] |= replay.outer_flag and modes[1] != "wrap"
    assert result.inner_overflow.tolist() == flags[0].tolist()
    assert result.outer_overflow.tolist() == flags[1].tolist()


def test_a_wrong_term_table_is_noticed(monkeypatch) -> None:
    program = draw_program(1, "int4", ("flag", "flag"), (20, 30), 2)
    table = program.machine.terms
    wrong = dict(table.terms) | {5: table.terms[4]}
    broken = dataclasses.replace(table, terms=wrong)
    monkeypatch.setattr(Machine, "terms", broken)
    program.codes[0, 0] = 5
    with pytest.raises(AssertionError, match="does not add up"):
        golden_gemm(program)


def test_sums_beyond_62_bits_are_refused(monkeypatch) -> None:
    program = draw_program(1, "int8", ("wrap", "wrap"), (20, 30), 2)
    monkeypatch.setattr(type(program.machine.family), "max_magnitude", 1 << 44)
    with pytest.raises(InputError, match="too long for exact 64-bit sums"):
        golden_gemm(program)
