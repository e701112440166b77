"""Output that pages show, compared with what commands print."""

import re

NUMBER = re.compile(r"\d+\.\d+")


def same(shown: str, real: str) -> bool:
    """Equal but for the last places of decimal fractions, which the CPU's arithmetic decides."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", real):
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(real), strict=True)
    return all(abs(float(a) - float(b)) <= 0.001 + 0.001 * float(b) for a, b in pairs)
