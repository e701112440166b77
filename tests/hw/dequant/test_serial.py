"""The bit-serial dequantizer in RTL against plain integers."""

import pytest

from ..benches_cocotb.designs import blocks_verilog


@pytest.mark.rtl
def test_results(run_bench):
    assert len(run_bench(blocks_verilog(), "blocks", "bench_dequantizer")) == 1
