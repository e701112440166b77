"""What ``python -m benchmarks.pe`` synthesizes: points of the tables, in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from benchmarks.first_version import PE_STEPS, FirstDequantizer, FirstPE
from benchmarks.mac import ColumnLevels, ColumnTerms, MultiplierPE, ParallelPE, level_bits
from configs.accelerator import AcceleratorConfig, AccumulatorConfig, ScaleConfig
from configs.errors import InputError
from hw.array import PEArray
from hw.dequant import SerialDequantizer
from hw.pe import SerialPE
from sw.compile.machine import Machine, worst_case_widths
from sw.formats import get_family

#: weight formats by name of the pairing with 8-bit activations
WEIGHTS = {
    "int8": "W8A8",
    "int4": "W4A8",
    "bitmod_fp4": "W4A8",
    "int3": "W3A8",
    "bitmod_fp3": "W3A8",
    "ternary": "ternary",
}
#: accumulators hold every sum of such groups and channels
GROUP_SIZE, INPUTS = 128, 4096
LANES = 8
#: of the comparison with multipliers
HEADLINE_LANES = 4
QUICK_WEIGHTS = ("int8", "int4", "bitmod_fp3", "ternary")
#: designs that work on terms, and the dequantizer of all
RECODED = ("serial", "parallel", "all")
#: what the sweeps vary one thing of
BASE = "int4"
SCALE_BITS = 8
ADDERS = ("chain", "compressor")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One component with one setting.

    Attributes
    ----------
    table : table of the report.
    design : ``serial``, ``parallel``, ``multiplier``, ``multiplier_dsp``, or a version of those.
    part : ``pe``, ``column`` (decoders and their registers), ``dequantizer`` or ``array``.
    format : weight formats.
    lanes : products per step.
    exponent_bits : bits of a lane's exponent; None without terms.
    slots : cycles per step.
    inner_bits, outer_bits : accumulator widths, P_I and P_O.
    activation_bits : activation width.
    setting : what else is set.
    outputs : PEs in the component.
    build : makes the component.
    dsp : multiplier blocks may be used, and only FPGAs are targets.
    """

    table: str
    design: str
    part: str
    format: str
    lanes: int
    exponent_bits: int | None
    slots: int
    inner_bits: int
    outer_bits: int
    activation_bits: int = 8
    setting: str = ""
    outputs: int = 1
    build: Callable[[], wiring.Component]
    dsp: bool = False

    @property
    def macs_per_cycle(self) -> float:
        """Effective products per cycle of the component's PEs."""
        return self.outputs * self.lanes / self.slots


def machine(
    name: str, *, lanes: int = LANES, exponent_bits: int = 1, rows: int = 1, cols: int = 1, **other
) -> Machine:
    """A machine whose accumulators hold every sum of :data:`GROUP_SIZE` and :data:`INPUTS`."""
    array = AcceleratorConfig(
        name="measured",
        rows=rows,
        cols=cols,
        lanes=lanes,
        lane_exponent_bits=exponent_bits,
        **other,
    )
    family = get_family(name)
    inner, outer = worst_case_widths(array, family, group_size=GROUP_SIZE, k=INPUTS)
    wanted = array.inner_accumulator.bits
    return Machine(
        accelerator=array,
        family=family,
        inner_bits=inner if wanted == "auto" else wanted,
        outer_bits=outer,
    )


def exponent_choices(name: str) -> list[int]:
    """Exponent widths worth comparing: 1, and 2 if that saves slots."""
    one, two = (machine(name, exponent_bits=bits).terms.slots for bits in (1, 2))
    return [1, 2] if two < one else [1]


def serial_pe(built: Machine) -> SerialPE:
    """The PE of a machine, as its array has it."""
    array = built.accelerator
    return SerialPE(
        terms=built.terms,
        lanes=array.lanes,
        activation_bits=array.activation_bits,
        activation_signed=array.activation_signed,
        bits=built.inner_bits,
        mode=array.inner_accumulator.mode,
        adders=array.adders,
        pipeline=array.pipeline,
    )


def dequantizer(built: Machine, *, rows: int = 1) -> SerialDequantizer:
    """The dequantizer of a machine, as its array has it."""
    array = built.accelerator
    return SerialDequantizer(
        group_bits=built.inner_bits,
        corrected_bits=built.corrected_bits,
        activation_sum_bits=built.activation_sum_bits,
        zero_point_bits=array.zero_point_bits,
        scale_bits=array.scale.serial_bits,
        barrel_shift=array.scale.barrel_shift,
        bits=built.outer_bits,
        mode=array.outer_accumulator.mode,
        rows=rows,
    )


def _point(built: Machine, build, *, table: str, design: str, part: str, **other) -> Point:
    array = built.accelerator
    fields = {
        "format": built.family.name,
        "lanes": array.lanes,
        "exponent_bits": array.lane_exponent_bits,
        "slots": built.terms.slots,
        "inner_bits": built.inner_bits,
        "outer_bits": built.outer_bits,
        "activation_bits": array.activation_bits,
    } | other
    return Point(table=table, design=design, part=part, build=build, **fields)


def headline(name: str, lanes: int) -> Iterator[Point]:
    """PE, column and dequantizer of every design for one weight format."""
    table = "headline"
    for bits in exponent_choices(name):
        built = machine(name, lanes=lanes, exponent_bits=bits)
        column = {"family": built.family, "terms": built.terms, "lanes": lanes}
        yield from (
            _point(built, lambda b=built: serial_pe(b), table=table, design="serial", part="pe"),
            _point(
                built,
                lambda c=column: ColumnTerms(**c),
                table=table,
                design="serial",
                part="column",
            ),
        )
    built = machine(name, lanes=lanes)
    yield _point(built, lambda: dequantizer(built), table=table, design="all", part="dequantizer")
    widths = {"lanes": lanes, "activation_bits": 8, "bits": built.inner_bits}
    column = {"family": built.family, "terms": built.terms, "lanes": lanes, "parallel": True}
    designs = {
        ("parallel", "pe"): lambda: ParallelPE(terms=built.terms, **widths),
        ("parallel", "column"): lambda: ColumnTerms(**column),
        ("multiplier", "pe"): lambda: MultiplierPE(weight_bits=level_bits(built.family), **widths),
        ("multiplier", "column"): lambda: ColumnLevels(family=built.family, lanes=lanes),
    }
    for (design, part), build in designs.items():
        fields = {} if design == "parallel" else {"exponent_bits": None}
        point = _point(built, build, table=table, design=design, part=part, slots=1, **fields)
        yield point
        if (design, part) == ("multiplier", "pe"):
            yield replace(point, design="multiplier_dsp", dsp=True)


def sweep(table: str, settings: dict[str, dict]) -> Iterator[Point]:
    """The serial PE of :data:`BASE` with one setting changed at a time."""
    for setting, other in settings.items():
        built = machine(BASE, **other)
        yield _point(
            built, lambda b=built: serial_pe(b), table=table, design="serial", part="pe",
            setting=setting,
        )  # fmt: skip


def sharing(rows: int) -> Point:
    """One dequantizer for some rows of a column."""
    built = machine(BASE)
    return _point(
        built,
        lambda: dequantizer(built, rows=rows),
        table="sharing",
        design="serial",
        part="dequantizer",
        setting=str(rows),
        outputs=rows,
    )


def scales(setting: str, scale: ScaleConfig) -> Point:
    """The dequantizer of a scale format."""
    built = machine(BASE, scale=scale)
    return _point(
        built,
        lambda: dequantizer(built),
        table="scales",
        design="serial",
        part="dequantizer",
        setting=setting,
    )


def whole_array(rows: int, cols: int, **other) -> Point:
    """PEs, dequantizers, decoders and their control."""
    built = machine(BASE, lanes=HEADLINE_LANES, rows=rows, cols=cols, **other)
    shared = built.accelerator.rows_per_dequantizer
    return _point(
        built,
        lambda: PEArray(machine=built),
        table="array",
        design="serial",
        part="array",
        setting=f"{rows}x{cols}" + (f", {shared} rows per dequantizer" if shared > 1 else ""),
        outputs=rows * cols,
    )


def steps(name: str, lanes: int, exponent_bits: int) -> Iterator[Point]:
    """From the first version to the present one, one change at a time."""
    built = machine(name, lanes=lanes, exponent_bits=exponent_bits)
    pe = {"terms": built.terms, "lanes": lanes, "activation_bits": 8, "bits": built.inner_bits}
    done: tuple[str, ...] = ()
    versions = {"first": FirstPE(**pe)}
    for step in PE_STEPS:
        done = (*done, step)
        versions[step] = FirstPE(steps=done, **pe)
    versions["present"] = serial_pe(built)
    others = tuple(step for step in PE_STEPS if step != "chain")
    versions["compressor"] = FirstPE(steps=others, compressor=True, **pe)
    for version, component in versions.items():
        yield _point(
            built, lambda c=component: c, table="steps", design=version, part="pe"
        )  # fmt: skip
    widths = {
        "group_bits": built.inner_bits,
        "scale_bits": SCALE_BITS,
        "bits": built.outer_bits,
    }
    dequantizers = {
        "first": lambda: FirstDequantizer(resets=False, **widths),
        "resets": lambda: FirstDequantizer(resets=True, **widths),
        "present": lambda: dequantizer(built),
    }
    for version, build in dequantizers.items():
        yield _point(built, build, table="steps", design=version, part="dequantizer")


def points(*, full: bool) -> list[Point]:
    """Every point, or a quick choice of them."""
    found: list[Point] = []
    for name in WEIGHTS if full else QUICK_WEIGHTS:
        found += headline(name, HEADLINE_LANES)
    if full:
        # multipliers of many lanes take the mapper many minutes
        for name in ("int4", "bitmod_fp3", "ternary"):
            found += [p for p in headline(name, 8) if p.design in RECODED]
            found += [p for p in headline(name, 16) if p.design in ("serial", "all")]
    lane_counts = (2, 4, 8, 16) if full else (4, 8)
    found += sweep("lanes", {str(n): {"lanes": n} for n in lane_counts})
    found += _slots()
    inner = (12, 16, 24, 32) if full else (16, 24)
    found += sweep(
        "accumulator",
        {f"{n} bits": {"inner_accumulator": AccumulatorConfig(bits=n)} for n in inner},
    )
    modes = ("wrap", "saturate", "flag") if full else ("saturate",)
    found += sweep(
        "modes", {mode: {"inner_accumulator": AccumulatorConfig(mode=mode)} for mode in modes}
    )
    activations = (4, 6, 8) if full else (4,)
    found += sweep("activations", {f"{n} bits": {"activation_bits": n} for n in activations})
    if full:
        found += _more()
    found += [sharing(rows) for rows in ((1, 2, 4, 8) if full else (1, 4))]
    found.append(whole_array(2, 2))
    if full:
        found += [whole_array(4, 2), whole_array(4, 2, rows_per_dequantizer=4)]
    found += steps(BASE, HEADLINE_LANES, 1)
    return found + list(steps("ternary", LANES, 2)) if full else found


def _more() -> Iterator[Point]:
    """Sweeps that the quick choice leaves out."""
    yield from sweep("activations", {"8 bits, unsigned": {"activation_signed": False}})
    for lanes in (4, 8):
        kinds = {f"{lanes} lanes, {kind}": {"lanes": lanes, "adders": kind} for kind in ADDERS}
        yield from sweep("adders", kinds)
    registers = {"none": (), "products": ("products",), "both": ("products", "shift")}
    yield from sweep("pipeline", {name: {"pipeline": p} for name, p in registers.items()})
    yield scales("uint8", ScaleConfig())
    yield scales("e8m0, serial", ScaleConfig(format="e8m0"))
    yield scales("e8m0, shifter", ScaleConfig(format="e8m0", shift="barrel"))
    yield scales("e4m3, serial", ScaleConfig(format="e4m3"))
    yield scales("e4m3, shifter", ScaleConfig(format="e4m3", shift="barrel"))


def _slots() -> Iterator[Point]:
    """Formats of one to four slots with the same lanes and accumulator."""
    for name in ("ternary", "int4", "bitmod_fp4", "int8"):
        built = machine(name, inner_accumulator=AccumulatorConfig(bits=24))
        yield _point(
            built, lambda b=built: serial_pe(b), table="slots", design="serial", part="pe",
            setting=str(built.terms.slots),
        )  # fmt: skip


def tables(chosen: list[Point]) -> list[str]:
    """Names of the tables in order."""
    return list(dict.fromkeys(point.table for point in chosen))


def of_tables(chosen: list[Point], names: list[str] | None) -> list[Point]:
    """Points of some tables.

    Raises
    ------
    InputError : a table has another name.
    """
    known = tables(chosen)
    for name in names or ():
        if name not in known:
            raise InputError(f"unknown table '{name}': one of {', '.join(known)}")
    return [point for point in chosen if names is None or point.table in names]
