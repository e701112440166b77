"""AccelForge: an analytic model that searches all mappings; Timeloop's successor (MIT)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sw.workloads import Gemm

from .environments import python_of
from .measure import Measurement, printed_cycles, run, run_script

NAME = "accelforge"
#: of the packages that are pinned; an older Python cannot install them
PYTHON = (3, 12)
ROWS = COLS = 32
BUFFER_BYTES = 64 * 1024
DRAM_BYTES_PER_CYCLE = 64

_SCRIPT = Path(__file__).parent / "inside_accelforge.py"
#: mapped before the measurement: the first mapping of an installation compiles loops
_SMALL = Gemm(name="small", m=2, n=2, k=2)
#: a weight stays in every multiplier; a clock of 1 Hz, so that seconds are cycles; no energies,
#: because only the time is searched for
_ARCHITECTURE = """\
arch:
  nodes:
  - !Memory
    name: DRAM
    size: inf
    leak_power: 0
    area: 0
    tensors: {{keep: All}}
    actions:
    - {{name: read, energy: 0, throughput: {dram_bits}}}
    - {{name: write, energy: 0, throughput: {dram_bits}}}
  - !Memory
    name: Buffer
    size: {buffer_bits}
    leak_power: 0
    area: 0
    tensors: {{keep: All}}
    actions:
    - {{name: read, energy: 0, throughput: inf}}
    - {{name: write, energy: 0, throughput: inf}}
  - !Container
    name: Array
    spatial:
    - {{name: cols, fanout: {cols}, reuse: input}}
    - {{name: rows, fanout: {rows}, reuse: output}}
  - !Memory
    name: Register
    size: weight.bits_per_value
    leak_power: 0
    area: 0
    tensors: {{keep: weight}}
    actions:
    - {{name: read, energy: 0, throughput: inf}}
    - {{name: write, energy: 0, throughput: inf}}
  - !Compute
    name: Multiplier
    leak_power: 0
    area: 0
    actions:
    - {{name: compute, energy: 0, throughput: 1}}
"""


def architecture() -> str:
    """The hardware file: a 32 x 32 array, a buffer and a DRAM."""
    return _ARCHITECTURE.format(
        dram_bits=8 * DRAM_BYTES_PER_CYCLE, buffer_bits=8 * BUFFER_BYTES, rows=ROWS, cols=COLS
    )


def workload(gemm: Gemm) -> dict[str, Any]:
    """The workload file of one GEMM: INT8 operands and results."""
    tensors = {"input": ("I", ["m", "k"]), "weight": ("W", ["k", "n"]), "output": ("O", ["m", "n"])}
    accesses = [
        {"name": name, "projection": ranks, "output": role == "output"}
        for role, (name, ranks) in tensors.items()
    ]
    renames = {role: name for role, (name, _) in tensors.items()}
    return {
        "workload": {
            "rank_sizes": {"M": gemm.m, "N": gemm.n, "K": gemm.k},
            "bits_per_value": {"All": 8},
            "einsums": [{"name": "gemm", "tensor_accesses": accesses, "renames": renames}],
        }
    }


def _write(folder: Path, name: str, gemm: Gemm) -> str:
    (folder / name).write_text(yaml.safe_dump(workload(gemm)))
    return name


def measure(gemms: Sequence[Gemm]) -> Measurement:
    """Time of AccelForge on a 32 x 32 array, a GEMM after the other in one process.

    Raises
    ------
    PeerError : it cannot be installed or run.
    """
    python = python_of(NAME, PYTHON)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "arch.yaml").write_text(architecture())
        small = _write(folder, "small.yaml", _SMALL)
        files = [_write(folder, f"gemm_{i}.yaml", gemm) for i, gemm in enumerate(gemms)]
        run([python, "-I", _SCRIPT, "arch.yaml", small], folder)
        import_s, usage = run_script(python, _SCRIPT, ["arch.yaml", *files], folder)
    return Measurement(import_s=import_s, usage=usage, cycles=printed_cycles("AccelForge", usage))
