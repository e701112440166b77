"""Agreement: the generated Verilog against golden model and simulator, on whole GEMMs."""

import bisect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from hw.benches.batch import BatchBench, RtlResult
from hw.benches.waves import first_wrong_step
from sim import CycleReport, Gaps, simulate_gemm
from sw.compile import (
    GemmProgram,
    GemmShape,
    Machine,
    RequantizerParameters,
    dyadic,
    machine_activations,
    machine_layer,
    tiling,
)
from sw.compile.scales import largest_code
from sw.compile.transfers import Transfers, check_buffers, weights_outside
from sw.formats.pairs import without_crowded_pairs
from sw.golden import GoldenResult, golden_gemm
from sw.quantize import QuantizedMatrix

#: a gap follows a beat with this probability, and lasts up to this many cycles
GAP_PROBABILITY = 0.2
GAP_MAX_CYCLES = 6


@dataclass(frozen=True, kw_only=True)
class Case:
    """One job to run three times: golden model, simulator, RTL.

    Attributes
    ----------
    name : for messages.
    program : the job.
    gaps : idle cycles on the streams, or None.
    """

    name: str
    program: GemmProgram
    gaps: Gaps | None = None


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What one case showed; ``failure`` is empty where everything is equal."""

    name: str
    m: int
    n: int
    k: int
    group_size: int
    gaps: bool
    outputs: int
    rtl_cycles: int
    simulated_cycles: int
    causes: dict[str, int]
    failure: str

    @property
    def passed(self) -> bool:
        """Outputs, overflow bits, cycles and every counter are equal."""
        return not self.failure

    def to_dict(self) -> dict[str, Any]:
        """JSON values, keys as the attributes."""
        return {**vars(self), "passed": self.passed}


def compile_layer(
    machine: Machine, name: str, weights: QuantizedMatrix, activations: NDArray[np.int64]
) -> GemmProgram:
    """Program of one quantized layer; float16 scales are second-level quantized on the way.

    A requantizer gets, per channel, the ratio that maps the largest of these outputs to 127.
    """
    layer = machine_layer(weights, machine.accelerator)
    config = machine.accelerator.requantizer
    if config is None:
        return layer.program(machine, name, activations)
    raw = replace(machine, accelerator=replace(machine.accelerator, requantizer=None))
    largest = np.abs(golden_gemm(layer.program(raw, name, activations)).outputs).max(axis=0)
    most = (1 << config.multiplier_bits) - 1
    parameters = dyadic(np.minimum(127 / np.maximum(largest, 1), most), config)
    return layer.program(machine, name, activations, parameters)


def layer_cases(
    machine: Machine,
    layers: Mapping[str, QuantizedMatrix],
    inputs: Mapping[str, NDArray[np.float32]],
    *,
    random_gaps: bool,
    rng: np.random.Generator,
) -> list[Case]:
    """One layer of every distinct shape at full K, on real inputs, without and with gaps."""
    cases, seen = [], set()
    for name, weights in layers.items():
        if weights.shape in seen:
            continue
        seen.add(weights.shape)
        array = machine.accelerator
        codes, _ = machine_activations(inputs[name], array)
        if not array.activation_signed:
            # no quantizer here gives unsigned codes: the same numbers around the middle instead
            codes = codes + (1 << array.activation_bits - 1)
        program = compile_layer(machine, name, weights, codes)
        cases.append(Case(name=name, program=program))
        if random_gaps:
            gapped = Case(name=f"{name} with gaps", program=program, gaps=draw_gaps(program, rng))
            cases.append(gapped)
    return cases


def random_program(
    machine: Machine, m: int, n: int, k: int, group_size: int, rng: np.random.Generator
) -> GemmProgram:
    """Uniform codes, format ids, scales and activations; unused codes are never drawn."""
    family, groups = machine.family, -(-k // group_size)
    ids = rng.integers(0, len(family.members), (n, groups))
    of_weight = ids[:, np.arange(k) // group_size]
    kind = np.uint8 if family.bits <= 8 else np.uint16
    codes = np.zeros((n, k), dtype=kind)
    for index, member in enumerate(family.members):
        used = np.flatnonzero([level is not None for level in member.levels])
        drawn = used[rng.integers(0, len(used), (n, k))]
        codes = np.where(of_weight == index, drawn, codes).astype(kind)
    if family.pairs:
        codes = without_crowded_pairs(codes, family.stored_bits)
    low, high = machine.activation_codes
    return GemmProgram(
        machine=machine,
        name=f"random {m}x{n}x{k} G{group_size}",
        group_size=group_size,
        codes=codes,
        format_ids=ids.astype(np.uint8),
        activations=rng.integers(low, high + 1, (m, k)),
        **_random_stages(machine, n, groups, rng),
    )


def _random_stages(
    machine: Machine, n: int, groups: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Scales, and what the machine's optional stages need."""
    array = machine.accelerator
    codes = rng.integers(0, largest_code(array.scale) + 1, (n, groups)).astype(np.uint8)
    fields: dict[str, Any] = {"scale_codes": codes}
    if array.zero_point_bits:
        half = 1 << array.zero_point_bits - 1
        fields["zero_points"] = rng.integers(-half, half, (n, groups))
    if array.programmable:
        levels = sorted(machine.terms.terms)
        drawn = rng.choice(levels, len(machine.family.members))
        fields["specials"] = tuple(int(level) for level in drawn)
    if array.requantizer is not None:
        # shifts near the accumulator's width, so that many outputs neither vanish nor saturate
        top = array.requantizer.multiplier_bits
        shifts = rng.integers(0, machine.outer_bits + top, n)
        fields["requantizer"] = RequantizerParameters(
            multipliers=rng.integers(0, 1 << top, n),
            shifts=shifts.clip(0, (1 << array.requantizer.shift_bits) - 1),
        )
    return fields


def random_cases(machine: Machine, count: int, rng: np.random.Generator) -> list[Case]:
    """Ragged shapes with gaps: first one row, then one column, then anything."""
    cases = []
    for index in range(count):
        m, n, k, group_size = (int(rng.integers(1, high)) for high in (14, 18, 120, 50))
        group_size += machine.family.pairs * (group_size % 2)
        group_size = min(group_size, machine.group_inputs or group_size)
        m, n = (1 if index == 0 else m), (1 if index == 1 else n)
        k = longest_k(machine, k, group_size)
        program = random_program(machine, m, n, k, group_size, rng)
        cases.append(Case(name=program.name, program=program, gaps=draw_gaps(program, rng)))
    return cases


def longest_k(machine: Machine, k: int, group_size: int) -> int:
    """The largest K up to ``k`` of which a tile fits into half of each buffer, at least 1."""

    def fits(length: int) -> bool:
        try:
            shape = GemmShape(m=1, n=1, k=length, group_size=group_size)
            check_buffers(machine, tiling(machine, shape))
        except InputError:
            return False
        return True

    # beats never get fewer as K grows: all below the first one that does not fit do
    return max(1, bisect.bisect_left(range(1, k + 1), True, key=lambda length: not fits(length)))


def draw_gaps(program: GemmProgram, rng: np.random.Generator) -> Gaps:
    """Random idle cycles for every word of a job's three streams."""
    job = Transfers(program=program)

    def draw(words: int) -> NDArray[np.int64]:
        idle = rng.integers(1, GAP_MAX_CYCLES + 1, words)
        return np.where(rng.random(words) < GAP_PROBABILITY, idle, 0)

    words = job.stream_words
    return Gaps(
        weights=draw(words["weight_words"]),
        activations=draw(words["activation_words"]),
        results=draw(words["result_words"]),
    )


def verify(
    machine: Machine,
    cases: Iterable[Case],
    *,
    verilog: str | None = None,
    waves: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[CaseResult]:
    """Run every case on the RTL and compare.

    Parameters
    ----------
    machine : the cases' machine.
    cases : jobs; they share one Verilated model and run back to back.
    verilog : text to check instead of the machine's own.
    waves : folder for the waveform of a failing tile.
    progress : called with each case's name before it runs.
    """
    results = []
    with BatchBench(machine, verilog=verilog) as bench:
        for case in cases:
            progress(case.name)
            results.append(_check(bench, case, verilog=verilog, waves=waves))
            if results[-1].failure:
                break  # the design may be in any state now
    return results


def _run(bench: BatchBench, case: Case) -> RtlResult:
    gaps = case.gaps or Gaps()
    return bench.run(
        case.program,
        weight_gaps=gaps.weights if case.gaps else None,
        activation_gaps=gaps.activations if case.gaps else None,
        result_gaps=gaps.results if case.gaps else None,
    )


def _check(bench: BatchBench, case: Case, *, verilog: str | None, waves: Path | None) -> CaseResult:
    """Run one case and describe the first difference, if any."""
    program = case.program
    expected = golden_gemm(program)
    cycles = simulate_gemm(program.machine, program.shape, case.gaps)
    try:
        got = _run(bench, case)
    except RuntimeError as error:
        return _result(case, cycles, None, str(error))
    wrong = np.argwhere(got.outputs != expected.outputs)
    if len(wrong):
        failure = _describe_mismatch(program, wrong, expected, got, verilog, waves)
    else:
        failure = _other_differences(program, expected, got, cycles)
    return _result(case, cycles, got, failure)


def _result(case: Case, cycles: CycleReport, got: RtlResult | None, failure: str) -> CaseResult:
    shape = case.program.shape
    return CaseResult(
        name=case.name,
        m=shape.m,
        n=shape.n,
        k=shape.k,
        group_size=shape.group_size,
        gaps=case.gaps is not None,
        outputs=shape.m * shape.n,
        rtl_cycles=got.total_cycles if got else 0,
        simulated_cycles=cycles.total_cycles,
        causes=got.causes if got else {},
        failure=failure,
    )


def _other_differences(
    program: GemmProgram, expected: GoldenResult, got: RtlResult, cycles: CycleReport
) -> str:
    """Overflow bits, protocol, cycles and counters; empty if all are as they must be."""
    last_words = (cycles.counters["result_words"], 1)
    checks = [
        ("inner overflow bits", expected.inner_overflow.tolist(), got.inner_overflow.tolist()),
        ("outer overflow bits", expected.outer_overflow.tolist(), got.outer_overflow.tolist()),
        (
            "invalid activations",
            expected.invalid_activations.tolist(),
            got.invalid_activations.tolist(),
        ),
        ("errors", 0, got.errors),
        ("result word with TLAST, and their number", last_words, got.last_words),
        ("total cycles", cycles.total_cycles, got.total_cycles),
        *((f"counter {c}", cycles.counters[c], got.counters[c]) for c in cycles.counters),
        *((f"{c} cycles", cycles.causes[c], got.causes[c]) for c in cycles.causes),
    ]
    found = [f"{what}: expected {want}, got {have}" for what, want, have in checks if want != have]
    return "; ".join(found)


def _describe_mismatch(
    program: GemmProgram,
    wrong: NDArray[np.int64],
    expected: GoldenResult,
    got: RtlResult,
    verilog: str | None,
    waves: Path | None,
) -> str:
    """First wrong output: tile, row, column, group, slot, expected, got, waveform."""
    t = program.tiling
    outside = weights_outside(program.machine)

    def leaves(place: list[int]) -> tuple[int, ...]:
        """The order in which results leave: outer tile, inner tile, row, column."""
        tiles = (place[1] // t.cols, place[0] // t.rows)
        return (*(tiles if outside else tiles[::-1]), place[0] % t.rows, place[1] % t.cols)

    m, n = min(wrong.tolist(), key=leaves)
    (col_tile, col), (row_tile, row) = divmod(n, t.cols), divmod(m, t.rows)
    rows = slice(row_tile * t.rows, (row_tile + 1) * t.rows)
    cols = slice(col_tile * t.cols, (col_tile + 1) * t.cols)
    tile = replace(
        program,
        codes=program.codes[cols],
        format_ids=program.format_ids[cols],
        scale_codes=program.scale_codes[cols],
        activations=program.activations[rows],
        zero_points=None if program.zero_points is None else program.zero_points[cols],
        requantizer=None if program.requantizer is None else program.requantizer.part(cols),
    )
    step = first_wrong_step(tile, row, col, verilog=verilog, folder=waves)
    return (
        f"{len(wrong)} of {expected.outputs.size} outputs differ, first in tile "
        f"(column tile {col_tile}, row tile {row_tile}), row {row}, column {col} "
        f"(token {m}, channel {n}), {step}: expected {expected.outputs[m, n]}, "
        f"got {got.outputs[m, n]}"
    )
