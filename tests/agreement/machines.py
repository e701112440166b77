"""Machines that the agreement tests build: few Verilated models, many jobs on each."""

from configs.schema import AcceleratorConfig, AccumulatorConfig
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
) -> Machine:
    """A machine by its parameters; ``modes`` and ``widths`` are (inner, outer)."""
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
    )
    return Machine(
        accelerator=accelerator,
        family=get_family(family),
        inner_bits=widths[0],
        outer_bits=widths[1],
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
