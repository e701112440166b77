"""Arithmetic shared by the models: two's complement and the bounded register."""

import random


def signed(value: int, bits: int) -> int:
    """The low ``bits`` of ``value`` read as two's complement."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def signed_values(bits: int) -> range:
    """All two's complement numbers of ``bits``."""
    return range(-(1 << (bits - 1)), 1 << (bits - 1))


def interesting(rng: random.Random, bits: int) -> int:
    """A two's complement number; the ends and small ones more often than the others."""
    half = 1 << (bits - 1)
    kind = rng.randrange(8)
    if kind < 4:
        return rng.randrange(-half, half)
    return (-half, half - 1, 0, rng.choice((-1, 1)) if bits > 1 else -1)[kind - 4]


def fields(word: int, count: int, bits: int) -> list[int]:
    """``count`` unsigned fields, the first in the low bits."""
    return [word >> bits * index & (1 << bits) - 1 for index in range(count)]


def joined(values: list[int], bits: int) -> int:
    """The inverse of :func:`fields`; negative values in two's complement."""
    return sum(value % (1 << bits) << bits * index for index, value in enumerate(values))


class Register:
    """An accumulator as plain integers: ``wrap``, ``saturate`` or ``flag`` once per step."""

    def __init__(self, bits: int, mode: str) -> None:
        self.half = 1 << (bits - 1)
        self.mode = mode
        self.value = 0
        #: steps that left the range upwards, downwards
        self.left = [0, 0]

    def step(self, addend: int) -> bool:
        """Add, then bound; returns whether ``overflow`` must be high."""
        exact = addend + self.value
        too_high, too_low = exact >= self.half, exact < -self.half
        self.left[0] += too_high
        self.left[1] += too_low
        if self.mode == "saturate":
            self.value = min(max(exact, -self.half), self.half - 1)
        else:
            self.value = (exact + self.half) % (2 * self.half) - self.half
        return (too_high or too_low) and self.mode != "wrap"
