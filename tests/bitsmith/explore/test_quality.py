"""Quality: measured as a run measures it and kept by content, or quoted for what it is of."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bitsmith.explore import quality
from bitsmith.explore.quality import published_tables, quality_of
from bitsmith.job import Job
from bitsmith.steps import evaluate_step
from configs.errors import InputError
from configs.load import build
from configs.schema import QuantizationConfig, RunConfig, load_axis


def config(**axes: Any) -> RunConfig:
    """A run on presets and mappings."""
    named = {"technology": "generic_28nm", **axes}
    return RunConfig(name="test", **{axis: load_axis(axis, given) for axis, given in named.items()})


def llama3(recipe: Any = "bitmod_fp4", array: Any = "paper_bitmod_32x32x4") -> RunConfig:
    return config(workload="llama3_8b", quantization=recipe, accelerator=array)


def scribe(**settings: Any) -> RunConfig:
    """The shipped model on little text."""
    workload = {"model": "scribe_1m", "evaluation_bytes": 300}
    recipe = {"format": "int4", "group_size": 64, "arithmetic": "float32", "scale_format": "uint8"}
    return config(workload=workload, quantization={**recipe, **settings}, accelerator="tiny_4x4x4")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("BITSMITH_CACHE", str(tmp_path))
    return tmp_path / "quality"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What is evaluated; the figures are made up."""
    asked: list[RunConfig] = []

    def evaluate(job: Job, folder: Path) -> dict[str, Any]:
        asked.append(job.config)
        names = ("perplexity", "bits_per_byte", "standard_error")
        figures = ((3.0, 2.0, 0.5), (3.1, 2.1, 0.6), (3.2, 2.2, 0.7))
        variants = [dict(zip(names, each, strict=True), name=str(each[0])) for each in figures]
        return {"bytes": 300, "variants": variants}

    monkeypatch.setattr(quality, "evaluate_step", evaluate)
    return asked


@pytest.mark.parametrize(
    ("recipe", "array", "perplexity", "reference"),
    [
        ("bitmod_fp4", "paper_bitmod_32x32x4", 6.73, 6.13),
        ("bitmod_fp3", "paper_bitmod_32x32x4", 8.96, 6.13),
        ("ant4", "paper_ant_32x32", 7.58, 6.13),
        ("olive4", "paper_olive_32x18x2", 6.89, 6.13),
        ("float16", "paper_fp16_24x32", 6.13, 6.13),
        ("int4_w4a8", "asym_8x8x4", 6.76, 6.14),
        ("int8_w8a8", "edge_8x8x8", 6.28, 6.14),
        ({"format": "mxfp4"}, "fp16_8x8x4", 7.04, 6.13),
    ],
)
def test_published_figures_of_llama3(recipe, array, perplexity, reference) -> None:
    """BitMoD's Table VI and QServe's table, read again here."""
    found = quality_of(llama3(recipe, array))
    assert found is not None
    assert (found.perplexity, found.float_perplexity) == (perplexity, reference)
    assert found.quoted
    assert found.bits_per_byte is None
    assert "llama-3-8b" in found.source
    assert "WikiText-2" in found.source


@pytest.mark.parametrize(
    "change",
    [
        {"format": "int5"},
        {"format": "bitmod_fp4", "group_size": 64},
        {"format": "bitmod_fp4", "group_size": "channel"},
        {"format": "bitmod_fp4", "transforms": ["hadamard"]},
        {"format": "bitmod_fp4", "scale_rule": "mse"},
        {"format": "bitmod_fp4", "overrides": {"lm_head": "bitmod_fp3"}},
        {"format": "bitmod_fp4", "kv_cache": {"key_bits": 4}},
        {"format": "bitmod_fp4", "method": "gptq"},
    ],
)
def test_nothing_is_said_of_other_recipes(change) -> None:
    assert quality_of(llama3({"group_size": 128, **change})) is None


def test_nothing_is_said_of_other_activations_and_models() -> None:
    assert quality_of(llama3(array="bitmod_32x32x4")) is None
    bfloat = {"name": "b", "rows": 4, "cols": 4, "lanes": 4, "activation_format": "bfloat16"}
    assert quality_of(llama3(array=bfloat)) is None
    fits = llama3()
    wider = {**(fits.workload.architecture or {}), "intermediate_size": 14080}
    other = dataclasses.replace(fits.workload, architecture=wider)
    assert quality_of(dataclasses.replace(fits, workload=other)) is None
    unknown = config(
        workload="bitnet_2b", quantization="ternary", accelerator="paper_bitmod_32x32x4"
    )
    assert quality_of(unknown) is None


def test_transforms_choose_the_table() -> None:
    plain, awq = (
        quality_of(llama3({"format": "bitmod_fp3", "group_size": 128, "transforms": transforms}))
        for transforms in ([], ["awq"])
    )
    assert plain is not None
    assert awq is not None
    assert (plain.perplexity, awq.perplexity) == (8.96, 7.81)


def test_tables_are_whole() -> None:
    """Every figure is above the float model's, but for two of 6 bits; every format is a recipe."""
    below = []
    for table in published_tables():
        for name, row in table.formats.items():
            QuantizationConfig(format=name)
            load_axis("quantization", {"format": name})
            below += [
                (table.models[place], name)
                for place, figure in enumerate(row)
                if figure < table.float[place]
            ]
    assert sorted(below) == [("opt-1.3b", name) for name in ("float6_e2m3fn", "int6", "int6_asym")]


def test_a_row_of_the_wrong_length_is_refused() -> None:
    row = {"source": "s", "activations": "int8", "group_size": 128, "models": ["phi-2"]}
    with pytest.raises(InputError, match="int4 has 2 figures for 1 models"):
        build(quality.PublishedTable, {**row, "float": [1.0], "formats": {"int4": [1, 2]}}, "t")


def test_measured_as_a_run_measures() -> None:
    asked = scribe()
    found = quality_of(asked)
    variants = evaluate_step(Job(asked), Path())["variants"]
    assert found is not None
    assert not found.quoted
    assert found.bits_per_byte == variants[2]["bits_per_byte"]
    assert found.perplexity == variants[2]["perplexity"]
    assert found.error == variants[2]["standard_error"]
    assert found.float_bits_per_byte == variants[0]["bits_per_byte"]
    assert found.float_perplexity == variants[0]["perplexity"]
    assert found.bits_per_byte != variants[1]["bits_per_byte"]
    assert found == quality_of(asked)


def test_measured_once(measured, cache) -> None:
    first = quality_of(scribe())
    assert first == quality_of(scribe())
    assert len(measured) == 1
    assert first is not None
    assert (first.perplexity, first.float_perplexity, first.error) == (3.2, 3.0, 0.7)
    assert [path.suffix for path in cache.iterdir()] == [".json"]


def test_an_array_of_another_shape_has_the_same_quality(measured) -> None:
    quality_of(scribe())
    asked = scribe()
    quality_of(
        dataclasses.replace(asked, accelerator=dataclasses.replace(asked.accelerator, rows=2))
    )
    assert len(measured) == 1


def test_measured_again_for_what_matters(measured) -> None:
    asked = scribe()
    changed = [
        asked,
        scribe(group_size=32),
        scribe(activation_bits=8, scale_format="float16"),
        dataclasses.replace(
            asked, workload=dataclasses.replace(asked.workload, evaluation_bytes=400)
        ),
        dataclasses.replace(asked, accelerator=load_axis("accelerator", "fp16_8x8x4")),
        scribe(method="gptq"),
        scribe(method="gptq", calibration_tokens=64),
    ]
    for each in changed * 2:
        quality_of(each)
    assert measured == changed


def test_measured_again_after_a_change_of_the_program(measured, monkeypatch) -> None:
    quality_of(scribe())
    monkeypatch.setattr(quality, "_program_hash", lambda: "another")
    quality_of(scribe())
    assert len(measured) == 2


def test_a_damaged_file_is_measured_again(measured, cache) -> None:
    first = quality_of(scribe())
    (kept,) = cache.iterdir()
    for damaged in ("{", "{}", "[1]", kept.read_text()[:-9]):
        kept.write_text(damaged)
        assert quality_of(scribe()) == first
    assert len(measured) == 5


def test_no_text_means_no_quality(measured) -> None:
    asked = scribe()
    silent = dataclasses.replace(asked.workload, evaluation_bytes=0)
    assert quality_of(dataclasses.replace(asked, workload=silent)) is None
    assert not measured
