"""The machine in time: cycles, causes of stalls, activity."""

from .activity import Activity, gemm_activity
from .array import CycleReport, Gaps, Rate, Rates, simulate_gemm, trace_gemm
from .memory import memory_rates
from .results import STALLS, LayerTiming, PhaseTiming, Roofline, Traffic, WorkloadTiming
from .trace import Trace
from .workload import JOB_GAP_CYCLES, simulate_workload

__all__ = [
    "JOB_GAP_CYCLES",
    "STALLS",
    "Activity",
    "CycleReport",
    "Gaps",
    "LayerTiming",
    "PhaseTiming",
    "Rate",
    "Rates",
    "Roofline",
    "Trace",
    "Traffic",
    "WorkloadTiming",
    "gemm_activity",
    "memory_rates",
    "simulate_gemm",
    "simulate_workload",
    "trace_gemm",
]
