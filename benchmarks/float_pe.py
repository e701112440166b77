"""Area and delay of PEs for float16 activations, beside others: ``python -m benchmarks.float_pe``.

Same recipes, targets and libraries as :mod:`benchmarks.pe`. Every design is measured in parts: the
PE, what a row and a column of a tile need in front of it, and the dequantizer: for one PE, and in
the libraries for the PEs of a column. ``--write`` keeps the rows for docs/float_area.md.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from amaranth.hdl import UnusedElaboratable

from benchmarks.float_points import TILE, Design, designs
from benchmarks.targets import FPGAS, libraries, map_fpga, map_library, rtlil
from configs.errors import InputError

MEASURED = Path(__file__).parents[1] / "docs" / "float_area.json"
Row = dict[str, Any]


def measure(
    chosen: list[Design], found_libraries: dict[str, Path], *, fpgas: list[str], jobs: int
) -> Iterator[Row]:
    """One row per design, in order; equal circuits are synthesized once."""
    with ThreadPoolExecutor(jobs) as pool:
        started: dict[tuple[str, str, bool], Future[Any]] = {}

        def submit(source: str, target: str, dsp: bool) -> Future[Any]:
            key = (source, target, dsp)
            if key not in started:
                started[key] = (
                    pool.submit(map_fpga, source, target, dsp=dsp)
                    if target in FPGAS
                    else pool.submit(map_library, source, found_libraries[target])
                )
            return started[key]

        waiting = []
        # the libraries' results come soon: they are all begun first
        sources = [{n: rtlil(build()) for n, build in d.components().items()} for d in chosen]
        for design, of_parts in zip(chosen, sources, strict=True):
            for source in of_parts.values():
                for target in () if design.dsp else found_libraries:
                    submit(source, target, design.dsp)
        for design, of_parts in zip(chosen, sources, strict=True):
            measured: dict[str, Row] = {}
            for part, source in of_parts.items():
                targets = [*fpgas] if design.fpgas and part != "dequantizers" else []
                targets += () if design.dsp else found_libraries
                measured[part] = {target: submit(source, target, design.dsp) for target in targets}
            waiting.append((design, measured))
        for design, futures in waiting:
            parts = {
                part: {target: future.result() for target, future in of_part.items()}
                for part, of_part in futures.items()
            }
            yield _row(design) | {"parts": parts, "shares": shares(design, parts)}


def _row(design: Design) -> Row:
    built = design.machine
    array = built.accelerator
    setting = array.floating
    keys = ("datapath", "alignment", "guard_bits", "rounding", "mantissa_bits", "normalization")
    return {
        "table": design.table,
        "name": design.name,
        "weight_bits": list(design.weight_bits),
        "format": built.family.name,
        "lanes": array.lanes,
        "slots": built.slots,
        "macs_per_cycle": design.macs_per_cycle,
        "dsp": design.dsp,
        "inner_bits": built.inner_sum_bits,
        "setting": {key: getattr(setting, key) for key in keys} if array.has_floats else None,
    }


def size(cells: Row) -> float:
    """LUTs, or um2."""
    return cells["lut"] if "lut" in cells else cells["area_um2"]


def shares(design: Design, parts: dict[str, Row]) -> dict[str, Row]:
    """LUTs, or um2, per effective product and cycle.

    ``pe`` is the PE alone; ``share`` adds a :data:`TILE`-th of its row's and of its column's parts;
    ``dequantized`` a :data:`TILE`-th of its column's dequantizer, too (libraries only).
    """
    found = {}
    for target in parts["pe"]:
        sizes = {part: size(cells[target]) for part, cells in parts.items() if target in cells}
        totals = {"pe": sizes["pe"]}
        if "column" in sizes:
            edge = (sizes["activations"] + sizes["column"]) / TILE
            totals["share"] = sizes["pe"] + edge
        if "dequantizers" in sizes:
            totals["dequantized"] = totals["share"] + sizes["dequantizers"] / TILE
        found[target] = {
            name: round(total / design.macs_per_cycle, 2) for name, total in totals.items()
        }
    return found


def setting_name(setting: Row | None) -> str:
    """A setting in a few words."""
    if setting is None:
        return "integer"
    if setting["datapath"] == "exact":
        return "exact"
    if setting["normalization"] == "full":
        return f"rounded once, {setting['mantissa_bits']}-bit mantissa"
    rounding = setting["rounding"].split("_")[0]
    return f"{setting['guard_bits']}/{setting['mantissa_bits']} {rounding}"


def _print_rows(rows: Iterable[Row], total: int) -> list[Row]:
    kept: list[Row] = []
    start = time.monotonic()
    for row in rows:
        kept.append(row)
        bits = ", ".join(map(str, row["weight_bits"]))
        print(
            f"{row['name']} x{row['lanes']}, {row['format']} (weights of {bits} bits), "
            f"{setting_name(row['setting'])}, {row['macs_per_cycle']:.3g} products per cycle"
        )
        for part, targets in row["parts"].items():
            cells = [f"{name} {_cells(found)}" for name, found in targets.items()]
            print(f"    {part:13}{'  '.join(cells)}")
        per_mac = [
            f"{name} {'/'.join(f'{value:,.0f}' for value in found.values())}"
            for name, found in row["shares"].items()
        ]
        print(f"    {'per product':13}{'  '.join(per_mac)}", flush=True)
        seconds = time.monotonic() - start
        print(f"{len(kept)} of {total}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return kept


def _cells(cells: Row) -> str:
    if "lut" not in cells:
        return f"{cells['area_um2']:,.0f} um2 {cells['delay_ps']} ps"
    text = f"{cells['lut']} LUT {cells['flip_flops']} FF"
    return text + (f" {cells['dsp']} DSP" if cells["dsp"] else "")


def report(rows: list[Row]) -> Row:
    """What ``--json`` prints and ``--write`` keeps."""
    return {"tile": TILE, "rows": rows}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--liberty", type=Path, action="append", help="Liberty file; may be given several times"
    )
    parser.add_argument("--full", action="store_true", help="all designs, a quarter of an hour")
    parser.add_argument(
        "--target", action="append", choices=[*FPGAS, "libraries"], help="only this target"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", action="store_true", help=f"write docs/{MEASURED.name}")
    options = parser.parse_args()
    chosen = designs(full=options.full)
    fpgas = [name for name in FPGAS if not options.target or name in options.target]
    with libraries(options.liberty) as found:
        if options.target and "libraries" not in options.target:
            found = {}
        rows = measure(chosen, found, fpgas=fpgas, jobs=max(1, options.jobs))
        kept = list(rows) if options.json else _print_rows(rows, len(chosen))
    if options.json:
        print(json.dumps(report(kept), indent=1, allow_nan=False))
    if options.write:
        MEASURED.write_text(json.dumps(report(kept), indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    import warnings

    # accumulators that are replaced are not elaborated
    warnings.simplefilter("ignore", UnusedElaboratable)
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
