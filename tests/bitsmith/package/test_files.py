"""What a package consists of: reproducible, labelled, nothing of this machine in it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

from bitsmith.package import package_files
from bitsmith.package.identity import identity
from bitsmith.package.options import option_parts
from configs.accelerator import AcceleratorConfig
from configs.load import build
from sw.compile import Machine
from sw.compile.registers import fingerprint

from ...agreement.float_machines import FLOATS
from ...agreement.machines import STAGES
from .machines import SMALL, VERSION, small_files

PROJECT = Path(__file__).resolve().parents[3]


def test_everything_is_there() -> None:
    files = set(small_files())
    assert {
        "README.md",
        "bitsmith.core",
        "package.json",
        "rtl/bitsmith_accelerator.v",
        "driver/bitsmith_accelerator.h",
        "driver/bitsmith_accelerator.py",
        "driver/memory_backend.py",
        "driver/uart_backend.py",
        "driver/verilated_backend.py",
        "tb/Makefile",
        "tb/main.cpp",
        "tb/model.h",
        "tb/library.cpp",
    } <= files
    assert len([name for name in files if name.startswith("tb/jobs/")]) == 6


def test_every_file_says_where_it_comes_from() -> None:
    mark = f"{fingerprint(SMALL):08x}"
    for name, text in small_files().items():
        head = text[:600]
        for part in ("test", mark, VERSION):
            assert part in head, f"{name} does not name {part}"


def test_same_input_same_bytes(tmp_path: Path) -> None:
    """Another process, folder, hash seed: the same files; `small_files` is this process's."""
    program = (
        "import sys; from pathlib import Path; from bitsmith.package import package_files, "
        "write_package; from tests.bitsmith.package.machines import SMALL, VERSION;"
        "write_package(Path(sys.argv[1]), package_files(SMALL, VERSION))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(PROJECT)}
    target = tmp_path / "deep" / "package"
    command = [sys.executable, "-c", program, str(target)]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    made = {p.relative_to(target).as_posix(): p for p in target.rglob("*") if p.is_file()}
    assert {name: path.read_text() for name, path in made.items()} == small_files()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_no_path_and_no_date() -> None:
    for name, text in small_files().items():
        for folder in (str(PROJECT), tempfile.gettempdir() + "/", sys.prefix, str(Path.home())):
            assert folder not in text, f"{name} names {folder}"
        assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", text), name


def test_manifest() -> None:
    files = small_files()
    manifest = json.loads(files["package.json"])
    assert manifest["fingerprint"] == f"{fingerprint(SMALL):08x}"
    assert manifest["bitsmith"] == VERSION
    hashes = {
        name: hashlib.sha256(text.encode()).hexdigest()
        for name, text in files.items()
        if name != "package.json"
    }
    assert manifest["files"] == hashes


def test_core_file_names_real_files() -> None:
    core = small_files()["bitsmith.core"]
    head, body = core.split("\n", 1)
    assert head == "CAPI=2:"
    described = yaml.safe_load(body)
    assert described["name"] == f"bitsmith:accelerators:test:{VERSION}"
    for fileset in described["filesets"].values():
        for entry in fileset["files"]:
            path = entry if isinstance(entry, str) else next(iter(entry))
            assert path in small_files(), path
    assert {"default", "lint", "sim", "synth"} <= set(described["targets"])
    jobs = described["targets"]["sim"]["flow_options"]["run_options"]
    assert {f"tb/{job}" for job in jobs} == {n for n in small_files() if "tb/jobs/" in n}


def test_fusesoc_reads_the_core_file(tmp_path: Path) -> None:
    """The real parser; FuseSoC is not a dependency."""
    pytest.importorskip("fusesoc")
    from fusesoc.capi2.coreparser import Core2Parser
    from fusesoc.core import Core

    path = tmp_path / "bitsmith.core"
    path.write_text(small_files()["bitsmith.core"])
    core = Core(Core2Parser(), str(path))
    assert core.name.name == "test"
    assert core.get_toplevel({"target": "sim", "is_toplevel": True}) == "bitsmith_accelerator"


@pytest.mark.parametrize("name", ["pairs in a compressor", "requantizer", "everything"])
def test_other_machines(name: str) -> None:
    files = package_files(STAGES[name], VERSION)
    assert set(files) == set(small_files())


def test_floating_point_machine() -> None:
    files = package_files(next(iter(FLOATS.values())), VERSION)
    assert "IS_FLOAT = 4, True" in files["driver/bitsmith_accelerator.py"]
    assert "float32" in files["README.md"]


#: heading of an option's part, and words that it must hold
OPTIONS = {
    "### E8M0 scales": ("integer 2^c", "0..15"),
    "### E4M3 scales": ("significand << shift", "2^-9"),
    "### Zero points": ("level - zero point", "from bit"),
    "### Requantizer": ("halves round up", "-128, 127"),
    "### Special values": ("SLVERR", "every error that stops a job", "| 0 | 0 | 1 | "),
    "### Floating-point activations": ("Inf and NaN", "float32", "the reference"),
}


def has_option(heading: str, machine: Machine) -> bool:
    """Whether a machine has what a heading of ``OPTIONS`` is about."""
    array = machine.accelerator
    return {
        "### E8M0 scales": array.scale.format == "e8m0",
        "### E4M3 scales": array.scale.format == "e4m3",
        "### Zero points": array.zero_point_bits > 0,
        "### Requantizer": array.requantizer is not None,
        "### Special values": array.programmable,
        "### Floating-point activations": array.has_floats,
    }[heading]


def test_each_option_is_described_where_it_is() -> None:
    machines = [*STAGES.values(), FLOATS["aligned in the row"], FLOATS["exact"]]
    seen = set()
    for made in machines:
        text = option_parts(made)
        assert all(len(line) <= 100 for line in text.splitlines())
        for heading in OPTIONS:
            assert (heading in text) == has_option(heading, made), (heading, made)
            seen |= {(heading, heading in text)}
    assert len(seen) == 2 * len(OPTIONS)


@pytest.mark.parametrize("heading", OPTIONS)
def test_options_say_what_they_must(heading: str) -> None:
    machines = [STAGES["E8M0 by doubling"], STAGES["everything"], FLOATS["aligned in the row"]]
    made = next(made for made in machines if has_option(heading, made))
    for words in OPTIONS[heading]:
        assert words in " ".join(option_parts(made).split(heading)[1].split())


def test_the_readme_has_the_options() -> None:
    assert "## Options\n\n### Special values\n" in small_files()["README.md"]
    from ...agreement.machines import FAST

    plain = package_files(FAST["4x4x4 bitmod_fp4"], VERSION)["README.md"]
    assert "## Options" not in plain and "### Special values" not in plain


def test_places_in_the_header() -> None:
    """The bits that the README names are those that the packer writes."""
    made = STAGES["everything"]
    array, text = made.accelerator, option_parts(made)
    assert array.requantizer is not None
    first = made.header_bits - array.cols * array.zero_point_bits
    assert f"from bit {first}+{array.zero_point_bits}c on" in text
    shifts = made.parameter_bits - array.cols * array.requantizer.shift_bits
    assert f"from bit {shifts}+{array.requantizer.shift_bits}c on" in text


def test_widths_without_a_purpose_are_given() -> None:
    readme = small_files()["README.md"]
    assert readme.count("were given, not proved") == 2
    recorded = json.loads(small_files()["package.json"])
    assert recorded["k"] is None
    assert build(AcceleratorConfig, recorded["accelerator"], "test") == SMALL.accelerator


def test_surplus_packets_and_combined_writes() -> None:
    text = " ".join(small_files()["README.md"].split())
    assert "taken as the first of the next job" in text
    assert "other bits of CONTROL, those still act" in text


def test_a_name_cannot_break_a_comment() -> None:
    from dataclasses import replace

    name = "odd */ na\nme; rm"
    odd = replace(SMALL, accelerator=replace(SMALL.accelerator, name=name))
    who = identity(odd, VERSION)
    assert "\n" not in who.line and "*/" not in who.line
    assert re.fullmatch(r"\w+", who.slug)
