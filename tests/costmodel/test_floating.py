"""Machines with floating-point activations and with multipliers: structure and cost."""

import json
from typing import Any

import pytest

from benchmarks.synthesis import LIBERTY
from benchmarks.targets import libraries, map_library, rtlil
from configs.accelerator import (
    AcceleratorConfig,
    AccumulatorConfig,
    FloatConfig,
    RequantizerConfig,
    ScaleConfig,
)
from configs.schema import load_axis
from costmodel import Structure, Technology, cost, job_energy, machine_area, machine_blocks
from costmodel.decoder import term_bits, term_decoder, term_register_bits
from costmodel.floating import exponent_stages
from costmodel.structure import adder, leading_place, multiplier, right_shifter, short_adder
from hw.array.parts import activation_decoder, inner_pe, make_dequantizer
from hw.core import Core
from sim import Activity, gemm_activity, simulate_gemm
from sw.compile import GemmShape, Machine, resolve_machine, worst_case_widths
from sw.formats import get_family

from ..sampled import sampled
from .test_structure import synthesized_flip_flops

ALL_STAGES = ("operands", "products", "shift")
#: float16 weights need no scales: the least that a machine can have
UNSCALED = ScaleConfig(format="e8m0", binades=1, shift="barrel")


def make(
    rows: int, cols: int, lanes: int, family: str, *, floating: dict[str, Any], **options: Any
) -> Machine:
    """A machine with float16 activations unless ``options`` say otherwise."""
    array = AcceleratorConfig(
        **{"name": "test", "activation_format": "float16"} | options,
        rows=rows,
        cols=cols,
        lanes=lanes,
        floating=FloatConfig(**floating),
    )
    formats = get_family(family)
    widths = worst_case_widths(array, formats, group_size=50, k=120)
    return resolve_machine(array, formats, *widths)


def integers(rows: int, cols: int, lanes: int, family: str, **options: Any) -> Machine:
    """A machine with multipliers and integer activations."""
    multiplied: dict[str, Any] = {"pe": "multiplier", "activation_format": "integer"}
    return make(rows, cols, lanes, family, floating={}, **multiplied, **options)


#: the parameters of a fused multiply-add in its accumulator's format
FMA = {"alignment": "pe", "guard_bits": 0, "normalization": "full"}
SERIAL = {
    "row": make(2, 3, 4, "bitmod_fp4", floating={}),
    "row, narrow sums": make(
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
    "row, full, one row": make(1, 2, 4, "int4", floating={"normalization": "full"}),
    "row, carry-save": make(
        2, 2, 3, "bitmod_fp4", floating={}, adders="compressor", pipeline=ALL_STAGES
    ),
    "row, bfloat16, two rows a dequantizer": make(
        2,
        2,
        4,
        "bitmod_fp4",
        floating={"outer_mantissa_bits": 12},
        activation_format="bfloat16",
        rows_per_dequantizer=2,
    ),
    "row, float8, E4M3 scales, all stages": make(
        2,
        2,
        4,
        "bitmod_fp4",
        floating={},
        activation_format="float8_e4m3fn",
        scale=ScaleConfig(format="e4m3", shift="barrel"),
        pipeline=ALL_STAGES,
    ),
    "pe": make(2, 2, 4, "bitmod_fp4", floating={"alignment": "pe"}),
    "pe, truncating": make(
        2, 2, 3, "int8", floating={"alignment": "pe", "rounding": "truncate", "guard_bits": 2}
    ),
    "pe, float8, all stages": make(
        2,
        2,
        4,
        "ant4",
        floating={"alignment": "pe"},
        activation_format="float8_e5m2",
        pipeline=ALL_STAGES,
    ),
    "exact": make(2, 2, 4, "bitmod_fp4", floating={"datapath": "exact"}),
    "exact, all stages": make(
        1, 2, 3, "bitmod_fp4", floating={"datapath": "exact"}, pipeline=ALL_STAGES
    ),
}
MULTIPLIERS = {
    "float16 x float16": make(
        2, 2, 1, "float16", pe="multiplier", floating=FMA | {"mantissa_bits": 12}, scale=UNSCALED
    ),
    "float16 x float16, all stages": make(
        2, 2, 1, "float16", pe="multiplier", floating=FMA, pipeline=ALL_STAGES
    ),
    "float16 x int8": make(2, 2, 1, "int8", pe="multiplier", floating=FMA),
    "guard bits of one lane": make(
        2, 2, 1, "int8", pe="multiplier", floating={"alignment": "pe", "guard_bits": 3}
    ),
    "row": make(2, 2, 2, "int8", pe="multiplier", floating={}),
    "float16 x OliVe": make(2, 2, 2, "olive4", pe="multiplier", floating={"alignment": "pe"}),
    "exact float16": make(1, 2, 1, "float16", pe="multiplier", floating={"datapath": "exact"}),
    "exact float8, bounded": make(
        2,
        2,
        2,
        "int4",
        pe="multiplier",
        floating={"datapath": "exact"},
        activation_format="float8_e4m3fn",
        inner_accumulator=AccumulatorConfig(bits=20, mode="saturate"),
        outer_accumulator=AccumulatorConfig(bits=26, mode="flag"),
    ),
    "int8 x int8": integers(2, 3, 3, "int8"),
    "int8 x int8, sums, control": integers(2, 3, 5, "int8", pipeline=("sums", "control")),
    "int8 x ANT, all stages": integers(2, 2, 3, "ant4", pipeline=ALL_STAGES),
    "int8 x OliVe": integers(2, 2, 4, "olive4"),
    "unsigned, narrow": integers(
        2,
        2,
        2,
        "int8",
        activation_signed=False,
        pipeline=("products", "shift"),
        inner_accumulator=AccumulatorConfig(bits=14),
    ),
}
MACHINES = {f"serial {n}": m for n, m in SERIAL.items()} | {
    f"multiplier {n}": m for n, m in MULTIPLIERS.items()
}
PER_LANE = ("pe.products", "pe.alignment")


def parts_of(built: Machine):
    """(prefix of the model's blocks, component) of what a machine has many of."""
    yield "pe.", inner_pe(built)
    yield "dequantizer.", make_dequantizer(built)
    if built.accelerator.has_floats:
        yield "activations", activation_decoder(built)


def modelled(built: Machine, prefix: str, value) -> float:
    """Sum of ``value(block)`` over one instance of a part."""
    blocks = [b for b in machine_blocks(built) if b.block.startswith(prefix)]
    assert blocks, prefix
    lanes = built.accelerator.lanes
    return sum(value(b) * (lanes if b.block in PER_LANE else 1) for b in blocks)


def total(built: Machine) -> int:
    """Flip-flops of a whole machine, queue storage included."""
    return sum(
        block.count * (block.structure.flip_flop_bits + block.structure.memory_bits)
        for block in machine_blocks(built)
    )


@pytest.mark.rtl
@pytest.mark.parametrize("name", sampled(MACHINES, every=5))
def test_flip_flops_are_exact(name, tmp_path):
    built = MACHINES[name]
    for prefix, component in parts_of(built):
        found = modelled(built, prefix, lambda block: block.structure.flip_flop_bits)
        if prefix == "pe." and built.accelerator.adders == "compressor":
            continue  # the count of negative lanes is kept once per column
        assert synthesized_flip_flops(component, tmp_path) == found, prefix
    assert synthesized_flip_flops(Core(machine=built), tmp_path) == total(built)


#: what only shows in a whole machine: outputs that nothing reads, registers that are equal
WHOLE = {
    "one row with a requantizer": integers(1, 2, 2, "int4", requantizer=RequantizerConfig()),
    "exact, narrow sums": make(
        2,
        2,
        2,
        "int4",
        floating={"datapath": "exact"},
        activation_format="float8_e4m3fn",
        inner_accumulator=AccumulatorConfig(bits=14),
        outer_accumulator=AccumulatorConfig(bits=18),
    ),
}


@pytest.mark.rtl
@pytest.mark.parametrize("name", WHOLE)
def test_flip_flops_of_whole_machines_are_exact(name, tmp_path):
    assert synthesized_flip_flops(Core(machine=WHOLE[name]), tmp_path) == total(WHOLE[name])


#: how far the model's area may be from that of synthesis; ``python -m benchmarks.area`` prints more
TOLERANCE = {"pe.": 0.2, "dequantizer.": 0.1, "activations": 0.2}


@pytest.mark.rtl
@pytest.mark.skipif(not LIBERTY.is_file(), reason=f"{LIBERTY.name} is not beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "serial row",
        "serial row, narrow sums",
        "serial pe",
        "serial pe, float8, all stages",
        "serial exact",
        "multiplier float16 x float16",
        "multiplier float16 x int8",
        "multiplier row",
        "multiplier int8 x int8",
        "multiplier int8 x OliVe",
    ],
)
def test_area_is_near_synthesis(name):
    built, technology = MACHINES[name], Technology.of(load_axis("technology", "sg13g2_130nm"))
    areas = {area.block: area.area_um2 for area in machine_area(built, technology)}
    with libraries([LIBERTY]) as found:
        for prefix, component in parts_of(built):
            area = map_library(rtlil(component), found["sg13g2"])["area_um2"]
            model = modelled(built, prefix, lambda block: areas[block.block])
            assert model == pytest.approx(area, rel=TOLERANCE[prefix]), prefix


def run(built: Machine) -> Activity:
    """Activity of a GEMM of 5 tokens, 7 outputs and 3 groups of 32 inputs."""
    gemm = GemmShape(m=5, n=7, k=96, group_size=32)
    return gemm_activity(built, gemm, simulate_gemm(built, gemm))


@pytest.mark.parametrize("technology", ["sg13g2_130nm", "generic_28nm"])
@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_has_a_cost(name, technology):
    built = MACHINES[name]
    report = cost(built, run(built), Technology.of(load_axis("technology", technology)))
    json.dumps(report.to_dict(), allow_nan=False)
    assert all(action.count > 0 and action.total_pj > 0 for action in report.actions)
    idle = {"walker", "sequencer", "dequantizer_control"}
    blocks = {b.block for b in report.blocks if not b.block.startswith("queue.")}
    charged = {
        action.action.removesuffix(".load").removesuffix(".select") for action in report.actions
    }
    assert blocks - charged == idle


def test_float_parts_are_counted_by_hand():
    # 2 x 2 PEs: M = 5 in 3 row tiles, N = 7 in 4 column tiles, 96 inputs in 24 chunks and 3 groups
    built = make(2, 2, 4, "bitmod_fp4", floating={"alignment": "pe"})
    technology = Technology.of(load_axis("technology", "sg13g2_130nm"))
    found = {a.action: a for a in job_energy(built, run(built), technology)}
    slots = 3 * 4 * 24 * built.slots
    assert found["pe.exponents"].count == slots * 4
    assert found["pe.alignment"].count == slots * 4 * 4
    assert found["activations"].count == 3 * 4 * 24 * 2
    # one accumulation a group, eight scale bits
    assert found["dequantizer.outer_accumulator"].count == 3 * 4 * 3 * 4
    assert found["dequantizer.product"].count == 3 * 4 * 3 * 4 * 8
    assert found["encoder"].count == 3 * 4 * 2 * 2
    assert "registers.exponents" not in found
    row = make(2, 2, 4, "bitmod_fp4", floating={})
    found = {a.action: a for a in job_energy(row, run(row), technology)}
    assert found["registers.exponents"].count == 3 * 4 * 24 * 2


def test_row_exponents_are_delayed_up_to_the_accumulator():
    # five bits of a float16 place, one register for each cycle behind the first
    assert exponent_stages(make(2, 2, 4, "int4", floating={}), 1) == 5
    assert exponent_stages(make(2, 2, 4, "int4", floating={"alignment": "pe"}), 1) == 0
    assert exponent_stages(make(2, 2, 4, "int4", floating={"datapath": "exact"}), 1) == 0


def test_float16_codes_are_wires_but_for_their_exponent():
    built = MULTIPLIERS["float16 x float16"]
    # sign, 11 bits of significand, 5 of place
    assert term_register_bits(built) == term_bits(built.terms) == 17
    assert term_decoder(built) == Structure(gates=5 * 5)


@pytest.mark.parametrize(
    ("floating", "larger"),
    [
        ({"guard_bits": 2}, {"guard_bits": 3}),
        ({"mantissa_bits": 12}, {"mantissa_bits": 24}),
        ({"rounding": "truncate"}, {"rounding": "nearest_even"}),
        ({"normalization": "right"}, {"normalization": "full"}),
        ({"outer_mantissa_bits": 24}, {"outer_mantissa_bits": 25}),
    ],
)
@pytest.mark.parametrize("alignment", ["row", "pe"])
def test_more_precision_costs_more(alignment, floating, larger):
    areas = []
    for options in (floating, larger):
        built = make(2, 2, 4, "bitmod_fp4", floating={"alignment": alignment} | options)
        found = machine_area(built, Technology.of(load_axis("technology", "sg13g2_130nm")))
        areas.append(sum(block.total_um2 for block in found))
    assert areas[1] > areas[0]


def test_shifter_and_multiplier_by_hand():
    # 5 bits by 0..3: moved by 2, three have two sources; moved by 1, four; the rest are sign
    assert right_shifter(5, 2) == Structure(mux2_bits=3 + 4, gates=2 * (2 + 1))
    assert right_shifter(5, 2, zero_filled=True) == Structure(mux2_bits=7, gates=3)
    # the two low places are 0 at first: moved by 2, only one place has two sources
    assert right_shifter(5, 2, zero_filled=True, zeros=2) == Structure(mux2_bits=1 + 4, gates=4 + 1)
    # one bit is read in the end, and two behind the shift by 2
    assert right_shifter(5, 2, kept=1) == Structure(mux2_bits=2 + 1)
    # a place below, and what is lost from it; a shift by 8, 16 or 32 leaves nothing
    assert right_shifter(5, 6, sticky=True).mux2_bits == 5 + 4 + 2
    # four rows of three, of which three save their carries
    assert multiplier(4, 3) == Structure(gates=12, full_adder_bits=2 * 4) + adder(7)
    assert multiplier(4, 1) == Structure(gates=4)
    # a product that is cut has the pairs of bits that reach what is read
    for kept in range(1, 9):
        pairs = sum(i + j < kept for i in range(4) for j in range(3))
        assert multiplier(4, 3, kept=kept).gates == pairs
    assert leading_place(4) == Structure(gates=8 + 6)
    assert short_adder(3) == Structure(full_adder_bits=3)
