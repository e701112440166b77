"""The structure behind area and energy, against synthesis and by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from configs.accelerator import AccumulatorConfig, RequantizerConfig, ScaleConfig
from costmodel import Structure, machine_blocks
from costmodel.decoder import decision_nodes, term_decoder, truth_table
from costmodel.dequant import header_stages
from costmodel.structure import adder, compressor, left_shifter
from hw.core import Core
from hw.dequant import (
    ActivationSums,
    ColumnScale,
    DequantizerControl,
    Requantizer,
    SerialDequantizer,
)
from hw.emit import run_yosys, to_rtlil
from hw.memory import TileBuffer
from hw.pe import SerialPE
from hw.terms import SpecialValues
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port
from sw.formats import fitting_terms, get_family

from ..agreement.machines import ALL_STAGES, BUFFERS, E4M3_BARREL, E8M0_BARREL, STAGES, machine
from ..sampled import sampled

#: one, two and four members, one to four slots, up to six lane exponent bits
FEW = ("ant4", "binary", "bitmod_fp3", "bitmod_fp4", "float8_e5m2", "int4", "int6", "int8")


def test_choices_between_slots_are_bits_that_differ():
    """int4 in two slots of one lane exponent bit, spelt out from its own terms."""
    built = machine(1, 1, 1, "int4", lane_exponent_bits=1)
    terms, levels = built.terms, built.family.members[0].levels
    wanted = sum(
        any((terms.packed(x, slot) ^ terms.packed(x, slot + 1)) >> bit & 1 for x in levels)
        for slot in range(terms.slots - 1)
        for bit in range(terms.digit_bits + 1 + terms.exponent_bits)
    )
    found = term_decoder(built)
    assert found.slot_choices == wanted > 0
    assert found.table_inputs == 4 + (terms.slots - 1).bit_length()


@pytest.mark.parametrize("name", FEW)
def test_truth_table_spells_every_level(name):
    family = get_family(name)
    terms = fitting_terms(family)
    table = np.array(truth_table(family, terms))
    by_slot = table.reshape(-1, 1 << family.id_bits, 1 << family.bits)[: terms.slots]
    exponents = by_slot >> 2
    values = (by_slot & 1) * (1 - (by_slot & 2)) << exponents
    levels = (values << np.array(terms.base_shifts)[:, None, None]).sum(axis=0)
    assert np.array_equal(levels[: len(family.members)], family.level_table)


@pytest.mark.parametrize(
    ("table", "output_bits", "nodes"),
    [
        ([0, 0, 0, 0], 1, (0, 0)),
        ([0, 1, 0, 1], 1, (0, 0)),  # an input itself
        ([0, 0, 0, 1], 1, (0, 1)),  # and
        ([0, 1, 1, 0], 1, (1, 0)),  # exclusive or
        ([0, 2, 2, 1], 2, (1, 1)),  # and; exclusive or
        ([0, 3, 3, 0], 2, (1, 0)),  # equal outputs are built once
        ([0, 0, 0, 1, 0, 0, 0, 1], 1, (0, 1)),  # the first input does not matter
        ([0, 1, 2, 3], 2, (0, 0)),  # both inputs as they are
        ([1, 1, 1, 2], 2, (0, 1)),  # nand and and: a complement is not built again
        # a multiplexer whose selector is the last input: one node in the order that is found
        ([0, 0, 0, 1, 1, 0, 1, 1], 1, (1, 0)),
    ],
)
def test_decision_nodes(table, output_bits, nodes):
    assert decision_nodes(table, output_bits) == nodes


def test_shifter_and_compressor_by_hand():
    # 4 bits by 0..3: 3 + 4 bits have two sources, 1 + 2 may be zero
    assert left_shifter(4, 3) == Structure(mux2_bits=3 + 4, gates=1 + 2)
    assert left_shifter(4, 0) == Structure()
    # two rows of full adders before the last adder
    assert compressor([9, 10, 11]) == Structure(full_adder_bits=19) + adder(11)
    assert compressor([]) == Structure()


def test_adder_by_hand():
    # Brent and Kung: the carries of 8 bits take 2 * 8 - 2 - 3 nodes, those of a bit none
    assert adder(8) == Structure(adder_bits=8, carry_nodes=11)
    assert adder(9).carry_nodes == 16 - 4
    assert adder(1) == Structure(adder_bits=1)


def synthesized_flip_flops(component, folder) -> int:
    """Flip-flops that Yosys keeps, queue storage included."""
    (folder / "design.il").write_text(to_rtlil(component, "top"))
    run_yosys(
        f"read_rtlil {folder}/design.il\n"
        "synth -flatten -noabc -top top\n"
        f"tee -q -o {folder}/stat.json stat -json\n"
    )
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return sum(count for cell, count in cells.items() if "DFF" in cell)


def modelled_flip_flops(built: Machine, prefix: str) -> int:
    """The same count in one instance of each block whose name begins with ``prefix``."""
    blocks = [b for b in machine_blocks(built) if b.block.startswith(prefix)]
    assert blocks, prefix
    return sum(b.structure.flip_flop_bits for b in blocks)


def small(family: str = "bitmod_fp4", **options) -> Machine:
    """2 x 1 PEs of two lanes."""
    return machine(2, 1, 2, family, **{"widths": (20, 34)} | options)


PES = {
    "bitmod_fp4": machine(2, 3, 4, "bitmod_fp4"),
    "int8": machine(2, 3, 3, "int8"),
    "saturate": machine(2, 2, 4, "int4", modes=("saturate", "wrap"), activation_bits=5),
    "narrow": machine(2, 2, 4, "int8", widths=(9, 20), pipeline=("shift", "products")),
    "unsigned, two chains": machine(1, 1, 6, "int4", activation_signed=False, pipeline=ALL_STAGES),
    "compressor": machine(1, 2, 6, "int6", adders="compressor", pipeline=("products",)),
    "sums": machine(1, 2, 7, "bitmod_fp4", pipeline=("sums",)),
    "sums in a narrow register": machine(1, 1, 8, "int8", widths=(11, 20), pipeline=("sums",)),
    "sums of unsigned": machine(1, 1, 5, "int6", activation_signed=False, pipeline=("sums",)),
    "sums in a compressor": machine(1, 1, 5, "int6", adders="compressor", pipeline=ALL_STAGES),
    "sums of unsigned in a compressor": machine(
        1, 1, 5, "int4", adders="compressor", activation_signed=False, pipeline=("sums",)
    ),
    "unsigned compressor": machine(
        1, 2, 5, "int4", adders="compressor", activation_signed=False, pipeline=("products",)
    ),
}


@pytest.mark.rtl
@pytest.mark.parametrize("name", PES)
def test_pe_flip_flops_are_exact(name, tmp_path):
    built = PES[name]
    array = built.accelerator
    pe = SerialPE(
        terms=built.terms,
        lanes=array.lanes,
        activation_bits=array.activation_bits,
        activation_signed=array.activation_signed,
        bits=built.inner_bits,
        mode=array.inner_accumulator.mode,
        adders=array.adders,
        pipeline=array.pipeline,
    )
    lane = modelled_flip_flops(built, "pe.products")
    modelled = modelled_flip_flops(built, "pe.") + (array.lanes - 1) * lane
    assert synthesized_flip_flops(pe, tmp_path) == modelled


DEQUANTIZERS = {
    "wrap": small(),
    "flag": small(modes=("wrap", "flag"), widths=(17, 29)),
    "narrow": small(widths=(20, 22)),
    "two rows": small(rows_per_dequantizer=2),
    "zero points": small("int4", zero_point_bits=4),
    "zero points, two rows": small("int4", zero_point_bits=3, rows_per_dequantizer=2),
    "E8M0 by doubling": small(scale=ScaleConfig(format="e8m0", binades=10)),
    "E8M0 by shifter": small(scale=E8M0_BARREL, widths=(18, 40)),
    "E4M3 by doubling": small(scale=ScaleConfig(format="e4m3"), widths=(18, 50)),
    "E4M3 by shifter": small(scale=E4M3_BARREL, widths=(18, 50), modes=("wrap", "saturate")),
}


@pytest.mark.rtl
@pytest.mark.parametrize("name", DEQUANTIZERS)
def test_dequantizer_flip_flops_are_exact(name, tmp_path):
    built = DEQUANTIZERS[name]
    array = built.accelerator
    dequantizer = SerialDequantizer(
        group_bits=built.inner_bits,
        corrected_bits=built.corrected_bits,
        activation_sum_bits=built.activation_sum_bits,
        zero_point_bits=array.zero_point_bits,
        scale_bits=array.scale.serial_bits,
        barrel_shift=array.scale.barrel_shift,
        bits=built.outer_bits,
        mode=array.outer_accumulator.mode,
        rows=array.rows_per_dequantizer,
    )
    found = synthesized_flip_flops(dequantizer, tmp_path)
    assert found == modelled_flip_flops(built, "dequantizer.")


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["zero points", "zero points, two rows", "E4M3 by shifter"])
def test_what_serves_dequantizers_is_exact(name, tmp_path):
    built = DEQUANTIZERS[name]
    array = built.accelerator
    zero_point_bits, rows = array.zero_point_bits, array.rows_per_dequantizer
    parts = {
        "column_scale": ColumnScale(
            scale=array.scale, zero_point_bits=zero_point_bits, stages=header_stages(built)
        ),
        "dequantizer_control": DequantizerControl(
            zero_point_bits=zero_point_bits, scale_bits=array.scale.serial_bits, rows=rows
        ),
    }
    if zero_point_bits:
        parts["activation_sums"] = ActivationSums(
            rows=rows,
            lanes=array.lanes,
            activation_bits=array.activation_bits,
            activation_signed=array.activation_signed,
            bits=built.activation_sum_bits,
            zero_point_bits=zero_point_bits,
            delay=1,
        )
    for block, component in parts.items():
        assert synthesized_flip_flops(component, tmp_path) == modelled_flip_flops(built, block)


@pytest.mark.rtl
def test_special_values_and_requantizer_are_exact(tmp_path):
    built = small(programmable=True, requantizer=RequantizerConfig(multiplier_bits=9))
    values = SpecialValues(family=built.family, terms=built.terms)
    found = synthesized_flip_flops(values, tmp_path)
    assert found == modelled_flip_flops(built, "special_values")
    requantizer = Requantizer(cols=1, bits=built.outer_bits, multiplier_bits=9, shift_bits=6)
    # the control of both stages is counted with the drain
    drain = modelled_flip_flops(built, "drain")
    plain = replace(built, accelerator=replace(built.accelerator, requantizer=None))
    modelled = modelled_flip_flops(built, "requantizer") + drain
    found = synthesized_flip_flops(requantizer, tmp_path)
    assert found == modelled - modelled_flip_flops(plain, "drain")


#: every option alone; STAGES has them together
SINGLE = {
    "wrap": small(),
    "int8, odd queue": machine(3, 1, 4, "int8", queue_beats=5),
    "flag": small("int6", modes=("flag", "wrap")),
    "saturate": small(modes=("wrap", "saturate")),
    "narrow": small("int8", widths=(9, 20), pipeline=("products", "shift")),
    "unsigned": small(activation_signed=False, activation_bits=6),
    "operands": small(pipeline=("operands",)),
    "products": small(pipeline=("products",)),
    "shift": small("int8", pipeline=("shift",)),
    "sums": machine(2, 2, 5, "int4", pipeline=("sums",)),
    "control": small(pipeline=("control",)),
    "control, flag": small(modes=("flag", "wrap"), pipeline=("control", "products")),
    "control, two rows": small(rows_per_dequantizer=2, pipeline=("control",)),
    "control, zero points": small("int4", zero_point_bits=3, pipeline=("control", "shift")),
    "two rows": small(rows_per_dequantizer=2),
    "programmable": small(programmable=True),
    "requantizer": small(requantizer=RequantizerConfig()),
    "two formats, several codes": small("ant4"),
    "present is always set": small("binary", zero_point_bits=2),
    "one lane in a compressor": machine(2, 2, 1, "int4", adders="compressor", pipeline=ALL_STAGES),
    "E8M0, one bit, two rows": small(
        scale=E8M0_BARREL, rows_per_dequantizer=2, pipeline=("products",)
    ),
    "E8M0, one bit, all stages": machine(2, 2, 2, "int4", scale=E8M0_BARREL, pipeline=ALL_STAGES),
} | {name: built for name, built in DEQUANTIZERS.items() if name.startswith(("zero", "E"))}


@pytest.mark.rtl
@pytest.mark.parametrize("name", sampled([*SINGLE, *STAGES], every=3))
def test_machine_flip_flops_are_exact(name, tmp_path):
    built = {**STAGES, **SINGLE}[name]
    modelled = sum(
        block.count * (block.structure.flip_flop_bits + block.structure.memory_bits)
        for block in machine_blocks(built)
    )
    assert synthesized_flip_flops(Core(machine=built), tmp_path) == modelled


def test_optional_blocks_appear_with_their_option():
    base = {b.block for b in machine_blocks(small("int4"))}
    options = {
        "registers.operands": {"pipeline": ("operands",)},
        "pe.signs": {"pipeline": ("products",)},
        "negatives": {"adders": "compressor"},
        "dequantizer.shifter": {"scale": E4M3_BARREL},
        "queue.parameters, requantizer": {"requantizer": RequantizerConfig()},
        "activation_sums, dequantizer.correction": {"zero_point_bits": 4},
        "": {"inner_accumulator": AccumulatorConfig(mode="flag")},
    }
    for names, changes in options.items():
        built = small("int4")
        built = replace(built, accelerator=replace(built.accelerator, **changes), group_inputs=49)
        more = {b.block for b in machine_blocks(built)}
        assert more >= base and ", ".join(sorted(more - base)) == names
    special = {b.block for b in machine_blocks(small(programmable=True))} - base
    assert special == {"special_terms", "special_values"}


@pytest.mark.rtl
@pytest.mark.parametrize("name", list(BUFFERS)[:2])
def test_buffer_control_flip_flops_are_exact(name, tmp_path):
    for port in (weight_port(BUFFERS[name]), activation_port(BUFFERS[name])):
        (tmp_path / "design.il").write_text(to_rtlil(TileBuffer(port=port), "top"))
        run_yosys(
            f"read_rtlil {tmp_path}/design.il\n"
            "hierarchy -top top\nproc\nflatten\nopt_clean\nmemory_collect\n"
            "expose -evert t:$mem_v2\nsynth -flatten -noabc -top top\n"
            f"tee -q -o {tmp_path}/stat.json stat -json\n"
        )
        stat = json.loads((tmp_path / "stat.json").read_text())["design"]
        found = sum(n for cell, n in stat["num_cells_by_type"].items() if "DFF" in cell)
        assert found == modelled_flip_flops(BUFFERS[name], f"buffer_control.{port.name}")
