"""The committed energies: what the fit of the committed sample gives, and how they are read."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from configs.errors import InputError
from costmodel.calibration.components import component_of
from costmodel.calibration.points import Point
from costmodel.estimate import Estimate
from costmodel.gates import fit_energy, load_energy_fit
from costmodel.gates.calibrate import CALIBRATION, calibrate_energy, refit, write_json
from costmodel.gates.fit import BLOCKS, SIZES, EnergyFit, sample_rows
from costmodel.gates.points import draw_cores, draw_layers

SAMPLES = sorted(CALIBRATION.glob("samples/energy_*.json"))
NAMES = [path.stem.removeprefix("energy_") for path in SAMPLES]


def committed(name: str) -> dict[str, Any]:
    return json.loads((CALIBRATION / "samples" / f"energy_{name}.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_recomputed(name: str) -> None:
    """The committed fit is that of the committed sample."""
    pytest.importorskip("scipy")
    made, read = fit_energy(committed(name)).to_json(), load_energy_fit(name).to_json()
    made_terms, read_terms = made.pop("energy_pj"), read.pop("energy_pj")
    assert json.dumps(made, sort_keys=True) == json.dumps(read, sort_keys=True)
    assert made_terms.keys() == read_terms.keys()
    for component, model in made_terms.items():
        for key in ("terms", "error"):
            assert model[key] == pytest.approx(read_terms[component][key], rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_sample_is_the_drawn_one(name: str) -> None:
    """Cores, layers and what they are for come from the seed, not from the results."""
    sample = committed(name)
    drawn = draw_cores(sample["seed"])
    assert [p.use for p in drawn] == [core["core"]["use"] for core in sample["cores"]]
    arrays = [json.loads(json.dumps(p.core.array)) for p in drawn]
    assert arrays == [core["core"]["array"] for core in sample["cores"]]
    machines = [
        json.dumps([core["weights"], core["group_size"], core["core"]["array"]])
        for core in sample["cores"]
    ]
    assert len(set(machines)) == len(machines)
    layers = draw_layers(sample["seed"])
    assert sample["layers"] == {"fit": list(layers.fit), "held_out": list(layers.held_out)}
    assert not set(layers.fit) & set(layers.held_out)


@pytest.mark.parametrize("name", NAMES)
def test_fit_never_sees_what_it_is_tested_on(name: str) -> None:
    """Other figures where they may not count change no price."""
    pytest.importorskip("scipy")
    sample = committed(name)
    changed = copy.deepcopy(sample)
    for core in changed["cores"]:
        for row in core["rows"]:
            if core["core"]["use"] != "fit" or row["use"] != "fit" or row["data"] != "real":
                for part in row["parts"].values():
                    part["data_pj"] *= 3
    before, after = fit_energy(sample), fit_energy(changed)
    for component, model in before.energy_pj.items():
        assert model.terms == after.energy_pj[component].terms
        assert model.error != after.energy_pj[component].error


#: in proportion to size, which is found again; far from it, which a few rows do not show entirely
KNOWN = (
    ({part: 0.001 * size for part, size in SIZES.items()}, 0.1),
    ({"gates": 0.02, "flip_flop_bits": 0.05, "mux2_bits": 0.01, "adder_bits": 0.03}, 10),
)


@pytest.mark.parametrize(("prices", "worst_percent"), KNOWN)
@pytest.mark.parametrize("name", NAMES)
def test_energies_of_known_prices(
    name: str, prices: dict[str, float], worst_percent: float
) -> None:
    """Energies that are made of prices are predicted on held-out cores and layers."""
    pytest.importorskip("scipy")
    sample = committed(name)
    made = {(r.core, r.job, r.component): r.amounts for r in sample_rows(sample)}
    for number, core in enumerate(sample["cores"]):
        for job, row in enumerate(core["rows"]):
            for part in row["parts"].values():
                part["data_pj"] = 0.0
            for (c, j, component), amounts in made.items():
                if (c, j) == (number, job):
                    part = next(p for p in row["parts"] if _prices(core, p) == component)
                    total = sum(prices.get(n, 0) * a for n, a in amounts.items())
                    row["parts"][part]["data_pj"] = total
    found = fit_energy(sample)
    for component in ("serial_pe", "queue", "dequantizer"):
        assert found.energy_pj[component].error.worst_percent < worst_percent


def _prices(core: dict[str, Any], part: str) -> str:
    """Component of a part."""
    return component_of(Point(**core["core"]).machine, BLOCKS[part])


def test_opensta_agrees() -> None:
    """At least three netlists were compared, all within 5 per cent."""
    if "sg13g2" not in NAMES:
        pytest.skip("no sample of sg13g2 is committed")
    found = load_energy_fit("sg13g2").opensta
    assert len(found["rows"]) >= 3
    assert found["worst_percent"] <= 5
    for row in found["rows"]:
        assert abs(row["ours_pj"] / row["theirs_pj"] - 1) <= 0.05


@pytest.mark.parametrize("name", NAMES)
def test_data_matter(name: str) -> None:
    """Uniform random data cost more than real data, mostly zeros less."""
    factors = load_energy_fit(name).data_factors
    assert factors["random"]["serial_pe"].value > 1 > factors["zero_rich"]["serial_pe"].value
    assert factors["random"]["core"].value > factors["zero_rich"]["core"].value
    assert all(factor == Estimate.exact(1.0) for factor in factors["real"].values())


@pytest.mark.parametrize("name", NAMES)
def test_limits_of_data_are_those_of_single_cores(name: str) -> None:
    """From the sample, by hand: energy of the PEs of a core on zeros over that on real data."""
    ratios = []
    for core in committed(name)["cores"]:
        if component_of(Point(**core["core"]).machine, BLOCKS["pe"]) == "serial_pe":
            of = {row["data"]: row["parts"]["pe"]["data_pj"] for row in reversed(core["rows"])}
            ratios.append(of["zero_rich"] / of["real"])
    found = load_energy_fit(name).data_factors["zero_rich"]["serial_pe"]
    assert (found.low, found.high) == pytest.approx((min(ratios), max(ratios)), rel=1e-5)
    assert found.value == pytest.approx(sum(ratios) / len(ratios), rel=1e-5)
    assert found.low < found.value < found.high


def test_round_trip() -> None:
    for name in NAMES:
        fit = load_energy_fit(name)
        assert EnergyFit.from_json(json.loads(json.dumps(fit.to_json()))) == fit


def test_no_such_fit() -> None:
    with pytest.raises(InputError, match=r"fit 'sg13g3_energy' is missing: .*sg13g2_energy"):
        load_energy_fit("sg13g3")
    with pytest.raises(InputError, match="is not the name of a fit"):
        load_energy_fit("../fits/sg13g2")


@pytest.mark.parametrize(
    ("old", "new"),
    [('"low"', '"lov"'), ('"core"', '"cores"'), ('"adder_bits"', '"addr_bits"'), ("{", "")],
)
def test_a_damaged_fit_is_one_sentence(old: str, new: str, tmp_path: Path) -> None:
    text = (CALIBRATION / "fits" / "sg13g2_energy.json").read_text()
    assert old in text
    (tmp_path / "mine_energy.json").write_text(text.replace(old, new))
    with pytest.raises(InputError, match="fit 'mine_energy' is corrupt"):
        load_energy_fit("mine", where=tmp_path)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the sample"):
        refit("none", out=tmp_path)
    with pytest.raises(InputError, match="letters, digits"):
        calibrate_energy(tmp_path / "x.lib", "a/b", 1.2, out=tmp_path)
    with pytest.raises(InputError, match="above 0"):
        calibrate_energy(tmp_path / "x.lib", "a", 0.0, out=tmp_path)
    with pytest.raises(InputError, match="cannot read Liberty file"):
        calibrate_energy(tmp_path / "x.lib", "a", 1.2, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_component_without_fit(tmp_path: Path) -> None:
    """A sample whose only cores of a kind are held out is refused."""
    if not NAMES:
        pytest.skip("no sample is committed")
    sample = committed(NAMES[0])
    for core in sample["cores"]:
        if core["core"]["array"].get("zero_point_bits"):
            core["core"]["use"] = "held_out"
    write_json(tmp_path / "samples" / "energy_x.json", sample)
    with pytest.raises(InputError, match="no core to fit or to test"):
        refit("x", out=tmp_path)
