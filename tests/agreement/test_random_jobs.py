"""RTL = golden = simulator on random jobs: outputs, overflow bits, cycles, every counter."""

import itertools

import numpy as np
import pytest

from bitsmith.verify import Case, draw_gaps, random_cases, random_program, verify
from configs.accelerator import RequantizerConfig, ScaleConfig
from sw.compile import GemmProgram, Machine
from sw.golden import golden_gemm

from .machines import ALL_STAGES, FAST, STAGES, machine

pytestmark = pytest.mark.rtl
CASES_PER_MACHINE = 60


def assert_agreement(built: Machine, cases: list[Case]) -> list:
    results = verify(built, cases)
    failures = [f"{result.name}: {result.failure}" for result in results if result.failure]
    assert not failures, failures[0]
    assert len(results) == len(cases)
    return results


@pytest.mark.parametrize("name", FAST)
def test_random_shapes_and_gaps(name: str) -> None:
    rng = np.random.default_rng(len(name))
    cases = random_cases(FAST[name], CASES_PER_MACHINE, rng)
    without = [Case(name=f"{case.name}, no gaps", program=case.program) for case in cases[::3]]
    results = assert_agreement(FAST[name], cases + without)
    causes = {cause: sum(r.causes[cause] for r in results) for cause in results[0].causes}
    assert all(causes.values()), f"a stall cause never occurred: {causes}"


@pytest.mark.parametrize("name", STAGES)
def test_optional_stages(name: str) -> None:
    rng = np.random.default_rng(len(name))
    results = assert_agreement(STAGES[name], random_cases(STAGES[name], 40, rng))
    assert all(result.outputs for result in results)


def test_outputs_of_the_requantizer_are_spread() -> None:
    """Random multipliers and shifts leave outputs at both ends and between."""
    rng = np.random.default_rng(11)
    cases = random_cases(STAGES["requantizer"], 40, rng)
    outputs = np.concatenate([golden_gemm(case.program).outputs.ravel() for case in cases])
    assert {-128, 127} <= set(outputs.tolist())
    assert ((outputs > -128) & (outputs < 127) & (outputs != 0)).mean() > 0.1


def test_special_values_stay_until_they_are_written_again() -> None:
    """Two programs on one running design: each sees its own special values."""
    built = STAGES["special values"]
    rng = np.random.default_rng(5)
    cases = [Case(name=f"job {i}", program=random_program(built, 2, 3, 24, 8, rng)) for i in "abc"]
    specials = {case.program.specials for case in cases}
    assert len(specials) == 3
    assert_agreement(built, cases)


def test_narrow_accumulators_did_overflow() -> None:
    """The jobs above mean something for the modes only if sums leave the range."""
    for name, built in (FAST | STAGES).items():
        modes = (
            built.accelerator.inner_accumulator.mode,
            built.accelerator.outer_accumulator.mode,
        )
        rng = np.random.default_rng(len(name))
        golden = [golden_gemm(c.program) for c in random_cases(built, CASES_PER_MACHINE, rng)]
        assert any(g.inner_overflow.any() for g in golden) == (modes[0] != "wrap")
        assert any(g.outer_overflow.any() for g in golden) == (modes[1] != "wrap")


def test_every_format_id_in_one_tile() -> None:
    """All members of the family, switching between adjacent groups and adjacent columns."""
    built = FAST["4x4x4 bitmod_fp4"]
    rng = np.random.default_rng(7)
    program = random_program(built, 4, 4, 96, 8, rng)
    members = len(built.family.members)
    columns, groups = np.arange(4)[:, None], np.arange(12)
    program.format_ids[:] = (columns + groups) % members
    # every code of every member, the special value included
    program.codes[:] = rng.permuted(np.resize(np.arange(16), program.codes.shape), axis=1)
    assert (np.diff(program.format_ids, axis=0) != 0).all()
    assert (np.diff(program.format_ids, axis=1) != 0).all()
    for member in range(members):
        used = program.format_ids[:, program.group_of] == member
        assert set(program.codes[used]) == set(range(16))
    case = Case(name="all ids", program=program, gaps=draw_gaps(program, rng))
    assert_agreement(built, [case])


def test_missing_columns_of_a_format_without_zero() -> None:
    """Padding cannot be a level 0 in ``binary``: its sums may set the column's sticky bit."""
    built = machine(1, 3, 2, "binary", modes=("flag", "flag"), widths=(10, 30))
    program = GemmProgram(
        machine=built,
        name="four channels on three columns",
        group_size=40,
        codes=np.tile(np.array([0, 1], dtype=np.uint8), (4, 20)),
        format_ids=np.zeros((4, 1), dtype=np.uint8),
        scale_codes=np.ones((4, 1), dtype=np.uint8),
        activations=np.full((1, 40), 127),
    )
    # the channels' own weights cancel pair by pair; padding adds up to -40 x 127
    assert golden_gemm(program).inner_overflow.tolist() == [False, True, True]
    assert_agreement(built, [Case(name="padding", program=program)])


def test_long_back_pressure() -> None:
    """Results that nobody takes for a long time stall the array, and nothing is lost."""
    built = FAST["4x4x4 bitmod_fp4"]
    rng = np.random.default_rng(3)
    program = random_program(built, 9, 9, 40, 8, rng)
    gaps = draw_gaps(program, rng)
    gaps.results[::5] = 400
    results = assert_agreement(built, [Case(name="slow sink", program=program, gaps=gaps)])
    assert results[0].causes["output"] > 1000


def random_options(rows: int, family: str, rng: np.random.Generator) -> dict:
    """Every optional stage with a chance of its own."""
    scale = ScaleConfig(
        format=rng.choice(["uint8", "e8m0", "e4m3"]),
        shift=rng.choice(["serial", "barrel"]),
        binades=int(rng.integers(1, 16)),
    )
    divisors = [n for n in range(1, rows + 1) if rows % n == 0]
    requantizer = RequantizerConfig(
        multiplier_bits=int(rng.integers(4, 17)), shift_bits=int(rng.integers(3, 7))
    )
    return {
        "activation_signed": bool(rng.integers(2)),
        "zero_point_bits": int(rng.choice([0, 0, 3, 4, 8])),
        "programmable": family.startswith("bitmod") and bool(rng.integers(2)),
        "rows_per_dequantizer": int(rng.choice(divisors)),
        "pipeline": tuple(stage for stage in ALL_STAGES if rng.integers(2)),
        "adders": str(rng.choice(["chain", "compressor"])),
        "requantizer": requantizer if rng.integers(2) else None,
        "scale": scale,
    }


@pytest.mark.agreement
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("modes", list(itertools.product(("wrap", "saturate", "flag"), repeat=2)))
def test_sweep(seed: int, modes: tuple[str, str]) -> None:
    """The full sweep: 54 random machines, 100 jobs each."""
    rng = np.random.default_rng([seed, *map(len, modes)])
    rows, cols, lanes = (int(rng.integers(1, high)) for high in (6, 6, 9))
    family = ("bitmod_fp4", "bitmod_fp3", "int8", "int6", "int4")[int(rng.integers(5))]
    built = machine(
        rows,
        cols,
        lanes,
        family,
        modes=modes,
        widths=(int(rng.integers(8, 20)), int(rng.integers(10, 30))),
        activation_bits=int(rng.integers(4, 9)),
        queue_beats=int(rng.integers(2, 9)),
        **random_options(rows, family, rng),
    )
    assert_agreement(built, random_cases(built, 100, rng))
