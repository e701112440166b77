"""SCALE-Sim v3: a systolic array, address matrix by address matrix (Raj et al., ISPASS 2025)."""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sw.workloads import Gemm

from .environments import python_of
from .measure import Measurement, PeerError, run_script

NAME = "scalesim"
ROWS = COLS = 32
Dataflow = Literal["ws", "os"]

_SCRIPT = Path(__file__).parent / "inside_scalesim.py"
_RUN = "measured"
#: array and dataflow are ours, the rest is that of the 32 x 32 example that comes with its source
_CONFIG = """\
[general]
run_name = {run}

[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {cols}
IfmapSramSzkB = 64
FilterSramSzkB = 64
OfmapSramSzkB = 64
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 64
Dataflow = {dataflow}
ReadRequestBuffer = 32
WriteRequestBuffer = 32

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = False

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""
#: the file has to be there, a row per layer, even with layouts switched off
_LAYOUT_FIELDS = 20


def compute_cycles(gemm: Gemm, *, rows: int, cols: int, dataflow: Dataflow) -> int:
    """Cycles of a systolic array: for every fold, operands in, skew through, results out.

    A weight-stationary fold holds (rows of K) x (cols of N) and takes ``rows`` cycles to load,
    ``m`` to stream and ``rows + cols - 2`` of skew; an output-stationary one holds
    (rows of M) x (cols of N) and streams ``k`` through the same skew. The last cycle of all is not
    counted.
    """
    if dataflow == "ws":
        folds = -(-gemm.k // rows) * -(-gemm.n // cols)
        return folds * (gemm.m + 2 * rows + cols - 2) - 1
    folds = -(-gemm.m // rows) * -(-gemm.n // cols)
    return folds * (gemm.k + rows + cols - 2) - 1


def _write(folder: Path, gemms: Sequence[Gemm], rows: int, cols: int, dataflow: str) -> list[str]:
    config = _CONFIG.format(run=_RUN, rows=rows, cols=cols, dataflow=dataflow)
    (folder / "array.cfg").write_text(config)
    # every line ends with a comma, which the reader takes off
    lines = ["Layer,M,N,K,", *(f"{g.name},{g.m},{g.n},{g.k}," for g in gemms)]
    (folder / "topology.csv").write_text("\n".join(lines) + "\n")
    factors = ",".join(["1"] * _LAYOUT_FIELDS)
    lines = ["Layer," + "factor," * _LAYOUT_FIELDS, *(f"{g.name},{factors}," for g in gemms)]
    (folder / "layout.csv").write_text("\n".join(lines) + "\n")
    return ["array.cfg", "topology.csv", "layout.csv", "output"]


def _reported(folder: Path) -> list[int]:
    """Compute cycles of every layer, without the time in which the first operands are fetched.

    Raises
    ------
    PeerError : there is no report of the expected form.
    """
    try:
        with (folder / "output" / _RUN / "COMPUTE_REPORT.csv").open() as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
        return [int(float(row["Total Cycles"])) for row in rows]
    except (OSError, KeyError, TypeError, ValueError):
        raise PeerError("SCALE-Sim left no COMPUTE_REPORT.csv with 'Total Cycles'") from None


def simulate(
    gemms: Sequence[Gemm],
    *,
    python: Path,
    rows: int = ROWS,
    cols: int = COLS,
    dataflow: Dataflow = "ws",
) -> tuple[Measurement, list[int]]:
    """Run SCALE-Sim; what it used, and the compute cycles of every GEMM.

    Raises
    ------
    PeerError : it ended with an error.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = _write(folder, gemms, rows, cols, dataflow)
        import_s, usage = run_script(python, _SCRIPT, files, folder)
        cycles = _reported(folder)
    return Measurement(import_s=import_s, usage=usage, cycles=sum(cycles)), cycles


def measure(gemms: Sequence[Gemm]) -> Measurement:
    """Time of SCALE-Sim on a weight-stationary 32 x 32 array.

    Raises
    ------
    PeerError : it cannot be installed or run.
    """
    return simulate(gemms, python=python_of(NAME))[0]
