"""Machines that the agreement tests build: few Verilated models, many jobs on each."""

from typing import Any

from configs.accelerator import (
    AcceleratorConfig,
    AccumulatorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from sw.compile import Machine
from sw.formats import get_family


def machine(
    rows: int,
    cols: int,
    lanes: int,
    family: str,
    *,
    modes: tuple[str, str] = ("wrap", "wrap"),
    widths: tuple[int, int] = (24, 40),
    activation_bits: int = 8,
    queue_beats: int = 4,
    lane_exponent_bits: int = 2,
    group_inputs: int = 49,
    **options: Any,
) -> Machine:
    """A machine by its parameters; ``modes`` and ``widths`` are (inner, outer).

    Further ``options`` are those of :class:`configs.accelerator.AcceleratorConfig`.
    """
    accelerator = AcceleratorConfig(
        name="test",
        rows=rows,
        cols=cols,
        lanes=lanes,
        activation_bits=activation_bits,
        lane_exponent_bits=lane_exponent_bits,
        queue_beats=queue_beats,
        inner_accumulator=AccumulatorConfig(mode=modes[0]),
        outer_accumulator=AccumulatorConfig(mode=modes[1]),
        **options,
    )
    return Machine(
        accelerator=accelerator,
        family=get_family(family),
        inner_bits=widths[0],
        outer_bits=widths[1],
        group_inputs=group_inputs if accelerator.zero_point_bits else 0,
    )


#: every family, mode and odd size once; narrow widths so that overflows really happen
FAST = {
    "4x4x4 bitmod_fp4": machine(4, 4, 4, "bitmod_fp4"),
    "2x3x5 int8 saturate/flag": machine(
        2, 3, 5, "int8", modes=("saturate", "flag"), widths=(15, 21), queue_beats=2
    ),
    "1x1x1 int4 flag/saturate": machine(
        1, 1, 1, "int4", modes=("flag", "saturate"), widths=(9, 12)
    ),
    "3x2x3 bitmod_fp3 saturate": machine(
        3, 2, 3, "bitmod_fp3", modes=("saturate", "saturate"), widths=(9, 13), activation_bits=6
    ),
    "1x5x7 int6 flag": machine(1, 5, 7, "int6", modes=("flag", "flag"), widths=(12, 18)),
}

E8M0_BARREL = ScaleConfig(format="e8m0", shift="barrel", binades=7)
E4M3_BARREL = ScaleConfig(format="e4m3", shift="barrel")
ALL_STAGES = ("operands", "products", "sums", "shift", "control")

#: every optional stage, some together
STAGES = {
    "unsigned activations": machine(
        2, 2, 3, "int4", activation_bits=5, activation_signed=False, widths=(11, 20)
    ),
    "special values": machine(
        2, 3, 2, "bitmod_fp4", programmable=True, modes=("flag", "wrap"), widths=(13, 40)
    ),
    "zero points, two rows a dequantizer": machine(
        4, 2, 2, "int4", zero_point_bits=5, rows_per_dequantizer=2, widths=(14, 40)
    ),
    "E8M0 by doubling": machine(
        2, 2, 4, "float4_e2m1fn", scale=ScaleConfig(format="e8m0"), widths=(18, 44)
    ),
    "E8M0 by shifter, one slot, all registers": machine(
        3,
        2,
        4,
        "ternary",
        scale=E8M0_BARREL,
        pipeline=ALL_STAGES,
        modes=("saturate", "saturate"),
        widths=(8, 14),
    ),
    "E4M3 by doubling, three rows a dequantizer": machine(
        3,
        2,
        2,
        "float4_e2m1fn",
        scale=ScaleConfig(format="e4m3"),
        rows_per_dequantizer=3,
        widths=(18, 50),
    ),
    "E4M3 by shifter, saturating": machine(
        2, 2, 2, "float4_e2m1fn", scale=E4M3_BARREL, modes=("wrap", "saturate"), widths=(18, 26)
    ),
    "registers, four base shifts": machine(2, 2, 2, "int8", pipeline=("shift", "products")),
    "operand register, three slots": machine(
        1, 2, 2, "bitmod_fp4", lane_exponent_bits=1, pipeline=("operands",)
    ),
    "sums of two lanes, control": machine(
        3, 2, 7, "bitmod_fp4", pipeline=("operands", "sums", "control")
    ),
    "carry-save compressor": machine(2, 2, 5, "int4", adders="compressor", pipeline=("products",)),
    "pairs in a compressor": machine(2, 2, 4, "olive4", adders="compressor"),
    "more slots than needed": machine(2, 2, 2, "int4", slots=3),
    "requantizer": machine(3, 3, 2, "int4", widths=(17, 24), requantizer=RequantizerConfig()),
    "everything": machine(
        4,
        3,
        2,
        "bitmod_fp4",
        activation_bits=6,
        activation_signed=False,
        programmable=True,
        zero_point_bits=3,
        rows_per_dequantizer=2,
        pipeline=ALL_STAGES,
        scale=E4M3_BARREL,
        requantizer=RequantizerConfig(multiplier_bits=12, shift_bits=5),
        modes=("saturate", "flag"),
        widths=(11, 26),
    ),
}

#: large enough for every random job
ROOMY = BufferConfig(weight_beats=250, activation_beats=130)
ROOMY_ACTIVATIONS = BufferConfig(weight_beats=250, activation_beats=130, stationary="activations")

#: tiles in block RAM, streams of all widths
BUFFERS = {
    "weights stay, full width": machine(4, 4, 4, "bitmod_fp4", buffers=ROOMY),
    "activations stay, narrow streams": machine(
        3,
        2,
        4,
        "bitmod_fp3",
        buffers=ROOMY_ACTIVATIONS,
        streams=StreamConfig(weight_bits=8, activation_bits=16, result_bits=8),
        modes=("flag", "saturate"),
        widths=(10, 16),
    ),
    "weights stay, narrow results": machine(
        2,
        3,
        5,
        "int8",
        buffers=ROOMY,
        streams=StreamConfig(weight_bits=24, activation_bits=64, result_bits=16),
        queue_beats=2,
    ),
    "activations stay, wide streams, one PE": machine(
        1,
        1,
        1,
        "int4",
        buffers=ROOMY_ACTIVATIONS,
        streams=StreamConfig(weight_bits=128, activation_bits=32, result_bits=64),
    ),
    "everything, buffered": machine(
        4,
        3,
        2,
        "bitmod_fp4",
        activation_bits=6,
        activation_signed=False,
        programmable=True,
        zero_point_bits=3,
        rows_per_dequantizer=2,
        pipeline=ALL_STAGES,
        scale=E4M3_BARREL,
        requantizer=RequantizerConfig(multiplier_bits=12, shift_bits=5),
        modes=("saturate", "flag"),
        widths=(11, 26),
        buffers=ROOMY,
        streams=StreamConfig(weight_bits=32, activation_bits=8, result_bits=16),
    ),
}
