"""The golden model."""

from .gemm import GoldenResult, golden_gemm
from .rescale import rescale

__all__ = ["GoldenResult", "golden_gemm", "rescale"]
