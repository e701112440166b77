"""Energy of a bit read from or written to DRAM, by standard, each figure with its source.

Between the limits lies what different sources say of the standard: devices alone or with the
interface, long bursts or scattered ones. Standards of which no figure with a source was found are
left out: DDR5 and LPDDR4X.
"""

from configs.errors import unknown_name
from configs.figure import Figure

from ..estimate import Estimate

_MALLADI = "Malladi et al., Towards energy-proportional datacenter memory, ISCA 2012"
_HOROWITZ = "Horowitz, Computing's energy problem, ISSCC 2014"
_IDF = "demonstration at IDF 2011 as reported by Clubic"
_OCONNOR = "O'Connor et al., Fine-Grained DRAM, MICRO 2017"
_MICRON = "Micron, ultra-bandwidth solutions, memory comparison: average device power"
_ACCELERGY = "table of Accelergy's CACTI plug-in (Timeloop v4)"
_SHIN = "Shin, Stanford thesis, DramDSE: 13 to 14 pJ/bit for LPDDR4 of 32 Gb"

#: energy per bit in pJ by standard; value, then the limits
DRAM_PRESETS: dict[str, Figure] = {
    "ddr3": Figure(
        value=70,
        low=54,
        high=161,
        kind="quoted",
        source=f"{_MALLADI}: 70 pJ/bit on a full bus, 2.3 times as much on a bus used to 20 %; "
        f"low: {_IDF}, a module at 432 mW per GB/s",
    ),
    "ddr4": Figure(
        value=18.75,
        low=12.45,
        high=40.6,
        kind="quoted",
        source="simulator released with BitMoD (HPCA 2025): 1200 pJ per 64 bits, from DRAMSim3; "
        "low: simulator released with Prosperity (HPCA 2025), 12.45 pJ/bit, from DRAMSim3; "
        f"high: {_HOROWITZ}, DRAM, 1.3 to 2.6 nJ for 64 bits",
    ),
    "lpddr4": Figure(
        value=8,
        low=3.7,
        high=14,
        kind="quoted",
        source=f"{_ACCELERGY}: 8 pJ/bit; low: 3.7 pJ/bit of an LPDDR3 pin (ISSCC 2012, as T-REX, "
        f"ISSCC 2025, counts it); high: {_SHIN}",
    ),
    "lpddr5": Figure(
        value=6.4,
        low=2.96,
        high=11.2,
        kind="quoted",
        source="figures of LPDDR4 less the 20 % of power that Micron states against LPDDR4X (press "
        "release of 6 February 2020)",
    ),
    "gddr6": Figure(
        value=7.5,
        low=7.25,
        high=14,
        kind="quoted",
        source=f"{_MICRON} 7.5 pJ/bit, 7.25 for GDDR6X; high: {_OCONNOR}, GDDR5 with its "
        "interface, 14.0 pJ/bit",
    ),
    "hbm2": Figure(
        value=3.92,
        low=3.92,
        high=7,
        kind="quoted",
        source=f"{_OCONNOR}: 3.92 pJ/bit, row activation included; high: HyGCN (HPCA 2020), "
        "7 pJ/bit",
    ),
    "hbm2e": Figure(
        value=3.92,
        low=3.92,
        high=7,
        kind="quoted",
        source=f"{_OCONNOR}: HBM2, 3.92 pJ/bit; {_MICRON} 6.0 pJ/bit; high: HyGCN (HPCA 2020), "
        "HBM, 7 pJ/bit",
    ),
    "hbm3": Figure(
        value=3.9,
        low=3.9,
        high=9,
        kind="quoted",
        source="Samsung on HBM3E (ChinaFlashMarket, 2025): 3.9 pJ/bit; high: Patsnap Eureka, HBM4 "
        "energy metrics (2025), HBM3E 7 to 9 pJ/bit",
    ),
}


def dram_energy(standard: str) -> Figure:
    """Figure of a standard, with its limits and source, in pJ per bit."""
    if standard not in DRAM_PRESETS:
        raise unknown_name("DRAM standard", standard, DRAM_PRESETS)
    return DRAM_PRESETS[standard]


def dram_pj(standard: str, bits: float) -> Estimate:
    """Energy of moving ``bits`` over the interface, in pJ; reads and writes alike."""
    return Estimate.of(dram_energy(standard)).times(bits)
