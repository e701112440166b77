"""Area of a machine, block by block: structural counts times the technology's figures."""

from dataclasses import dataclass

from configs.schema import TechnologyConfig
from sw.compile import Machine

from .array import machine_blocks
from .figures import read_figures
from .structure import Structure


@dataclass(frozen=True, kw_only=True)
class BlockArea:
    """Area of one kind of block.

    Attributes
    ----------
    block : name, as in ``hw/``.
    count : instances.
    structure : parts of one instance.
    area_um2 : area of one instance.
    """

    block: str
    count: int
    structure: Structure
    area_um2: float

    @property
    def total_um2(self) -> float:
        """Area of all instances."""
        return self.count * self.area_um2


def machine_area(machine: Machine, technology: TechnologyConfig) -> tuple[BlockArea, ...]:
    """Area of every block of ``machine``, cells only: no wiring, no clock tree.

    Raises
    ------
    InputError : the technology lacks a figure or has an unknown one.
    """
    figures = read_figures(technology)
    return tuple(
        BlockArea(
            block=block.block,
            count=block.count,
            structure=block.structure,
            area_um2=block.structure.area_um2(figures),
        )
        for block in machine_blocks(machine)
    )
