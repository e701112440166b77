"""docs/float_area.md shows what was measured, and its sentences are true of it."""

import json
import runpy
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCRIPT = DOCS / "make_float_area.py"


def test_page_shows_the_measured_figures(monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check"])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert done.value.code == 0, "run 'python docs/make_float_area.py'"


def test_a_changed_figure_makes_the_page_stale(tmp_path, monkeypatch, capsys):
    for name in (SCRIPT.name, "float_area.md", "float_area.json"):
        (tmp_path / name).write_text((DOCS / name).read_text())
    measured = json.loads((tmp_path / "float_area.json").read_text())
    measured["rows"][0]["parts"]["pe"]["sg13g2"]["area_um2"] += 1000
    (tmp_path / "float_area.json").write_text(json.dumps(measured))
    made = runpy.run_path(str(tmp_path / SCRIPT.name))
    monkeypatch.setattr(sys, "argv", [SCRIPT.name, "--check"])
    assert made["main"]() == 1
    assert "stale" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [SCRIPT.name])
    assert made["main"]() == 0
    assert (tmp_path / "float_area.md").read_text() != (DOCS / "float_area.md").read_text()


def area(rows, name: str, form: str, lanes: int = 4, part: str = "share", **setting) -> float:
    """Area on sg13g2 of one design: of its PE, or per product."""
    (row,) = (
        row
        for row in rows
        if (row["name"], row["format"], row["lanes"]) == (name, form, lanes)
        and setting.items() <= (row["setting"] or {}).items()
    )
    if part == "pe":
        return row["parts"]["pe"]["sg13g2"]["area_um2"]
    return row["shares"]["sg13g2"][part]


def test_sentences_say_what_was_measured():
    """The figures outside the tables."""
    measured = json.loads((DOCS / "float_area.json").read_text())["rows"]
    rows = [row for row in measured if row["table"] == "weights"]
    text = " ".join((DOCS / "float_area.md").read_text().split())
    nearest = {"rounding": "nearest_even", "mantissa_bits": 16, "guard_bits": 3}
    bitmod = {"rounding": "truncate", "mantissa_bits": 15}
    serial, aligning, mac = "serial, row aligned", "serial, aligning", "FP16 MAC, product rounded"
    four = area(rows, serial, "bitmod_fp4", **nearest)
    exact = area(rows, "serial, exact", "bitmod_fp4")
    said = [
        f"cost {four:,.0f} um2 per product in the serial PE of 4 lanes and "
        f"{area(rows, serial, 'bitmod_fp4', 8):,.0f} in that of 8",
        f"against {area(rows, mac, 'float16', 1):,.0f} in an FP16 MAC, "
        f"{area(rows, 'ANT x FP16', 'ant4', 1):,.0f} in ANT x FP16 and "
        f"{area(rows, 'OliVe x FP16', 'olive4', 2):,.0f} in OliVe x FP16",
        f"take {area(rows, 'INT4 x FP16, row aligned', 'int4'):,.0f} with INT4 weights, "
        f"{area(rows, 'ANT x FP16, row aligned', 'ant4'):,.0f} with ANT's and "
        f"{area(rows, 'OliVe x FP16, row aligned', 'olive4'):,.0f} with OliVe's",
        f"{area(rows, serial, 'int8', **nearest):,.0f} um2 per product, against "
        f"{area(rows, 'INT8 x FP16, row aligned', 'int8'):,.0f} in multipliers",
        f"One PE of {area(rows, serial, 'int8', part='pe', **nearest):,.0f} um2 runs",
        f"INT4 x INT8 needs {area(rows, 'INT4 x INT8', 'int4'):,.0f} um2 per product",
        f"cost {exact:,.0f} um2 per product of 4-bit weights, {exact / four:.2f} times",
    ]
    correct = area(rows, aligning, "int8", part="pe", **bitmod)
    rounded = area(rows, mac, "float16", 1, part="pe")
    wrong = [row for row in measured if row["table"] == "released"]
    released = area(wrong, aligning, "int8", part="pe")
    said += [
        f"it takes {correct:,.0f} um2 on sg13g2, {correct / rounded:.2f} times the FP16 MAC",
        f"*as released* leave that out: {released / rounded:.2f} and",
        f"Correct sums cost {correct / released - 1:.0%} of the PE".replace("%", " %"),
        "Aligned in the row, the same PE takes "
        f"{area(rows, serial, 'int8', part='pe', **bitmod) / rounded:.2f} times",
    ]
    plain = {"rounding": "nearest_even", "mantissa_bits": 14, "guard_bits": 0}
    ratios = [
        area(rows, serial, form, part="pe", **plain) / rounded for form in ("int8", "bitmod_fp4")
    ]
    said.append(f"it is {ratios[0]:.2f}, for `bitmod_fp4` {ratios[1]:.2f}:")
    luts = {
        (row["name"], row["format"], row["lanes"], row["dsp"]): (
            row["parts"]["pe"]["xc7"]["lut"],
            row["shares"]["xc7"],
        )
        for row in measured
        if "xc7" in row["parts"]["pe"]
    }
    of_four = luts[serial, "bitmod_fp4", 4, False]
    said += [
        f"takes {luts['serial, exact', 'bitmod_fp4', 4, False][0]} LUTs of 7 series, "
        f"the rounded one {of_four[0]}",
        f"{of_four[1]['share']:.0f} LUTs of 7 series per product of 4 bits in the serial PE, "
        f"{luts['INT4 x FP16, row aligned', 'int4', 4, False][1]['share']:.0f} in "
        f"INT4 x FP16 row aligned, {luts[mac, 'float16', 1, False][1]['share']:.0f} in",
        f"`int8` take {luts['INT8 x FP16, row aligned', 'int8', 4, True][1]['pe']:.0f} LUTs",
    ]
    for sentence in said:
        assert sentence in text
