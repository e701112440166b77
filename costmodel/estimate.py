"""A figure with its interval."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from configs.errors import InputError
from configs.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is expected, and between which limits it lies in 19 of 20 cases.

    Limits of fitted figures come from configurations that were left out of the fit; those of quoted
    ones from their sources. Sums and products assume that errors go together, which is the
    careful choice: an interval never shrinks because there is more of the same.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise InputError(f"{self.low:g} to {self.high:g} does not contain {self.value:g}")

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        """A figure without error, such as a count."""
        return cls(value=value, low=value, high=value)

    @classmethod
    def within(cls, value: float, error: float) -> "Estimate":
        """``value`` give or take a share ``error`` of it, never below 0."""
        return cls(value=value, low=value * max(0.0, 1 - error), high=value * (1 + error))

    @classmethod
    def of(cls, figure: Figure) -> "Estimate":
        """A configuration's figure; exact unless it says otherwise."""
        low = figure.value if figure.low is None else figure.low
        high = figure.value if figure.high is None else figure.high
        return cls(value=figure.value, low=low, high=high)

    @classmethod
    def total(cls, estimates: Iterable["Estimate"]) -> "Estimate":
        """Sum of many."""
        found = list(estimates)
        return cls(
            value=math.fsum(e.value for e in found),
            low=math.fsum(e.low for e in found),
            high=math.fsum(e.high for e in found),
        )

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate.total((self, other))

    def times(self, factor: "Estimate | float") -> "Estimate":
        """Product with a count, or with another estimate; neither may be negative."""
        if isinstance(factor, Estimate):
            return Estimate(
                value=self.value * factor.value,
                low=self.low * factor.low,
                high=self.high * factor.high,
            )
        return self.times(Estimate.exact(factor))

    def per(self, divisor: float) -> "Estimate":
        """Quotient by an exact number above 0."""
        return self.times(1 / divisor)

    def map(self, function: Callable[[float], float]) -> "Estimate":
        """What a function that grows with its argument makes of it."""
        return Estimate(
            value=function(self.value), low=function(self.low), high=function(self.high)
        )
