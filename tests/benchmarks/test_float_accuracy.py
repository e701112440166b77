"""The accuracy benchmark on a few bytes of text."""

import json

import pytest

from benchmarks import float_accuracy
from benchmarks.float_accuracy import EXACT, FORMATS, Bench, Setting, aligned, key, settings


@pytest.fixture(scope="module")
def bench() -> Bench:
    found = Bench("scribe_1m", "bitmod_fp4", 64, 32)
    found.measure(EXACT)
    return found


def test_the_reference_is_zero_from_itself(bench: Bench) -> None:
    row = bench.measure(EXACT)
    assert row["increase"] == row["divergence"] == 0 and row["same_token"] == 1
    assert 2.0 ** row["bits_per_byte"] == pytest.approx(row["perplexity"])


def test_fewer_bits_diverge_further(bench: Bench) -> None:
    found = [
        bench.measure(aligned(rounding, 3, mantissa))["divergence"]
        for rounding, mantissa in (("nearest_even", 24), ("nearest_even", 12), ("truncate", 10))
    ]
    assert 0 < 10 * found[0] < found[1] < found[2] / 10


def test_every_kind_of_row_is_measured(bench: Bench) -> None:
    limit = bench.measure(Setting(datapath="int8", activations="int8"))["divergence"]
    for setting in (
        Setting(datapath="float32", activations="float32"),
        aligned("nearest_even", 3, 16, alignment="pe"),
        aligned("nearest_even", 3, 12, normalization="full"),
        aligned("nearest_even", 16, 32, activations="bfloat16"),
    ):
        assert bench.measure(setting)["divergence"] < limit


@pytest.mark.parametrize(("model", "weights"), [(m, w) for m in FORMATS for w in FORMATS[m]])
def test_settings_differ_and_begin_with_the_reference(model: str, weights: str) -> None:
    found = list(settings(model, weights))
    assert found[0] == EXACT and len(set(found)) == len(found)
    for setting in found:
        assert setting.datapath in ("float32", "int8") or setting.floating is not None


def test_rows_are_kept_and_not_measured_again(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(float_accuracy, "RESULTS", tmp_path / "found.json")
    few = [EXACT, aligned("nearest_even", 3, 16), aligned("nearest_even", 3, 12)]
    monkeypatch.setattr(float_accuracy, "settings", lambda *_: iter(few))
    arguments = ("scribe_1m", "bitmod_fp4", 64, 32)
    float_accuracy.run(*arguments, write=True, again=False)
    rows = json.loads((tmp_path / "found.json").read_text())["scribe_1m"]["bitmod_fp4"]["rows"]
    assert [key(row) for row in rows] == [key(vars(setting)) for setting in few]
    assert len(capsys.readouterr().out.splitlines()) == 3
    float_accuracy.run(*arguments, write=True, again=False)
    assert len(capsys.readouterr().out.splitlines()) == 1  # the reference alone
    float_accuracy.run("scribe_1m", "bitmod_fp4", 96, 32, write=True, again=False)
    assert len(capsys.readouterr().out.splitlines()) == 3  # another text
