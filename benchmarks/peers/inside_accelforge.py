"""Runs in AccelForge's environment: ``python -I inside_accelforge.py ARCHITECTURE WORKLOAD...``.

Prints the cycles of all workloads on its last line. Without arguments it only imports, to measure
that alone.
"""

import sys

from accelforge import Metrics, Spec, set_n_parallel_jobs
from accelforge.mapper.FFM import map_workload_to_arch

if len(sys.argv) > 1:
    ARCHITECTURE, *WORKLOADS = sys.argv[1:]
    set_n_parallel_jobs(1)
    total = 0
    for workload in WORKLOADS:
        spec = Spec.from_yaml(ARCHITECTURE, workload)
        spec.mapper.metrics = Metrics.LATENCY
        # the detailed evaluation of the mapping that was found draws it too, with Graphviz
        found = map_workload_to_arch(spec, print_progress=False, eval_in_detail=False)
        # the clock is 1 Hz; the mapper counts in 32-bit floats
        total += round(float(found["Total<SEP>latency"].min()))
    print(total)
