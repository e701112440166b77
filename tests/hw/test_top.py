"""The accelerator in RTL: jobs, resets and packet ends, with random gaps on every stream."""

import pytest

from hw.emit import to_verilog
from hw.top import Accelerator

from .benches_cocotb.designs import small_machine


@pytest.mark.rtl
def test_jobs_resets_and_packet_ends(run_bench):
    verilog = to_verilog(Accelerator(machine=small_machine()), "accelerator")
    passed = run_bench(verilog, "accelerator", "bench_top")
    assert len(passed) == 4
