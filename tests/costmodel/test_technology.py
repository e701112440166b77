"""Technology files: complete, sourced, strict, and where they claim to be derived, derived so."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from configs.errors import InputError
from configs.load import preset_names
from configs.schema import Figure, load_axis
from costmodel import REQUIRED_FIGURES, read_figures

ROOT = Path(__file__).parents[2]
LIBERTY = ROOT.parent / "shared" / "data" / "ihp_sg13g2_typ_1p20V_25C.lib.gz"


@pytest.fixture
def technology():
    return load_axis("technology", "generic_28nm")


@pytest.mark.parametrize("name", preset_names("technologies"))
def test_shipped_technologies_are_complete_and_sourced(name):
    technology = load_axis("technology", name)
    assert technology.name == name
    assert set(technology.figures) == set(REQUIRED_FIGURES)
    figures = read_figures(technology)
    for key, figure in technology.figures.items():
        assert figure.kind in ("measured", "fitted", "quoted")
        assert len(figure.source) > 20, key
        assert figure.value > 0, key
        assert getattr(figures, key) == figure.value
        assert figure.kind == "quoted" or "assumption" not in figure.source, key


def test_both_shipped_technologies_are_found():
    assert {"sg13g2_130nm", "generic_28nm"} <= set(preset_names("technologies"))


def test_every_name_carries_its_unit():
    units = ("_um2", "_um2_per_bit", "_pj", "_pj_per_bit", "_mw_per_mm2")
    assert all(name.endswith(units) for name in REQUIRED_FIGURES)


def test_missing_figure(technology):
    left = {k: v for k, v in technology.figures.items() if k != "gate_energy_pj"}
    with pytest.raises(InputError) as caught:
        read_figures(replace(technology, figures=left))
    assert str(caught.value) == "technology 'generic_28nm': figure 'gate_energy_pj' is missing"


def test_unknown_figure_names_the_nearest(technology):
    extra = Figure(value=1.0, kind="quoted", source="nowhere")
    wrong = replace(technology, figures={**technology.figures, "gate_energy_nj": extra})
    with pytest.raises(InputError) as caught:
        read_figures(wrong)
    assert str(caught.value) == (
        "unknown figure in technology 'generic_28nm' 'gate_energy_nj': "
        "did you mean 'gate_energy_pj'?"
    )


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ({"value": 1.0, "kind": "guessed", "source": "me"}, "unknown value 'guessed'"),
        ({"value": 1.0, "kind": "quoted", "source": " "}, "source is empty"),
        ({"value": 1.0, "kind": "quoted"}, "key 'source' is missing"),
        ({"value": -1.0, "kind": "quoted", "source": "me"}, "value is -1.0"),
        ({"value": float("nan"), "kind": "quoted", "source": "me"}, "value is nan"),
        ({"value": "1", "kind": "quoted", "source": "me"}, "expected float, got '1'"),
    ],
)
def test_bad_figures_are_refused_when_a_file_is_read(tmp_path, figure, message):
    content = {"name": "t", "description": "d", "figures": {"gate_area_um2": figure}}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        load_axis("technology", "t.yaml", base=tmp_path)
    assert message in str(caught.value)
    assert "gate_area_um2" in str(caught.value)


def test_scaled_figures_are_what_their_source_says(technology):
    base = load_axis("technology", "sg13g2_130nm").figures
    scales = {
        "figure of sg13g2_130nm scaled by (28 / 130)^2": (28 / 130) ** 2,
        "figure of sg13g2_130nm scaled by (28 / 130) x (0.9 / 1.2)^2": 28 / 130 * (0.9 / 1.2) ** 2,
    }
    scaled = 0
    for name, figure in technology.figures.items():
        for text, scale in scales.items():
            if text in figure.source:
                assert figure.value == pytest.approx(base[name].value * scale, rel=1e-3), name
                scaled += 1
    assert scaled == 12
    upwards = {"area": (130 / 28) ** 2, "energy": 130 / 28 * (1.2 / 0.9) ** 2}
    for name in (
        "sram_area_um2_per_bit",
        "sram_read_energy_pj_per_bit",
        "sram_write_energy_pj_per_bit",
    ):
        scale = upwards["area" if "area" in name else "energy"]
        assert base[name].value == pytest.approx(technology.figures[name].value * scale, rel=1e-3)
    figures = read_figures(technology)
    assert figures.adder_energy_pj_per_bit == pytest.approx(0.1 / 32 * 28 / 45, rel=1e-3)
    assert figures.stream_energy_pj_per_bit == pytest.approx(310 / 256 / 10, rel=1e-3)
    assert figures.leakage_power_mw_per_mm2 == pytest.approx(0.05 * 39.36 / 0.099509, rel=1e-3)


@pytest.mark.rtl
@pytest.mark.skipif(not LIBERTY.is_file(), reason=f"{LIBERTY.name} is not beside the checkout")
def test_measured_technology_is_what_its_program_prints():
    command = [sys.executable, "-m", "benchmarks.technology", "--liberty", str(LIBERTY)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    made = yaml.safe_load(printed)
    shipped = yaml.safe_load((ROOT / "configs/technologies/sg13g2_130nm.yaml").read_text())
    assert made.keys() == shipped.keys()
    for name, figure in made["figures"].items():
        ours = shipped["figures"][name]
        assert ours["value"] == pytest.approx(figure["value"], rel=0.02), name
        assert (ours["kind"], ours["source"]) == (figure["kind"], figure["source"])
