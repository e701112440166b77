"""`bitsmith bounds` on machines with floating-point activations."""

import json
from dataclasses import asdict, replace

import pytest

from bitsmith import steps
from bitsmith.cli import main
from bitsmith.job import Job
from bitsmith.report.accumulators import accumulator_section
from bitsmith.report.context import Run
from bitsmith.strict_json import plain
from configs.schema import load_axis, load_run

KEYS = {
    "datapath",
    "largest_activation",
    "bit_exact",
    "inner_bits",
    "outer_bits",
    "machine_inner_bits",
    "machine_outer_bits",
    "overflows",
    "layers",
}
LAYER_KEYS = {
    "name",
    "bit_exact",
    "error",
    "relative_error",
    "worst_channel",
    "inner_exponent",
    "outer_exponent",
    "infinite_results",
    "inner_bits",
    "outer_bits",
    "channels",
}
CHANNEL_KEYS = {"bit_exact", "error", "relative_error", "largest_output"}


def bounds(capsys, preset, *arguments):
    """Exit code and JSON of the shipped model on a preset."""
    code = main(["bounds", "scribe_1m", "--config", preset, *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_an_aligned_machine_has_error_bounds(capsys):
    code, result = bounds(capsys, "fp16_bitmod_8x8x4", "--format", "bitmod_fp4")
    assert code == 0
    assert set(result) == KEYS
    assert result["largest_activation"] == 65504
    assert (result["inner_bits"], result["outer_bits"]) == (15, 25)
    assert not result["bit_exact"]
    assert result["overflows"] == []
    for layer in result["layers"]:
        assert set(layer) == LAYER_KEYS
        assert all(set(channel) == CHANNEL_KEYS for channel in layer["channels"])
        worst = layer["channels"][layer["worst_channel"]]
        assert worst["relative_error"] == layer["relative_error"] > 0
        assert layer["relative_error"] == max(c["relative_error"] for c in layer["channels"])


def test_more_bits_have_smaller_errors(capsys):
    _, narrow = bounds(capsys, "fp16_bitmod_8x8x4", "--format", "bitmod_fp4")
    _, wide = bounds(capsys, "fp16_mac_8x8", "--format", "bitmod_fp4")
    for one, other in zip(narrow["layers"], wide["layers"], strict=True):
        assert other["relative_error"] < one["relative_error"] / 100


def test_the_text_says_what_is_not_exact(capsys):
    assert main(["bounds", "scribe_1m", "--config", "fp16_8x8x4", "--format", "int4"]) == 0
    text = capsys.readouterr().out
    assert "bit-exact" in text
    assert "mantissas of 16 and 25 bits" in text
    assert "65504" in text


def write(tmp_path, text, lanes=4):
    path = tmp_path / "array.yaml"
    path.write_text(f"name: array\nrows: 4\ncols: 4\nlanes: {lanes}\n{text}")
    return str(path)


def test_enough_bits_are_bit_exact(capsys, tmp_path):
    """E4M3 activations, binary scales: all sums of short groups fit the mantissas."""
    array = write(
        tmp_path,
        "activation_format: float8_e4m3fn\n"
        "floating: {guard_bits: 14, mantissa_bits: 40, outer_mantissa_bits: 48}\n",
    )
    code, result = bounds(capsys, array, "--format", "int4")
    assert code == 0
    assert not result["bit_exact"]  # uint8 scales: more than float32's 24 bits
    assert max(layer["relative_error"] for layer in result["layers"]) <= 2.0**-23
    assert all(layer["inner_exponent"] <= 14 for layer in result["layers"])


def test_exponents_that_might_not_fit_are_overflows(capsys, tmp_path):
    array = write(
        tmp_path,
        "activation_format: float16\n"
        "floating: {guard_bits: 0, rounding: truncate, mantissa_bits: 4}\n",
        lanes=1,
    )
    code, result = bounds(capsys, array, "--format", "int8", "--group-size", "256")
    assert code == 1
    found = result["overflows"][0]
    assert found["stage"] in ("inner exponent", "outer exponent")
    assert found["high"] >= 1 << found["needed_bits"] - 1 >= 64


@pytest.mark.parametrize("activations", ["float16", "bfloat16"])
def test_an_exact_machine_has_integer_bounds(capsys, tmp_path, activations):
    array = write(tmp_path, f"activation_format: {activations}\nfloating: {{datapath: exact}}\n")
    code, result = bounds(capsys, array, "--format", "int8")
    assert code == 0
    assert result["machine_outer_bits"] == result["outer_bits"] > 60
    assert result["overflows"] == []


def test_the_report_shows_the_errors(tmp_path):
    config = load_run("quickstart")
    config = replace(config, accelerator=load_axis("accelerator", "fp16_8x8x4"))
    job = Job(config=config)
    names = ("quantize", "bounds", "simulate")
    results = {name: plain(steps.STEPS[name](job, tmp_path)) for name in names}
    html = str(accumulator_section(Run(config=plain(asdict(config)), results=results)))
    assert "Rounding errors" in html
    assert "layers.3.mlp.down_proj" in html
    assert "65504" in html
