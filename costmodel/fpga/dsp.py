"""Multiplier blocks: which products Yosys puts into them, and how many a machine takes."""

from dataclasses import dataclass

from costmodel.floating import aligns_inside
from sw.compile import Machine


@dataclass(frozen=True, kw_only=True)
class DspRule:
    """A family's multiplier block, as its synthesis script maps products to it.

    Attributes
    ----------
    wide, narrow : widest operands of a block, the wider one first.
    part : bits of a part that a wider operand is cut into, where that is not ``wide``.
    least_product : bits of the smallest product that is worth a block.
    signed_only : unsigned operands take a bit more, a zero in front.
    """

    wide: int
    narrow: int
    least_product: int
    part: int = 0
    signed_only: bool = False

    def blocks(self, first: int, second: int, product: int, *, unsigned: bool = False) -> int:
        """Blocks of one product of two operands of these widths.

        ``product`` is how many of its bits are used. Both operands are two's complement unless
        ``unsigned``.
        """
        wide, narrow = max(first, second), min(first, second)
        if narrow < _LEAST_OPERAND or product < self.least_product:
            return 0
        if unsigned and self.signed_only:
            wide, narrow = wide + 1, narrow + 1
        return self._sliced(wide, narrow, product)

    def _sliced(self, wide: int, narrow: int, product: int) -> int:
        """Parts that an operand is cut into are products of their own."""
        if min(wide, narrow) < _LEAST_OPERAND or product < self.least_product:
            return 0
        if wide > self.wide:
            part = self.part or self.wide
            step = part - self.signed_only
            count = -(-(wide - self.wide) // step)
            last = wide - count * step
            partial = self._sliced(part, narrow, min(product, narrow + part))
            return count * partial + self._sliced(last, narrow, narrow + last)
        if narrow > self.narrow:
            step = self.narrow - self.signed_only
            count = -(-(narrow - self.narrow) // step)
            last = narrow - count * step
            partial = self._sliced(wide, self.narrow, min(product, wide + self.narrow))
            return count * partial + self._sliced(wide, last, wide + last)
        return 1


_LEAST_OPERAND = 2
RULES = {
    "ecp5": DspRule(wide=18, narrow=18, least_product=0),
    "ice40": DspRule(wide=16, narrow=16, least_product=11),
    "xc7": DspRule(wide=25, narrow=18, least_product=9, part=18, signed_only=True),
}


def machine_dsps(machine: Machine, family: str) -> dict[str, int]:
    """Multiplier blocks of a machine by component, where multipliers may become such blocks.

    Exact: tests compare it with synthesis. Parts without a product are left out.
    """
    rule, array = RULES[family], machine.accelerator
    products = array.rows * array.cols * array.lanes
    found = {}
    if array.pe == "multiplier":
        name = "float_pe" if array.is_aligned else "multiplier_pe"
        found[name] = products * _product_blocks(machine, rule)
    if array.requantizer is not None:
        bits = array.requantizer.multiplier_bits
        # an unsigned multiplier and its sign
        blocks = rule.blocks(machine.outer_sum_bits, bits + 1, machine.outer_sum_bits + bits)
        found["drain"] = array.cols * blocks
    return found


def loses_products(machine: Machine, family: str) -> bool:
    """Whether Yosys 0.70 makes a wrong netlist of a machine with multiplier blocks of iCE40.

    Where a registered product is added to another one, its pass ``ice40_dsp`` takes the register
    of the second into the block of the first and leaves inputs C and D of that block undefined:
    every other product is lost.
    """
    array = machine.accelerator
    added = array.pe == "multiplier" and array.lanes > 1 and not aligns_inside(machine)
    return family == "ice40" and added and "products" in array.pipeline


def _product_blocks(machine: Machine, rule: DspRule) -> int:
    """Blocks of one lane of a multiplier PE."""
    terms = machine.terms
    if aligns_inside(machine):
        if terms.encoding == "bit":
            return 0
        significand = machine.floating.layout.significand_bits
        product = significand + terms.digit_bits
        return rule.blocks(significand, terms.digit_bits, product, unsigned=True)
    bits, is_signed = machine.value_shape
    magnitude = 1 << bits - 1 if is_signed else (1 << bits) - 1
    operand = bits + (not is_signed)
    # the zero in front of an unsigned operand makes no product wider
    product = bits + terms.digit_bits
    if not terms.exponent_bits:
        product = min(product, (magnitude * terms.largest_term).bit_length() + 1)
    return rule.blocks(operand, terms.digit_bits, product)
