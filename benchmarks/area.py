"""Area model against synthesis, block by block: ``python -m benchmarks.area``.

Every block is synthesized alone; the accelerator as a whole, so that its row also shows what the
optimizer gains across blocks. Without a Liberty library only the FPGA columns are measured.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from benchmarks.synthesis import LIBERTY, synthesize, unpacked
from configs.errors import InputError
from configs.schema import AcceleratorConfig, TechnologyConfig, load_axis
from costmodel import machine_area
from hw.dequant import SerialDequantizer
from hw.pe import SerialPE
from hw.terms import TermDecoder
from hw.top import Accelerator
from sw.compile import Machine
from sw.formats import get_family

TECHNOLOGY = "sg13g2_130nm"
#: format -> inner and outer width, enough for groups of 128 and a few hundred inputs
WIDTHS = {"bitmod_fp4": (20, 34), "int8": (23, 37)}


def machine(format_name: str) -> Machine:
    """The 2x2x4 machine that is measured."""
    inner, outer = WIDTHS[format_name]
    array = AcceleratorConfig(name="measured_2x2x4", rows=2, cols=2, lanes=4)
    family = get_family(format_name)
    return Machine(accelerator=array, family=family, inner_bits=inner, outer_bits=outer)


def components(built: Machine) -> Iterator[tuple[str, tuple[str, ...], wiring.Component]]:
    """(name, blocks of the model, component) of everything that is synthesized."""
    array = built.accelerator
    yield (
        "SerialPE",
        ("pe.",),
        SerialPE(
            terms=built.terms,
            lanes=array.lanes,
            activation_bits=array.activation_bits,
            activation_signed=array.activation_signed,
            bits=built.inner_bits,
            mode=array.inner_accumulator.mode,
            adders=array.adders,
            pipeline=array.pipeline,
        ),
    )
    yield (
        "SerialDequantizer",
        ("dequantizer.",),
        SerialDequantizer(
            group_bits=built.inner_bits,
            corrected_bits=built.corrected_bits,
            activation_sum_bits=built.activation_sum_bits,
            zero_point_bits=array.zero_point_bits,
            scale_bits=array.scale.serial_bits,
            barrel_shift=array.scale.barrel_shift,
            bits=built.outer_bits,
            mode=array.outer_accumulator.mode,
            rows=array.rows_per_dequantizer,
        ),
    )
    yield "TermDecoder", ("decoder",), TermDecoder(family=built.family, terms=built.terms)
    yield "Accelerator 2x2x4", ("",), Accelerator(machine=built)


def modelled_um2(name: str, built: Machine, blocks: tuple[str, ...], technology) -> float:
    """The model's area of one component."""
    areas = [b for b in machine_area(built, technology) if b.block.startswith(blocks)]
    if name.startswith("Accelerator"):
        return sum(b.total_um2 for b in areas)
    lanes = built.accelerator.lanes
    return sum(b.area_um2 * (lanes if b.block == "pe.products" else 1) for b in areas)


def measure(technology: TechnologyConfig, liberty: Path | None) -> Iterator[dict[str, Any]]:
    """One row per format and component."""
    with unpacked(liberty) as library:
        for format_name in WIDTHS:
            built = machine(format_name)
            for name, blocks, component in components(built):
                found = synthesize(component, liberty=library, ecp5=True)
                model = modelled_um2(name, built, blocks, technology)
                area = found.area_um2
                yield {
                    "format": format_name,
                    "block": name,
                    "model_um2": round(model, 1),
                    "synthesized_um2": area,
                    "difference_percent": area and round(100 * (model / area - 1), 1),
                    "lut4": found.lut4,
                    "flip_flops": found.ecp5_flip_flops,
                }


def _print_head(liberty: Path | None) -> None:
    if liberty is None:
        print(f"no {LIBERTY.name}: area is not measured, give --liberty FILE")
    print(f"model: {TECHNOLOGY}; ECP5: LUT4 with carry cells as 2 and distributed RAM as 4")
    print(f"{'format':12}{'block':20}{'model um2':>12}{'synth. um2':>14}{'diff %':>9}", end="")
    print(f"{'LUT4':>8}{'FF':>7}")


def _print_row(row: dict[str, Any]) -> None:
    area, difference = row["synthesized_um2"], row["difference_percent"]
    print(
        f"{row['format']:12}{row['block']:20}{row['model_um2']:>12,.0f}"
        + (f"{area:>14,.0f}{difference:>+9.1f}" if area else f"{'-':>14}{'-':>9}")
        + f"{row['lut4']:>8}{row['flip_flops']:>7}",
        flush=True,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--liberty",
        type=Path,
        help=f"library of technology '{TECHNOLOGY}' (default: {LIBERTY.name})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    liberty = options.liberty or (LIBERTY if LIBERTY.is_file() else None)
    technology = load_axis("technology", TECHNOLOGY)
    if options.json:
        print(json.dumps(list(measure(technology, liberty)), indent=1, allow_nan=False))
        return
    for number, row in enumerate(measure(technology, liberty)):
        if number == 0:
            _print_head(liberty)
        _print_row(row)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
