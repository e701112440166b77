"""The simulator beside its peers, in CPU seconds: ``python -m benchmarks.peers``.

Every tool runs in a process of its own, on one thread, one after another, on this machine. A peer
that cannot be installed is not measured; that is said and is no error.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from configs.errors import InputError
from sw.workloads import Gemm

from . import accelforge, scalesim, zigzag
from .cases import cases
from .measure import Measurement, PeerError, row_of, run

ROOT = Path(__file__).resolve().parents[2]
TARGET = 1000
#: peer -> how it is measured, and on which cases; one decode GEMM of SCALE-Sim takes minutes
PEERS: dict[str, tuple[Callable[[Sequence[Gemm]], Measurement], tuple[str, ...]]] = {
    zigzag.NAME: (zigzag.measure, ("layer_prefill", "layer_decode")),
    accelforge.NAME: (accelforge.measure, ("layer_prefill", "layer_decode")),
    scalesim.NAME: (scalesim.measure, ("q_proj_decode",)),
}
DIFFERENCES = """\
bitsmith: its own RTL's cycles (equal to the RTL where that is tested), a given schedule, DRAM of \
64 B/cycle; zigzag: analytic, searches the loop order (and gives energy), DRAM of 8 B/cycle; \
accelforge: analytic, searches all mappings (for time alone), DRAM of 64 B/cycle; \
scalesim: a systolic array's addresses cycle by cycle, no DRAM stalls."""


def _ours(case: str, repeats: int) -> dict[str, Any]:
    """Our row: ``cpu_s`` of a whole process with one cold call, ``work_s`` of a warm one."""
    command = [sys.executable, "-m", "benchmarks.peers.ours", case, "--repeats"]
    # first, so that the compiled loops are on disk: compiling is part of the installation
    warm = run([*command, str(repeats)], ROOT)
    cold = run([*command, "0"], ROOT)
    first, found = (json.loads(usage.output.splitlines()[-1]) for usage in (cold, warm))
    return {
        "tool": "bitsmith",
        "case": case,
        "measured": True,
        "cpu_s": cold.cpu_s,
        "import_s": first["import_s"],
        "machine_s": first["machine_s"],
        "cold_s": first["cold_s"],
        "work_s": found["warm_s"],
        "first_s": found["first_s"],
        "wall_s": cold.wall_s,
        "peak_mb": warm.peak_mb,
        "cycles": found["cycles"],
    }


def _ratio(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    return {
        "peer": theirs["tool"],
        "case": ours["case"],
        "warm": theirs["work_s"] / ours["work_s"],
        "cold": theirs["work_s"] / (ours["machine_s"] + ours["cold_s"]),
        "process": theirs["cpu_s"] / ours["cpu_s"],
    }


def measure(skip: Sequence[str], repeats: int) -> dict[str, Any]:
    """Rows of every tool and the ratios of CPU seconds, peer over ours.

    Raises
    ------
    PeerError : our own simulator cannot be run.
    """
    every = cases()
    rows, ratios = [], []
    for peer, (measure_peer, names) in PEERS.items():
        theirs: dict[str, Any] = {"measured": True}
        for name in names if peer not in skip else ():
            # what could not be installed for one case cannot be for the next
            if theirs["measured"]:
                theirs = row_of(peer, name, measure_peer, every[name].gemms)
            ours = _ours(name, repeats)
            rows += [theirs | {"case": name}, ours]
            if theirs["measured"]:
                ratios.append(_ratio(theirs, ours))
    return {"rows": rows, "ratios": ratios, "target": TARGET, "differences": DIFFERENCES}


def _print(found: dict[str, Any]) -> None:
    print(f"{'tool':12}{'case':15}{'CPU s':>9}{'import':>8}{'work':>10}", end="")
    print(f"{'wall s':>9}{'peak MB':>9}{'cycles':>14}")
    for row in found["rows"]:
        print(f"{row['tool']:12}{row['case']:15}", end="")
        if not row["measured"]:
            print(f"{'not measured':>27}")
            continue
        print(f"{row['cpu_s']:>9.2f}{row['import_s']:>8.2f}{row['work_s']:>10.5f}", end="")
        print(f"{row['wall_s']:>9.2f}{row['peak_mb']:>9,.0f}{row['cycles']:>14,}")
    print("CPU s: a whole process. work: without imports; of bitsmith a warm call, nothing cached.")
    for reason in dict.fromkeys(r["reason"] for r in found["rows"] if not r["measured"]):
        print(f"{reason}.")
    for ratio in found["ratios"]:
        met = "met" if ratio["warm"] >= TARGET else "missed"
        print(f"{ratio['peer']} / bitsmith, {ratio['case']}: ", end="")
        print(f"{ratio['warm']:,.0f} x (target {TARGET:,} x: {met}); ", end="")
        print(f"first call, with its machine: {ratio['cold']:,.1f} x; ", end="")
        print(f"whole processes: {ratio['process']:,.1f} x")
    print(found["differences"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--skip", action="append", default=[], choices=sorted(PEERS))
    parser.add_argument("--repeats", type=int, default=20, help="warm calls of our simulator")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.skip, max(1, options.repeats))
    if options.json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        _print(found)


if __name__ == "__main__":
    try:
        main()
    except (InputError, PeerError) as error:
        sys.exit(f"error: {error}")
