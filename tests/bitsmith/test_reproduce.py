"""``bitsmith reproduce``: published claims, corrections, any rows of a file."""

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from bitsmith import commands, reproduce
from bitsmith.cli import main
from bitsmith.commands.reproduce import reproduce as command
from configs.errors import InputError
from configs.load import preset_folder
from sim.published import CORRECTED, VARIANTS, Modelling, published_rows

PUBLISHED = preset_folder("published") / "bitmod_hpca25.json"


def run(capsys, **given: object) -> tuple[int, str]:
    options = {"study": "bitmod-hpca25", "points": None, "variant": None, "json": True, **given}
    code = command(Namespace(**options), lambda items, label: items)
    return code, capsys.readouterr().out


def phases(means: reproduce.Means) -> tuple[float, float]:
    return round(means.discriminative, 2), round(means.generative, 2)


def test_claims_of_the_paper() -> None:
    found = reproduce.gains(published_rows(), VARIANTS["2024"])
    assert {name: phases(means) for name, means in found.speedup.items()} == {
        "FP16": (1.99, 2.41),
        "ANT": (1.72, 1.66),
        "OliVe": (1.56, 1.39),
    }
    assert [round(found.speedup[name].both, 2) for name in ("FP16", "ANT")] == [2.2, 1.69]
    # the abstract's 1.48 is the mean of the rounded 1.56 and 1.39
    assert found.speedup["OliVe"].both == pytest.approx(1.48, abs=0.007)
    # 2.19 in the paper's figure
    assert phases(found.energy["FP16"]) == (2.2, 2.44)
    assert phases(found.energy["ANT"]) == (1.4, 1.57)
    assert phases(found.energy["OliVe"]) == (1.3, 1.35)


def test_256_steps() -> None:
    found = reproduce.gains(published_rows(), Modelling(decode_steps=256))
    speed = {name: round(means.generative, 2) for name, means in found.speedup.items()}
    assert speed == {"FP16": 2.61, "ANT": 1.62, "OliVe": 1.28}
    energy = {name: round(means.generative, 2) for name, means in found.energy.items()}
    assert energy == {"FP16": 2.53, "ANT": 1.66, "OliVe": 1.37}


def test_means_are_of_ratios_per_model() -> None:
    """One model alone: the ratio of published sums."""
    rows = [row for row in published_rows() if row.point.model.name == "phi-2"]
    cycles = {(row.point.accelerator, row.point.phase): row.cycles for row in rows}

    def total(name: str) -> int:
        return cycles[name, "prefill"] + 20 * cycles[name, "decode"]

    found = reproduce.gains(rows, VARIANTS["2024"]).speedup["OliVe"]
    assert found.generative == pytest.approx(total("olive") / total("bitmod-lossy"), rel=1e-12)


def test_corrections_lead_to_the_corrected_model() -> None:
    modelling = VARIANTS["2024"]
    for _, settings in reproduce.CORRECTIONS:
        assert replace(modelling, **settings) != modelling
        modelling = replace(modelling, **settings)
    assert modelling == CORRECTED


def test_whole_command(capsys) -> None:
    code, text = run(capsys)
    result = json.loads(text, parse_constant=pytest.fail)
    assert code == 0
    assert (result["variant"], result["equal_cycles"], result["energies_agree"]) == (
        "2024",
        60,
        True,
    )
    assert result["largest_energy_error"] < 1e-3
    first, last = result["corrections"][0], result["corrections"][-1]
    assert first["applied"] == first["alone"]
    whole = reproduce.gains(published_rows(), CORRECTED).described()
    assert last["applied"] == whole
    growth = result["corrections"][2]["alone"]
    assert growth == reproduce.gains(published_rows(), Modelling(growing=True)).described()
    assert growth != result["corrections"][2]["applied"]
    # corrections of energy alone change no cycles
    assert last["applied"]["speedup"] == result["corrections"][3]["applied"]["speedup"]
    assert len(result["questions"]) == 3
    for limit in ("ANT", "OliVe"):
        assert (
            result["limits"][limit]["products_per_cycle_ratio"]
            == {"ANT": 2, "OliVe": 16 / 9}[limit]
        )
    code, text = run(capsys, json=False)
    assert code == 0
    for words in ("60 of 60", "1.99/2.41", "1.72/1.66", "1.56/1.39", "1.691", "moved most by"):
        assert words in text


def test_the_page_shows_what_the_command_prints(capsys) -> None:
    _, text = run(capsys, json=False)
    page = (Path(__file__).resolve().parents[2] / "docs" / "reproduction.md").read_text()
    assert text[text.index("variant 2024:") :].rstrip() in page


def test_a_missed_figure_fails(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "2024", Modelling(per_head=True))
    code, text = run(capsys)
    assert code == 1
    assert json.loads(text)["equal_cycles"] == 0


def test_the_2025_variant_differs(capsys) -> None:
    code, text = run(capsys, variant="2025")
    result = json.loads(text)
    assert code == 0
    assert result["equal_cycles"] == 0
    assert "corrections" not in result


@pytest.mark.parametrize("variant", ["2024", "2025"])
def test_points_in_their_order(capsys, tmp_path: Path, variant: str) -> None:
    rows = json.loads(PUBLISHED.read_text())["rows"]
    for row in rows:
        for name in [key for key in row if key.startswith("published_")]:
            del row[name]
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"rows": rows[::-1]}))
    code, text = run(capsys, points=path, variant=variant)
    found = json.loads(text, parse_constant=pytest.fail)
    assert code == 0 and list(found) == ["rows"]
    expected = json.loads(run(capsys, variant=variant)[1])["rows"][::-1]
    keys = ("cycles", "onchip_uj", "total_uj")
    assert found["rows"] == [{key: row[key] for key in keys} for row in expected]
    assert all(isinstance(row["cycles"], int) for row in found["rows"])
    code, text = run(capsys, points=path, variant=variant, json=False)
    assert len(text.splitlines()) == 62


def test_refusals(capsys, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the study is 'bitmod', valid are bitmod-hpca25"):
        run(capsys, study="bitmod")
    with pytest.raises(InputError, match="--variant is '2023', valid are 2024, 2025"):
        run(capsys, variant="2023")
    rows = json.loads(PUBLISHED.read_text())["rows"][:2]
    rows[1]["batch"] = 4
    path = tmp_path / "points.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"rows\[1\]: field 'batch' is 4, the 2024 variant"):
        run(capsys, points=path)
    assert run(capsys, points=path, variant="2025")[0] == 0


def test_command_line(capsys, tmp_path: Path) -> None:
    if "reproduce" not in commands.__all__:
        pytest.skip("the command is not registered")
    arguments = ["reproduce", "bitmod-hpca25", "--variant", "2025", "--json"]
    assert main([*arguments, "--points", str(PUBLISHED)]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 60
    assert main([*arguments, "--points", str(tmp_path / "none.json")]) == 2
    error = capsys.readouterr().err
    assert "cannot read" in error and error.count("\n") == 1
