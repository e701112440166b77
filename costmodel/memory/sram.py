"""Energy, area, time and leakage of an SRAM at 28 nm and 0.9 V.

Terms with a physical meaning (``sram_geometry``), coefficients fitted to the published CACTI
energies at 512 KiB by ``fit_sram``. How energy depends on capacity, banks and ports is not in those
points: it is physics, compared with other published figures, and the interval widens away from
512 KiB as far as that comparison asks.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from configs.errors import InputError, check_range, unknown_name
from costmodel.estimate import Estimate

from .sram_geometry import Floats, area_um2, energy_pj, log_spread, side_mm
from .sram_points import Ports

FIT_FILE = Path(__file__).with_name("sram_fit.json")


@dataclass(frozen=True, kw_only=True)
class AreaFit:
    """Area of a memory with one read and one write port, and the share of one with a single port.

    Attributes
    ----------
    cell_um2 : per bit, with its share of the periphery and of the check bits.
    edge_um2 : per bank and bit of its port.
    single_port_share : area of a memory with one port for both over one with two.
    """

    cell_um2: float
    edge_um2: float
    single_port_share: float

    def share(self, ports: Ports) -> float:
        """Area with these ports over that with one of each kind."""
        return self.single_port_share if ports == "1rw" else 1.0

    def of(self, bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike, ports: Ports) -> Floats:
        """Area in um2."""
        area = area_um2(bits, width_bits, banks, self.cell_um2, self.edge_um2)
        return area * self.share(ports)


@dataclass(frozen=True, kw_only=True)
class SramFit:
    """What ``sram_fit.json`` holds.

    Attributes
    ----------
    coefficients : pJ by term, in the order of ``sram_geometry.TERMS``.
    area_error : share of the area, both ways.
    access_fastest, access_slowest : limits of the access time over the expected one.
    leakage_nw_per_bit : by ports: least, expected, greatest.
    max_error, left_out_error : shares, at the published widths, seen and not seen.
    error_at_reference : share of the energy at 512 KiB, upward (as much, divided, downward).
    log_error_per_octave : what the logarithm of the limit grows by with a doubling or halving.
    """

    coefficients: Mapping[str, float]
    area: AreaFit
    area_error: float
    access_fixed_ns: float
    access_ns_per_mm: float
    access_fastest: float
    access_slowest: float
    leakage_nw_per_bit: Mapping[str, tuple[float, ...]]
    max_error: float
    left_out_error: float
    error_at_reference: float
    log_error_per_octave: float

    def with_interval(self, share: float, per_octave: float) -> "SramFit":
        """The same, with another interval."""
        return replace(self, error_at_reference=share, log_error_per_octave=per_octave)

    def to_dict(self) -> dict[str, Any]:
        """As written to the file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "SramFit":
        """As read from the file."""
        leaks = {ports: tuple(nw) for ports, nw in data["leakage_nw_per_bit"].items()}
        plain = {**data, "area": AreaFit(**data["area"]), "leakage_nw_per_bit": leaks}
        return cls(**plain)


def load_fit(path: Path = FIT_FILE) -> SramFit:
    """Read the fitted coefficients.

    Raises
    ------
    InputError
        When the file is missing or damaged; there are no other coefficients to fall back on.
    """
    remedy = "make it with python -m costmodel.memory.fit_sram"
    try:
        return SramFit.from_dict(json.loads(path.read_text(encoding="utf-8"))["fit"])
    except OSError as error:
        raise InputError(f"cannot read the SRAM model {path.name}: {remedy}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"the SRAM model {path.name} is damaged: {remedy}") from error


@cache
def _fit() -> SramFit:
    return load_fit()


def energies_of(
    fit: SramFit,
    bits: ArrayLike,
    width_bits: ArrayLike,
    banks: ArrayLike,
    ports: Ports,
    write: bool,
) -> Floats:
    """Energy of an access in pJ, element by element."""
    side = side_mm(fit.area.of(bits, width_bits, banks, ports))
    pitch = math.sqrt(fit.area.share(ports))
    weights = list(fit.coefficients.values())
    return energy_pj(bits, width_bits, side, pitch, weights, write)


def energy_of(
    fit: SramFit, bits: float, width_bits: int, banks: int, ports: Ports, write: bool
) -> float:
    """The same for one memory."""
    return float(energies_of(fit, bits, width_bits, banks, ports, write))


def read_pj(
    bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike = 1, ports: Ports = "1r1w"
) -> Floats:
    """Energy of reading one word of one bank, in pJ; arrays broadcast."""
    return energies_of(_fit(), bits, width_bits, banks, ports, False)


def write_pj(
    bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike = 1, ports: Ports = "1r1w"
) -> Floats:
    """Energy of writing one word of one bank, in pJ; arrays broadcast."""
    return energies_of(_fit(), bits, width_bits, banks, ports, True)


def area_of(
    bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike = 1, ports: Ports = "1r1w"
) -> Floats:
    """Area of the whole memory in um2; arrays broadcast."""
    return _fit().area.of(bits, width_bits, banks, ports)


def access_of(
    bits: ArrayLike, width_bits: ArrayLike, banks: ArrayLike = 1, ports: Ports = "1r1w"
) -> Floats:
    """Time from address to word in ns; arrays broadcast."""
    fit = _fit()
    side = side_mm(fit.area.of(bits, width_bits, banks, ports))
    return fit.access_fixed_ns + fit.access_ns_per_mm * side


def leakage_of(bits: ArrayLike, ports: Ports = "1r1w") -> Floats:
    """Static power of the whole memory in mW, as expected; arrays broadcast."""
    return np.asarray(bits, dtype=float) * _fit().leakage_nw_per_bit[ports][1] / 1e6


@dataclass(frozen=True, kw_only=True)
class Sram:
    """One memory at 28 nm, 0.9 V.

    Attributes
    ----------
    bits : capacity of all banks together, check bits not counted.
    width_bits : word of a bank; an access reads or writes one word of one bank.
    banks : that are addressed apart.
    ports : ``1rw`` one port for both, ``1r1w`` one of each.
    """

    bits: int
    width_bits: int
    banks: int = 1
    ports: Ports = "1r1w"

    def __post_init__(self) -> None:
        check_range("bits", self.bits, 8, 1 << 33)
        check_range("width_bits", self.width_bits, 1, 1 << 14)
        check_range("banks", self.banks, 1, 1024)
        if self.ports not in get_args(Ports):
            raise unknown_name("SRAM ports", self.ports, get_args(Ports))
        if self.bits < self.width_bits * self.banks:
            raise InputError(
                f"{self.banks} bank(s) of {self.width_bits} bits do not fit into {self.bits} bits"
            )

    def _energy(self, write: bool) -> Estimate:
        fit = _fit()
        value = energy_of(fit, self.bits, self.width_bits, self.banks, self.ports, write)
        spread = float(log_spread(self.bits, fit.error_at_reference, fit.log_error_per_octave))
        return Estimate(value=value, low=value * math.exp(-spread), high=value * math.exp(spread))

    @property
    def read_pj(self) -> Estimate:
        """Energy of reading one word, in pJ."""
        return self._energy(False)

    @property
    def write_pj(self) -> Estimate:
        """Energy of writing one word, in pJ."""
        return self._energy(True)

    @property
    def area_um2(self) -> Estimate:
        """Area of all banks, in um2."""
        fit = _fit()
        value = float(fit.area.of(self.bits, self.width_bits, self.banks, self.ports))
        factor = 1 + fit.area_error
        return Estimate(value=value, low=value / factor, high=value * factor)

    @property
    def access_ns(self) -> Estimate:
        """Time from address to word, in ns; the slow limit is that of weaker, longer wires."""
        fit = _fit()
        value = float(access_of(self.bits, self.width_bits, self.banks, self.ports))
        return Estimate(
            value=value, low=value * fit.access_fastest, high=value * fit.access_slowest
        )

    @property
    def leakage_mw(self) -> Estimate:
        """Static power of all banks, in mW.

        Expected are low-leakage cells with a fast periphery at 360 K; the limits are a slow process
        throughout at 300 K and a fast one throughout at 360 K, four orders of magnitude apart.
        """
        low, value, high = (self.bits * nw / 1e6 for nw in _fit().leakage_nw_per_bit[self.ports])
        return Estimate(value=value, low=low, high=high)
