"""What tests build besides presets: families with odd corners, and a small accelerator."""

from configs.schema import AcceleratorConfig, AccumulatorConfig
from sw.compile import Machine
from sw.formats import FormatFamily, NumberFormat, get_family

#: one slot, and a code without a level
TERNARY = FormatFamily(
    name="one_slot",
    members=(NumberFormat(name="one_slot", bits=2, levels=(0, 1, None, -1), source="one slot"),),
)
#: a format id that names no member
THREE = FormatFamily(name="three", members=get_family("bitmod_fp3").members[:3])


def small_machine() -> Machine:
    """2 x 2 array whose accumulators overflow now and then in random jobs."""
    return Machine(
        accelerator=AcceleratorConfig(
            name="bench",
            rows=2,
            cols=2,
            lanes=2,
            inner_accumulator=AccumulatorConfig(bits=13, mode="saturate"),
            outer_accumulator=AccumulatorConfig(bits=19, mode="flag"),
        ),
        family=get_family("bitmod_fp4"),
        inner_bits=13,
        outer_bits=19,
    )
