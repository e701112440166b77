"""SAIF in, energy out: a netlist whose energy is worked out by hand."""

import pytest

from configs.errors import InputError
from costmodel.gates.liberty import Library
from costmodel.gates.measure import part_of
from costmodel.gates.netlist import Instance, _joined, read_netlist
from costmodel.gates.power import PowerModel
from costmodel.gates.saif import Toggles, read_saif

from .tiny import LIBRARY, NETLIST, TOGGLES

SAIF = r"""
(SAIFILE (SAIFVERSION "2.0") (DIRECTION "backward") (DURATION 20)
 (INSTANCE top
  (INSTANCE core
   (NET
    (nets\[0\] (T0 5) (T1 15) (TX 0) (TC 3))
    (nets\[1\] (T0 20) (T1 0) (TZ 0) (TX 0) (TB 0) (TC 0) (IG 0))
    (a.b (T0 10) (T1 10) (TC 7))
   )
  )
 )
)
"""


@pytest.fixture(scope="module")
def model() -> PowerModel:
    return PowerModel(NETLIST, Library(LIBRARY), volts=2.0)


def test_saif() -> None:
    found = read_saif(SAIF)
    assert found.duration == 20
    assert found.changes == {"nets[0]": 3, "nets[1]": 0, "a.b": 7}
    assert found.high["nets[0]"] == pytest.approx(0.75)


def test_saif_vector() -> None:
    """Bits get their nets' names; the change that is counted for a first 1 goes."""
    found = read_saif(SAIF).named("nets", ["n7", "n9"])
    assert found.less_initial([1, 0]).changes == {"n7": 2, "n9": 0}
    assert found.of("1") == (1.0, 0)
    assert found.of("0") == (0.0, 0)
    assert found.of(7) == (0.75, 3)


@pytest.mark.parametrize("text", ["", "(DURATION 0)", "(DURATION 5) (INSTANCE top)"])
def test_saif_without_content(text: str) -> None:
    with pytest.raises(InputError, match="SAIF"):
        read_saif(text)


def test_loads_and_slews(model: PowerModel) -> None:
    assert model.loads_pf[4] == pytest.approx(0.002)
    assert model.loads_pf.get(5, 0.0) == 0.0
    assert model.slews_ns[4] == pytest.approx((0.1, 0.2))
    # the rising output is caused by the falling input: 2 x 0.01 at a slew of 0.2
    assert model.slews_ns[5] == pytest.approx((0.02, 0.04))


def test_energy_by_hand(model: PowerModel) -> None:
    found = model.energy(TOGGLES, part_of)
    flip_flop, inverter = found["pe"], found["drain"]
    # V squared over 2 is 2; a pin's charge counts at the cell that has the pin
    assert flip_flop.switching_pj == 0
    assert inverter.switching_pj == pytest.approx(4 * 2 * 0.002)
    assert flip_flop.port_pj == pytest.approx(6 * 2 * 0.001)
    assert flip_flop.clock_load_pj == pytest.approx(20 * 2 * 0.004)
    # 4 changes of mean 200 units of 10 fJ
    assert flip_flop.internal_pj == pytest.approx(4 * 2.0)
    # data differ from the output in 4 of 10 cycles: 0.6 x 10 + 0.4 x 30 units
    assert flip_flop.clock_pj == pytest.approx(20 * 0.18)
    assert flip_flop.leakage_pw == pytest.approx(15.0)
    # rise at the slew 0.2 of the falling input: 200; fall: 50
    assert inverter.internal_pj == pytest.approx(4 * (2.0 + 0.5) / 2)
    assert inverter.clock_pj == inverter.port_pj == 0
    assert inverter.leakage_pw == pytest.approx(500)
    assert flip_flop.data_pj == pytest.approx(8.0 + 0.012)
    assert flip_flop.driven_pj == pytest.approx(8.0 + 3.6)
    assert inverter.driven_pj == pytest.approx(5.0 + 0.016)


def test_nothing_changes(model: PowerModel) -> None:
    """Idle cells cost their clock and leakage."""
    still = Toggles(
        duration=10, high=dict.fromkeys(TOGGLES.high, 0.0), changes=dict.fromkeys(TOGGLES.high, 0)
    )
    (found,) = model.energy(still).values()
    assert found.data_pj == 0
    assert found.clock_pj == pytest.approx(20 * 0.1)
    assert found.leakage_pw == pytest.approx(520)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        (("pe_array", "pe_10_3"), "pe"),
        (("pe_array", "dequantizer_0_1"), "dequantizer"),
        (("pe_array", "activation_sums_0"), "activation_sums"),
        (("pe_array", "activations_1"), "activations"),
        (("pe_array", "control"), "control"),
        (("pe_array", "special_values"), "control"),
        (("pe_array",), "control"),
        (("weight_loader", "headers"), "queue"),
        (("weight_loader", "walker"), "control"),
        (("activation_loader", "chunks"), "queue"),
        (("sequencer",), "control"),
        (("drain",), "drain"),
        ((), "control"),
    ],
)
def test_parts(path: tuple[str, ...], part: str) -> None:
    assert part_of(Instance(path=path, cell="INV", pins={})) == part


def test_read_netlist() -> None:
    """Names that Yosys gives to flattened cells carry the hierarchy."""
    cells = {
        "\\pe_array.pe_0_1.$abc$12$auto$blif.cc:1:f$7": {"type": "INV", "connections": {"A": [4]}},
        "$flatten\\drain.$flatten\\part.$ff.9": {"type": "INV", "connections": {"A": ["1"]}},
        "$auto$x.cc:3": {"type": "INV", "connections": {}},
    }
    ports = {"a": {"direction": "input", "bits": [4, 5]}}
    found = read_netlist({"modules": {"core": {"cells": cells, "ports": ports}}}, "core")
    assert [i.path for i in found.instances] == [("pe_array", "pe_0_1"), ("drain", "part"), ()]
    assert found.nets == (4, 5)
    assert found.cells == {"INV": 3}


def test_verilog() -> None:
    text = NETLIST.to_verilog()
    assert "DFF u0 (.CK(n2), .D(n3), .Q(n4));" in text
    assert "assign n3 = d;" in text and "assign y = n5;" in text
    recorded = NETLIST.to_verilog(recorded="nets")
    assert "output [3:0] nets;" in recorded
    assert "assign nets = {{n5, n4, n3, n2}};" in recorded


def test_doubtful(model: PowerModel) -> None:
    """A flip-flop's table that grows by half V squared times the load has it inside."""
    assert model.doubtful(TOGGLES) == (0.0, 0.0)
    rise, fall = '(scalar) { values ("150"); }', '(scalar) { values ("250"); }'
    assert rise in LIBRARY and fall in LIBRARY
    # 2 pJ per pF are 2 units of 10 fJ per 10 fF
    grown = LIBRARY.replace(rise, '(square) { values ("150, 152", "150, 152"); }')
    grown = grown.replace(fall, '(square) { values ("250, 252", "250, 252"); }')
    load, second = PowerModel(NETLIST, Library(grown), volts=2.0).doubtful(TOGGLES)
    assert load == pytest.approx(4 * 2 * 0.002)
    assert second == 0


def test_recorded_order() -> None:
    """The lowest bit is the first net, over the borders of groups of 64 as well."""
    names = [f"n{i}" for i in range(130)]
    flat = _joined(names).replace("{", "").replace("}", "").replace("\n", " ").split(", ")
    assert flat == names[::-1]
