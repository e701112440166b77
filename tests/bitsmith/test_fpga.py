"""``bitsmith fpga``: what it prints and what it refuses."""

import importlib
import json

import pytest

from bitsmith import cli
from costmodel.fpga import FpgaReport, Placement, Resources
from costmodel.fpga import nextpnr as pnr

#: the package's attribute of this name is the function
command = importlib.import_module("bitsmith.commands.fpga")
pytestmark = pytest.mark.filterwarnings("ignore:.*created but never used")


@pytest.fixture
def made(monkeypatch):
    """A flow that runs no tool; the list of what it was asked for."""
    asked = []

    def implement(design, machine, target, *, say, seeds, freq_mhz, place, **options):
        asked.append(options | {"target": target.name, "machine": machine, "seeds": tuple(seeds)})
        say("at work")
        counts = {"lut": 1000, "flip_flops": 500, "bram": 2, "dsp": 0}
        runs = [
            Placement(seed=seed, fmax_mhz=100.0 + seed, used=counts, available=counts)
            for seed in seeds
            if place and target.nextpnr
        ]
        return FpgaReport(
            machine=machine,
            target=target,
            used=Resources(**counts),
            placements=tuple(runs),
            freq_mhz=freq_mhz or 12.0,
            wrapper_cells=90 if target.needs_pins else 0,
            dsp=options["dsp"],
        )

    monkeypatch.setattr(command, "implement", implement)
    return asked


def test_text_and_progress(made, capsys) -> None:
    assert cli.main(["fpga", "tiny_4x4x4", "--target", "ecp5-85k", "--format", "int4"]) == 0
    out, err = capsys.readouterr()
    assert "LUT       1,000     83,640   1.2%" in out
    assert "Fmax 101.0 MHz, the worst of seed 1: 101.0, seed 2: 102.0, seed 3: 103.0" in out
    # 2 x 4 x 4 x 4 / 2 slots x 101 MHz
    assert "6.46 GOPS, 6.464 per kLUT" in out
    assert err.strip() == "fpga: at work"


def test_json(made, capsys) -> None:
    options = ["--json", "--format", "bitmod_fp4", "--seeds", "5", "4", "--no-dsp", "--freq", "20"]
    assert cli.main(["fpga", "tiny_4x4x4", "--target", "ice40-up5k", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["accelerator"], found["format"]) == ("tiny_4x4x4", "bitmod_fp4")
    assert (found["fmax_mhz"], found["freq_mhz"]) == (104.0, 20.0)
    assert found["gops_per_klut"] == pytest.approx(found["gops"] / 0.91, abs=1e-3)
    assert found["seeds"][0] == {"seed": 5, "fmax_mhz": 105.0, "slowest": None}
    assert made[0]["seeds"] == (5, 4) and made[0]["dsp"] is False


@pytest.mark.parametrize(
    ("target", "more", "reason"),
    [
        ("gowin", [], "gowin is synthesized only"),
        ("ecp5-85k", ["--synthesis-only"], "--synthesis-only"),
    ],
)
def test_without_placement_there_is_no_clock(made, capsys, target, more, reason) -> None:
    assert cli.main(["fpga", "tiny_4x4x4", "--target", target, *more]) == 0
    out = capsys.readouterr().out
    assert f"no clock: {reason}" in out and "GOPS" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "ecp5"], "unknown FPGA target 'ecp5': did you mean 'ecp5-85k'?"),
        (["--target", "nexus", "--freq", "0"], "--freq is 0.0, valid are 1..1000"),
        (["--target", "nexus", "--jobs", "0"], "--jobs is 0, valid are 1..1024"),
        (["--target", "nexus", "--seeds", "-1"], "--seeds is -1"),
        (["--target", "nexus", "--seeds", "1", "2", "1"], "--seeds names 1 twice"),
        (["--target", "nexus", "--format", "int44"], "int44"),
    ],
)
def test_bad_input_is_one_sentence(made, capsys, options, message) -> None:
    assert cli.main(["fpga", "tiny_4x4x4", *options]) == 2
    out, err = capsys.readouterr()
    assert not out and message in err and err.count("\n") == 1


def test_missing_nextpnr(monkeypatch, capsys) -> None:
    monkeypatch.setattr(pnr.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["fpga", "tiny_4x4x4", "--target", "ice40-hx8k"]) == 2
    assert "pip install 'bitsmith[fpga]'" in capsys.readouterr().err


@pytest.mark.rtl
def test_a_machine_that_does_not_fit(monkeypatch, capsys) -> None:
    monkeypatch.setattr("costmodel.fpga.flow.missing_nextpnr", lambda target: None)
    monkeypatch.setattr(
        "costmodel.fpga.flow.netlist", lambda *_, **__: ({"SB_LUT4": 6000, "SB_DFF": 10}, b"")
    )
    assert cli.main(["fpga", "tiny_4x4x4", "--target", "ice40-up5k"]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    device = "ice40-up5k (iCE40UP5K-SG48)"
    assert err == f"bitsmith: the design does not fit {device}: it takes 6,000 LUTs of 5,280"
