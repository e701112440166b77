"""docs/memory.md shows the presets as they are, and its example is real."""

import json
import re
import shlex
from pathlib import Path

import pytest

from bitsmith.cli import main
from configs.load import preset_names
from configs.memory import SramConfig
from configs.schema import load_axis

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "memory.md").read_text()


def number(value: float) -> str:
    """As the page writes it: at most two places."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def kib(sram: SramConfig | None) -> int:
    return sram.kib if sram else 0


def preset_row(name: str) -> str:
    memory = load_axis("memory", name)
    dram, srams = memory.dram, (kib(memory.weight_sram), kib(memory.activation_sram))
    figures = (
        dram.bus_bits,
        dram.transfers_mt_s,
        dram.bus_bits * dram.transfers_mt_s / 8e3,
        dram.bytes_per_s / 1e9,
        dram.latency_ns,
        dram.energy_pj_per_bit.value,
    )
    held = f"{srams[0]} + {srams[1]} KiB" if any(srams) else "-"
    return f"| `{name}` | {' | '.join(map(number, figures))} | {held} |"


def test_presets_are_listed_with_their_figures() -> None:
    rows = re.findall(r"^\| `\w+` \| \d.*$", PAGE, re.M)
    assert sorted(rows) == sorted(preset_row(name) for name in preset_names("memories"))


def run(command: str, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(shlex.split(command)) == 0
    return json.loads(capsys.readouterr().out)


def test_the_example_is_real(capsys) -> None:
    """What is printed, what it takes without the memory, and the arithmetic in between."""
    ((command, shown),) = re.findall(r"^```console\n\$ bitsmith (.+)\n((?:.*\n)+?)```", PAGE, re.M)
    real = run(command, capsys)
    assert real == json.loads(shown)
    without = run(command.replace(" --memory bitmod_ddr4", ""), capsys)["total_cycles"]
    saved = real["total_cycles"] - without
    assert f"it takes {without} cycles: the stall `dram` is {saved}." in PAGE
    moved = 132 * 64 + 64 * 128 + 64 * 128
    assert f"{moved:,} bytes take {moved // 32} cycles" in PAGE and moved % 32 == 0
    assert real["total_cycles"] == moved // 32 + 2 + 11 + 31 * 4
