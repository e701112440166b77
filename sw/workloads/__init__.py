"""What is to be multiplied: the GEMMs of a model or a list, phase by phase."""

from .workload import Gemm, HostWork, Operand, Workload

__all__ = ["Gemm", "HostWork", "Operand", "Workload"]
