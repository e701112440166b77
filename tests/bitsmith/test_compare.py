"""Two results side by side."""

import json

import numpy as np
import pytest

from bitsmith.cli import main
from bitsmith.compare import compare, flat, load_result
from configs.errors import InputError
from configs.schema import QuantizationConfig
from sw.quantize import quantize_model


@pytest.fixture
def models(tmp_path):
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal((4, 16)) for name in ("a", "b")}
    for name, size in (("fine", 4), ("coarse", 16)):
        recipe = QuantizationConfig(format="int4", group_size=size)
        quantize_model(weights, recipe, folder=tmp_path / name)
    return tmp_path


def test_quantized_models(models, capsys) -> None:
    assert main(["compare", str(models / "fine"), str(models / "coarse"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kinds"] == ["quantized model"] * 2
    assert {"name": "group_size", "a": 4, "b": 16} in found["settings"]
    assert [x["name"] for x in found["settings"]] == ["group_size"]
    metrics = {x["name"]: x for x in found["metrics"]}
    assert metrics["bits per weight"]["a"] == 8 and metrics["bits per weight"]["b"] == 5
    assert metrics["bits per weight"]["difference"] == -3
    assert metrics["bits per weight"]["ratio"] == 5 / 8
    assert metrics["mean squared weight error"]["ratio"] > 1
    assert {x["part"] for x in found["parts"]} == {"a", "b"}
    assert main(["compare", str(models / "fine"), str(models / "coarse")]) == 0
    text = capsys.readouterr().out
    assert "group_size" in text and "mean squared weight error" in text


def test_a_result_equals_itself(models) -> None:
    one = load_result(models / "fine")
    found = compare(one, one)
    assert found["settings"] == [] and all(x["difference"] == 0 for x in found["metrics"])


def test_accuracy_tables(tmp_path) -> None:
    for name, value in (("a", 2.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        rows = [{"recipe": "int4", "perplexity": value, "note": "text"}]
        text = json.dumps({"model": "m", "rows": rows})
        (tmp_path / name / "accuracy.json").write_text(text)
    found = compare(load_result(tmp_path / "a"), load_result(tmp_path / "b"))
    assert found["parts"] == [
        {"part": "int4", "name": "perplexity", "a": 2.0, "b": 3.0, "difference": 1.0, "ratio": 1.5}
    ]


def test_what_is_no_result_is_refused(models, tmp_path, capsys) -> None:
    assert main(["compare", str(tmp_path), str(models / "fine")]) == 2
    assert "holds no result" in capsys.readouterr().err
    manifest = models / "fine" / "manifest.json"
    described = json.loads(manifest.read_text())
    for text, message in (
        ("{", "not valid JSON"),
        ("[]", "not the manifest"),
        (json.dumps({**described, "kind": "x"}), "not the manifest"),
        (json.dumps({**described, "layers": [{}]}), "lacks 'name'"),
        (json.dumps({**described, "layers": []}), "has no layers"),
    ):
        manifest.write_text(text)
        with pytest.raises(InputError, match=message):
            load_result(models / "fine")
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "accuracy.json").write_text('{"rows": [{"recipe": "z", "x": 1}]}')
    table = load_result(tmp_path / "t")
    with pytest.raises(InputError, match="no figure in common"):
        compare(table, load_result(models / "coarse"))


def test_flat() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [1]}) == {"a.b": 1, "d": [1]}
