"""Random machines and jobs of the soak: every option, tile buffers, streams of any width."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bitsmith.verify import Case, draw_gaps, random_program
from configs.accelerator import BufferConfig, ScaleConfig, StreamConfig
from configs.load import preset_names
from configs.memory import MemoryConfig, SramConfig
from configs.schema import load_axis
from configs.timing import dequantizer_cycles
from sim import CycleReport, Gaps, Rates, memory_rates, simulate_gemm, trace_gemm
from sw.compile import GemmProgram, GemmShape, Machine, tiling
from sw.compile.transfers import Transfers, activation_port, weight_port

from . import float_machines
from .machines import ALL_STAGES, machine
from .test_random_jobs import random_options

INTEGER_FAMILIES = ("bitmod_fp4", "bitmod_fp3", "int8", "int6", "int4")
FLOAT_FAMILIES = ("bitmod_fp4", "bitmod_fp3", "int6", "int4", "ant4")
MODES = ("wrap", "saturate", "flag")
#: what is between streams and array: the operand that stays, and whether the largest tile fills
#: half a buffer to the last beat
BUFFERS = (
    None,
    ("weights", "exact"),
    ("activations", "exact"),
    ("weights", "roomy"),
    ("activations", "roomy"),
)
#: every so many machines one has floating-point activations
FLOATS_EVERY = 4
#: how words come, by turns: at once, after idle cycles, or at the pace of a DRAM. Seven, so that
#: every kind meets every special shape
SUPPLIES = ("no gaps", "memory", "short gaps", "no gaps", "memory", "long gaps", "memory")
#: of the accelerator, against narrow DRAMs: most arrays here are small
CLOCKS_MHZ = (200, 500, 1000, 2000, 5000)


@dataclass(frozen=True, kw_only=True)
class SoakCase(Case):
    """A job, and the rates that its gaps keep, or None."""

    rates: Rates | None = None

    @property
    def skips(self) -> bool:
        """Whether the fast view may skip what repeats: it does not with lists of gaps."""
        return self.gaps is None or self.rates is not None

    def views(self) -> dict[str, CycleReport]:
        """What the simulator says in every view; ``gaps`` is what the RTL is compared with."""
        machine, shape = self.program.machine, self.program.shape
        supply = self.gaps if self.rates is None else self.rates
        return {
            "gaps": simulate_gemm(machine, shape, self.gaps),
            "fast": simulate_gemm(machine, shape, supply),
            "stepped": simulate_gemm(machine, shape, supply, stepped=True),
            "traced": trace_gemm(machine, shape, supply, beats=True)[0],
        }


@dataclass(frozen=True)
class Soak:
    """A machine, and shapes (M, N, K, group size) whose tiles it holds."""

    machine: Machine
    shapes: list[tuple[int, int, int, int]]
    rng: np.random.Generator

    @classmethod
    def draw(cls, seed: int, count: int) -> "Soak":
        """The machine of a seed: buffers and activations in turn, everything else at random."""
        rng = np.random.default_rng([7, seed])
        build = _float_machine if seed % FLOATS_EVERY == FLOATS_EVERY - 1 else _integer_machine
        array = build(rng)
        shapes = [_shape(array, index, rng) for index in range(count)]
        kind = BUFFERS[seed % len(BUFFERS)]
        accelerator = replace(
            array.accelerator,
            buffers=None if kind is None else _buffers(array, shapes, *kind, rng),
            streams=_streams(array, kind is not None, rng),
        )
        return cls(replace(array, accelerator=accelerator), shapes, rng)

    def cases(self) -> list[SoakCase]:
        """One job a shape, its words supplied by turns as :data:`SUPPLIES` says."""
        cases = []
        for index, shape in enumerate(self.shapes):
            program = random_program(self.machine, *shape, self.rng)
            supply = SUPPLIES[index % len(SUPPLIES)]
            gaps, rates = _supply(supply, program, self.rng)
            name = f"{program.name}, {supply}"
            cases.append(SoakCase(name=name, program=program, gaps=gaps, rates=rates))
        return cases


def _supply(
    kind: str, program: GemmProgram, rng: np.random.Generator
) -> tuple[Gaps | None, Rates | None]:
    """Idle cycles of a job, and the rates that they keep where a memory sets them."""
    if kind == "no gaps":
        return None, None
    if kind != "memory":
        return (draw_gaps if kind == "short gaps" else long_gaps)(program, rng), None
    array = replace(program.machine.accelerator, clock_mhz=int(rng.choice(CLOCKS_MHZ)))
    rates = memory_rates(replace(program.machine, accelerator=array), program.shape, _memory(rng))
    return rates.gaps(Transfers(program=program).stream_words), rates


def _memory(rng: np.random.Generator) -> MemoryConfig:
    """A preset with a narrow bus, and an SRAM before either operand, or none."""
    memory: MemoryConfig = load_axis("memory", str(rng.choice(preset_names("memories"))))
    return replace(
        memory,
        dram=replace(memory.dram, bus_bits=int(rng.choice((8, 16, 32)))),
        weight_sram=_sram(rng),
        activation_sram=_sram(rng),
    )


def _sram(rng: np.random.Generator) -> SramConfig | None:
    if rng.integers(2):
        return None
    width, ports = 8 << int(rng.integers(5)), str(rng.choice(("1rw", "1r1w")))
    return SramConfig(kib=int(rng.integers(1, 4)), width_bits=width, ports=ports)


def long_gaps(program: GemmProgram, rng: np.random.Generator) -> Gaps:
    """One stream is slow: it idles up to 40 cycles at every other word; the rest never idles."""
    words = Transfers(program=program).stream_words
    slow = ("weights", "activations", "results")[int(rng.integers(3))]
    count = words[f"{slow.removesuffix('s')}_words"]
    idle = rng.integers(0, 41, count) * rng.integers(0, 2, count)
    return Gaps(**{slow: idle})


def _integer_machine(rng: np.random.Generator) -> Machine:
    rows, cols, lanes = (int(rng.integers(1, high)) for high in (6, 6, 9))
    family = str(rng.choice(INTEGER_FAMILIES))
    return machine(
        rows,
        cols,
        lanes,
        family,
        modes=(str(rng.choice(MODES)), str(rng.choice(MODES))),
        widths=(int(rng.integers(8, 20)), int(rng.integers(10, 30))),
        activation_bits=int(rng.integers(4, 9)),
        queue_beats=int(rng.integers(2, 9)),
        **random_options(rows, family, rng),
    )


def _float_machine(rng: np.random.Generator) -> Machine:
    rows, cols, lanes = (int(rng.integers(1, high)) for high in (5, 5, 6))
    family = str(rng.choice(FLOAT_FAMILIES))
    divisors = [n for n in range(1, rows + 1) if rows % n == 0]
    return float_machines.machine(
        rows,
        cols,
        lanes,
        family,
        floating=_floating(rng),
        activation_format=str(rng.choice(["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])),
        pe=str(rng.choice(["serial", "multiplier"])),
        rows_per_dequantizer=int(rng.choice(divisors)),
        pipeline=tuple(stage for stage in ALL_STAGES if rng.integers(2)),
        scale=ScaleConfig(format=str(rng.choice(["uint8", "e8m0", "e4m3"])), binades=7),
        queue_beats=int(rng.integers(2, 9)),
    )


def _floating(rng: np.random.Generator) -> dict[str, Any]:
    """Settings of :class:`configs.accelerator.FloatConfig`."""
    if not rng.integers(4):
        return {"datapath": "exact"}
    return {
        "alignment": str(rng.choice(["row", "pe"])),
        "guard_bits": int(rng.integers(0, 5)),
        "rounding": str(rng.choice(["truncate", "nearest_even"])),
        "normalization": str(rng.choice(["right", "full"])),
        "mantissa_bits": int(rng.integers(10, 24)),
        "outer_mantissa_bits": int(rng.integers(12, 28)),
    }


def _shape(array: Machine, index: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Ragged in every dimension; now and then one token, one channel, one input or tiny groups."""
    m, n, k, group_size = (int(rng.integers(1, high)) for high in (14, 18, 120, 50))
    group_size = min(group_size, array.group_inputs or group_size)
    special = index % 10
    m, n, k = (1 if special == 0 else m), (1 if special == 1 else n), (1 if special == 2 else k)
    return m, n, k, (int(rng.integers(1, 5)) if special in (3, 4) else group_size)


def _bytes(rng: np.random.Generator, beat_bits: int) -> int:
    """A stream's width: one byte, or up to half as wide again as a beat."""
    return 8 if not rng.integers(4) else 8 * int(rng.integers(1, beat_bits * 3 // 16 + 2))


def _streams(array: Machine, buffered: bool, rng: np.random.Generator) -> StreamConfig:
    widths: dict[str, int] = {"result_bits": _bytes(rng, array.result_beat_bits)}
    if buffered:
        widths["weight_bits"] = _bytes(rng, array.weight_beat_bits)
        widths["activation_bits"] = _bytes(rng, array.activation_beat_bits)
    return StreamConfig(**widths)


def _buffers(
    array: Machine,
    shapes: list[tuple[int, int, int, int]],
    stationary: str,
    room: str,
    rng: np.random.Generator,
) -> BufferConfig:
    """Halves for the largest tile, or larger."""
    tilings = [tiling(array, GemmShape(m=m, n=n, k=k, group_size=g)) for m, n, k, g in shapes]
    ports = weight_port(array), activation_port(array)
    beats = [max(len(port.beat_words(t)) for t in tilings) for port in ports]
    if room == "roomy":
        beats = [size + int(rng.integers(1, 100)) for size in beats]
    return BufferConfig(
        weight_beats=max(2, beats[0]), activation_beats=beats[1], stationary=stationary
    )


def output_stalls(cases: list[Case]) -> int:
    """Cycles counted as ``output`` beyond those that end every job, over the jobs without gaps."""
    stalls = 0
    for case in (case for case in cases if case.gaps is None):
        program = case.program
        report = simulate_gemm(program.machine, program.shape)
        end = simulate_gemm(program.machine, one_tile(program)).causes["output"]
        stalls += report.causes["output"] - end
    return stalls


def one_tile(program: GemmProgram) -> GemmShape:
    """The shape of one tile of a job."""
    shape, array = program.shape, program.machine.accelerator
    return replace(shape, m=min(shape.m, array.rows), n=min(shape.n, array.cols))


def expected_causes(array: Machine) -> list[str]:
    """Causes that random jobs must meet on a machine.

    Narrow streams can hide the dequantizer; with whole beats a group takes two cycles or more.
    """
    slowest = max(array.slots, 2)
    waits = dequantizer_cycles(array.accelerator) > slowest and array.accelerator.buffers is None
    return ["output", *["dequantizer"] * waits, "weights", "activations", "compute"]
