"""Multiplier blocks: the rule against synthesis and by hand."""

import pytest

from configs.accelerator import AcceleratorConfig, FloatConfig, RequantizerConfig
from costmodel.fpga import map_cells
from costmodel.fpga.dsp import RULES, machine_dsps
from hw.array import ResultDrain
from hw.array.parts import inner_pe
from hw.emit import to_rtlil
from sw.compile import Machine
from sw.formats import get_family


def build(family: str, *, outer_bits: int = 32, **options) -> Machine:
    settings = {"rows": 1, "cols": 1, "lanes": 2} | options
    array = AcceleratorConfig(name="test", **settings)
    widths = (20, outer_bits)
    if array.is_aligned:
        widths = array.floating.mantissa_bits, array.floating.outer_mantissa_bits
    return Machine(
        accelerator=array, family=get_family(family), inner_bits=widths[0], outer_bits=widths[1]
    )


def multiplying(family: str, **options) -> Machine:
    return build(family, pe="multiplier", **options)


INSIDE = FloatConfig(alignment="pe")
#: target, machine
PES = [
    ("ecp5", multiplying("int2", activation_bits=4)),
    ("ecp5", multiplying("int8")),
    ("ecp5", multiplying("bitmod_fp4", activation_signed=False)),
    ("ecp5", multiplying("float16", activation_format="float16", floating=INSIDE)),
    ("ice40", multiplying("int3", activation_bits=7)),
    ("ice40", multiplying("int3", activation_bits=8)),
    ("ice40", multiplying("int4", activation_bits=7)),
    ("ice40", multiplying("int8", activation_bits=4)),
    ("xc7", multiplying("int3", activation_bits=5)),
    ("xc7", multiplying("int4", activation_bits=6)),
]


@pytest.mark.rtl
@pytest.mark.parametrize("case", range(len(PES)))
def test_rule_for_pes_is_what_yosys_does(case):
    family, machine = PES[case]
    used = map_cells(to_rtlil(inner_pe(machine), "top"), family, top="top", dsp=True)
    name = "float_pe" if machine.accelerator.is_aligned else "multiplier_pe"
    assert machine_dsps(machine, family)[name] == used["dsp"]


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("family", "outer_bits", "multiplier_bits"),
    [("ecp5", 24, 16), ("ecp5", 40, 24), ("ice40", 24, 12), ("ice40", 33, 17)],
)
def test_rule_for_requantizers_is_what_yosys_does(family, outer_bits, multiplier_bits):
    config = RequantizerConfig(multiplier_bits=multiplier_bits)
    machine = build("int4", requantizer=config, outer_bits=outer_bits)
    drain = ResultDrain(
        rows=1,
        cols=1,
        bits=machine.outer_sum_bits,
        result_bits=machine.result_bits,
        requantizer=config,
        float_exponents=None,
    )
    used = map_cells(to_rtlil(drain, "top"), family, top="top", dsp=True)
    assert machine_dsps(machine, family) == {"drain": used["dsp"]}


def test_rules_by_hand():
    ecp5, ice40, xc7 = RULES["ecp5"], RULES["ice40"], RULES["xc7"]
    assert ecp5.blocks(18, 18, 36) == 1
    # 19 bits are 18 and one, which is too few for a block
    assert ecp5.blocks(19, 18, 37) == 1
    assert ecp5.blocks(20, 18, 38) == 2
    assert ecp5.blocks(36, 36, 72) == 4
    assert ecp5.blocks(1, 18, 19) == 0
    assert ice40.blocks(5, 5, 10) == 0
    assert ice40.blocks(5, 6, 11) == 1
    # 25 by 18 signed, or one bit less each
    assert xc7.blocks(25, 18, 43) == 1
    assert xc7.blocks(25, 18, 43, unsigned=True) > 1
    assert xc7.blocks(4, 4, 8) == 0


def test_machines_without_products_take_none():
    assert machine_dsps(build("int4"), "ecp5") == {}
    fewer = machine_dsps(multiplying("int8"), "ecp5")["multiplier_pe"]
    more = machine_dsps(multiplying("int8", rows=3, cols=2), "ecp5")["multiplier_pe"]
    assert (fewer, more) == (2, 12)
