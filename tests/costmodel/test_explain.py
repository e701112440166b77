"""Where figures come from, in words, and tables for other tools."""

import re

import pytest

from configs.errors import InputError
from configs.schema import load_axis
from costmodel import Technology, cost, machine_area
from costmodel.energy import action_prices
from costmodel.explain import explain
from costmodel.export import reference_tables
from sim.results import Traffic

from .test_cost import make, run


@pytest.fixture(scope="module")
def technology() -> Technology:
    return Technology.of(load_axis("technology", "generic_28nm"))


@pytest.fixture(scope="module")
def memory():
    return load_axis("memory", "bitmod_ddr4")


def test_everything_in_a_report_can_be_explained(technology, memory) -> None:
    machine = make(zero_point_bits=4)
    activity, traffic = run(machine), Traffic(weight_bytes=1000, activation_bytes=200)
    report = cost(machine, activity, technology, memory=memory, traffic=traffic)
    names = {b.block for b in report.blocks} | {a.action for a in report.actions}
    totals = report.to_dict()["intervals"].keys() - {"dram_energy_pj", "energy_per_mac_pj"}
    for name in [*names, *totals, *report.causes, *report.figures]:
        text = explain(report, machine, technology, name)
        # every action and every block says where it comes from
        assert name not in names or "source: " in text or "fitted to" in text or "SRAM" in text
        assert name in text.splitlines()[0] and not re.search(r"\bnan\b|\binf\b", text)


def test_terms_add_up_to_the_block(technology) -> None:
    machine = make()
    report = cost(machine, run(machine), technology)
    text = explain(report, machine, technology, "pe.inner_accumulator")
    area, energy = text.split("\n\n")
    block = next(b for b in report.blocks if b.block == "pe.inner_accumulator")
    action = next(a for a in report.actions if a.action == "pe.inner_accumulator")
    for part, expected in ((area, block.area_um2), (energy, action.energy_pj)):
        terms = re.findall(r"^  \w+ +[\d,]+ +\S+ +(\S+)$", part, re.MULTILINE)
        assert sum(map(float, terms)) == pytest.approx(expected, rel=1e-3)
    assert "fitted to" in area and "left out of the fit" in area and "130 nm" in area


def test_an_unknown_name_gets_the_nearest(technology) -> None:
    machine = make()
    report = cost(machine, run(machine), technology)
    with pytest.raises(InputError, match=re.escape("did you mean 'pe.inner_accumulator'?")):
        explain(report, machine, technology, "pe.inner_acumulator")


def test_tables_hold_every_area_and_every_price(technology, memory) -> None:
    machine = make()
    tables = reference_tables(machine, technology, memory)
    areas = {entry["name"]: entry for entry in tables["ART"]["tables"]}
    for block in machine_area(machine, technology, memory):
        entry = areas[f"system.accelerator.{block.block}[1..{block.count}]"]
        assert entry["area"] == block.area_um2
        assert entry["area_low_um2"] <= entry["area"] <= entry["area_high_um2"]
    energies = [
        action["energy"] for entry in tables["ERT"]["tables"] for action in entry["actions"]
    ]
    prices = action_prices(machine, technology, memory)
    assert sorted(set(energies)) == sorted({price.value for price in prices.values()})
    names = [entry["name"] for entry in tables["ERT"]["tables"]]
    assert len(set(names)) == len(names)
    assert set(names) <= areas.keys()
    assert tables["ERT"]["version"] == tables["ART"]["version"] == "0.4"
