"""The same netlist and the same activity in OpenSTA, where it is installed: a second opinion."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .liberty import Library
from .netlist import Netlist
from .saif import Toggles

#: a clock period for which a power is an energy per cycle
PERIOD_NS = 10.0


@dataclass(frozen=True, kw_only=True)
class StaPower:
    """Power that OpenSTA reports, W at a period of :data:`PERIOD_NS`."""

    internal_w: float
    switching_w: float
    leakage_w: float

    @property
    def dynamic_pj_per_cycle(self) -> float:
        """Internal and switching energy of a cycle."""
        return (self.internal_w + self.switching_w) * PERIOD_NS * 1e3


def opensta() -> str | None:
    """Path of OpenSTA, None where it is not installed."""
    return shutil.which("sta")


def sta_power(
    netlist: Netlist, library: Library, liberty: Path, toggles: Toggles
) -> StaPower | None:
    """What OpenSTA makes of a recorded job; None where it is not installed.

    Raises
    ------
    RuntimeError : it reports no total.
    """
    program = opensta()
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "netlist.v").write_text(netlist.to_verilog())
        lines = [
            f"read_liberty {liberty}",
            f"read_verilog {folder}/netlist.v",
            f"link_design {netlist.top}",
            f"create_clock -name clock -period {PERIOD_NS} [get_ports aclk]",
            *_activities(netlist, library, toggles),
            "report_power -digits 8",
            "exit",
        ]
        (folder / "power.tcl").write_text("\n".join(lines) + "\n")
        done = subprocess.run(
            [program, "-no_splash", "-exit", str(folder / "power.tcl")],
            capture_output=True,
            text=True,
            check=False,
        )
    total = re.search(r"^Total\s+(\S+)\s+(\S+)\s+(\S+)\s+\S+", done.stdout, re.MULTILINE)
    if total is None:
        raise RuntimeError(f"OpenSTA reports no total: {(done.stdout + done.stderr)[-1000:]}")
    return StaPower(
        internal_w=float(total[1]), switching_w=float(total[2]), leakage_w=float(total[3])
    )


def _activities(netlist: Netlist, library: Library, toggles: Toggles) -> list[str]:
    """Changes per cycle and share of the time at 1, of every pin but the clock's."""
    clock = netlist.inputs["aclk"][0]
    lines = []
    for number, instance in enumerate(netlist.instances):
        for pin, net in instance.pins.items():
            if net == clock or pin not in library[instance.cell].pins:
                continue
            high, changes = toggles.of(net)
            activity = changes / toggles.duration
            lines.append(
                f"sta::set_power_pin_activity [get_pins u{number}/{pin}] {activity:.6g} {high:.6g}"
            )
    return lines
