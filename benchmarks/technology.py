"""Figures of ``sg13g2_130nm`` from its Liberty file: ``python -m benchmarks.technology``.

Prints the technology file. Areas are cell areas or come from synthesis; energies follow from the
library's internal power tables and pin capacitances (:mod:`benchmarks.liberty`).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml
from amaranth import Module
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from benchmarks.area import machine
from benchmarks.liberty import Library
from benchmarks.synthesis import LIBERTY, Synthesis, synthesize, unpacked
from configs.errors import InputError
from hw.array.parts import inner_pe

VOLTS = 1.2
#: random independent data change a bit in every second evaluation
TOGGLE = 0.5
FLIP_FLOP, MUX2 = "sg13g2_dfrbp_1", "sg13g2_mux2_1"
GATES = ("sg13g2_nand2_1", "sg13g2_nor2_1", "sg13g2_and2_1", "sg13g2_or2_1")
ADDER_BITS = 24
MEMORY_WIDTH, MEMORY_DEPTH = 64, 4

CELL = "IHP SG13G2 Liberty (typical, 1.2 V, 25 C)"
TABLES = f"{CELL}, internal power and pin capacitance"
ASSUMED = "assumption: half of the bits change per action, glitches not counted"

#: value, kind, source
Sourced = tuple[float, str, str]


class _Adder(wiring.Component):
    """Sum of two numbers."""

    def __init__(self) -> None:
        super().__init__({"a": In(ADDER_BITS), "b": In(ADDER_BITS), "sum": Out(ADDER_BITS + 1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.sum.eq(self.a + self.b)
        return m


class _Storage(wiring.Component):
    """Storage of a queue: one write port, one combinational read port."""

    def __init__(self) -> None:
        address = (MEMORY_DEPTH - 1).bit_length()
        super().__init__(
            {
                "write": In(address),
                "read": In(address),
                "enable": In(1),
                "data_in": In(MEMORY_WIDTH),
                "data_out": Out(MEMORY_WIDTH),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.storage = storage = memory.Memory(
            shape=MEMORY_WIDTH, depth=MEMORY_DEPTH, init=[]
        )
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [
            write.addr.eq(self.write),
            write.en.eq(self.enable),
            write.data.eq(self.data_in),
            read.addr.eq(self.read),
            self.data_out.eq(read.data),
        ]
        return m


#: a buffer of 512 KB with words of 256 bits: area, energy of a read and of a write
CACTI = "CACTI 7, 512 KB, 256 bits, 28 nm, as rebuilt for the BitMoD simulator (HPCA 2025)"
SRAM_MM2, SRAM_READ_PJ, SRAM_WRITE_PJ = 1.59, 70.1, 51.7
SCALED_AREA, SCALED_ENERGY = (130 / 28) ** 2, 130 / 28 * (VOLTS / 0.9) ** 2

#: figures that no library gives
PUBLISHED: dict[str, Sourced] = {
    "stream_energy_pj_per_bit": (
        310 / 256 / 10 * (VOLTS / 0.9) ** 2,
        "quoted",
        "310 pJ for 256 bits over 10 mm at 40 nm and 0.9 V (Keckler et al., IEEE Micro 31(5), "
        "2011, table 1), times (1.2 / 0.9)^2; assumption: 1 mm of wire, equal capacitance per mm",
    ),
    "dram_energy_pj_per_bit": (
        18.75,
        "quoted",
        "simulator released with BitMoD (HPCA 2025): 1200 pJ per 64 bits, reads and writes",
    ),
    "sram_area_um2_per_bit": (
        SRAM_MM2 * 1e6 / (512 * 1024 * 8) * SCALED_AREA,
        "quoted",
        f"{CACTI}: 1.59 mm2, the middle of 1.43 to 1.75 mm2; assumption: scaled by (130 / 28)^2",
    ),
    "sram_read_energy_pj_per_bit": (
        SRAM_READ_PJ / 256 * SCALED_ENERGY,
        "quoted",
        f"{CACTI}: 70.1 pJ; assumption: scaled by (130 / 28) x (1.2 / 0.9)^2, any size alike",
    ),
    "sram_write_energy_pj_per_bit": (
        SRAM_WRITE_PJ / 256 * SCALED_ENERGY,
        "quoted",
        f"{CACTI}: 51.7 pJ; assumption: scaled by (130 / 28) x (1.2 / 0.9)^2, any size alike",
    ),
}


def figures(liberty: Path) -> dict[str, Sourced]:
    """Every figure of the technology.

    Raises
    ------
    InputError : the library is another one.
    """
    library = Library(liberty, volts=VOLTS, toggle=TOGGLE)
    for name in (FLIP_FLOP, MUX2, *GATES):
        if name not in library.cells:
            raise InputError(f"the Liberty file is not that of IHP SG13G2: it has no cell '{name}'")
    adder = synthesize(_Adder(), liberty=liberty)
    storage = synthesize(_Storage(), liberty=liberty)
    pe = inner_pe(machine("bitmod_fp4"))
    leakage = {
        "leakage_power_mw_per_mm2": (
            library.leakage_mw_per_mm2(synthesize(pe, liberty=liberty).cells),
            "quoted",
            f"{CELL}: cell_leakage_power of the cells of a synthesized SerialPE over their area",
        )
    }
    areas = _areas(library, adder, storage)
    return areas | _logic_energies(library, adder) | _memory_energies(library) | PUBLISHED | leakage


def _areas(library: Library, adder: Synthesis, storage: Synthesis) -> dict[str, Sourced]:
    recipe = "mapped to the library by Yosys and ABC as benchmarks/synthesis.py does"
    return {
        "flip_flop_area_um2_per_bit": (
            library.area_um2(FLIP_FLOP),
            "measured",
            f"{CELL}: area of {FLIP_FLOP}, which Yosys maps every flip-flop to",
        ),
        "adder_area_um2_per_bit": (
            (adder.area_um2 or 0) / ADDER_BITS,
            "measured",
            f"{ADDER_BITS}-bit two-operand adder {recipe}, per bit",
        ),
        "mux2_area_um2_per_bit": (
            library.area_um2(MUX2),
            "quoted",
            f"{CELL}: area of {MUX2}; synthesis often uses other cells of about this size",
        ),
        "gate_area_um2": (
            sum(map(library.area_um2, GATES)) / len(GATES),
            "quoted",
            f"{CELL}: mean area of {', '.join(GATES)}",
        ),
        "memory_area_um2_per_bit": (
            (storage.area_um2 or 0) / (MEMORY_WIDTH * MEMORY_DEPTH),
            "measured",
            f"storage of {MEMORY_DEPTH} words of {MEMORY_WIDTH} bits, made of flip-flops, {recipe}",
        ),
    }


def _register_pj(library: Library) -> float:
    return library.register_pj(FLIP_FLOP, clock="CLK", data="D", output="Q")


def _logic_energies(library: Library, adder: Synthesis) -> dict[str, Sourced]:
    return {
        "flip_flop_energy_pj_per_bit": (
            _register_pj(library),
            "quoted",
            f"{TABLES}: change of {FLIP_FLOP} above its clock edge; {ASSUMED}",
        ),
        "clock_energy_pj_per_bit": (
            library.clock_pj(FLIP_FLOP, "CLK"),
            "quoted",
            f"{TABLES}: both edges at the clock pin of {FLIP_FLOP}; the clock tree is not counted",
        ),
        "adder_energy_pj_per_bit": (
            library.netlist_pj(adder.cells) / ADDER_BITS,
            "quoted",
            f"{TABLES}: sum over the cells of the synthesized {ADDER_BITS}-bit adder; {ASSUMED}",
        ),
        "mux2_energy_pj_per_bit": (
            library.evaluation_pj(MUX2),
            "quoted",
            f"{TABLES}: {MUX2}; {ASSUMED}",
        ),
        "gate_energy_pj": (
            sum(map(library.evaluation_pj, GATES)) / len(GATES),
            "quoted",
            f"{TABLES}: mean of {', '.join(GATES)}; {ASSUMED}",
        ),
    }


def _memory_energies(library: Library) -> dict[str, Sourced]:
    return {
        "memory_write_energy_pj_per_bit": (
            _register_pj(library) + library.evaluation_pj(MUX2),
            "quoted",
            "flip_flop_energy_pj_per_bit + mux2_energy_pj_per_bit: storage is made of flip-flops",
        ),
        "memory_read_energy_pj_per_bit": (
            2 * library.evaluation_pj(MUX2),
            "quoted",
            "2 x mux2_energy_pj_per_bit: two levels of multiplexers select one of four words",
        ),
        "memory_clock_energy_pj_per_bit": (
            library.clock_pj(FLIP_FLOP, "CLK"),
            "quoted",
            "clock_energy_pj_per_bit: storage is made of flip-flops and its clock is not gated",
        ),
    }


def technology(liberty: Path) -> dict[str, Any]:
    """The technology file's content."""
    with unpacked(liberty) as library:
        found = figures(library)
    return {
        "name": "sg13g2_130nm",
        "description": "IHP SG13G2 open process, 130 nm, 1.2 V, typical; cells without wires",
        "figures": {
            name: {"value": float(f"{value:.4g}"), "kind": kind, "source": source}
            for name, (value, kind, source) in found.items()
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--liberty", type=Path, default=LIBERTY)
    content = technology(parser.parse_args().liberty)
    print("# Made by: python -m benchmarks.technology")
    print(yaml.safe_dump(content, sort_keys=False, width=96), end="")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
