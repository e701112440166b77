"""What is where in the words of the streams, as Markdown."""

from sw.compile import Machine
from sw.compile.transfers import (
    OperandPort,
    activation_port,
    result_stream_bits,
    result_words,
    weight_port,
    weights_outside,
)

#: larger tables of levels are left to `bitsmith formats`
_MOST_CODES = 32


def stream_layouts(machine: Machine) -> str:
    """Packets, beats and words of all three streams."""
    return "\n".join(
        [
            "A packet is a sequence of *beats*; a beat takes one or more words of the stream, low "
            "bits first, unused upper bits 0. Element 0 of every list is in the low bits.\n",
            _input(machine, weight_port(machine), _weight_beats(machine)),
            _input(machine, activation_port(machine), _activation_beats(machine)),
            _order(machine),
            _results(machine),
            _codes(machine),
        ]
    )


def _input(machine: Machine, port: OperandPort, beats: list[tuple[str, str, str]]) -> str:
    rows = [
        f"| {name} | {port.kinds[name]} | {port.words[name]} | {when} | {what} |"
        for name, when, what in beats
    ]
    head = "| beat | bits | words | when | content |\n|---|---|---|---|---|"
    return (
        f"### s_axis_{port.name}, {port.stream_bits} bits\n\nOne packet is one tile of "
        f"{port.name}.\n\n{head}\n" + "\n".join(rows) + "\n"
    )


def _weight_beats(machine: Machine) -> list[tuple[str, str, str]]:
    array, family = machine.accelerator, machine.family
    header = [f"{array.cols} scale codes of {array.scale.code_bits} bits"]
    if family.id_bits:
        header.append(f"{array.cols} format ids of {family.id_bits} bits")
    if array.zero_point_bits:
        header.append(f"{array.cols} zero points of {array.zero_point_bits} bits, signed")
    beats = [
        ("header", "first of each group", ", then ".join(header)),
        (
            "chunk",
            "the group's chunks",
            f"{array.cols} x {array.lanes} codes of {family.stored_bits} bits: column, then lane",
        ),
    ]
    if array.requantizer is not None:
        what = (
            f"{array.cols} multipliers of {array.requantizer.multiplier_bits} bits, then "
            f"{array.cols} shifts of {array.requantizer.shift_bits} bits"
        )
        beats.insert(0, ("parameters", "first of the packet", what))
    return beats


def _activation_beats(machine: Machine) -> list[tuple[str, str, str]]:
    array = machine.accelerator
    what = (
        f"{array.rows} x {array.lanes} activations of {machine.activation_width} bits: row, "
        "then lane"
    )
    return [("chunk", "chunks of all groups", what)]


def _order(machine: Machine) -> str:
    array = machine.accelerator
    outer, inner = ("column", "row") if weights_outside(machine) else ("row", "column")
    stays, passes = (
        ("weights", "activations") if weights_outside(machine) else ("activations", "weights")
    )
    if array.buffers is None:
        order = (
            "Every tile pass (column tile, then row tile innermost) takes one packet of each: the "
            "weights of its column tile and the activations of its row tile."
        )
    else:
        order = (
            f"For every {outer} tile: its packet of {stays} once, and meanwhile the packets of "
            f"{passes} of all {inner} tiles, one after the other. If there is one {inner} tile "
            f"only, its packet of {passes} is sent once for the whole job."
        )
    return f"""\
Lane `l` of chunk `c` of group `g` is the input channel `k = g x G + c x {array.lanes} + l`. Where
that is beyond the group's or the matrix's end, send activation 0 and the code of level 0 (or the
smallest level). Missing rows send activation 0, missing columns scale code 0.

{order}
"""


def _results(machine: Machine) -> str:
    array, count = machine.accelerator, result_words(machine)
    kind = "float32" if array.has_floats else "signed, sign-extended to whole bytes"
    outer, inner = ("column", "row") if weights_outside(machine) else ("row", "column")
    return f"""\
### m_axis_results, {result_stream_bits(machine)} bits

One packet is one job: {outer} tile by {outer} tile, in it {inner} tile by {inner} tile, in it
{array.rows} rows of {array.cols} results of {machine.result_bits // 8} byte(s) ({kind}), padding
included. A row takes {count} word(s).
"""


def _codes(machine: Machine) -> str:
    family, array = machine.family, machine.accelerator
    text = "### Codes\n\n"
    if family.pairs:
        return text + (
            f"`{family.name}` stores pairs of weights in codes of {family.stored_bits} bits each; "
            "bitsmith's docs/numerics.md has the rules.\n"
        )
    if 1 << family.bits > _MOST_CODES:
        return text + f"Level of each code: `bitsmith formats {family.members[0].name}`.\n"
    names = [member.name for member in family.members]
    lines = [
        f"| code | {' | '.join(f'`{name}` (id {i})' for i, name in enumerate(names))} |",
        "|---|" + "---|" * len(names),
    ]
    for code in range(1 << family.bits):
        levels = ["-" if m.levels[code] is None else str(m.levels[code]) for m in family.members]
        lines.append(f"| {code} | {' | '.join(levels)} |")
    unit = "" if family.unit == 1 else f" A level counts {family.unit} of the published value."
    special = (
        f" The level of code {family.special_code} can be changed at run time."
        if array.programmable
        else ""
    )
    return f"{text}Level of each code, `-` never sent.{unit}{special}\n\n" + "\n".join(lines) + "\n"
