"""The peers: closed forms against SCALE-Sim itself, their inputs, and what happens without them."""

import json
import resource
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.peers import __main__ as command
from benchmarks.peers import accelforge, environments, scalesim, zigzag
from benchmarks.peers.cases import cases
from benchmarks.peers.measure import (
    Measurement,
    PeerError,
    Usage,
    printed_cycles,
    row_of,
    run,
    run_script,
)
from sw.workloads import Gemm

SCALESIM = environments.installed_python(scalesim.NAME)
ACCELFORGE = environments.installed_python(accelforge.NAME, accelforge.PYTHON)
#: odd sizes, one token, one channel, one input, exact folds
SHAPES = [(1, 64, 96), (40, 72, 100), (33, 5, 1), (7, 1, 65), (32, 32, 32), (3, 31, 129)]


@pytest.mark.skipif(SCALESIM is None, reason="SCALE-Sim is not installed: make bench installs it")
@pytest.mark.parametrize("dataflow", ["ws", "os"])
@pytest.mark.parametrize(("rows", "cols"), [(32, 32), (8, 20), (16, 4)])
def test_scale_sim_takes_the_cycles_of_the_closed_form(
    dataflow: scalesim.Dataflow, rows: int, cols: int
) -> None:
    assert SCALESIM is not None
    gemms = [Gemm(name=f"g{i}", m=m, n=n, k=k) for i, (m, n, k) in enumerate(SHAPES)]
    found, cycles = scalesim.simulate(
        gemms, python=SCALESIM, rows=rows, cols=cols, dataflow=dataflow
    )
    assert cycles == [
        scalesim.compute_cycles(gemm, rows=rows, cols=cols, dataflow=dataflow) for gemm in gemms
    ]
    assert found.cycles == sum(cycles)
    assert 0 < found.import_s < found.usage.cpu_s


def test_the_layer_has_its_products() -> None:
    every = cases()
    weights = 4 * 4096 * 4096 + 3 * 4096 * 11008
    assert [g.name for g in every["layer_decode"].gemms] == [
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    ]
    assert every["layer_decode"].workload.macs == weights
    assert every["layer_prefill"].workload.macs == 256 * weights
    assert [(g.m, g.n, g.k) for g in every["q_proj_decode"].gemms] == [(1, 4096, 4096)]


def test_zigzag_is_told_sizes_and_widths() -> None:
    (layer,) = zigzag.layers([Gemm(name="up_proj", m=2, n=3, k=5)])
    assert dict(zip(layer["loop_dims"], layer["loop_sizes"], strict=True)) == {
        "D": 2,
        "K": 3,
        "C": 5,
    }
    assert layer["equation"] == "O[d][k]+=I[d][c]*W[c][k]"
    assert layer["operand_precision"] == {"W": 8, "I": 8, "O": 16, "O_final": 8}
    assert yaml.safe_load(yaml.safe_dump([layer])) == [layer]


class _Tagged(yaml.SafeLoader):
    """Reads ``!Memory {...}`` as a mapping with the key ``kind``."""


_Tagged.add_multi_constructor(
    "!", lambda loader, kind, node: {"kind": kind, **loader.construct_mapping(node, deep=True)}
)


def test_accelforge_is_told_sizes_and_widths() -> None:
    gemm = Gemm(name="layers.0.up_proj", m=2, n=3, k=5)
    told = accelforge.workload(gemm)["workload"]
    assert told["rank_sizes"] == {"M": 2, "N": 3, "K": 5}
    assert told["bits_per_value"] == {"All": 8}
    (einsum,) = told["einsums"]
    # it builds sets with this name, which must be a word
    assert einsum["name"].isidentifier()
    ranks = {access["name"]: access["projection"] for access in einsum["tensor_accesses"]}
    outputs = {access["name"] for access in einsum["tensor_accesses"] if access["output"]}
    roles = einsum["renames"]
    assert outputs == {roles["output"]}
    assert {role: ranks[name] for role, name in roles.items()} == {
        "input": ["m", "k"],
        "weight": ["k", "n"],
        "output": ["m", "n"],
    }
    assert yaml.safe_load(yaml.safe_dump(told)) == told


def test_accelforge_is_told_the_hardware() -> None:
    nodes = yaml.load(accelforge.architecture(), _Tagged)["arch"]["nodes"]
    assert [node["kind"] for node in nodes] == [
        *("Memory", "Memory", "Container", "Memory", "Compute")
    ]
    dram, buffer, array, register, multiplier = nodes
    assert [action["throughput"] for action in dram["actions"]] == [8 * 64] * 2
    assert buffer["size"] == 8 * accelforge.BUFFER_BYTES
    assert {way["reuse"]: way["fanout"] for way in array["spatial"]} == {"input": 32, "output": 32}
    assert register["tensors"] == {"keep": "weight"}
    # a product a cycle, a cycle a second
    assert [action["throughput"] for action in multiplier["actions"]] == [1]


@pytest.mark.skipif(
    ACCELFORGE is None,
    reason="AccelForge is not installed: python -m benchmarks.explore_speed --peer installs it",
)
def test_accelforge_takes_the_longer_of_products_and_bytes() -> None:
    gemms = [Gemm(name="a.b", m=256, n=512, k=256), Gemm(name="a.b", m=1, n=512, k=256)]
    found = accelforge.measure(gemms)
    products, (m, n, k) = 256 * 512 * 256, (1, 512, 256)
    assert found.cycles == products // 32**2 + (m * k + k * n + m * n) // 64
    assert 0 < found.import_s < found.usage.cpu_s


@pytest.mark.parametrize("peer", list(command.PEERS))
def test_everything_that_a_peer_needs_is_pinned(peer: str) -> None:
    lines = environments.pins(peer).read_text().split()
    assert lines and all(line.count("==") == 1 for line in lines)


def test_an_environment_is_named_after_its_pins(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(environments, "_PINS", tmp_path)
    environments.pins("some").write_text("one==1\n")
    first = environments._folder("some", (3, 11))
    assert environments._folder("some", (3, 12)) != first
    environments.pins("some").write_text("one==2\n")
    assert environments._folder("some", (3, 11)) != first
    assert first.parent == tmp_path / "peers"


def test_a_failed_installation_leaves_nothing(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(environments, "_PINS", tmp_path)
    environments.pins("some").write_text("not-a-package==1.0\n")
    with pytest.raises(PeerError, match=r"^some is not installed: .*not-a-package==1\.0") as error:
        environments.python_of("some")
    assert "\n" not in str(error.value)
    assert environments.installed_python("some") is None
    assert list((tmp_path / "cache" / "peers").iterdir()) == []


def test_an_installation_is_made_once(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "_PINS", tmp_path)
    environments.pins("some").write_text("")
    steps = []

    def pretend(peer: str, words: list[str | Path]) -> None:
        steps.append(words[2])
        if words[2] == "venv":
            python = environments._python(Path(words[3]))
            python.parent.mkdir(parents=True)
            python.write_text("")

    monkeypatch.setattr(environments, "_command", pretend)
    python = environments.python_of("some")
    assert python.exists() and environments.python_of("some") == python
    assert steps == ["venv", "pip"]
    # a folder without an interpreter, as after an upgrade of Python, is made again
    python.unlink()
    assert environments.python_of("some").exists() and len(steps) == 4


def _program(folder: Path, name: str, exit_code: int) -> Path:
    folder.mkdir(parents=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    program.chmod(0o755)
    return program


def test_another_python_is_looked_for(monkeypatch, tmp_path: Path) -> None:
    assert environments.interpreter("some", environments.OWN_VERSION) == sys.executable
    _program(tmp_path / "shims", "python3.99", 127)
    monkeypatch.setenv("PATH", str(tmp_path / "shims"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "versions" / "own"))
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(environments, "_PINS", tmp_path)
    environments.pins("some").write_text("")
    with pytest.raises(
        PeerError, match=r"^some is not installed: it needs 'python3\.99' with venv"
    ):
        environments.python_of("some", (3, 99))
    assert environments.installed_python("some", (3, 99)) is None
    beside = _program(tmp_path / "versions" / "3.99.1" / "bin", "python3.99", 0)
    assert environments.interpreter("some", (3, 99)) == str(beside)
    on_path = _program(tmp_path / "usual", "python3.99", 0)
    monkeypatch.setenv("PATH", f"{tmp_path / 'shims'}:{tmp_path / 'usual'}")
    assert environments.interpreter("some", (3, 99)) == str(on_path)


def _pretended(case: str, repeats: int) -> dict[str, object]:
    """Our row without running anything."""
    times = {"cpu_s": 1.5, "import_s": 0.5, "machine_s": 0.75, "cold_s": 0.25, "work_s": 0.01}
    size = {"wall_s": 1.0, "peak_mb": 1.0, "cycles": 1}
    return {"tool": "bitsmith", "case": case, "measured": True, **times, **size}


def test_without_peers_the_benchmark_goes_on(monkeypatch, capsys) -> None:
    def absent(peer: str, *version: tuple[int, int]) -> Path:
        raise PeerError(f"{peer} is not installed: no index")

    for peer in (zigzag, accelforge, scalesim):
        monkeypatch.setattr(peer, "python_of", absent)
    monkeypatch.setattr(command, "_ours", _pretended)
    monkeypatch.setattr(sys, "argv", ["peers"])
    command.main()
    printed = capsys.readouterr().out
    assert printed.count("not measured") == 5
    assert printed.count("zigzag is not installed: no index.") == 1
    skipped = ["--skip", "zigzag", "--skip", "accelforge"]
    monkeypatch.setattr(sys, "argv", ["peers", "--json", *skipped])
    command.main()
    found = json.loads(capsys.readouterr().out)
    assert [(row["tool"], row["case"], row["measured"]) for row in found["rows"]] == [
        ("scalesim", "q_proj_decode", False),
        ("bitsmith", "q_proj_decode", True),
    ]
    assert found["ratios"] == []


def test_ratios_are_of_cpu_seconds(monkeypatch) -> None:
    def usage(cpu_s: float) -> Usage:
        return Usage(cpu_s=cpu_s, wall_s=99.0, peak_mb=1.0, output="")

    def theirs(gemms: object) -> Measurement:
        return Measurement(import_s=2.0, usage=usage(12.0), cycles=7)

    monkeypatch.setattr(command, "PEERS", {"zigzag": (theirs, ("layer_prefill",))})
    monkeypatch.setattr(command, "_ours", _pretended)
    (ratio,) = command.measure([], 1)["ratios"]
    assert ratio["warm"] == pytest.approx(1000)
    assert ratio["cold"] == pytest.approx(10)
    assert ratio["process"] == pytest.approx(8)


def test_a_run_counts_processor_time_and_memory(tmp_path: Path) -> None:
    idle = run([sys.executable, "-I", "-c", "import time; time.sleep(0.4)"], tmp_path)
    burn = "import time\nwhile time.process_time() < 0.4: pass"
    busy = run([sys.executable, "-I", "-c", burn], tmp_path)
    big = run([sys.executable, "-I", "-c", "x = bytearray(400_000_000); print(len(x))"], tmp_path)
    assert idle.cpu_s < 0.3 and idle.wall_s > 0.4
    assert 0.4 <= busy.cpu_s < 0.8
    # a process begins with the peak of the one that started it
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    assert 400 < big.peak_mb < max(800, 1.1 * own) and big.output == "400000000\n"


def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(PeerError, match=r"ended with 3: last words$"):
        script = "import sys; print('last words'); sys.exit(3)"
        run([sys.executable, "-I", "-c", script], tmp_path)
    with pytest.raises(PeerError, match="cannot start"):
        run([tmp_path / "nothing"], tmp_path)


def test_a_script_is_run_alone_first(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    text = "import sys, time\nif sys.argv[1:]:\n    while time.process_time() < 0.4: pass\n"
    script.write_text(text + "    print('note')\n    print(len(sys.argv[1:]))\n")
    import_s, usage = run_script(Path(sys.executable), script, ["a", "b"], tmp_path)
    assert import_s < 0.3 and usage.cpu_s >= 0.4
    assert printed_cycles("some", usage) == 2


@pytest.mark.parametrize("output", ["", "\n", "7\nwords\n"])
def test_output_without_cycles_is_refused(output: str) -> None:
    usage = Usage(cpu_s=1.0, wall_s=1.0, peak_mb=1.0, output=output)
    with pytest.raises(PeerError, match=r"^Some printed no cycles$"):
        printed_cycles("Some", usage)


def test_a_row_has_figures_or_a_reason() -> None:
    def absent(gemms: object) -> Measurement:
        raise PeerError("no index")

    def measured(gemms: object) -> Measurement:
        usage = Usage(cpu_s=3.0, wall_s=4.0, peak_mb=5.0, output="")
        return Measurement(import_s=1.0, usage=usage, cycles=6)

    first = {"tool": "some", "case": "point"}
    reason = {"measured": False, "reason": "no index"}
    assert row_of("some", "point", absent, []) == first | reason
    times = {"cpu_s": 3.0, "import_s": 1.0, "work_s": 2.0, "wall_s": 4.0}
    figures = {"measured": True, **times, "peak_mb": 5.0, "cycles": 6}
    assert row_of("some", "point", measured, []) == first | figures
