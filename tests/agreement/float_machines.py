"""Machines with floating-point activations or multipliers, and jobs that strain them."""

from dataclasses import replace
from typing import Any

import numpy as np

from bitsmith.verify import Case, draw_gaps, random_program
from configs.accelerator import AcceleratorConfig, AccumulatorConfig, FloatConfig, ScaleConfig
from sw.compile import GemmProgram, Machine, resolve_machine, worst_case_widths
from sw.formats import float_layout, get_family

ALL_STAGES = ("operands", "products", "shift")
#: as good as none: one cycle, a factor of 1 or 2
NO_SCALE = ScaleConfig(format="e8m0", binades=1, shift="barrel")
NARROW = (AccumulatorConfig(bits=20, mode="saturate"), AccumulatorConfig(bits=26, mode="flag"))


def machine(
    rows: int,
    cols: int,
    lanes: int,
    family: str,
    *,
    floating: dict[str, Any] | None = None,
    activation_format: str = "float16",
    **options: Any,
) -> Machine:
    """A machine whose accumulators hold any job of the tests; ``floating`` are its settings."""
    array = AcceleratorConfig(
        name="test",
        rows=rows,
        cols=cols,
        lanes=lanes,
        activation_format=activation_format,
        floating=FloatConfig(**(floating or {})),
        **options,
    )
    widths = worst_case_widths(array, get_family(family), group_size=50, k=120)
    return resolve_machine(array, get_family(family), *widths)


def mac(weights: str, mantissa_bits: int, **options: Any) -> Machine:
    """One fused multiply-add a PE, rounded as IEEE 754 does."""
    floating = {
        "alignment": "pe",
        "guard_bits": 0,
        "normalization": "full",
        "mantissa_bits": mantissa_bits,
    }
    return machine(2, 2, 1, weights, pe="multiplier", floating=floating, **options)


FLOATS = {
    "aligned in the row": machine(2, 3, 4, "bitmod_fp4"),
    "in the row, truncated, no guard bits": machine(
        2,
        3,
        5,
        "bitmod_fp3",
        floating={
            "guard_bits": 0,
            "rounding": "truncate",
            "mantissa_bits": 10,
            "outer_mantissa_bits": 12,
        },
    ),
    "in the row, carry-save, two rows a dequantizer": machine(
        4, 2, 4, "int6", adders="compressor", rows_per_dequantizer=2, pipeline=("products",)
    ),
    "in the row, normalized": machine(
        1, 2, 4, "int4", floating={"normalization": "full", "mantissa_bits": 12}
    ),
    "in the row, multipliers": machine(2, 2, 2, "int8", pe="multiplier"),
    "in the PE": machine(2, 2, 4, "bitmod_fp4", floating={"alignment": "pe", "mantissa_bits": 15}),
    "in the PE, truncated": machine(
        2,
        2,
        3,
        "int8",
        floating={"alignment": "pe", "rounding": "truncate", "guard_bits": 2},
        pipeline=("shift",),
    ),
    "in the PE, normalized and truncated": machine(
        1,
        2,
        2,
        "int4",
        floating={
            "alignment": "pe",
            "rounding": "truncate",
            "normalization": "full",
            "mantissa_bits": 9,
        },
    ),
    "FP16 MAC, float16 sums": mac("float16", 12, scale=NO_SCALE),
    "FP16 MAC, float32 sums": mac("float16", 25, scale=NO_SCALE),
    "float16 weights, aligned in the row": machine(2, 2, 2, "float16", pe="multiplier"),
    "float16 weights, exact": machine(
        2, 2, 2, "float16", pe="multiplier", floating={"datapath": "exact"}, scale=NO_SCALE
    ),
    "FP16 x INT8": mac("int8", 12),
    "FP16 x ANT": mac("ant4", 25, pipeline=ALL_STAGES),
    "FP16 x OliVe": machine(
        2, 2, 2, "olive4", pe="multiplier", floating={"alignment": "pe", "mantissa_bits": 20}
    ),
    "bfloat16": machine(
        4, 2, 4, "bitmod_fp4", activation_format="bfloat16", rows_per_dequantizer=2
    ),
    "float8_e4m3fn, E4M3 scales, all registers": machine(
        2,
        2,
        4,
        "bitmod_fp4",
        activation_format="float8_e4m3fn",
        pipeline=ALL_STAGES,
        scale=ScaleConfig(format="e4m3", shift="barrel"),
    ),
    "float8_e5m2 in the PE, all registers": machine(
        2,
        2,
        4,
        "ant4",
        activation_format="float8_e5m2",
        floating={"alignment": "pe"},
        pipeline=ALL_STAGES,
        rows_per_dequantizer=2,
    ),
    "exact": machine(2, 2, 4, "bitmod_fp4", floating={"datapath": "exact"}),
    "exact, multipliers, saturating": machine(
        2,
        2,
        2,
        "int4",
        activation_format="float8_e4m3fn",
        pe="multiplier",
        floating={"datapath": "exact"},
        inner_accumulator=NARROW[0],
        outer_accumulator=NARROW[1],
    ),
    "exact bfloat16": machine(
        1, 2, 2, "int4", activation_format="bfloat16", floating={"datapath": "exact"}
    ),
    "INT8 x INT8": machine(2, 3, 3, "int8", pe="multiplier", activation_format="integer"),
    "INT4 x INT8": machine(2, 3, 4, "int4_full", pe="multiplier", activation_format="integer"),
    "ANT x INT8": machine(2, 3, 4, "ant4", pe="multiplier", activation_format="integer"),
    "OliVe x INT8": machine(2, 3, 4, "olive4", pe="multiplier", activation_format="integer"),
}


def strained(program: GemmProgram, rng: np.random.Generator) -> dict[str, GemmProgram]:
    """The same job with activations that cancel, that are subnormal, and that lie far apart."""
    array = program.machine.accelerator
    if not array.has_floats:
        return {"as drawn": program}
    layout = float_layout(array.activation_format)
    shape = program.activations.shape
    sign = np.int64(1) << layout.bits - 1
    normal = layout.encode(rng.standard_normal(shape))
    halves = np.repeat(normal[:, : -(-shape[1] // 2)], 2, axis=1)[:, : shape[1]]
    cancelling = np.where(np.arange(shape[1]) % 2, halves ^ sign, halves)
    largest = layout.largest_place + 1 << layout.mantissa_bits
    ends = np.array([0, 1, largest, sign, sign | 1, sign | largest])
    chosen = {
        "as drawn": program.activations,
        "normal": normal,
        "cancelling": cancelling,
        "subnormal": rng.integers(0, 1 << layout.mantissa_bits, shape) | sign * (shape[1] % 2),
        "far apart": rng.choice(ends, shape),
        "zeros of both signs": rng.choice(np.array([0, sign]), shape),
    }
    return {name: replace(program, activations=codes) for name, codes in chosen.items()}


def float_cases(built: Machine, shapes: int, rng: np.random.Generator) -> list[Case]:
    """Ragged shapes, each with every kind of activations, every other one with gaps."""
    cases = []
    for _ in range(shapes):
        m, n, k, group_size = (int(rng.integers(1, high)) for high in (7, 8, 90, 40))
        group_size += built.family.pairs * (group_size % 2)
        program = random_program(built, m, n, k, group_size, rng)
        for index, (name, one) in enumerate(strained(program, rng).items()):
            gaps = draw_gaps(one, rng) if index % 2 else None
            cases.append(Case(name=f"{one.name}, {name}", program=one, gaps=gaps))
    return cases
