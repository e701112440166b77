"""Tables and pictures of accumulator widths are those of the measurements."""

import json
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = str(DOCS / "make_widths.py")


def test_page_and_pictures_are_fresh(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", [SCRIPT, "--check"])
    assert runpy.run_path(SCRIPT)["main"]() == 0


def test_proved_rows_keep_to_their_width_and_lose_nothing() -> None:
    for rows in json.loads((DOCS / "widths.json").read_text())["tasks"].values():
        proved = [row for row in rows if row["proved"]]
        assert len(proved) > 20
        for row in proved:
            assert row["proved_inner_bits"] <= row["inner_bits"] and row["events"] == 0
            assert row["value"] == row["exact_value"]
        # what is not proved may still not happen on this data
        others = [row for row in rows if not row["proved"]]
        assert all(row["events"] > 0 or row["value"] == row["exact_value"] for row in others)
        assert sum(row["events"] > 0 for row in others) > len(others) / 2


def test_kept_widths_are_the_narrowest() -> None:
    script = runpy.run_path(SCRIPT)
    row = {"method": "wrap", "higher_is_better": True, "float_value": 1.0, "proved": False}
    hardware = {"luts": 50, "area_um2": 10.0}
    rows = [
        row | hardware | {"inner_bits": 12, "value": 0.99},
        row | hardware | {"inner_bits": 13, "value": 0.992},
        row | hardware | {"inner_bits": 14, "value": 1.0},
        row | {"method": "wide", "inner_bits": 32, "value": 1.0, "luts": 100, "area_um2": 15.0},
    ]
    table = script["kept_table"]({"task": rows}).splitlines()
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert cells[2:] == ["13", "99.2%", "2.00", "1.50", "no"] and len(table) == 3


def test_a_stale_page_is_found(monkeypatch, capsys, tmp_path) -> None:
    for name in ("make_widths.py", "pages.py", "accumulators.md", "widths.json"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    trained = json.loads((DOCS / "narrow_training.json").read_text())
    trained[0]["value"] = 0.5
    (tmp_path / "narrow_training.json").write_text(json.dumps(trained))
    script = str(tmp_path / "make_widths.py")
    monkeypatch.setattr(sys, "argv", [script, "--check"])
    assert runpy.run_path(script)["main"]() == 1
    said = capsys.readouterr().err
    assert "accumulators.md is stale" in said and "widths_digits_mlp.svg is stale" in said


@pytest.mark.parametrize("name", ["scribe_1m", "digits_mlp"])
def test_pictures_stand_alone(name: str) -> None:
    text = (DOCS / f"widths_{name}.svg").read_text()
    assert text.startswith("<svg xmlns=") and "href" not in text
