"""Accelerators of the literature beside each other on one workload.

Those with RTL here are timed by the simulator, which tests hold to that RTL cycle for cycle; the
others by a formula that nothing checks (:mod:`sim.analytic`). Each result says which it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.accelerator import AcceleratorConfig
from configs.analytic import AnalyticConfig
from configs.errors import InputError
from configs.memory import MemoryConfig
from configs.schema import LayerQuantization, load_axis
from sim import simulate_workload
from sim.analytic import simulate_analytic
from sim.results import WorkloadTiming
from sw.compile import Machine, check_recipe_formats, resolve_machine, worst_case_widths
from sw.quantize.recipe import group_length, machine_family
from sw.workloads import Workload, bits_with_scales

GROUP_SIZE = 128
#: of a group scale of an analytic baseline
SCALE_BITS = 8


@dataclass(frozen=True, kw_only=True)
class Competitor:
    """One accelerator with its weights.

    Attributes
    ----------
    name : in the table.
    array, decode_array : accelerator presets, of prefill and decode; the papers take other shapes
        of the array for decode, as if it could be rearranged.
    format : of the weights, groups of :data:`GROUP_SIZE`.
    """

    name: str
    array: str
    decode_array: str
    format: str


@dataclass(frozen=True, kw_only=True)
class AnalyticCompetitor:
    """One analytic baseline with the widths of its operands."""

    name: str
    baseline: str
    weight_bits: int
    activation_bits: int


#: the first is what the others are compared with
COMPARED: tuple[Competitor | AnalyticCompetitor, ...] = (
    Competitor(
        name="FP16",
        array="paper_fp16_24x32",
        decode_array="paper_fp16_12x64",
        format="float16",
    ),
    Competitor(
        name="FP16 x INT8",
        array="paper_int8_32x32",
        decode_array="paper_int8_16x64",
        format="int8",
    ),
    Competitor(
        name="ANT", array="paper_ant_32x32", decode_array="paper_ant_16x16x4", format="ant4"
    ),
    Competitor(
        name="OliVe",
        array="paper_olive_32x18x2",
        decode_array="paper_olive_16x36x2",
        format="olive4",
    ),
    *(
        Competitor(
            name="BitMoD",
            array="paper_bitmod_32x32x4",
            decode_array="paper_bitmod_16x64x4",
            format=name,
        )
        for name in ("int6", "bitmod_fp4", "bitmod_fp3")
    ),
    Competitor(
        name="BitMoD, INT8 activations",
        array="bitmod_32x32x4",
        decode_array="bitmod_32x32x4",
        format="bitmod_fp4",
    ),
    AnalyticCompetitor(
        name="Bit Fusion", baseline="bitfusion_16x32", weight_bits=8, activation_bits=8
    ),
    AnalyticCompetitor(
        name="Bit Fusion", baseline="bitfusion_16x32", weight_bits=4, activation_bits=8
    ),
    AnalyticCompetitor(name="BISMO", baseline="bismo_8x8x256", weight_bits=4, activation_bits=8),
    AnalyticCompetitor(
        name="ANT's own array", baseline="ant_4bit_64x64", weight_bits=4, activation_bits=4
    ),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one competitor takes; without the phase its cycles are None.

    Attributes
    ----------
    weights, activations : formats.
    bits_per_weight : as they are stored, shares of scales and format numbers included.
    arrays : ``rows x cols x lanes`` of prefill and decode.
    pes : rows times columns of the prefill's array; of an analytic baseline times lanes.
    peak_macs_per_cycle : of the prefill's array.
    verified : whether bitsmith's own RTL takes exactly these cycles.
    prefill_cycles, decode_step_cycles : of the prefill, and of a decode step on average.
    """

    name: str
    verified: bool
    weights: str
    activations: str
    bits_per_weight: float
    arrays: tuple[str, str]
    pes: int
    peak_macs_per_cycle: float
    clock_mhz: float
    prefill_cycles: int | None
    decode_step_cycles: float | None

    @property
    def known(self) -> str:
        """How the cycles are known, in words."""
        return "RTL" if self.verified else "analytic, not verified"

    def seconds(self, cycles: float | None) -> float | None:
        """Time of ``cycles`` at its own clock."""
        return None if cycles is None else cycles / (self.clock_mhz * 1e6)

    @property
    def prefill_s(self) -> float | None:
        """Time of the prefill."""
        return self.seconds(self.prefill_cycles)

    @property
    def decode_step_s(self) -> float | None:
        """Time of a decode step."""
        return self.seconds(self.decode_step_cycles)


def compare_baselines(workload: Workload, memory: MemoryConfig | None) -> list[Result]:
    """Every competitor on the workload, in the order of :data:`COMPARED`.

    Parameters
    ----------
    workload : its attention is the host's.
    memory : behind all of them; None never waits.

    Raises
    ------
    InputError : a product of the workload has no weights.
    """
    for gemm in (*workload.prefill, *workload.decode):
        if gemm.operand != "weights":
            raise InputError(
                f"workload '{workload.name}': '{gemm.name}' multiplies by {gemm.operand}, "
                "baselines are compared on weights: leave attention to the host"
            )
    return [
        _analytic(one, workload, memory)
        if isinstance(one, AnalyticCompetitor)
        else _on_rtl(one, workload, memory)
        for one in COMPARED
    ]


def competitor_machine(array: AcceleratorConfig, name: str, layers: Mapping[str, int]) -> Machine:
    """The machine of an accelerator for weights of format ``name``, widths for any of them.

    Parameters
    ----------
    layers : K by layer.
    """
    check_recipe_formats(array, [name])
    family, recipe = machine_family(name), LayerQuantization(format=name, group_size=GROUP_SIZE)
    group = max(group_length(recipe, k) for k in layers.values())
    widths = worst_case_widths(array, family, group_size=group, k=max(layers.values()))
    return resolve_machine(array, family, *widths, group_inputs=group)


def _on_rtl(one: Competitor, workload: Workload, memory: MemoryConfig | None) -> Result:
    layers = {g.name: g.k for g in (*workload.prefill, *workload.decode)}
    recipe = LayerQuantization(format=one.format, group_size=GROUP_SIZE)
    groups = {name: group_length(recipe, k) for name, k in layers.items()}
    arrays = [load_axis("accelerator", name) for name in (one.array, one.decode_array)]
    machines = [competitor_machine(array, one.format, layers) for array in arrays]
    timings = [
        simulate_workload(machine, part, group_size=groups, memory=memory)
        for machine, part in zip(machines, _phases(workload), strict=True)
        if part is not None
    ]
    first = arrays[0]
    floats = first.activation_format if first.has_floats else f"int{first.activation_bits}"
    return Result(
        name=one.name,
        weights=one.format,
        activations=floats,
        bits_per_weight=stored_bits(machines[0], workload, groups),
        arrays=(_shape(arrays[0]), _shape(arrays[1])),
        pes=first.rows * first.cols,
        peak_macs_per_cycle=first.rows * first.cols * first.lanes / machines[0].slots,
        clock_mhz=first.clock_mhz,
        **_cycles(timings, workload),
    )


def _analytic(one: AnalyticCompetitor, workload: Workload, memory: MemoryConfig | None) -> Result:
    config: AnalyticConfig = load_axis("baseline", one.baseline)
    stored = bits_with_scales(one.weight_bits, group_size=GROUP_SIZE, scale_bits=SCALE_BITS)
    timing = simulate_analytic(
        config,
        workload,
        weight_bits=float(stored),
        activation_bits=one.activation_bits,
        kv_bits=one.activation_bits,
        memory=memory,
    )
    return Result(
        name=one.name,
        weights=f"int{one.weight_bits}",
        activations=f"int{one.activation_bits}",
        bits_per_weight=float(stored),
        arrays=(_shape(config), _shape(config)),
        pes=config.rows * config.cols * config.lanes,
        peak_macs_per_cycle=config.peak_macs_per_cycle(one.weight_bits, one.activation_bits),
        clock_mhz=config.clock_mhz,
        **_cycles([timing], workload),
    )


def _shape(array: AcceleratorConfig | AnalyticConfig) -> str:
    return f"{array.rows}x{array.cols}x{array.lanes}"


def _phases(workload: Workload) -> tuple[Workload | None, Workload | None]:
    """Prefill and decode, each by itself; None for one that is not there."""
    prefill = replace(workload, decode=(), decode_steps=0) if workload.prefill else None
    return prefill, replace(workload, prefill=()) if workload.decode else None


def _cycles(timings: Sequence[WorkloadTiming], workload: Workload) -> dict[str, Any]:
    """Cycles of both phases, and whether all of them are verified."""
    prefill = sum(timing.prefill_cycles for timing in timings)
    decode = sum(timing.decode_cycles for timing in timings)
    steps = workload.decode_steps
    return {
        "verified": all(phase.verified for timing in timings for phase in timing.phases),
        "prefill_cycles": prefill if workload.prefill else None,
        "decode_step_cycles": decode / steps if steps else None,
    }


def stored_bits(machine: Machine, workload: Workload, groups: Mapping[str, int]) -> float:
    """Bits of a weight, shares of scales, format ids and zero points included, padding not."""
    array, family = machine.accelerator, machine.family
    header = array.scale.code_bits + family.id_bits + array.zero_point_bits
    bits = weights = 0
    layers = workload.prefill or workload.decode
    for gemm in (gemm for gemm in layers if gemm.operand == "weights"):
        bits += gemm.matrices * gemm.n * -(-gemm.k // groups[gemm.name]) * header
        weights += gemm.elements
    return family.stored_bits + bits / weights
