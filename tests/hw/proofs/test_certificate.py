"""Certificates: what is proved holds, what is not is refuted, and no change goes unnoticed."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from hw.emit import run_yosys
from hw.proofs import missing_solver, prove
from hw.proofs.artifacts import (
    ASSERTIONS,
    CONTROL,
    PROOFS,
    RTL,
    artifacts,
    rtl_text,
    sha256,
)
from hw.proofs.catalogue import group_of_weights
from hw.proofs.certificate import CERTIFICATE, Solver, certify, check
from hw.proofs.group_file import group_text, read_group
from hw.proofs.replay import replay, worst_inputs
from hw.proofs.runner import LostProperty, MissingSolver
from hw.proofs.system_verilog import assertions_text

PROGRAM = {"bitsmith": "test"}
needs_solver = pytest.mark.skipif(missing_solver() is not None, reason=missing_solver() or "")

CASES = {
    "int4 flag, ragged": ("int4", 5, "flag", {"activation_bits": 3, "lanes": 2}, ()),
    "bitmod_fp4 saturate, 3 slots": (
        "bitmod_fp4",
        7,
        "saturate",
        {"activation_bits": 4, "lane_exponent_bits": 1, "lanes": 3},
        (),
    ),
    "int4 wrap, 0 not in range": (
        "int4",
        8,
        "wrap",
        {"activation_bits": 5, "activations": (9, 12), "activation_signed": False},
        (),
    ),
    "bitmod_fp4 flag, all stages": (
        "bitmod_fp4",
        6,
        "flag",
        {"activation_bits": 4, "lane_exponent_bits": 1, "lanes": 3},
        ("products", "sums", "shift"),
    ),
    "int4 wrap, compressor": (
        "int4",
        5,
        "wrap",
        {"activation_bits": 4, "adders": "compressor"},
        (),
    ),
}


def made(case):
    family, length, mode, options, stages = CASES[case]
    return replace(group_of_weights(family, length, mode, **options), pipeline=stages)


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """A group, its folder and its certificate."""
    group = made("int4 flag, ragged")
    folder = tmp_path_factory.mktemp("proof") / "one"
    found = certify(group, {"model": "test"}, folder, program=PROGRAM, solver=Solver())
    return group, folder, found


@needs_solver
@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.agreement if i else ()) for i, c in enumerate(CASES)]
)
def test_proved_and_refuted(case, tmp_path):
    """P is proved with a control that fails; at P - 1 the RTL itself shows the overflow."""
    group = made(case)
    found = certify(group, {}, tmp_path / "wide", program=PROGRAM, solver=Solver())
    assert (found["result"], found["bits"], found["needed_bits"]) == (
        "proved",
        group.bits,
        group.bits,
    )
    assert found["control"]["solver_fails"] and found["control"]["rtl_fails"]
    narrow = replace(group, bits=group.bits - 1)
    refuted = certify(narrow, {}, tmp_path / "narrow", program=PROGRAM, solver=Solver())
    assert refuted["result"] == "refuted"
    shown = replay(narrow, tuple(refuted["counterexample"]["inputs"]))
    assert shown.fails
    assert prove(narrow).status == "failed"


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_witness_on_the_rtl(data):
    """Two-sided, without a solver: the worst inputs hold at the needed width and fail below."""
    mode = data.draw(st.sampled_from(["wrap", "saturate", "flag"]))
    family = data.draw(st.sampled_from(["int4", "bitmod_fp4", "int8"]))
    low = data.draw(st.integers(-16, 15))
    group = group_of_weights(
        family,
        data.draw(st.integers(1, 11)),
        mode,
        lanes=data.draw(st.integers(1, 4)),
        activation_bits=5,
        activations=(low, data.draw(st.integers(low, 15))),
        adders=data.draw(st.sampled_from(["chain", "compressor"])),
    )
    choices = st.lists(st.sampled_from(sorted(group.terms.terms)), min_size=1, max_size=11)
    group = replace(group, levels=tuple(data.draw(choices)))
    group = replace(group, bits=group.needed_bits())
    group = replace(
        group, pipeline=tuple(data.draw(st.sets(st.sampled_from(["products", "sums", "shift"]))))
    )
    inputs, step, value = worst_inputs(group)
    wide = replay(group, inputs)
    assert not wide.fails and wide.exact[step] == value
    if mode != "wrap":
        assert wide.sums == wide.exact
    if group.bits > 1:
        assert replay(replace(group, bits=group.bits - 1), inputs).fails


@needs_solver
def test_check_holds(certified):
    _, folder, found = certified
    assert found["result"] == "proved"
    checked = check(folder, program=PROGRAM, solver=Solver())
    assert (checked["holds"], checked["differences"], checked["notes"]) == (True, [], [])


class NoSolver(Solver):
    def ask(self, text):
        raise AssertionError("asked")


class SureSolver(Solver):
    """Answers as if all was proved, at once."""

    def ask(self, text):
        counts = {"sat": int("(check-sat)" in text), "unsat": 1, "unknown": 0}
        return {**counts, "last": "sat", "timeout": False, "seconds": 0.0}


@needs_solver
def test_other_tools_are_a_note(certified):
    _, folder, _ = certified
    checked = check(folder, program={"bitsmith": "another"}, solver=Solver())
    assert checked["holds"] and not checked["differences"]
    (note,) = checked["notes"]
    assert "other versions" in note and note.endswith(": bitsmith another, not test")


@needs_solver
def test_finished_proofs_are_kept(certified):
    group, folder, _ = certified

    again = certify(group, {"model": "test"}, folder, program=PROGRAM, solver=NoSolver())
    assert again["kept"]
    with pytest.raises(AssertionError, match="asked"):
        certify(group, {"model": "test"}, folder, program={"bitsmith": "2"}, solver=NoSolver())


def _copy(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_text(path.read_text())
    return target


def _restate(folder, *names, **changed):
    """Make a certificate state the present hash of files, and other things."""
    stated = json.loads((folder / CERTIFICATE).read_text()) | changed
    for name in names:
        stated["files"][name] = sha256((folder / name).read_text())
    (folder / CERTIFICATE).write_text(json.dumps(stated))


@needs_solver
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("invariants.csv", "\n0,0,0,", "\n0,0,0,9"),
        (RTL, " & ", " | "),
        (ASSERTIONS, "!overflow", "1"),
        ("harness.smt2", "(check-sat)", ""),
        (CONTROL, "(check-sat)", ""),
        ("weights.json", '"bits"', '"bits" '),
    ],
)
@pytest.mark.parametrize("rehash", [False, True])
def test_tampering(certified, tmp_path, name, old, new, rehash):
    """A changed file is named, also where the hash in the certificate was changed with it."""
    folder = _copy(certified[1], tmp_path / "copy")
    text = (folder / name).read_text().replace(old, new, 1)
    (folder / name).write_text(text)
    if rehash:
        _restate(folder, name)
    checked = check(folder, program=PROGRAM, solver=NoSolver())
    assert not checked["holds"]
    assert any(name in sentence for sentence in checked["differences"])


@needs_solver
def test_narrower_register_is_noticed(certified, tmp_path):
    """A forger who claims one bit less, hashes and all, meets the counterexample."""
    group, folder, _ = certified
    folder = _copy(folder, tmp_path / "copy")
    narrow = artifacts(replace(group, bits=group.bits - 1), {"model": "test"})
    stated = json.loads((folder / CERTIFICATE).read_text())
    for name, text in narrow.items():
        (folder / name).write_text(text)
        stated["files"][name] = sha256(text)
    stated["bits"] -= 1
    (folder / CERTIFICATE).write_text(json.dumps(stated))
    checked = check(folder, program=PROGRAM, solver=Solver())
    assert not checked["holds"] and "overflows at" in checked["differences"][0]


SECRET = "the content of a file elsewhere"
HOSTILE = {
    "assumption": (RTL, "{text}\nalways @* assume(0);\n"),
    "include": (RTL, '`include "{secret}"\n{text}'),
    "system task": (RTL, '{text}\nmodule m; reg [7:0] q [0:1]; initial $readmemh("{secret}", q);'),
    "contradiction": (PROOFS[1], "(set-logic QF_BV)\n(assert false)\n(check-sat)\n"),
    "no run": (PROOFS[3], "(set-logic QF_BV)\n(assert false)\n(check-sat)\n"),
    "other command": (PROOFS[0], '(echo "unsat")\n{text}'),
    "one bit wider": (CONTROL, "{text}(assert true)\n"),
}


@needs_solver
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("version", ["test", "9.9"])
def test_hostile_files_are_only_compared(certified, tmp_path, monkeypatch, case, version):
    """Nothing stored reaches Yosys or the solver, whatever versions the forger claims."""
    name, text = HOSTILE[case]
    folder, secret = _copy(certified[1], tmp_path / "copy"), tmp_path / "secret"
    secret.write_text(SECRET)
    hostile = text.format(text=(folder / name).read_text(), secret=secret)
    (folder / name).write_text(hostile)
    tools = json.loads((folder / CERTIFICATE).read_text())["tools"] | {"bitsmith": version}
    _restate(folder, name, tools=tools)
    files = {path.name: path.read_text() for path in certified[1].iterdir()}
    files.pop(CERTIFICATE)
    monkeypatch.setattr("hw.proofs.certificate.artifacts", lambda group, source: files)
    checked = check(folder, program=PROGRAM, solver=NoSolver())
    assert not checked["holds"]
    (sentence,) = checked["differences"]
    assert sentence.startswith(f"{name} is not what these weights give")
    assert SECRET not in json.dumps(checked)
    if version == "test":
        assert not checked["notes"]
    else:
        assert sentence.endswith("with the versions installed here")
        assert "pip install bitsmith==9.9 amaranth==" in checked["notes"][1]


def test_weights_file():
    for case in CASES:
        group = made(case)
        assert read_group(group_text(group, {"a": 1}), "f") == (group, {"a": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="x"), "schema is 'x'"),
        (lambda d: d.pop("levels"), "key 'levels' is missing"),
        (lambda d: d.update(more=1), "key 'more' is unknown"),
        (lambda d: d.update(levels=[99]), "holds 99, which has no terms"),
        (lambda d: d.update(levels=[]), "levels holds 0"),
        (lambda d: d.update(levels=[True]), "is True, expected an integer"),
        (lambda d: d["pe"].update(mode="x"), "pe.mode is 'x', valid are wrap, saturate, flag"),
        (lambda d: d["pe"].update(bits=0), "pe.bits is 0"),
        (lambda d: d["pe"].update(kind="multiplier"), "only 'serial' can be proved"),
        (lambda d: d.update(activations=[5, 4]), "two rising integers"),
        (lambda d: d["terms"]["of_level"].update({"1": [[1, 0, 1], [0, 0, 0]]}), "add up to"),
        (lambda d: d["terms"].update(of_level=3), "is int, expected an object"),
    ],
)
def test_bad_weights_file(change, message):
    described = json.loads(group_text(made("int4 flag, ragged"), {}))
    change(described)
    with pytest.raises(InputError, match=message):
        read_group(json.dumps(described), "weights.json")


@needs_solver
def test_misstated_certificate(certified, tmp_path):
    """What a certificate says besides its files is compared with the check, each entry."""
    folder = _copy(certified[1], tmp_path / "copy")
    keys = ("bits", "needed_bits", "mode", "weights", "steps", "source", "assumptions")
    _restate(folder, **dict.fromkeys(keys, "x"))
    checked = check(folder, program=PROGRAM, solver=Solver())
    assert not checked["holds"]
    assert [sentence.split()[0] for sentence in checked["differences"]] == list(keys)


@needs_solver
def test_weights_without_a_proof(certified, tmp_path, monkeypatch):
    """What no tool can read is one sentence, and a missing solver stays a missing solver."""
    folder = _copy(certified[1], tmp_path / "copy")
    for error in (
        RuntimeError("Yosys failed: a log\nERROR: no such thing\n"),
        LostProperty("ERROR: no such thing"),
        LookupError("ERROR: no such thing"),
        ValueError("ERROR: no such thing"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("hw.proofs.certificate.artifacts", fail)
        with pytest.raises(
            InputError, match=r"^no proof can be made from .*: ERROR: no such thing$"
        ):
            check(folder, program=PROGRAM, solver=NoSolver())

    def missing(*_):
        raise MissingSolver("none")

    monkeypatch.setattr("hw.proofs.certificate.artifacts", missing)
    with pytest.raises(MissingSolver):
        check(folder, program=PROGRAM, solver=NoSolver())


@needs_solver
@pytest.mark.parametrize("version", [9, None, "1; reboot", "1\n2", ""])
def test_versions_are_words(certified, tmp_path, version):
    """They are printed as a part of a command."""
    folder = _copy(certified[1], tmp_path / "copy")
    _restate(folder, tools={"pyosys": version})
    with pytest.raises(InputError, match="'tools' holds 'pyosys'"):
        check(folder, program=PROGRAM, solver=NoSolver())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_files_are_strict_json(number, tmp_path):
    group = made("int4 flag, ragged")
    with pytest.raises(ValueError, match="JSON compliant"):
        group_text(group, {"scale": number})
    with pytest.raises(ValueError, match="JSON compliant"):
        certify(group, {"scale": number}, tmp_path, program=PROGRAM, solver=NoSolver())
    assert not list(tmp_path.iterdir())


def test_certificate_is_strict_json(tmp_path, monkeypatch):
    group = made("int4 flag, ragged")
    names = dict.fromkeys([*PROOFS, CONTROL], "(check-sat)")
    monkeypatch.setattr("hw.proofs.certificate.artifacts", lambda *_: names)
    with pytest.raises(ValueError, match="JSON compliant"):
        certify(group, {}, tmp_path, program={"bitsmith": float("nan")}, solver=SureSolver())
    assert not (tmp_path / CERTIFICATE).exists()


@needs_solver
def test_number_too_large_for_json(certified, tmp_path):
    """1e999 is JSON, but infinite when read."""
    folder = _copy(certified[1], tmp_path / "copy")
    path = folder / "weights.json"
    path.write_text(path.read_text().replace('"model": "test"', '"model": 1e999'))
    with pytest.raises(InputError, match="no proof can be made from"):
        check(folder, program=PROGRAM, solver=NoSolver())


@pytest.mark.parametrize("text", ["", "[]", '{"a": NaN}', '{"a": 1, "a": 2}'])
def test_not_strict_json(text):
    with pytest.raises(InputError, match="weights"):
        read_group(text, "weights.json")


@pytest.mark.parametrize("case", CASES)
def test_system_verilog(case, tmp_path):
    """Yosys elaborates the assertions of every case around its PE, and loses none."""
    group = made(case)
    for name, text in {RTL: rtl_text(group), ASSERTIONS: assertions_text(group)}.items():
        (tmp_path / name).write_text(text)
    log = run_yosys(
        f"read_verilog -sv -formal {tmp_path / RTL} {tmp_path / ASSERTIONS}\n"
        "prep -top group_of_weights\nflatten\nasync2sync\nchformal -lower\nstat"
    )
    counts = dict(reversed(line.split()) for line in log.splitlines() if len(line.split()) == 2)
    # sum at least and at most, register, overflow, group sum
    assert counts["$assert"] == "5"


@pytest.mark.agreement
def test_system_verilog_searched(tmp_path):
    """Yosys elaborates the assertions; its own bounded search finds them true, but not at P - 1."""
    group = made("int4 flag, ragged")
    failed = []
    for narrower in (0, 1):
        each = replace(group, bits=group.bits - narrower)
        files = {RTL: rtl_text(each), ASSERTIONS: assertions_text(each)}
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        depth = each.steps + 3 + len(each.pipeline)
        log = run_yosys(
            f"read_verilog -sv -formal {tmp_path / RTL} {tmp_path / ASSERTIONS}\n"
            "prep -top group_of_weights\nflatten\nmemory_map\nasync2sync\nchformal -lower\n"
            f"sat -seq {depth} -prove-asserts -set-assumes -set-at 1 rst 1"
        )
        assert "SAT proof finished" in log
        failed.append("no model found: SUCCESS" not in log)
    assert failed == [False, True]
