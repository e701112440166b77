"""Area, energy, delay and leakage of a circuit carried from one process to another.

The expected factor is that of Stillmaker and Baas (high-performance transistors). A second source
checks every quantity and sets the interval, so that the interval says how far two published ways of
scaling lie apart, not how well one curve was fitted. 28 and 22 nm lie between the published 32 and
20 nm, in proportion on logarithmic axes.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from configs.errors import InputError, unknown_name

from .estimate import Estimate
from .scaling_tables import (
    ANCHOR_SOURCE,
    AREA,
    CAPACITANCE_SOURCE,
    FO4_SOURCE,
    HIGH_PERFORMANCE,
    HIGH_PERFORMANCE_OFF,
    LIBRARY_LEAKAGE_SOURCE,
    LIBRARY_LEAKAGE_W,
    LOW_POWER,
    LOW_STANDBY_OFF,
    NEW_NAND2_UM2,
    OFF_CURRENT_SOURCE,
    OLD_NAND2_UM2,
    OPERATOR_SOURCE,
    OPERATORS_NM,
    OPERATORS_PJ,
    STILLMAKER_SOURCE,
    Device,
)

Quantity = Literal["area", "energy", "delay", "leakage"]

#: feature sizes in nm that can be scaled from and to
NODES = (130, 90, 65, 45, 32, 28, 22, 20, 16, 14, 10, 7)
#: share of the nominal supply up to which the energy polynomials hold: their authors' own example
#: goes to 1.3 V at 65 nm
FITTED_SHARE = 1.2
#: supplies that are accepted, over the nominal one
LOWEST_SHARE, HIGHEST_SHARE = 0.6, 1.5
#: what R2 above 0.95 leaves open, as a share
POLYNOMIAL_ERROR = 0.05

_SOURCES: dict[str, tuple[str, str]] = {
    "area": (STILLMAKER_SOURCE, ANCHOR_SOURCE),
    "energy": (STILLMAKER_SOURCE, f"{CAPACITANCE_SOURCE}; {OPERATOR_SOURCE}"),
    "delay": (STILLMAKER_SOURCE, FO4_SOURCE),
    "leakage": (OFF_CURRENT_SOURCE, LIBRARY_LEAKAGE_SOURCE),
}


def scale(
    quantity: Quantity, *, from_nm: int, from_volts: float, to_nm: int, to_volts: float
) -> Estimate:
    """Factor by which a figure of the one process is multiplied to get that of the other.

    ``leakage`` is that of a gate at 25 C, not of an area. Refused are unknown quantities, feature
    sizes that are not in ``NODES`` and supplies outside 0.6 to 1.5 times the nominal one.
    """
    if quantity not in _SOURCES:
        raise unknown_name("scaling quantity", quantity, _SOURCES)
    for nm, volts in ((from_nm, from_volts), (to_nm, to_volts)):
        _check(nm, volts)
    if from_nm == to_nm and (quantity == "area" or from_volts == to_volts):
        return Estimate.exact(1.0)
    rule = {"area": _area, "energy": _energy, "delay": _delay, "leakage": _leakage}[quantity]
    return rule(from_nm, from_volts, to_nm, to_volts)


def scaling_source(quantity: Quantity) -> str:
    """Where the factor of a quantity comes from, and what its interval is made of."""
    if quantity not in _SOURCES:
        raise unknown_name("scaling quantity", quantity, _SOURCES)
    value, check = _SOURCES[quantity]
    return f"value: {value}; interval: {check}"


def nominal_volts(nm: int) -> float:
    """Supply that the published models of a node are made for; in between, a proportion."""
    if nm not in NODES:
        near = min(NODES, key=lambda node: abs(math.log(node / nm)) if nm > 0 else node)
        raise InputError(
            f"no scaling to or from {nm} nm: the nearest known is {near} nm, "
            f"known are {', '.join(map(str, NODES))}"
        )
    return _between({node: device.volts for node, device in HIGH_PERFORMANCE.items()}, nm)


def _check(nm: int, volts: float) -> None:
    nominal = nominal_volts(nm)
    low, high = LOWEST_SHARE * nominal, HIGHEST_SHARE * nominal
    if not low - 1e-9 <= volts <= high + 1e-9:
        raise InputError(f"{volts:g} V at {nm} nm is outside {low:.2f}..{high:.2f} V")


def _between(table: Mapping[int, float], nm: int) -> float:
    """A positive figure at any feature size, straight on logarithmic axes, held at the ends."""
    if nm in table:
        return table[nm]
    older = [node for node in table if node > nm]
    newer = [node for node in table if node < nm]
    if not older or not newer:
        return table[min(older) if older else max(newer)]
    a, b = min(older), max(newer)
    share = math.log(nm / a) / math.log(b / a)
    return math.exp((1 - share) * math.log(table[a]) + share * math.log(table[b]))


def _polynomial(coefficients: tuple[float, ...], volts: float) -> float:
    value = 0.0
    for coefficient in coefficients:
        value = value * volts + coefficient
    return value


def _device_energy(device: Device, volts: float) -> float:
    """Above the fitted supplies the quadratic goes on as C V^2."""
    top = FITTED_SHARE * device.volts
    return _polynomial(device.energy, min(volts, top)) * max(1.0, volts / top) ** 2


def _device_delay(device: Device, volts: float) -> float:
    """Held above the nominal supply: a process made for more volts has other transistors."""
    return _polynomial(device.delay, min(volts, device.volts))


def _factor(
    family: Mapping[int, Device], of: Callable[[Device, float], float], nm: int, volts: float
) -> float:
    """Energy or delay factor of a family; the nodes before 45 nm have one family only."""
    return _between({node: of(d, volts) for node, d in _merged(family).items()}, nm)


def _merged(family: Mapping[int, Device]) -> dict[int, Device]:
    return {node: family.get(node, device) for node, device in HIGH_PERFORMANCE.items()}


def _spanned(value: float, others: list[float], share: float = 0.0) -> Estimate:
    """``value`` between the least and the greatest of all, each give or take a share."""
    every = [value, *others]
    return Estimate(value=value, low=min(every) * (1 - share), high=max(every) * (1 + share))


def _area(from_nm: int, _from_volts: float, to_nm: int, _to_volts: float) -> Estimate:
    value = _between(AREA, to_nm) / _between(AREA, from_nm)
    ratios = [
        (new / old) / _between(AREA, nm)
        for nm, new in NEW_NAND2_UM2.items()
        for old in OLD_NAND2_UM2
    ]
    return _spanned(value, [value * ratio for ratio in ratios])


def _energy(from_nm: int, from_volts: float, to_nm: int, to_volts: float) -> Estimate:
    fast, slow = (
        _factor(family, _device_energy, to_nm, to_volts)
        / _factor(family, _device_energy, from_nm, from_volts)
        for family in (HIGH_PERFORMANCE, LOW_POWER)
    )
    capacitance = to_nm / from_nm * (to_volts / from_volts) ** 2
    return _spanned(fast, [slow, capacitance, fast * _excess(from_nm, to_nm)], POLYNOMIAL_ERROR)


def _excess(from_nm: int, to_nm: int) -> float:
    """How much less the energy of published operators falls than that of the polynomials.

    Only below the older of the operators' nodes, in proportion on logarithmic axes.
    """
    old, new = OPERATORS_NM
    fell = math.prod(after / before for before, after in OPERATORS_PJ) ** (1 / len(OPERATORS_PJ))
    polynomials = _factor(HIGH_PERFORMANCE, _device_energy, new, nominal_volts(new)) / _factor(
        HIGH_PERFORMANCE, _device_energy, old, 0.9
    )
    passed = math.log(min(from_nm, old) / min(to_nm, old)) / math.log(old / new)
    return math.pow(fell / polynomials, passed)


def _delay(from_nm: int, from_volts: float, to_nm: int, to_volts: float) -> Estimate:
    """The slow side is half way to low-power transistors: cell libraries mix thresholds."""
    fast, slow = (
        _factor(family, _device_delay, to_nm, to_volts)
        / _factor(family, _device_delay, from_nm, from_volts)
        for family in (HIGH_PERFORMANCE, LOW_POWER)
    )
    others = [math.sqrt(fast * slow)]
    if from_nm != to_nm:
        others.append(to_nm / from_nm)
    over = max(from_volts / nominal_volts(from_nm), 1.0)
    return _spanned(fast, [*others, fast / over], POLYNOMIAL_ERROR)


def _leakage(from_nm: int, from_volts: float, to_nm: int, to_volts: float) -> Estimate:
    """Off current per um of width, gates as wide as their node is large, times the supply."""
    size = to_nm / from_nm * to_volts / from_volts
    source = _between(HIGH_PERFORMANCE_OFF, from_nm)
    value = size * _between(HIGH_PERFORMANCE_OFF, to_nm) / source
    (old_nm, (old_volts, old_w)), (new_nm, (new_volts, new_w)) = LIBRARY_LEAKAGE_W.items()
    libraries = (new_w / old_w) / (
        (new_nm / old_nm)
        * (new_volts / old_volts)
        * (_between(HIGH_PERFORMANCE_OFF, new_nm) / _between(HIGH_PERFORMANCE_OFF, old_nm))
    )
    return _spanned(value, [size * _between(LOW_STANDBY_OFF, to_nm) / source, value * libraries])


def main() -> None:
    """Print the factors from the two open processes."""
    print("factor from -> to: value (low to high)")
    for name, volts in (("sg13g2", 1.2), ("sky130", 1.8)):
        for nm, target in ((65, 1.1), (45, 1.0), (28, 0.9), (22, 0.8), (16, 0.8), (7, 0.7)):
            cells = []
            for quantity in get_args(Quantity):
                e = scale(quantity, from_nm=130, from_volts=volts, to_nm=nm, to_volts=target)
                cells.append(f"{quantity} {e.value:.3g} ({e.low:.3g} to {e.high:.3g})")
            print(f"{name} {volts:g} V -> {nm} nm {target:g} V: {', '.join(cells)}")


if __name__ == "__main__":
    main()
