"""What an accelerator configuration may say: the array, its arithmetic, its optional stages."""

from dataclasses import dataclass, fields
from typing import Literal

from .errors import InputError, check_range

AccumulatorMode = Literal["wrap", "saturate", "flag"]
#: optional pipeline registers, in the order in which a slot passes them
PipelineStage = Literal["operands", "products", "sums", "shift", "control"]
#: floating-point activations, named as in ``sw.formats``
FloatFormat = Literal["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
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
class FloatConfig:
    """What a machine does with floating-point activations (docs/numerics.md, "Floating point").

    ``aligned`` rounds: the lanes of a chunk to the largest exponent among them, every step of an
    accumulator to its mantissa. ``exact`` turns activations into fixed-point numbers at the edge of
    the array and accumulates all bits (Kulisch); the settings below have no use then.
    """

    datapath: Literal["aligned", "exact"] = "aligned"
    #: where a chunk is aligned: activations once per row, or products in every PE (BitMoD)
    alignment: Literal["row", "pe"] = "row"
    #: bits kept below the significand of the chunk's largest number
    guard_bits: int = 3
    rounding: Literal["truncate", "nearest_even"] = "nearest_even"
    #: inner accumulator's mantissa, two's complement
    mantissa_bits: int = 16
    #: its exponent only grows, or is the smallest one after every step, rounded once (as IEEE 754)
    normalization: Literal["right", "full"] = "right"
    #: outer accumulator's mantissa, two's complement
    outer_mantissa_bits: int = 25

    def __post_init__(self) -> None:
        check_range("guard_bits", self.guard_bits, 0, 16)
        check_range("mantissa_bits", self.mantissa_bits, 4, 40)
        check_range("outer_mantissa_bits", self.outer_mantissa_bits, 4, 48)
        if self.datapath == "exact":
            default = FloatConfig()
            others = (f.name for f in fields(self) if f.name != "datapath")
            for name in others:
                if getattr(self, name) != getattr(default, name):
                    raise InputError(f"datapath exact rounds nothing: leave {name} out")


@dataclass(frozen=True, kw_only=True)
class BufferConfig:
    """Double-buffered tiles of weights and activations in block RAM.

    A tile of weights is ``cols`` output channels, a tile of activations ``rows`` tokens, both over
    all of K. The operand that ``stationary`` names crosses its stream once: a tile of it stays in
    its buffer while all tiles of the other operand pass by.
    """

    #: beats in each half of the weight buffer: a tile's chunks and group headers
    weight_beats: int
    #: beats in each half of the activation buffer: a tile's chunks
    activation_beats: int
    stationary: Literal["weights", "activations"] = "weights"

    def __post_init__(self) -> None:
        check_range("weight_beats", self.weight_beats, 2, 1 << 20)
        check_range("activation_beats", self.activation_beats, 1, 1 << 20)


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Widths of the AXI4-Streams; ``auto`` is as wide as a beat of the array.

    Where a stream is narrower, a beat takes several words, low bits first; where it is wider, the
    upper bits of each word are left.
    """

    weight_bits: int | Literal["auto"] = "auto"
    activation_bits: int | Literal["auto"] = "auto"
    result_bits: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "result_bits"):
            bits = getattr(self, name)
            if bits != "auto":
                check_range(name, bits, 8, 4096)
                if bits % 8:
                    raise InputError(f"{name} is {bits}, a stream takes whole bytes")


@dataclass(frozen=True, kw_only=True)
class AcceleratorConfig:
    """An output-stationary array of PEs (DESIGN: the machine)."""

    name: str
    #: PE rows, one token each
    rows: int
    #: PE columns, one output channel each
    cols: int
    #: products per PE and cycle
    lanes: int
    #: how a PE uses a weight: term by term, one slot each, or whole, with a multiplier
    pe: Literal["serial", "multiplier"] = "serial"
    #: integers of ``activation_bits``, or floating-point numbers
    activation_format: Literal["integer"] | FloatFormat = "integer"
    #: arithmetic on floating-point activations
    floating: FloatConfig = FloatConfig()
    #: width of integer activations
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
    #: additional registers: between queues and decoders, between products and adders, behind the
    #: sums of two lanes, between base shift and accumulator, in front of what all PEs share
    pipeline: tuple[PipelineStage, ...] = ()
    inner_accumulator: AccumulatorConfig = AccumulatorConfig()
    outer_accumulator: AccumulatorConfig = AccumulatorConfig()
    #: INT8 outputs with static scales; without it the outer accumulators come out as they are
    requantizer: RequantizerConfig | None = None
    #: beats that wait between each input stream and the array
    queue_beats: int = 4
    #: tiles kept on chip; without buffers every tile pass reads its operands from the streams
    buffers: BufferConfig | None = None
    streams: StreamConfig = StreamConfig()
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
        self._check_multiplier()
        inputs = (self.streams.weight_bits, self.streams.activation_bits)
        if self.buffers is None and inputs != ("auto", "auto"):
            raise InputError("streams: weight_bits and activation_bits need buffers")
        if self.has_floats:
            self._check_floats()
        elif self.floating != FloatConfig():
            raise InputError("floating is given, but activation_format is integer")

    def _check_multiplier(self) -> None:
        """Settings that only make sense for weights taken term by term."""
        if self.pe == "multiplier" and (self.slots not in ("auto", 1) or self.programmable):
            raise InputError("a multiplier PE has 1 slot and no programmable special values")

    def _check_floats(self) -> None:
        """Settings that floating-point activations exclude."""
        if self.zero_point_bits or self.requantizer is not None:
            raise InputError(
                f"activation_format {self.activation_format}: neither zero_point_bits nor a "
                "requantizer is possible"
            )
        if not self.activation_signed or self.activation_bits != 8:
            raise InputError(
                f"activation_format {self.activation_format} has its own width and sign: "
                "leave activation_bits and activation_signed out"
            )
        stages = (self.inner_accumulator, self.outer_accumulator)
        if self.is_aligned and any(stage != AccumulatorConfig() for stage in stages):
            raise InputError(
                "inner_accumulator and outer_accumulator belong to integer and exact datapaths: "
                "set mantissa_bits and outer_mantissa_bits of floating instead"
            )

    @property
    def has_floats(self) -> bool:
        """Whether activations are floating-point numbers."""
        return self.activation_format != "integer"

    @property
    def is_aligned(self) -> bool:
        """Whether sums are rounded: floating-point activations, not accumulated exactly."""
        return self.has_floats and self.floating.datapath == "aligned"

    @property
    def integer_range(self) -> tuple[int, int]:
        """Smallest and largest integer activation that the input port can carry."""
        if not self.activation_signed:
            return 0, (1 << self.activation_bits) - 1
        half = 1 << (self.activation_bits - 1)
        return -half, half - 1

    @property
    def scale_pass_cycles(self) -> int:
        """Cycles of one dequantizer for one row's group: zero point bits, then scale bits."""
        return self.zero_point_bits + self.scale.serial_bits
