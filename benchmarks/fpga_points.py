"""What ``python -m benchmarks.fpga`` places on an FPGA: arrays with serial PEs and multipliers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from configs.accelerator import AcceleratorConfig, PipelineStage
from configs.schema import load_axis
from sw.compile import Machine, resolve_machine, worst_case_widths
from sw.formats import get_family

#: rows, columns and lanes of the arrays that are compared
SHAPE = (4, 4, 8)
#: accumulators hold every sum of such groups and channels
GROUP_SIZE, INPUTS = 128, 4096
#: frequency that nextpnr aims at, the same for all
FREQ_MHZ = 150.0
TARGET = "ecp5-85k"
#: complete accelerators, with int4 weights: preset, target, group size and largest K
WHOLE = (("ecp5_6x8x8", TARGET, 128, 3840), ("ice40_2x2x2", "ice40-up5k", 32, 256))
_STAGES: tuple[PipelineStage, ...] = ("operands", "sums", "control")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One design.

    Attributes
    ----------
    weights : what it is compared for, such as ``"W4A8"``.
    name : what its PEs are.
    machine : the array.
    dsp : multiplier blocks may be used.
    target : where it is placed.
    gemm : M, N, K and group size of a workload that fits its buffers, of complete accelerators.
    """

    weights: str
    name: str
    machine: Machine
    dsp: bool = False
    target: str = TARGET
    gemm: tuple[int, int, int, int] | None = None


def machine(
    family: str, array: AcceleratorConfig, *, group_size: int = GROUP_SIZE, k: int = INPUTS
) -> Machine:
    """A machine whose accumulators hold whatever the weights are."""
    formats = get_family(family)
    widths = worst_case_widths(array, formats, group_size=group_size, k=k)
    return resolve_machine(array, formats, *widths)


def _array(**options: object) -> AcceleratorConfig:
    rows, cols, lanes = SHAPE
    base = AcceleratorConfig(
        name="measured",
        rows=rows,
        cols=cols,
        lanes=lanes,
        rows_per_dequantizer=rows,
        lane_exponent_bits=1,
        pipeline=_STAGES,
        clock_mhz=FREQ_MHZ,
    )
    return replace(base, **options)  # type: ignore[arg-type]


def points() -> Iterator[Point]:
    """Every array of the table, serial PEs before multipliers."""
    multiplier = _array(pe="multiplier")
    for weights, serial, plain in (
        ("W8A8", ("int8",), "int8"),
        ("W4A8", ("bitmod_fp4", "int4"), "int4"),
        ("W3A8", ("bitmod_fp3",), "bitmod_fp3"),
        ("W2A8, ternary", ("ternary",), "ternary"),
    ):
        for family in serial:
            # one slot less than with the formats' exponents in one bit
            bits = 2 if family == "bitmod_fp4" else 1
            array = _array(lane_exponent_bits=bits)
            yield Point(weights=weights, name="serial", machine=machine(family, array))
        built = machine(plain, multiplier)
        yield Point(weights=weights, name="multiplier, LUTs", machine=built)
        if weights in ("W8A8", "W4A8"):
            yield Point(weights=weights, name="multiplier, DSPs", machine=built, dsp=True)


def whole() -> Iterator[Point]:
    """Complete accelerators: bus, buffers, controller."""
    for preset, target, group_size, k in WHOLE:
        built = machine("int4", load_axis("accelerator", preset), group_size=group_size, k=k)
        gemm = (256, 1024, k, group_size)
        yield Point(weights="W4A8", name=preset, machine=built, target=target, gemm=gemm)
