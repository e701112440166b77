"""Recorded jobs: what goes into the accelerator, what must come out, and when.

Results are the golden model's, cycles and counters the simulator's; nothing is taken from the RTL.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.timing import CAUSES
from sim import CycleReport, Gaps
from sim.words import word_cycles
from sw.compile import GemmProgram, Machine
from sw.compile.registers import CONTROL_BITS, ERROR_BITS, IRQ_BITS, STATUS_BITS, register_map
from sw.compile.transfers import (
    OperandPort,
    Transfers,
    activation_port,
    as_bytes,
    check_buffers,
    result_stream_bits,
    weight_port,
    weights_outside,
)
from sw.golden import golden_gemm

from ..verify import draw_gaps, random_program
from .identity import Identity
from .registers import wide

SEED = 7


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word on a stream.

    Attributes
    ----------
    gap : idle cycles before it is offered (input), or before it would be accepted (results).
    last : TLAST.
    cycle : in which it crosses; -1 if that is not known.
    data : its bytes, of a result those with TKEEP.
    """

    gap: int
    last: bool
    cycle: int
    data: bytes


@dataclass(frozen=True, kw_only=True)
class RecordedJob:
    """One job, as the bench and the driver run it.

    Attributes
    ----------
    name, text : what it is.
    program : the GEMM behind it.
    before : register writes up to the start, as (name, value).
    weights, activations, results : words of the three streams.
    cycles : of the job; 0 if it is to be stopped.
    after : steps that follow: ("read", register, value), ("write", register, value) or
        ("interrupt", "", value).
    """

    name: str
    text: str
    program: GemmProgram
    before: tuple[tuple[str, int], ...]
    weights: tuple[Word, ...]
    activations: tuple[Word, ...]
    results: tuple[Word, ...]
    cycles: int
    after: tuple[tuple[str, str, int], ...] = field(default_factory=tuple)


def _bit(names: Iterable[str], *wanted: str) -> int:
    """Register value in which the ``wanted`` bits are set."""
    return sum(1 << list(names).index(name) for name in wanted)


def recorded_jobs(machine: Machine) -> list[RecordedJob]:
    """The jobs of a package: seeded, small, the hard shapes among them.

    Raises
    ------
    InputError : the buffers hold no tile at all.
    """
    array, rng = machine.accelerator, np.random.default_rng(SEED)
    rows, cols, lanes = array.rows, array.cols, array.lanes
    group, tail = _group_size(machine), lanes // 2 + 1
    even = machine.family.pairs
    ragged = 2 * group + tail + (tail % 2 if even else 0)
    shapes = {
        "one_tile": ("one tile, no gaps", rows, cols, 2 * lanes, False),
        "ragged_k": ("K no multiple of group or lanes", rows, cols + 1, ragged, True),
        "decode": ("one token", 1, 2 * cols, ragged, True),
        "one_channel": ("one output channel", rows + 1, 1, ragged, True),
        "short_packet": ("a packet that ends too early, cleared", rows, cols, ragged, True),
        "many_tokens": ("more tokens than rows", 2 * rows + 1, cols + 1, ragged, True),
    }
    jobs = []
    for name, (text, m, n, k, has_gaps) in shapes.items():
        program = _fitting(machine, m, n, k, group, rng)
        gaps = draw_gaps(program, rng) if has_gaps else Gaps()
        shape = program.shape
        size = f"M {shape.m}, N {shape.n}, K {shape.k} in groups of {shape.group_size}"
        record = _stopped if name == "short_packet" else _finished
        jobs.append(record(name, f"{text}: {size}", program, gaps))
    return jobs


def _group_size(machine: Machine) -> int:
    """More than two chunks, not whole ones where that is possible."""
    size = 2 * machine.accelerator.lanes + (2 if machine.family.pairs else 1)
    return min(size, machine.group_inputs or size)


def _fitting(
    machine: Machine, m: int, n: int, k: int, group: int, rng: np.random.Generator
) -> GemmProgram:
    """A random program of this shape, K cut down to what the buffers hold."""
    lanes = machine.accelerator.lanes
    lengths = [k, *(length for length in (group, lanes) if length < k)]
    for index, length in enumerate(lengths):
        program = random_program(machine, m, n, length, min(group, length), rng)
        try:
            check_buffers(machine, program.tiling)
            return program
        except InputError:
            if index == len(lengths) - 1:
                raise
    raise AssertionError("unreachable")


def _input_words(
    port: OperandPort, images: NDArray[np.uint32], program: GemmProgram, gaps: NDArray[np.int64]
) -> Iterator[Word]:
    """Words of an input, cycles still unknown."""
    packets, size = port.packets(program.tiling), images.shape[1]
    data = as_bytes(images.reshape(-1, images.shape[2]), port.stream_bits)
    for packet in range(packets.count):
        image = packet // packets.repeat % packets.images
        for index in range(size):
            place = packet * size + index
            gap = int(gaps[place]) if place < len(gaps) else 0
            word = data[image * size + index].tobytes()
            yield Word(gap=gap, last=index == size - 1, cycle=-1, data=word)


def _result_words(program: GemmProgram, gaps: NDArray[np.int64]) -> Iterator[Word]:
    """Words of the results, padding included: it is all zeros."""
    t, machine = program.tiling, program.machine
    padded = np.zeros((t.row_tiles * t.rows, t.col_tiles * t.cols), dtype=np.int64)
    padded[: t.shape.m, : t.shape.n] = golden_gemm(program).outputs
    tiles = padded.reshape(t.row_tiles, t.rows, t.col_tiles, t.cols).transpose(0, 2, 1, 3)
    if weights_outside(machine):
        tiles = tiles.swapaxes(0, 1)
    values = np.ascontiguousarray(tiles.reshape(-1, t.cols)).astype("<i8")
    width, size = machine.result_bits // 8, result_stream_bits(machine) // 8
    rows = values.view(np.uint8).reshape(len(values), t.cols, 8)[..., :width]
    if width > 8:
        raise InputError("results of more than 64 bits cannot be recorded")
    place = 0
    for index, row in enumerate(rows.reshape(len(values), -1)):
        raw = row.tobytes()
        for at in range(0, len(raw), size):
            last = index == len(rows) - 1 and at + size >= len(raw)
            gap = int(gaps[place]) if place < len(gaps) else 0
            yield Word(gap=gap, last=last, cycle=-1, data=raw[at : at + size])
            place += 1


def _before(program: GemmProgram) -> tuple[tuple[str, int], ...]:
    """Register writes up to the start."""
    names = [n for n in register_map(program.machine).by_name if n.startswith("SPECIAL_VALUE")]
    writes = [("IRQ_ENABLE", _bit(IRQ_BITS, *IRQ_BITS))]
    for index, value in enumerate(program.special_words):
        writes += [(n, value >> 32 * place & 0xFFFFFFFF) for place, n in enumerate(names)]
        writes.append(("SPECIAL_WRITE", index))
    shape = Transfers(program=program).shape_registers
    return (*writes, *shape.items(), ("CONTROL", _bit(CONTROL_BITS, "start")))


def _streams(program: GemmProgram, gaps: Gaps) -> tuple[list[Word], list[Word], list[Word]]:
    job, machine = Transfers(program=program), program.machine
    return (
        list(_input_words(weight_port(machine), job.weights, program, gaps.weights)),
        list(_input_words(activation_port(machine), job.activations, program, gaps.activations)),
        list(_result_words(program, gaps.results)),
    )


def _interrupted(which: str) -> list[tuple[str, str, int]]:
    """The interrupt, acknowledged."""
    bit = _bit(IRQ_BITS, which)
    return [
        ("interrupt", "", 1),
        ("read", "IRQ_STATUS", bit),
        ("write", "IRQ_STATUS", bit),
        ("interrupt", "", 0),
    ]


def _finished(name: str, text: str, program: GemmProgram, gaps: Gaps) -> RecordedJob:
    """A job that runs to its end."""
    report, cycles = word_cycles(program.machine, program.shape, gaps)
    weights, activations, results = (
        tuple(replace(word, cycle=cycle) for word, cycle in zip(words, found, strict=True))
        for words, found in zip(_streams(program, gaps), cycles, strict=True)
    )
    after = [("read", "STATUS", 0), ("read", "ERRORS", 0)]
    after += _reads(program, report)
    return RecordedJob(
        name=name,
        text=text,
        program=program,
        before=_before(program),
        weights=weights,
        activations=activations,
        results=results,
        cycles=report.total_cycles,
        after=(*after, *_interrupted("done")),
    )


def _reads(program: GemmProgram, report: CycleReport) -> list[tuple[str, str, int]]:
    """What counters and sticky flags must hold."""
    golden = golden_gemm(program)
    flags = {
        f"{name.upper()}": sum(1 << i for i, bit in enumerate(getattr(golden, name)) if bit)
        for name in ("inner_overflow", "outer_overflow", "invalid_activations")
    }
    values = {f"COUNT_{cause.upper()}": report.causes[cause] for cause in CAUSES}
    values |= {f"COUNT_{name.upper()}": count for name, count in report.counters.items()}
    found = []
    for name, parts in wide(register_map(program.machine)).items():
        value = (values | flags).get(name)
        if value is not None:
            words = [value >> 32 * index & 0xFFFFFFFF for index in range(len(parts))]
            found += [("read", p.name, word) for p, word in zip(parts, words, strict=True)]
    return found


def _stopped(name: str, text: str, program: GemmProgram, gaps: Gaps) -> RecordedJob:
    """A job whose first weight word ends its packet; the rest is sent and discarded."""
    weights, activations, _ = _streams(program, gaps)
    weights[0] = replace(weights[0], last=True)
    return RecordedJob(
        name=name,
        text=text,
        program=program,
        before=_before(program),
        weights=tuple(weights),
        activations=tuple(activations),
        results=(),
        cycles=0,
        after=(
            ("read", "STATUS", _bit(STATUS_BITS, "fault")),
            ("read", "ERRORS", _bit(ERROR_BITS, "weights_short")),
            *_interrupted("error"),
            ("write", "CONTROL", _bit(CONTROL_BITS, "clear")),
            ("read", "STATUS", 0),
            ("read", "ERRORS", 0),
        ),
    )


def job_file(job: RecordedJob, machine: Machine, who: Identity) -> str:
    """Text of a job file, format 1 (the package's README describes it)."""
    registers = register_map(machine)
    streams = (("w", job.weights), ("a", job.activations), ("r", job.results))
    idle = sum(word.gap for _, words in streams for word in words)
    words = sum(len(found) for _, found in streams)
    limit = 10_000 + 10 * (job.cycles + idle + words)
    lines = ["bitsmith-job 1", f"# {who.line}", f"name {job.name}", f"text {job.text}"]
    lines += [f"write {registers.offset(name)} {value} {name}" for name, value in job.before]
    lines.append(f"run {limit} {job.cycles}")
    for kind, found in streams:
        lines += [f"{kind} {w.gap} {int(w.last)} {w.cycle} {w.data.hex() or '-'}" for w in found]
    for kind, name, value in job.after:
        if kind == "interrupt":
            lines.append(f"interrupt {value}")
        else:
            lines.append(f"{kind} {registers.offset(name)} {value} {name}")
    return "\n".join(lines) + "\n"
