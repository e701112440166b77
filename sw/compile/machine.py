"""A machine: an accelerator configuration with its formats and accumulator widths resolved.

The stream layouts live here because packer and RTL must agree on them bit for bit.
"""

from dataclasses import dataclass

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from sw.formats import FormatFamily, TermTable, family_terms, reachable_terms

from .scales import largest_scale

#: of a requantized output
REQUANTIZED_BITS = 8


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
    inner_bits, outer_bits : accumulator widths, two's complement.
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

    @property
    def terms(self) -> TermTable:
        """Slots, base shifts and terms: of the family, or of all it may be programmed to."""
        return machine_terms(self.accelerator, self.family)

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
        return array.rows * array.lanes * array.activation_bits

    @property
    def activation_beat_bits(self) -> int:
        """``s_axis_activations_tdata`` width."""
        return round_up(self.activation_chunk_bits, 8)

    @property
    def output_bits(self) -> int:
        """Bits of a result: of the outer accumulator, or of the requantizer's output."""
        return REQUANTIZED_BITS if self.accelerator.requantizer else self.outer_bits

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
        low, high = self.accelerator.activation_range
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
        """Width of the dequantizer's group sum, which doubles once per scale bit but the last."""
        return self.corrected_bits + self.accelerator.scale.serial_bits - 1


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
    machine_terms(array, family)


def machine_terms(array: AcceleratorConfig, family: FormatFamily) -> TermTable:
    """Terms of ``family`` on an accelerator; of every level it can form if programmable."""
    slots = None if array.slots == "auto" else array.slots
    terms = family_terms(family, lane_exponent_bits=array.lane_exponent_bits, slots=slots)
    return reachable_terms(terms) if array.programmable else terms


def worst_case_widths(
    accelerator: AcceleratorConfig, family: FormatFamily, *, group_size: int, k: int
) -> tuple[int, int]:
    """Widths ``(P_I, P_O)`` that hold for all weights of ``family`` and K up to ``k``."""
    terms = machine_terms(accelerator, family)
    level = max(map(abs, terms.terms)) if accelerator.programmable else family.max_magnitude
    largest = max(abs(value) for value in accelerator.activation_range)
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
    return Machine(
        accelerator=accelerator,
        family=family,
        inner_bits=inner_bits if inner == "auto" else inner,
        outer_bits=outer_bits if outer == "auto" else outer,
        group_inputs=group_inputs if accelerator.zero_point_bits else 0,
    )
