"""The bit-serial PE in RTL against plain integers."""

import pytest

from ..benches_cocotb.designs import blocks_verilog, pe_cases


@pytest.mark.rtl
def test_group_sums(run_bench):
    passed = run_bench(blocks_verilog(), "blocks", "bench_serial_pe")
    assert len(passed) == len(pe_cases())
