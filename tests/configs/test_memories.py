"""Memory presets against arithmetic of their own, and what a memory may not say."""

import copy
import re
from fractions import Fraction
from typing import Any

import pytest

from configs.errors import InputError
from configs.load import preset_names
from configs.memory import MemoryConfig
from configs.schema import load_axis

#: peak in GB/s as vendors state it: pins x Gb/s per pin / 8
PEAKS = {
    "lpddr4": 32 * 3.2 / 8,
    "lpddr5": 64 * 6.4 / 8,
    "ddr4": 64 * 3.2 / 8,
    "hbm2e": 1024 * 3.2 / 8,
    "bitmod_ddr4": 32.0,
    "edge_32gbs": 32 * 8.0 / 8,
    "edge_32gbs_sram": 32 * 8.0 / 8,
}
STATED = {"lpddr4": 12.8, "lpddr5": 51.2, "ddr4": 25.6, "hbm2e": 409.6, "bitmod_ddr4": 32.0}
STATED |= {"edge_32gbs": 32.0, "edge_32gbs_sram": 32.0}
#: tRFC and tREFI in ns, of JESD209-4, JESD209-5, JESD79-4 and JESD235
REFRESH = {"lpddr4": (180, 3904), "lpddr5": (210, 3906), "ddr4": (350, 7800), "hbm2e": (350, 3900)}
REFRESH |= {"edge_32gbs": (210, 3906), "edge_32gbs_sram": (210, 3906)}


def preset(name: str) -> MemoryConfig:
    """A shipped memory."""
    built: MemoryConfig = load_axis("memory", name)
    return built


def figure(value: float) -> dict[str, Any]:
    """A figure of a configuration in YAML."""
    return {"value": value, "kind": "quoted", "source": "test"}


BASE: dict[str, Any] = {
    "name": "m",
    "description": "for tests",
    "dram": {
        "bus_bits": 32,
        "transfers_mt_s": 3200,
        "burst_efficiency": figure(0.5),
        "refresh_efficiency": figure(0.75),
        "energy_pj_per_bit": figure(4),
    },
    "weight_sram": {"kib": 64, "banks": 4, "width_bits": 32},
}


def test_all_presets_are_listed_here() -> None:
    assert set(preset_names("memories")) == set(PEAKS) == set(STATED)


@pytest.mark.parametrize("name", PEAKS)
def test_peak(name: str) -> None:
    dram = preset(name).dram
    peak = dram.bus_bits * dram.transfers_mt_s / 8 / 1000
    assert peak == pytest.approx(PEAKS[name], rel=1e-12)
    assert peak == pytest.approx(STATED[name], rel=1e-12)
    assert dram.bytes_per_s <= peak * 1e9


@pytest.mark.parametrize("name", REFRESH)
def test_refresh_is_the_share_of_its_standard(name: str) -> None:
    busy, interval = REFRESH[name]
    refresh = preset(name).dram.refresh_efficiency
    assert refresh.value == float(round(1 - Fraction(busy, interval), 4))
    assert f"{busy} ns / {interval} ns" in refresh.source


@pytest.mark.parametrize("name", PEAKS)
def test_effective_bandwidth(name: str) -> None:
    dram = preset(name).dram
    share = Fraction(dram.burst_efficiency.value) * Fraction(dram.refresh_efficiency.value)
    expected = Fraction(STATED[name]).limit_denominator(10) * 10**9 * share
    assert dram.bytes_per_s == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("name", PEAKS)
def test_every_figure_names_its_source(name: str) -> None:
    memory = preset(name)
    for field in ("burst_efficiency", "refresh_efficiency", "energy_pj_per_bit"):
        found = getattr(memory.dram, field)
        assert found.kind == "quoted" and len(found.source) > 15
    assert 1 < memory.dram.energy_pj_per_bit.value < 20
    assert 0 <= memory.dram.latency_ns < 100
    assert memory.name == name and memory.description


def test_paper_memory() -> None:
    """32 bytes in every cycle of 1 GHz, half a mebibyte for each operand."""
    memory = preset("bitmod_ddr4")
    assert memory.dram.bytes_per_s == 32e9
    assert memory.dram.energy_pj_per_bit.value * 64 == 1200
    assert memory.weight_sram is not None and memory.activation_sram is not None
    assert (memory.weight_sram.kib, memory.activation_sram.kib) == (512, 512)


def test_built_by_hand() -> None:
    memory = load_axis("memory", BASE)
    assert memory.dram.bytes_per_s == 12.8e9 * 0.375
    assert memory.weight_sram.bits_per_cycle == 128
    assert memory.activation_sram is None
    assert memory.dram.latency_ns == 0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("dram.bus_bits", 7, "memory: dram: bus_bits is 7, valid are 8..65536"),
        ("dram.bus_bits", 1 << 17, "bus_bits is 131072, valid are 8..65536"),
        ("dram.bus_bits", 32.0, "memory: dram: bus_bits: expected int, got 32.0"),
        ("dram.transfers_mt_s", 0, "transfers_mt_s is 0.0, valid are 1..100000"),
        ("dram.transfers_mt_s", float("nan"), "transfers_mt_s is nan, valid are 1..100000"),
        ("dram.latency_ns", -1, "latency_ns is -1.0, valid are 0..10000"),
        ("dram.burst_efficiency", figure(0), "burst_efficiency is 0.0, valid are 0.01..1"),
        ("dram.burst_efficiency", figure(1.01), "burst_efficiency is 1.01, valid are 0.01..1"),
        ("dram.refresh_efficiency", figure(2), "refresh_efficiency is 2.0, valid are 0.01..1"),
        ("dram.refresh_efficiency", 0.9, "refresh_efficiency: expected a mapping, got 0.9"),
        (
            "dram.energy_pj_per_bit",
            {"value": 4, "kind": "guessed", "source": "test"},
            "unknown value 'guessed'",
        ),
        (
            "dram.energy_pj_per_bit",
            {"value": 4, "kind": "quoted", "source": " "},
            "source is empty: every figure says where it comes from",
        ),
        ("dram.energy_pj_per_bit", figure(-1), "value is -1.0, valid are 0..1"),
        ("dram.buss_bits", 8, "unknown key 'buss_bits': did you mean 'bus_bits'?"),
        ("weight_sram.kib", 0, "memory: weight_sram: kib is 0, valid are 1..1048576"),
        ("weight_sram.banks", 1025, "banks is 1025, valid are 1..1024"),
        ("weight_sram.width_bits", 4, "width_bits is 4, valid are 8..4096"),
        ("weight_sram.ports", "2rw", "unknown value '2rw': did you mean '1rw'?"),
        ("weight_sram.size", 4, "weight_sram: unknown key 'size'"),
        ("sram", {}, "memory: unknown key 'sram'"),
        ("dram", 4, "memory: dram: expected a mapping, got 4"),
    ],
)
def test_mistakes_are_named(path: str, value: object, message: str) -> None:
    data = copy.deepcopy(BASE)
    *outer, last = path.split(".")
    place = data
    for key in outer:
        place = place[key]
    place[last] = value
    with pytest.raises(InputError, match=re.escape(message)):
        load_axis("memory", data)


@pytest.mark.parametrize("key", ["name", "description", "dram"])
def test_missing_keys_are_named(key: str) -> None:
    with pytest.raises(InputError, match=f"memory: key '{key}' is missing"):
        load_axis("memory", {k: v for k, v in BASE.items() if k != key})


def test_unknown_preset_is_named() -> None:
    with pytest.raises(InputError, match="unknown memory preset 'lpdr4': did you mean 'lpddr4'"):
        load_axis("memory", "lpdr4")
