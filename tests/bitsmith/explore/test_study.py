"""``bitsmith explore`` from the command line: whole studies of few points, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitsmith.cli import main
from bitsmith.explore.collect import Collector
from bitsmith.explore.ladder import Promotion
from bitsmith.explore.table import Table

pytest.importorskip("plotly")

SWEEP = """\
description: a few arrays for shapes alone
base:
  workload:
    architecture: {model_type: llama, vocab_size: 64, hidden_size: 32, intermediate_size: 64,
                   num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 2}
    prefill_tokens: 4
    decode_tokens: 2
    evaluation_bytes: 0
  quantization: {format: int4, group_size: 16}
  accelerator: tiny_4x4x4
  technology: generic_28nm
axes:
  accelerator.rows: [1, 2]
  accelerator.cols: [2, 4]
  accelerator.clock_mhz: [100, 200]
constraints: [AREA]
objectives: [s_per_token, area_mm2]
baselines: []
promote: {stepped: 0, synthesis: 0, rtl: 0}
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "few.yaml"
    path.write_text(SWEEP.replace("AREA", "area_mm2 <= 1"))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Standard output, or the sentence on standard error."""
    assert main(["explore", *map(str, arguments)]) == code
    printed = capsys.readouterr()
    return printed.out if code in (0, 1) else printed.err


def test_a_study_and_its_resumption(sweep: Path, capsys) -> None:
    first = json.loads(run(capsys, sweep, "--json"))
    assert first["points"] == first["feasible"] == 8 and not first["refused"]
    assert {p["settings"]["accelerator.clock_mhz"] for p in first["front"]} == {200}
    folder = Path("runs/explore/few")
    assert {"report.html", "points.csv", "store.json"} <= {p.name for p in folder.iterdir()}
    assert len(list((folder / "front").glob("*.yaml"))) == len(first["front"])
    assert "already holds" in run(capsys, sweep, code=2)
    assert json.loads(run(capsys, sweep, "--json", "--resume")) == first
    text = run(capsys, sweep, "--out", "other", "--workers", "2")
    assert "8 points, 8 feasible" in text and "least area_mm2" in text


def test_a_search_gives_a_part_of_it(sweep: Path, capsys) -> None:
    found = json.loads(run(capsys, sweep, "--method", "nsga2", "--points", "4", "--json"))
    assert found["points"] == 4
    again = run(capsys, sweep, "--method", "nsga2", "--points", "4", "--json", "--out", "o")
    assert json.loads(again)["front"] == found["front"]


def test_a_dry_run_writes_nothing(sweep: Path, capsys) -> None:
    assert "8 combinations" in run(capsys, sweep, "--dry-run")
    assert "nsga2: up to 1,000" in run(capsys, sweep, "--dry-run", "--method", "nsga2")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--method", "foo"], "--method is 'foo'"),
        (["--points", "4"], "--points is of searches"),
        (["--seed", "1"], "--seed is of searches"),
        (["--storage", "sqlite:///x.db"], "--storage is of searches"),
        (["--method", "tpe", "--points", "0"], "points"),
        (["--method", "tpe", "--storage", "redis://localhost/0"], "storage of Optuna cannot"),
        (["--workers", "0"], "--workers"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "give one of them"),
        (["--resume"], "no study to go on with"),
        (["--liberty", "nothing.lib"], "there is no file"),
        (["--out", "few.yaml"], "few.yaml"),
    ],
)
def test_refusals_are_one_sentence(sweep: Path, capsys, options: list[str], sentence: str) -> None:
    error = run(capsys, sweep, *options, code=2)
    assert sentence in error and error.count("\n") == 1 and not Path("runs/explore/few/x").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("area_mm2 <= 1", "area_mm2 <= 0", "none of the 8 points is feasible"),
        ("area_mm2 <= 1", "accelerator.rows > 4", "no combination meets"),
        ("area_mm2 <= 1", "quality_quoted <= fp16", "beside one metric of quality"),
        ("baselines: []", "baselines: [nonsense]", "nonsense"),
    ],
)
def test_sweeps_that_have_no_answer(sweep: Path, capsys, old: str, new: str, sentence: str) -> None:
    sweep.write_text(sweep.read_text().replace(old, new, 1))
    assert sentence in run(capsys, sweep, code=2)


def test_a_name_is_no_way_out_of_the_folder(sweep: Path, capsys) -> None:
    sweep.write_text('name: "../../a\\0b/c"\n' + sweep.read_text())
    run(capsys, sweep)
    assert [p.name for p in Path("runs/explore").iterdir()] == ["a_b_c"]
    Path("other").mkdir()
    Path("other/file").write_text("")
    assert "something else" in run(capsys, sweep, "--out", "other", code=2)


def test_wrong_rtl_is_exit_code_1(sweep: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Promotion(
        number=0, rung="rtl", figures={"wrong_cases": 1.0}, lower={"wrong_cases": 0.0},
        seconds=0.0, note="THE RTL DIFFERS",
    )  # fmt: skip
    monkeypatch.setattr("bitsmith.explore.study.climb", lambda *_, **__: (wrong,))
    assert "THE RTL DIFFERS" in run(capsys, sweep, code=1)


def test_a_large_study_keeps_front_and_sample() -> None:
    rng = np.random.default_rng(1)
    numbers = np.arange(4000)
    table = Table(
        numbers=numbers,
        metrics={"s_per_token": rng.random(4000), "area_mm2": rng.random(4000)},
        reasons=("", "b", "a"),
        reason=np.where(numbers % 4, 0, 1 + numbers // 4 % 2),
    )
    whole = Collector(("s_per_token", "area_mm2"), 4000, kept=400)
    parts = Collector(("s_per_token", "area_mm2"), 4000, kept=400)
    whole.add(table)
    for place in reversed(range(0, 4000, 250)):
        parts.add(table.take(slice(place, place + 250)))
    assert whole.reasons == parts.reasons == {"a": 500, "b": 500}
    assert list(whole.reasons) == ["a", "b"] and parts.feasible == 3000
    one, other = whole.table(), parts.table()
    assert (one.numbers == other.numbers).all() and 300 < len(one) < 600
    assert set(parts.front.numbers) <= set(one.numbers.tolist())
    assert (one.metrics["area_mm2"] == table.metrics["area_mm2"][one.numbers]).all()
