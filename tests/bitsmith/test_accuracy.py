"""The accuracy table: figures, finished rows that are kept, models of both kinds."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from bitsmith import accuracy
from bitsmith.accuracy import AccuracySettings, accuracy_table, accuracy_text
from bitsmith.cli import main
from configs.schema import KVCacheConfig, QuantizationConfig
from sw.models import LlamaModel, bits_per_byte, load_model
from sw.models.evaluate import quantized_linear
from sw.models.registry import known_models
from sw.quantize import quantize_model

RECIPES = {
    "int8": QuantizationConfig(format="int8"),
    "int3": QuantizationConfig(format="int3", activation_bits=6),
    "k2v2": QuantizationConfig(format="int8", kv_cache=KVCacheConfig(key_bits=2, value_bits=2)),
}
SETTINGS = AccuracySettings(tokens=512, context=256)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accuracy")
    return folder, accuracy_table(SETTINGS, RECIPES, folder=folder)


def test_rows_say_what_was_measured(table) -> None:
    _, found = table
    rows = {row["recipe"]: row for row in found["rows"]}
    assert list(rows) == ["float", *RECIPES]
    assert (found["kind"], found["tokens"], found["context"]) == ("language", 512, 256)
    assert rows["float"]["perplexity_increase"] == 0
    assert rows["int8"]["bits_per_weight"] == pytest.approx(8.187, abs=1e-3)
    assert 0 < rows["int8"]["relative_error"] < rows["int3"]["relative_error"] < 0.2
    assert rows["int3"]["bits_per_byte_increase"] > 3 * rows["int3"]["bits_per_byte_increase_error"]
    assert "perplexity_a6" in rows["int3"] and "perplexity_a8" in rows["int8"]
    assert rows["k2v2"]["kv_bits"] > 2
    assert rows["k2v2"]["bits_per_byte"] > rows["int8"]["bits_per_byte"]
    text = accuracy_text(found)
    assert "int3" in text and "integer activations: INT6 or INT8 per token" in text


def test_figures_are_those_of_the_parts(table) -> None:
    """The same text through the byte-level path gives the same bits."""
    model = load_model("scribe_1m")
    quantized = quantize_model(model.linear_weights(), RECIPES["int3"])
    layers = [(m.dequantize(), model.linear_weights()[n]) for n, m in quantized.layers.items()]
    lost = sum(float(np.sum((values - w.astype(float)) ** 2)) for values, w in layers)
    power = sum(float(np.sum(w.astype(float) ** 2)) for _, w in layers)
    assert table[1]["rows"][2]["relative_error"] == pytest.approx(lost / power, rel=1e-6)
    llama = LlamaModel(model.architecture, model.tensors)
    assert model.heldout is not None
    starts = np.linspace(0, len(model.heldout) // 256 - 1, 2).astype(int) * 256
    text = b"".join(model.heldout[s : s + 256] for s in starts)
    for bits, key in ((None, "bits_per_byte"), (6, "bits_per_byte_a6")):
        found = bits_per_byte(llama, text, linear=quantized_linear(quantized, bits))
        row = next(row for row in table[1]["rows"] if row["recipe"] == "int3")
        assert row[key] == pytest.approx(found.mean, rel=1e-12)


def test_files_and_kept_rows(table, monkeypatch) -> None:
    folder, found = table
    assert json.loads((folder / "accuracy.json").read_text()) == json.loads(json.dumps(found))
    rows = list(csv.DictReader((folder / "accuracy.csv").read_text().splitlines()))
    assert [row["recipe"] for row in rows] == ["float", *RECIPES]
    damaged = sorted((folder / "rows").iterdir())[0]
    damaged.write_text("{")
    measured = []
    honest = accuracy._measure_row

    def counted(bench, model, recipe):
        measured.append(recipe)
        return honest(bench, model, recipe)

    monkeypatch.setattr(accuracy, "_measure_row", counted)
    assert accuracy_table(SETTINGS, RECIPES, folder=folder) == found
    assert len(measured) == 1
    accuracy_table(SETTINGS, {"int8": QuantizationConfig(format="int4")}, folder=folder)
    assert len(measured) == 2


def test_command(tmp_path: Path, capsys) -> None:
    arguments = ["accuracy", "--only", "int8", "--tokens", "256", "--output", str(tmp_path / "t")]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["recipe"] for row in found["rows"]] == ["float", "int8"]
    assert main(arguments) == 0
    assert "written" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "t"), str(tmp_path / "t")]) == 0


def test_encoder_is_measured_by_its_embeddings() -> None:
    if not {i.name: i.available for i in known_models()}["minilm_l6"]:
        pytest.skip("minilm_l6 is not installed: bitsmith models --fetch minilm_l6")
    recipes = {name: QuantizationConfig(format=name) for name in ("int8", "int4")}
    found = accuracy_table(AccuracySettings(model="minilm_l6", tokens=8), recipes)
    rows = {row["recipe"]: row for row in found["rows"]}
    assert rows["float"]["cosine"] == pytest.approx(1)
    assert rows["int8"]["cosine"] > 0.99 and rows["int4"]["cosine"] < rows["int8"]["cosine"]
    assert found["sentences"] == 8 and "Spearman" in accuracy_text(found)
