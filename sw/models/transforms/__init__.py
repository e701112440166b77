"""Rewritings of a Llama-class model that keep the function it computes."""

from .awq import awq
from .fold import Rewritten, fuse_norms
from .hadamard import hadamard, hadamard_matrix, rotate_stream, rotate_values
from .smooth import os_plus, smoothquant

__all__ = [
    "Rewritten",
    "awq",
    "fuse_norms",
    "hadamard",
    "hadamard_matrix",
    "os_plus",
    "rotate_stream",
    "rotate_values",
    "smoothquant",
]
