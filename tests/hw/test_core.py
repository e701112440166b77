"""The core in RTL: jobs, resets and packet ends, with random gaps on every stream."""

import pytest

from hw.core import Core
from hw.emit import to_verilog

from .benches_cocotb.designs import small_machine


@pytest.mark.rtl
def test_jobs_resets_and_packet_ends(run_bench):
    verilog = to_verilog(Core(machine=small_machine()), "core")
    passed = run_bench(verilog, "core", "bench_core")
    assert len(passed) == 4
