"""Scaling between nodes: published examples, sources, limits."""

import gzip
import itertools
import math
import re
from pathlib import Path
from typing import get_args

import pytest

from configs.errors import InputError
from costmodel import scaling
from costmodel.scaling import NODES, Quantity, nominal_volts, scale, scaling_source
from costmodel.scaling_tables import (
    AREA,
    LIBRARY_LEAKAGE_W,
    NEW_NAND2_UM2,
    OLD_NAND2_UM2,
    OPERATORS_PJ,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
QUANTITIES = get_args(Quantity)


def _scale(quantity: Quantity, a: int, volts_a: float, b: int, volts_b: float) -> float:
    return scale(quantity, from_nm=a, from_volts=volts_a, to_nm=b, to_volts=volts_b).value


def test_published_example() -> None:
    """Section 4.2.1, as corrected by its authors: 65 nm and 1.3 V to 32 nm and 0.9 V."""
    assert _scale("energy", 65, 1.3, 32, 0.9) == pytest.approx(0.1755, abs=1e-4)


def test_delay_polynomial() -> None:
    """130 nm at 1.2 V and 45 nm at 1 V, by hand."""
    old = -76.65 * 1.728 + 334.9 * 1.44 - 493.4 * 1.2 + 275.8
    new = -501.6 + 1567 - 1619 + 566.1
    assert _scale("delay", 130, 1.2, 45, 1.0) == pytest.approx(new / old)


@pytest.mark.parametrize("nm", sorted(AREA))
def test_area_of_the_table(nm: int) -> None:
    assert _scale("area", 130, 1.2, nm, nominal_volts(nm)) == pytest.approx(AREA[nm])


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_nothing_changes_at_home(quantity: Quantity) -> None:
    here = scale(quantity, from_nm=28, from_volts=0.9, to_nm=28, to_volts=0.9)
    assert (here.low, here.value, here.high) == (1, 1, 1)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_steps_multiply(quantity: Quantity) -> None:
    both = _scale(quantity, 130, 1.2, 45, 1.0) * _scale(quantity, 45, 1.0, 16, 0.8)
    assert both == pytest.approx(_scale(quantity, 130, 1.2, 16, 0.8))
    back = _scale(quantity, 130, 1.2, 28, 0.9) * _scale(quantity, 28, 0.9, 130, 1.2)
    assert back == pytest.approx(1)


@pytest.mark.parametrize("quantity", ["area", "energy"])
@pytest.mark.parametrize(("volts", "name"), [(1.2, "sg13g2"), (1.8, "sky130")])
def test_newer_nodes_are_smaller(quantity: Quantity, volts: float, name: str) -> None:
    steps = [_scale(quantity, 130, volts, nm, nominal_volts(nm)) for nm in (65, 45, 28, 22, 16, 7)]
    assert steps == sorted(steps, reverse=True), name


def test_between_published_nodes() -> None:
    """28 and 22 nm lie between 32 and 20 nm, in order, in proportion on logarithmic axes."""
    for quantity in ("area", "energy"):
        values = [_scale(quantity, 130, 1.2, nm, 0.9) for nm in (32, 28, 22, 20)]
        assert values == sorted(values, reverse=True)
    share = math.log(28 / 32) / math.log(20 / 32)
    expected = 0.072 ** (1 - share) * 0.033**share
    assert _scale("area", 130, 1.2, 28, 0.9) == pytest.approx(expected)


def test_voltage() -> None:
    assert _scale("energy", 28, 0.9, 28, 0.7) < 1 < _scale("energy", 28, 0.9, 28, 1.0)
    assert _scale("delay", 28, 0.9, 28, 0.7) > 1
    assert _scale("leakage", 28, 0.9, 28, 0.45 * 2.0) == 1
    assert _scale("area", 28, 0.9, 28, 0.7) == 1


def test_above_the_fitted_supply_energy_is_c_v_squared() -> None:
    assert _scale("energy", 130, 1.56, 130, 1.872) == pytest.approx(1.44)
    assert _scale("energy", 130, 1.2, 130, 1.3) != pytest.approx((1.3 / 1.2) ** 2, rel=1e-3)


def test_delay_does_not_rise_with_the_supply() -> None:
    """The published cubics ripple by an eighth near the nominal supply of 32 nm."""
    for nm in NODES:
        nominal = nominal_volts(nm)
        shares = [0.6 + 0.05 * i for i in range(19)]
        delays = [_scale("delay", 130, 1.2, nm, share * nominal) for share in shares]
        assert all(b <= 1.15 * a for a, b in itertools.pairwise(delays)), nm
        assert delays[-1] < 0.7 * delays[0], nm
        assert delays[-1] == delays[-2]


@pytest.mark.parametrize("nm", sorted(NEW_NAND2_UM2))
@pytest.mark.parametrize("old", OLD_NAND2_UM2)
def test_area_interval_holds_the_libraries(nm: int, old: float) -> None:
    factor = scale("area", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=nominal_volts(nm))
    assert factor.low * 0.999 <= NEW_NAND2_UM2[nm] / old <= factor.high * 1.001
    assert factor.high / factor.low < 2.5


@pytest.mark.parametrize("nm", [65, 45, 28, 22, 16, 7])
def test_energy_interval_holds_the_classical_rule(nm: int) -> None:
    volts = nominal_volts(nm)
    factor = scale("energy", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=volts)
    assert factor.low < nm / 130 * (volts / 1.2) ** 2 < factor.high
    assert factor.low < factor.value < factor.high


def test_energy_interval_holds_published_operators() -> None:
    """On average: their energies fell by different factors."""
    factor = scale("energy", from_nm=45, from_volts=0.9, to_nm=7, to_volts=0.7)
    fell = [after / before for before, after in OPERATORS_PJ]
    assert factor.low < min(fell) < factor.high < max(fell)
    assert factor.high > math.exp(sum(map(math.log, fell)) / len(fell))
    older = scale("energy", from_nm=130, from_volts=1.2, to_nm=65, to_volts=1.1)
    assert older.high / older.value < 1.5


def test_delay_interval_holds_the_gate_length() -> None:
    for nm in (65, 28, 7):
        factor = scale("delay", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=nominal_volts(nm))
        assert factor.low < nm / 130 < factor.high


def test_leakage_interval_is_wide_and_holds_the_libraries() -> None:
    factor = scale("leakage", from_nm=130, from_volts=1.2, to_nm=45, to_volts=1.1)
    assert factor.low < factor.value < factor.high
    measured = LIBRARY_LEAKAGE_W[45][1] / LIBRARY_LEAKAGE_W[130][1]
    assert factor.high == pytest.approx(measured)
    assert factor.high / factor.low > 1000


@pytest.mark.parametrize(("nm", "near"), [(40, 45), (12, 14), (180, 130), (5, 7), (0, 7), (-3, 7)])
def test_unknown_node_names_the_nearest(nm: int, near: int) -> None:
    for a, b in ((nm, 28), (28, nm)):
        with pytest.raises(InputError, match=f"nearest known is {near} nm"):
            scale("area", from_nm=a, from_volts=0.9, to_nm=b, to_volts=0.9)


@pytest.mark.parametrize(("nm", "volts"), [(28, 0.3), (28, 1.8), (7, 1.2), (130, 3.3)])
def test_supply_out_of_range(nm: int, volts: float) -> None:
    with pytest.raises(InputError, match=f"{volts:g} V at {nm} nm is outside"):
        scale("energy", from_nm=130, from_volts=1.2, to_nm=nm, to_volts=volts)


def test_unknown_quantity() -> None:
    with pytest.raises(InputError, match="unknown scaling quantity 'power'"):
        scale("power", from_nm=130, from_volts=1.2, to_nm=28, to_volts=0.9)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'area'"):
        scaling_source("areas")  # type: ignore[arg-type]


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_sources(quantity: Quantity) -> None:
    source = scaling_source(quantity)
    assert "value: " in source and "interval: " in source
    assert ("Stillmaker" in source) == (quantity != "leakage")


@pytest.mark.parametrize("nm", NODES)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_node_at_every_accepted_supply(nm: int, quantity: Quantity) -> None:
    nominal = nominal_volts(nm)
    for share in (0.6, 0.8, 1.0, 1.2, 1.5):
        factor = scale(quantity, from_nm=130, from_volts=1.2, to_nm=nm, to_volts=share * nominal)
        assert 0 < factor.low <= factor.value <= factor.high < math.inf


def test_printed_table(capsys: pytest.CaptureFixture[str]) -> None:
    scaling.main()
    assert len(capsys.readouterr().out.splitlines()) == 13


@pytest.mark.parametrize(
    ("name", "cell", "area"),
    [
        ("ihp_sg13g2_typ_1p20V_25C.lib.gz", "sg13g2_nand2_1", OLD_NAND2_UM2[0]),
        ("sky130hd_tt.lib.gz", "sky130_fd_sc_hd__nand2_1", OLD_NAND2_UM2[1]),
    ],
)
def test_areas_of_the_open_libraries(name: str, cell: str, area: float) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"../shared/data/{name} is not there")
    text = gzip.decompress((DATA / name).read_bytes()).decode("utf-8", "replace")
    found = re.search(rf'cell ?\("?{cell}"?\).*?\n\s*area : ([\d.]+);', text, re.S)
    assert found and float(found[1]) == pytest.approx(area)
