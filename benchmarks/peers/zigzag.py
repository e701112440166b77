"""ZigZag: an analytic model that searches loop orders (Mei et al., IEEE TC 2021)."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sw.workloads import Gemm

from .environments import python_of
from .measure import Measurement, printed_cycles, run_script

NAME = "zigzag"
_SCRIPT = Path(__file__).parent / "inside_zigzag.py"


def layers(gemms: Sequence[Gemm]) -> list[dict[str, Any]]:
    """The workload file: INT8 operands, 16-bit partial sums, INT8 results."""
    return [
        {
            "id": index,
            "name": gemm.name,
            "operator_type": "Gemm",
            "equation": "O[d][k]+=I[d][c]*W[c][k]",
            "loop_dims": ["C", "D", "K"],
            "loop_sizes": [gemm.k, gemm.m, gemm.n],
            "operand_precision": {"W": 8, "I": 8, "O": 16, "O_final": 8},
        }
        for index, gemm in enumerate(gemms)
    ]


def measure(gemms: Sequence[Gemm]) -> Measurement:
    """Time of ZigZag on the ``tpu_like`` hardware that it ships: 32 x 32 multipliers.

    Raises
    ------
    PeerError : it cannot be installed or run.
    """
    python = python_of(NAME)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "workload.yaml").write_text(yaml.safe_dump(layers(gemms)))
        import_s, usage = run_script(python, _SCRIPT, ["workload.yaml", "output"], folder)
    return Measurement(import_s=import_s, usage=usage, cycles=printed_cycles("ZigZag", usage))
