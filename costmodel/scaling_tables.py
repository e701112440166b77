"""Published figures behind ``costmodel.scaling``, every table with its source."""

from dataclasses import dataclass

STILLMAKER_SOURCE = (
    "Stillmaker and Baas, Scaling equations for the accurate prediction of CMOS device performance "
    "from 180 nm to 7 nm, Integration 58 (2017) 74-81: polynomials fitted to HSpice runs of PTM "
    "and ITRS models, R2 above 0.95"
)
ANCHOR_SOURCE = (
    "areas of a two-input NAND: sg13g2_nand2_1 7.2576 um2 and sky130_fd_sc_hd__nand2_1 3.7536 um2 "
    "at 130 nm (Liberty files of the two open processes), NAND2_X1 0.798 um2 at 45 nm (Nangate "
    "Open Cell Library), 3900 thousand gates per mm2 at 28 nm (TSMC, VLSI Symposium 2009), 3 gate "
    "pitches of 54 nm times 7.5 tracks of 36 nm at 7 nm (ASAP7, Clark et al. 2016)"
)
CAPACITANCE_SOURCE = "capacitance in proportion to feature size, energy as C V^2"
FO4_SOURCE = (
    "fan-out-of-four delay in proportion to drawn gate length (Ho, Mai, Horowitz, The future of "
    "wires, Proceedings of the IEEE 89(4), 2001)"
)
OFF_CURRENT_SOURCE = (
    "off currents of ITRS high-performance and low-standby-power transistors at 300 K, as the "
    "tables of CACTI 7 give them; 130 nm between its 180 and 90 nm, below 22 nm held"
)
LIBRARY_LEAKAGE_SOURCE = (
    "leakage of a two-input NAND: sg13g2_nand2_1 81.22 pW at 1.2 V and 25 C (Liberty), NAND2_X1 "
    "17.39 nW at 45 nm, 1.1 V and 25 C (Nangate Open Cell Library)"
)

#: feature size in nm: area of a circuit that takes 1 at 130 nm (table 3 of Stillmaker and Baas)
AREA: dict[int, float] = {
    130: 1.0,
    90: 0.44,
    65: 0.23,
    45: 0.16,
    32: 0.072,
    20: 0.033,
    16: 0.03,
    14: 0.027,
    10: 0.016,
    7: 0.0092,
}

#: areas that check them: at 130 nm, and at newer nodes, in um2
OLD_NAND2_UM2 = (7.2576, 3.7536)
NEW_NAND2_UM2: dict[int, float] = {45: 0.798, 28: 1000 / 3900, 7: 3 * 0.054 * 7.5 * 0.036}


@dataclass(frozen=True, kw_only=True)
class Device:
    """One transistor family at one node: polynomials in the supply voltage, highest power first.

    Attributes
    ----------
    volts : nominal supply of the PTM model.
    delay, energy : factors; only quotients of two of them mean anything.
    """

    volts: float
    delay: tuple[float, float, float, float]
    energy: tuple[float, float, float]


#: bulk transistors, then high-performance ones from 45 nm on, multi-gate ones from 20 nm on
HIGH_PERFORMANCE: dict[int, Device] = {
    130: Device(volts=1.3, delay=(-76.65, 334.9, -493.4, 275.8), energy=(7.171, -6.709, 2.904)),
    90: Device(volts=1.2, delay=(-60.34, 262.5, -384.2, 210.9), energy=(4.762, -4.781, 2.092)),
    65: Device(volts=1.1, delay=(-53.3, 230.4, -333.9, 178.6), energy=(3.755, -4.398, 1.975)),
    45: Device(volts=1.0, delay=(-501.6, 1567, -1619, 566.1), energy=(1.018, -0.3107, 0.1539)),
    32: Device(volts=0.9, delay=(-1047, 2982, -2797, 873.5), energy=(0.8367, -0.4341, 0.1701)),
    20: Device(volts=0.9, delay=(0, 34.63, -66.37, 41.15), energy=(0.373, -0.1582, 0.04104)),
    16: Device(volts=0.85, delay=(0, 24.8, -47.52, 28.87), energy=(0.2958, -0.1241, 0.03024)),
    14: Device(volts=0.8, delay=(-40.66, 109.2, -100.6, 35.92), energy=(0.2363, -0.09675, 0.02239)),
    10: Device(volts=0.75, delay=(-34.95, 93.65, -85.99, 30.4), energy=(0.2068, -0.09311, 0.02375)),
    7: Device(volts=0.7, delay=(-28.58, 76.6, -70.26, 24.69), energy=(0.1776, -0.09097, 0.02447)),
}
#: low-power transistors; older nodes have one family only
LOW_POWER: dict[int, Device] = {
    45: Device(volts=1.1, delay=(-285.7, 1239, -1795, 898.8), energy=(1.103, -0.362, 0.2767)),
    32: Device(volts=1.0, delay=(-325.9, 1374, -1922, 913.2), energy=(0.9559, -0.7823, 0.471)),
    20: Device(volts=0.9, delay=(-160.5, 514.1, -558.6, 217.5), energy=(0.2632, -0.14, 0.06841)),
    16: Device(volts=0.85, delay=(-114.6, 366.7, -397.4, 153.6), energy=(0.2139, -0.1187, 0.05639)),
    14: Device(volts=0.8, delay=(-85.37, 271.6, -292.2, 111.4), energy=(0.1556, -0.06472, 0.03066)),
    10: Device(volts=0.75, delay=(-71.76, 228.6, -246.3, 93.91), energy=(0.1261, -0.0518, 0.02769)),
    7: Device(volts=0.7, delay=(-61.79, 196.1, -210.3, 79.55), energy=(0.09365, -0.03409, 0.02043)),
}

#: feature size in nm: off current in A/um, high performance
HIGH_PERFORMANCE_OFF: dict[int, float] = {
    180: 1.15e-9,
    90: 5.92e-8,
    65: 3.05e-7,
    45: 4.39e-7,
    32: 1.68e-7,
    22: 1.344e-7,
}
#: the same, low standby power
LOW_STANDBY_OFF: dict[int, float] = {
    90: 1.25e-11,
    65: 3.64e-11,
    45: 4.06e-11,
    32: 7.83e-11,
    22: 1.94e-10,
}
#: NAND of sg13g2 at 130 nm and of the Nangate library at 45 nm: volts, W
LIBRARY_LEAKAGE_W: dict[int, tuple[float, float]] = {130: (1.2, 81.22e-12), 45: (1.1, 17.39e-9)}

#: int8 and float32, additions and multiplications: pJ at 45 nm, 0.9 V, and at 7 nm
OPERATORS_NM = (45, 7)
OPERATORS_PJ: tuple[tuple[float, float], ...] = (
    (0.03, 0.007),
    (0.2, 0.07),
    (0.9, 0.38),
    (3.7, 1.31),
)
OPERATOR_SOURCE = (
    "arithmetic at 45 nm (Horowitz, ISSCC 2014) and at 7 nm (Jouppi et al., ISCA 2021, as quoted "
    "with BitNet's table of energies), which fell far less"
)
