"""Technologies: complete, sourced, strict; prices that are those of the library, scaled."""

import itertools
import json
from dataclasses import asdict, replace

import pytest
import yaml

from configs.errors import InputError
from configs.load import preset_names
from configs.schema import Figure, load_axis
from costmodel import Technology
from costmodel.calibration.files import FITS
from costmodel.structure import Structure
from costmodel.technology import DATA, REQUIRED_FIGURES

PARTS = Structure(flip_flop_bits=30, adder_bits=20, mux2_bits=10, gates=50)


@pytest.fixture
def config():
    return load_axis("technology", "generic_28nm")


@pytest.mark.parametrize("name", preset_names("technologies"))
def test_shipped_technologies_are_complete_and_sourced(name) -> None:
    config = load_axis("technology", name)
    assert config.name == name
    assert set(config.figures) == set(REQUIRED_FIGURES)
    found = dict(Technology.of(config).figures(["serial_pe", "control"]))
    assert any(key.startswith("serial_pe.flip_flop_bits") for key in found)
    for key, figure in found.items():
        assert len(figure.source) > 20, key
        assert 0 < figure.low <= figure.value <= figure.high, key
        assert ("assumption" not in figure.source) or figure.kind == "quoted", key


def test_the_library_at_its_own_node_is_not_scaled() -> None:
    technology = Technology.of(load_axis("technology", "sg13g2_130nm"))
    found = technology.area_um2("serial_pe", PARTS)
    alone = technology.area_model("serial_pe").estimate(asdict(PARTS))
    assert found == alone.times(technology.composition("serial_pe"))
    assert technology.factor("energy").value == 1


def test_smaller_nodes_take_less_and_say_how_sure_that_is() -> None:
    names = ["sg13g2_130nm", "generic_28nm", "generic_22nm", "generic_16nm", "generic_7nm"]
    found = [Technology.of(load_axis("technology", name)) for name in names]
    for price in (
        lambda t: t.area_um2("serial_pe", PARTS),
        lambda t: t.energy_pj("serial_pe", PARTS),
        lambda t: t.clock_pj_per_bit,
    ):
        prices = [price(technology) for technology in found]
        assert all(a.value > b.value for a, b in itertools.pairwise(prices))
        widths = [p.high / p.low for p in prices]
        assert all(width > widths[0] for width in widths[1:])


def test_zero_rich_data_take_less(config) -> None:
    real, _, zeros = (Technology.of(config, data=data) for data in DATA)
    assert zeros.energy_pj("serial_pe", PARTS).value < real.energy_pj("serial_pe", PARTS).value
    assert zeros.area_um2("serial_pe", PARTS) == real.area_um2("serial_pe", PARTS)


def test_what_is_not_known_is_refused(config) -> None:
    with pytest.raises(InputError, match="did you mean 'random'"):
        Technology.of(config, data="randm")
    with pytest.raises(InputError, match="fit 'sg14'"):
        Technology.of(replace(config, library="sg14"))
    with pytest.raises(InputError, match="no component 'coffee'"):
        Technology.of(config).area_um2("coffee", PARTS)


def test_other_data_widen_an_energy(config) -> None:
    for data in DATA:
        technology = Technology.of(config, data=data)
        found = technology.energy_pj("serial_pe", PARTS)
        share = technology.data_factor("serial_pe")
        library = technology.energy_model("serial_pe").estimate(asdict(PARTS))
        assert found == library.times(technology.factor("energy").times(share))
        assert (share.low < share.value < share.high) == (data != "real")
        figure = dict(technology.figures(["serial_pe"]))["serial_pe.gates.energy_pj"]
        assert figure.high / figure.value == pytest.approx(found.high / found.value)


def test_figures_are_those_of_the_components_that_are_asked_for(config) -> None:
    technology = Technology.of(config)
    few, more = (dict(technology.figures(n)) for n in (["queue"], ["control", "queue", "queue"]))
    assert few.keys() < more.keys() and all(more[name] == few[name] for name in few)
    assert {name.split(".")[0] for name in more.keys() - few.keys()} == {"control"}
    assert dict(technology.figures(["queue"])) == few


@pytest.fixture
def mine(tmp_path):
    """Fits of a library of one's own, as ``bitsmith calibrate`` leaves them."""
    folder = tmp_path / "fits"
    folder.mkdir()
    for kind in ("", "_energy"):
        text = (FITS / f"sg13g2{kind}.json").read_text()
        content = json.loads(text) | {"name": "mine"}
        (folder / f"mine{kind}.json").write_text(json.dumps(content))
    return folder


def test_fits_of_ones_own_are_those_of_the_folder(config, mine) -> None:
    content = json.loads((mine / "mine.json").read_text())
    content["area_um2"]["queue"]["terms"] = {"gates": 123.0}
    (mine / "mine.json").write_text(json.dumps(content))
    own = Technology.of(replace(config, library="mine", fits=str(mine)))
    assert own.area_model("queue").terms == {"gates": 123.0}
    shipped = Technology.of(config)
    assert own.area_um2("control", PARTS) == shipped.area_um2("control", PARTS)
    assert shipped.area_model("queue").terms != {"gates": 123.0}


@pytest.mark.parametrize("lost", ["area_um2", "mine.json", "mine_energy.json"])
def test_every_remedy_is_the_same_command(config, mine, lost) -> None:
    if lost == "area_um2":
        content = json.loads((mine / "mine.json").read_text())
        del content["area_um2"]["queue"]
        (mine / "mine.json").write_text(json.dumps(content))
    else:
        (mine / lost).unlink()
    command = "bitsmith calibrate --liberty FILE --name mine --node-nm NM --volts V --energy --out"
    with pytest.raises(InputError) as caught:
        list(Technology.of(replace(config, library="mine", fits=str(mine))).figures(["queue"]))
    assert str(caught.value).endswith(f"'{command} {mine.parent}'")


def test_missing_figure(config) -> None:
    left = {k: v for k, v in config.figures.items() if k != "stream_mm"}
    with pytest.raises(InputError) as caught:
        Technology.of(replace(config, figures=left))
    assert str(caught.value) == "technology 'generic_28nm': figure 'stream_mm' is missing"


def test_unknown_figure_names_the_nearest(config) -> None:
    extra = Figure(value=1.0, kind="quoted", source="nowhere")
    with pytest.raises(InputError) as caught:
        Technology.of(replace(config, figures={**config.figures, "stream_m": extra}))
    assert str(caught.value) == (
        "unknown figure in technology 'generic_28nm' 'stream_m': did you mean 'stream_mm'?"
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
def test_bad_figures_are_refused_when_a_file_is_read(tmp_path, figure, message) -> None:
    content = {"name": "t", "description": "d", "library": "sg13g2", "node_nm": 28, "volts": 0.9}
    content["figures"] = {"stream_mm": figure}
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        load_axis("technology", "t.yaml", base=tmp_path)
    assert message in str(caught.value)
    assert "stream_mm" in str(caught.value)
