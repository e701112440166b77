"""Machines with floating-point activations, and jobs that are hard on them."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from configs.accelerator import AcceleratorConfig, FloatConfig, ScaleConfig
from configs.errors import InputError
from sw.compile import GemmProgram, Machine, resolve_machine, worst_case_widths
from sw.compile.scales import largest_code
from sw.formats import float_layout, get_family
from sw.formats.pairs import without_crowded_pairs

SCALES = [
    ScaleConfig(),
    *(ScaleConfig(format="e8m0", binades=b, shift="serial") for b in (1, 15)),
    *(ScaleConfig(format=name, shift="barrel") for name in ("e8m0", "e4m3")),
    ScaleConfig(format="e4m3"),
]
#: those of serial PEs; int2_midrise has no level 0
SERIAL_FAMILIES = ["bitmod_fp4", "bitmod_fp3", "int4", "int8", "ant4", "int2_midrise"]
MULTIPLIER_FAMILIES = [*SERIAL_FAMILIES, "olive4"]
#: how the exponents of a row lie: anywhere, within three, all subnormal, at both ends, every
#: number with its negative
SPREADS = ["uniform", "narrow", "subnormal", "extreme", "twins"]


def float_machine(
    family: str = "int8",
    activations: str = "float16",
    floating: FloatConfig | None = None,
    **array: Any,
) -> Machine:
    """A machine; exact accumulators wide enough for groups of 50 and K of 120."""
    config = AcceleratorConfig(
        **{"name": "t", "rows": 2, "cols": 2, "lanes": 4, "activation_format": activations}
        | {"floating": floating or FloatConfig()}
        | array
    )
    formats = get_family(family)
    return resolve_machine(
        config, formats, *worst_case_widths(config, formats, group_size=50, k=120)
    )


def float_program(
    machine: Machine,
    levels: NDArray[np.int64],
    activations: NDArray[Any],
    group_size: int | None = None,
    scale_codes: NDArray[np.int64] | None = None,
) -> GemmProgram:
    """A job from levels of the family's first format (N, K) and activation codes (M, K)."""
    (n, k), member = levels.shape, machine.family.members[0]
    code_of = {level: code for code, level in enumerate(member.levels)}
    size = group_size or k
    groups = -(-k // size)
    codes = [[code_of[level] for level in row] for row in levels.tolist()]
    scales = np.ones((n, groups)) if scale_codes is None else scale_codes
    return GemmProgram(
        machine=machine,
        name="job",
        group_size=size,
        codes=np.array(codes, dtype=np.uint8 if machine.family.bits <= 8 else np.uint16),
        format_ids=np.zeros((n, groups), dtype=np.uint8),
        scale_codes=scales.astype(np.uint8),
        activations=activations.astype(np.int64),
    )


@st.composite
def float_configs(draw: st.DrawFn) -> FloatConfig:
    """Aligned datapaths, narrow mantissas often."""
    return FloatConfig(
        alignment=draw(st.sampled_from(["row", "pe"])),
        guard_bits=draw(st.integers(0, 5)),
        rounding=draw(st.sampled_from(["truncate", "nearest_even"])),
        mantissa_bits=draw(st.sampled_from([4, 6, 10, 12, 16, 25, 40])),
        normalization=draw(st.sampled_from(["right", "full"])),
        outer_mantissa_bits=draw(st.sampled_from([4, 8, 12, 25, 30, 48])),
    )


@st.composite
def float_machines(
    draw: st.DrawFn,
    floating: st.SearchStrategy | None = None,
    families: list[str] = MULTIPLIER_FAMILIES,
) -> Machine:
    """Any machine with floating-point activations."""
    family = draw(st.sampled_from(families))
    pe = draw(st.sampled_from(["multiplier", *["serial"] * (family in SERIAL_FAMILIES)]))
    return float_machine(
        family,
        draw(st.sampled_from(["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])),
        draw(float_configs() if floating is None else floating),
        pe=pe,
        lanes=draw(st.sampled_from([2, 4] if family == "olive4" else [1, 2, 3, 4, 8])),
        scale=draw(st.sampled_from(SCALES)),
    )


def activation_codes(name: str, spread: str, m: int, k: int, rng: np.random.Generator):
    """Codes (M, K), Inf and NaN among them where the spread reaches that far."""
    layout = float_layout(name)
    top = 1 << layout.exponent_bits
    shape, sign_bit = (m, k), 1 << layout.bits - 1
    exponents = {
        "uniform": lambda: rng.integers(0, top, shape),
        "narrow": lambda: rng.integers(0, 3, shape) + rng.integers(0, top - 3),
        "subnormal": lambda: np.zeros(shape, dtype=np.int64),
        "extreme": lambda: rng.choice([0, 1, top - 2, top - 1], shape),
        "twins": lambda: rng.integers(0, top - 1, shape),
    }[spread]()
    codes = exponents << layout.mantissa_bits
    codes |= (
        rng.integers(0, 1 << layout.mantissa_bits, shape) | rng.integers(0, 2, shape) * sign_bit
    )
    if spread == "twins":
        order, half = rng.permutation(k), k // 2
        codes[:, order[:half]] = codes[:, order[half : 2 * half]] ^ sign_bit
    return codes


@st.composite
def float_jobs(draw: st.DrawFn, machines: st.SearchStrategy | None = None) -> GemmProgram:
    """Small jobs, ragged groups and chunks among them; often all weights of a row are alike."""
    machine = draw(float_machines() if machines is None else machines)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    m, n, k = (draw(st.sampled_from(sizes)) for sizes in ([1, 3], [1, 2], [1, 5, 16, 33]))
    size = draw(st.sampled_from([4, 16, 32]))
    family, array = machine.family, machine.accelerator
    groups = -(-k // size)
    ids = rng.integers(0, len(family.members), (n, groups))
    alike = draw(st.booleans()) and not family.pairs
    choices = np.array(
        [[code for code, level in enumerate(f.levels) if level is not None] for f in family.members]
    )
    drawn = choices[ids[:, np.arange(k) // size], rng.integers(0, choices.shape[1], (n, k))]
    if family.pairs:
        drawn = without_crowded_pairs(drawn.astype(np.uint8), family.stored_bits)
    if alike:
        ids, drawn = np.zeros_like(ids), np.repeat(choices[0][drawn[:, :1] % 4], k, axis=1)
    scales = rng.integers(0, largest_code(array.scale) + 1, (n, groups)).astype(np.uint8)
    try:
        program = GemmProgram(
            machine=machine,
            name="job",
            group_size=size,
            codes=drawn.astype(np.uint8 if family.bits <= 8 else np.uint16),
            format_ids=ids.astype(np.uint8),
            scale_codes=scales,
            activations=np.zeros((m, k), dtype=np.int64),
        )
    except InputError:  # truncated in so few bits that an exponent could outgrow its register
        assert array.floating.rounding == "truncate"
        reject()
    spread = draw(st.sampled_from(SPREADS))
    codes = activation_codes(array.activation_format, spread, m, k, rng)
    return replace(program, activations=codes.astype(np.int64))
