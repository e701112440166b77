"""A machine: an accelerator configuration with its formats and accumulator widths resolved.

The stream layouts live here because packer and RTL must agree on them bit for bit.
"""

from dataclasses import dataclass

from configs.errors import InputError
from configs.schema import AcceleratorConfig
from sw.formats import FormatFamily, TermTable, family_terms


def round_up(value: int, multiple: int) -> int:
    """``value`` rounded up to a multiple."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Everything that generated hardware, golden model and simulator need to know.

    Parameters
    ----------
    accelerator : array shape, activation width, queues and accumulator modes.
    family : weight formats that the term decoders understand.
    inner_bits, outer_bits : accumulator widths, two's complement.

    Stream beats, element 0 in the least significant bits, padded with zeros to whole bytes:

    - weights, per tile and group: one *header* beat (``cols`` scales of ``scale_bits``, then
      ``cols`` format ids of ``id_bits``), then one beat per chunk (``cols`` x ``lanes`` codes);
    - activations: one beat per chunk (``rows`` x ``lanes`` activations);
    - results: one beat per row (``cols`` results, each sign-extended to ``result_bits``).
    """

    accelerator: AcceleratorConfig
    family: FormatFamily
    inner_bits: int
    outer_bits: int

    def __post_init__(self) -> None:
        if self.family.pairs and self.accelerator.lanes % 2:
            raise InputError(
                f"accelerator '{self.accelerator.name}' has {self.accelerator.lanes} lanes: "
                f"pairs of '{self.family.name}' need an even number"
            )

    @property
    def terms(self) -> TermTable:
        """Slots, base shifts and terms of the family on this PE."""
        return family_terms(self.family, lane_exponent_bits=self.accelerator.lane_exponent_bits)

    @property
    def header_bits(self) -> int:
        """Used bits of a header beat."""
        return self.accelerator.cols * (self.accelerator.scale_bits + self.family.id_bits)

    @property
    def chunk_bits(self) -> int:
        """Used bits of a weight chunk beat."""
        return self.accelerator.cols * self.accelerator.lanes * self.family.stored_bits

    @property
    def weight_beat_bits(self) -> int:
        """``s_axis_weights_tdata`` width."""
        return round_up(max(self.header_bits, self.chunk_bits), 8)

    @property
    def activation_beat_bits(self) -> int:
        """``s_axis_activations_tdata`` width."""
        array = self.accelerator
        return round_up(array.rows * array.lanes * array.activation_bits, 8)

    @property
    def result_bits(self) -> int:
        """Bits of one result inside a beat: the outer accumulator in whole bytes."""
        return round_up(self.outer_bits, 8)

    @property
    def result_beat_bits(self) -> int:
        """``m_axis_results_tdata`` width."""
        return self.accelerator.cols * self.result_bits

    @property
    def product_bits(self) -> int:
        """Width of the register between the accumulators: no overflow is possible."""
        return self.inner_bits + self.accelerator.scale_bits


def worst_case_widths(
    accelerator: AcceleratorConfig, family: FormatFamily, *, group_size: int, k: int
) -> tuple[int, int]:
    """Widths ``(P_I, P_O)`` that hold for all weights of ``family`` and K up to ``k``."""
    terms = family_terms(family, lane_exponent_bits=accelerator.lane_exponent_bits)
    magnitude = family.max_magnitude + terms.worst_escape
    largest = max(abs(value) for value in accelerator.activation_range)
    inner = min(group_size, k) * magnitude * largest
    scale = (1 << accelerator.scale_bits) - 1
    outer = k * family.max_magnitude * largest * scale
    return inner.bit_length() + 1, outer.bit_length() + 1


def resolve_machine(
    accelerator: AcceleratorConfig, family: FormatFamily, inner_bits: int, outer_bits: int
) -> Machine:
    """The machine whose ``auto`` widths are ``inner_bits`` and ``outer_bits``."""
    inner, outer = accelerator.inner_accumulator.bits, accelerator.outer_accumulator.bits
    return Machine(
        accelerator=accelerator,
        family=family,
        inner_bits=inner_bits if inner == "auto" else inner,
        outer_bits=outer_bits if outer == "auto" else outer,
    )
