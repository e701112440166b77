"""The documentation against the code: links, headings, ports, constants, tables, examples."""

import importlib
import inspect
import json
import pkgutil
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from amaranth.lib import wiring

import hw
from bitsmith.cli import main
from configs import timing
from configs.accelerator import (
    AcceleratorConfig,
    BufferConfig,
    RequantizerConfig,
    ScaleConfig,
    StreamConfig,
)
from configs.load import build, read_yaml, resolve
from hw.array import (
    ActivationLoader,
    FloatActivations,
    PEArray,
    Queue,
    ResultDrain,
    Sequencer,
    Walker,
    WeightLoader,
)
from hw.boards import BoardTop, LinkConfig
from hw.bus import (
    Bridge,
    JobControl,
    RegisterFile,
    ResultPort,
    StreamGuard,
    UartReceiver,
    UartTransmitter,
)
from hw.core import Core
from hw.dequant import (
    ActivationSums,
    ColumnScale,
    DequantizerControl,
    FloatDequantizer,
    FloatEncoder,
    Requantizer,
    ScaleDecoder,
    SerialDequantizer,
)
from hw.memory import TileBuffer
from hw.pe import (
    Accumulator,
    AligningPE,
    FloatAccumulator,
    FloatSum,
    MultiplierPE,
    SerialPE,
)
from hw.terms import ColumnTerms, PairDecoder, SpecialTerms, SpecialValues, TermDecoder
from hw.top import Accelerator
from sim import JOB_GAP_CYCLES
from sw.compile.registers import register_map
from sw.compile.transfers import activation_port, weight_port
from sw.formats import family_terms, float_layout, get_family, multiplier_terms

from ..agreement.machines import E4M3_BARREL, machine
from ..hw.test_members import stands_for

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
BLOCKS = sorted((DOCS / "blocks").glob("*.md"))
HEADINGS = ["Purpose", "Interface", "Timing", "Numerics", "Assumptions", "Verification", "Area"]


def without_code(text: str) -> str:
    """Markdown without fenced blocks and code spans, where brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    plain = (re.sub(r"[^\w\- ]", "", h.lower()) for h in re.findall(r"^#+ (.+)$", prose, re.M))
    return {heading.strip().replace(" ", "-") for heading in plain}


def section(page: Path, heading: str) -> str:
    """Text below a second-level heading."""
    return page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def constants() -> dict[str, int]:
    """The table of constants in docs/timing.md."""
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (\d+) \|", section(DOCS / "timing.md", "Constants"), re.M
    )
    return {name: int(value) for name, value in rows}


def functions() -> dict[str, tuple[int, int]]:
    """The table of functions in docs/timing.md: name to values for its two machines."""
    pattern = r"^\| `(\w+)\(array\)` \| (\d+) \| (\d+) \|"
    rows = re.findall(pattern, section(DOCS / "timing.md", "Constants"), re.M)
    return {name: (int(least), int(most)) for name, least, most in rows}


def examples() -> list[tuple[str, str]]:
    """Commands in docs/timing.md and the output shown below each."""
    text = (DOCS / "timing.md").read_text()
    return re.findall(r"^```console\n\$ bitsmith (.+)\n((?:.*\n)+?)```", text, re.M)


def components() -> dict[str, list[wiring.Component]]:
    """The components that each block page describes, together with every optional port."""
    # one exponent bit gives several base shifts
    built = machine(
        2,
        2,
        2,
        "bitmod_fp4",
        lane_exponent_bits=1,
        programmable=True,
        zero_point_bits=4,
        rows_per_dequantizer=2,
        scale=E4M3_BARREL,
        requantizer=RequantizerConfig(),
        buffers=BufferConfig(weight_beats=8, activation_beats=8),
    )
    floats = machine(2, 2, 2, "bitmod_fp4", widths=(16, 25), activation_format="float16")
    streams = StreamConfig(weight_bits=8, activation_bits=8, result_bits=8)
    buffers = BufferConfig(weight_beats=8, activation_beats=8)
    bytewise = machine(2, 2, 2, "int4", buffers=buffers, streams=streams)
    array, terms, mixed = built.accelerator, built.terms, get_family("ant4")
    special = {"family": built.family, "terms": terms}
    activations = {"lanes": 2, "activation_bits": 8}
    beat = {"chunk_bits": 8, "beat_bits": 8, "depth": 4}
    dequantizer = {"activation_sum_bits": 9, "zero_point_bits": 4, "scale_bits": 4, "rows": 2}
    widths = {"group_bits": 4, "corrected_bits": 13, "barrel_shift": 14}
    requantizer = {"multiplier_bits": 16, "shift_bits": 6}
    digits = multiplier_terms(mixed, "signed")
    floating = FloatSum(bits=8, exponent_bits=5, rounding="nearest_even")
    return {
        "accelerator": [Accelerator(machine=built), Accelerator(machine=floats)],
        "accumulator": [Accumulator(bits=4, addend_bits=4, mode="flag", depth=2)],
        "activation_sums": [
            ActivationSums(
                rows=2, bits=9, zero_point_bits=4, delay=1, activation_signed=True, **activations
            )
        ],
        "aligning_pe": [
            AligningPE(
                terms=terms,
                lanes=2,
                significand_bits=11,
                place_bits=5,
                guard_bits=3,
                sum_bits=18,
                exponent_bits=5,
                floating=floating,
            )
        ],
        "board_top": [BoardTop(machine=bytewise, link=LinkConfig(divisor=4, timeout_cycles=80))],
        "bridge": [
            Bridge(
                address_bits=7,
                weight_bytes=8,
                activation_bytes=8,
                result_bytes=8,
                timeout_cycles=80,
            )
        ],
        "column_terms": [ColumnTerms(**special, lanes=2, programmable=True, count_negatives=True)],
        "column_scale": [ColumnScale(scale=array.scale, zero_point_bits=4, stages=1)],
        "core": [Core(machine=built), Core(machine=floats)],
        "dequantizer_control": [DequantizerControl(zero_point_bits=4, scale_bits=4, rows=2)],
        "float_accumulator": [
            FloatAccumulator(floating=floating, addend_bits=8, addend_exponent_bits=4, depth=2)
        ],
        "float_activations": [
            FloatActivations(layout=float_layout("float16"), lanes=2, target="aligned")
        ],
        "float_dequantizer": [
            FloatDequantizer(inner=floating, outer=floating, scale_bits=4, barrel_shift=14, rows=2)
        ],
        "float_encoder": [FloatEncoder(cols=2, bits=8, exponent_bits=5, unit_exponent=-24)],
        "job_control": [JobControl()],
        "loaders": [
            WeightLoader(header_bits=8, parameter_bits=8, **beat),
            ActivationLoader(**beat),
        ],
        "multiplier_pe": [
            MultiplierPE(terms=digits, bits=16, mode="flag", **activations),
            MultiplierPE(
                terms=digits, bits=8, mode="wrap", floating=floating, exponent_bits=5, **activations
            ),
        ],
        "pair_decoder": [PairDecoder(bits=4)],
        "pe_array": [PEArray(machine=built), PEArray(machine=floats)],
        "queue": [Queue(width=8, depth=2)],
        "register_file": [RegisterFile(registers=register_map(m)) for m in (built, floats)],
        "requantizer": [Requantizer(cols=2, bits=8, **requantizer)],
        "result_drain": [
            ResultDrain(rows=2, cols=2, bits=8, result_bits=8, requantizer=array.requantizer)
        ],
        "result_port": [ResultPort(row_bits=24, stream_bits=16)],
        "scale_decoder": [ScaleDecoder(scale=array.scale)],
        "sequencer": [Sequencer(slots=terms.slots, dequantizer_cycles=8)],
        "serial_dequantizer": [SerialDequantizer(bits=8, mode="flag", **dequantizer, **widths)],
        "serial_pe": [
            SerialPE(terms=terms, bits=16, mode="flag", adders="compressor", **activations),
            SerialPE(
                terms=terms, bits=8, mode="wrap", floating=floating, exponent_bits=5, **activations
            ),
        ],
        "special_values": [SpecialValues(**special), SpecialTerms(**special, programmable=True)],
        "stream_guard": [StreamGuard(stream_bits=8)],
        "term_decoder": [
            TermDecoder(**special),
            TermDecoder(family=mixed, terms=family_terms(mixed)),
        ],
        "tile_buffer": [TileBuffer(port=p(built)) for p in (weight_port, activation_port)],
        "uart": [UartReceiver(divisor=4), UartTransmitter(divisor=4)],
        "walker": [Walker()],
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{target} does not exist"
        assert linked.is_relative_to(ROOT), f"{target} is outside the project"
        if anchor:
            assert anchor in anchors(linked), f"{target}: no such heading"


def test_every_block_has_a_page() -> None:
    assert [page.stem for page in BLOCKS] == sorted(components())


@pytest.mark.parametrize("page", BLOCKS, ids=lambda p: p.stem)
def test_block_pages_have_the_fixed_headings(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.M) == HEADINGS
    assert all(section(page, heading).strip() for heading in HEADINGS)
    for test in re.findall(r"`(tests/[\w/.]+)`", page.read_text()):
        assert (ROOT / test).exists(), f"{test} does not exist"


def test_block_pages_list_exactly_the_ports() -> None:
    for page, described in components().items():
        table = re.findall(
            r"^\| (`.+?) \|", section(DOCS / "blocks" / f"{page}.md", "Interface"), re.M
        )
        listed: set[str] = set()
        for cell in table:
            first, *rest = re.findall(r"`(<?\w+>?\w*)`", cell)
            # `name_tdata`, `_tvalid` stand for name_tdata and name_tvalid
            listed |= {first} | {first.rsplit("_", 1)[0] + r if r[0] == "_" else r for r in rest}
        ports = {port for component in described for port in component.signature.members}
        for component in described:
            for name, real in stands_for(component).items():
                if name in listed:  # like `<name>`, for ports that a register map gives
                    ports = ports - real.keys() | {name}
        assert listed == ports, page


def test_every_component_has_a_page() -> None:
    described = {type(part) for parts in components().values() for part in parts}
    modules = [m.name for m in pkgutil.walk_packages(hw.__path__, "hw.")]
    found = {
        value
        for name in modules
        for value in vars(importlib.import_module(name)).values()
        if inspect.isclass(value) and issubclass(value, wiring.Component)
        if value.__module__ == name and not value.__name__.startswith("_")
        if not inspect.isabstract(value)
    }
    assert found == described


def test_timing_states_the_constants() -> None:
    for name, value in constants().items():
        assert getattr(timing, name) == value, name
    tiny, _ = resolve("accelerators", "tiny_4x4x4", base=ROOT, where="test")
    arrays = [
        build(AcceleratorConfig, data, "test")
        for data in (tiny, read_yaml(DOCS / "staged_4x4x4.yaml"))
    ]
    for name, values in functions().items():
        assert tuple(getattr(timing, name)(array) for array in arrays) == values, name
    latencies = {n for n in vars(timing) if re.search("_CYCLES$|_cycles$|_GROUPS$|_TILES$", n)}
    assert constants().keys() | functions().keys() == latencies
    text = (DOCS / "timing.md").read_text()
    assert f"`JOB_GAP_CYCLES` = {JOB_GAP_CYCLES} cycle" in text
    causes = re.findall(r"^\| \d \| `(\w+)` \|", text, re.M)
    assert (*causes, "compute") == timing.CAUSES


def test_timing_states_the_scale_bits() -> None:
    rows = re.findall(
        r"^\| `(uint8|e8m0|e4m3)` \| (\S.*?) \| (\d+) \|$",
        section(DOCS / "timing.md", "Constants"),
        re.M,
    )
    assert len(rows) == 3
    for name, serial, barrel in rows:
        for shift, stated in (("serial", serial), ("barrel", barrel)):
            config = ScaleConfig(format=name, shift=shift, binades=11)
            real = str(config.serial_bits)
            assert stated.strip("`").replace("binades + 1", "12") == real, (name, shift)


def test_there_are_worked_examples() -> None:
    assert len(examples()) >= 3


@pytest.mark.parametrize(("command", "shown"), examples(), ids=[e[0] for e in examples()])
def test_worked_examples_are_real(command: str, shown: str, capsys) -> None:
    assert main(shlex.split(command)) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(shown)


def test_format_tables_are_fresh(monkeypatch) -> None:
    script = str(DOCS / "make_formats.py")
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_formats.py'"


def test_stale_format_tables_are_found(monkeypatch, capsys, tmp_path: Path) -> None:
    shutil.copy(DOCS / "formats_measured.json", tmp_path)
    stale = (DOCS / "formats.md").read_text().replace("| 2 (0, 0) |", "| 3 (0, 0) |", 1)
    (tmp_path / "formats.md").write_text(stale)
    (tmp_path / "make_formats.py").write_text((DOCS / "make_formats.py").read_text())
    made = runpy.run_path(str(tmp_path / "make_formats.py"))
    monkeypatch.setattr(sys, "argv", ["make_formats.py", "--check"])
    assert made["main"]() == 1
    assert "stale" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["make_formats.py"])
    assert made["main"]() == 0
    assert (tmp_path / "formats.md").read_text() == (DOCS / "formats.md").read_text()


def test_accuracy_tables_are_fresh(monkeypatch) -> None:
    script = str(DOCS / "make_accuracy.py")
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    assert runpy.run_path(script)["main"]() == 0


def test_layout_names_what_exists() -> None:
    floors = "configs|sw|hw|sim|costmodel|bitsmith|tests|benchmarks|docs"
    named = re.findall(rf"`((?:{floors})/[\w./]*)`", (DOCS / "layout.md").read_text())
    assert len(named) > 50
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_dependency_has_its_sentence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["readers"], *extras["fast"], *extras["formal"]]
    for extra in ("fpga", "calibrate", "explore", "cluster"):
        wanted += extras[extra]
    wanted += [name for name in extras["test"] if not name.startswith("bitsmith")]
    rows = re.findall(r"^\| `(.+?)` \| (.+?) \|$", (DOCS / "dependencies.md").read_text(), re.M)
    assert [name for name, _ in rows] == [requirement.split(";")[0] for requirement in wanted]
    assert all(reason.endswith(".") for _, reason in rows)


def test_picture_of_the_machine_is_fresh(monkeypatch) -> None:
    script = str(DOCS / "make_machine.py")
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_machine.py'"
