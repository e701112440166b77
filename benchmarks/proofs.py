"""Seconds to prove a group of weights on the PE, and for the control that must fail.

``python -m benchmarks.proofs [K ...]``; by default K = 64, 256 and 1024 of ``int4`` on 4 lanes.
"""

import sys
import tempfile
from pathlib import Path

from hw.proofs.catalogue import group_of_weights
from hw.proofs.certificate import Solver, certify
from hw.proofs.runner import missing_solver

LENGTHS = (64, 256, 1024)


def main(words: list[str]) -> int:
    """Print one line per K; 0 if all are proved."""
    missing = missing_solver()
    if missing:
        print(missing)
        return 2
    proved = True
    solver = Solver(timeout_s=7200)
    header = "{:>5} {:>3} {:>6} {:8} {:>8} {:>8} {:>10}"
    print(header.format("K", "P", "steps", "result", "group s", "lanes s", "control s"))
    for length in map(int, words) if words else LENGTHS:
        group = group_of_weights("int4", length, "flag")
        with tempfile.TemporaryDirectory() as folder:
            found = certify(group, {}, Path(folder) / "proof", program={}, solver=solver)
        proved = proved and found["result"] == "proved"
        asked = {name: answer["seconds"] for name, answer in found.get("queries", {}).items()}
        times = [sum(s for n, s in asked.items() if n.startswith(w)) for w in ("harness", "lanes")]
        control = (found.get("control") or {}).get("seconds", 0.0)
        print(
            f"{length:5} {group.bits:3} {group.steps:6} {found['result']:8} {times[0]:8.1f} "
            f"{times[1]:8.1f} {control:10.1f}",
            flush=True,
        )
    return 0 if proved else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
