"""Area and delay of PEs, beside multipliers: ``python -m benchmarks.pe``.

Every design is synthesized by the same Yosys in the same run, each target in a process of its own:
Xilinx 7 series, ECP5 and iCE40 (no multiplier blocks unless the design says so) and every Liberty
library given, by default both open 130 nm ones if they lie beside the checkout. ``--write`` keeps
the rows for docs/area.md.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from amaranth.hdl import UnusedElaboratable

from benchmarks.first_version import PE_STEPS
from benchmarks.pe_points import HEADLINE_LANES, WEIGHTS, Point, of_tables, points
from benchmarks.targets import FPGAS, libraries, map_fpga, map_library, rtlil
from configs.errors import InputError

MEASURED = Path(__file__).parents[1] / "docs" / "area_measured.json"
#: rows that share the decoders of a column, in the figures "with its share"
ROWS = 16


def measure(
    chosen: list[Point], found_libraries: dict[str, Path], *, fpgas: Iterable[str], jobs: int
) -> Iterator[dict[str, Any]]:
    """One row per point, in order; equal circuits are synthesized once."""
    with ThreadPoolExecutor(jobs) as pool:
        started: dict[tuple[str, str, bool], Any] = {}

        def submit(source: str, target: str, dsp: bool):
            key = (source, target, dsp)
            if key not in started:
                started[key] = (
                    pool.submit(map_fpga, source, target, dsp=dsp)
                    if target in FPGAS
                    else pool.submit(map_library, source, found_libraries[target])
                )
            return started[key]

        waiting = []
        for point in chosen:
            source = rtlil(point.build())
            targets = [*fpgas, *(() if point.dsp else found_libraries)]
            waiting.append((point, {t: submit(source, t, point.dsp) for t in targets}))
        for point, futures in waiting:
            yield _row(point) | {"targets": {t: f.result() for t, f in futures.items()}}


def _row(point: Point) -> dict[str, Any]:
    keys = ("table", "design", "part", "format", "lanes", "exponent_bits", "slots")
    keys += ("inner_bits", "outer_bits", "activation_bits", "setting", "outputs")
    return {key: getattr(point, key) for key in keys} | {"macs_per_cycle": point.macs_per_cycle}


def per_mac(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """LUTs (or um2) per effective MAC and cycle of every design of the headline table.

    ``pe`` is the PE alone; ``share`` adds its dequantizer and a :data:`ROWS`-th of its column's
    decoders.
    """
    headline = [row for row in rows if row["table"] == "headline"]
    for pe in (row for row in headline if row["part"] == "pe"):
        same = [r for r in headline if (r["format"], r["lanes"]) == (pe["format"], pe["lanes"])]
        dequantizer = next(r for r in same if r["part"] == "dequantizer")
        design = pe["design"].removesuffix("_dsp")
        column = next(
            r
            for r in same
            if (r["part"], r["design"], r["exponent_bits"])
            == ("column", design, pe["exponent_bits"])
        )
        targets = {}
        for target, cells in pe["targets"].items():
            key = "lut" if "lut" in cells else "area_um2"
            share = (
                cells[key] + dequantizer["targets"][target][key]
                + column["targets"][target][key] / ROWS
            )  # fmt: skip
            targets[target] = {
                "pe": round(cells[key] / pe["macs_per_cycle"], 2),
                "share": round(share / pe["macs_per_cycle"], 2),
                "dsp": round(cells.get("dsp", 0) / pe["macs_per_cycle"], 2),
            }
        keys = ("design", "format", "lanes", "exponent_bits", "slots", "macs_per_cycle")
        yield {key: pe[key] for key in keys} | {"targets": targets}


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``--json`` prints and ``--write`` keeps."""
    return {
        "column_rows": ROWS,
        "headline_lanes": HEADLINE_LANES,
        "weights": WEIGHTS,
        "steps": PE_STEPS,
        "rows": rows,
        "per_mac": list(per_mac(rows)),
    }


def label(row: dict[str, Any]) -> str:
    """Design and format of a row in one line."""
    exponent = "" if row["exponent_bits"] is None else f" e{row['exponent_bits']}"
    name = f"{row['design']} {row.get('part', '')}".strip()
    return f"{name:24} {row['format']}{exponent} x{row['lanes']} {row.get('setting', '')}".rstrip()


def _cells(cells: dict[str, Any]) -> str:
    if "lut" not in cells:
        return f"{cells['area_um2']:>8,.0f} um2 {cells['delay_ps']:>5} ps"
    text = f"{cells['lut']:>5} LUT {cells['flip_flops']:>4} FF {cells['carry']:>4} C"
    return text + (f" {cells['dsp']:>2} DSP" if cells["dsp"] else "")


def _print_rows(rows: Iterable[dict[str, Any]], total: int, start: float) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for row in rows:
        if not kept or kept[-1]["table"] != row["table"]:
            print(f"\n{row['table']}")
        kept.append(row)
        print(f"  {label(row)}")
        for target, cells in row["targets"].items():
            print(f"      {target:8}{_cells(cells)}", flush=True)
        print(
            f"{len(kept)} of {total}, {time.monotonic() - start:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return kept


def _print_per_mac(rows: list[dict[str, Any]]) -> None:
    found = list(per_mac(rows))
    if not found:
        return
    print(f"\nper effective MAC/cycle: PE alone / with dequantizer and 1/{ROWS} of the decoders")
    for row in found:
        cells = [f"{t} {v['pe']:.1f}/{v['share']:.1f}" for t, v in row["targets"].items()]
        dsp = next((v["dsp"] for v in row["targets"].values() if v["dsp"]), 0)
        print(f"  {WEIGHTS[row['format']]:8}{label(row):46}" + "  ".join(cells), end="")
        print(f"  and {dsp:g} DSP" if dsp else "")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--liberty", type=Path, action="append", help="Liberty file; may be given several times"
    )
    parser.add_argument(
        "--full", action="store_true", help="all points, a quarter of an hour or more"
    )
    parser.add_argument("--table", action="append", help="only this table; may be repeated")
    parser.add_argument(
        "--target", action="append", choices=[*FPGAS, "libraries"], help="only this target"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help=f"write docs/{MEASURED.name}")
    options = parser.parse_args()
    chosen = of_tables(points(full=options.full), options.table)
    fpgas = [name for name in FPGAS if not options.target or name in options.target]
    start = time.monotonic()
    with libraries(options.liberty) as found:
        if options.target and "libraries" not in options.target:
            found = {}
        rows = measure(chosen, found, fpgas=fpgas, jobs=max(1, options.jobs))
        kept = list(rows) if options.json else _print_rows(rows, len(chosen), start)
    if options.json:
        print(json.dumps(report(kept), indent=1, allow_nan=False))
    else:
        _print_per_mac(kept)
    if options.write:
        MEASURED.write_text(json.dumps(report(kept), indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    import warnings

    # points that are not chosen are not elaborated
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
