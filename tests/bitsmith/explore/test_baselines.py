"""Accelerators of the literature beside a sweep: the figures of runs on their arrays."""

import math
from pathlib import Path
from typing import Any

import pytest

from bitsmith.explore.baselines import baselines
from bitsmith.explore.metrics import METRICS
from bitsmith.explore.result import Baseline
from bitsmith.explore.space import Space
from bitsmith.job import Job
from bitsmith.steps import cost_report
from configs.errors import InputError
from configs.schema import RunConfig, load_axis
from configs.sweep import SweepConfig

LLAMA = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 256,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}


def space(folder: Path, workload: Any = None, **settings: Any) -> Space:
    """A sweep with one axis around a small Llama."""
    small = {"architecture": LLAMA, "prefill_tokens": 24, "decode_tokens": 3, "batch": 2}
    base = {
        "workload": workload or small,
        "quantization": "bitmod_fp4",
        "accelerator": "bitmod_32x32x4",
        "technology": "generic_28nm",
        "memory": "edge_32gbs",
        **settings.pop("base", {}),
    }
    sweep = SweepConfig(
        name="test",
        description="for tests",
        base={axis: given for axis, given in base.items() if given is not None},
        axes={"accelerator.rows": [2, 4], **settings.pop("axes", {})},
        objectives=("s_per_token",),
        **settings,
    )
    return Space.of(sweep, folder)


def by_name(found: tuple[Baseline, ...]) -> dict[str, Baseline]:
    return {one.name: one for one in found}


def alone(of: Space, array: str, recipe: Any, mhz: float) -> Job:
    """One array of a baseline on the sweep's workload."""
    base, given = of.config({}), {"group_size": 128, "scale_format": "uint8", "format": recipe}
    preset = load_axis("accelerator", array)
    data = {**vars(base), "quantization": load_axis("quantization", given)}
    data["accelerator"] = type(preset)(**{**vars(preset), "clock_mhz": mhz})
    return Job(RunConfig(**data))


def test_every_baseline_in_the_order_of_the_sweep(tmp_path) -> None:
    found = baselines(space(tmp_path, baselines=("olive", "bitmod", "fp16", "ant", "int8")))
    assert [one.name for one in found] == [
        "OliVe",
        "BitMoD int6",
        "BitMoD bitmod_fp4",
        "BitMoD bitmod_fp3",
        "FP16",
        "ANT",
        "FP16 x INT8",
    ]
    for one in found:
        assert not one.note.startswith("cannot run"), one.note
        names = {name.removesuffix("_low").removesuffix("_high") for name in one.metrics}
        assert names <= set(METRICS)
        assert all(math.isfinite(figure) for figure in one.metrics.values())


def test_the_sweep_chooses(tmp_path) -> None:
    assert baselines(space(tmp_path, baselines=())) == ()
    (only,) = baselines(space(tmp_path, baselines=("ant",)))
    assert only.name == "ANT"


def test_an_unknown_name_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="did you mean 'olive'"):
        baselines(space(tmp_path, baselines=("oliv",)))


@pytest.mark.parametrize("memory", ["edge_32gbs", None])
def test_figures_are_those_of_the_two_arrays(tmp_path, memory) -> None:
    """The prefill of one run and the decode steps of another, at the clock that both allow."""
    of = space(tmp_path, baselines=("bitmod",), base={"memory": memory})
    one = by_name(baselines(of))["BitMoD bitmod_fp4"].metrics
    mhz = float(math.floor(one["max_mhz"]))
    assert mhz < 1000
    prefill = alone(of, "paper_bitmod_32x32x4", "bitmod_fp4", mhz)
    decode = alone(of, "paper_bitmod_16x64x4", "bitmod_fp4", mhz)
    first = prefill.timing.prefill_cycles / mhz / 1e6
    then = decode.timing.decode_cycles / mhz / 1e6
    assert one["prefill_s"] == pytest.approx(first)
    assert one["s_per_token"] == pytest.approx(then / 3)
    assert one["tokens_per_s"] == pytest.approx(6 / then)
    assert one["latency_s"] == pytest.approx(first + then)
    areas = [cost_report(job).area for job in (prefill, decode)]
    largest = max(areas, key=lambda area: area.value)
    ends = [one[f"area_mm2{end}"] for end in ("_low", "", "_high")]
    assert ends == pytest.approx([largest.low / 1e6, largest.value / 1e6, largest.high / 1e6])
    assert one["energy_j"] == pytest.approx(one["prefill_j"] + 6 * one["energy_per_token_j"])
    assert one["edp_js"] == pytest.approx(one["energy_j"] * one["latency_s"])
    # while busy: cycles between jobs are not in it
    assert one["power_w"] == pytest.approx(one["on_chip_j"] / one["latency_s"], rel=5e-3)
    assert one["power_w"] > one["on_chip_j"] / one["latency_s"]


def test_energy_of_one_phase_is_that_of_a_run_with_only_it(tmp_path) -> None:
    workload = {"architecture": LLAMA, "prefill_tokens": 24, "decode_tokens": 0}
    of = space(tmp_path, workload, baselines=("olive",), base={"memory": "bitmod_ddr4"})
    (one,) = baselines(of)
    job = alone(of, "paper_olive_32x18x2", "olive4", float(math.floor(one.metrics["max_mhz"])))
    report = cost_report(job)
    assert one.metrics["prefill_j"] == pytest.approx(report.energy_pj * 1e-12)
    assert one.metrics["energy_j"] == pytest.approx(report.energy_pj * 1e-12)
    assert one.metrics["on_chip_j_high"] == pytest.approx(report.energy_at("on_chip").high * 1e-12)
    assert one.metrics["dram_bytes"] == job.timing.traffic.total_bytes
    assert one.metrics["utilization"] == pytest.approx(job.timing.utilization)
    assert "s_per_token" not in one.metrics


def test_first_values_of_axes_around_the_array_count(tmp_path) -> None:
    """Memory and batch as in the first point, not as in the base."""
    memory = {"memory": ["lpddr4", "hbm2e"], "workload.batch": [4, 1]}
    moved = space(tmp_path, baselines=("int8",), axes=memory, base={"memory": None})
    workload = {"architecture": LLAMA, "prefill_tokens": 24, "decode_tokens": 3, "batch": 4}
    fixed = space(tmp_path, workload, baselines=("int8",), base={"memory": "lpddr4"})
    assert baselines(moved) == baselines(fixed)


def test_one_that_cannot_run_says_why(tmp_path) -> None:
    """Keys and values in pairs need two lanes: ANT's array of the prefill has one."""
    workload = {"architecture": LLAMA, "prefill_tokens": 4, "decode_tokens": 1}
    workload |= {"attention": "array", "kv_format": "olive4"}
    ant, olive = baselines(space(tmp_path, workload, baselines=("ant", "olive")))
    assert ant.metrics == {}
    assert ant.note.startswith("cannot run: ")
    assert "lanes" in ant.note
    assert olive.metrics["latency_s"] > 0


def test_published_quality_is_marked(tmp_path) -> None:
    found = by_name(baselines(space(tmp_path, "llama3_8b", baselines=("int8", "bitmod"))))
    assert found["BitMoD bitmod_fp4"].metrics["perplexity"] == 6.73
    assert found["BitMoD bitmod_fp4"].quoted
    assert "Table VI" in found["BitMoD bitmod_fp4"].note
    assert "perplexity" not in found["FP16 x INT8"].metrics
    assert not found["FP16 x INT8"].quoted
    assert "quality is not known" in found["FP16 x INT8"].note


def test_the_note_states_shapes_and_clock(tmp_path) -> None:
    (note,) = (one.note for one in baselines(space(tmp_path, baselines=("ant",))))
    assert "32 x 32 x 1 in the prefill and 16 x 16 x 4 in decode" in note
    assert "MHz, what the critical path allows here, not 1000" in note
