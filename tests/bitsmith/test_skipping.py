"""``bitsmith skipping``: what it prints is what the report says; bad input in one sentence."""

import argparse
import json

import pytest

from bitsmith.commands.skipping import skipping
from bitsmith.job import silent
from configs.errors import InputError
from sim.skipping import Scheme, skipping_report
from sw.formats import family_terms, get_family
from sw.models import load_model
from sw.quantize import quantize_matrix

OPTIONS = ("model", "recipe", "format", "group_size", "scale_format", "accelerator", "inner_bits")
OPTIONS += ("outer_bits", "mode", "depths", "cols", "lanes", "digits")


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{**dict.fromkeys(OPTIONS), "json": False, **given})


@pytest.fixture
def run(capsys):
    def call(**given: object) -> str:
        assert skipping(options(**given), silent) == 0
        return capsys.readouterr().out

    return call


def test_json_is_the_report(run) -> None:
    given = {"format": "int6", "cols": 5, "lanes": 3, "depths": ["0", "2", "group"]}
    found = json.loads(run(**given, json=True))
    family = get_family("int6")
    layers = [
        (name, quantize_matrix(weights, family, group_size=128))
        for name, weights in load_model("scribe_1m").linear_weights().items()
    ]
    report = skipping_report(
        layers, terms=family_terms(family), cols=5, lanes=3, depths=(0, 2, None)
    )
    assert [layer["name"] for layer in found["layers"]] == [layer.name for layer in report.layers]
    assert found["slots"] == 3 and found["own_exponent_bits"] == report.own_exponent_bits
    for entry, layer in zip(
        [*found["layers"], found["total"]], [*report.layers, report.total], strict=True
    ):
        assert entry["zero_weights"] == layer.zero_weights
        assert entry["unskipped_cycles"] == layer.unskipped_cycles
        assert entry["balanced_cycles"] == pytest.approx(layer.balanced_cycles)
        cycles = {
            Scheme(**{k: v for k, v in scheme.items() if k != "cycles"}): scheme["cycles"]
            for scheme in entry["schemes"]
        }
        assert cycles == layer.cycles


def test_text(run) -> None:
    lines = run(format="int8", depths=["0", "1"]).splitlines()
    rows = {tuple(line.split()[:4]): line.split()[4:] for line in lines if line.startswith("zero")}
    assert rows["zero", "terms", "shared", "array"][1] == "-"
    assert len(rows) == 6
    assert float(rows["zero", "terms", "own", "column"][1].rstrip("x")) > 1.3
    assert any(line.startswith("all ") and "1,075,200" in line for line in lines)
    assert any("4 columns x 4 lanes, 4 slots with base shifts" in line for line in lines)


def test_a_machines_own_array_and_other_digits(run) -> None:
    found = json.loads(run(format="int8", accelerator="tall_6x3x5", json=True, digits="table"))
    assert (found["cols"], found["lanes"], found["digits"]) == (3, 5, "table")
    fewest = json.loads(run(format="int8", accelerator="tall_6x3x5", json=True))
    assert fewest["total"]["balanced_cycles"] < found["total"]["balanced_cycles"]


@pytest.mark.parametrize(
    ("given", "message"),
    (
        ({"depths": ["-1"]}, "--depths: '-1' is no queue depth"),
        ({"depths": ["1.5"]}, "--depths: '1.5' is no queue depth"),
        ({"digits": "most"}, "--digits is 'most', valid are fewest, table"),
        ({"lanes": 0}, "lanes is 0"),
        ({"model": "llama2_7b"}, "skipping depends on weights"),
        ({"accelerator": "fp16_mac_8x8", "format": "int4"}, "takes weights whole"),
    ),
)
def test_bad_input(given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        skipping(options(**given), silent)
