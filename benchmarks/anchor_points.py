"""What of ours stands beside each published figure, and why the two may differ."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

from amaranth.lib import wiring

from benchmarks.anchor_blocks import ExponentMatch, GroupAccumulate, MultiplyTree
from benchmarks.float_mac import UnalignedAccumulator
from benchmarks.float_points import (
    FLOAT16_BITS,
    FUSED,
    LANES,
    SETTINGS,
    as_released,
    machine,
    twice_rounded,
)
from benchmarks.mac import MultiplierPE
from benchmarks.operators import (
    FloatAdder,
    FloatMultiplier,
    IntegerAdder,
    IntegerMultiplier,
)
from benchmarks.pe_points import machine as integer_machine
from configs.accelerator import AccumulatorConfig
from costmodel.published.anchors import SLOPES, Anchor, anchors
from hw.array.parts import inner_pe, make_dequantizer
from hw.pe import Accumulator, FloatAccumulator
from hw.terms import ColumnTerms, PairDecoder
from sw.compile.machine import Machine

Build = Callable[[], wiring.Component]
#: fields of the floating-point operators: exponent and fraction bits
FLOATS = {"float16": (5, 10), "float32": (8, 23)}
#: PE that runs all weight widths, with BitMoD's guard and mantissa bits
ALL_WIDTHS, BITMOD_SETTING = "int8", SETTINGS["3/15 truncate"] | {"alignment": "pe"}
#: accumulator widths of the fits
SWEPT_BITS = tuple(range(8, 33, 2))
FEW_BITS = tuple(range(8, 33, 4))
#: from the width of a step's exact sum on nothing of the lanes is left out
WIDE_BITS = tuple(range(20, 33, 2))
#: modes of an accumulator whose growth must be a line: what every machine has, and the safe one
REQUIRED_MODES = ("wrap", "saturate")
#: an addend that all of the swept accumulators are wider than
ADDEND_BITS = 8
#: weight and activation bits, lanes, of the comparison with FINN
FINN_POINTS = tuple((w, a, n) for w, a in ((2, 8), (4, 4), (4, 8), (8, 8)) for n in (1, 4))
#: bits that a group of 128 products adds
GROWTH = 7


@dataclass(frozen=True, kw_only=True)
class Part:
    """A component and how often it counts; negative where it is taken out of another."""

    build: Build
    count: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our side of an anchor.

    Attributes
    ----------
    what : our components, in words.
    parts : what is synthesized.
    registers : flip-flops belong to it.
    small : multipliers with Booth's digits, and mapped for area instead of delay.
    """

    what: str
    parts: tuple[Part, ...]
    registers: bool = False
    small: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """A published figure and ours."""

    anchor: Anchor
    ours: Ours


def one(what: str, build: Build, *, registers: bool = False) -> Ours:
    """A single component."""
    return Ours(what=what, parts=(Part(build=build),), registers=registers)


def operator(name: str) -> Ours:
    """Adder or multiplier of a published table, by the name in that table."""
    kind, what = name.split()
    if kind.startswith("int"):
        bits = int(kind[3:])
        if what == "add":
            return one(f"`IntegerAdder`, {bits} bits", lambda: IntegerAdder(bits=bits))
        return one(
            f"`IntegerMultiplier`, {bits} bits, whole product",
            lambda: IntegerMultiplier(bits=bits),
        )
    exponent_bits, fraction_bits = FLOATS[kind]
    unit = FloatAdder if what == "add" else FloatMultiplier
    return one(
        f"`{unit.__name__}`, {kind}",
        lambda: unit(exponent_bits=exponent_bits, fraction_bits=fraction_bits),
    )


def operators(name: str) -> list[Ours]:
    """As everything is mapped, and integers as small as the tools can make them."""
    plain = operator(name)
    if not name.startswith("int"):
        return [plain]
    return [plain, replace(plain, what=f"{plain.what}, mapped for area", small=True)]


@cache
def bitmod_machine() -> Machine:
    """Machine whose PEs are the counterparts of BitMoD's."""
    return machine(ALL_WIDTHS, LANES, BITMOD_SETTING)


def _unaligned() -> wiring.Component:
    """Group accumulation that lacks a shift, as released."""
    made = GroupAccumulate(machine=bitmod_machine())
    correct = made.accumulator
    assert isinstance(correct, FloatAccumulator)
    made.accumulator = UnalignedAccumulator(
        floating=correct.floating,
        addend_bits=correct.addend_bits,
        addend_exponent_bits=len(correct.exponent),
    )
    return made


def _product_of_group() -> tuple[Part, ...]:
    """The dequantizer without its outer accumulator, which BitMoD shares among a column."""
    return (
        Part(build=lambda: make_dequantizer(bitmod_machine())),
        Part(build=lambda: make_dequantizer(bitmod_machine()).accumulator, count=-1),
    )


def _column(family: str, exponent_bits: int) -> Part:
    """Decoders and registers of a column of four lanes."""
    built = machine(family, LANES, BITMOD_SETTING, lane_exponent_bits=exponent_bits)
    return Part(build=lambda: _decoders(built))


def _encoders() -> list[Ours]:
    """Decoders of a column for weights of 8 and of 4 bits, with registers."""
    what = "`ColumnTerms`, 4 lanes, of `bitmod_fp4` and of `int8` with {}"
    digits = {1: "1 exponent bit: Booth's digits", 2: "2 exponent bits, as the machine has"}
    return [
        Ours(
            what=what.format(words),
            parts=(_column("bitmod_fp4", 2), _column("int8", bits)),
            registers=True,
        )
        for bits, words in digits.items()
    ]


def _decoders(built: Machine) -> ColumnTerms:
    return ColumnTerms(
        family=built.family,
        terms=built.terms,
        lanes=built.accelerator.lanes,
        programmable=False,
        count_negatives=False,
    )


def _bitmod() -> dict[str, list[Ours]]:
    """Counterparts by the name of the published block; some have a version as released."""
    built = bitmod_machine()
    released = next(design for design in as_released() if design.machine.family.name == ALL_WIDTHS)
    assert released.pe is not None
    pe, bare, mac = (lambda: inner_pe(built)), released.pe, twice_rounded().pe
    assert mac is not None
    fused = FUSED | {"mantissa_bits": FLOAT16_BITS}
    mixed = machine("int8", 1, fused, pe="multiplier")
    product = _product_of_group()

    def whole(what: str, build: Build, *, registers: bool) -> Ours:
        return Ours(what=what, parts=(Part(build=build), *product), registers=registers)

    correct = "`AligningPE` and the product of `FloatDequantizer`"
    as_is = "the same with BitMoD's accumulator, which gives wrong sums"
    return {
        "exponent match": [one("`AligningPE`, stage 1", lambda: ExponentMatch(machine=built))],
        "bit-serial multiply and tree": [
            one("`AligningPE`, stage 2", lambda: MultiplyTree(machine=built))
        ],
        "group accumulate": [
            one("base shift and `FloatAccumulator`", lambda: GroupAccumulate(machine=built)),
            one(as_is, _unaligned),
        ],
        "dequantizer": [
            Ours(what="`FloatDequantizer` without its outer accumulator", parts=product)
        ],
        "BitMoD PE": [
            whole(correct, pe, registers=False),
            whole(as_is, bare, registers=False),
        ],
        "float16 multiplier": [operator("float16 multiply")],
        "float16 adder": [operator("float16 add")],
        "FP16 PE": [one("`RoundingMac`", mac)],
        "FP16 x INT8 PE": [one("`MultiplierPE`, float16 x `int8`, fused", lambda: inner_pe(mixed))],
        "BitMoD PE, of a tile": [
            whole(correct, pe, registers=True),
            whole(as_is, bare, registers=True),
        ],
        "FP16 PE, of a tile": [one("`RoundingMac`", mac, registers=True)],
        "encoder of a column": _encoders(),
    }


def _decoded() -> dict[str, list[Ours]]:
    """Decoders in front of multipliers: an exponent and an integer for every code."""
    olive = integer_machine("olive4", lanes=2, pe="multiplier")
    ant = integer_machine("ant4", lanes=1, pe="multiplier")
    flint = integer_machine("flint4s", lanes=1, pe="multiplier")
    return {
        "OliVe decoder, 4 bits, a pair of codes": [
            one("`ColumnTerms` of `olive4`, 2 lanes", lambda: _decoders(olive)),
            one("of which `PairDecoder`", lambda: PairDecoder(bits=4)),
        ],
        "ANT decoder, 4 bits, a code": [
            one("`ColumnTerms` of `ant4`: int4 and flint4", lambda: _decoders(ant)),
            one("`ColumnTerms` of `flint4s` alone", lambda: _decoders(flint)),
        ],
    }


def rows() -> Iterator[Row]:
    """Every comparison, in the order of the page."""
    counterparts = {"BitMoD": _bitmod(), "decoders": _decoded()}
    for anchor in anchors():
        if anchor.group in counterparts:
            chosen = counterparts[anchor.group][anchor.name]
        else:
            chosen = operators(anchor.name)
        for ours in chosen:
            # powers of the spreadsheet are with registers
            with_registers = anchor.quantity == "energy" and anchor.group == "BitMoD"
            yield Row(anchor=anchor, ours=replace(ours, registers=ours.registers or with_registers))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Components over accumulator width.

    Attributes
    ----------
    name : what grows.
    widths : widths, P_I.
    build : makes the component of a width.
    required : R^2 above 0.99 is required, on sg13g2 and on ECP5.
    multiplier_bits : of MACs that a published fit exists for, else None.
    small : mapped for area, see :class:`Ours`, to the libraries only.
    """

    name: str
    widths: tuple[int, ...]
    build: Callable[[int], wiring.Component]
    required: bool = False
    multiplier_bits: int | None = None
    small: bool = False


def _accumulator(mode: str, width: int) -> wiring.Component:
    """An accumulator alone."""
    return Accumulator(bits=width, addend_bits=ADDEND_BITS, mode=mode)


def _saturating_mac(bits: int, width: int) -> wiring.Component:
    """One product per cycle, both operands of ``bits``, in a saturating accumulator."""
    built = integer_machine(
        f"int{bits}",
        lanes=1,
        pe="multiplier",
        activation_bits=bits,
        inner_accumulator=AccumulatorConfig(bits=width, mode="saturate"),
    )
    return inner_pe(built)


def _serial(width: int) -> wiring.Component:
    """Serial PE of four lanes of ``int4``."""
    return inner_pe(
        integer_machine("int4", lanes=LANES, inner_accumulator=AccumulatorConfig(bits=width))
    )


def sweeps() -> list[Sweep]:
    """Accumulators alone over 8 to 32 bits, whole PEs, and MACs as published."""
    made = [
        Sweep(
            name=f"`Accumulator`, {mode}",
            widths=SWEPT_BITS,
            build=partial(_accumulator, mode),
            required=mode in REQUIRED_MODES,
        )
        for mode in ("wrap", "saturate", "flag")
    ]
    made += [
        Sweep(
            name=f"`Accumulator`, {mode}, mapped for area",
            widths=SWEPT_BITS,
            build=partial(_accumulator, mode),
            small=True,
        )
        for mode in REQUIRED_MODES
    ]
    serial = "`SerialPE`, `int4`, 4 lanes, wrap"
    made += [
        Sweep(name=serial, widths=FEW_BITS, build=_serial),
        Sweep(name=f"{serial}, wider than a step's sum", widths=WIDE_BITS, build=_serial),
    ]
    for published in SLOPES:
        made.append(
            Sweep(
                name=f"saturating MAC, INT{published.bits}",
                widths=tuple(published.areas),
                build=partial(_saturating_mac, published.bits),
                multiplier_bits=published.bits,
            )
        )
    return made


def finn_mac(weight_bits: int, activation_bits: int, lanes: int) -> MultiplierPE:
    """Counterpart of one FINN PE: multipliers, adder tree, accumulator; no multiplier blocks."""
    return MultiplierPE(
        weight_bits=weight_bits,
        lanes=lanes,
        activation_bits=activation_bits,
        bits=weight_bits + activation_bits + GROWTH,
    )
