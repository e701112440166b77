"""What a memory configuration may say: the DRAM, and on-chip buffers in front of the streams."""

from dataclasses import dataclass
from typing import Literal

from .errors import check_range
from .figure import Figure


@dataclass(frozen=True, kw_only=True)
class DramConfig:
    """A DRAM interface. Peak bandwidth is ``bus_bits * transfers_mt_s / 8`` MB/s."""

    #: data pins, all channels together
    bus_bits: int
    #: transfers per second on every pin, in millions
    transfers_mt_s: float
    #: share of the peak left by row activations and turns of the bus, for long linear transfers
    burst_efficiency: Figure
    #: share of the time left by refresh: 1 - tRFC / tREFI
    refresh_efficiency: Figure
    #: energy of a bit read or written, interface included
    energy_pj_per_bit: Figure
    #: from a request to its first word
    latency_ns: float = 0.0

    def __post_init__(self) -> None:
        check_range("bus_bits", self.bus_bits, 8, 1 << 16)
        check_range("transfers_mt_s", self.transfers_mt_s, 1, 100_000)
        check_range("latency_ns", self.latency_ns, 0, 10_000)
        for name in ("burst_efficiency", "refresh_efficiency"):
            check_range(name, getattr(self, name).value, 0.01, 1)

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that is left of the peak."""
        share = self.burst_efficiency.value * self.refresh_efficiency.value
        return self.bus_bits / 8 * self.transfers_mt_s * 1e6 * share


@dataclass(frozen=True, kw_only=True)
class SramConfig:
    """A buffer between DRAM and one stream, in banks that are read side by side."""

    #: capacity
    kib: int
    banks: int = 1
    #: width of a bank's port
    width_bits: int = 128
    #: one port for reading and writing, or one of each
    ports: Literal["1rw", "1r1w"] = "1r1w"

    def __post_init__(self) -> None:
        check_range("kib", self.kib, 1, 1 << 20)
        check_range("banks", self.banks, 1, 1024)
        check_range("width_bits", self.width_bits, 8, 4096)

    @property
    def bits_per_cycle(self) -> int:
        """What all banks deliver in a cycle."""
        return self.banks * self.width_bits


@dataclass(frozen=True, kw_only=True)
class MemoryConfig:
    """What stands behind the three streams.

    Without an SRAM an operand's stream comes from DRAM every time that it crosses. With one that
    holds the whole operand of a GEMM, it leaves the DRAM once.
    """

    name: str
    description: str
    dram: DramConfig
    weight_sram: SramConfig | None = None
    activation_sram: SramConfig | None = None
