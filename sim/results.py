"""What a simulation of a workload returns, GEMM by GEMM."""

from dataclasses import dataclass

from configs.timing import CAUSES
from sw.workloads import Gemm, Workload

from .activity import Activity
from .array import CycleReport

#: what the cycles of a job are spent on: each cycle once, so that they add up to all of them.
#: ``fill`` lies before the first slot and ``drain`` behind the last; ``dram`` is what an
#: infinitely fast memory would save; ``host`` lies between jobs
STALLS = ("compute", "dequantizer", "operands", "output", "fill", "drain", "dram", "host")


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes between DRAM and chip, and words' worth of bytes on the streams.

    Attributes
    ----------
    weight_bytes, kv_bytes, activation_bytes, result_bytes : over the DRAM interface.
    ideal_bytes : the same with every operand and result crossing once.
    """

    weight_bytes: int = 0
    kv_bytes: int = 0
    activation_bytes: int = 0
    result_bytes: int = 0
    ideal_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All of them."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes + self.result_bytes

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    def times(self, count: int) -> "Traffic":
        """The same ``count`` times."""
        return Traffic(**{name: value * count for name, value in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class PhaseTiming:
    """All jobs of one GEMM in one phase.

    Attributes
    ----------
    gemm : its sizes in the first step.
    report : cycles of its first job.
    jobs : how many jobs it takes, over all steps.
    steps : passes; 1 in a prefill.
    cycles : of all jobs, the cycles between them included.
    causes : by the counters of the RTL, all jobs; cycles between jobs are not in them.
    stalls : by :data:`STALLS`; they add up to ``cycles``.
    activity, traffic : of all jobs.
    verified : whether bitsmith's own RTL takes exactly these cycles.
    """

    gemm: Gemm
    report: CycleReport
    jobs: int
    steps: int
    cycles: int
    causes: dict[str, int]
    stalls: dict[str, int]
    activity: Activity
    traffic: Traffic
    verified: bool = True

    @property
    def utilization(self) -> float:
        """Useful products over those that the array could do in this time."""
        return self.activity.macs / (self.report.peak_macs_per_cycle * self.cycles)

    @property
    def macs_per_byte(self) -> float:
        """Useful products per byte of DRAM traffic: the x axis of a roofline."""
        return self.activity.macs / self.traffic.total_bytes


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """The two limits of a machine.

    Attributes
    ----------
    peak_macs_per_cycle : of the array.
    bytes_per_cycle : of the DRAM; None without a memory.
    """

    peak_macs_per_cycle: float
    bytes_per_cycle: float | None

    @property
    def ridge_macs_per_byte(self) -> float | None:
        """Where the limits meet."""
        return (
            None
            if self.bytes_per_cycle is None
            else (self.peak_macs_per_cycle / self.bytes_per_cycle)
        )

    def limit(self, macs_per_byte: float) -> float:
        """Most products per cycle at this intensity."""
        if self.bytes_per_cycle is None:
            return self.peak_macs_per_cycle
        return min(self.peak_macs_per_cycle, macs_per_byte * self.bytes_per_cycle)


@dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """One GEMM by name, in the phases that have it.

    Attributes
    ----------
    name : of the GEMM.
    prefill, decode : its timing, or None.
    """

    name: str
    prefill: PhaseTiming | None
    decode: PhaseTiming | None

    @property
    def phases(self) -> tuple[PhaseTiming, ...]:
        """Those that have it."""
        return tuple(phase for phase in (self.prefill, self.decode) if phase is not None)

    @property
    def gemm(self) -> Gemm:
        """Its sizes in the first phase."""
        return self.phases[0].gemm

    @property
    def total_cycles(self) -> int:
        """Cycles of all its jobs."""
        return sum(phase.cycles for phase in self.phases)

    @property
    def activity(self) -> Activity:
        """Action counts of all its jobs."""
        return sum((phase.activity for phase in self.phases), start=Activity())

    @property
    def traffic(self) -> Traffic:
        """Bytes of all its jobs."""
        return sum((phase.traffic for phase in self.phases), start=Traffic())

    @property
    def utilization(self) -> float:
        """Useful products over those that the array could do in the layer's time."""
        peak = sum(phase.report.peak_macs_per_cycle * phase.cycles for phase in self.phases)
        return self.activity.macs / peak


@dataclass(frozen=True, kw_only=True)
class WorkloadTiming:
    """A workload on one machine: GEMMs one after another, a job each.

    Attributes
    ----------
    workload : what was run.
    prefill, decode : one entry per GEMM, in order.
    roofline : the machine's limits.
    clock_mhz : of the machine.
    """

    workload: Workload
    prefill: tuple[PhaseTiming, ...]
    decode: tuple[PhaseTiming, ...]
    roofline: Roofline
    clock_mhz: float

    @property
    def phases(self) -> tuple[PhaseTiming, ...]:
        """All of them."""
        return (*self.prefill, *self.decode)

    @property
    def prefill_cycles(self) -> int:
        """Cycles of the prefill."""
        return sum(phase.cycles for phase in self.prefill)

    @property
    def decode_cycles(self) -> int:
        """Cycles of all decode steps."""
        return sum(phase.cycles for phase in self.decode)

    @property
    def total_cycles(self) -> int:
        """Cycles of everything."""
        return self.prefill_cycles + self.decode_cycles

    def stalls(self) -> dict[str, int]:
        """Cycles by :data:`STALLS`; they add up to :attr:`total_cycles`."""
        return {name: sum(p.stalls[name] for p in self.phases) for name in STALLS}

    @property
    def layers(self) -> tuple[LayerTiming, ...]:
        """GEMMs by name, in the order of the prefill, then of the decode step."""
        prefill = {phase.gemm.name: phase for phase in self.prefill}
        decode = {phase.gemm.name: phase for phase in self.decode}
        return tuple(
            LayerTiming(name=name, prefill=prefill.get(name), decode=decode.get(name))
            for name in {**prefill, **decode}
        )

    @property
    def activity(self) -> Activity:
        """Action counts of everything."""
        return sum((phase.activity for phase in self.phases), start=Activity())

    @property
    def traffic(self) -> Traffic:
        """Bytes of everything."""
        return sum((phase.traffic for phase in self.phases), start=Traffic())

    @property
    def causes(self) -> dict[str, int]:
        """Cycles by the RTL's counters; those between jobs are not in them."""
        return {name: sum(p.causes[name] for p in self.phases) for name in CAUSES}

    @property
    def utilization(self) -> float:
        """Useful products over those that the array could do in this time."""
        peak = sum(p.report.peak_macs_per_cycle * p.cycles for p in self.phases)
        return self.activity.macs / peak
