"""What an analytic baseline may say, and what one lane does in a cycle."""

import itertools
import re
from pathlib import Path

import pytest

from configs.analytic import AnalyticConfig
from configs.errors import InputError
from configs.load import preset_names
from configs.schema import AXES, RUN_AXES, load_axis, load_run

BASE = {
    "name": "b",
    "description": "for tests",
    "source": "tests",
    "kind": "fusion",
    "rows": 2,
    "cols": 3,
    "lanes": 5,
    "weight_bits": [2, 4, 8, 16],
    "activation_bits": [2, 4, 8, 16],
    "bricks": 16,
    "brick_bits": 2,
    "clock_mhz": 500,
}
SERIAL = {**BASE, "kind": "bit_serial", "bricks": 1, "brick_bits": 0}


def preset(name: str) -> AnalyticConfig:
    """A shipped baseline."""
    built: AnalyticConfig = load_axis("baseline", name)
    return built


def test_every_preset_says_what_it_is() -> None:
    assert {"bitfusion_16x32", "bismo_8x8x256", "ant_4bit_64x64"} == set(preset_names("baselines"))
    for name in preset_names("baselines"):
        found = preset(name)
        assert found.name == name and found.description and len(found.source) > 30


@pytest.mark.parametrize(("weights", "activations"), [*itertools.product(range(1, 17), repeat=2)])
def test_fusion_is_the_released_factor(weights: int, activations: int) -> None:
    """(8 / w) x (8 / a) whole quotients, as its own simulator has it; 16 bits by turns."""
    inputs, cycles = preset("bitfusion_16x32").chunk(weights, activations)
    per_cycle = 1.0
    for bits in (weights, activations):
        rounded = next(width for width in (2, 4, 8, 16) if width >= bits)
        per_cycle *= 8 / rounded
    assert inputs / cycles == 16 * per_cycle
    if max(weights, activations) <= 8:
        factor = (8 // max(2, weights)) * (8 // max(2, activations))
        # quotients of widths between are those of the next one
        assert (inputs, cycles) == (16 * factor, 1)


def test_temporal_turns() -> None:
    config = preset("bitfusion_16x32")
    assert config.chunk(16, 8) == (16, 2)
    assert config.chunk(16, 16) == (16, 4)
    assert config.peak_macs_per_cycle(2, 2) == 32 * 16 * 16
    assert config.peak_macs_per_cycle(16, 16) == 128


@pytest.mark.parametrize(("weights", "activations"), [*itertools.product(range(1, 9), repeat=2)])
def test_bit_serial_takes_a_cycle_per_pair_of_bits(weights: int, activations: int) -> None:
    config = preset("bismo_8x8x256")
    assert config.chunk(weights, activations) == (256, weights * activations)


def test_published_peaks() -> None:
    """6.5 binary TOPS of BISMO; four times as many products at 4 bits as at 8 for ANT's array."""
    bismo, ant = preset("bismo_8x8x256"), preset("ant_4bit_64x64")
    assert 2 * bismo.peak_macs_per_cycle(1, 1) * bismo.clock_mhz / 1e6 == pytest.approx(
        6.5, rel=0.01
    )
    assert ant.peak_macs_per_cycle(4, 4) == 4 * 32 * 32
    assert ant.peak_macs_per_cycle(3, 4) == 4 * 32 * 32


def test_ragged_bricks() -> None:
    """Seven bricks do three products of two bricks, or one of nine bricks in two turns."""
    config = load_axis("baseline", {**BASE, "bricks": 7, "weight_bits": [4, 6]})
    assert config.chunk(4, 2) == (15, 1)
    assert config.chunk(6, 2) == (10, 1)
    config = load_axis(
        "baseline", {**BASE, "bricks": 7, "weight_bits": [6]} | {"activation_bits": [6]}
    )
    assert config.chunk(6, 6) == (5, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 0}, "baseline: rows is 0, valid are 1..65536"),
        ({"lanes": 65537}, "lanes is 65537, valid are 1..65536"),
        ({"weight_bits": []}, "weight_bits is [], expected ascending widths in bits"),
        ({"weight_bits": [4, 2]}, "weight_bits is [4, 2], expected ascending widths in bits"),
        ({"weight_bits": [4, 4]}, "weight_bits is [4, 4], expected ascending widths in bits"),
        ({"activation_bits": [0, 4]}, "activation_bits is 0, valid are 1..32"),
        ({"activation_bits": 8}, "activation_bits: expected a list, got 8"),
        ({"brick_bits": 0}, "brick_bits is 0, valid are 1..16"),
        ({"bricks": 0}, "bricks is 0, valid are 1..1024"),
        ({"kind": "mac"}, "bricks and brick_bits belong to kind 'fusion', not to 'mac'"),
        ({"kind": "serial"}, "unknown value 'serial': did you mean 'bit_serial'?"),
        ({"clock_mhz": 0}, "clock_mhz is 0.0, valid are 1..5000"),
        ({"result_bits": 65}, "result_bits is 65, valid are 1..64"),
        ({"weight_buffer_kib": -1}, "weight_buffer_kib is -1, valid are 0..1048576"),
        ({"colums": 4}, "baseline: unknown key 'colums': did you mean 'cols'?"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        load_axis("baseline", {**BASE, **changes})


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((17, 8), "baseline 'b': weight_bits is 17, valid are 1..16"),
        ((8, 32), "baseline 'b': activation_bits is 32, valid are 1..16"),
        ((0, 8), "baseline 'b': weight_bits is 0, valid are 1..16"),
    ],
)
def test_operands_that_do_not_fit(widths: tuple[int, int], message: str) -> None:
    for settings in (BASE, SERIAL):
        with pytest.raises(InputError, match=re.escape(message)):
            load_axis("baseline", settings).chunk(*widths)


def test_a_run_has_no_baseline(tmp_path: Path) -> None:
    """Baselines are presets like the others, but no part of a run configuration."""
    assert "baseline" in AXES and "baseline" not in RUN_AXES
    assert set(AXES) - set(RUN_AXES) == {"baseline"}
    text = (
        "workload: llama2_7b\nquantization: bitmod_fp4\naccelerator: bitmod_32x32x4\n"
        "technology: generic_28nm\nmemory: lpddr4\n"
    )
    run = tmp_path / "run.yaml"
    run.write_text(text)
    found = load_run(run)
    assert found.memory is not None and found.memory.name == "lpddr4"
    for name in ("bismo_8x8x256", "no_such_baseline"):
        run.write_text(text + f"baseline: {name}\n")
        with pytest.raises(InputError, match="unknown key 'baseline'"):
            load_run(run)
