"""Quantizing to given accumulator widths: A2Q, A2Q+ and AXE, after training."""

from .budgets import a2q_budget, a2q_plus_budget, per_sign_budget, register_limit
from .guarantee import WidthCheck, check_matrix, check_widths, guarantee, matrix_bounds
from .layer import FORMATS, NoRoom, check_narrow, least_bits, quantize_narrow

__all__ = [
    "FORMATS",
    "NoRoom",
    "WidthCheck",
    "a2q_budget",
    "a2q_plus_budget",
    "check_matrix",
    "check_narrow",
    "check_widths",
    "guarantee",
    "least_bits",
    "matrix_bounds",
    "per_sign_budget",
    "quantize_narrow",
    "register_limit",
]
