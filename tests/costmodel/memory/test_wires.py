"""Wires, broadcast and hops."""

import math

import pytest

from configs.errors import InputError
from costmodel.memory import wires
from costmodel.memory.wires import (
    broadcast_reach_mm,
    crossover_pitch_mm,
    register_pj_per_bit,
    wire_fj_per_bit_mm,
    wire_ps_per_mm,
)
from costmodel.scaling import NODES, nominal_volts

AT_28 = {"nm": 28, "volts": 0.9}


def test_capacitance_as_the_tables_give_it() -> None:
    """A wire of 64 nm, 128 nm thick, between others 64 nm apart: by hand, in fF/um."""
    planes = 2 * 8.854e-3 * 3.9 * 0.064 / 0.21
    neighbours = 2 * 8.854e-3 * 1.5 * 2.214 * 2
    energy = wire_fj_per_bit_mm(nm=32, volts=0.9, toggle=1.0)
    assert energy.low == pytest.approx(0.5 * (planes + neighbours + 0.115) * 1000 * 0.81, rel=1e-3)
    assert energy.value == pytest.approx(1.3 * energy.low)


def test_keckler_is_the_high_limit() -> None:
    """121 fJ per bit and mm at 40 nm lies between those of 45 and 32 nm at equal voltage."""
    high_45, high_32 = (wire_fj_per_bit_mm(nm=nm, volts=0.9).high for nm in (45, 32))
    assert high_32 < 310e3 / 2560 < high_45


@pytest.mark.parametrize("nm", NODES)
def test_every_node(nm: int) -> None:
    volts = nominal_volts(nm)
    energy = wire_fj_per_bit_mm(nm=nm, volts=volts)
    delay = wire_ps_per_mm(nm=nm, volts=volts)
    assert 20 < energy.low < energy.value < energy.high < 400
    assert 20 < delay.low < delay.value < delay.high < 500


def test_energy_with_the_square_of_the_voltage_and_the_toggles() -> None:
    half = wire_fj_per_bit_mm(nm=28, volts=0.9)
    assert wire_fj_per_bit_mm(nm=28, volts=0.9, toggle=1).value == pytest.approx(2 * half.value)
    assert wire_fj_per_bit_mm(nm=28, volts=0.9, toggle=0).high == 0
    assert wire_fj_per_bit_mm(nm=28, volts=0.6).value == pytest.approx(half.value * 4 / 9)


def test_delay_rises_with_newer_nodes_and_lower_voltage() -> None:
    delays = [wire_ps_per_mm(nm=nm, volts=nominal_volts(nm)).value for nm in (130, 65, 28, 7)]
    assert delays == sorted(delays)
    assert wire_ps_per_mm(nm=28, volts=0.7).value > wire_ps_per_mm(**AT_28).value
    assert wire_ps_per_mm(nm=65, volts=1.1).low == pytest.approx(40)


@pytest.mark.parametrize(("nm", "volts"), [(130, 1.2), (28, 0.9), (7, 0.7)])
def test_crossover_is_where_both_cost_the_same(nm: int, volts: float) -> None:
    pitch = crossover_pitch_mm(nm=nm, volts=volts)
    wire = wire_fj_per_bit_mm(nm=nm, volts=volts)
    # low: a piece of wire without repeaters, with a register behind it
    hop = pitch.value * wire.low / 1000 + register_pj_per_bit(nm=nm, volts=volts).value
    assert pitch.value * wire.value / 1000 == pytest.approx(hop)
    assert pitch.low < pitch.value < pitch.high == math.inf


def test_no_crossover_without_toggles() -> None:
    assert crossover_pitch_mm(nm=28, volts=0.9, toggle=0).low == math.inf


def test_reach_of_a_broadcast() -> None:
    delay = wire_ps_per_mm(**AT_28)
    reach = broadcast_reach_mm(1000, **AT_28)
    assert reach.value == pytest.approx(500 / delay.value)
    assert reach.low == pytest.approx(500 / delay.high)
    assert reach.high == pytest.approx(500 / delay.low)
    assert broadcast_reach_mm(2000, **AT_28, share=0.25).value == pytest.approx(reach.value)


def test_register_is_that_of_the_library_at_its_own_node() -> None:
    register = register_pj_per_bit(nm=130, volts=1.2)
    assert register.low == register.high == pytest.approx(0.04476)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: wire_fj_per_bit_mm(nm=40, volts=0.9), "nearest known is 45 nm"),
        (lambda: wire_fj_per_bit_mm(nm=28, volts=5), "5 V at 28 nm"),
        (lambda: wire_fj_per_bit_mm(nm=28, volts=0.9, toggle=2), "toggle is 2"),
        (lambda: broadcast_reach_mm(0, nm=28, volts=0.9), "period_ps is 0"),
        (lambda: broadcast_reach_mm(1000, nm=28, volts=0.9, share=2), "share is 2"),
    ],
)
def test_refused(call: object, match: str) -> None:
    assert callable(call)
    with pytest.raises(InputError, match=match):
        call()


def test_printed_table(capsys: pytest.CaptureFixture[str]) -> None:
    wires.main()
    assert len(capsys.readouterr().out.splitlines()) == 8
