"""The figures that every technology file must give, and their strict reading.

Switching energies are averages over one action, per bit: how often the data really toggle is
folded in, and each figure's ``source`` says what was assumed.
"""

from dataclasses import dataclass, fields

from configs.errors import InputError, unknown_name
from configs.schema import TechnologyConfig


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One process in numbers, units in the names."""

    #: flip-flop, without the multiplexer of an enable
    flip_flop_area_um2_per_bit: float
    #: one bit of a two-operand adder, carry logic included
    adder_area_um2_per_bit: float
    #: two-to-one multiplexer
    mux2_area_um2_per_bit: float
    #: two-input gate
    gate_area_um2: float
    #: queue storage, write and read multiplexers included
    memory_area_um2_per_bit: float
    #: a register takes new data; the clock is charged apart
    flip_flop_energy_pj_per_bit: float
    #: clock edges of one cycle at a flip-flop
    clock_energy_pj_per_bit: float
    #: new operands at an adder
    adder_energy_pj_per_bit: float
    #: new inputs at a multiplexer
    mux2_energy_pj_per_bit: float
    #: new inputs at a two-input gate
    gate_energy_pj: float
    #: queue storage written
    memory_write_energy_pj_per_bit: float
    #: queue storage read
    memory_read_energy_pj_per_bit: float
    #: what stored bits cost in every cycle: the clock where storage is made of flip-flops
    memory_clock_energy_pj_per_bit: float
    #: tile buffers: SRAM, periphery included
    sram_area_um2_per_bit: float
    sram_read_energy_pj_per_bit: float
    sram_write_energy_pj_per_bit: float
    #: wire between a stream port and the array
    stream_energy_pj_per_bit: float
    #: external memory, read or written
    dram_energy_pj_per_bit: float
    #: static power of switched-on logic
    leakage_power_mw_per_mm2: float


REQUIRED_FIGURES = tuple(field.name for field in fields(Figures))


def read_figures(technology: TechnologyConfig) -> Figures:
    """The values of a technology's figures.

    Raises
    ------
    InputError : a figure is missing or its name is unknown.
    """
    for name in technology.figures:
        if name not in REQUIRED_FIGURES:
            raise unknown_name(f"figure in technology '{technology.name}'", name, REQUIRED_FIGURES)
    for name in REQUIRED_FIGURES:
        if name not in technology.figures:
            raise InputError(f"technology '{technology.name}': figure '{name}' is missing")
    return Figures(**{name: technology.figures[name].value for name in REQUIRED_FIGURES})
