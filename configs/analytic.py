"""What an analytic baseline may say: a competitor without RTL here, timed by a formula."""

from dataclasses import dataclass
from typing import Literal

from .errors import InputError, check_range

#: how a lane multiplies: fused bricks, one bit pair after another, or a fixed multiplier
AnalyticKind = Literal["fusion", "bit_serial", "mac"]


@dataclass(frozen=True, kw_only=True)
class AnalyticConfig:
    """An array of ``rows`` tokens by ``cols`` output channels, ``lanes`` lanes along K each.

    A lane of kind ``fusion`` is a unit of ``bricks`` multipliers of ``brick_bits`` x ``brick_bits``
    bits; as many as both operands need are fused into a product, and where they are more than the
    unit has, they take turns. A lane of kind ``bit_serial`` ands one bit of each operand per cycle,
    a lane of kind ``mac`` does one product per cycle.
    """

    name: str
    description: str
    #: publication or released source that says so
    source: str
    kind: AnalyticKind
    #: tokens at a time
    rows: int
    #: output channels at a time
    cols: int
    #: inputs at a time: fusion units, bits of a binary dot product, multipliers
    lanes: int
    #: widths that the array takes, ascending; narrower operands run as the next of them
    weight_bits: tuple[int, ...]
    activation_bits: tuple[int, ...]
    #: multipliers of a fusion unit, and their width; 1 and 0 for the other kinds
    bricks: int = 1
    brick_bits: int = 0
    #: width of a result on its way to the DRAM
    result_bits: int = 16
    #: its own buffers, where the memory has no SRAM for the operand; 0 without
    weight_buffer_kib: int = 0
    activation_buffer_kib: int = 0
    clock_mhz: float

    def __post_init__(self) -> None:
        for name in ("rows", "cols", "lanes"):
            check_range(name, getattr(self, name), 1, 1 << 16)
        for name in ("weight_bits", "activation_bits"):
            self._check_widths(name)
        fusion = self.kind == "fusion"
        check_range("bricks", self.bricks, 1, 1024)
        if fusion:
            check_range("brick_bits", self.brick_bits, 1, 16)
        elif (self.bricks, self.brick_bits) != (1, 0):
            raise InputError(f"bricks and brick_bits belong to kind 'fusion', not to '{self.kind}'")
        check_range("result_bits", self.result_bits, 1, 64)
        for name in ("weight_buffer_kib", "activation_buffer_kib"):
            check_range(name, getattr(self, name), 0, 1 << 20)
        check_range("clock_mhz", self.clock_mhz, 1, 5000)

    def _check_widths(self, name: str) -> None:
        """Widths are given, in range and ascending."""
        widths = getattr(self, name)
        if not widths or list(widths) != sorted(set(widths)):
            raise InputError(f"{name} is {list(widths)}, expected ascending widths in bits")
        for width in widths:
            check_range(name, width, 1, 32)

    def widths(self, weight_bits: int, activation_bits: int) -> tuple[int, int]:
        """The widths that the operands run with: those given, rounded up to ones it takes.

        Raises
        ------
        InputError : an operand is wider than the array takes.
        """
        found = []
        for name, wanted in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
            offered = getattr(self, name)
            fitting = [width for width in offered if width >= wanted]
            if not fitting or wanted < 1:
                raise InputError(
                    f"baseline '{self.name}': {name} is {wanted}, valid are 1..{offered[-1]}"
                )
            found.append(fitting[0])
        return found[0], found[1]

    def chunk(self, weight_bits: int, activation_bits: int) -> tuple[int, int]:
        """Products along K of one PE in a chunk, and the cycles that a chunk takes.

        Parameters
        ----------
        weight_bits, activation_bits : of the operands; they are rounded up by :meth:`widths`.
        """
        weights, activations = self.widths(weight_bits, activation_bits)
        if self.kind == "bit_serial":
            return self.lanes, weights * activations
        if self.kind == "mac":
            return self.lanes, 1
        fused = -(-weights // self.brick_bits) * -(-activations // self.brick_bits)
        return self.lanes * max(1, self.bricks // fused), -(-fused // self.bricks)

    def peak_macs_per_cycle(self, weight_bits: int, activation_bits: int) -> float:
        """Products per cycle of the whole array without any loss."""
        inputs, cycles = self.chunk(weight_bits, activation_bits)
        return self.rows * self.cols * inputs / cycles
