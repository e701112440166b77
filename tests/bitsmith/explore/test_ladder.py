"""The fidelity ladder: who climbs, what each rung finds, and how far the rung below was off."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.synthesis import LIBERTY
from bitsmith.explore.alone import metrics_alone
from bitsmith.explore.evaluate import Evaluator
from bitsmith.explore.ladder import Promotion, climb, climbing, promote, spread, summary, synthesis
from bitsmith.explore.ladder.cut import cut_jobs, instance_text, modelled_cycles, shrunk
from bitsmith.explore.ladder.fpga import climb_fpga
from bitsmith.explore.ladder.promotion import Found
from bitsmith.explore.ladder.rtl import climb_rtl
from bitsmith.explore.space import Space
from bitsmith.explore.table import Table
from bitsmith.job import Job
from bitsmith.steps import cost_report
from configs.accelerator import BufferConfig
from configs.errors import InputError
from configs.sweep import PromoteConfig, SweepConfig
from costmodel import machine_area
from costmodel.calibration.components import COMPONENTS
from costmodel.calibration.liberty import unpacked
from costmodel.calibration.points import Point
from costmodel.calibration.synthesis import synthesize
from costmodel.fpga.predict import predict
from hw.benches.batch import accelerator_verilog
from sim import simulate_gemm

NEEDS_LIBERTY = pytest.mark.skipif(
    not LIBERTY.is_file(), reason=f"{LIBERTY.name} is not beside the checkout"
)
MODEL = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
ARRAY = {"name": "small", "rows": 2, "cols": 2, "lanes": 2, "queue_beats": 2, "clock_mhz": 500}


def space(**options: Any) -> Space:
    """Four points: 2 or 4 rows, 2 or 4 columns."""
    base = {
        "workload": {"architecture": MODEL, "prefill_tokens": 5, "decode_tokens": 3, "batch": 2},
        "quantization": "bitmod_fp4_g32",
        "accelerator": ARRAY,
        "technology": "sg13g2_130nm",
        "memory": "lpddr4",
    }
    settings: dict[str, Any] = {
        "name": "small",
        "description": "four small arrays",
        "base": base,
        "axes": {"accelerator.rows": [2, 4], "accelerator.cols": [2, 4]},
        "objectives": ("area_mm2", "latency_s"),
    }
    return Space.of(SweepConfig(**settings | options), Path())


def job(number: int = 0, **options: Any) -> Job:
    found = space(**options)
    return Job(config=found.config(found.settings(number)))


def behind_slow_memory(found: Job) -> Job:
    """The same job behind a memory that is its limit."""
    memory = found.config.memory
    assert memory is not None
    dram = replace(memory.dram, bus_bits=8, transfers_mt_s=300)
    return Job(config=replace(found.config, memory=replace(memory, name="slow", dram=dram)))


# the promotion itself


def promotion(**options: Any) -> Promotion:
    given: dict[str, Any] = {
        "number": 3,
        "rung": "rtl",
        "figures": {},
        "lower": {},
        "seconds": 1.0,
        "note": "",
    }
    return Promotion(**given | options)


def test_errors_are_those_of_the_lower_rung():
    figures = {"a": 4.0, "b": 0.0, "c": 0.0, "d": -2.0, "e": 1.0}
    found = promotion(figures=figures, lower={"a": 5.0, "b": 0.0, "c": 1.0, "d": -1.0, "f": 1.0})
    assert found.errors == {"a": 0.25, "b": 0.0, "c": math.inf, "d": 0.5}


def test_summary_has_mean_and_worst_of_every_metric_in_the_order_of_rungs():
    found = summary(
        [
            promotion(figures={"x": 10.0}, lower={"x": 8.0}),
            promotion(rung="stepped", figures={"x": 1.0, "y": 2.0}, lower={"x": 1.0, "y": 3.0}),
            promotion(number=4, figures={"x": 10.0, "z": 1.0}, lower={"x": 11.0}),
        ]
    )
    rows = [(row.rung, row.metric, row.points, row.mean, row.worst) for row in found]
    assert rows == [
        ("stepped", "x", 1, 0.0, 0.0),
        ("stepped", "y", 1, 0.5, 0.5),
        ("rtl", "x", 2, pytest.approx(0.15), pytest.approx(0.2)),
    ]
    assert [(row.swapped, row.pairs) for row in found] == [(0, 0), (0, 0), (0, 1)]


def test_pairs_that_change_places():
    """Of 3, 1, 2, 2 by the model, 1, 2, 3, 2 above it: both of the equal ones keep theirs."""
    low, high = (3.0, 1.0, 2.0, 2.0), (1.0, 2.0, 3.0, 2.0)
    (row,) = summary(
        promotion(number=number, figures={"x": b}, lower={"x": a})
        for number, (a, b) in enumerate(zip(low, high, strict=True))
    )
    assert (row.points, row.swapped, row.pairs) == (4, 3, 6)


# which points climb


def test_knee_and_extremes_climb_first_then_the_farthest():
    # less of both is better; the knee is the second
    values = [[1, 9.0], [2, 2.0], [9, 1.0], [4, 1.5], [8.8, 1.01], [1, 9.0]]
    order = spread(values, ("area_mm2", "latency_s"))
    assert order[0] == 1
    assert set(order[1:3]) == {0, 2}
    assert order[3] == 3
    assert order[-1] == 5, "a copy comes last"
    assert sorted(order) == list(range(6))


def test_more_of_an_objective_is_better_where_its_nature_is_so():
    values = [[1, -1.0], [2, -5.0], [9, -6.0]]
    assert set(spread(values, ("area_mm2", "tokens_per_s"))) == {0, 1, 2}
    assert spread(np.zeros((0, 2)), ("area_mm2", "latency_s")) == []


@pytest.fixture
def recorded(monkeypatch):
    """Rungs that cost nothing: every figure twice the number of the point."""
    calls: list[tuple[int, str]] = []

    def found(space: Space, number: int, rung: str, liberty: Path | None) -> Found:
        calls.append((number, rung))
        return Found(figures={"area_mm2": 2.0 * number, "own": 3.0}, lower={"own": 1.0}, note=rung)

    monkeypatch.setattr(climbing, "_climbed", found)
    return calls


def table(areas, latencies, numbers) -> Table:
    count = len(numbers)
    return Table(
        numbers=np.array(numbers),
        metrics={
            "area_mm2": np.array(areas, float),
            "latency_s": np.array(latencies, float),
            "luts": np.full(count, np.nan),
        },
        reasons=("",),
        reason=np.zeros(count, dtype=np.int64),
    )


def test_as_many_points_climb_as_the_sweep_says(recorded, tmp_path):
    found = space(promote=PromoteConfig(stepped=3, synthesis=0, rtl=2))
    points = table([1, 2, 4, 8, 9], [8, 4, 2, 1, 9], [10, 11, 12, 13, 14])
    shown: list[tuple[int, str]] = []

    def progress(items, label):
        shown.append((len(items), label))
        return items

    climbed = climb(found, points, [0, 1, 2, 3], folder=tmp_path, progress=progress)
    assert shown == [(3, "stepped"), (0, "synthesis"), (2, "rtl")]
    assert [(p.number, p.rung) for p in climbed] == recorded
    stepped = [number for number, rung in recorded if rung == "stepped"]
    assert stepped[:2] == [number for number, rung in recorded if rung == "rtl"]
    assert len(set(stepped)) == 3 and 14 not in stepped
    first = climbed[0]
    assert first.lower == {"area_mm2": points.metrics["area_mm2"][first.number - 10], "own": 1.0}


def test_what_was_found_is_kept_by_content(recorded, tmp_path, monkeypatch):
    found, other = space(), space(objectives=("area_mm2",))
    metrics = {"area_mm2": 5.0, "luts": math.nan}
    first = promote(found, metrics, 1, "rtl", folder=tmp_path)
    assert promote(found, metrics, 1, "rtl", folder=tmp_path) == first
    assert len(recorded) == 1
    assert first.lower == {"area_mm2": 5.0, "own": 1.0}
    (kept,) = (tmp_path / "ladder").iterdir()
    assert json.loads(kept.read_text())["number"] == 1
    kept.write_text("{")
    assert promote(found, metrics, 1, "rtl", folder=tmp_path).figures == first.figures
    assert len(recorded) == 2, "a damaged file is as none"
    for which, values, number, rung in (
        (other, metrics, 1, "rtl"),
        (found, {"area_mm2": 6.0}, 1, "rtl"),
        (found, metrics, 2, "rtl"),
        (found, metrics, 1, "stepped"),
    ):
        before = len(recorded)
        promote(which, values, number, rung, folder=tmp_path)
        assert len(recorded) == before + 1
    monkeypatch.setattr(climbing, "code_hash", lambda: "another program")
    promote(found, metrics, 1, "rtl", folder=tmp_path)
    assert len(recorded) == 7


def test_a_library_belongs_to_what_is_kept(recorded, tmp_path):
    library = tmp_path / "cells.lib"
    for text in ("one", "one", "two"):
        library.write_text(text)
        promote(space(), {}, 1, "synthesis", folder=tmp_path, liberty=library)
    assert len(recorded) == 2


@pytest.mark.parametrize("error", [InputError("no tool"), RuntimeError("no tool")])
def test_a_rung_that_cannot_be_climbed_says_why_and_is_tried_anew(error, tmp_path, monkeypatch):
    def fails(*_: object) -> Found:
        raise error

    monkeypatch.setattr(climbing, "_climbed", fails)
    found = promote(space(), {"area_mm2": 1.0}, 0, "rtl", folder=tmp_path)
    assert (found.figures, found.errors, found.note) == ({}, {}, "not climbed: no tool")
    assert not list(tmp_path.rglob("*.json"))


def test_the_model_is_the_lowest_rung(tmp_path):
    found = promote(space(), {"area_mm2": 1.0, "luts": math.nan}, 0, "model", folder=tmp_path)
    assert (found.figures, found.lower) == ({"area_mm2": 1.0}, {})
    with pytest.raises(InputError, match=r"rung 'rtll'.*rtl"):
        promote(space(), {}, 0, "rtll", folder=tmp_path)


def test_without_a_library_synthesis_says_so(tmp_path):
    found = promote(space(), {}, 0, "synthesis", folder=tmp_path)
    assert found.figures == {}
    assert "--liberty" in found.note


# what is cut from a point


def test_arrays_are_halved_until_they_are_small_enough():
    whole = job(axes={"accelerator.rows": [12], "accelerator.cols": [5]}).machine
    shared = replace(whole, accelerator=replace(whole.accelerator, rows_per_dequantizer=4))
    assert shrunk(whole, 120) == whole
    for machine, most, rows, cols in (
        (whole, 119, 6, 5),
        (whole, 59, 3, 5),
        (whole, 29, 3, 2),
        (whole, 1, 1, 1),
        (shared, 119, 4, 5),
        (shared, 20, 4, 2),
        (shared, 1, 4, 1),
    ):
        part = shrunk(machine, most)
        assert (part.accelerator.rows, part.accelerator.cols) == (rows, cols)
        restored = replace(part.accelerator, rows=12, cols=5)
        assert replace(part, accelerator=restored) == machine
    assert instance_text(whole, whole) == "the whole 12 x 5 x 2 array"
    assert "1 x 1 x 2 of the point's 12 x 5 x 2" in instance_text(whole, shrunk(whole, 1))


def test_jobs_are_cut_from_the_largest_gemm_of_each_phase():
    found = job()
    prefill, decode = cut_jobs(found, found.machine, tiles=2, limit_steps=10**6)
    assert (prefill.phase, prefill.gemm.name) == ("prefill", "layers.0.mlp.gate_proj")
    assert (prefill.shape.m, prefill.shape.n, prefill.shape.k) == (4, 4, 64)
    assert (decode.phase, decode.gemm.name) == ("decode", "lm_head")
    assert (decode.shape.m, decode.shape.n, decode.shape.k) == (2, 4, 64)
    assert prefill.shape.group_size == 32
    assert "4 x 4 x 64 (G 32) of layers.0.mlp.gate_proj's 10 x 96 x 64" in prefill.text
    # 4 tiles of 2 slots a chunk of 2 inputs
    (short, _) = cut_jobs(found, found.machine, tiles=2, limit_steps=4 * 2 * 63 // 2)
    assert short.shape.k == 32
    # one group is left however low the limit is
    (least, _) = cut_jobs(found, found.machine, tiles=2, limit_steps=1)
    assert least.shape.k == 32


def test_cut_jobs_fit_the_tile_buffers():
    found = job()
    buffers = BufferConfig(weight_beats=20, activation_beats=64)
    array = replace(found.machine.accelerator, buffers=buffers)
    machine = replace(found.machine, accelerator=array)
    (cut, _) = cut_jobs(found, machine, tiles=2, limit_steps=10**6)
    assert 32 <= cut.shape.k < 64
    simulate_gemm(machine, cut.shape)


def test_equal_jobs_are_cut_once():
    found = job(
        base=space().sweep.base
        | {"workload": {"architecture": MODEL, "prefill_tokens": 2, "decode_tokens": 1}}
    )
    wide = replace(found.machine.accelerator, rows=1, cols=1)
    cuts = cut_jobs(found, replace(found.machine, accelerator=wide), tiles=1, limit_steps=10**6)
    assert [cut.phase for cut in cuts] == ["prefill"]


# the stepped simulator


def test_stepped_figures_are_those_of_the_point_alone(tmp_path):
    found, one = space(), job(3)
    timing, report = one.timing, cost_report(one)
    metrics = {"latency_s": timing.total_cycles / 5e8, "area_mm2": 2e-6 * report.area_um2}
    climbed = promote(found, metrics, 3, "stepped", folder=tmp_path)
    assert climbed.errors["latency_s"] == 0
    assert climbed.errors["area_mm2"] == pytest.approx(1.0)
    figures = climbed.figures
    assert figures["prefill_s"] + 3 * figures["s_per_token"] == pytest.approx(
        figures["latency_s"], rel=1e-12
    )
    assert figures["tokens_per_s"] == pytest.approx(2 / figures["s_per_token"], rel=1e-12)
    assert figures["prefill_j"] + 6 * figures["energy_per_token_j"] == pytest.approx(
        report.energy_pj * 1e-12, rel=1e-9
    )
    assert figures["edp_js"] == figures["energy_j"] * figures["latency_s"]
    assert figures["max_mhz"] == report.logic_fmax.value
    for phase in ("prefill", "decode"):
        assert figures[f"{phase}_cut_cycles"] > 100
        assert climbed.errors[f"{phase}_cut_cycles"] == 0
    assert "10 x 20 x 64" in climbed.note and "lpddr4" in climbed.note


def test_the_vectorised_model_has_the_figures_of_every_point_alone(tmp_path):
    found = space()
    (chunk,) = found.chunks()
    points = Evaluator(found).run(chunk)
    for place in (0, 3):
        metrics = {name: float(column[place]) for name, column in points.metrics.items()}
        climbed = promote(found, metrics, place, "stepped", folder=tmp_path)
        assert set(climbed.lower) == set(climbed.figures)
        assert climbed.errors == pytest.approx(dict.fromkeys(climbed.figures, 0.0), abs=1e-12)


def test_a_workload_without_decode_steps_has_no_figures_of_them():
    base = space().sweep.base | {
        "workload": {"architecture": MODEL, "prefill_tokens": 2, "decode_tokens": 0}
    }
    alone = job(base=base)
    assert not {"s_per_token", "energy_per_token_j"} & set(metrics_alone(alone, alone))


def test_modelled_cycles_are_the_simulators():
    found = behind_slow_memory(job(1))
    (cut, _) = cut_jobs(found, found.machine, tiles=3, limit_steps=10**6)
    free = modelled_cycles(found.machine, cut.shape, None)
    assert free == simulate_gemm(found.machine, cut.shape).total_cycles
    assert modelled_cycles(found.machine, cut.shape, found.config.memory) > 1.2 * free


# synthesis


def fake_cells(monkeypatch, factor: float, liberty: Path) -> Job:
    """Circuits that take ``factor`` times what the model says, and as many times its delay."""
    one = job()
    asic, machine = one.technology.asic, one.machine
    areas: dict[str, list[float]] = {}
    for part in synthesis.parts(machine):
        kind = type(part.build(machine)).__name__
        area = asic.area(part.component, part.structure).value
        areas.setdefault(kind, []).append(area)

    def mapped(circuit, *, liberty, period_ps):
        kind = type(circuit).__name__
        if kind == "Core":
            area = machine_core_um2(one)
            return synthesis.Cells(
                area_um2=factor * area, delay_ps=factor * asic.critical_path_ps(machine).value
            )
        slowest = asic.critical_path_ps(machine).value
        slowest /= asic.delay_ps["core"].value({"longest_part_ps": 1.0})
        found = areas[kind]
        area = found.pop(0) if len(found) > 1 else found[0]
        return synthesis.Cells(area_um2=factor * area, delay_ps=factor * slowest)

    monkeypatch.setattr(synthesis, "mapped", mapped)
    monkeypatch.setattr(type(asic), "check_library", lambda *_: None)
    liberty.write_text("library (fake) {}\n")
    return one


def machine_core_um2(one: Job) -> float:
    """The point's area is that of its core: it has neither buffers nor memories."""
    assert not one.machine.accelerator.buffers
    return cost_report(one).area_um2 / one.technology.factor("area").value


def climb_fake(monkeypatch, factor: float, folder: Path) -> tuple[Found, dict[str, float]]:
    liberty = folder / "fake.lib"
    one = fake_cells(monkeypatch, factor, liberty)
    report = cost_report(one)
    own = {"area_mm2": report.area_um2 * 1e-6, "max_mhz": report.logic_fmax.value}
    return synthesis.climb_synthesis(one, liberty), own


def test_circuits_as_the_model_has_them_change_nothing(monkeypatch, tmp_path):
    found, own = climb_fake(monkeypatch, 1.0, tmp_path)
    for name, value in {**own, **found.lower}.items():
        assert found.figures[name] == pytest.approx(value, rel=1e-9), name
    assert set(found.lower) == {"cells_mm2", "core_mm2", "core_mhz"}


def test_circuits_twice_as_large_and_slow_show_it(monkeypatch, tmp_path):
    found, own = climb_fake(monkeypatch, 2.0, tmp_path)
    for name in ("cells_mm2", "core_mm2"):
        assert found.figures[name] == pytest.approx(2 * found.lower[name]), name
    assert found.figures["max_mhz"] == pytest.approx(own["max_mhz"] / 2)
    # what was not synthesized stays as it is
    one, alone = job(), ("registers.a", "queue.h", "dequantizer_", "control", "special_v")
    blocks = machine_area(one.machine, one.technology)
    added = sum(block.total_um2 for block in blocks if not block.block.startswith(alone))
    assert found.figures["area_mm2"] - own["area_mm2"] == pytest.approx(1e-6 * added, rel=1e-9)
    assert "% of the model's cell area" in found.note


def test_every_circuit_is_counted_as_often_as_the_machine_has_it():
    found = {part.name: part for part in synthesis.parts(job(3).machine)}
    numbers = {name: part.number for name, part in found.items()}
    assert numbers["serial_pe"] == numbers["dequantizer"] == 16
    assert numbers["column"] == numbers["column_scale"] == 4
    assert numbers["queue"] == numbers["queue of activations"] == numbers["drain"] == 1


def test_another_library_is_refused(tmp_path):
    library = tmp_path / "cells.lib"
    library.write_text("library (other) {}\n")
    found = promote(space(), {}, 0, "synthesis", folder=tmp_path, liberty=library)
    assert found.figures == {}
    assert "fitted to another library: give ihp_sg13g2" in found.note


@pytest.mark.rtl
@NEEDS_LIBERTY
def test_circuits_are_mapped_as_calibration_maps_them():
    array = {"rows": 1, "cols": 1, "lanes": 1, "queue_beats": 2}
    point = Point(component="queue", use="fit", format="int4", group_size=8, inputs=8, array=array)
    with unpacked(LIBERTY) as path:
        wanted = synthesize(point, path, {}, period_ps=3000)
        circuit = COMPONENTS["queue"].build(point.machine)
        found = synthesis.mapped(circuit, path, period_ps=3000)
    assert found.area_um2 == pytest.approx(wanted.area_um2, abs=0.01)
    assert found.delay_ps == pytest.approx(wanted.delay_ps, abs=0.1)


@pytest.mark.rtl
def test_an_fpga_study_is_synthesized_for_its_device(tmp_path):
    one = job(axes={"accelerator.rows": [4], "accelerator.cols": [1], "accelerator.lanes": [1]})
    found = climb_fpga(one, "ecp5-85k", most_lanes=1)
    part = shrunk(one.machine, 1)
    assert found.lower["luts"] == predict(part, "ecp5").lut.value
    assert 0.5 < found.lower["luts"] / found.figures["luts"] < 2
    assert found.lower["flip_flops"] == pytest.approx(found.figures["flip_flops"], rel=0.02)
    assert found.figures["dsps"] == found.lower["dsps"] == 0
    assert "1 x 1 x 1 of the point's 4 x 1 x 1" in found.note
    with pytest.raises(InputError, match="ecp5-85k"):
        climb_fpga(one, "ecp5-85")


# RTL


@pytest.mark.rtl
def test_rtl_has_the_cycles_of_model_and_simulator_free_and_behind_a_memory():
    one = behind_slow_memory(job())
    found = climb_rtl(one)
    assert found.figures["wrong_cases"] == 0
    kinds = ("prefill_rtl", "prefill_memory_rtl", "decode_rtl", "decode_memory_rtl")
    names = [f"{kind}_cycles" for kind in kinds]
    assert set(found.figures) == {*names, "rtl_cycles", "wrong_cases"}
    assert found.figures == found.lower
    assert found.figures["rtl_cycles"] == sum(found.figures[name] for name in names)
    free, behind = found.figures[names[0]], found.figures[names[1]]
    assert behind > 1.2 * free > 200
    assert "the whole 2 x 2 x 2 array" in found.note
    assert "behind slow" in found.note and "all 48 outputs as the golden model's" in found.note


@pytest.mark.rtl
def test_rtl_that_differs_is_not_hidden():
    """RTL of another machine with the same streams: one dequantizer for both rows."""
    one = job()
    array = replace(one.machine.accelerator, rows_per_dequantizer=2)
    other = accelerator_verilog(replace(one.machine, accelerator=array))
    found = climb_rtl(one, verilog=other)
    assert found.figures["wrong_cases"] == 4
    assert "THE RTL DIFFERS in prefill" in found.note and "3 cases after it" in found.note
    assert found.figures["rtl_cycles"] > found.lower["rtl_cycles"]
    promoted = promotion(figures=found.figures, lower=found.lower)
    assert promoted.errors["wrong_cases"] == -1
    assert promoted.errors["prefill_rtl_cycles"] < 0
