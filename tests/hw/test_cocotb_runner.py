"""The cocotb runner itself: no failure may look like a success."""

import os
import sys

import pytest

from . import cocotb_runner
from .blocks.bundle import bundle_verilog
from .blocks.registry import cocotb_blocks

PASS = '<testcase name="good" />'
FAIL = '<testcase name="bad"><failure message="expected 3, got 4" /></testcase>'
SKIP = '<testcase name="left out"><skipped message="later" /></testcase>'


def write(folder, *cases: str):
    """A results file of one suite."""
    path = folder / "results.xml"
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


def test_results_are_checked(tmp_path):
    log = tmp_path / "cocotb.log"
    log.write_text("the last words")
    check = cocotb_runner.check_results
    assert check(write(tmp_path, PASS, PASS), log) == ["good", "good"]
    with pytest.raises(AssertionError, match=r"bad: expected 3, got 4\n(.|\n)*the last words"):
        check(write(tmp_path, PASS, FAIL), log)
    with pytest.raises(AssertionError, match="exit code 3"):
        check(write(tmp_path, PASS), log, "exit code 3")
    with pytest.raises(AssertionError, match="no cocotb test ran"):
        check(write(tmp_path), log)
    with pytest.raises(AssertionError, match="skipped: left out"):
        check(write(tmp_path, PASS, SKIP), log)
    with pytest.raises(AssertionError, match=r"without results \(exit code 1\):\nthe last words"):
        check(tmp_path / "none.xml", log, "exit code 1")


def test_the_environment_does_not_leak():
    if cocotb_runner.missing_tool():
        pytest.skip("no toolchain")
    before, path = dict(os.environ), list(sys.path)
    with cocotb_runner.tool_environment():
        assert "VERILATOR_ROOT" in os.environ and str(cocotb_runner.BENCHES) in sys.path
    assert (dict(os.environ), sys.path) == (before, path)


def test_what_is_missing_is_named(monkeypatch):
    if cocotb_runner.missing_tool():
        pytest.skip("no toolchain")
    with monkeypatch.context() as context:
        context.setattr("shutil.which", lambda name: None)
        assert "no C++ compiler" in str(cocotb_runner.missing_tool())
    with monkeypatch.context() as context:
        context.setattr("find_libpython.find_libpython", lambda: None)
        assert "libpython" in str(cocotb_runner.missing_tool())
    with monkeypatch.context() as context:
        context.setattr("importlib.util.find_spec", lambda name: None)
        assert "'cocotb' is not installed" in str(cocotb_runner.missing_tool())


@pytest.mark.rtl
def test_a_bench_that_cannot_be_loaded_fails(run_bench):
    with pytest.raises(AssertionError, match="no_such_bench"):
        run_bench(bundle_verilog(cocotb_blocks(), "blocks"), "blocks", "no_such_bench")
