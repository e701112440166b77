"""Linear models: what is read back, what is refused."""

import json
import shutil
from pathlib import Path

import pytest

import costmodel.calibration
from configs.errors import InputError
from costmodel.calibration import load_fit
from costmodel.linear import FitError, LinearModel

FITS = Path(costmodel.calibration.__file__).parent / "fits"
ERROR = FitError(fitted=3, held_out=2, mean_percent=1, worst_percent=2, interval_percent=2)
MODEL = LinearModel(terms={"gates": 2.5, "adder_bits": 4.0}, error=ERROR)


def test_a_model_is_read_back() -> None:
    assert LinearModel.from_json(json.loads(json.dumps(MODEL.to_json()))) == MODEL
    assert MODEL.value({"gates": 2, "adder_bits": 1, "mux2_bits": 7}) == 9
    estimate = MODEL.estimate({"gates": 2})
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((4.9, 5, 5.1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: model.update(terms={}),
        lambda model: model["terms"].update(gates="2.5"),
        lambda model: model["terms"].update(gates=-1.0),
        lambda model: model["terms"].update(gates=float("nan")),
        lambda model: model["error"].update(interval_percent=None),
    ],
)
def test_a_damaged_model_is_refused(damage) -> None:
    content = json.loads(json.dumps(MODEL.to_json()))
    damage(content)
    with pytest.raises(ValueError, match=r"terms|gates|interval_percent"):
        LinearModel.from_json(content)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"adder_bits"', '"addr_bits"'), ('"node_nm": 130', '"node_nm": "130"'), ("{", "")],
)
def test_a_damaged_fit_is_one_sentence(tmp_path, old, new) -> None:
    shutil.copy(FITS / "sg13g2.json", tmp_path / "sg13g2.json")
    path = tmp_path / "sg13g2.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match="fit 'sg13g2' is corrupt"):
        load_fit("sg13g2", where=tmp_path)


@pytest.mark.parametrize("name", ["../fits/sg13g2", "sg13g2_energy"])
def test_names_that_are_no_fits(name) -> None:
    with pytest.raises(InputError, match="is not the name of a fit"):
        load_fit(name)
