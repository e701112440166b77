"""`bitsmith bounds`: orders, files, measurements, cost and the page."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bitsmith.bounds.layers import Question
from bitsmith.cli import main
from configs.errors import InputError
from sw.accumulators import reference_accumulate, signed_range
from sw.accumulators.orders import ORDERS, order_replay

TINY = ("--format", "int4", "--group-size", "64")


def bounds(capsys, *arguments: str) -> tuple[int, dict]:
    code = main(["bounds", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "w.npy"
    np.save(path, np.random.default_rng(3).integers(-8, 8, (5, 40)).astype(np.int8))
    return path


@pytest.mark.parametrize("order", [name for name in ORDERS if name not in ("slots", "popcount")])
@pytest.mark.parametrize("mode", ["wrap", "saturate"])
def test_every_order_is_two_sided_on_bare_integers(capsys, matrix, order, mode) -> None:
    arguments = (str(matrix), "--schedule", order, "--mode", mode, "--input-range", "0", "15")
    code, result = bounds(capsys, *arguments)
    assert (code, result["order"], result["mode"]) == (0, order, mode)
    row = np.load(matrix)[result["worst_channel"]]
    serial = ORDERS[order].weights != "whole"
    bits = result["bits"]
    for width, fails in ((bits, False), (bits - 1, True)):
        replay = order_replay(
            row,
            result["witness"],
            order=order,
            input_range=(0, 15),
            weight_bits=5 if serial and order == "weight_sign_magnitude" else 4 if serial else None,
            inner_bits=width,
            inner_mode=mode,
            sequence=None,
        )
        assert replay.fails("inner", mode) == fails


def test_tiles_bias_and_zero_point(capsys, tmp_path, matrix) -> None:
    np.save(tmp_path / "b.npy", np.array([[900], [0], [-900], [5], [0]]))
    arguments = (str(matrix), "--input-range", "0", "15")
    options = ("--tile", "8", "--bias", str(tmp_path / "b.npy"), "--zero-point", "7", "--padded")
    code, result = bounds(capsys, *arguments, *options)
    (layer,) = result["layers"]
    weights = np.load(matrix).astype(int)
    bias = np.load(tmp_path / "b.npy")[:, 0]
    for n, channel in enumerate(layer["channels"]):
        positive, negative = weights[n].clip(0).sum(), weights[n].clip(None, 0).sum()
        assert channel["outer_low"] == 15 * negative + bias[n]
        assert channel["outer_high"] == 15 * positive + bias[n]
        tiles = weights[n].reshape(-1, 8)
        assert channel["low"] == 15 * tiles.clip(None, 0).sum(axis=1).min()
    # 7 below every code: the sum of what the codes stand for
    ends = [
        [
            -7 * w.clip(0).sum() + 8 * w.clip(None, 0).sum() + b
            for w, b in zip(weights, bias, strict=True)
        ],
        [
            8 * w.clip(0).sum() - 7 * w.clip(None, 0).sum() + b
            for w, b in zip(weights, bias, strict=True)
        ],
    ]
    held = signed_range(layer["corrected_bits"])
    less = signed_range(layer["corrected_bits"] - 1)
    assert held[0] <= min(ends[0]) and max(ends[1]) <= held[1]
    assert min(ends[0]) < less[0] or max(ends[1]) > less[1]
    code, result = bounds(capsys, *arguments, *options, "--inner-bits", "9", "--outer-bits", "9")
    assert code == 1
    assert {found["stage"] for found in result["overflows"]} == {"inner", "outer"}
    (layer,) = result["layers"]
    for stage in ("inner", "outer"):
        assert layer[f"{stage}_slack"] == 9 - layer[f"{stage}_bits"] < 0


def test_scaled_tiles(capsys, tmp_path, matrix) -> None:
    """The witness of the outer register reaches the end of its range."""
    scales = np.random.default_rng(4).integers(0, 256, (5, 5))
    np.save(tmp_path / "s.npy", scales)
    options = (str(matrix), "--input-range", "-8", "7", "--scales", str(tmp_path / "s.npy"))
    code, result = bounds(capsys, *options, "--tile", "8")
    (layer,) = result["layers"]
    outer = next(w for w in layer["witnesses"] if w["stage"] == "outer")
    row = np.load(matrix).astype(int)[outer["channel"]].reshape(5, 8)
    value = (row * np.reshape(outer["inputs"], (5, 8))).sum(axis=1) @ scales[outer["channel"]]
    assert (code, int(value)) == (0, outer["value"])
    assert outer["bits"] == layer["outer_bits"]
    assert main(["bounds", *options]) == 2
    assert "--scales goes with --tile T" in capsys.readouterr().err


def test_several_layers_of_one_file(capsys, tmp_path) -> None:
    path = tmp_path / "layers.npz"
    rng = np.random.default_rng(0)
    arrays = {"a": rng.integers(-2, 3, (3, 9)), "b": rng.integers(-100, 100, (2, 4))}
    np.savez(path, **arrays, **{"b.input_range": np.array([0, 1])})
    with pytest.raises(SystemExit):
        main(["bounds", str(path), "--input-range", "0"])
    capsys.readouterr()
    assert main(["bounds", str(path)]) == 2  # nothing says what enters 'a'
    assert "layer 'a': nothing says what enters it" in capsys.readouterr().err
    _, result = bounds(capsys, str(path), "--input-range", "-8", "7", "--witnesses", "all")
    assert [layer["name"] for layer in result["layers"]] == ["a", "b"]
    assert [len(layer["witnesses"]) for layer in result["layers"]] == [3, 2]
    assert "channels" not in result
    for layer in result["layers"]:
        for witness in layer["witnesses"]:
            row = arrays[layer["name"]][witness["channel"]]
            assert int(row @ witness["inputs"]) == witness["value"]


def test_floating_point_accumulators(capsys, tmp_path) -> None:
    path = tmp_path / "w.npy"
    np.save(path, np.array([[1] * 16, [127] * 16]))
    _, result = bounds(
        capsys, str(path), "--input-range", "0", "127", "--floats", "float16", "float32"
    )
    found = result["layers"][0]["floats"]
    # 16 * 127 is below 2**11; 16 * 127 * 127 is not
    assert (found["float16"]["exact_channels"], found["float16"]["bit_exact"]) == (1, False)
    assert found["float32"]["bit_exact"] and found["float32"]["exact_in_any_order"]
    assert found["float16"]["largest_error"] > 0


def test_kulisch_width(capsys) -> None:
    """Published: sums of 4608 products of E5M2 numbers, without codes for Inf and NaN, 80 bits."""
    arguments = ("--kulisch", "float8_e5m2", "float8_e5m2", "--products", "4608")
    code, result = bounds(capsys, *arguments)
    assert (code, result["published"], result["exact"]) == (0, 80, 77)


def test_other_orders_of_a_model(capsys) -> None:
    code, slots = bounds(capsys, *TINY)
    code, tree = bounds(capsys, *TINY, "--schedule", "weight_lsb")
    assert (code, tree["order"], tree["machine_inner_bits"]) == (0, "weight_lsb", None)
    assert slots["machine_inner_bits"] == slots["inner_bits"]
    for mine, other in zip(slots["layers"], tree["layers"], strict=True):
        assert mine["needed"]["wrap"] == other["needed"]["wrap"]
        assert mine["needed"]["saturate"]["inner_bits"] <= other["needed"]["saturate"]["inner_bits"]
        assert mine["outer_bits"] == other["outer_bits"]
    code, narrow = bounds(capsys, *TINY, "--input-range", "-8", "7")
    assert narrow["inner_bits"] <= slots["inner_bits"] - 4
    # widths that hold for the narrow activations can be checked against
    bits = str(narrow["inner_bits"])
    code, _ = bounds(capsys, *TINY, "--input-range", "-8", "7", "--inner-bits", bits)
    assert code == 0
    code, _ = bounds(capsys, *TINY, "--inner-bits", bits)
    assert code == 1


def test_observed_and_sufficient_widths_are_below_the_proved_ones(capsys, tmp_path) -> None:
    page, table = tmp_path / "page.html", tmp_path / "channels.csv"
    _, result = bounds(
        capsys, *TINY, "--sufficient", "--tokens", "65", "--tolerance", "0.05", "--cost",
        "--html", str(page), "--csv", str(table),
    )  # fmt: skip
    for layer in result["layers"]:
        for mode, widths in layer["observed"]["needed"].items():
            for stage, bits in widths.items():
                assert bits <= layer["needed"][mode][stage]
    found = result["sufficient"]
    for stage in ("inner", "outer"):
        for mode in ("wrap", "saturate"):
            rows = [r for r in found["rows"] if (r["stage"], r["mode"]) == (stage, mode)]
            bits = found["widths"][stage][mode]
            assert [row["width"] for row in rows] == sorted(
                (r["width"] for r in rows), reverse=True
            )
            kept = [row["width"] for row in rows if row["increase"] <= 0.05]
            assert all(width >= bits for width in kept)
            assert rows[-1]["width"] == bits - 1 and rows[-1]["increase"] > 0.05
            assert rows[-1]["events"] > 0
    # every width is proved, so there is nothing to simulate
    assert result["simulated"] is None
    cost = result["cost"]
    assert cost["wide"]["area_um2"] > cost["area_um2"] and cost["wide"]["luts"] > cost["luts"]
    assert cost["per_bit"]["inner"]["area_um2"] > 0
    text = page.read_text()
    assert "Width per layer" in text and "What a bit costs" in text and "http" not in text
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(layer["channels"]) for layer in result["layers"])
    assert int(rows[0]["inner_bits"]) == result["layers"][0]["channels"][0]["inner_bits"]


def test_witness_of_a_model_in_another_order_reaches_its_value(capsys) -> None:
    """The inner stage of the worst group, replayed as plain products."""
    _, result = bounds(capsys, *TINY, "--schedule", "parallel", "--mode", "saturate")
    layer = result["layers"][0]
    inner = next(w for w in layer["witnesses"] if w["stage"] == "inner")
    assert inner["bits"] == layer["inner_bits"] and "step" in inner
    assert len(inner["inputs"]) == 160
    replay = reference_accumulate(
        [1] * 160, inner["inputs"], terms=None, group_size=64, lanes=4, scale_row=None,
        inner_bits=None, outer_bits=None, inner_mode="wrap", outer_mode="wrap",
    )  # fmt: skip
    assert len(replay.group_sums) == 3


def test_question_refuses_what_means_nothing() -> None:
    with pytest.raises(InputError, match="takes whole weights"):
        Question(order="parallel", weight_bits=4)
    with pytest.raises(InputError, match="tile is 0"):
        Question(order="parallel", tile=0)
    assert Question(order="weight_lsb", weight_bits=8).planes(np.ones((1, 1), int)) == 8
    assert Question(order="weight_lsb").planes(np.full((1, 1), -8)) == 4


def test_a_recipe_that_names_widths_keeps_to_them(capsys, tmp_path) -> None:
    """Quantize, read the folder again, and prove it on the machine's own order."""
    recipe = tmp_path / "narrow.yaml"
    recipe.write_text(
        "format: int4\ngroup_size: 32\nscale_format: uint8\nmethod: axe_rtn\n"
        "accumulator: {inner_bits: 13, outer_bits: 22}\n"
    )
    folder = str(tmp_path / "q")
    assert main(["quantize", "--recipe", str(recipe), "--output", folder, "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["accumulators"]
    assert len(kept) == 28
    code, result = bounds(capsys, folder)
    assert (code, result["inner_bits"], result["machine_inner_bits"]) == (0, 13, 13)
    assert result["outer_bits"] <= 22
    for check, layer in zip(kept, result["layers"], strict=True):
        assert (check["name"], check["inner_bits"]) == (layer["name"], layer["inner_bits"])
        assert check["outer_bits"] == layer["outer_bits"]
    code, _ = bounds(capsys, folder, "--inner-bits", "12")
    assert code == 1


def test_a_model_on_registers_that_are_too_narrow(capsys) -> None:
    arguments = (*TINY, "--observe", "--tokens", "65", "--mode", "saturate", "--inner-bits")
    losses = []
    for bits in ("13", "11"):
        code, result = bounds(capsys, *arguments, bits)
        found = result["simulated"]
        assert (code, found["inner_bits"], found["inner_mode"]) == (1, int(bits), "saturate")
        assert found["events"]["inner_steps"] >= found["events"]["inner_wrong"] > 0
        assert found["events"]["outputs_wrong"] <= found["events"]["outputs"]
        assert len(found["layers"]) == len(result["layers"])
        losses.append(found["increase"])
    assert losses[0] < losses[1]


REFUSED = [
    (["{w}", "--input-range", "0", "9", "--floats", "float32", "--bias", "{b}"], "without bias"),
    (["{w}", "--input-range", "0", "9", "--floats", "float32", "--padded"], "bias and padding"),
    (["{w}", "--input-range", "0", "9", "--floats", "float32", "--tile", "2"], "--floats goes"),
    (["{w}", "--input-range", "0", "9", "--floats", "float32", "--lanes", "2"], "--floats goes"),
    (["{w}", "--input-range", "0", "9", "--floats", "float99"], "float99"),
    (["{w}", "--input-range", "0", "9", "--bias", "{row}"], "expected (N,)"),
    (["{w}", "--input-range", "0", "9", "--bias", "{short}"], "bias has 2 values for 5 rows"),
    (["{w}", "--schedule", "weight_lsb", "--weight-bits", "129"], "weight bits is 129"),
    (["{w}", "--input-range", "0", "9", "--tokens", "9"], "--tokens needs a model"),
    (["{w}", "--input-range", "0", "9", "--tolerance", "0"], "--tolerance needs a model"),
    (["--kulisch", "int4", "int4", "--zero-point", "0"], "--kulisch goes without --zero-point"),
    (["--lanes", "1"], "the machine's lanes"),
    (["--schedule", "tree", "--observe"], "--observe is about the machine as it is"),
    (["--input-range", "0", "1", "--cost"], "--cost is about the machine as it is"),
    (["--input-range", "-1000", "1000"], "its port takes -128 to 127"),
    (["--tolerance", "nan"], "--tolerance goes with --observe or --sufficient"),
    (["--config", "fp16_8x8x4", "--cost"], "rounds its sums"),
    (["--kulisch", "int4", "int4", "--tile", "3"], "--kulisch goes without --tile"),
    (["scribe_1m", "--kulisch", "int4", "int4"], "--kulisch goes without a model"),
    (["--products", "3"], "--products goes with --kulisch"),
    (["{w}", "--input-range", "0", "9", "--html", "{ok}", "--csv", "{tmp}"], "is a folder"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=lambda v: str(v)[:40])
def test_what_would_be_ignored_or_wrong_is_refused(
    capsys, tmp_path, matrix, arguments, sentence
) -> None:
    for name, bias in (("b", [1] * 5), ("row", [[1] * 5]), ("short", [1, 2])):
        np.save(tmp_path / f"{name}.npy", np.array(bias))
    places = {n: str(tmp_path / f"{n}.npy") for n in ("b", "row", "short")}
    places |= {"w": str(matrix), "ok": str(tmp_path / "ok.html"), "tmp": str(tmp_path)}
    assert main(["bounds", *(a.format(**places) for a in arguments)]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1
    assert not (tmp_path / "ok.html").exists() and not list(tmp_path.glob(".*"))


def test_bias_has_one_axis_or_a_column(capsys, tmp_path, matrix) -> None:
    ranges = []
    for shape in ((5,), (5, 1)):
        np.save(tmp_path / "b.npy", np.full(shape, 1000))
        found = bounds(
            capsys, str(matrix), "--input-range", "0", "15", "--bias", str(tmp_path / "b.npy")
        )
        ranges.append(found[1]["channels"])
        # the formulas leave the bias out, and are judged without it
        assert found[1]["layers"][0]["a2q_plus_unsound"] == plain_unsound(capsys, matrix)
    assert ranges[0] == ranges[1]


def plain_unsound(capsys, matrix: Path) -> int:
    return bounds(capsys, str(matrix), "--input-range", "0", "15")[1]["layers"][0][
        "a2q_plus_unsound"
    ]


def test_tiles_longer_than_a_row_change_nothing(capsys, matrix) -> None:
    whole = bounds(capsys, str(matrix), "--input-range", "0", "15")[1]["layers"][0]
    (tiled,) = bounds(capsys, str(matrix), "--input-range", "0", "15", "--tile", "99")[1]["layers"]
    assert tiled["group_size"] == whole["group_size"] == 40
    assert tiled["dtype_bound_bits"] == whole["dtype_bound_bits"]


def test_a_counter_of_signs_has_no_formulas(capsys, tmp_path) -> None:
    np.save(tmp_path / "w.npy", np.array([[1, -1, 1, 1]]))
    arguments = (str(tmp_path / "w.npy"), "--schedule", "popcount", "--input-range", "-1", "1")
    code, result = bounds(capsys, *arguments, "--html", str(tmp_path / "p.html"))
    (layer,) = result["layers"]
    assert code == 0 and layer["dtype_bound_bits"] is layer["a2q_plus_bits"] is None


def test_integers_in_safetensors(capsys, tmp_path) -> None:
    save_file({"a.weight": np.ones((2, 3), np.int8)}, tmp_path / "x.safetensors")
    code, result = bounds(capsys, str(tmp_path / "x.safetensors"), "--input-range", "0", "1")
    assert (code, result["layers"][0]["name"], result["inner_bits"]) == (0, "a", 3)
