"""A figure of cost or speed that says where it comes from."""

from dataclasses import dataclass
from typing import Literal

from .errors import InputError, check_range


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure, where it comes from, and between which limits it lies (both or neither)."""

    value: float
    kind: Literal["measured", "fitted", "quoted"]
    source: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        check_range("value", self.value, 0, 1e12)
        if not self.source.strip():
            raise InputError("source is empty: every figure says where it comes from")
        if (self.low is None) != (self.high is None):
            raise InputError("low and high go together: one of them is missing")
        if self.low is not None and self.high is not None:
            check_range("low", self.low, 0, self.value)
            check_range("high", self.high, self.value, 1e12)
