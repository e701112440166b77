"""Fixtures for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .hw import cocotb_runner


@pytest.fixture
def run_bench(tmp_path: Path) -> Callable[[str, str, str], list[str]]:
    """``run_bench(verilog, top, bench)`` runs a cocotb bench; skips where it cannot."""
    reason = cocotb_runner.missing_tool()
    if reason:
        pytest.skip(f"cocotb benches cannot run: {reason}")
    return lambda verilog, top, bench: cocotb_runner.run(verilog, top, bench, tmp_path)
