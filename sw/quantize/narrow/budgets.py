"""Budgets: how much weight a register of P bits has room for, in integers.

The weights are codes; inputs have N bits. ``limit`` is the largest sum that may be reached on
either side, ``2**(P - 1) - 1`` for a register of P bits.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.target import AccumulatorTarget

Whole = NDArray[np.int64]


def register_limit(bits: int) -> int:
    """Largest magnitude that a two's-complement register of ``bits`` holds on both sides."""
    return (1 << (bits - 1)) - 1


def a2q_budget(limit: Any, input_bits: int, input_signed: bool) -> Any:
    """Largest sum of absolute weights by A2Q (ICCV 2023, equation 13), rounded down.

    It counts ``2**N`` for the largest unsigned input, ``2**(N - 1)`` for a signed one.
    """
    return limit >> (input_bits - bool(input_signed))


def a2q_plus_budget(limit: Any, input_bits: int) -> Any:
    """Largest sum of absolute weights by A2Q+ (ICML 2024, proposition 3.2), rounded down.

    Sound only where positive and negative weights have equal sums before they are rounded toward
    zero. The same for signed and unsigned inputs.
    """
    return 2 * limit // ((1 << input_bits) - 1)


def per_sign_budget(limit: Any, input_bits: int) -> Any:
    """Largest sum of the weights of one sign by AXE (TMLR 2025), for unsigned inputs."""
    return limit // ((1 << input_bits) - 1)


@dataclass(frozen=True, kw_only=True)
class Room:
    """What is left in the register of each of R groups: sums may go from ``-low`` to ``high``.

    Attributes
    ----------
    up, down : what a weight of +1 adds to the highest sum (largest input) and takes from the lowest
        one (magnitude of the smallest input); a weight of -1 the other way round.
    high, low : int64 (R,), not negative.
    """

    up: int
    down: int
    high: Whole
    low: Whole

    @classmethod
    def of(cls, target: AccumulatorTarget, limits: Whole) -> "Room":
        """Room for sums from ``-limits - 1`` to ``limits``; without any, of 0 only."""
        smallest, largest = target.input_range
        return cls(up=largest, down=-smallest, high=limits, low=limits + (limits > 0))

    @property
    def separate(self) -> bool:
        """Whether positive and negative weights do not share room: inputs have one sign."""
        return not (self.up and self.down)

    def holds(self, positive: NDArray[Any], negative: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether groups with these sums of positive and of negated negative weights fit, (R,)."""
        above = self.up * positive + self.down * negative
        below = self.down * positive + self.up * negative
        return (above <= self.high) & (below <= self.low)

    def units(self) -> tuple[Whole, Whole]:
        """How many units of positive, and of negative weights alone fit, (R,) each."""
        none = np.iinfo(np.int64).max
        fits = [
            np.full_like(room, none) if not cost else room // cost
            for room, cost in (
                (self.high, self.up),
                (self.low, self.down),
                (self.high, self.down),
                (self.low, self.up),
            )
        ]
        return np.minimum(fits[0], fits[1]), np.minimum(fits[2], fits[3])

    def less(self, codes: Whole) -> "Room":
        """What is left beside further codes, (R,) or (R, columns)."""
        return self._moved(codes, -1)

    def more(self, codes: Whole) -> "Room":
        """What is left once codes, (R,) or (R, columns), are taken out."""
        return self._moved(codes, 1)

    def _moved(self, codes: Whole, sign: int) -> "Room":
        rows = codes.reshape(len(self.high), -1)
        positive = np.maximum(rows, 0).sum(axis=1)
        negative = positive - rows.sum(axis=1)
        return Room(
            up=self.up,
            down=self.down,
            high=self.high + sign * (self.up * positive + self.down * negative),
            low=self.low + sign * (self.down * positive + self.up * negative),
        )
