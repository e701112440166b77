"""The PE benchmark: its points, its counting, its command line, and the page made from it."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from benchmarks import pe, targets
from benchmarks.pe_points import WEIGHTS, machine, of_tables, points
from configs.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")


class Counter(wiring.Component):
    """Eight flip-flops behind an adder."""

    def __init__(self) -> None:
        super().__init__({"step": In(8), "total": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = Signal(8, reset_less=True)
        m.d.sync += total.eq(total + self.step)
        m.d.comb += self.total.eq(total)
        return m


class Product(wiring.Component):
    """A wide product."""

    def __init__(self) -> None:
        super().__init__({"a": In(16), "b": In(16), "product": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.product.eq(self.a * self.b)
        return m


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("name", "luts"), [("xc7", 8), ("ecp5", 8), ("ice40", 8)])
def test_an_adder_takes_one_lut_a_bit(name: str, luts: int) -> None:
    cells = targets.map_fpga(targets.rtlil(Counter()), name)
    assert cells["flip_flops"] == 8
    assert luts <= cells["lut"] <= luts + 1
    assert cells["carry"] > 0
    assert cells["dsp"] == 0


def test_multiplier_blocks_only_when_asked_for() -> None:
    source = targets.rtlil(Product())
    assert targets.map_fpga(source, "ecp5", dsp=True)["dsp"] == 1
    assert targets.map_fpga(source, "ecp5")["dsp"] == 0


def test_results_are_kept_by_content(monkeypatch) -> None:
    source = targets.rtlil(Counter())
    first = targets.map_fpga(source, "ice40")
    monkeypatch.setattr("costmodel.fpga.yosys.run_yosys", None)
    assert targets.map_fpga(source, "ice40") == first
    with pytest.raises(TypeError):
        targets.map_fpga(source, "ecp5")


def test_points_have_what_the_headline_needs() -> None:
    quick, full = points(full=False), points(full=True)
    for chosen in (quick, full):
        headline = of_tables(chosen, ["headline"])
        assert {p.part for p in headline} == {"pe", "column", "dequantizer"}
        assert {p.design for p in headline if p.part == "pe"} == {
            "serial",
            "parallel",
            "multiplier",
            "multiplier_dsp",
        }
    assert {p.format for p in of_tables(full, ["headline"])} == set(WEIGHTS)
    with pytest.raises(InputError, match="unknown table 'nothing'"):
        of_tables(full, ["nothing"])


def test_widths_hold_every_sum() -> None:
    # 128 products of 7 * 128, as levels up to 7 pass through 8; 4096 of 7 * 128 times 255
    built = machine("int4")
    assert built.inner_bits == (128 * (7 + built.terms.worst_escape) * 128).bit_length() + 1
    assert built.outer_bits == (4096 * built.family.max_magnitude * 128 * 255).bit_length() + 1


def row(design: str, part: str, lut: int, **other) -> dict:
    """A row of the headline table."""
    made = {
        "table": "headline",
        "design": design,
        "part": part,
        "format": "int4",
        "lanes": 8,
        "exponent_bits": 1,
        "slots": 2,
        "macs_per_cycle": 4.0,
        "targets": {"xc7": {"lut": lut, "dsp": 0}},
    }
    return made | other


def test_share_is_dequantizer_and_a_part_of_the_column() -> None:
    rows = [
        row("serial", "pe", 100),
        row("serial", "column", 32),
        row("all", "dequantizer", 61),
        row("multiplier", "column", 16, exponent_bits=None),
        row(
            "multiplier_dsp",
            "pe",
            40,
            exponent_bits=None,
            macs_per_cycle=8.0,
            targets={"xc7": {"lut": 40, "dsp": 8}},
        ),
    ]
    serial, multiplier = pe.per_mac(rows)
    assert serial["targets"]["xc7"] == {"pe": 25.0, "share": (100 + 61 + 32 / 16) / 4, "dsp": 0}
    assert multiplier["targets"]["xc7"] == {"pe": 5.0, "share": (40 + 61 + 1) / 8, "dsp": 1}


def test_command_prints_one_object(tmp_path) -> None:
    command = [sys.executable, "-m", "benchmarks.pe", "--table", "modes", "--target", "ice40"]
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    made = json.loads(done.stdout)
    (only,) = made["rows"]
    assert only["setting"] == "saturate"
    assert only["targets"]["ice40"]["lut"] > 0
    assert made["per_mac"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--table", "nothing"], "unknown table 'nothing'"),
        (["--liberty", "pyproject.toml"], "not a Liberty file"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], message: str) -> None:
    command = [sys.executable, "-m", "benchmarks.pe", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_foreign_verilog(tmp_path) -> None:
    source = tmp_path / "adder.v"
    source.write_text(
        "module adder #(parameter W = 4) (input clk, input [W-1:0] a, output reg [W-1:0] sum);\n"
        "always @(posedge clk) sum <= sum + a;\nendmodule\n"
    )
    command = [sys.executable, "-m", "benchmarks.foreign", str(source), "--top", "adder"]
    command += ["--macs", "2", "--parameter", "W=8", "--target", "ice40", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["targets"]["ice40"]
    assert found["flip_flops"] == 8
    assert found["per_mac"] == found["lut"] / 2
    missing = subprocess.run(
        [*command[:3], "missing.v", *command[4:]], cwd=ROOT, capture_output=True, text=True
    )
    assert "'missing.v' is not there" in missing.stderr


def test_page_shows_the_measured_figures(monkeypatch) -> None:
    script = str(ROOT / "docs" / "make_area.py")
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(script, run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_area.py'"
