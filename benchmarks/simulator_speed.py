"""The simulator's speed and memory against its targets: ``python -m benchmarks.simulator_speed``.

Every measurement runs in a process of its own, so that its memory is its own.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.measure import PeerError, run

ROOT = Path(__file__).resolve().parents[1]
MEMORY_MB = 500


@dataclass(frozen=True, kw_only=True)
class Target:
    """A figure of one measurement and its limit.

    Attributes
    ----------
    measurement : name in ``benchmarks.speed_targets``.
    figure : key of its result.
    limit : None where there is no target.
    most : the limit is an upper one.
    """

    measurement: str
    label: str
    figure: str
    unit: str
    limit: float | None
    most: bool = False

    def met(self, value: float) -> bool | None:
        """Whether ``value`` keeps the limit."""
        if self.limit is None:
            return None
        return value < self.limit if self.most else value >= self.limit


TARGETS = (
    Target(
        measurement="whole_model",
        label="Llama-2-7B, prefill 256 + 256 steps",
        figure="cpu_s",
        unit="CPU s",
        limit=0.05,
        most=True,
    ),
    Target(
        measurement="whole_model_attention",
        label="the same with attention on the array",
        figure="cpu_s",
        unit="CPU s",
        limit=None,
    ),
    Target(
        measurement="points",
        label="designs, one Llama-2-7B layer, 2 cores",
        figure="points_per_minute",
        unit="points/min",
        limit=1e6,
    ),
    Target(
        measurement="points",
        label="the same by wall time, under load",
        figure="points_per_minute_wall",
        unit="points/min",
        limit=None,
    ),
    Target(
        measurement="traced",
        label="16x16x4, trace on, memory stalls",
        figure="cycles_per_s",
        unit="cycles/s",
        limit=1e7,
    ),
    Target(
        measurement="traced",
        label="the same",
        figure="events_per_s",
        unit="events/s",
        limit=3e5,
    ),
)


def measure(names: list[str]) -> dict[str, Any]:
    """Every measurement once; ``found`` holds what it printed and its ``peak_mb``, or ``error``."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            usage = run([sys.executable, "-m", "benchmarks.speed_targets", name], ROOT)
        except PeerError as error:
            found[name] = {"error": str(error)}
            continue
        found[name] = json.loads(usage.output.splitlines()[-1]) | {"peak_mb": usage.peak_mb}
    rows = []
    for target in TARGETS:
        result = found.get(target.measurement)
        if result is None:
            continue
        value = result.get(target.figure)
        met = None if value is None else target.met(value)
        rows.append(vars(target) | {"value": value, "met": met, "peak_mb": result.get("peak_mb")})
    return {"measurements": found, "targets": rows, "memory_limit_mb": MEMORY_MB}


def _print(found: dict[str, Any]) -> None:
    print(f"{'what':40}{'measured':>15} {'unit':12}{'target':>13}{'':8}{'peak MB':>9}")
    for row in found["targets"]:
        if row["value"] is None:
            error = found["measurements"][row["measurement"]].get("error", "no figure")
            print(f"{row['label']:40}not measured: {error}")
            continue
        sign = "< " if row["most"] else ">= "
        limit = "-" if row["limit"] is None else f"{sign}{row['limit']:,g}"
        verdict = {True: " met", False: " missed", None: ""}[row["met"]]
        value = f"{row['value']:,.4f}" if row["value"] < 100 else f"{row['value']:,.0f}"
        print(f"{row['label']:40}{value:>15} {row['unit']:12}", end="")
        print(f"{limit:>13}{verdict:8}{row['peak_mb']:>9,.0f}")
    peaks = [row["peak_mb"] for row in found["targets"] if row["peak_mb"] is not None]
    if peaks:
        verdict = "met" if max(peaks) < MEMORY_MB else "missed"
        print(f"memory: {max(peaks):,.0f} MB at most (target < {MEMORY_MB} MB: {verdict})")


def main() -> None:
    """Command line."""
    names = list(dict.fromkeys(target.measurement for target in TARGETS))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=names)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = measure(options.only or names)
    if options.json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        _print(found)


if __name__ == "__main__":
    main()
