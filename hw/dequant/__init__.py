"""From group sums to outputs."""

from .serial import SerialDequantizer

__all__ = ["SerialDequantizer"]
