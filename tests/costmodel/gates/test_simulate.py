"""From RTL to energy on a counter whose toggles are known, with a real library."""

import ctypes
import gzip
from pathlib import Path

import pytest
from amaranth import ClockDomain, ClockSignal, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from costmodel.gates.liberty import Library
from costmodel.gates.netlist import Netlist, cell_models, synthesize
from costmodel.gates.opensta import opensta, sta_power
from costmodel.gates.power import PowerModel
from costmodel.gates.reduced import reduced
from costmodel.gates.saif import Toggles, read_saif
from costmodel.gates.simulate import RECORD, build

LIBERTY = Path(__file__).parents[4] / "shared" / "data" / "ihp_sg13g2_typ_1p20V_25C.lib.gz"
VOLTS, CYCLES = 1.2, 32
BENCH = """
#include <cstdint>
#include "verilated.h"
#include "verilated_saif_c.h"
#include "Vtop.h"
extern "C" uint64_t count(const char* path, uint64_t cycles) {
    VerilatedContext context;
    context.traceEverOn(true);
    Vtop top(&context, "top");
    VerilatedSaifC trace;
    top.trace(&trace, 1);
    trace.open(path);
    uint64_t first = 0;
    for (uint64_t cycle = 0; cycle <= cycles; ++cycle) {
        top.aclk = 0; top.eval();
        if (!cycle) first = top.nets;
        trace.dump(cycle);
        top.aclk = 1; top.eval();
    }
    trace.close();
    return first;
}
"""


class Counter(wiring.Component):
    """Four bits, one up each cycle."""

    def __init__(self) -> None:
        super().__init__({"aclk": In(1), "count": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.d.comb += ClockSignal().eq(self.aclk)
        m.d.sync += self.count.eq(self.count + 1)
        return m


@pytest.fixture(scope="module")
def liberty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not LIBERTY.is_file():
        pytest.skip("the sg13g2 library does not lie beside the checkout")
    path = tmp_path_factory.mktemp("liberty") / "cells.lib"
    path.write_bytes(gzip.decompress(LIBERTY.read_bytes()))
    return path


@pytest.fixture(scope="module")
def run(liberty: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Netlist, Toggles]:
    netlist = synthesize(Counter(), liberty)
    text = netlist.to_verilog(recorded=RECORD) + cell_models(liberty, netlist.cells)
    library = ctypes.CDLL(str(build(text, top=netlist.top, bench=BENCH)))
    library.count.restype = ctypes.c_uint64
    path = tmp_path_factory.mktemp("saif") / "counter.saif"
    first = library.count(str(path).encode(), ctypes.c_uint64(CYCLES))
    assert len(netlist.nets) <= 64
    record = read_saif(path.read_text()).named(RECORD, [f"n{net}" for net in netlist.nets])
    return netlist, record.less_initial([first >> i & 1 for i in range(len(netlist.nets))])


def test_exact_toggles(run: tuple[Netlist, Toggles]) -> None:
    netlist, toggles = run
    assert toggles.duration == CYCLES
    found = [toggles.of(net) for net in netlist.outputs["count"]]
    assert [changes for _, changes in found] == [CYCLES, CYCLES // 2, CYCLES // 4, CYCLES // 8]
    assert [share for share, _ in found] == [0.5] * 4
    # sampled while the clock is low
    assert toggles.of(netlist.inputs["aclk"][0]) == (0.0, 0)
    flip_flops = [i for i in netlist.instances if "dfr" in i.cell]
    assert len(flip_flops) == 4
    # zero delay: what a flip-flop takes changes as often as what it shows
    assert sorted(toggles.of(i.pins["D"])[1] for i in flip_flops) == [4, 8, 16, 32]


def test_charge_of_the_pins(run: tuple[Netlist, Toggles], liberty: Path) -> None:
    """Half C V squared of every driven pin, added up another way."""
    netlist, toggles = run
    library = Library(liberty.read_text())
    found = PowerModel(netlist, library, volts=VOLTS).energy(toggles)[""]
    expected = clocks = 0.0
    for instance in netlist.instances:
        for name, net in instance.pins.items():
            pin = library[instance.cell].pins[name]
            if pin.is_output:
                continue
            if net == netlist.inputs["aclk"][0]:
                clocks += 2 * CYCLES * pin.capacitance_pf * VOLTS**2 / 2
            else:
                expected += toggles.of(net)[1] * pin.capacitance_pf * VOLTS**2 / 2
    assert found.switching_pj == pytest.approx(expected)
    assert found.clock_load_pj == pytest.approx(clocks)
    assert found.port_pj == 0
    assert found.leakage_pw > 0


def test_opensta_agrees(run: tuple[Netlist, Toggles], liberty: Path, tmp_path: Path) -> None:
    netlist, toggles = run
    if opensta() is None:
        pytest.skip("OpenSTA is not installed")
    text = liberty.read_text()
    (tmp_path / "halved.lib").write_text(reduced(text, halve_clocks=True))
    library = Library(reduced(text))
    theirs = sta_power(netlist, library, tmp_path / "halved.lib", toggles)
    assert theirs is not None
    own = PowerModel(netlist, library, volts=VOLTS).energy(toggles)[""]
    assert own.driven_pj / CYCLES == pytest.approx(theirs.dynamic_pj_per_cycle, rel=0.05)
    assert own.switching_pj / CYCLES == pytest.approx(theirs.switching_w * 1e4, rel=0.05)


def test_without_opensta(
    run: tuple[Netlist, Toggles], liberty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product does not need it."""
    netlist, toggles = run
    monkeypatch.setenv("PATH", "")
    assert sta_power(netlist, Library(liberty.read_text()), liberty, toggles) is None
