"""SRAM figures of others: what the model is fitted to, and what it is compared with."""

from dataclasses import dataclass
from typing import Literal

Ports = Literal["1rw", "1r1w"]

PUBLISHED_SOURCE = (
    "CACTI 7, 28 nm, 512 KiB, 8 banks, one read and one write port, itrs-hp, ECC, 360 K, "
    "as rebuilt for the simulator released with BitMoD (HPCA 2025)"
)
PUBLISHED_KIB, PUBLISHED_BANKS = 512, 8
#: width in bits: energy of a read and of a write in pJ
PUBLISHED_PJ: dict[int, tuple[float, float]] = {
    128: (60.1, 37.2),
    192: (66.6, 43.3),
    256: (70.1, 51.7),
    288: (72.6, 54.1),
    384: (82.8, 64.0),
    512: (92.8, 83.4),
    576: (107.7, 89.3),
    768: (125.6, 107.0),
    1024: (138.4, 156.1),
    1536: (182.8, 200.1),
}
#: ends of the published ranges; taken as those of the narrowest and the widest word
PUBLISHED_AREA_MM2 = (1.43, 1.75)
PUBLISHED_ACCESS_NS = (0.49, 0.54)


@dataclass(frozen=True, kw_only=True)
class Check:
    """An SRAM of somebody else, brought to 28 nm and 0.9 V; None where nothing is said."""

    source: str
    kib: float
    width_bits: int
    banks: int
    ports: Ports
    read_pj: float | None = None
    write_pj: float | None = None
    area_um2: float | None = None
    access_ns: float | None = None


HOROWITZ_SOURCE = (
    "Horowitz, Computing's energy problem, ISSCC 2014: 10, 20 and 100 pJ for 64 bits from a cache "
    "of 8 KB, 32 KB and 1 MB, 45 nm, 0.9 V"
)
#: capacity in KiB: pJ per 64 bits at 45 nm; the fit scales them to 28 nm
HOROWITZ_PJ: dict[int, float] = {8: 10.0, 32: 20.0, 1024: 100.0}

SMALL_SOURCE = (
    "Kam, DRAM access info (GitHub Dongyunkam/DRAM_info, README, 2025): CACTI with the settings of "
    "BitFusion, 28 nm, one read and one write port"
)
#: KiB, width in bits: read pJ, write pJ, area in um2
SMALL_RUNS: dict[tuple[float, int], tuple[float, float, float]] = {
    (0.125, 32): (0.0092170 * 32, 0.0129976 * 32, 1025.63),
    (4, 512): (0.03299296875 * 512, 0.039730859375 * 512, 46066.7),
    (8, 512): (0.0347046 * 512, 0.048606640625 * 512, 55583.5),
}

CACTI_SOURCE = (
    "CACTI 7 (7.0.3DD, sources in the package hwcomponents-cacti 1.0.40), run for this page: "
    "scratch RAM, 28 nm, itrs-hp, 360 K, ECC, Global_30, semi-global wires, conservative, "
    "weights 0:100:1000:0:100, deviation 20, ED"
)
#: ports, banks, KiB, width in bits: read pJ, write pJ, area in um2, access in ns
CACTI_RUNS: tuple[tuple[Ports, int, int, int, float, float, int, float], ...] = (
    ("1r1w", 1, 1, 64, 0.7798, 1.669, 3325, 0.14),
    ("1r1w", 1, 2, 64, 0.9795, 2.786, 6104, 0.191),
    ("1r1w", 1, 2, 128, 1.904, 3.683, 8103, 0.145),
    ("1r1w", 1, 2, 256, 4.988, 6.713, 15325, 0.146),
    ("1r1w", 1, 8, 64, 3.322, 3.849, 23773, 0.216),
    ("1r1w", 1, 8, 128, 4.305, 7.065, 25985, 0.216),
    ("1r1w", 1, 8, 256, 6.274, 13.5, 30572, 0.216),
    ("1r1w", 1, 32, 64, 8.173, 6.993, 96269, 0.382),
    ("1r1w", 1, 32, 128, 11.72, 13.92, 86445, 0.366),
    ("1r1w", 1, 32, 256, 15.44, 26.62, 94964, 0.366),
    ("1r1w", 1, 128, 64, 16.67, 14.31, 438831, 0.744),
    ("1r1w", 1, 128, 128, 26.01, 23.65, 420595, 0.704),
    ("1r1w", 1, 128, 256, 41.54, 45.95, 416426, 0.688),
    ("1r1w", 1, 512, 64, 36.42, 31.83, 1490985, 1.3),
    ("1r1w", 1, 512, 128, 59.11, 54.54, 1473986, 1.28),
    ("1r1w", 1, 512, 256, 101.2, 105.6, 1743904, 1.33),
    ("1r1w", 1, 2048, 64, 73.88, 69.23, 5850212, 2.35),
    ("1r1w", 1, 2048, 128, 120, 115.4, 5818162, 2.33),
    ("1r1w", 1, 2048, 256, 208.8, 217.8, 5933111, 2.43),
    ("1r1w", 8, 8, 64, 3.615, 4.505, 34260, 0.231),
    ("1r1w", 8, 8, 128, 8.341, 9.018, 65360, 0.24),
    ("1r1w", 8, 8, 256, 24.61, 25.42, 162524, 0.311),
    ("1r1w", 8, 32, 64, 7.728, 7.966, 125268, 0.326),
    ("1r1w", 8, 32, 128, 14.02, 15.37, 160997, 0.347),
    ("1r1w", 8, 32, 256, 30.16, 33.71, 245605, 0.391),
    ("1r1w", 8, 128, 64, 16.01, 14.83, 386094, 0.549),
    ("1r1w", 8, 128, 128, 26.29, 27.34, 447662, 0.57),
    ("1r1w", 8, 128, 256, 50.47, 55.99, 585438, 0.614),
    ("1r1w", 8, 512, 64, 34.27, 29.68, 1516823, 1.09),
    ("1r1w", 8, 512, 128, 56.17, 51.61, 1444411, 1.07),
    ("1r1w", 8, 512, 256, 96.35, 100.8, 1687568, 1.11),
    ("1r1w", 8, 2048, 64, 72.54, 63.5, 5497423, 2.08),
    ("1r1w", 8, 2048, 128, 116.5, 112, 6065154, 2.14),
    ("1r1w", 8, 2048, 256, 204.7, 213.7, 6276334, 2.24),
    ("1rw", 1, 1, 64, 0.6453, 1.338, 1562, 0.127),
    ("1rw", 1, 2, 64, 0.804, 2.225, 2895, 0.167),
    ("1rw", 1, 2, 128, 1.499, 2.885, 3644, 0.131),
    ("1rw", 1, 2, 256, 3.715, 5.032, 6148, 0.129),
    ("1rw", 1, 8, 64, 2.636, 3.042, 11378, 0.184),
    ("1rw", 1, 8, 128, 3.336, 5.501, 12086, 0.184),
    ("1rw", 1, 8, 256, 4.737, 10.42, 13591, 0.184),
    ("1rw", 1, 32, 64, 6.167, 5.219, 48696, 0.319),
    ("1rw", 1, 32, 128, 9.082, 10.81, 42440, 0.288),
    ("1rw", 1, 32, 256, 11.67, 20.49, 45307, 0.288),
    ("1rw", 1, 128, 64, 11.98, 10.09, 218921, 0.591),
    ("1rw", 1, 128, 128, 18.99, 17.09, 209484, 0.54),
    ("1rw", 1, 128, 256, 30.61, 34.06, 208633, 0.509),
    ("1rw", 1, 512, 64, 24.49, 20.84, 752886, 1),
    ("1rw", 1, 512, 128, 39.62, 32.3, 791885, 1.02),
    ("1rw", 1, 512, 256, 68, 60.72, 792855, 1),
    ("1rw", 1, 2048, 64, 46.36, 42.64, 2932421, 1.77),
    ("1rw", 1, 2048, 128, 80.44, 76.8, 2934534, 1.75),
    ("1rw", 1, 2048, 256, 145.7, 152.8, 3030551, 1.81),
    ("1rw", 8, 8, 64, 2.486, 3.179, 17633, 0.19),
    ("1rw", 8, 8, 128, 7.421, 7.621, 42133, 0.213),
    ("1rw", 8, 8, 256, 17.19, 17.78, 78179, 0.244),
    ("1rw", 8, 32, 64, 5.295, 5.472, 62150, 0.257),
    ("1rw", 8, 32, 128, 9.745, 10.79, 80086, 0.272),
    ("1rw", 8, 32, 256, 21.16, 23.93, 123809, 0.304),
    ("1rw", 8, 128, 64, 11.09, 10.14, 196210, 0.416),
    ("1rw", 8, 128, 128, 18.39, 19.2, 226962, 0.431),
    ("1rw", 8, 128, 256, 35.54, 39.87, 297393, 0.462),
    ("1rw", 8, 512, 64, 23.34, 19.68, 770509, 0.802),
    ("1rw", 8, 512, 128, 39.63, 35.99, 730036, 0.764),
    ("1rw", 8, 512, 256, 68.03, 71.48, 851967, 0.795),
    ("1rw", 8, 2048, 64, 45.45, 41.73, 3077229, 1.57),
    ("1rw", 8, 2048, 128, 79.78, 76.14, 3110685, 1.54),
    ("1rw", 8, 2048, 256, 143.6, 150.7, 3261404, 1.61),
)
#: the same tool and settings, 512 KiB, one bank, 128 bits: mW of leakage
#: (cells, periphery, K): one read and one write port, one port for both
CACTI_LEAKAGE_MW: dict[tuple[str, str, int], dict[Ports, float]] = {
    ("itrs-hp", "itrs-hp", 360): {"1r1w": 303.9, "1rw": 234.2},
    ("itrs-lstp", "itrs-hp", 360): {"1r1w": 25.92, "1rw": 16.14},
    ("itrs-lstp", "itrs-lstp", 300): {"1r1w": 0.01419, "1rw": 0.01127},
}


def small_checks() -> tuple[Check, ...]:
    """Small memories that others ran through the same tool, with their own settings."""
    return tuple(
        Check(
            source=SMALL_SOURCE,
            kib=kib,
            width_bits=width,
            banks=1,
            ports="1r1w",
            read_pj=read,
            write_pj=write,
            area_um2=area,
        )
        for (kib, width), (read, write, area) in SMALL_RUNS.items()
    )


def cacti_checks() -> tuple[Check, ...]:
    """Our own runs of CACTI 7 over capacity, banks and ports."""
    return tuple(
        Check(
            source=CACTI_SOURCE,
            kib=kib,
            width_bits=width,
            banks=banks,
            ports=ports,
            read_pj=read,
            write_pj=write,
            area_um2=area,
            access_ns=access,
        )
        for ports, banks, kib, width, read, write, area, access in CACTI_RUNS
    )
