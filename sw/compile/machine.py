"""A machine: an accelerator configuration with its formats and accumulator widths resolved.

The stream layouts live here because packer and RTL must agree on them bit for bit.
"""

from dataclasses import dataclass

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from sw.formats import (
    FormatFamily,
    TermTable,
    family_terms,
    float_layout,
    multiplier_terms,
    reachable_terms,
)
from sw.formats.terms import MAX_CODE_BITS, MAX_LEVEL_BITS

from .floating import FloatWidths
from .scales import largest_scale

#: of a requantized output, and of a floating-point machine's (float32)
REQUANTIZED_BITS, FLOAT32_BITS = 8, 32
#: of an aligned machine's accumulators: their sums fit 64-bit integers
LARGEST_ADDEND_BITS = 60


def round_up(value: int, multiple: int) -> int:
    """``value`` rounded up to a multiple."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything that generated hardware, golden model and simulator need to know.

    Parameters
    ----------
    accelerator : array shape, arithmetic, optional stages, queues and accumulator modes.
    family : weight formats that the term decoders understand.
    inner_bits, outer_bits : accumulator widths, two's complement; of an aligned machine the
        mantissas.
    group_inputs : largest group that the activation sums have room for; only with zero points.

    Stream beats, element 0 in the least significant bits, padded with zeros to whole bytes:

    - weights, with a requantizer one *parameter* beat per tile first (``cols`` multipliers, then
      ``cols`` shifts); then per group one *header* beat (``cols`` scale codes, ``cols`` format
      ids, ``cols`` zero points), then one beat per chunk (``cols`` x ``lanes`` codes);
    - activations: one beat per chunk (``rows`` x ``lanes`` activations);
    - results: one beat per row (``cols`` results, each sign-extended to ``result_bits``).

    Raises
    ------
    InputError : the formats do not fit the accelerator.
    """

    accelerator: AcceleratorConfig
    family: FormatFamily
    inner_bits: int
    outer_bits: int
    group_inputs: int = 0

    def __post_init__(self) -> None:
        array = self.accelerator
        check_family(array, self.family)
        if array.zero_point_bits and self.group_inputs < 1:
            raise InputError("a machine with zero points needs the size of its largest group")
        floating = array.floating
        mantissas = (floating.mantissa_bits, floating.outer_mantissa_bits)
        if array.is_aligned and (self.inner_bits, self.outer_bits) != mantissas:
            raise InputError("an aligned machine's accumulators have its mantissas' widths")

    @property
    def terms(self) -> TermTable:
        """Slots, base shifts and terms: of the family, or of all it may be programmed to."""
        return machine_terms(self.accelerator, self.family)

    @property
    def slots(self) -> int:
        """Cycles per chunk."""
        return self.terms.slots

    @property
    def floating(self) -> FloatWidths:
        """Widths of an aligned machine."""
        return FloatWidths(array=self.accelerator, terms=self.terms)

    @property
    def activation_width(self) -> int:
        """Bits of an activation at the port."""
        array = self.accelerator
        if array.activation_format == "integer":
            return array.activation_bits
        return float_layout(array.activation_format).bits

    @property
    def activation_codes(self) -> tuple[int, int]:
        """Smallest and largest number on the activation port; codes of floating-point numbers."""
        array = self.accelerator
        return (0, (1 << self.activation_width) - 1) if array.has_floats else array.integer_range

    @property
    def value_shape(self) -> tuple[int, bool]:
        """Width and sign of an activation as the PEs' integer lanes take it.

        Behind the row's alignment or conversion to fixed point where activations are
        floating-point numbers; not with alignment in the PE.
        """
        array = self.accelerator
        if array.activation_format == "integer":
            return array.activation_bits, array.activation_signed
        if array.is_aligned:
            return self.floating.value_bits, True
        return float_layout(array.activation_format).fixed_bits, True

    @property
    def header_bits(self) -> int:
        """Used bits of a header beat."""
        array = self.accelerator
        return array.cols * (array.scale.code_bits + self.family.id_bits + array.zero_point_bits)

    @property
    def parameter_bits(self) -> int:
        """Used bits of a requantizer parameter beat; 0 without a requantizer."""
        found = self.accelerator.requantizer
        return self.accelerator.cols * (found.multiplier_bits + found.shift_bits) if found else 0

    @property
    def chunk_bits(self) -> int:
        """Used bits of a weight chunk beat."""
        return self.accelerator.cols * self.accelerator.lanes * self.family.stored_bits

    @property
    def weight_beat_bits(self) -> int:
        """``s_axis_weights_tdata`` width."""
        return round_up(max(self.header_bits, self.chunk_bits, self.parameter_bits), 8)

    @property
    def activation_chunk_bits(self) -> int:
        """Used bits of an activation beat."""
        array = self.accelerator
        return array.rows * array.lanes * self.activation_width

    @property
    def activation_beat_bits(self) -> int:
        """``s_axis_activations_tdata`` width."""
        return round_up(self.activation_chunk_bits, 8)

    @property
    def output_bits(self) -> int:
        """Bits of a result: of the outer accumulator, the requantizer's output, or float32."""
        if self.accelerator.has_floats:
            return FLOAT32_BITS
        return REQUANTIZED_BITS if self.accelerator.requantizer else self.outer_bits

    @property
    def float_exponents(self) -> tuple[int, int] | None:
        """Exponent bits of an outer sum, and the binary logarithm of its unit; None for integers.

        The unit is that of levels times activations.
        """
        array = self.accelerator
        if not array.has_floats:
            return None
        unit = float_layout(array.activation_format).unit_exponent
        if not array.is_aligned:
            return 0, unit
        return self.floating.outer_exponent_bits, unit - array.floating.guard_bits

    @property
    def inner_sum_bits(self) -> int:
        """Bits of a group sum on its way: of an aligned machine mantissa, then exponent."""
        exponent = self.floating.inner_exponent_bits if self.accelerator.is_aligned else 0
        return self.inner_bits + exponent

    @property
    def outer_sum_bits(self) -> int:
        """Bits of an outer sum on its way to the drain."""
        exponent = self.floating.outer_exponent_bits if self.accelerator.is_aligned else 0
        return self.outer_bits + exponent

    @property
    def result_bits(self) -> int:
        """Bits of one result inside a beat: whole bytes."""
        return round_up(self.output_bits, 8)

    @property
    def result_beat_bits(self) -> int:
        """``m_axis_results_tdata`` width."""
        return self.accelerator.cols * self.result_bits

    @property
    def activation_sum_bits(self) -> int:
        """Two's complement width of a group's activation sum; 0 without zero points."""
        low, high = activation_range(self.accelerator)
        if not self.accelerator.zero_point_bits:
            return 0
        return (self.group_inputs * max(high, -low)).bit_length() + 1

    @property
    def corrected_bits(self) -> int:
        """Width of a group sum less zero point times activation sum: no overflow is possible."""
        zero_point_bits = self.accelerator.zero_point_bits
        if not zero_point_bits:
            return self.inner_bits
        return max(self.inner_bits, self.activation_sum_bits + zero_point_bits - 1) + 1

    @property
    def held_bits(self) -> int:
        """Width of the dequantizer's group sum, which doubles once per scale bit but the last.

        Of an aligned machine that of the product of mantissa and scale.
        """
        if self.accelerator.is_aligned:
            return self.floating.product_sum_bits
        return self.corrected_bits + self.accelerator.scale.serial_bits - 1


def activation_range(array: AcceleratorConfig) -> tuple[int, int]:
    """Smallest and largest activation, floating-point ones in their smallest subnormal."""
    if array.activation_format == "integer":
        return array.integer_range
    largest = float_layout(array.activation_format).largest_integer
    return -largest, largest


def check_family(array: AcceleratorConfig, family: FormatFamily) -> None:
    """Refuse formats that an accelerator cannot decode."""
    if family.pairs and array.lanes % 2:
        raise InputError(
            f"accelerator '{array.name}' has {array.lanes} lanes: "
            f"pairs of '{family.name}' need an even number"
        )
    if array.programmable and family.special_code is None:
        raise InputError(
            f"accelerator '{array.name}' is programmable, but '{family.name}' has no "
            "special value: its formats must differ in exactly one code"
        )
    if array.pe == "serial" and family.bits > MAX_CODE_BITS:
        raise InputError(
            f"accelerator '{array.name}' takes weights term by term, '{family.name}' has "
            f"{family.bits}-bit codes: set 'pe: multiplier'"
        )
    if family.max_magnitude >> MAX_LEVEL_BITS:
        raise InputError(
            f"'{family.name}' has levels of {family.max_magnitude.bit_length()} bits, "
            f"the hardware takes at most {MAX_LEVEL_BITS}"
        )
    if not array.has_floats and family.bits > MAX_CODE_BITS:
        raise InputError(
            f"accelerator '{array.name}' takes integer activations: weights in '{family.name}' "
            "need floating-point ones, set activation_format"
        )
    terms = machine_terms(array, family)
    if array.is_aligned:
        widths = FloatWidths(array=array, terms=terms)
        needed = max(widths.addend_bits, widths.product_sum_bits)
        if needed > LARGEST_ADDEND_BITS:
            raise InputError(
                f"accelerator '{array.name}' would add numbers of {needed} bits with "
                f"'{family.name}', {LARGEST_ADDEND_BITS} are possible: align in the PE, or take "
                "fewer lanes, guard or mantissa bits"
            )


def machine_terms(array: AcceleratorConfig, family: FormatFamily) -> TermTable:
    """Terms of ``family`` on an accelerator; of every level it can form if programmable.

    Of a multiplier PE one digit per level, with its sign apart where activations have one.
    """
    if array.pe == "multiplier":
        aligned_inside = array.is_aligned and array.floating.alignment == "pe"
        return multiplier_terms(family, "magnitude" if aligned_inside else "signed")
    slots = None if array.slots == "auto" else array.slots
    terms = family_terms(family, lane_exponent_bits=array.lane_exponent_bits, slots=slots)
    return reachable_terms(terms) if array.programmable else terms


def step_terms(array: AcceleratorConfig, family: FormatFamily) -> TermTable | None:
    """The term table that a PE steps through; None where it takes weights whole."""
    return None if array.pe == "multiplier" else machine_terms(array, family)


def worst_case_widths(
    accelerator: AcceleratorConfig, family: FormatFamily, *, group_size: int, k: int
) -> tuple[int, int]:
    """Widths ``(P_I, P_O)`` that hold for all weights of ``family`` and K up to ``k``."""
    if accelerator.is_aligned:
        return accelerator.floating.mantissa_bits, accelerator.floating.outer_mantissa_bits
    terms = machine_terms(accelerator, family)
    level = max(map(abs, terms.terms)) if accelerator.programmable else family.max_magnitude
    largest = max(abs(value) for value in activation_range(accelerator))
    inner = min(group_size, k) * (level + terms.worst_escape) * largest
    zero_points = accelerator.zero_point_bits
    corrected = level + (1 << (zero_points - 1) if zero_points else 0)
    scale = accelerator.scale
    outer = k * corrected * largest * largest_scale(scale)
    return inner.bit_length() + 1, outer.bit_length() + 1


def resolve_machine(
    accelerator: AcceleratorConfig,
    family: FormatFamily,
    inner_bits: int,
    outer_bits: int,
    *,
    group_inputs: int = 0,
) -> Machine:
    """The machine whose ``auto`` widths are ``inner_bits`` and ``outer_bits``."""
    inner, outer = accelerator.inner_accumulator.bits, accelerator.outer_accumulator.bits
    if accelerator.is_aligned:
        inner = accelerator.floating.mantissa_bits
        outer = accelerator.floating.outer_mantissa_bits
    return Machine(
        accelerator=accelerator,
        family=family,
        inner_bits=inner_bits if inner == "auto" else inner,
        outer_bits=outer_bits if outer == "auto" else outer,
        group_inputs=group_inputs if accelerator.zero_point_bits else 0,
    )
