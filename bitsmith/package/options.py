"""The options that a machine has, each as a part of the README."""

import textwrap

from configs.accelerator import ScaleConfig
from sw.compile import Machine
from sw.compile.registers import register_map
from sw.formats import float_layout


def option_parts(machine: Machine) -> str:
    """A part per option; empty for a machine without any."""
    array = machine.accelerator
    parts = []
    if array.scale.format != "uint8":
        parts.append(_scales(array.scale, requantized=array.requantizer is not None))
    if array.zero_point_bits:
        parts.append(_zero_points(machine))
    if array.requantizer is not None:
        parts.append(_requantizer(machine))
    if array.programmable:
        parts.append(_special_values(machine))
    if array.has_floats:
        parts.append(_floats(machine))
    return "\n".join(_wrapped(part) for part in parts)


def _wrapped(text: str) -> str:
    """``text`` with its paragraphs in lines of 100; headings, formulas and tables as they are."""
    parts = text.strip("\n").split("\n\n")
    return (
        "\n\n".join(
            part
            if part.startswith(("#", "    ", "|"))
            else textwrap.fill(part, 100, break_long_words=False, break_on_hyphens=False)
            for part in parts
        )
        + "\n"
    )


def _scales(scale: ScaleConfig, *, requantized: bool) -> str:
    place = "in the requantizer's ratio" if requantized else "on the host"
    if scale.format == "e8m0":
        return f"""\
### E8M0 scales

A scale code c, 0..{scale.binades}, in {scale.code_bits} bits, stands for the integer 2^c. To send
the E8M0 scale 2^(e-127) of a group, take c = e-lowest, where lowest is the smallest e among the
groups of that output channel, and multiply the channel's results by 2^(lowest-127) {place}.
Groups without a weight other than 0 do not count and send 0. A channel whose scales span more than
{scale.binades} binades cannot be sent.
"""
    return f"""\
### E4M3 scales

A scale code is an E4M3 number: mantissa in bits 2..0, exponent in bits 6..3, sign 0. It stands for
the integer `significand << shift`, with

    significand = mantissa + 8 where exponent > 0, else mantissa
    shift       = exponent - 1 where exponent > 0, else 0

which is the number times 2^9: multiply the results by 2^-9 {place}. Code 127 (NaN) and codes
with bit 7 set must not be sent.
"""


def _zero_points(machine: Machine) -> str:
    array, bits = machine.accelerator, machine.accelerator.zero_point_bits
    first = array.cols * (array.scale.code_bits + machine.family.id_bits)
    return f"""\
### Zero points

The zero point of column c takes {bits} bits of the header beat, from bit {first}+{bits}c on: two's
complement, {-(1 << bits - 1)}..{(1 << bits - 1) - 1}, in units of a level. It is subtracted from
every level of its group:

    result = sum over groups of  scale x (sum over the group of  (level - zero point) x activation)

Groups may have up to {machine.group_inputs} weights. Missing columns send 0.
"""


def _requantizer(machine: Machine) -> str:
    array = machine.accelerator
    found = array.requantizer
    assert found is not None
    high, low, first = found.multiplier_bits, found.shift_bits, array.cols * found.multiplier_bits
    return f"""\
### Requantizer

Results are INT8, -128..127. Every packet of weights begins with a parameters beat: for column c an
unsigned multiplier of {high} bits from bit {high}c on, and an unsigned shift of {low} bits from bit
{first}+{low}c on. From the sum in the outer accumulator,

    result = clip(floor((sum x multiplier + half) / 2^shift), -128, 127)
    half   = 2^(shift - 1), or 0 where the shift is 0

Nothing is lost before the division; halves round up: 2.5 to 3, -2.5 to -2. Missing columns send
multiplier and shift 0.
"""


def _special_values(machine: Machine) -> str:
    terms, family = machine.terms, machine.family
    registers = register_map(machine)
    step = 2 + terms.exponent_bits
    rows = [
        f"| {slot} | {slot * step} | {slot * step + 1} | "
        f"{_bits(slot * step + 2, terms.exponent_bits)} | {base} |"
        for slot, base in enumerate(terms.base_shifts)
    ]
    head = "| slot | present | negative | exponent | base shift |\n|---|---|---|---|---|"
    table = "\n".join([head, *rows])
    names = ", ".join(f"{i} `{member.name}`" for i, member in enumerate(family.members))
    count = sum(r.name.startswith("SPECIAL_VALUE_") for r in registers.registers)
    more = " and so on" if count > 1 else ""
    return f"""\
### Special values

The level of code {family.special_code} is a register for each format of the family. It is written
as terms, one per slot, slot 0 in the low bits of SPECIAL_VALUE_0{more}.
Bits, and the slots' fixed shifts:

{table}

    level = sum over slots with present set of  (negative ? -1 : 1) x 2^(exponent + base shift)

Write the bits, then the format's id ({names}) to SPECIAL_WRITE, while no job runs: with STATUS.busy
set the write is answered with SLVERR and does nothing. Reset, and every error that stops a job,
bring back the family's own values. Accumulator widths proved for a model hold for its special
values only.
"""


def _bits(low: int, count: int) -> str:
    return str(low) if count == 1 else f"{low + count - 1}..{low}"


def _floats(machine: Machine) -> str:
    array = machine.accelerator
    layout = float_layout(array.activation_format)
    invalid = "exponent and mantissa" if layout.only_ones else "exponent"
    head = f"""\
### Floating-point activations

An activation is a `{layout.name}` code of {layout.bits} bits: from the top sign,
{layout.exponent_bits} of exponent (bias {layout.bias}), {layout.mantissa_bits} of mantissa.
Subnormals are taken as they are. Inf and NaN (all ones in {invalid}) count as 0 and set the sticky
bit of their row in INVALID_ACTIVATIONS. Results are float32: the sum, rounded to nearest even; a
zero is +0.

"""
    if not array.is_aligned:
        return head + """\
Sums are exact: activations become fixed-point numbers in units of the smallest subnormal, added as
integers; nothing is rounded but the result.
"""  # fmt: skip
    floating = array.floating
    where = (
        "The activations of a row's chunk are aligned to the largest exponent among them"
        if floating.alignment == "row"
        else "The products of a PE's lanes are aligned to the largest exponent among them"
    )
    rounding = {
        "truncate": "cut off (sums downwards, magnitudes towards 0)",
        "nearest_even": "rounded to nearest even",
    }[floating.rounding]
    normalization = {
        "right": "an accumulator's exponent only grows within a group or tile",
        "full": "the inner accumulator is normalized after every step, as in IEEE 754",
    }[floating.normalization]
    return f"""\
{head}\
Sums are rounded. {where}, with {floating.guard_bits} guard bits below its significand; what lies
lower is {rounding}. So is every step of the accumulators, to mantissas of {floating.mantissa_bits}
bits (inner) and {floating.outer_mantissa_bits} bits (outer), two's complement; {normalization}.
Results thus differ from exact arithmetic in a way that depends on the order of addition: the
recorded jobs, bit for bit the golden model's, are the reference; `bitsmith bounds` gives the
largest error for a model's weights.
"""
