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
from configs.accelerator import FloatConfig
from configs.errors import InputError
from configs.schema import AcceleratorConfig, load_axis
from costmodel import Technology, machine_area
from hw.array.parts import activation_decoder, inner_pe, make_dequantizer
from hw.core import Core
from hw.dequant import FloatEncoder
from hw.terms import TermDecoder
from sw.compile import Machine, resolve_machine, worst_case_widths
from sw.formats import get_family

TECHNOLOGY = "sg13g2_130nm"
#: enough for groups of this size and this many inputs
GROUP_SIZE, INPUTS = 128, 512
_FLOATS: dict[str, Any] = {"activation_format": "float16"}
_FUSED = FloatConfig(alignment="pe", guard_bits=0, normalization="full", mantissa_bits=12)
#: format of the weights, lanes, and what else is set
MACHINES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "bitmod_fp4": ("bitmod_fp4", 4, {}),
    "int8": ("int8", 4, {}),
    "bitmod_fp4 x float16, row aligned": ("bitmod_fp4", 4, _FLOATS),
    "bitmod_fp4 x float16, aligning": (
        "bitmod_fp4",
        4,
        _FLOATS | {"floating": FloatConfig(alignment="pe")},
    ),
    "bitmod_fp4 x float16, exact": (
        "bitmod_fp4",
        4,
        _FLOATS | {"floating": FloatConfig(datapath="exact")},
    ),
    "float16 x float16": ("float16", 1, _FLOATS | {"floating": _FUSED, "pe": "multiplier"}),
    "int8 x int8, multipliers": ("int8", 4, {"pe": "multiplier"}),
}


def machine(name: str) -> Machine:
    """The 2x2 machine that is measured."""
    format_name, lanes, options = MACHINES[name]
    array = AcceleratorConfig(name="measured_2x2", rows=2, cols=2, lanes=lanes, **options)
    family = get_family(format_name)
    widths = worst_case_widths(array, family, group_size=GROUP_SIZE, k=INPUTS)
    return resolve_machine(array, family, *widths)


def components(built: Machine) -> Iterator[tuple[tuple[str, ...], wiring.Component]]:
    """(blocks of the model, component) of everything that is synthesized."""
    yield ("pe.",), inner_pe(built)
    yield ("dequantizer.",), make_dequantizer(built)
    yield ("decoder",), TermDecoder(family=built.family, terms=built.terms)
    if built.float_exponents is not None:
        exponent_bits, unit_exponent = built.float_exponents
        yield ("activations",), activation_decoder(built)
        yield (
            ("encoder",),
            FloatEncoder(
                cols=1,
                bits=built.outer_bits,
                exponent_bits=exponent_bits,
                unit_exponent=unit_exponent,
            ),
        )
    yield ("",), Core(machine=built)


def modelled_um2(built: Machine, blocks: tuple[str, ...], technology: Technology) -> float:
    """The model's area of one component; ``("",)`` is the whole machine."""
    areas = [b for b in machine_area(built, technology) if b.block.startswith(blocks)]
    if blocks == ("",):
        return sum(b.total_um2 for b in areas)
    lanes, per_lane = built.accelerator.lanes, ("pe.products", "pe.alignment")
    # alone: without what synthesis makes of all blocks together
    return sum(
        b.area_um2 / technology.composition(b.component) * (lanes if b.block in per_lane else 1)
        for b in areas
    )


def measure(technology: Technology, liberty: Path | None) -> Iterator[dict[str, Any]]:
    """One row per machine and component."""
    with unpacked(liberty) as library:
        for name in MACHINES:
            built = machine(name)
            for blocks, component in components(built):
                found = synthesize(component, liberty=library, ecp5=True)
                model = modelled_um2(built, blocks, technology)
                area = found.area_um2
                yield {
                    "machine": name,
                    "block": type(component).__name__,
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
    print(f"{'machine':36}{'block':20}{'model um2':>12}{'synth. um2':>14}{'diff %':>9}", end="")
    print(f"{'LUT4':>8}{'FF':>7}")


def _print_row(row: dict[str, Any]) -> None:
    area, difference = row["synthesized_um2"], row["difference_percent"]
    print(
        f"{row['machine']:36}{row['block']:20}{row['model_um2']:>12,.0f}"
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
    technology = Technology.of(load_axis("technology", TECHNOLOGY))
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
