"""Run every term-serial format through RTL, golden model and simulator, and measure its decoder.

``python -m benchmarks.formats`` prints the table; ``--write`` also updates
``docs/formats_measured.json``, from which ``docs/make_formats.py`` makes the table of the page.
A row is only as good as what ran: an unmet column says so.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.synthesis import synthesize_cells
from bitsmith.tables import text_table
from bitsmith.verify import Case, compile_layer, draw_gaps, random_cases, verify
from configs.errors import InputError
from configs.schema import AcceleratorConfig
from hw.terms import TermDecoder
from sw.compile import GemmProgram, Machine, worst_case_widths
from sw.formats import FormatFamily, fitting_terms, serial_families
from sw.formats.block_tables import block_formats, get_block_format
from sw.formats.packing import get_packing
from sw.formats.planes import PlaneSum, dual_binary, nested_read, residual_planes
from sw.formats.trit_planes import trit_planes
from sw.quantize import (
    QuantizedMatrix,
    plane_matrix,
    quantization_error,
    quantize_activations,
    quantize_blocks,
    quantize_matrix,
)

MEASURED = Path(__file__).parents[1] / "docs" / "formats_measured.json"
GROUP_SIZE, RANDOM_JOBS, SEED = 128, 4, 3


def machine_for(family: FormatFamily) -> Machine:
    """A small machine of one row, two columns and two lanes, wide enough for any weights."""
    accelerator = AcceleratorConfig(
        name=family.name,
        rows=1,
        cols=2,
        lanes=2,
        lane_exponent_bits=fitting_terms(family).lane_exponent_bits,
    )
    inner, outer = worst_case_widths(accelerator, family, group_size=50, k=120)
    return Machine(accelerator=accelerator, family=family, inner_bits=inner, outer_bits=outer)


def every_code(machine: Machine) -> Case:
    """One output per (format id, code): weight times 1, scale 1, so the output is the level."""
    members = machine.family.members
    pairs = [
        (index, code)
        for index, member in enumerate(members)
        for code, level in enumerate(member.levels)
        if level is not None
    ]
    program = GemmProgram(
        machine=machine,
        name="every code",
        group_size=1,
        codes=np.array([[code] for _, code in pairs], dtype=np.uint8),
        format_ids=np.array([[index] for index, _ in pairs], dtype=np.uint8),
        scale_codes=np.ones((len(pairs), 1), dtype=np.uint8),
        activations=np.ones((1, 1), dtype=np.int64),
    )
    return Case(name="every code", program=program)


def run_format(family: FormatFamily) -> dict[str, Any]:
    """One row: what was run, and what it showed; ``values_only`` says why nothing could run."""
    row: dict[str, Any] = {
        "name": family.name,
        "bits": family.stored_bits,
        "members": len(family.members),
        "provisional": any(member.provisional for member in family.members),
    }
    rng = np.random.default_rng(SEED)
    weights = rng.standard_normal((16, 256)).astype(np.float16)
    try:
        matrix = quantize_matrix(weights, family, group_size=GROUP_SIZE, scale_format="uint8")
    except InputError as error:
        return row | {"values_only": str(error)}
    packing = get_packing(f"dense{family.bits}")
    codes = matrix.codes.ravel()
    row |= {
        "relative_error": round(quantization_error(weights, matrix)["relative"], 6),
        "packing": bool(np.array_equal(packing.unpack(packing.pack(codes), codes.size), codes)),
        "bits_per_weight": matrix.bits_per_weight,
    }
    try:
        return row | _run_on_rtl(family, rng)
    except InputError as error:
        return row | {"values_only": str(error)}


def _run_on_rtl(family: FormatFamily, rng: np.random.Generator) -> dict[str, Any]:
    machine = machine_for(family)
    cases = [every_code(machine), *random_cases(machine, RANDOM_JOBS, rng)]
    results = verify(machine, cases)
    failures = [f"{result.name}: {result.failure}" for result in results if result.failure]
    decoder = TermDecoder(family=family, terms=machine.terms)
    return {
        "slots": machine.terms.slots,
        "base_shifts": list(machine.terms.base_shifts),
        "lane_exponent_bits": machine.terms.lane_exponent_bits,
        "codes_on_rtl": len(cases[0].program.codes),
        "gemms_on_rtl": len(results) - 1,
        "outputs_equal": not failures,
        "cycles_equal": all(r.rtl_cycles == r.simulated_cycles for r in results),
        "failure": failures[0] if failures else "",
        "decoder_cells": synthesize_cells(decoder),
    }


def run_composite(name: str) -> dict[str, Any]:
    """One row of a block or plane format: every pass as a GEMM of real codes and scales."""
    rng = np.random.default_rng(SEED)
    matrices = COMPOSITES[name](rng.standard_normal((11, 100)))
    tokens, _ = quantize_activations(rng.standard_normal((5, 100)))
    results = []
    for matrix in matrices:
        machine = machine_for(matrix.family)
        program = compile_layer(machine, name, matrix, tokens)
        results += verify(machine, [Case(name=name, program=program, gaps=draw_gaps(program, rng))])
    return {
        "name": name,
        "element": matrices[0].family.name,
        "passes": len(matrices),
        "slots": machine_for(matrices[0].family).terms.slots,
        "bits_per_weight": sum(m.bits_per_weight for m in matrices),
        "outputs": sum(result.outputs for result in results),
        "equal": all(result.passed for result in results),
    }


def _planes(build: Callable[[NDArray], PlaneSum]) -> Callable[[NDArray], list[QuantizedMatrix]]:
    return lambda weights: [plane_matrix(plane) for plane in build(weights).planes]


#: block formats, then plane formats: weights -> one quantized matrix per pass
COMPOSITES: dict[str, Callable[[NDArray], list[QuantizedMatrix]]] = {
    **{
        name: lambda weights, block=block: [quantize_blocks(weights, block)]
        for name, block in block_formats().items()
    },
    "bfp4_b16": lambda weights: [quantize_blocks(weights, get_block_format("bfp4_b16"))],
    "PTQTP trit planes": _planes(lambda weights: trit_planes(weights, group_size=32)),
    "DB-LLM dual binary": _planes(lambda weights: dual_binary(weights, group_size=32)),
    "REx residuals, 2 x int4": _planes(lambda w: residual_planes(w, bits=4, terms=2)),
    "int8 store read at 4 bits": lambda weights: [
        plane_matrix(nested_read(residual_planes(weights, bits=8, terms=1).planes[0], 4))
    ],
}


def measure(names: list[str], show: Callable[[Any], Any] = lambda items: items) -> list[dict]:
    """Rows of the named families."""
    families = serial_families()
    return [run_format(families[name]) for name in show(names)]


def main() -> int:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="formats (default: all)")
    parser.add_argument(
        "--write", action="store_true", help=f"update the measured formats in {MEASURED.name}"
    )
    options = parser.parse_args()
    names = options.names or list(serial_families())
    rows = measure(names, lambda items: tqdm(items, disable=None))
    composites = (
        [] if options.names else [run_composite(name) for name in tqdm(COMPOSITES, disable=None)]
    )
    header = ["format", "bits", "slots", "lane exp.", "codes", "GEMMs", "equal", "cycles", "cells"]
    print(text_table([*header, "bits/w"], [_cells(row) for row in rows]))
    for row in composites:
        print(
            f"{row['name']}: {row['passes']} pass(es), {'equal' if row['equal'] else 'DIFFERENT'}"
        )
    if options.write:
        _write(rows, composites)
    failed = [
        r["name"] for r in rows if "failure" in r and not (r["outputs_equal"] and r["cycles_equal"])
    ]
    return 1 if failed or not all(row["equal"] for row in composites) else 0


def _write(rows: list[dict[str, Any]], composites: list[dict[str, Any]]) -> None:
    """Replace the measured formats, keep the others, in the registry's order."""
    old = json.loads(MEASURED.read_text()) if MEASURED.is_file() else {}
    known = {row["name"]: row for row in [*old.get("formats", []), *rows]}
    content = {
        "formats": [known[name] for name in serial_families() if name in known],
        "composites": composites or old.get("composites", []),
    }
    MEASURED.write_text(json.dumps(content, indent=1) + "\n")


def _cells(row: dict[str, Any]) -> list[str]:
    """One printed line."""
    if "values_only" in row:
        return [row["name"], str(row["bits"]), *["-"] * 8]
    return [
        row["name"],
        *(str(row[key]) for key in ("bits", "slots", "lane_exponent_bits")),
        *(str(row[key]) for key in ("codes_on_rtl", "gemms_on_rtl")),
        *("yes" if row[key] else "NO" for key in ("outputs_equal", "cycles_equal")),
        str(row["decoder_cells"]),
        f"{row['bits_per_weight']:.3f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
