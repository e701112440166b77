"""Liberty files: groups, tables, conditions, and the file that OpenSTA reads as we do."""

import pytest

from configs.errors import InputError
from costmodel.gates.expressions import parse_condition
from costmodel.gates.liberty import Library, Table, parse_liberty
from costmodel.gates.reduced import reduced

from .tiny import LIBRARY

SQUARE = Table(slews_ns=(0.0, 2.0), loads_pf=(0.0, 4.0), values=((1.0, 5.0), (3.0, 11.0)))


@pytest.mark.parametrize(
    ("slew", "load", "value"),
    [
        (0, 0, 1),
        (2, 4, 11),
        (1, 0, 2),
        (0, 1, 2),
        # 1 + slope of the load at slew 1: between 4 and 8 over 4
        (1, 2, 2 + 6 * 0.5),
        # beyond the places the last slopes go on
        (4, 0, 5),
        (0, 6, 7),
        (0, -1, 0),
        (-1, 0, 0),
    ],
)
def test_bilinear(slew: float, load: float, value: float) -> None:
    assert SQUARE.at(slew, load) == pytest.approx(value)


def test_three_places() -> None:
    table = Table(slews_ns=(0.0, 1.0, 3.0), loads_pf=(0.0,), values=((0.0,), (2.0,), (3.0,)))
    assert [table.at(s, 9.0) for s in (0.5, 1, 2, 5)] == [1, 2, 2.5, 4]


def test_units_and_axes() -> None:
    """Tables in units of 10 ps and 10 fF; one of them has the load as its first axis."""
    cell = Library(LIBRARY)["INV"]
    assert cell.pins["A"].capacitance_pf == pytest.approx(0.002)
    assert cell.leakages_by_state == [(pytest.approx(500), None)]
    (power,) = cell.pins["Y"].powers
    # energies are capacitance times voltage squared: 10 fJ
    assert power.rise.at(0.2, 0.0) == pytest.approx(2.0)
    assert power.fall.at(0.2, 0.0) == pytest.approx(0.5)
    assert power.edge_pj(0.1, 0.1, 0.005) == pytest.approx((2.5 + 0.5) / 2)
    (slew,) = cell.pins["Y"].slews
    assert slew.rise is not None and slew.fall is not None
    assert slew.rise.at(0.4, 0.0) == pytest.approx(0.03)
    assert slew.rise.at(0.0, 0.01) == pytest.approx(0.05)


def test_flip_flop() -> None:
    cell = Library(LIBRARY)["DFF"]
    assert cell.flip_flop == ("D", "Q", None)
    assert cell.clock == "CK"
    assert Library(LIBRARY)["INV"].flip_flop is None


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("A & !B", {"10"}),
        ("A * B'", {"10"}),
        ("(A+B)'", {"00"}),
        ("A ^ B", {"10", "01"}),
        ("A B | !A !B", {"11", "00"}),
        ("!A*B", {"01"}),
        ("!(A*B)", {"00", "01", "10"}),
        ("A | B & 0", {"10", "11"}),
    ],
)
def test_conditions(text: str, true: set[str]) -> None:
    condition = parse_condition(text)
    found = {a + b for a in "01" for b in "01" if condition.holds({"A": a == "1", "B": b == "1"})}
    assert found == true
    assert len(condition.states) == len(true)


@pytest.mark.parametrize("text", ["A &", "(A", "A ? B", "A)", ""])
def test_wrong_conditions(text: str) -> None:
    with pytest.raises(InputError):
        parse_condition(text)


@pytest.mark.parametrize("text", ["", "cell (A) { }", "library (x) { cell (A) { area : 1"])
def test_no_library(text: str) -> None:
    with pytest.raises(InputError):
        parse_liberty(text)


def test_unknown_cell() -> None:
    with pytest.raises(InputError, match="no cell 'NAND'"):
        Library(LIBRARY)["NAND"]


def test_reduced() -> None:
    """One power group per pin, without cause or state; no wire loads; clocks halved if asked."""
    text = reduced(LIBRARY)
    assert "wire_load" not in text
    library = Library(text)
    (clock,) = library["DFF"].pins["CK"].powers
    assert clock.when is None
    assert clock.edge_pj(0, 0, 0) == pytest.approx(0.3)
    (output,) = library["DFF"].pins["Q"].powers
    assert output.related_pin is None
    assert output.edge_pj(0, 0, 0) == pytest.approx(2.0)
    halved = Library(reduced(LIBRARY, halve_clocks=True))
    assert halved["DFF"].pins["CK"].powers[0].edge_pj(0, 0, 0) == pytest.approx(0.15)
    assert halved["DFF"].pins["Q"].powers[0].edge_pj(0, 0, 0) == pytest.approx(2.0)
    assert library["INV"].pins["A"].capacitance_pf == pytest.approx(0.002)
    assert len(library["INV"].pins["Y"].slews) == 1
