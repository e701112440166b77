"""Widths inside a machine with floating-point activations, all derived (docs/numerics.md).

Everything is counted in the activation format's smallest subnormal times ``2**-guard_bits``.
"""

from dataclasses import dataclass

from configs.accelerator import AcceleratorConfig
from configs.timing import GROUP_COUNT_BITS
from sw.formats import FloatLayout, TermTable, float_layout

#: steps of an inner accumulator: chunks of a group times at most 4 slots
_STEP_BITS = GROUP_COUNT_BITS + 2


def _growth(addend_bits: int, step_bits: int, bits: int) -> int:
    """Places that ``2**step_bits`` addends move a mantissa of ``bits``, with one bit to spare."""
    return max(0, addend_bits + step_bits + 1 - bits)


@dataclass(frozen=True, kw_only=True)
class FloatWidths:
    """Widths of an aligned datapath.

    Parameters
    ----------
    array : an accelerator with floating-point activations, aligned.
    terms : how it takes weights.
    """

    array: AcceleratorConfig
    terms: TermTable

    @property
    def layout(self) -> FloatLayout:
        """The activations' format."""
        return float_layout(self.array.activation_format)

    @property
    def in_pe(self) -> bool:
        """Products are aligned in the PE."""
        return self.array.floating.alignment == "pe"

    @property
    def value_bits(self) -> int:
        """Two's complement width of an activation aligned in its row."""
        return self.layout.significand_bits + self.array.floating.guard_bits + 1

    @property
    def product_bits(self) -> int:
        """Bits of a product's magnitude in the PE, guard bits included."""
        digit = self.terms.digit_bits if self.terms.digit_bits > 1 else 0
        return self.layout.significand_bits + self.array.floating.guard_bits + digit

    @property
    def largest_lane(self) -> int:
        """A bound on the magnitude of one lane's share of a slot."""
        if self.in_pe:
            return 1 << self.product_bits
        return self.terms.largest_term << self.value_bits - 1

    @property
    def dot_bits(self) -> int:
        """Two's complement width of a slot's sum."""
        return (self.array.lanes * self.largest_lane).bit_length() + 1

    @property
    def addend_bits(self) -> int:
        """Two's complement width of a slot's sum behind its base shift."""
        return self.dot_bits + max(self.terms.base_shifts)

    @property
    def place_bits(self) -> int:
        """Bits of an activation's place."""
        return self.layout.largest_place.bit_length()

    @property
    def largest_addend_exponent(self) -> int:
        """Largest exponent of a slot's sum."""
        return self.layout.largest_place + (self.terms.largest_exponent if self.in_pe else 0)

    @property
    def addend_exponent_bits(self) -> int:
        """Bits of a slot's exponent."""
        return self.largest_addend_exponent.bit_length()

    @property
    def inner_bits(self) -> int:
        """Mantissa of the inner accumulator."""
        return self.array.floating.mantissa_bits

    @property
    def largest_inner_exponent(self) -> int:
        """The inner exponent that the register has room for: any group's, truncation apart."""
        growth = _growth(self.addend_bits, _STEP_BITS, self.inner_bits)
        return self.largest_addend_exponent + growth

    def inner_exponent_after(self, steps: int) -> int:
        """A bound on the inner accumulator's exponent after a group of ``steps``."""
        growth = _growth(self.addend_bits, (steps - 1).bit_length(), self.inner_bits)
        return self.largest_addend_exponent + growth + self._drift(steps, self.inner_bits)

    def outer_exponent_after(self, groups: int, steps: int) -> int:
        """A bound on the outer accumulator's exponent after ``groups`` of ``steps``."""
        growth = _growth(self.product_sum_bits, (groups - 1).bit_length(), self.outer_bits)
        scaled = self.inner_exponent_after(steps) + self.array.scale.barrel_shift
        return scaled + growth + self._drift(groups, self.outer_bits)

    def _drift(self, steps: int, bits: int) -> int:
        """What truncation alone adds to an exponent.

        Every step may take one last place away, and after ``2**(bits - 2)`` of them a mantissa has
        doubled; the bit to spare in :func:`_growth` is for the first doubling. Rounding to nearest
        leaves what is below half a last place out.
        """
        truncates = self.array.floating.rounding == "truncate"
        return steps - 1 >> bits - 2 if truncates else 0

    @property
    def inner_exponent_bits(self) -> int:
        """Bits of the inner accumulator's exponent."""
        return self.largest_inner_exponent.bit_length()

    @property
    def product_sum_bits(self) -> int:
        """Two's complement width of a group's sum times its scale."""
        return self.inner_bits + self.array.scale.serial_bits

    @property
    def largest_scaled_exponent(self) -> int:
        """Largest exponent of a scaled group sum, truncation apart."""
        return self.largest_inner_exponent + self.array.scale.barrel_shift

    @property
    def outer_bits(self) -> int:
        """Mantissa of the outer accumulator."""
        return self.array.floating.outer_mantissa_bits

    @property
    def largest_outer_exponent(self) -> int:
        """The outer exponent that the register has room for: any tile's, truncation apart."""
        growth = _growth(self.product_sum_bits, GROUP_COUNT_BITS, self.outer_bits)
        return self.largest_scaled_exponent + growth

    @property
    def outer_exponent_bits(self) -> int:
        """Bits of the outer accumulator's exponent."""
        return self.largest_outer_exponent.bit_length()
