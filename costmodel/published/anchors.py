"""Published areas, energies and LUT counts that ours are laid beside, each with its source.

A figure is quoted as printed, at its own node and voltage; nothing here is scaled or fitted.
Secondary figures (not read in the paper itself) say so in their source.
"""

import math
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["area", "energy", "delay"]
UNITS: dict[Quantity, str] = {"area": "um2", "energy": "pJ", "delay": "ps"}


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A published figure.

    Attributes
    ----------
    group : table of docs/anchors.md.
    name : what was measured, unique within group and quantity.
    quantity : ``"area"`` in um2, ``"energy"`` in pJ per operation or cycle, ``"delay"`` in ps.
    value : the figure.
    node_nm, volts : process and supply.
    source : paper and table.
    """

    group: str
    name: str
    quantity: Quantity
    value: float
    node_nm: int
    volts: float
    source: str


@dataclass(frozen=True, kw_only=True)
class SlopeAnchor:
    """Area of saturating integer MACs over accumulator width, by multiplier width.

    Attributes
    ----------
    bits : multiplier width.
    slope : area units per accumulator bit, from the published fit.
    areas : area by accumulator width, in the source's area units.
    """

    bits: int
    slope: float
    areas: dict[int, float]

    @property
    def share_per_bit(self) -> float:
        """One accumulator bit over the core with 32 of them: free of units and of the node."""
        return self.slope / self.areas[32]


_HOROWITZ = "Horowitz, ISSCC 2014, 'Computing's energy problem', figure of operations, 45 nm, 0.9 V"
#: energy in pJ and area in um2
HOROWITZ: dict[str, tuple[float, float]] = {
    "int8 add": (0.03, 36),
    "int16 add": (0.05, 67),
    "int32 add": (0.1, 137),
    "int8 multiply": (0.2, 282),
    "int32 multiply": (3.1, 3495),
    "float16 add": (0.4, 1360),
    "float32 add": (0.9, 4184),
    "float16 multiply": (1.1, 1640),
    "float32 multiply": (3.7, 7700),
}

_BITNET = (
    "BitNet (arXiv 2310.11453), table of ADD and MUL energies, 7 nm, secondary: the paper's text "
    "was not at hand; public code that computes with the table gives int8, int32 and float32, and "
    "all agree with Jouppi et al., ISCA 2021, which it follows. Supply not stated, 0.7 V assumed"
)
#: energy in pJ at 7 nm; the table's 45 nm column is that of Horowitz
BITNET_7NM: dict[str, float] = {
    "int8 add": 0.007,
    "int8 multiply": 0.07,
    "float16 add": 0.16,
    "float16 multiply": 0.34,
    "float32 add": 0.38,
    "float32 multiply": 1.31,
}

_TABLE_X = "BitMoD, HPCA 2025, table X: per tile at 1 GHz, 28 nm"
_SHEET = (
    "BitMoD, HPCA 2025, synthesis spreadsheet of the artifact (PE_Area_Power.xlsx): 28 nm, ss, "
    "0.9 V, -40 C, 1 ns"
)
#: um2 without registers, with those of inputs and outputs, and mW at 1 GHz, which is pJ per cycle
BITMOD_SHEET: dict[str, tuple[float, float, float]] = {
    "exponent match": (119.2, 306.9, 0.136),
    "bit-serial multiply and tree": (498.4, 748.3, 0.185),
    "group accumulate": (475.9, 546.1, 0.195),
    "dequantizer": (128.1, 192.4, 0.070),
    "BitMoD PE": (1221.6, 1793.7, 0.586),
    "float16 multiplier": (1273.6, 1395.5, 0.49),
    "float16 adder": (459.9, 573.2, 0.28),
    "FP16 PE": (1733.5, 1968.7, 0.77),
    "FP16 x INT8 PE": (1222.8, 1318.6, 0.613),
}
#: um2 and mW of a tile: 64 PEs and the encoders of 8 columns, or 48 FP16 PEs
BITMOD_TILES: dict[str, tuple[float, float, int]] = {
    "BitMoD PE, of a tile": (97090.0, 37.5, 64),
    "FP16 PE, of a tile": (95498.0, 36.96, 48),
    "encoder of a column": (2419.0, 1.86, 8),
}

_OLIVE = (
    "OliVe, ISCA 2023, area of its systolic array at 22 nm, secondary (quoted in a survey of the "
    "three designs; decoders are 2.2 % of the array)"
)
_ANT = (
    "ANT, MICRO 2022, area table at 28 nm, secondary and not verified (the paper was not at hand)"
)
#: um2, node and source of decoders at the border of the array
DECODERS: dict[str, tuple[float, int, str]] = {
    "OliVe decoder, 4 bits, a pair of codes": (13.53, 22, _OLIVE),
    "ANT decoder, 4 bits, a code": (4.9, 28, _ANT),
}

SLOPE_SOURCE = (
    "saturating integer MAC in ICsprout 55 nm, areas over accumulator width, R^2 above 0.9997 "
    "(secondary: reference page on accumulators); area units of the source"
)
SLOPES = (
    SlopeAnchor(bits=4, slope=65.1, areas={16: 1080, 20: 1352, 24: 1598, 32: 2130}),
    SlopeAnchor(bits=8, slope=82.8, areas={16: 1558, 20: 1903, 24: 2230, 32: 2931}),
)
LEAST_R2 = 0.99

FINN_SOURCE = (
    "FINN, lut_estimation of the matrix-vector unit (after Blott et al., FINN-R, 2018): "
    "1.1 * (SIMD * (2 ceil((W + A) / 6) - 1) * (W + A) + (W + A) * (2 SIMD - 1) + P), the "
    "constant 300 of a unit and thresholds left out"
)


def finn_luts(
    *, weight_bits: int, activation_bits: int, lanes: int, accumulator_bits: int
) -> float:
    """LUTs of one PE of ``lanes`` products by FINN's estimate, see :data:`FINN_SOURCE`."""
    both = weight_bits + activation_bits
    products = lanes * (2 * math.ceil(both / 6) - 1) * both
    return 1.1 * (products + both * (2 * lanes - 1) + accumulator_bits)


def _horowitz() -> list[Anchor]:
    """Operators at 45 nm."""
    group = "operators, 45 nm"
    quantities: tuple[Quantity, Quantity] = ("area", "energy")
    return [
        Anchor(
            group=group,
            name=name,
            quantity=quantity,
            value=value,
            node_nm=45,
            volts=0.9,
            source=_HOROWITZ,
        )
        for name, (energy_pj, area_um2) in HOROWITZ.items()
        for quantity, value in zip(quantities, (area_um2, energy_pj), strict=True)
    ]


def _bitnet() -> list[Anchor]:
    """Operators at 7 nm."""
    return [
        Anchor(
            group="operators, 7 nm",
            name=name,
            quantity="energy",
            value=energy_pj,
            node_nm=7,
            volts=0.7,
            source=_BITNET,
        )
        for name, energy_pj in BITNET_7NM.items()
    ]


def _bitmod() -> list[Anchor]:
    """Blocks of the spreadsheet without registers, then PEs and encoders of a tile."""

    def anchor(name: str, quantity: Quantity, value: float, source: str) -> Anchor:
        return Anchor(
            group="BitMoD",
            name=name,
            quantity=quantity,
            value=value,
            node_nm=28,
            volts=0.9,
            source=source,
        )

    made = []
    for name, (bare_um2, _, power_mw) in BITMOD_SHEET.items():
        made.append(anchor(name, "area", bare_um2, f"{_SHEET}, without registers"))
        made.append(anchor(name, "energy", power_mw, f"{_SHEET}, registers included"))
    for name, (area_um2, power_mw, count) in BITMOD_TILES.items():
        made.append(anchor(name, "area", area_um2 / count, f"{_TABLE_X}, over {count}"))
        made.append(anchor(name, "energy", power_mw / count, f"{_TABLE_X}, over {count}"))
    made.append(anchor("BitMoD PE", "delay", 1000.0, _SHEET))
    made.append(anchor("FP16 PE", "delay", 1000.0, _SHEET))
    return made


def _decoders() -> list[Anchor]:
    """Decoders of OliVe and ANT."""
    return [
        Anchor(
            group="decoders",
            name=name,
            quantity="area",
            value=area_um2,
            node_nm=node_nm,
            volts=0.9 if node_nm == 28 else 0.8,
            source=source,
        )
        for name, (area_um2, node_nm, source) in DECODERS.items()
    ]


def anchors() -> list[Anchor]:
    """Every figure of area, energy and delay, in the order of the page."""
    return [*_bitmod(), *_decoders(), *_horowitz(), *_bitnet()]
