"""``bitsmith baselines``: what is compared, how it is known, what is refused."""

import importlib
import json
import math
from argparse import Namespace
from pathlib import Path

import pytest

from bitsmith import baselines as comparison
from bitsmith.baselines import COMPARED, AnalyticCompetitor, Competitor, compare_baselines
from bitsmith.cli import main
from bitsmith.job import silent
from configs.errors import InputError
from configs.schema import load_axis
from sim import simulate_gemm
from sim.analytic import simulate_analytic
from sw.compile import GemmShape
from sw.quantize.recipe import machine_family
from sw.workloads import Gemm, Workload

#: the package's attribute of this name is the function
command = importlib.import_module("bitsmith.commands.baselines").baselines


def options(**given: object) -> Namespace:
    """Options as the command line gives them."""
    plain = {"model": None, "memory": None, "prefill": None, "decode": None, "json": False}
    return Namespace(**(plain | given))


def small(**changes: object) -> Workload:
    """Two layers, one of which is ragged in every dimension of every array."""
    gemms = (Gemm(name="a", m=33, n=100, k=260), Gemm(name="b", m=33, n=48, k=1000))
    step = tuple(Gemm(name=gemm.name, m=1, n=gemm.n, k=gemm.k) for gemm in gemms)
    base = {"name": "small", "prefill": gemms, "decode": step, "decode_steps": 3}
    return Workload(**(base | changes))


@pytest.fixture(scope="module")
def results() -> list[comparison.Result]:
    return compare_baselines(small(), None)


def test_verified_are_those_with_rtl(results) -> None:
    for one, result in zip(COMPARED, results, strict=True):
        assert result.verified == isinstance(one, Competitor)
        assert result.known == ("RTL" if result.verified else "analytic, not verified")
        assert result.name == one.name
    assert {result.verified for result in results} == {True, False}


def test_cycles_are_those_of_the_simulator(results) -> None:
    """Of each machine built here by hand, job by job."""
    for one, result in zip(COMPARED, results, strict=True):
        if not isinstance(one, Competitor):
            continue
        array = load_axis("accelerator", one.array)
        machine = comparison.competitor_machine(array, one.format, {"a": 260, "b": 1000})
        cycles = 0
        for gemm in small().prefill:
            group = gemm.k if one.format == "float16" else 128
            shape = GemmShape(m=gemm.m, n=gemm.n, k=gemm.k, group_size=group)
            cycles += simulate_gemm(machine, shape).total_cycles
        # between jobs lie a few cycles of the host's
        assert cycles < result.prefill_cycles <= cycles + 2 * 10
        assert result.peak_macs_per_cycle == array.rows * array.cols * array.lanes / machine.slots
        assert result.pes == array.rows * array.cols


def test_decode_runs_on_its_own_array(results) -> None:
    for one, result in zip(COMPARED, results, strict=True):
        if isinstance(one, Competitor):
            array = load_axis("accelerator", one.decode_array)
            assert result.arrays[1] == f"{array.rows}x{array.cols}x{array.lanes}"
            slots = comparison.competitor_machine(array, one.format, {"a": 260, "b": 1000}).slots
            least = sum(
                -(-g.n // array.cols) * -(-g.k // array.lanes) * slots for g in small().decode
            )
            assert least < result.decode_step_cycles < least + 300


def test_analytic_cycles(results) -> None:
    for one, result in zip(COMPARED, results, strict=True):
        if isinstance(one, AnalyticCompetitor):
            config = load_axis("baseline", one.baseline)
            assert result.bits_per_weight == one.weight_bits + 8 / 128
            timing = simulate_analytic(
                config,
                small(),
                weight_bits=one.weight_bits,
                activation_bits=one.activation_bits,
                kv_bits=8,
            )
            assert result.prefill_cycles == timing.prefill_cycles
            assert 3 * result.decode_step_cycles == timing.decode_cycles
            assert result.clock_mhz == config.clock_mhz


def test_bits_per_weight(results) -> None:
    """Codes, 8-bit scales and format numbers over groups of 128, the last one ragged."""
    weights = 100 * 260 + 48 * 1000
    groups = 100 * 3 + 48 * 8
    for one, result in zip(COMPARED, results, strict=True):
        if isinstance(one, Competitor):
            family = machine_family(one.format)
            count = 148 if one.format == "float16" else groups
            expected = family.stored_bits + count * (8 + family.id_bits) / weights
            assert result.bits_per_weight == pytest.approx(expected, rel=1e-12)


def test_faster_formats_are_faster(results) -> None:
    """Terms per weight decide on the same array: FP3 and FP4 two, INT6 three."""
    by_format = {r.weights: r for r in results if r.name == "BitMoD"}
    ratio = by_format["int6"].prefill_cycles / by_format["bitmod_fp4"].prefill_cycles
    assert 1.4 < ratio <= 1.5
    assert by_format["bitmod_fp3"].prefill_cycles == by_format["bitmod_fp4"].prefill_cycles
    assert by_format["bitmod_fp3"].bits_per_weight < by_format["bitmod_fp4"].bits_per_weight


def test_phases_that_are_not_there() -> None:
    (first, *_) = compare_baselines(small(decode=(), decode_steps=0), None)
    assert first.decode_step_cycles is None and first.decode_step_s is None
    (first, *_) = compare_baselines(small(prefill=()), None)
    assert first.prefill_cycles is None and first.prefill_s is None
    assert first.decode_step_cycles > 0


def test_a_memory_never_makes_faster(results) -> None:
    for name in ("lpddr4", "bitmod_ddr4"):
        for free, waits in zip(
            results, compare_baselines(small(), load_axis("memory", name)), strict=True
        ):
            assert waits.prefill_cycles >= free.prefill_cycles
            assert waits.decode_step_cycles >= free.decode_step_cycles
            assert waits.bits_per_weight == free.bits_per_weight
    first, *_ = compare_baselines(small(), load_axis("memory", "lpddr4"))
    assert first.decode_step_cycles > results[0].decode_step_cycles


def test_attention_on_the_array_is_refused() -> None:
    cached = Gemm(name="scores", m=1, n=9, k=8, operand="kv_cache")
    with pytest.raises(InputError, match="'scores' multiplies by kv_cache, baselines are compared"):
        compare_baselines(small(prefill=(cached,)), None)


def test_command_in_json(capsys) -> None:
    assert command(options(model="scribe_1m", prefill=8, decode=2, json=True), silent) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["workload"], found["prefill_tokens"], found["decode_steps"]) == (
        "scribe_1m",
        8,
        2,
    )
    assert found["memory"] is None and len(found["baselines"]) == len(COMPARED)
    first = found["baselines"][0]
    assert first["prefill_speedup"] == first["decode_speedup"] == 1
    for one in found["baselines"]:
        hertz = one["clock_mhz"] * 1e6
        assert one["prefill_s"] == pytest.approx(one["prefill_cycles"] / hertz)
        speedup = first["prefill_s"] / one["prefill_s"]
        assert one["prefill_speedup"] == pytest.approx(speedup)
        assert one["known_by"].startswith("RTL") == one["verified"]
        assert all(math.isfinite(v) for v in one.values() if isinstance(v, float))


def test_command_as_a_table(capsys) -> None:
    assert command(options(model="scribe", prefill=8, decode=0), silent) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len([line for line in lines if "analytic, not verified" in line]) == 4
    assert len([line for line in lines if " RTL " in line]) == len(COMPARED) - 4
    assert "prefill of 8 tokens, no decode; memory: none, streams never wait" in text
    assert "e+" not in text


def test_the_page_shows_what_the_command_gives(capsys) -> None:
    assert command(options(json=True), silent) == 0
    page = (Path(__file__).parents[2] / "docs" / "baselines.md").read_text()
    for one in json.loads(capsys.readouterr().out)["baselines"]:
        cells = [
            one["name"],
            one["known_by"],
            f"{one['weights']} x {one['activations']}",
            f"{one['bits_per_weight']:.2f}",
            f"{one['peak_macs_per_cycle']:,.0f}",
            f"{one['clock_mhz']:.0f}",
            f"{one['prefill_cycles']:,}",
            f"{one['prefill_speedup']:.2f}",
            f"{one['decode_step_cycles']:,.0f}",
            f"{one['decode_speedup']:.2f}",
        ]
        assert f"| {' | '.join(cells)} |" in page


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": ""}, "the workload's name is empty"),
        ({"model": "lama2_7b"}, "unknown model 'lama2_7b'"),
        ({"memory": "lpdr4"}, "--memory: unknown memory preset 'lpdr4': did you mean 'lpddr4'"),
        ({"prefill": -1}, "prefill_tokens is -1, valid are"),
        ({"prefill": 0, "decode": 0}, "prefill_tokens and decode_tokens are both 0"),
        ({"model": "no_such.json"}, "cannot read 'no_such.json' as JSON"),
        ({"model": "no_such.yaml"}, "cannot read 'no_such.yaml'"),
    ],
)
def test_mistakes_are_named(given, message) -> None:
    with pytest.raises(InputError, match=message):
        command(options(**given), silent)


@pytest.mark.parametrize("arguments", [["--batch", "2"], ["--lm-head", "none"], ["--prefill", "9"]])
def test_every_option_counts(capsys, tmp_path, arguments) -> None:
    """No option is taken and then ignored."""
    config = load_axis("workload", "llama2_7b").architecture
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "num_hidden_layers": 1}))
    found = []
    for given in ([], arguments):
        start = ["baselines", str(path), "--prefill", "8", "--decode", "2", "--json"]
        assert main([*start, *given]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] != found[1]


@pytest.mark.parametrize("option", ["--attention", "--kv-format", "--format"])
def test_options_that_do_not_apply_are_refused(capsys, option) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["baselines", option, "int8"])
    assert stop.value.code == 2
