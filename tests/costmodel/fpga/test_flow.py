"""The FPGA flow: devices, counting of cells, reports of nextpnr, the pin wrapper, one small run."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from configs.errors import InputError
from costmodel.fpga import (
    FAMILIES,
    TARGETS,
    FpgaReport,
    PinWrapper,
    Resources,
    find_target,
    implement,
    missing_nextpnr,
    parse_report,
)
from costmodel.fpga import nextpnr as pnr
from costmodel.fpga.flow import check_fits
from costmodel.fpga.nextpnr import SlowPath

from ...agreement.machines import machine

pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")
ECP5, UP5K = TARGETS["ecp5-85k"], TARGETS["ice40-up5k"]
#: reports of nextpnr 0.11.1, shortened: a 2x2x8 array on an ECP5-85k, one PE on an iCE40UP5K
ECP5_REPORT = {
    "fmax": {"clk": {"achieved": 77.35746765136719, "constraint": 150}},
    "utilization": {
        "DP16KD": {"available": 208, "used": 6},
        "MULT18X18D": {"available": 156, "used": 0},
        "TRELLIS_COMB": {"available": 83640, "used": 1807},
        "TRELLIS_FF": {"available": 83640, "used": 800},
        "TRELLIS_RAMW": {"available": 10455, "used": 0},
    },
}
ICE40_REPORT = {
    "fmax": {
        "aclk$SB_IO_IN_$glb_clk": {"achieved": 18.059564, "constraint": 12},
        "slow": {"achieved": 17.5, "constraint": 12},
    },
    "utilization": {
        "ICESTORM_LC": {"available": 5280, "used": 3304},
        "ICESTORM_RAM": {"available": 30, "used": 2},
        "ICESTORM_DSP": {"available": 8, "used": 0},
    },
}


class Echo(wiring.Component):
    """An adder of three inputs between registers, with the ports of an accelerator's clock."""

    def __init__(self) -> None:
        super().__init__(
            {"aclk": In(1), "aresetn": In(1), "a": In(8), "b": In(1), "sum": Out(9), "odd": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        a = Signal(8)
        m.d.sync += [a.eq(self.a), self.sum.eq(a + self.b), self.odd.eq(a[0])]
        return m


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))


def test_unknown_target_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'ecp5-58k': did you mean 'ecp5-85k'"):
        find_target("ecp5-58k")


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_a_family(name: str) -> None:
    target = find_target(name)
    assert target.cells is FAMILIES[target.family]
    assert target.cells.script[0] in target.script(dsp=False)
    assert bool(target.nextpnr) == (target.family in ("ecp5", "ice40"))


def test_cells_are_counted_by_kind() -> None:
    cells = {"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "TRELLIS_FF": 7, "DP16KD": 4, "L6": 9}
    assert FAMILIES["ecp5"].resources(cells) == Resources(lut=24, flip_flops=7, bram=4, dsp=0)
    cells = {"LUT6": 1, "RAMB36E1": 2, "RAMB18E1": 1, "FDRE": 3, "FDSE_1": 1, "DSP48E1": 2}
    assert FAMILIES["xc7"].resources(cells) == Resources(lut=1, flip_flops=4, bram=5, dsp=2)
    cells = {"SB_LUT4": 5, "SB_DFFESR": 2, "SB_RAM40_4KNR": 1, "SB_CARRY": 8}
    assert FAMILIES["ice40"].resources(cells) == Resources(lut=5, flip_flops=2, bram=1, dsp=0)


def test_report_of_ecp5() -> None:
    placed = parse_report(ECP5_REPORT, ECP5, 7)
    assert (placed.seed, placed.fmax_mhz) == (7, 77.36)
    assert placed.used == {"lut": 1807, "flip_flops": 800, "bram": 6, "dsp": 0}
    assert placed.available == {"lut": 83640, "flip_flops": 83640, "bram": 208, "dsp": 156}


def test_report_of_ice40_takes_the_slowest_clock() -> None:
    placed = parse_report(ICE40_REPORT, UP5K, 1)
    assert placed.fmax_mhz == 17.5
    assert placed.used == {"lut": 3304, "flip_flops": None, "bram": 2, "dsp": 0}


def step(kind: str, delay: float, cell: str = "a", port: str = "Q", **more: object) -> dict:
    """One step of a path in a report."""
    return {
        "type": kind,
        "delay": delay,
        "from": {"cell": "x"},
        "to": {"cell": cell, "port": port},
    } | more


def test_the_slowest_path_of_a_clock_is_told() -> None:
    path = [step("clk-to-q", 0.5), step("routing", 2.0, net="sum[3]"), step("logic", 0.25)]
    path += [step("routing", 3.0, "b", "D", net="carry"), step("setup", 0.25, "b", "D")]
    short = [step("clk-to-q", 0.5), step("setup", 0.5)]
    across = [step("routing", 50.0, net="between")]
    paths = [
        {"from": "posedge clk", "to": "posedge clk", "path": short},
        {"from": "posedge clk", "to": "posedge clk", "path": path},
        {"from": "<async>", "to": "posedge clk", "path": across},
    ]
    slowest = parse_report(ECP5_REPORT | {"critical_paths": paths}, ECP5, 1).slowest
    assert slowest == SlowPath(start="sum[3]", end="b.D", ns=6.0, routing_ns=5.0)
    assert str(slowest) == "sum[3] to b.D, 6.0 ns, 5.0 of them routing"
    assert parse_report(ECP5_REPORT, ECP5, 1).slowest is None


def test_report_without_a_clock_is_refused() -> None:
    with pytest.raises(InputError, match="no clock"):
        parse_report(ECP5_REPORT | {"fmax": {}}, ECP5, 1)


def test_operations_count_the_worst_seed() -> None:
    built = machine(4, 2, 8, "bitmod_fp4")
    placed = parse_report(ECP5_REPORT, ECP5, 1)
    report = FpgaReport(
        machine=built,
        target=ECP5,
        used=Resources(lut=1807, flip_flops=800, bram=6, dsp=0),
        placements=(placed, replace(placed, seed=2, fmax_mhz=50.0)),
        freq_mhz=100.0,
        wrapper_cells=7,
        dsp=True,
    )
    assert report.fmax_mhz == 50.0
    assert report.macs_per_cycle == 4 * 2 * 8 / 2
    assert report.gops == 2 * 32 * 0.05
    assert math.isclose(report.gops_per_klut or 0, 3.2 / 1.8)
    shown = report.as_json()
    assert shown["percent"]["lut"] == 2.16
    assert [seed["fmax_mhz"] for seed in shown["seeds"]] == [77.36, 50.0]
    assert replace(report, placements=()).as_json()["gops"] is None


def test_too_large_designs_are_refused() -> None:
    used = Resources(lut=5281, flip_flops=1, bram=31, dsp=0)
    with pytest.raises(InputError, match=r"5,281 LUTs of 5,280, 31 block RAMs of 30$"):
        check_fits(used, UP5K)
    check_fits(replace(used, lut=5280, bram=30), UP5K)


def fail_with(monkeypatch, log: str) -> None:
    """Let nextpnr fail."""
    done = SimpleNamespace(returncode=1, stdout="", stderr=log)
    monkeypatch.setattr(pnr, "missing_nextpnr", lambda target: None)
    monkeypatch.setattr(pnr.importlib.metadata, "version", lambda name: "0")
    monkeypatch.setattr(pnr.subprocess, "run", lambda *_, **__: done)


def test_nextpnr_that_finds_no_room(monkeypatch) -> None:
    fail_with(monkeypatch, "ERROR: Unable to place cell 'x', no BELs remaining\n1 error")
    with pytest.raises(InputError, match=r"does not fit ice40-up5k .*Unable to place cell 'x'"):
        pnr.place_and_route(b"{}", UP5K, seed=1, freq_mhz=12)


def test_nextpnr_that_fails(monkeypatch) -> None:
    fail_with(monkeypatch, "ERROR: something else")
    with pytest.raises(RuntimeError, match="something else"):
        pnr.place_and_route(b"{}", UP5K, seed=1, freq_mhz=12)


def test_missing_nextpnr_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr(pnr.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'bitsmith\[fpga\]'"):
        implement(Echo(), machine(1, 1, 1, "int4"), ECP5)


def test_reports_are_kept_by_content(monkeypatch) -> None:
    runs = []

    def run(package, target, options, netlist):
        runs.append(options)
        return ECP5_REPORT | {"critical_paths": []}

    monkeypatch.setattr(pnr, "missing_nextpnr", lambda target: None)
    monkeypatch.setattr(pnr.importlib.metadata, "version", lambda name: "0")
    monkeypatch.setattr(pnr, "_run", run)
    first = pnr.place_and_route(b"{}", ECP5, seed=1, freq_mhz=100)
    assert pnr.place_and_route(b"{}", ECP5, seed=1, freq_mhz=100) == first
    assert len(runs) == 1
    for changed in ({"seed": 2}, {"freq_mhz": 90}):
        pnr.place_and_route(b"{}", ECP5, **({"seed": 1, "freq_mhz": 100} | changed))
    pnr.place_and_route(b"{ }", ECP5, seed=1, freq_mhz=100)
    assert len(runs) == 4


def test_every_port_lies_between_the_wrappers_registers() -> None:
    """A one in ``data_in`` reaches every input; every output reaches ``data_out``."""
    echo = Echo()
    wrapper = PinWrapper(design=echo)
    assert wrapper.inputs == {"a": 8, "b": 1} and wrapper.outputs == {"sum": 9, "odd": 1}
    # 9 inputs; 10 outputs in 3 look-up tables, then 1
    assert wrapper.cells == 9 + 3 + 1
    seen: list[tuple[int, int]] = []
    outputs: list[int] = []

    async def bench(ctx) -> None:
        ctx.set(wrapper.aresetn, 1)
        for cycle in range(30):
            ctx.set(wrapper.data_in, cycle == 0)
            ctx.set(wrapper.aclk, 0)
            await ctx.delay(1e-6)
            seen.append((ctx.get(echo.a), ctx.get(echo.b)))
            outputs.append(ctx.get(echo.sum) << 1 | ctx.get(echo.odd))
            if cycle > 2:
                # two rows of registers
                assert ctx.get(wrapper.data_out) == outputs[-3].bit_count() % 2
            ctx.set(wrapper.aclk, 1)
            await ctx.delay(1e-6)

    simulator = Simulator(wrapper)
    simulator.add_testbench(bench)
    simulator.run()
    assert [a for a, _ in seen[1:10]] == [1 << n for n in range(8)] + [0]
    assert [b for _, b in seen[1:10]] == [0] * 8 + [1]
    assert any(outputs)


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["ecp5-85k", "ice40-hx8k", "gowin"])
def test_synthesis_of_something_small(name: str) -> None:
    target = TARGETS[name]
    told: list[str] = []
    report = implement(Echo(), machine(1, 1, 1, "int4"), target, place=False, say=told.append)
    assert report.fmax_mhz is None and report.placements == ()
    # 18 flip-flops, of iCE40 with those of the wrapper
    assert report.used.flip_flops == 18 + report.wrapper_cells
    assert report.used.lut >= 8 and told
    assert json.dumps(report.as_json(), allow_nan=False)


@pytest.mark.rtl
@pytest.mark.skipif(missing_nextpnr(ECP5) is not None, reason=missing_nextpnr(ECP5) or "")
def test_one_small_array_is_placed_and_routed() -> None:
    from hw.array import PEArray

    built = machine(1, 1, 1, "int4", widths=(16, 26))
    report = implement(PEArray(machine=built), built, ECP5, seeds=(1,), freq_mhz=100, jobs=1)
    assert report.fmax_mhz is not None and 20 < report.fmax_mhz < 500
    assert 50 < report.used.lut < 1000 and report.used.flip_flops > 50
    assert report.gops == 2 * 0.5 * report.fmax_mhz / 1000
