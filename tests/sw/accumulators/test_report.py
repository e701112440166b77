"""The report over layers."""

import json

import pytest

from configs.errors import InputError
from sw.accumulators import BoundReport, layer_bounds, single_stage_bounds
from sw.formats import family_terms, get_family


@pytest.fixture
def report():
    """Scaled term-serial layer (15 bits for 'flag', 14 to wrap), a narrow one and a plain one."""
    serial = layer_bounds(
        [[0] * 9, [7] * 9, [7] + [0] * 8],
        terms=family_terms(get_family("int4")),
        group_size=9,
        lanes=3,
        input_range=(-128, 127),
        scale_codes=[[255], [3], [255]],
    )
    narrow = layer_bounds(
        [[5, -5]], terms=None, group_size=1, lanes=1, input_range=(10, 20), scale_codes=[[1, 1]]
    )
    plain = single_stage_bounds([[5, -5], [1, 1]], (10, 20))
    return BoundReport(
        layers={"up": serial, "gate": narrow, "down": plain}, inner_mode="flag", outer_mode="wrap"
    )


def test_minimal_widths_cover_every_layer(report):
    assert report.minimal_widths() == (15, 19)
    assert report.minimal_widths("wrap", "wrap") == (14, 19)
    narrow = {"gate": report.layers["gate"]}
    alone = BoundReport(layers=narrow, inner_mode="wrap", outer_mode="wrap")
    assert alone.minimal_widths() == (8, 7)
    assert alone.minimal_widths(outer_mode="flag") == (8, 8)
    only_plain = {"down": report.layers["down"]}
    alone = BoundReport(layers=only_plain, inner_mode="wrap", outer_mode="wrap")
    assert alone.minimal_widths() == (7, None)
    assert alone.minimal_widths("saturate", "flag") == (8, None)


def test_report_is_json_with_the_documented_keys(report):
    values = report.to_dict()
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["inner_mode"], values["outer_mode"]) == ("flag", "wrap")
    assert (values["inner_bits"], values["outer_bits"]) == (15, 19)
    up, gate, down = values["layers"]
    assert {key: up[key] for key in up if key != "channels"} == {
        "name": "up",
        "inner_bits": 15,
        "outer_bits": 19,
        "worst_channel": 1,
        "outer_worst_channel": 2,
        "needed": {
            "wrap": {"inner_bits": 14, "outer_bits": 19},
            "saturate": {"inner_bits": 15, "outer_bits": 19},
            "flag": {"inner_bits": 15, "outer_bits": 19},
        },
        "order": "slots",
        "input_low": -128,
        "input_high": 127,
        "group_size": 9,
        "lanes": 3,
        "slots": 2,
        "weight_bits": 4,
        # 9 products of 2**(8 - 1 + 4 - 1) at most: 9216 takes 14 bits and a sign
        "dtype_bound_bits": 15,
        "l1_bound_bits": 14,
        "a2q_plus_bits": 14,
        "a2q_plus_unsound": 0,
        "corrected_bits": None,
    }
    assert up["channels"][1] == {
        "inner_bits": 15,
        "inner_low": -8448,
        "inner_high": 8382,
        "outer_bits": 16,
        "outer_low": -8064 * 3,
        "outer_high": 8001 * 3,
        "l1": 63,
        "l1_bound_bits": 14,
        "a2q_plus_bits": 14,
        "a2q_plus_sound": True,
    }
    assert up["channels"][0]["inner_bits"] == up["channels"][0]["outer_bits"] == 1
    assert (down["name"], down["inner_bits"], down["worst_channel"]) == ("down", 8, 0)
    assert down["outer_bits"] is down["outer_worst_channel"] is None
    assert down["channels"][0]["inner_low"] == -50 and down["channels"][0]["inner_high"] == 100
    assert down["channels"][1]["outer_low"] is None and down["channels"][1]["l1"] == 2
    assert (gate["inner_bits"], gate["outer_bits"]) == (8, 7)
    assert len(up["channels"]) == 3 and len(down["channels"]) == 2


def test_integers_beyond_int64_stay_integers():
    layer = single_stage_bounds([[1 << 80]], (0, 1))
    report = BoundReport(layers={"a": layer}, inner_mode="wrap", outer_mode="wrap")
    assert json.loads(json.dumps(report.to_dict()))["layers"][0]["channels"][0] == {
        "inner_bits": 82,
        "inner_low": 0,
        "inner_high": 1 << 80,
        "outer_bits": None,
        "outer_low": None,
        "outer_high": None,
        "l1": 1 << 80,
        "l1_bound_bits": 83,
        "a2q_plus_bits": 81,
        "a2q_plus_sound": False,
    }


def test_unsound_a2q_plus_widths_are_marked():
    """272 weights of +1 meet A2Q+'s budget for 12 bits and 4-bit inputs, but need 13."""
    ones = single_stage_bounds([[1] * 272, [1, -1] * 136], (0, 15))
    (layer,) = BoundReport(layers={"a": ones}, inner_mode="wrap", outer_mode="wrap").to_dict()[
        "layers"
    ]
    assert [c["a2q_plus_bits"] for c in layer["channels"]] == [12, 12]
    assert [c["inner_bits"] for c in layer["channels"]] == [13, 12]
    assert [c["a2q_plus_sound"] for c in layer["channels"]] == [False, True]
    assert layer["a2q_plus_unsound"] == 1


@pytest.mark.parametrize(
    ("input_range", "bits", "signed"),
    [
        ((0, 255), 8, False),
        ((0, 256), 9, False),
        ((0, 0), 1, False),
        ((2, 3), 2, False),
        ((-128, 127), 8, True),
        ((-129, 0), 9, True),
        ((-20, -10), 6, True),
    ],
)
def test_input_type_is_the_narrowest(input_range, bits, signed):
    layer = single_stage_bounds([[1]], input_range)
    assert (layer.input_bits, layer.input_signed) == (bits, signed)


def test_bad_input_is_refused_in_one_sentence(report):
    with pytest.raises(InputError, match="needs at least one layer"):
        BoundReport(layers={}, inner_mode="wrap", outer_mode="wrap")
    with pytest.raises(InputError, match="unknown outer accumulator mode 'clip'"):
        BoundReport(layers=report.layers, inner_mode="wrap", outer_mode="clip")
    with pytest.raises(InputError, match="unknown inner accumulator mode 'flags'"):
        BoundReport(layers=report.layers, inner_mode="flags", outer_mode="wrap")
