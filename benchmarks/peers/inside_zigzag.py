"""Runs in ZigZag's environment: ``python -I inside_zigzag.py WORKLOAD OUTPUT``.

The hardware and the mapping are the ``tpu_like`` of the wheel, as they are. Prints the cycles on
its last line. Without arguments it only imports, to measure that alone.
"""

import logging
import sys
from pathlib import Path

import zigzag
from zigzag.api import get_hardware_performance_zigzag

if len(sys.argv) > 1:
    WORKLOAD, OUTPUT = sys.argv[1:]
    INPUTS = Path(zigzag.__file__).parent / "inputs"
    logging.disable(logging.INFO)
    energy_pj, cycles, _ = get_hardware_performance_zigzag(
        WORKLOAD,
        str(INPUTS / "hardware" / "tpu_like.yaml"),
        str(INPUTS / "mapping" / "tpu_like.yaml"),
        dump_folder=OUTPUT,
        loma_show_progress_bar=False,
    )
    print(int(cycles))
