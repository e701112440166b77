"""DRAM energies and the memory configurations that use them."""

from pathlib import Path

import pytest
import yaml

import configs
from configs.errors import InputError
from costmodel.memory.dram import DRAM_PRESETS, dram_energy, dram_pj

MEMORIES = sorted((Path(configs.__file__).parent / "memories").glob("*.yaml"))


def _standard(path: Path) -> str:
    """The preset that a memory's description names."""
    described = yaml.safe_load(path.read_text(encoding="utf-8"))["description"].lower()
    return max((name for name in DRAM_PRESETS if name in described), key=len)


@pytest.mark.parametrize("path", MEMORIES, ids=lambda path: path.stem)
def test_configurations_agree(path: Path) -> None:
    figure = yaml.safe_load(path.read_text(encoding="utf-8"))["dram"]["energy_pj_per_bit"]
    preset = DRAM_PRESETS[_standard(path)]
    assert figure["value"] == preset.value
    assert figure["low"] == preset.low
    assert figure["high"] == preset.high
    assert figure["kind"] == preset.kind


def test_there_are_configurations() -> None:
    assert {_standard(path) for path in MEMORIES} == {"ddr4", "hbm2e", "lpddr4", "lpddr5"}


@pytest.mark.parametrize("name", sorted(DRAM_PRESETS))
def test_every_figure_has_limits_and_a_source(name: str) -> None:
    figure = dram_energy(name)
    assert figure.low is not None and figure.high is not None
    assert 0 < figure.low <= figure.value <= figure.high
    assert figure.low < figure.high
    assert len(figure.source) > 30
    assert any(year in figure.source for year in ("20", "19")) or "Micron" in figure.source


def test_order_of_the_standards() -> None:
    order = ["ddr3", "ddr4", "lpddr4", "lpddr5", "hbm2"]
    values = [DRAM_PRESETS[name].value for name in order]
    assert values == sorted(values, reverse=True)


def test_lpddr5_is_a_fifth_below_lpddr4() -> None:
    old, new = DRAM_PRESETS["lpddr4"], DRAM_PRESETS["lpddr5"]
    assert new.value == pytest.approx(0.8 * old.value)
    assert new.low == pytest.approx(0.8 * (old.low or 0))
    assert new.high == pytest.approx(0.8 * (old.high or 0))


def test_energy_of_a_transfer() -> None:
    energy = dram_pj("ddr4", 64)
    assert energy.value == pytest.approx(1200)
    assert energy.low == pytest.approx(12.45 * 64)
    assert energy.high == pytest.approx(40.6 * 64)


@pytest.mark.parametrize(("name", "near"), [("ddr5", "ddr"), ("lpddr4x", "lpddr4"), ("hbm", "hbm")])
def test_unknown_standard(name: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"unknown DRAM standard '{name}'.*{near}"):
        dram_energy(name)
