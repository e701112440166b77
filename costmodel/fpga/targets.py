"""Devices that ``bitsmith fpga`` knows."""

from dataclasses import dataclass

from configs.errors import unknown_name

from .families import FAMILIES, Family, Resources


@dataclass(frozen=True, kw_only=True)
class Target:
    """One device.

    Attributes
    ----------
    name : as on the command line.
    family : name in :data:`costmodel.fpga.FAMILIES`.
    device : the part, as its maker calls it.
    available : what it has.
    synthesis : further options of the family's Yosys command.
    nextpnr : options of nextpnr; empty if it is not placed.
    """

    name: str
    family: str
    device: str
    available: Resources
    synthesis: str = ""
    nextpnr: tuple[str, ...] = ()

    @property
    def cells(self) -> Family:
        """How its cells are counted."""
        return FAMILIES[self.family]

    @property
    def needs_pins(self) -> bool:
        """Whether every port of a design must get a pin."""
        return self.family == "ice40"

    def script(self, *, dsp: bool) -> str:
        """Yosys command."""
        return f"{self.cells.script[dsp]} {self.synthesis}".strip()


_ALL = (
    Target(
        name="ecp5-85k",
        family="ecp5",
        device="LFE5U-85F-6",
        available=Resources(lut=83640, flip_flops=83640, bram=208, dsp=156),
        # the slowest speed grade
        nextpnr=("--85k", "--package", "CABGA756", "--speed", "6", "--out-of-context"),
    ),
    Target(
        name="ice40-up5k",
        family="ice40",
        device="iCE40UP5K-SG48",
        available=Resources(lut=5280, flip_flops=5280, bram=30, dsp=8),
        synthesis="-device u",
        nextpnr=("--up5k", "--package", "sg48"),
    ),
    Target(
        name="ice40-hx8k",
        family="ice40",
        device="iCE40HX8K-CT256",
        available=Resources(lut=7680, flip_flops=7680, bram=32, dsp=0),
        synthesis="-device hx",
        nextpnr=("--hx8k", "--package", "ct256"),
    ),
    Target(
        name="xilinx7",
        family="xc7",
        device="XC7A100T",
        available=Resources(lut=63400, flip_flops=126800, bram=270, dsp=240),
    ),
    Target(
        name="gowin",
        family="gowin",
        device="GW2A-18",
        available=Resources(lut=20736, flip_flops=15552, bram=46, dsp=48),
    ),
    Target(
        name="nexus",
        family="nexus",
        device="LIFCL-40",
        available=Resources(lut=32256, flip_flops=32256, bram=84, dsp=56),
    ),
)
TARGETS = {target.name: target for target in _ALL}


def find_target(name: str) -> Target:
    """The target of a name.

    Raises
    ------
    InputError : there is none; names the nearest.
    """
    if name not in TARGETS:
        raise unknown_name("FPGA target", name, TARGETS)
    return TARGETS[name]
