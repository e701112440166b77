"""The hard cases by name, each on the RTL: nothing lost, nothing wrong, no hang."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bitsmith.verify import Case, CaseResult, draw_gaps, random_program, verify
from configs.accelerator import BufferConfig, StreamConfig
from configs.errors import InputError
from configs.timing import dequantizer_cycles
from hw.benches.batch import BatchBench, accelerator_verilog
from sim import Gaps, simulate_gemm
from sw.compile import GemmProgram, GemmShape, Machine, tiling
from sw.compile.registers import CONTROL_BITS, ERROR_BITS, SHAPE, STATUS_BITS
from sw.compile.transfers import Transfers, activation_port, weight_port
from sw.golden import golden_gemm

from .machines import FAST, machine

pytestmark = pytest.mark.rtl

ROOMY = BufferConfig(weight_beats=250, activation_beats=130)
STREAMS = StreamConfig(weight_bits=16, activation_bits=24, result_bits=32)
#: without buffers, and with them in both orders
MACHINES: dict[str, Machine] = {
    "direct": FAST["4x4x4 bitmod_fp4"],
    "weights stay": machine(3, 2, 4, "bitmod_fp4", buffers=ROOMY, streams=STREAMS),
    "activations stay": machine(
        2, 3, 4, "int4", buffers=replace(ROOMY, stationary="activations"), streams=STREAMS
    ),
}
everywhere = pytest.mark.parametrize("name", MACHINES)


def bits(names: dict[str, str], *wanted: str) -> int:
    """Register value with the named bits set."""
    return sum(1 << list(names).index(name) for name in wanted)


@cache
def verilog(name: str) -> str:
    """Generated once for all tests."""
    return accelerator_verilog(MACHINES[name])


def run(name: str, cases: list[Case]) -> list[CaseResult]:
    """Run jobs; everything agrees."""
    return without_failure(verify(MACHINES[name], cases, verilog=verilog(name)), len(cases))


def without_failure(results: list[CaseResult], count: int) -> list[CaseResult]:
    """All of ``count`` results, none of which is a failure."""
    failures = [f"{result.name}: {result.failure}" for result in results if result.failure]
    assert not failures, failures[0]
    assert len(results) == count
    return results


def agree(name: str, *shapes: tuple[int, int, int, int]) -> list[CaseResult]:
    """Jobs of these shapes (M, N, K, group size), each with and without gaps."""
    rng = np.random.default_rng(len(name))
    programs = [random_program(MACHINES[name], *shape, rng) for shape in shapes]
    cases = [Case(name=program.name, program=program) for program in programs]
    cases += [Case(name=f"{p.name}, gaps", program=p, gaps=draw_gaps(p, rng)) for p in programs]
    return run(name, cases)


@everywhere
def test_k_is_no_multiple_of_group_or_lanes(name: str) -> None:
    shapes = [(5, 5, 37, 8), (3, 4, 37, 6), (4, 7, 41, 41), (6, 3, 7, 5), (2, 2, 50, 49)]
    for _, _, k, group_size in shapes:
        lanes = MACHINES[name].accelerator.lanes
        assert k % lanes and (k % group_size or group_size % lanes)
    agree(name, *shapes)


@everywhere
def test_one_token(name: str) -> None:
    """Decode: M = 1, N from one tile to many."""
    agree(name, (1, 1, 1, 1), (1, 3, 32, 8), (1, 40, 64, 16), (1, 17, 20, 49))


@everywhere
def test_one_channel(name: str) -> None:
    agree(name, (1, 1, 32, 8), (7, 1, 64, 16), (40, 1, 20, 49))


@everywhere
def test_more_tokens_than_rows(name: str) -> None:
    rows = MACHINES[name].accelerator.rows
    agree(name, (rows + 1, 5, 32, 8), (5 * rows, 5, 32, 8), (9 * rows - 1, 2, 12, 4))


@pytest.mark.parametrize("field", ["m", "n", "k", "group_size"])
def test_zero_size_is_refused(field: str) -> None:
    sizes = {"m": 2, "n": 2, "k": 8, "group_size": 4, field: 0}
    with pytest.raises(InputError, match=f"GEMM {field} is 0, it must be at least 1"):
        GemmShape(**sizes)


@everywhere
def test_zero_in_a_shape_register_is_an_error(name: str) -> None:
    """Each in turn: FAULT, its error bit, no result; after CLEAR a job runs as if nothing was."""
    built = MACHINES[name]
    program = random_program(built, 5, 5, 20, 8, np.random.default_rng(1))
    job = Transfers(program=program)
    inner_too_large = {**job.shape_registers, "INNER_TILES": job.shape_registers["TILES"] + 1}
    wrong = [{**job.shape_registers, register.upper(): 0} for register in SHAPE]
    with BatchBench(built, verilog=verilog(name)) as bench:
        for registers in [*wrong, inner_too_large]:
            for register, value in registers.items():
                bench.write(register, value)
            bench.write("CONTROL", bits(CONTROL_BITS, "start"))
            assert bench.read("STATUS") == bits(STATUS_BITS, "fault")
            assert bench.read("ERRORS") == bits(ERROR_BITS, "bad_shape")
            bench.write("CONTROL", bits(CONTROL_BITS, "clear"))
            assert bench.read("STATUS") == bench.read("ERRORS") == 0
            result = bench.run(program)
            assert (result.outputs == golden_gemm(program).outputs).all()
            assert result.total_cycles == simulate_gemm(built, program.shape).total_cycles


def with_buffers(built: Machine, weight_beats: int, activation_beats: int) -> Machine:
    """The machine with halves of other sizes."""
    array = built.accelerator
    assert array.buffers is not None
    buffers = replace(array.buffers, weight_beats=weight_beats, activation_beats=activation_beats)
    return replace(built, accelerator=replace(array, buffers=buffers))


@pytest.mark.parametrize("name", ["weights stay", "activations stay"])
def test_the_smallest_buffer_works_and_one_beat_less_is_refused(name: str) -> None:
    """Software says how much is needed; the hardware with less stops with its error bit."""
    roomy, shape = MACHINES[name], (7, 7, 40, 8)
    t = tiling(roomy, GemmShape(m=7, n=7, k=40, group_size=8))
    sizes = [len(port.beat_words(t)) for port in (weight_port(roomy), activation_port(roomy))]
    assert sizes == [t.groups + t.tile_chunks, t.tile_chunks]
    smallest = with_buffers(roomy, *sizes)
    rng = np.random.default_rng(2)
    program = random_program(smallest, *shape, rng)
    cases = [Case(name="exact", program=program, gaps=draw_gaps(program, rng))]
    cases.append(Case(name="no gaps", program=program))
    without_failure(verify(smallest, cases), 2)
    for index, operand in enumerate(("weights", "activations")):
        less = [size - (place == index) for place, size in enumerate(sizes)]
        small = with_buffers(roomy, *less)
        refused = replace(program, machine=small)
        key = f"{operand.removesuffix('s')}_beats"
        message = f"takes {sizes[index]} beats of {operand}, buffers: {key} is {less[index]}"
        with pytest.raises(InputError, match=f"{message}: set it to {sizes[index]} or more"):
            Transfers(program=refused)
        with pytest.raises(InputError, match=message):
            simulate_gemm(small, refused.shape)
        stops_as_too_large(small, program, operand)


def stops_as_too_large(small: Machine, program: GemmProgram, operand: str) -> None:
    """A job that the software would refuse, on the hardware all the same."""
    fitting = random_program(small, 3, 5, 8, 8, np.random.default_rng(3))
    with BatchBench(small) as bench:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="had sent 0 of"):
                bench.run(program, limit_cycles=2000)
            assert bench.read("ERRORS") == bits(ERROR_BITS, f"{operand}_too_large")
            assert bench.read("STATUS") & bits(STATUS_BITS, "busy", "fault") == bits(
                STATUS_BITS, "fault"
            )
            # the bench has sent all that it had; what it left in the middle is given up
            bench.write("CONTROL", bits(CONTROL_BITS, "clear", "flush"))
            assert bench.read("STATUS") == bench.read("ERRORS") == 0
            assert (bench.run(fitting).outputs == golden_gemm(fitting).outputs).all()


@everywhere
def test_groups_below_the_dequantizers_bound(name: str) -> None:
    """Groups of one chunk are over sooner than a dequantizer: the array waits, and counts it."""
    built = MACHINES[name]
    lanes = built.accelerator.lanes
    assert built.slots < dequantizer_cycles(built.accelerator)
    results = agree(name, (9, 7, 60, 1), (9, 7, 60, lanes), (9, 7, 61, lanes - 1))
    for result in results:
        t = tiling(built, GemmShape(m=9, n=7, k=result.k, group_size=result.group_size))
        # a stream may be so narrow that it hides some of the waiting
        least = t.tiles * t.groups if name == "direct" else 0
        assert result.causes["dequantizer"] > least


@everywhere
def test_results_are_stalled_for_a_long_time(name: str) -> None:
    """10**5 cycles before one result word, at the beginning, in the middle, at the end."""
    program = random_program(MACHINES[name], 9, 9, 40, 8, np.random.default_rng(3))
    words = Transfers(program=program).stream_words["result_words"]
    cases = []
    for place in (0, words // 2, words - 1):
        gaps = np.zeros(words, dtype=np.int64)
        gaps[place] = 10**5
        cases.append(Case(name=f"word {place}", program=program, gaps=Gaps(results=gaps)))
    for result in run(name, cases):
        assert 10**5 < result.rtl_cycles < 1.05 * 10**5
        assert result.causes["output"] > 0.9 * 10**5


@everywhere
@pytest.mark.parametrize("operand", ["weights", "activations"])
def test_an_operand_is_stalled_for_a_long_time(name: str, operand: str) -> None:
    program = random_program(MACHINES[name], 9, 9, 40, 8, np.random.default_rng(3))
    words = Transfers(program=program).stream_words[f"{operand.removesuffix('s')}_words"]
    cases = []
    for place in (0, words // 2, words - 1):
        gaps = np.zeros(words, dtype=np.int64)
        gaps[place] = 10**5
        cases.append(Case(name=f"word {place}", program=program, gaps=Gaps(**{operand: gaps})))
    for result in run(name, cases):
        assert 10**5 < result.rtl_cycles < 1.05 * 10**5
        assert result.causes[operand] + result.causes["output"] > 0.9 * 10**5


def test_a_job_does_not_depend_on_the_one_before() -> None:
    """A second run of the same job after another of a different shape: the same in every number."""
    name = "weights stay"
    built, rng = MACHINES[name], np.random.default_rng(9)
    first, other = (random_program(built, *s, rng) for s in ((5, 5, 30, 8), (1, 2, 3, 2)))
    with BatchBench(built, verilog=verilog(name)) as bench:
        runs = [bench.run(program) for program in (first, other, first)]
    for field in ("total_cycles", "causes", "counters", "errors", "last_words"):
        assert getattr(runs[0], field) == getattr(runs[2], field)
    assert (runs[0].outputs == runs[2].outputs).all()
