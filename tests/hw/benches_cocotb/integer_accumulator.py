"""An accumulator as plain integers."""


class Register:
    """An accumulator as plain integers: ``wrap``, ``saturate`` or ``flag`` once per step."""

    def __init__(self, bits: int, mode: str) -> None:
        self.half = 1 << (bits - 1)
        self.mode = mode
        self.value = 0
        #: steps that left the range upwards, downwards
        self.left = [0, 0]

    def step(self, addend: int, clear: bool) -> bool:
        """Add, then bound; returns whether ``overflow`` must be high."""
        exact = addend + (0 if clear else self.value)
        too_high, too_low = exact >= self.half, exact < -self.half
        self.left[0] += too_high
        self.left[1] += too_low
        if self.mode == "saturate":
            self.value = min(max(exact, -self.half), self.half - 1)
        else:
            self.value = (exact + self.half) % (2 * self.half) - self.half
        return (too_high or too_low) and self.mode != "wrap"
