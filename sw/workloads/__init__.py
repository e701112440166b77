"""What is to be multiplied: the GEMMs of a model or a list, phase by phase."""

from .counts import (
    bits_with_scales,
    gemm_bytes,
    kv_bytes_read,
    kv_cache_bytes,
    macs_by_operand,
    weight_bytes,
    weight_elements,
)
from .families import FAMILIES
from .lists import read_gemms
from .shapes import TransformerShape, read_shape
from .transformer import model_workload
from .workload import Gemm, HostWork, Operand, Workload

__all__ = [
    "FAMILIES",
    "Gemm",
    "HostWork",
    "Operand",
    "TransformerShape",
    "Workload",
    "bits_with_scales",
    "gemm_bytes",
    "kv_bytes_read",
    "kv_cache_bytes",
    "macs_by_operand",
    "model_workload",
    "read_gemms",
    "read_shape",
    "weight_bytes",
    "weight_elements",
]
