"""The machine in time: cycles, causes of stalls, activity."""

from .activity import Activity, gemm_activity
from .array import CycleReport, Gaps, Rate, Rates, simulate_gemm, trace_gemm
from .model import HOST_WORK, LayerTiming, ModelTiming, array_linears, simulate_model

__all__ = [
    "HOST_WORK",
    "Activity",
    "CycleReport",
    "Gaps",
    "LayerTiming",
    "ModelTiming",
    "Rate",
    "Rates",
    "array_linears",
    "gemm_activity",
    "simulate_gemm",
    "simulate_model",
    "trace_gemm",
]
