"""Every term-serial format on the RTL: all codes, whole GEMMs, cycles; and the published table."""

import json
import re
from pathlib import Path

import pytest

from benchmarks.formats import COMPOSITES, MEASURED, run_composite, run_format
from sw.formats import serial_families

pytestmark = pytest.mark.rtl
PUBLISHED = json.loads(MEASURED.read_text())
ROWS = {row["name"]: row for row in PUBLISHED["formats"]}
COMPOSITE_ROWS = {row["name"]: row for row in PUBLISHED["composites"]}
#: run with every `make test`; `make agreement` runs all
SAMPLE = (
    *("ant4", "apot4", "binary", "float4_e2m1fn", "float6_e3m2fn", "float8_e4m3fn", "float8_e5m2"),
    *("hifloat8", "int5_full", "int8_asym", "nf4", "posit8_es0", "ternary", "uint8"),
)


def check(name: str) -> None:
    row = run_format(serial_families()[name])
    assert row == ROWS[name], "run 'python -m benchmarks.formats --write'"
    if "values_only" not in row:
        assert row["outputs_equal"] and row["cycles_equal"] and row["packing"], row["failure"]


@pytest.mark.parametrize("name", SAMPLE)
def test_sample(name: str) -> None:
    check(name)


@pytest.mark.agreement
@pytest.mark.parametrize("name", sorted(set(serial_families()) - set(SAMPLE)))
def test_all_others(name: str) -> None:
    check(name)


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "mxint8", "PTQTP trit planes"])
def test_composites(name: str) -> None:
    """Block formats on exact 8-bit scales, plane formats pass by pass."""
    row = run_composite(name)
    assert row == COMPOSITE_ROWS[name]
    assert row["equal"]


@pytest.mark.agreement
@pytest.mark.parametrize("name", COMPOSITES)
def test_all_composites(name: str) -> None:
    assert run_composite(name) == COMPOSITE_ROWS[name]


def test_table_is_complete() -> None:
    assert list(ROWS) == list(serial_families())
    assert list(COMPOSITE_ROWS) == list(COMPOSITES)
    assert all(row["equal"] for row in COMPOSITE_ROWS.values())
    ran = [row for row in ROWS.values() if "values_only" not in row]
    assert len(ran) >= 80
    assert all(row["outputs_equal"] and row["cycles_equal"] for row in ran)
    for row in ran:
        family = serial_families()[row["name"]]
        used = sum(v is not None for member in family.members for v in member.levels)
        assert row["codes_on_rtl"] == used


def test_a_format_of_ones_own(capsys) -> None:
    """The worked example at the end of docs/formats.md."""
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(example.splitlines()) <= 21
    exec(compile(example, "docs/formats.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "equal - " in printed
