"""What ``python -m benchmarks.float_pe`` synthesizes: designs with their parts, in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from amaranth.lib import wiring

from benchmarks.float_mac import RoundingMac, UnalignedAccumulator
from benchmarks.mac import ActivationRegister
from configs.accelerator import AcceleratorConfig, FloatConfig, ScaleConfig
from hw.array.parts import activation_decoder, inner_pe, inner_sum, make_dequantizer
from hw.pe import FloatAccumulator
from hw.terms import ColumnTerms
from sw.compile.machine import Machine, resolve_machine, worst_case_widths
from sw.formats import float_layout, get_family

#: rows and columns of the tile among which a row's and a column's parts are shared
TILE = 8
#: integer accumulators hold every sum of such groups and channels
GROUP_SIZE, INPUTS = 128, 4096
LANES = 4
#: formats by bits of a weight, of the serial PEs
SERIAL_FORMATS = {8: "int8", 6: "int6", 4: "bitmod_fp4", 3: "bitmod_fp3"}
SWEPT = "bitmod_fp4"
GUARD_BITS = (0, 1, 2, 3, 4, 6)
MANTISSA_BITS = (10, 12, 14, 16, 20, 24)
#: of the sweep with alignment in the PE
FEW_GUARD_BITS, FEW_MANTISSA_BITS = (0, 3, 6), (12, 16, 24)
#: one multiply-add, rounded once as IEEE 754: float16 and float32 accumulators
FUSED = {"alignment": "pe", "guard_bits": 0, "normalization": "full"}
FLOAT16_BITS, FLOAT32_BITS = 12, 25
#: float16 weights need no scale: the least that a machine can have
_UNSCALED = ScaleConfig(format="e8m0", binades=1, shift="barrel")

#: serial PEs that are mapped to FPGAs, too, in one setting; others differ as in the libraries
_ON_FPGAS = (
    ("row aligned", 8, 4),
    ("row aligned", 4, 4),
    ("row aligned", 4, 8),
    ("row aligned", 3, 4),
    ("aligning", 8, 4),
    ("aligning", 4, 4),
    ("exact", 4, 4),
)

Setting = dict[str, Any]
SETTINGS: dict[str, Setting] = {
    "0/12 truncate": {"guard_bits": 0, "mantissa_bits": 12, "rounding": "truncate"},
    "0/14 nearest": {"guard_bits": 0, "mantissa_bits": 14, "rounding": "nearest_even"},
    "3/15 truncate": {"guard_bits": 3, "mantissa_bits": 15, "rounding": "truncate"},
    "3/16 nearest": {"guard_bits": 3, "mantissa_bits": 16, "rounding": "nearest_even"},
    "3/24 nearest": {"guard_bits": 3, "mantissa_bits": 24, "rounding": "nearest_even"},
}
DEFAULT = "3/16 nearest"


@dataclass(frozen=True, kw_only=True)
class Design:
    """A PE with one setting, and what belongs to it.

    Attributes
    ----------
    table : ``"weights"``, ``"released"``, ``"dsp"`` or ``"sweep"``.
    name : what the PE is.
    weight_bits : widths of the weights that it is compared for.
    machine : a tile of it.
    parts : parts that are measured.
    fpgas : FPGAs are targets.
    dsp : multiplier blocks may be used, and only FPGAs are targets.
    pe : makes another PE than the machine's.
    """

    table: str
    name: str
    weight_bits: tuple[int, ...]
    machine: Machine
    parts: tuple[str, ...] = ("pe", "activations", "column", "dequantizer", "dequantizers")
    fpgas: bool = True
    dsp: bool = False
    pe: Callable[[], wiring.Component] | None = None

    @property
    def macs_per_cycle(self) -> float:
        """Whole weights times activations per cycle."""
        return self.machine.accelerator.lanes / self.machine.slots

    def components(self) -> dict[str, Callable[[], wiring.Component]]:
        """What to build for every part.

        ``activations`` is one row's, ``column`` one column's; ``dequantizers`` is one that serves
        the rows of a whole tile.
        """
        made: dict[str, Callable[[], wiring.Component]] = {
            "pe": self.pe or (lambda: inner_pe(self.machine)),
            "activations": lambda: _activations(self.machine),
            "column": lambda: _column(self.machine),
            "dequantizer": lambda: make_dequantizer(self.machine),
            "dequantizers": lambda: make_dequantizer(_sharing(self.machine)),
        }
        return {part: made[part] for part in self.parts}


def _activations(machine: Machine) -> wiring.Component:
    """What stands in front of one row."""
    array = machine.accelerator
    if array.has_floats:
        return activation_decoder(machine)
    return ActivationRegister(bits=array.lanes * array.activation_bits)


def _column(machine: Machine) -> ColumnTerms:
    """Decoders and term registers of one column."""
    return ColumnTerms(
        family=machine.family,
        terms=machine.terms,
        lanes=machine.accelerator.lanes,
        programmable=False,
        count_negatives=False,
    )


def _sharing(machine: Machine) -> Machine:
    """The same machine with one dequantizer for all rows of a column."""
    return replace(machine, accelerator=replace(machine.accelerator, rows_per_dequantizer=TILE))


def machine(family: str, lanes: int, setting: Setting | None, **options: Any) -> Machine:
    """A tile; ``setting`` is that of float16 activations, None for 8-bit integers."""
    floats: dict[str, Any] = {}
    if setting is not None:
        floats = {"activation_format": "float16", "floating": FloatConfig(**setting)}
    array = AcceleratorConfig(
        name="measured", rows=TILE, cols=TILE, lanes=lanes, **floats, **options
    )
    formats = get_family(family)
    widths = worst_case_widths(array, formats, group_size=GROUP_SIZE, k=INPUTS)
    return resolve_machine(array, formats, *widths)


def _serial(bits: int, lanes: int, setting: Setting) -> Design:
    built = machine(SERIAL_FORMATS[bits], lanes, setting)
    kind = {"row": "row aligned", "pe": "aligning"}[setting.get("alignment", "row")]
    kind = setting.get("datapath", kind)
    fpgas = (kind, bits, lanes) in _ON_FPGAS and (
        kind == "exact" or SETTINGS[DEFAULT].items() <= setting.items()
    )
    return Design(
        table="weights",
        name=f"serial, {kind}",
        weight_bits=(bits,),
        machine=built,
        fpgas=fpgas,
    )


def ours(bits: int) -> Iterator[Design]:
    """Serial PEs for weights of one width."""
    all_settings = bits in (8, 4)
    for alignment in ("row", "pe"):
        for name, setting in SETTINGS.items():
            if all_settings or name == DEFAULT:
                yield _serial(bits, LANES, setting | {"alignment": alignment})
        if bits == 4 or (bits == 3 and alignment == "row"):
            yield _serial(bits, 2 * LANES, SETTINGS[DEFAULT] | {"alignment": alignment})
    yield _serial(bits, LANES, {"datapath": "exact"})


def as_released() -> Iterator[Design]:
    """Aligning PEs whose accumulator lacks a shift, as in BitMoD's released Verilog."""
    for bits in (8, 4):
        design = _serial(bits, LANES, SETTINGS["3/15 truncate"] | {"alignment": "pe"})
        yield replace(
            design,
            table="released",
            parts=("pe", "dequantizer"),
            pe=lambda built=design.machine: _without_alignment(built),
        )


def _without_alignment(machine: Machine) -> wiring.Component:
    pe = inner_pe(machine)
    correct = pe.accumulator
    assert isinstance(correct, FloatAccumulator)
    pe.accumulator = UnalignedAccumulator(
        floating=correct.floating,
        addend_bits=correct.addend_bits,
        addend_exponent_bits=len(correct.exponent),
    )
    return pe


def _multiplier(
    name: str,
    family: str,
    lanes: int,
    setting: Setting | None,
    *bits: int,
    fpgas: bool = True,
) -> Design:
    options: dict[str, Any] = {"pe": "multiplier"}
    if family == "float16":
        options["scale"] = _UNSCALED
    built = machine(family, lanes, setting, **options)
    design = Design(table="weights", name=name, weight_bits=bits, machine=built, fpgas=fpgas)
    return replace(design, parts=design.parts[:3]) if family == "float16" else design


def twice_rounded() -> Design:
    """Multiplier and adder that each round, as float16 units are mostly built."""
    fused = _multiplier(
        "FP16 MAC, product rounded",
        "float16",
        1,
        FUSED | {"mantissa_bits": FLOAT16_BITS},
        *SERIAL_FORMATS,
    )
    layout, floating = float_layout("float16"), inner_sum(fused.machine)
    return replace(fused, pe=lambda: RoundingMac(layout=layout, floating=floating))


def baselines() -> Iterator[Design]:
    """PEs with multipliers: as others build them, and with the activations aligned in the row."""
    yield twice_rounded()
    for mantissa in (FLOAT16_BITS, FLOAT32_BITS):
        fused = FUSED | {"mantissa_bits": mantissa}
        fpgas = mantissa == FLOAT16_BITS
        for name, family in (("FP16 MAC, fused", "float16"), ("FP16 x INT8", "int8")):
            yield _multiplier(name, family, 1, fused, *SERIAL_FORMATS, fpgas=fpgas)
    # the accumulator of the serial PEs behind one product
    growing = SETTINGS[DEFAULT] | {"alignment": "pe", "guard_bits": 0}
    name = "FP16 MAC, growing exponent"
    yield _multiplier(name, "float16", 1, growing, *SERIAL_FORMATS, fpgas=False)
    yield _multiplier("FP16 x INT8, growing exponent", "int8", 1, growing, *SERIAL_FORMATS)
    fused = FUSED | {"mantissa_bits": FLOAT16_BITS}
    yield _multiplier("ANT x FP16", "ant4", 1, fused, 4)
    # a pair of codes needs two lanes
    paired = fused | {"guard_bits": 3}
    yield _multiplier("OliVe x FP16", "olive4", 2, paired, 4)
    aligned = SETTINGS[DEFAULT]
    for name, family, bits in (
        ("INT8 x FP16, row aligned", "int8", (8, 6)),
        ("INT4 x FP16, row aligned", "int4", (4, 3)),
        ("ANT x FP16, row aligned", "ant4", (4,)),
        ("OliVe x FP16, row aligned", "olive4", (4,)),
    ):
        yield _multiplier(name, family, LANES, aligned, *bits)
    for name, family, bits in (
        ("INT8 x INT8", "int8", (8, 6)),
        ("INT4 x INT8", "int4", (4, 3)),
        ("ANT x INT8", "ant4", (4,)),
        ("OliVe x INT8", "olive4", (4,)),
    ):
        for lanes in (2 if family == "olive4" else 1, LANES):
            yield _multiplier(name, family, lanes, None, *bits, fpgas=lanes == LANES)


def with_dsps() -> Iterator[Design]:
    """PEs whose multipliers may become multiplier blocks."""
    fused = FUSED | {"mantissa_bits": FLOAT16_BITS}
    for name, family, lanes, setting in (
        ("FP16 MAC, fused", "float16", 1, fused),
        ("INT8 x FP16, row aligned", "int8", LANES, SETTINGS[DEFAULT]),
        ("INT4 x INT8", "int4", LANES, None),
    ):
        design = _multiplier(name, family, lanes, setting, 8)
        yield replace(design, table="dsp", parts=("pe",), dsp=True)


def sweep() -> Iterator[Design]:
    """Guard bits, mantissa bits and rounding of the serial PEs of :data:`SWEPT`, PE alone.

    With the parts of a row and the dequantizer, which depend on the same settings.
    """
    for alignment, guards, mantissas in (
        ("row", GUARD_BITS, MANTISSA_BITS),
        ("pe", FEW_GUARD_BITS, FEW_MANTISSA_BITS),
    ):
        for rounding in ("truncate", "nearest_even"):
            for guard in guards:
                for mantissa in mantissas:
                    setting = {
                        "alignment": alignment,
                        "guard_bits": guard,
                        "mantissa_bits": mantissa,
                        "rounding": rounding,
                    }
                    built = machine(SWEPT, LANES, setting)
                    name = f"serial, {'row aligned' if alignment == 'row' else 'aligning'}"
                    yield Design(
                        table="sweep", name=name, weight_bits=(4,), machine=built, fpgas=False
                    )


def designs(*, full: bool) -> list[Design]:
    """Every design, or a quick choice of them."""
    if full:
        mine = [design for bits in SERIAL_FORMATS for design in ours(bits)]
        return [*mine, *baselines(), *as_released(), *with_dsps(), *sweep()]
    setting = SETTINGS[DEFAULT]
    fused = FUSED | {"mantissa_bits": FLOAT16_BITS}
    return [
        _serial(4, LANES, setting | {"alignment": "row"}),
        _serial(4, LANES, setting | {"alignment": "pe"}),
        _serial(8, LANES, setting | {"alignment": "pe"}),
        twice_rounded(),
        _multiplier("FP16 MAC, fused", "float16", 1, fused, *SERIAL_FORMATS),
        _multiplier("INT4 x INT8", "int4", LANES, None, 4, 3),
    ]
