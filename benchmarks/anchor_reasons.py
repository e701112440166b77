"""Why a published figure and ours differ: notes of docs/anchors.md, by what they belong to.

Every number in a note stands on the page, in its tables or in the quoted figures, and the tests
compute it again.
"""

from costmodel.published.anchors import Anchor

NOTES: dict[str, str] = {
    "corner": (
        "Published for the slow corner (ss, 0.9 V, -40 C) and a clock of 1 ns; ours is typical and "
        "mapped without a clock, its paths are the rows `delay`. To be as fast in that corner, our "
        "cells would have to grow: our areas are lower limits."
    ),
    "released": (
        "The released accumulator does not align an addend of smaller exponent and gives wrong "
        "sums. The second line leaves that shifter out of ours, too: the difference of the two "
        "lines is what correct sums cost."
    ),
    "multiplier": (
        "The published float16 multiplier is 2.77 times as large as the published float16 adder; "
        "Horowitz's is 1.21 times, ours 1.55 times, and ours agrees with Horowitz's (ratio 0.86). "
        "So the published multiplier is the unusual one: a single combinational block for 1 ns in "
        "the slow corner (note `corner`). Its FP16 PE is the sum of these two blocks."
    ),
    "activity": (
        "Ours assumes new data in every cycle, half of all cell outputs changing; what the "
        "published powers assume is not said."
    ),
    "idle": (
        "71 % of our energy here is that of 50 flip-flops, charged in every cycle. The published "
        "register area (192.4 - 128.1 um2) is that of 27 flip-flops (m_GRP, e_GRP) of 2.4 um2, and "
        "they work in 8 of the at least 64 cycles of a group. Ours holds the group sum as well, "
        "and the whole product."
    ),
    "encoder": (
        "With 2 exponent bits the search for terms of `int8` chooses digits that are no windows of "
        "the code (base shifts 0, 0, 4, 2): a look-up of the whole code in every lane. With 1 bit "
        "it finds Booth's digits (0, 2, 6, 4), as the published encoder has them."
    ),
    "secondary": (
        "The published figure is secondary, see its source. Ours makes a two's complement integer "
        "and an exponent of every code; the registers behind it are left out."
    ),
    "two types": (
        "`ant4` decodes int4 and flint4, chosen by the group's format; the second line is flint4 "
        "alone. The published figure could not be verified."
    ),
    "part": (
        "The line of `PairDecoder` is only a part of the published block: identifiers and victims, "
        "no values."
    ),
    "full adder": (
        "sg13g2 has no full adder cell, sky130 has one that ABC cannot use (two outputs): every "
        "bit of a sum takes XOR gates and a majority. The published adders take 4.2 to 4.5 um2 a "
        "bit at any width, so they are ripple-carry adders of one cell a bit. The second line is "
        "mapped for area, multipliers with Booth's digits; ours as usual is mapped for delay."
    ),
    "float": (
        "Ours rounds to nearest even, takes subnormal numbers as 0, and treats neither NaN nor "
        "infinite operands; what the published units treat is not said."
    ),
    "two paths": (
        "The published float32 adder is 3.08 times as large as the published float16 one, ours "
        "2.16 times: the published one is made for more speed, or more cases, than its float16 "
        "neighbour. Ours has one path for near and far operands."
    ),
    "node": (
        "The same components are within 0.5 to 1.5 of the same table's 45 nm column. From 45 to 7 "
        "nm that table falls 2.4 to 4.3 times, the scaling used here (transistors without wires) "
        "14.6 times. The gap is the scaling's, not the components': energies scaled to 7 nm are "
        "too low."
    ),
}

#: notes of a whole group and quantity
_COMMON: dict[tuple[str, str], tuple[str, ...]] = {
    ("BitMoD", "area"): ("corner",),
    ("BitMoD", "delay"): ("corner",),
    ("BitMoD", "energy"): ("activity",),
    ("decoders", "area"): ("secondary",),
    ("operators, 45 nm", "energy"): ("activity",),
    ("operators, 7 nm", "energy"): ("node",),
}
#: notes of single rows, by the words that begin the published name
_SINGLE: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("BitMoD", "area", "group accumulate"): ("released",),
    ("BitMoD", "area", "BitMoD PE"): ("released",),
    ("BitMoD", "area", "float16 multiplier"): ("multiplier",),
    ("BitMoD", "area", "FP16 PE"): ("multiplier",),
    ("BitMoD", "energy", "dequantizer"): ("idle",),
    ("BitMoD", "area", "encoder"): ("encoder",),
    ("BitMoD", "energy", "encoder"): ("encoder",),
    ("decoders", "area", "OliVe"): ("part",),
    ("decoders", "area", "ANT"): ("two types",),
    ("operators, 45 nm", "area", "int"): ("full adder",),
    ("operators, 45 nm", "energy", "int"): ("full adder",),
    ("operators, 45 nm", "area", "float"): ("float",),
    ("operators, 45 nm", "energy", "float"): ("float",),
    ("operators, 45 nm", "area", "float32 add"): ("two paths",),
}


def notes(anchor: Anchor) -> tuple[str, ...]:
    """Notes of a row, those of its own first."""
    own = [
        note
        for (group, quantity, start), found in _SINGLE.items()
        if (group, quantity) == (anchor.group, anchor.quantity) and anchor.name.startswith(start)
        for note in found
    ]
    return (*own, *_COMMON.get((anchor.group, anchor.quantity), ()))


#: notes of the accumulators' and FINN's tables
SLOPE_NOTE = (
    "By its own line, the published INT8 MAC would take 233 units without any accumulator bit "
    "(1558 - 16 x 82.8), 2.8 bits' worth, and INT4 38: less than a parallel multiplier of 64 or 16 "
    "partial product bits. So the published slope holds more than an accumulator bit; the source "
    "says no more about the core. Ours grows by the accumulator alone, beside a multiplier without "
    "full adder cells: a smaller share per bit."
)
FINN_NOTE = (
    "FINN's estimate is a formula for Vivado and LUT6; ours is Yosys' mapping for 7 series without "
    "DSPs, at the same widths. A weight of 2 bits needs no multiplier, only a choice, which the "
    "formula does not know; wide multipliers come out larger than it says."
)
