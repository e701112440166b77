"""The files of a package, by path."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw.benches.batch import accelerator_verilog
from sw.compile import Machine
from sw.compile.transfers import activation_port, weight_port

from ..strict_json import dumps
from .fusesoc import TOP, core_file
from .identity import Identity, identity
from .jobs import RecordedJob, job_file, recorded_jobs
from .purpose import Purpose, described
from .readme import readme
from .registers import c_header, python_block

HERE = Path(__file__).parent
VERILOG = f"rtl/{TOP}.v"
MANIFEST = "package.json"
MANIFEST_VERSION = 1
_BLOCK = re.compile(r"(?<=^# registers: begin\n).*(?=^# registers: end$)", re.MULTILINE | re.DOTALL)
_C_SOURCES = ("main.cpp", "model.h", "library.cpp")


def package_files(machine: Machine, version: str, purpose: Purpose | None = None) -> dict[str, str]:
    """Text of every file of the package of ``machine``, by path inside the package.

    Parameters
    ----------
    machine : what to build.
    version : of bitsmith.
    purpose : what its widths were proved for; without it they are called given.

    Raises
    ------
    InputError : the buffers hold no tile at all.
    """
    who = identity(machine, version)
    jobs = recorded_jobs(machine)
    verilog = named_verilog(accelerator_verilog(machine), who)
    names = [f"{index:02d}_{job.name}.txt" for index, job in enumerate(jobs, start=1)]
    files = {
        VERILOG: verilog,
        "README.md": readme(machine, who, jobs, verilog, purpose),
        "bitsmith.core": core_file(who, names),
        "driver/bitsmith_accelerator.h": c_header(machine, who),
        **_python(machine, who),
        **_bench(machine, who, jobs, names),
    }
    files[MANIFEST] = _manifest(files, who, described(machine, purpose))
    return dict(sorted(files.items()))


def named_verilog(verilog: str, who: Identity) -> str:
    """The Verilog with the configuration in its second line."""
    first, rest = verilog.split("\n", 1)
    return f"{first}\n// {who.line}\n{rest}"


def driver_source(machine: Machine, version: str) -> str:
    """Python driver of ``machine``, standard library only."""
    source = (HERE / "driver" / f"{TOP}.py").read_text()
    block = python_block(machine)
    made, count = _BLOCK.subn(lambda _: block, source)
    assert count == 1
    return identity(machine, version).comment("#") + made


def _python(machine: Machine, who: Identity) -> dict[str, str]:
    """The Python driver, and its backends that are files of their own."""
    files = {f"driver/{TOP}.py": driver_source(machine, who.version)}
    for path in sorted((HERE / "driver").glob("*_backend.py")):
        files[f"driver/{path.name}"] = who.comment("#") + path.read_text()
    return files


def _bench(
    machine: Machine, who: Identity, jobs: list[RecordedJob], names: list[str]
) -> dict[str, str]:
    """Test bench and recorded jobs."""
    sizes = {
        "@WEIGHT_BYTES@": weight_port(machine).stream_bits // 8,
        "@ACTIVATION_BYTES@": activation_port(machine).stream_bits // 8,
    }
    files = {"tb/Makefile": who.comment("#") + (HERE / "tb" / "Makefile").read_text()}
    for name in _C_SOURCES:
        text = (HERE / "tb" / name).read_text()
        for key, value in sizes.items():
            text = text.replace(key, str(value))
        files[f"tb/{name}"] = who.comment("//") + text
    for name, job in zip(names, jobs, strict=True):
        files[f"tb/jobs/{name}"] = job_file(job, machine, who)
    return files


def hashes(files: Mapping[str, str | bytes]) -> dict[str, str]:
    """SHA-256 of every file, by path."""
    return {
        path: hashlib.sha256(as_bytes(content)).hexdigest()
        for path, content in sorted(files.items())
    }


def as_bytes(content: str | bytes) -> bytes:
    """A file's bytes."""
    return content.encode() if isinstance(content, str) else content


def _manifest(files: dict[str, str], who: Identity, made_for: dict[str, Any]) -> str:
    """``package.json``: what made the package, and what is in it."""
    found = {
        "bitsmith_package": MANIFEST_VERSION,
        "bitsmith": who.version,
        "configuration": who.name,
        "formats": who.formats,
        "fingerprint": f"{who.fingerprint:08x}",
        "top": TOP,
        **made_for,
        "files": hashes(files),
    }
    return dumps(found) + "\n"
