"""What an accelerator configuration may say: the array, its arithmetic, its optional stages."""

from dataclasses import dataclass
from typing import Literal

from .errors import InputError, check_range

AccumulatorMode = Literal["wrap", "saturate", "flag"]
#: optional pipeline registers, in the order in which a slot passes them
PipelineStage = Literal["operands", "products", "shift"]
#: largest shift of an E4M3 scale: exponent fields 1..15 (0 is as 1, without the hidden bit)
E4M3_SHIFT = 14
E4M3_SIGNIFICAND_BITS = 4


@dataclass(frozen=True, kw_only=True)
class AccumulatorConfig:
    """One accumulator stage."""

    #: width in bits, or ``auto`` for the smallest proved width
    bits: int | Literal["auto"] = "auto"
    #: what happens when a step's exact sum leaves the range
    mode: AccumulatorMode = "wrap"

    def __post_init__(self) -> None:
        if self.bits != "auto":
            check_range("bits", self.bits, 2, 64)


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """Group scales in hardware: what they are, and how the dequantizer multiplies by them.

    Every scale is an unsigned integer here: a ``uint8`` itself, ``2**shift`` for E8M0 (the shift
    counted from the smallest scale of the output channel), significand times ``2**shift`` for E4M3.
    """

    format: Literal["uint8", "e8m0", "e4m3"] = "uint8"
    #: powers of two by doubling, one cycle each, or by a shifter in front of the outer accumulator
    shift: Literal["serial", "barrel"] = "serial"
    #: largest E8M0 shift: binades that the scales of one output channel may span
    binades: int = 15

    def __post_init__(self) -> None:
        check_range("binades", self.binades, 1, 31)

    @property
    def code_bits(self) -> int:
        """Bits of a scale in a header beat."""
        return self.binades.bit_length() if self.format == "e8m0" else 8

    @property
    def largest_shift(self) -> int:
        """Largest power of two beside the significand."""
        return {"uint8": 0, "e8m0": self.binades, "e4m3": E4M3_SHIFT}[self.format]

    @property
    def significand_bits(self) -> int:
        """Bits of a scale without its shift."""
        return {"uint8": 8, "e8m0": 1, "e4m3": E4M3_SIGNIFICAND_BITS}[self.format]

    @property
    def integer_bits(self) -> int:
        """Bits of the largest scale."""
        return self.significand_bits + self.largest_shift

    @property
    def barrel_shift(self) -> int:
        """Largest shift of the dequantizer's shifter; 0 without one."""
        return self.largest_shift if self.shift == "barrel" else 0

    @property
    def serial_bits(self) -> int:
        """Bits by which the dequantizer multiplies one by one."""
        return self.integer_bits - self.barrel_shift


@dataclass(frozen=True, kw_only=True)
class RequantizerConfig:
    """Dyadic requantization of the outputs: multiplier and shift per output channel, to INT8."""

    #: bits of the unsigned multiplier
    multiplier_bits: int = 16
    #: bits of the shift
    shift_bits: int = 6

    def __post_init__(self) -> None:
        check_range("multiplier_bits", self.multiplier_bits, 1, 32)
        check_range("shift_bits", self.shift_bits, 1, 6)


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """An output-stationary array of bit-serial PEs (DESIGN: the machine)."""

    name: str
    #: PE rows, one token each
    rows: int
    #: PE columns, one output channel each
    cols: int
    #: products per PE and cycle
    lanes: int
    #: activation width in bits
    activation_bits: int = 8
    #: two's complement activations, or unsigned ones
    activation_signed: bool = True
    #: bits of each lane's own exponent
    lane_exponent_bits: int = 2
    #: cycles per chunk, or ``auto`` for the fewest that the formats need
    slots: int | Literal["auto"] = "auto"
    scale: ScaleConfig = ScaleConfig()
    #: bits of a group's zero point, two's complement; 0 without zero points
    zero_point_bits: int = 0
    #: special values can be written at run time
    programmable: bool = False
    #: rows that share a dequantizer, which serves them one after the other
    rows_per_dequantizer: int = 1
    #: how the lanes are summed: a chain of carries (small on FPGAs), or one expression of which
    #: synthesis makes a carry-save compressor (small in cells from 8 lanes on)
    adders: Literal["chain", "compressor"] = "chain"
    #: additional registers: between queues and decoders, between products and adders, between
    #: base shift and accumulator
    pipeline: tuple[PipelineStage, ...] = ()
    inner_accumulator: AccumulatorConfig = AccumulatorConfig()
    outer_accumulator: AccumulatorConfig = AccumulatorConfig()
    #: INT8 outputs with static scales; without it the outer accumulators come out as they are
    requantizer: RequantizerConfig | None = None
    #: beats that wait between each input stream and the array
    queue_beats: int = 4
    clock_mhz: float = 500.0

    def __post_init__(self) -> None:
        check_range("rows", self.rows, 1, 256)
        check_range("cols", self.cols, 1, 256)
        check_range("lanes", self.lanes, 1, 64)
        check_range("activation_bits", self.activation_bits, 4, 8)
        check_range("lane_exponent_bits", self.lane_exponent_bits, 1, 6)
        check_range("zero_point_bits", self.zero_point_bits, 0, 8)
        check_range("queue_beats", self.queue_beats, 2, 1024)
        check_range("clock_mhz", self.clock_mhz, 1, 5000)
        if self.slots != "auto":
            check_range("slots", self.slots, 1, 4)
        if self.rows_per_dequantizer < 1 or self.rows % self.rows_per_dequantizer:
            raise InputError(
                f"rows_per_dequantizer is {self.rows_per_dequantizer}, it must divide the "
                f"{self.rows} rows"
            )
        if len(set(self.pipeline)) < len(self.pipeline):
            raise InputError(f"pipeline names a stage twice: {', '.join(self.pipeline)}")

    @property
    def activation_range(self) -> tuple[int, int]:
        """Smallest and largest activation that the input port can carry."""
        if not self.activation_signed:
            return 0, (1 << self.activation_bits) - 1
        half = 1 << (self.activation_bits - 1)
        return -half, half - 1

    @property
    def scale_pass_cycles(self) -> int:
        """Cycles of one dequantizer for one row's group: zero point bits, then scale bits."""
        return self.zero_point_bits + self.scale.serial_bits
