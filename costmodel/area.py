"""Area of a machine, block by block: structural counts times the technology's prices."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from configs.memory import MemoryConfig
from sw.compile import Machine

from .array import machine_blocks
from .calibration.components import component_of
from .estimate import Estimate
from .storage import memory_srams, tile_srams
from .structure import Structure
from .technology import Technology

#: component of memory macros
SRAM = "sram"


@dataclass(frozen=True, kw_only=True)
class BlockArea:
    """Area of one kind of block.

    Attributes
    ----------
    block : name, as in ``hw/``.
    component : whose coefficients price it; ``sram`` for storage in memory macros.
    count : instances.
    structure : parts of one instance.
    area : of one instance, um2.
    """

    block: str
    component: str
    count: int
    structure: Structure
    area: Estimate

    @property
    def total(self) -> Estimate:
        """Area of all instances, um2."""
        return self.area.times(self.count)

    @property
    def area_um2(self) -> float:
        """Expected area of one instance."""
        return self.area.value

    @property
    def total_um2(self) -> float:
        """Expected area of all instances."""
        return self.total.value


def machine_area(
    machine: Machine, technology: Technology, memory: MemoryConfig | None = None
) -> tuple[BlockArea, ...]:
    """Area of every block of ``machine``: cells and memory macros, no wiring, no clock tree.

    With a memory configuration its buffers on the chip are blocks, too.

    Raises
    ------
    InputError : the library was not calibrated for a component.
    """
    found = []
    for block in machine_blocks(machine):
        component = component_of(machine, block.block)
        found.append(
            BlockArea(
                block=block.block,
                component=component,
                count=block.count,
                structure=block.structure,
                area=technology.area_um2(component, block.structure),
            )
        )
    for name, sram in (tile_srams(machine) | memory_srams(memory)).items():
        parts = Structure(sram_bits=sram.bits)
        area = technology.sram_area_um2(sram)
        found.append(BlockArea(block=name, component=SRAM, count=1, structure=parts, area=area))
    return tuple(found)


def cell_area(areas: Iterable[BlockArea], technology: Technology) -> Estimate:
    """Area of everything that is no memory macro, um2."""
    return technology.cells_um2(sum(a.total_um2 for a in areas if a.component != SRAM))


def total_area(areas: Sequence[BlockArea], technology: Technology) -> Estimate:
    """Area of everything, um2."""
    macros = (area.total for area in areas if area.component == SRAM)
    return Estimate.total([cell_area(areas, technology), *macros])
