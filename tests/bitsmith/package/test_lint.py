"""The Verilog gives Verilator (all warnings on) and Yosys nothing to say."""

import re
import subprocess
from pathlib import Path

import pytest

from bitsmith.package import package_files
from hw.benches.toolchain import verilator_environment, verilator_root
from hw.emit import run_yosys
from sw.compile import Machine

from ...agreement.float_machines import FLOATS
from ...agreement.machines import BUFFERS, STAGES
from .machines import SMALL, VERSION

pytestmark = pytest.mark.rtl

MACHINES: dict[str, Machine] = {
    "small": SMALL,
    "one PE, wide streams": BUFFERS["activations stay, wide streams, one PE"],
    "every stage": STAGES["everything"],
    "floats": next(iter(FLOATS.values())),
}
#: what is switched off, each with its reason in the line above
WAIVERS = {"DECLFILENAME", "UNUSEDSIGNAL", "SYMRSVDWORD"}


@pytest.fixture(params=MACHINES)
def verilog(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files = package_files(MACHINES[request.param], VERSION)
    path = tmp_path / "bitsmith_accelerator.v"
    path.write_text(files["rtl/bitsmith_accelerator.v"])
    return path


def lint(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(verilator_root() / "bin" / "verilator_bin"), "--lint-only", "--quiet", "-Wall",
         "--top-module", "bitsmith_accelerator", path.name],
        env=verilator_environment(), cwd=path.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_clean(verilog: Path) -> None:
    done = lint(verilog)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    text = verilog.read_text()
    waivers = re.findall(r"^// (.+):\n/\* verilator lint_off (\w+) \*/$", text, re.MULTILINE)
    assert {name for _, name in waivers} == WAIVERS
    assert text.count("lint_off") == len(WAIVERS)
    # no module but those of the file: hierarchy -check fails on an instance of any other
    run_yosys(
        f"read_verilog {verilog}\nhierarchy -check -top bitsmith_accelerator\nproc\ncheck -assert"
    )


def test_lint_would_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waiver that is gone, and each kind of trouble that is back, is a warning."""
    path = tmp_path / "bitsmith_accelerator.v"
    text = package_files(SMALL, VERSION)["rtl/bitsmith_accelerator.v"]
    for name in WAIVERS:
        path.write_text(text.replace(f"/* verilator lint_off {name} */", ""))
        assert f"%Warning-{name}" in lint(path).stderr
    path.write_text(text.replace(" default: ;\n", "\n"))
    assert "%Warning-CASEINCOMPLETE" in lint(path).stderr
    monkeypatch.setattr("hw.emit.equal_widths", lambda rtlil: rtlil)
    path.write_text(package_files(SMALL, VERSION)["rtl/bitsmith_accelerator.v"])
    assert "%Warning-WIDTH" in lint(path).stderr
    path.write_text(re.sub(r"^(  bitsmith_accelerator__core )(\w+ \()", r"  vendor_ram \2", text,
                           flags=re.MULTILINE))  # fmt: skip
    with pytest.raises(RuntimeError, match="vendor_ram"):
        run_yosys(f"read_verilog {path}\nhierarchy -check -top bitsmith_accelerator")


def test_buffers_become_block_rams(tmp_path: Path) -> None:
    """Memories are inferred: Yosys' flow finds block RAMs of iCE40 for both tile buffers."""
    path = tmp_path / "bitsmith_accelerator.v"
    machine = BUFFERS["weights stay, narrow results"]
    path.write_text(package_files(machine, VERSION)["rtl/bitsmith_accelerator.v"])
    log = run_yosys(
        f"read_verilog {path}\nhierarchy -check -top bitsmith_accelerator\nproc\nflatten\nopt\n"
        "memory -nomap\nmemory_libmap -lib +/ice40/brams.txt"
    )
    for name in ("weights_buffer", "activations_buffer"):
        assert f"mapping memory bitsmith_accelerator.{name}.memory via $__ICE40_RAM4K_" in log
