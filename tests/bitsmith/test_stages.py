"""Whole runs on machines with optional stages, floating-point activations and multipliers."""

import json
from pathlib import Path

import pytest
import yaml

from bitsmith.cli import main

pytestmark = [pytest.mark.rtl, pytest.mark.agreement]


def small(**options: object) -> dict[str, object]:
    return {"name": "small", "rows": 4, "cols": 4, "lanes": 4, **options}


RUNS = {
    "E8M0 scales": ("mxfp4", small(scale={"format": "e8m0", "shift": "barrel"})),
    "E4M3 scales, requantized": (
        "nvfp4",
        small(scale={"format": "e4m3"}, requantizer={}, pipeline=["operands", "shift"]),
    ),
    "zero points": ("int4_asym", small(zero_point_bits=4, rows_per_dequantizer=2)),
    "a machine programmed to other special values": (
        "bitmod_fp3",
        small(programmable=True, lane_exponent_bits=1, adders="compressor"),
    ),
    "float16 activations": ("bitmod_fp4", small(activation_format="float16")),
    "float16 activations, exact": (
        "bitmod_fp3",
        small(activation_format="float16", floating={"datapath": "exact"}),
    ),
    "float16 weights and activations": (
        "float16",
        small(
            lanes=1,
            pe="multiplier",
            activation_format="float16",
            floating={"alignment": "pe", "guard_bits": 0, "mantissa_bits": 25},
            scale={"format": "e8m0", "binades": 1, "shift": "barrel"},
        ),
    ),
    "float8 activations": ("ant4", small(pe="multiplier", activation_format="float8_e4m3fn")),
    "OliVe with multipliers": ("olive4", small(pe="multiplier")),
}


@pytest.mark.parametrize("name", RUNS)
def test_run(name: str, tmp_path: Path) -> None:
    format_name, accelerator = RUNS[name]
    groups = {"group_size": 32}
    own_scales = "fp4" in format_name or format_name == "float16"
    run = {
        "workload": {
            "model": "scribe_1m",
            "prefill_tokens": 16,
            "decode_tokens": 1,
            "evaluation_bytes": 0,
        },
        "quantization": {"format": format_name} | ({} if own_scales else groups),
        "accelerator": accelerator,
        "technology": "generic_28nm",
        "verify": {"tokens": 2, "random_shapes": 2},
        "output": str(tmp_path / "run"),
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    assert main(["run", str(tmp_path / "run.yaml")]) == 0
    found = json.loads((tmp_path / "run" / "verify.json").read_text())["result"]
    assert found["passed"] and found["outputs"] > 1000


def test_zero_points_need_a_machine_with_them(tmp_path: Path, capsys) -> None:
    code = main(
        ["verify", "scribe_1m", "--format", "int4_asym", "--config", "tiny_4x4x4", "--tokens", "1"]
    )
    assert code == 2
    assert "accelerator 'tiny_4x4x4' takes 0: set zero_point_bits" in capsys.readouterr().err


def test_float16_weights_need_multipliers(capsys) -> None:
    code = main(["verify", "scribe_1m", "--recipe", "float16", "--config", "fp16_8x8x4"])
    assert code == 2
    assert "'float16' has 16-bit codes: set 'pe: multiplier'" in capsys.readouterr().err


def test_stored_models_with_scales_of_their_own_are_read_back(tmp_path: Path, capsys) -> None:
    """Cast weights and block formats: quantize, then commands on the folder."""
    for name, recipe, machine in (
        ("cast", ["--recipe", "float16"], "fp16_mac_8x8"),
        ("blocks", ["--format", "mxfp4"], "mx_8x8x4"),
    ):
        folder = str(tmp_path / name)
        assert main(["quantize", "scribe_1m", *recipe, "--output", folder]) == 0
        assert main(["simulate", folder, "--config", machine]) == 0
        assert "prefill" in capsys.readouterr().out


def test_verify_takes_a_second_array_of_the_same_kind(tmp_path: Path, capsys) -> None:
    accelerator = small(lanes=1, pe="multiplier", activation_format="float16")
    accelerator["floating"] = {"alignment": "pe"}
    path = tmp_path / "mac.yaml"
    path.write_text(yaml.safe_dump(accelerator | {"rows": 2, "cols": 2}))
    command = ["verify", "scribe_1m", "--recipe", "float16", "--config", str(path)]
    assert main([*command, "--tokens", "1", "--random-shapes", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["machines"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "int_mac_8x8x4", "--recipe", "float16"], "set activation_format"),
        (["--config", "fp16_mac_8x8", "--format", "bfloat16"], "the hardware takes at most 58"),
    ],
)
def test_weights_that_no_hardware_takes(arguments: list[str], message: str, capsys) -> None:
    for command in ("rtl", "bounds", "cost"):
        assert main([command, "scribe_1m", *arguments]) == 2
        assert message in capsys.readouterr().err
