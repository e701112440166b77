"""Proved, observed and quality-preserving accumulator widths."""

import json
import math

import numpy as np
import pytest

from configs.accelerator import AcceleratorConfig
from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.golden.narrow import Registers
from sw.models import LlamaModel, apply_recipe, language_accuracy, load_model
from sw.models.architecture import Architecture
from sw.models.evaluate import BitsPerByte, tokenized
from sw.models.narrow import NarrowModel
from sw.models.widths import WidthStudy, language_score
from sw.quantize import quantize_model

ARRAY = AcceleratorConfig(name="t", rows=2, cols=3, lanes=4)
LAYERS = ("fc1", "fc2")


def network(linear, x: np.ndarray) -> np.ndarray:
    return linear("fc2", np.maximum(linear("fc1", x), 0))


@pytest.fixture(scope="module")
def model() -> NarrowModel:
    rng = np.random.default_rng(0)
    weights = {"fc1": rng.standard_normal((24, 40)), "fc2": rng.standard_normal((10, 24))}
    recipe = QuantizationConfig(format="int4", group_size=16)
    named = {n: w.astype(np.float32) for n, w in weights.items()}
    return NarrowModel(quantize_model(named, recipe), ARRAY)


@pytest.fixture(scope="module")
def study(model: NarrowModel) -> WidthStudy:
    """Share of inputs that are classified otherwise than with unlimited accumulators, plus 1."""
    x = np.random.default_rng(1).standard_normal((300, 40)).astype(np.float32)
    wanted = network(model.linear(), x).argmax(axis=1)
    return WidthStudy(
        model=model,
        evaluate=lambda linear: 1 + float((network(linear, x).argmax(axis=1) != wanted).mean()),
        tolerance=0.05,
    )


@pytest.mark.parametrize("mode", ["wrap", "saturate", "flag"])
@pytest.mark.parametrize("stage", ["inner", "outer"])
def test_the_preserving_width_is_the_smallest_of_a_run(study, stage, mode) -> None:
    observed = study.observed_bits(stage, mode)
    found = study.preserving(stage, mode)
    widths = range(observed + 1, 0, -1)
    scores = {row.bits: row.score for row in study.by_width(stage, [mode], widths)}
    assert study.baseline == scores[observed] == scores[observed + 1] == 1
    kept = 1 + max(bits for bits, score in scores.items() if score > 1.05)
    assert (found.bits, found.observed) == (kept, observed)
    assert [row.bits for row in found.rows] == list(range(observed - 1, kept - 2, -1))
    assert all(row.increase == pytest.approx(row.score - 1) for row in found.rows)
    assert math.isnan(found.rows[-1].standard_error)


@pytest.mark.parametrize("mode", ["wrap", "saturate"])
@pytest.mark.parametrize("stage", ["inner", "outer"])
def test_events_begin_below_the_observed_width(study, stage, mode) -> None:
    observed = study.observed_bits(stage, mode)
    for bits in (observed, observed - 1):
        totals = study.row(stage, mode, bits).totals()
        wrong = totals[f"{stage}_steps"] if mode == "saturate" else totals["outputs_wrong"]
        assert (wrong > 0) == (bits < observed)
        assert totals["outputs"] == 300 * 34
        assert totals["latched"] == 300 * (24 * 3 + 10 * 2)


@pytest.mark.parametrize("layer", LAYERS)
def test_one_layer_at_a_time(study: WidthStudy, layer: str) -> None:
    bits = study.observed_bits("inner", "saturate", layer)
    assert bits <= study.observed_bits("inner", "saturate")
    row = study.row("inner", "saturate", bits - 1, layer)
    assert row.layer == layer and list(row.events) == [layer]
    assert row.totals()["inner_steps"] > 0
    assert study.row("inner", "saturate", bits, layer).totals()["inner_steps"] == 0
    narrow = Registers(inner_bits=6, inner_mode="wrap")
    alone = study.row("inner", "wrap", 6, layer).score
    assert alone == study.evaluate(study.model.linear({layer: narrow}))
    assert alone != study.row("inner", "wrap", 6).score
    found = study.preserving("inner", "saturate", layer)
    assert found.observed == bits and found.rows[-1].layer == layer


def test_proved_widths_stand_beside_observed_ones(study: WidthStudy) -> None:
    rows = study.layers()
    assert [row["layer"] for row in rows] == list(LAYERS)
    for row in rows:
        assert row["tokens"] == 300
        for stage in ("inner", "outer"):
            for mode in ("wrap", "saturate"):
                assert row[f"observed_{stage}"][mode] <= row[f"proved_{stage}"][mode]
    assert max(row["observed_inner"]["wrap"] for row in rows) == study.observed_bits(
        "inner", "wrap"
    )


def test_rows_are_strict_json(study: WidthStudy) -> None:
    row = study.row("inner", "wrap", 8).to_dict()
    text = json.loads(json.dumps(row, allow_nan=False))
    assert text["standard_error"] is None and text["events"]["inner_steps"] is None
    assert [layer["name"] for layer in text["layers"]] == list(LAYERS)
    assert (
        sum(layer["inner_wrong"] for layer in text["layers"]) == text["events"]["inner_wrong"] > 0
    )


def test_a_score_that_is_not_a_number_is_lost(model: NarrowModel) -> None:
    x = np.random.default_rng(1).standard_normal((50, 40)).astype(np.float32)
    wanted = network(model.linear(), x)

    def evaluate(linear) -> float:
        return 1.0 if np.array_equal(network(linear, x), wanted) else math.nan

    study = WidthStudy(model=model, evaluate=evaluate)
    found = study.preserving("inner", "saturate")
    assert found.bits == found.observed and len(found.rows) == 1


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_tolerances_are_checked(model: NarrowModel, tolerance: float) -> None:
    with pytest.raises(InputError, match="tolerance must be a number from 0 up"):
        WidthStudy(model=model, evaluate=lambda linear: 0.0, tolerance=tolerance)


def test_an_evaluation_must_run_the_model(model: NarrowModel) -> None:
    with pytest.raises(InputError, match="runs no quantized layer"):
        _ = WidthStudy(model=model, evaluate=lambda linear: 0.0).baseline


def test_the_shipped_model_on_its_text() -> None:
    loaded = load_model("scribe_1m")
    assert isinstance(loaded.architecture, Architecture) and loaded.heldout is not None
    recipe = QuantizationConfig(format="bitmod_fp4", group_size=128)
    _, quantized = apply_recipe(loaded, recipe)
    llama = LlamaModel(loaded.architecture, loaded.tensors)
    text = tokenized(loaded.heldout.decode("utf-8", "replace"), loaded.tokenizer).first(192)
    narrow = NarrowModel(quantized, ARRAY, otherwise=llama.linear)
    study = WidthStudy(model=narrow, evaluate=language_score(llama, text, context=64))
    wide = language_accuracy(llama, text, context=64, linear=narrow.linear()).bits_per_byte
    assert isinstance(study.baseline, BitsPerByte)
    assert np.array_equal(study.baseline.window_bits, wide.window_bits)
    assert len(study.observed) == len(quantized.layers)
    row = study.row("inner", "saturate", study.observed_bits("inner", "saturate") - 2)
    assert row.increase != 0
    assert row.increase == pytest.approx(row.score - study.baseline.mean)
    assert 0 < row.standard_error < math.inf
    assert row.totals()["outputs"] == 189 * sum(len(m.codes) for m in quantized.layers.values())
