"""The reports of SCALE-Sim, for those whose scripts read them.

Names, columns, order, and the comma at the end of every line are those of SCALE-Sim 3.0.0. A row is
one GEMM of one phase, over all of its jobs; ``LayerID`` counts the prefill's, then the decode's, as
the rows of ``timing.csv`` do. A word is a byte, the word that SCALE-Sim's buffers hold. IFMAP are
the activations, FILTER the (N, K) matrix (weights with their scales, keys or values), OFMAP the
results.

Cycle 0 of a row is its first slot, so that filling the array ends in cycle -1. Filling comes first
and the drain last, as if the GEMM was one job. When exactly each operand is first and last read is
not kept, so that the start and stop columns span all cycles in which it may be.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from configs.errors import InputError
from configs.files import replace_file

from ..results import PhaseTiming, WorkloadTiming

Row = list[int | float]
COMPUTE_COLUMNS = (
    "Total Cycles (incl. prefetch)",
    "Total Cycles",
    "Stall Cycles",
    "Overall Util %",
    "Mapping Efficiency %",
    "Compute Util %",
)
BANDWIDTH_COLUMNS = tuple(
    f"Avg {operand} {memory} BW"
    for memory in ("SRAM", "DRAM")
    for operand in ("IFMAP", "FILTER", "OFMAP")
)
ACCESS_COLUMNS = tuple(
    f"{memory} {operand} {what}"
    for memory in ("SRAM", "DRAM")
    for operand, access in (("IFMAP", "Reads"), ("Filter", "Reads"), ("OFMAP", "Writes"))
    for what in ("Start Cycle", "Stop Cycle", access)
)
#: stalls during which the array could have worked
_WAITS = ("dequantizer", "operands", "output", "dram")


def write_scalesim(folder: Path, timing: WorkloadTiming) -> tuple[Path, ...]:
    """Write the three reports; returns their paths.

    Parameters
    ----------
    folder : made if it does not exist.
    timing : what to report.

    Raises
    ------
    InputError : a file cannot be written.
    """
    reports: dict[str, tuple[Sequence[str], Callable[[PhaseTiming], Row]]] = {
        "COMPUTE_REPORT.csv": (COMPUTE_COLUMNS, _compute),
        "BANDWIDTH_REPORT.csv": (BANDWIDTH_COLUMNS, _bandwidth),
        "DETAILED_ACCESS_REPORT.csv": (ACCESS_COLUMNS, _access),
    }
    texts = {
        folder / name: _text(columns, [row(phase) for phase in timing.phases])
        for name, (columns, row) in reports.items()
    }
    for path, text in texts.items():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror}") from None
    return tuple(texts)


def _text(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """A report."""
    lines = [["LayerID", *columns]]
    lines += [[str(index), *map(str, row)] for index, row in enumerate(rows)]
    return "".join(", ".join(line) + ",\n" for line in lines)


def _total(phase: PhaseTiming) -> int:
    """Cycles from the first slot on, without those between jobs."""
    return phase.cycles - phase.stalls["fill"] - phase.stalls["host"]


def _compute(phase: PhaseTiming) -> Row:
    """A row of COMPUTE_REPORT.csv."""
    stalls, peak = phase.stalls, phase.report.peak_macs_per_cycle
    inside = stalls["compute"] + stalls["dequantizer"] + stalls["drain"]

    def utilization(cycles: int) -> float:
        return 100 * phase.activity.macs / (peak * cycles)

    return [
        phase.cycles,
        _total(phase),
        sum(stalls[name] for name in _WAITS),
        utilization(_total(phase)),
        utilization(phase.activity.slots),
        utilization(inside),
    ]


def _words(phase: PhaseTiming) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """IFMAP, FILTER, OFMAP: bytes in and out of the array, and over the DRAM interface."""
    activity, traffic = phase.activity, phase.traffic
    bits = (activity.activation_bits, activity.weight_bits, activity.result_bits)
    filters = traffic.weight_bytes + traffic.kv_bytes
    inside = (-(-bits[0] // 8), -(-bits[1] // 8), -(-bits[2] // 8))
    return inside, (traffic.activation_bytes, filters, traffic.result_bytes)


def _bandwidth(phase: PhaseTiming) -> Row:
    """A row of BANDWIDTH_REPORT.csv."""
    sram, dram = _words(phase)
    with_fill = phase.cycles - phase.stalls["host"]
    return [*(w / _total(phase) for w in sram), *(w / with_fill for w in dram)]


def _access(phase: PhaseTiming) -> Row:
    """A row of DETAILED_ACCESS_REPORT.csv."""
    stop, fill = _total(phase) - 1, phase.stalls["fill"]
    sram, dram = _words(phase)
    inside = [value for words in sram for value in (0, stop, words)]
    return [*inside, *(value for words in dram for value in (-fill, stop, words))]
