"""What can be asked of a point: names, units, and which way is better."""

from dataclasses import dataclass
from typing import Literal

from ..report.units import si, significant

#: what has to be computed for a metric
Source = Literal["machine", "timing", "cost", "fpga", "quality"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of a point.

    Attributes
    ----------
    unit : as shown; the name ends in it.
    better : ``less`` or ``more``; None where it is no objective.
    source : what it comes from.
    interval : whether the table has columns ``NAME_low`` and ``NAME_high`` too.
    text : one phrase for tables and reports.
    """

    name: str
    unit: str
    better: Literal["less", "more"] | None
    source: Source
    text: str
    interval: bool = False


_ALL = (
    Metric(name="prefill_s", unit="s", better="less", source="timing",
           text="time of the prefill"),
    Metric(name="s_per_token", unit="s", better="less", source="timing",
           text="mean time of a decode step"),
    Metric(name="tokens_per_s", unit="1/s", better="more", source="timing",
           text="decoded tokens per second, all sequences of the batch"),
    Metric(name="latency_s", unit="s", better="less", source="timing",
           text="prefill and all decode steps"),
    Metric(name="utilization", unit="1", better="more", source="timing",
           text="useful products over the array's peak, whole workload"),
    Metric(name="dram_bytes", unit="bytes", better="less", source="timing",
           text="bytes over the DRAM interface, whole workload"),
    Metric(name="energy_per_token_j", unit="J", better="less", source="cost", interval=True,
           text="energy of a decode step per sequence, on chip and DRAM"),
    Metric(name="prefill_j", unit="J", better="less", source="cost", interval=True,
           text="energy of the prefill, on chip and DRAM"),
    Metric(name="energy_j", unit="J", better="less", source="cost", interval=True,
           text="energy of the whole workload, on chip and DRAM"),
    Metric(name="on_chip_j", unit="J", better="less", source="cost", interval=True,
           text="energy of the whole workload on chip"),
    Metric(name="edp_js", unit="J s", better="less", source="cost",
           text="energy times latency of the whole workload"),
    Metric(name="area_mm2", unit="mm2", better="less", source="cost", interval=True,
           text="area of cells and memory macros"),
    Metric(name="power_w", unit="W", better="less", source="cost",
           text="mean on-chip power over the whole workload"),
    Metric(name="max_mhz", unit="MHz", better="more", source="cost", interval=True,
           text="clock that the critical path allows"),
    Metric(name="luts", unit="LUTs", better="less", source="fpga", interval=True,
           text="lookup tables on the device that a constraint names"),
    Metric(name="flip_flops", unit="flip-flops", better="less", source="fpga",
           text="flip-flops on that device"),
    Metric(name="block_rams", unit="blocks", better="less", source="fpga",
           text="block RAMs on that device"),
    Metric(name="dsps", unit="blocks", better="less", source="fpga",
           text="multiplier blocks on that device"),
    Metric(name="bits_per_weight", unit="bits", better="less", source="machine",
           text="stored bits of a weight, scales included"),
    Metric(name="inner_bits", unit="bits", better="less", source="machine",
           text="inner accumulator width, proved safe"),
    Metric(name="outer_bits", unit="bits", better="less", source="machine",
           text="outer accumulator width, proved safe"),
    Metric(name="bits_per_byte", unit="bits", better="less", source="quality",
           text="held-out bits per byte, weights and activations quantized; measured"),
    Metric(name="perplexity", unit="1", better="less", source="quality",
           text="held-out perplexity; measured, or quoted where the weights cannot be had"),
    Metric(name="quality_quoted", unit="1", better=None, source="quality",
           text="1 where quality is a published figure, 0 where it was measured"),
)  # fmt: skip
METRICS = {metric.name: metric for metric in _ALL}
#: units that take an SI prefix
_PREFIXED = ("s", "J", "J s", "W", "bytes")


def shown(name: str, value: float) -> str:
    """A metric's value with its unit, as people read it: ``102 µJ``."""
    unit = METRICS[name].unit
    if unit in _PREFIXED:
        return si(value, "B" if unit == "bytes" else unit)
    if unit == "1/s":
        return f"{significant(value)}/s"
    return f"{significant(value)} {'' if unit == '1' else unit}".strip()
