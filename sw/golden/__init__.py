"""The golden model."""

from .gemm import GoldenResult, golden_gemm

__all__ = ["GoldenResult", "golden_gemm"]
