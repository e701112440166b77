"""Runs in SCALE-Sim's environment: ``python -I inside_scalesim.py CONFIG TOPOLOGY LAYOUT OUTPUT``.

Without arguments it only imports, to measure that alone.
"""

import sys

from scalesim.scale_sim import scalesim

if len(sys.argv) > 1:
    CONFIG, TOPOLOGY, LAYOUT, OUTPUT = sys.argv[1:]
    # without progress bars and trace files, which would take time of their own; the command line
    # of version 3.0.0 reads the option against trace files and ignores it
    run = scalesim(
        save_disk_space=True,
        verbose=False,
        config=CONFIG,
        topology=TOPOLOGY,
        layout=LAYOUT,
        input_type_gemm=True,
    )
    run.run_scale(top_path=OUTPUT)
