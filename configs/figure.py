"""A figure of cost or speed that says where it comes from."""

from dataclasses import dataclass
from typing import Literal

from .errors import InputError, check_range


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure and where it comes from."""

    value: float
    kind: Literal["measured", "fitted", "quoted"]
    source: str

    def __post_init__(self) -> None:
        check_range("value", self.value, 0, 1e12)
        if not self.source.strip():
            raise InputError("source is empty: every figure says where it comes from")
