"""docs/numerics.md, "Floating-point activations", number by number in plain integers.

Written from the page alone, as slow and as literal as possible. ``Number`` is a pair (m, e).
"""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

from configs.accelerator import ScaleConfig
from sw.compile import GemmProgram, Machine

#: format -> exponent bits, mantissa bits, bias, whether only the all-ones code is invalid
FORMATS = {
    "float16": (5, 10, 15, False),
    "bfloat16": (8, 7, 127, False),
    "float8_e4m3fn": (4, 3, 7, True),
    "float8_e5m2": (5, 2, 15, False),
}
Number = tuple[int, int]


class Activation(NamedTuple):
    """An activation taken apart."""

    negative: int
    significand: int
    place: int
    invalid: bool

    @property
    def integer(self) -> int:
        """Value in units of the smallest subnormal."""
        return (-1) ** self.negative * (self.significand << self.place)


ZERO = Activation(0, 0, 0, False)


def taken_apart(name: str, code: int) -> Activation:
    """Sign, significand, place."""
    exponent_bits, mantissa_bits, _, only_ones = FORMATS[name]
    mantissa = code % (1 << mantissa_bits)
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    negative = code >> mantissa_bits + exponent_bits
    all_ones = exponent == (1 << exponent_bits) - 1
    if all_ones and (not only_ones or mantissa == (1 << mantissa_bits) - 1):
        return Activation(negative, 0, 0, True)
    if exponent == 0:
        return Activation(negative, mantissa, 0, False)
    return Activation(negative, mantissa + (1 << mantissa_bits), exponent - 1, False)


def unit(name: str) -> Fraction:
    """The smallest subnormal."""
    _, mantissa_bits, bias, _ = FORMATS[name]
    return Fraction(2) ** (1 - bias - mantissa_bits)


def rounded(value: int, places: int, rounding: str) -> int:
    """``R(value, places)``; for negative ``places`` a left shift."""
    if places <= 0:
        return value << -places
    floor, rest = divmod(value, 1 << places)
    if rounding == "truncate" or 2 * rest < 1 << places:
        return floor
    return floor + (1 if 2 * rest > 1 << places else floor % 2)


def _smallest(value: int, lowest: int, least: int, bits: int, rounding: str) -> Number:
    """The least exponent from ``least`` on at which ``value * 2**lowest`` has ``bits`` bits."""
    e, half = least, 1 << bits - 1
    while (
        rounded(value, e - lowest, "truncate") < -half
        or rounded(value, e - lowest, rounding) >= half
    ):
        e += 1
    return rounded(value, e - lowest, rounding), e


def add_right(number: Number, a: int, f: int, bits: int, rounding: str) -> Number:
    """One step with normalization ``right``."""
    m, e = number
    larger = max(e, f)
    total = rounded(a, larger - f, rounding) + rounded(m, larger - e, rounding)
    return _smallest(total, larger, larger, bits, rounding)


def add_full(number: Number, a: int, f: int, bits: int, rounding: str) -> Number:
    """One step with normalization ``full``."""
    if a == 0:
        return number
    m, e = number
    lowest = min(e, f)
    total = (a << f - lowest) + (m << e - lowest)
    return _smallest(total, lowest, 0, bits, rounding) if total else (0, 0)


@cache
def digit_table(levels: tuple[int, ...]) -> dict[int, list[Number]]:
    """Digit and exponent of every level in a multiplier PE."""
    bits = max((abs(v) // (v & -v)).bit_length() for v in levels if v)
    largest = max(map(abs, levels)).bit_length()
    bits = largest if largest <= bits + 1 else bits
    table = {}
    for level in levels:
        exponent = max(0, abs(level).bit_length() - bits)
        digit = (abs(level) >> exponent) * (-1 if level < 0 else 1)
        assert digit << exponent == level
        table[level] = [(digit, exponent)]
    return table


def schedule(machine: Machine) -> tuple[tuple[int, ...], dict[int, list[Number]]]:
    """Base shifts, and (digit, exponent) of every level in every slot."""
    if machine.accelerator.pe == "multiplier":
        return (0,), digit_table(machine.family.all_levels)
    terms = {
        level: [(t.present * (-1 if t.negative else 1), t.exponent) for t in row]
        for level, row in machine.terms.terms.items()
    }
    return machine.terms.base_shifts, terms


def slot_sum(lanes: list[Activation], digits: list[Number], machine: Machine) -> Number:
    """A slot's sum and its exponent ``f``."""
    floating = machine.accelerator.floating
    g, total = floating.guard_bits, 0
    if floating.alignment == "row":
        places = [a.place for a in lanes]
        shifts = [1 << x for _, x in digits]
    else:
        places = [a.place + x if d else 0 for a, (d, x) in zip(lanes, digits, strict=True)]
        shifts = [1] * len(lanes)
    f = max(places)
    for a, (d, _), place, shift in zip(lanes, digits, places, shifts, strict=True):
        # a row rounds the activation, a PE its product with the digit
        inside, outside = (1, abs(d)) if floating.alignment == "row" else (abs(d), 1)
        value = rounded(a.significand * inside << g, f - place, floating.rounding)
        total += value * outside * shift * (-1 if a.negative ^ (d < 0) else 1)
    return total, f


def scale_parts(scale: ScaleConfig, code: int) -> Number:
    """Multiplier and shift."""
    if scale.format == "uint8":
        return code, 0
    significand, shift = 1, code
    if scale.format == "e4m3":
        exponent, mantissa = divmod(code, 8)
        significand, shift = (mantissa + 8, exponent - 1) if exponent else (mantissa, 0)
    return (significand, shift) if scale.shift == "barrel" else (significand << shift, 0)


def float32_code(value: Fraction) -> int:
    """Bits of the nearest float32, ties to even, subnormals and infinities as in IEEE 754."""
    magnitude, exponent = abs(value), -149
    while magnitude >= Fraction(2) ** (exponent + 24):
        exponent += 1
    steps = round(magnitude / Fraction(2) ** exponent)
    # the next binade follows without a gap, and infinity after the last
    code = min((exponent + 149 << 23) + steps, 0x7F800000)
    return code | (1 << 31 if value < 0 and code else 0)


def group_inputs(program: GemmProgram, n: int) -> list[tuple[list[int], int, int]]:
    """Inputs, scale code and padding level of every group of a channel."""
    family, k = program.family, program.shape.k
    found = []
    for index, start in enumerate(range(0, k, program.group_size)):
        member = family.members[program.format_ids[n, index]]
        padding = member.levels[member.padding_code]
        inputs = list(range(start, min(start + program.group_size, k)))
        found.append((inputs, int(program.scale_codes[n, index]), int(padding or 0)))
    return found


def aligned_output(program: GemmProgram, row: list[Activation], n: int) -> Number:
    """Outer accumulator of one output."""
    machine, array = program.machine, program.machine.accelerator
    floating, lanes = array.floating, array.lanes
    shifts, table = schedule(machine)
    step = add_right if floating.normalization == "right" else add_full
    levels, outer = program.levels[n].tolist(), (0, 0)
    for inputs, code, padding in group_inputs(program, n):
        inner = (0, 0)
        for first in range(0, len(inputs), lanes):
            chunk = inputs[first : first + lanes]
            missing = lanes - len(chunk)
            parts = [row[k] for k in chunk] + [ZERO] * missing
            held = [levels[k] for k in chunk] + [padding] * missing
            for slot, shift in enumerate(shifts):
                a, f = slot_sum(parts, [table[level][slot] for level in held], machine)
                inner = step(inner, a << shift, f, floating.mantissa_bits, floating.rounding)
        multiplier, shift = scale_parts(array.scale, code)
        outer = add_right(
            outer,
            inner[0] * multiplier,
            inner[1] + shift,
            floating.outer_mantissa_bits,
            floating.rounding,
        )
    return outer


def exact_output(program: GemmProgram, row: list[Activation], n: int) -> int:
    """Sum of scale, level and activation, in the activations' unit."""
    total, levels = 0, program.levels[n].tolist()
    for inputs, code, _ in group_inputs(program, n):
        multiplier, shift = scale_parts(program.machine.accelerator.scale, code)
        total += sum(levels[k] * row[k].integer for k in inputs) * multiplier << shift
    return total


def reference_gemm(program: GemmProgram) -> tuple[list[list[int]], list[bool]]:
    """Bits of the float32 results (M, N), and which tokens hold an invalid activation."""
    array = program.machine.accelerator
    name = array.activation_format
    rows = [[taken_apart(name, code) for code in row] for row in program.activations.tolist()]
    outputs = []
    for row in rows:
        outputs.append([])
        for n in range(program.shape.n):
            if array.is_aligned:
                m, e = aligned_output(program, row, n)
                value = m * Fraction(2) ** (e - array.floating.guard_bits)
            else:
                value = Fraction(exact_output(program, row, n))
            outputs[-1].append(float32_code(value * unit(name)))
    return outputs, [any(a.invalid for a in row) for row in rows]
