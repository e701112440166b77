"""``bitsmith prove``: exit codes, what is refused, and what a stranger sees."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bitsmith.cli import build_parser
from bitsmith.commands.prove import prove
from bitsmith.job import silent
from bitsmith.prove import machine_module
from configs.errors import InputError
from configs.schema import load_axis
from hw.array.parts import inner_pe
from hw.benches.batch import accelerator_verilog
from hw.emit import to_verilog
from hw.proofs.netlist import module_in
from hw.proofs.runner import missing_solver
from sw.compile import resolve_machine
from sw.quantize.recipe import machine_family

needs_solver = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")

NAMES = [
    *("model", "recipe", "format", "group_size", "scale_format", "accelerator", "inner_bits"),
    *("outer_bits", "mode", "layer", "channel", "group", "levels", "check", "verilog", "k"),
]


def run(tmp_path, capsys, **given):
    options = dict.fromkeys(NAMES) | {"all_layers": False, "json": True, "timeout": 600.0}
    # as the command line has it where no folder is named
    output = Path("proofs") if "check" in given else tmp_path / "proofs"
    options |= {"output": output} | given
    code = prove(argparse.Namespace(**options), silent)
    return code, json.loads(capsys.readouterr().out)


@needs_solver
@pytest.mark.agreement
def test_accelerator_alone(tmp_path, capsys):
    code, found = run(tmp_path, capsys, model="tiny_4x4x4", format="int4", k=8, mode="flag")
    assert (code, found["proofs"][0]["result"]) == (0, "proved")
    assert "line by line" in found["machine"]
    code, found = run(tmp_path, capsys, check=tmp_path / "proofs")
    assert (code, found["certificates"][0]["holds"]) == (0, True)


@needs_solver
def test_too_narrow(tmp_path, capsys):
    """Exit code 1 with activations that overflow, on the shipped model."""
    code, found = run(tmp_path, capsys, accelerator="tiny_4x4x4", inner_bits=12, mode="saturate")
    proof = found["proofs"][0]
    assert (code, proof["result"], proof["bits"]) == (1, "refuted", 12)
    assert proof["needed_bits"] > 12
    assert len(proof["counterexample"]["inputs"]) == proof["weights"]
    code, found = run(tmp_path, capsys, check=tmp_path / "proofs" / proof["name"])
    assert (code, found["certificates"][0]["holds"]) == (1, False)


@needs_solver
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"accelerator": "fp16_8x8x4"}, "floating-point activations"),
        ({"accelerator": "int_mac_8x8x4", "format": "int4"}, "PEs of kind 'multiplier'"),
        ({"layer": "nothing"}, "layer"),
        ({"channel": 10**6}, "--channel is 1000000"),
        ({"group": -1}, "--group is -1"),
        ({"k": 5}, "--k goes with an accelerator alone"),
        ({"levels": "random"}, "--levels goes with an accelerator alone"),
        ({"model": "tiny_4x4x4", "layer": "x"}, "--layer goes with a model"),
        ({"model": "tiny_4x4x4", "levels": "x", "k": 8}, "--levels is 'x'"),
        ({"layer": "x", "all_layers": True}, "exclude each other"),
        ({"model": "quickstart", "mode": "wrap"}, "goes without --mode"),
        ({"check": Path("nowhere")}, "holds no certificate.json"),
        ({"model": "tiny_4x4x4", "channel": 0, "k": 8}, "--channel goes with a model"),
    ],
)
def test_refused(tmp_path, capsys, given, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, capsys, **given)


@pytest.mark.parametrize("seconds", ["nan", "inf", "-inf", "0", "-1", "1e-400", "1000001", "1e300"])
@pytest.mark.parametrize("also", [{}, {"check": Path("nowhere")}])
def test_timeout(tmp_path, capsys, seconds, also):
    with pytest.raises(InputError, match=r"--timeout is .*, expected seconds above 0"):
        run(tmp_path, capsys, timeout=float(seconds), **also)


@needs_solver
@pytest.mark.parametrize("seconds", [1e-6, 1e6])
def test_timeout_ends(tmp_path, capsys, seconds):
    with pytest.raises(InputError, match="holds no certificate"):
        run(tmp_path, capsys, timeout=seconds, check=Path("nowhere"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"model": "tiny_4x4x4"}, "a model"),
        ({"output": Path("elsewhere")}, "--out"),
        ({"layer": "x"}, "--layer"),
        ({"channel": 0}, "--channel"),
        ({"group": 0}, "--group"),
        ({"all_layers": True}, "--all-layers"),
        ({"levels": "random"}, "--levels"),
        ({"k": 8}, "--k"),
        ({"recipe": "bitmod_fp4"}, "--recipe"),
        ({"format": "int4"}, "--format"),
        ({"group_size": 64}, "--group-size"),
        ({"scale_format": "uint8"}, "--scale-format"),
        ({"accelerator": "tiny_4x4x4"}, "--config"),
        ({"inner_bits": 12}, "--inner-bits"),
        ({"outer_bits": 20}, "--outer-bits"),
        ({"mode": "wrap"}, "--mode"),
    ],
)
def test_check_goes_alone(tmp_path, capsys, given, shown):
    """An option without effect is refused, before anything is read."""
    with pytest.raises(InputError, match=f"it goes without {shown}:"):
        run(tmp_path, capsys, check=Path("nowhere"), **given)


def test_no_option_is_forgotten():
    """Each option of the command line has an effect on a check, or is refused with one."""
    options = build_parser().parse_args(["prove", "--check", "nowhere"])
    for name in vars(options).keys() - {"command", "check", "verilog", "timeout", "json"}:
        with pytest.raises(InputError, match="it goes without"):
            prove(argparse.Namespace(**{**vars(options), name: "given"}), silent)


def test_no_solver(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("hw.proofs.runner.SOLVER", "no-such-solver")
    with pytest.raises(InputError, match="no-such-solver is not installed: pip install"):
        run(tmp_path, capsys)


@pytest.mark.parametrize(
    ("accelerator", "family", "mode"),
    [
        ("tiny_4x4x4", "int4", "wrap"),
        ("ice40_2x2x2", "int8", "flag"),  # several base shifts, stage 'sums'
    ],
)
def test_pe_in_the_machine(accelerator, family, mode):
    """The machine's Verilog has the PE, and none that differs in one operator, width or wire."""
    array = load_axis("accelerator", accelerator)
    array = replace(array, inner_accumulator=replace(array.inner_accumulator, mode=mode))
    machine = resolve_machine(array, machine_family(family), 16, 30, group_inputs=128)
    verilog, pe = accelerator_verilog(machine), to_verilog(inner_pe(machine), "pe")
    assert "line by line" in machine_module(machine, verilog)
    assert module_in(verilog, pe).endswith("pe_0_0")
    changes = [(" & ", " | "), ("[15:0] ring", "[14:0] ring"), ("(last)", "(rst)"), (" - ", " + ")]
    changes += [
        ("<= ", "<= ~"),
        (".addend(", ".addend(~"),
        ("activations[7:0]", "activations[8:1]"),
    ]
    for old, new in changes:
        assert old in pe
        assert module_in(verilog, pe.replace(old, new, 1)) is None, old


def _small_module(name, *lines):
    ports = ["  input a;", "  wire a;", "  output y;", "  wire y;"]
    body = [*ports, "  wire used;", *(f"  {line}" for line in lines), "  assign y = used;"]
    return "\n".join([f"module {name}(a, y);", *body, "endmodule"]) + "\n"


def test_only_idle_wires_are_left_out():
    pe = _small_module("pe", "assign used = a;")
    idle = ("wire idle;", "wire more;", "assign idle = more;", "assign more = ~a;")
    assert module_in(_small_module("one_pe", "assign used = a;", *idle), pe) == "one_pe"
    assert module_in(_small_module("one_pe", "assign used = ~a;"), pe) is None
    assert module_in(_small_module("one_pe", "assign used = a;", "assign used = ~a;"), pe) is None
    assert module_in(_small_module("one_pe", *idle, "assign used = more;"), pe) is None
