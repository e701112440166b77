"""Accumulator widths that a recipe quantizes to."""

from dataclasses import dataclass

from .accelerator import AccumulatorMode
from .errors import check_range

#: width of activation codes where nothing else is said
DEFAULT_INPUT_BITS = 8


@dataclass(frozen=True, kw_only=True)
class AccumulatorTarget:
    """Registers that the quantized weights must never overflow, whatever the inputs."""

    #: width of the inner accumulator, which sums one group
    inner_bits: int
    #: width of the outer accumulator, which sums groups times scale codes; free if left out
    outer_bits: int | None = None
    #: ``wrap``: final sums must fit; ``saturate``, ``flag``: the sum after every step
    mode: AccumulatorMode = "wrap"
    #: width of input codes; the recipe's ``activation_bits`` if left out
    input_bits: int | None = None
    #: two's complement input codes, or unsigned ones
    input_signed: bool = True
    #: lanes of the PE whose steps ``saturate`` and ``flag`` look at
    lanes: int = 4

    def __post_init__(self) -> None:
        check_range("inner_bits", self.inner_bits, 2, 48)
        if self.outer_bits is not None:
            check_range("outer_bits", self.outer_bits, 2, 62)
        if self.input_bits is not None:
            check_range("input_bits", self.input_bits, 1, 16)
        check_range("lanes", self.lanes, 1, 1 << 10)

    @property
    def width(self) -> int:
        """Width of input codes, bits."""
        return DEFAULT_INPUT_BITS if self.input_bits is None else self.input_bits

    @property
    def input_range(self) -> tuple[int, int]:
        """Smallest and largest input code, both inclusive."""
        if not self.input_signed:
            return 0, (1 << self.width) - 1
        half = 1 << (self.width - 1)
        return -half, half - 1
