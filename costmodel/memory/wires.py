"""Energy and delay of on-chip wires, and two ways to bring an operand to many processing elements.

Broadcast: one wire along the array, driven once, all receivers hang on it. Systolic: each receiver
hands the bit to its neighbour through a register. Wires are semi-global ones (4 feature sizes of
pitch) on random data, half of whose bits change from word to word.
"""

import math

from configs.errors import check_range

from ..estimate import Estimate
from ..scaling import nominal_volts, scale

GEOMETRY_SOURCE = (
    "pitch, aspect ratio, dielectrics and fringe of semi-global wires, conservative projection of "
    "ITRS, as the tables of CACTI 7 give them, 180 to 22 nm; below 22 nm capacitance per mm held"
)
REPEATER_SOURCE = (
    "energy over that of the bare wire: 1.3 with repeaters for the least energy-delay product "
    "(Weste and Harris, CMOS VLSI Design, 4th edition, chapter 6); low: no repeaters; high: what "
    "brings the wire of Keckler et al. (IEEE Micro 31(5), 2011, table 1), 310 pJ for 256 bits over "
    "10 mm at 40 nm and 0.9 V, in line"
)
DELAY_SOURCE = (
    "repeated wire: (2 + sqrt 2) sqrt(RC RwCw) (Weste and Harris), RC a fifteenth of a "
    "fan-out-of-four delay of 0.36 ps per nm of gate length (Ho, Mai, Horowitz 2001); low: their "
    "40 ps/mm at 65 nm on wider wires over this formula; high: twice, an assumption for detours "
    "and weaker repeaters"
)
REGISTER_SOURCE = (
    "sg13g2_dfrbp_1, 130 nm, 1.2 V (Liberty): 0.01082 pJ per changed word and bit, 0.03394 pJ for "
    "both clock edges; brought to other nodes by costmodel.scaling"
)

#: feature size in nm: height of the dielectric above and below in um, and its constant sideways
_WIRES: dict[int, tuple[float, float]] = {
    180: (0.75, 3.038),
    90: (0.48, 3.038),
    65: (0.405, 2.734),
    45: (0.315, 2.46),
    32: (0.21, 2.214),
    22: (0.15, 2.104),
}
#: width and space in feature sizes, thickness over width, neighbours that switch the other way
_WIDTH, _ASPECT, _MILLER = 2, 2, 1.5
#: dielectric constant up and down; fringe in fF/um; copper with its barrier in ohm um
_VERTICAL, _FRINGE_FF, _RESISTIVITY = 3.9, 0.115, 0.022
_VACUUM_FF_PER_UM = 8.854e-3
#: share of the bits that change from word to word, on random data
TOGGLE = 0.5
#: energy of Keckler et al. per bit and mm
_KECKLER_FJ, _KECKLER_NM, _KECKLER_VOLTS = 310e3 / 256 / 10, 40, 0.9
_REPEATERS = 1.3
_REGISTER_130_PJ = 0.01082 + 0.03394
_FO4_PS_PER_NM = 0.36
#: ps per mm that Weste and Harris state for 65 nm
_WIDE_WIRE_PS, _WIDE_WIRE_NM = 40, 65


def _capacitance_ff_per_um(nm: float) -> float:
    """Both neighbours, the planes above and below, and the fringe."""
    newest = min(_WIRES)
    at = max(nm, newest)
    older = min(node for node in _WIRES if node >= at)
    newer = max(node for node in _WIRES if node <= at)
    share = 0.0 if older == newer else math.log(at / older) / math.log(newer / older)
    height, sideways = (
        (1 - share) * a + share * b for a, b in zip(_WIRES[older], _WIRES[newer], strict=True)
    )
    vertical = 2 * _VACUUM_FF_PER_UM * _VERTICAL * _WIDTH * at / 1000 / height
    return vertical + 2 * _VACUUM_FF_PER_UM * _MILLER * sideways * _ASPECT + _FRINGE_FF


def _resistance_ohm_per_um(nm: float) -> float:
    width_um = _WIDTH * nm / 1000
    return _RESISTIVITY / (width_um**2 * _ASPECT)


def _bare_fj_per_mm(nm: float, volts: float, toggle: float) -> float:
    return toggle * 0.5 * _capacitance_ff_per_um(nm) * 1000 * volts**2


def _premium() -> Estimate:
    """Energy with repeaters over that without."""
    keckler = _KECKLER_FJ / _bare_fj_per_mm(_KECKLER_NM, _KECKLER_VOLTS, TOGGLE)
    return Estimate(value=_REPEATERS, low=1.0, high=keckler)


def wire_fj_per_bit_mm(*, nm: int, volts: float, toggle: float = TOGGLE) -> Estimate:
    """Energy of a bit over a mm of repeated wire, in fJ.

    Parameters
    ----------
    toggle : share of the bits that differ from the bit before.
    """
    _check(nm, volts)
    check_range("toggle", toggle, 0, 1)
    return _premium().times(_bare_fj_per_mm(nm, volts, toggle))


def wire_ps_per_mm(*, nm: int, volts: float) -> Estimate:
    """Delay of a mm of repeated wire, in ps; with the root of the transistors' delay."""
    _check(nm, volts)
    nominal = nominal_volts(nm)
    slower = scale("delay", from_nm=nm, from_volts=nominal, to_nm=nm, to_volts=volts).value
    value = _delay_ps_per_mm(nm) * math.sqrt(slower)
    wide = _WIDE_WIRE_PS / _delay_ps_per_mm(_WIDE_WIRE_NM)
    return Estimate(value=value, low=value * wide, high=value * 2)


def _delay_ps_per_mm(nm: float) -> float:
    gate_ps = _FO4_PS_PER_NM * nm / 15
    wire_ps = _capacitance_ff_per_um(nm) * _resistance_ohm_per_um(nm) * 1000
    return (2 + math.sqrt(2)) * math.sqrt(gate_ps * wire_ps)


def register_pj_per_bit(*, nm: int, volts: float) -> Estimate:
    """Energy of a register bit that takes new random data every cycle, clock included, in pJ."""
    factor = scale("energy", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=volts)
    return factor.times(_REGISTER_130_PJ)


def crossover_pitch_mm(*, nm: int, volts: float, toggle: float = TOGGLE) -> Estimate:
    """Distance between receivers above which hops take less energy than a broadcast, in mm.

    A hop saves the repeaters of its piece of wire and pays a register. Without repeaters there is
    nothing to save: the high limit is then infinite.
    """
    register = register_pj_per_bit(nm=nm, volts=volts)
    premium, bare = _premium(), _bare_fj_per_mm(nm, volts, toggle) / 1000
    if bare == 0:
        return Estimate(value=math.inf, low=math.inf, high=math.inf)
    return Estimate(
        value=register.value / (bare * (premium.value - 1)),
        low=register.low / (bare * (premium.high - 1)),
        high=math.inf if premium.low <= 1 else register.high / (bare * (premium.low - 1)),
    )


def broadcast_reach_mm(period_ps: float, *, nm: int, volts: float, share: float = 0.5) -> Estimate:
    """Longest broadcast within a ``share`` of a clock period, in mm; beyond it, hops are needed."""
    check_range("period_ps", period_ps, 1, 1e9)
    check_range("share", share, 0.01, 1)
    delay = wire_ps_per_mm(nm=nm, volts=volts)
    budget = share * period_ps
    return Estimate(value=budget / delay.value, low=budget / delay.high, high=budget / delay.low)


def _check(nm: int, volts: float) -> None:
    """The scaling module knows which nodes and supplies there are."""
    scale("energy", from_nm=nm, from_volts=volts, to_nm=nm, to_volts=volts)


def main() -> None:
    """Print wires by node, and where broadcast and hops part."""
    print("node V: wire fJ/bit/mm, ps/mm, register pJ/bit, reach in half of 1 ns, crossover pitch")
    for nm, volts in ((130, 1.2), (65, 1.1), (45, 1.0), (28, 0.9), (22, 0.8), (16, 0.8), (7, 0.7)):
        cells = [
            f"{e.value:.3g} ({e.low:.3g} to {e.high:.3g})"
            for e in (
                wire_fj_per_bit_mm(nm=nm, volts=volts),
                wire_ps_per_mm(nm=nm, volts=volts),
                register_pj_per_bit(nm=nm, volts=volts),
                broadcast_reach_mm(1000, nm=nm, volts=volts),
                crossover_pitch_mm(nm=nm, volts=volts),
            )
        ]
        print(f"{nm} nm {volts:g} V: {', '.join(cells)}")


if __name__ == "__main__":
    main()
