"""The board top after synthesis for iCE40: the host's driver on a simulated netlist."""

from pathlib import Path

import pyosys
import pytest

from hw.boards import BoardTop
from hw.emit import run_yosys, to_rtlil

from . import test_driver
from .test_driver import MACHINE, connect, job, run_job
from .verilated_board import LINK, VerilatedPort

pytestmark = [pytest.mark.rtl, pytest.mark.agreement]


def netlist(folder: Path) -> str:
    """Verilog of look-up tables, flip-flops and block RAMs, with Yosys' models of them."""
    source, target = folder / "board.il", folder / "board.v"
    source.write_text(to_rtlil(BoardTop(machine=MACHINE, link=LINK), "board"))
    run_yosys(
        f"read_rtlil {source}\nrename -hide w:*[*]*\nsynth_ice40 -dsp -abc9 -top board\n"
        f"write_verilog -noattr -noexpr {target}"
    )
    cells = Path(pyosys.__file__).parent / "share" / "ice40" / "cells_sim.v"
    # without the defaults that Verilator does not know
    return f"`define NO_ICE40_DEFAULT_ASSIGNMENTS\n{target.read_text()}\n{cells.read_text()}"


def test_jobs_on_the_netlist(tmp_path: Path) -> None:
    verilog = netlist(tmp_path)
    assert verilog.count("SB_LUT4 ") > 1000 and "SB_RAM40_4K " in verilog
    port = VerilatedPort(MACHINE, verilog=verilog)
    backend = connect(port)
    for seed in (40, 41):
        run_job(backend, job(seed))
    test_driver.test_an_abort_in_the_middle(port)
    assert port.state()["errors"] == 0
    port.close()
