"""Whole runs on machines with optional stages: block formats and zero points as they are."""

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
}


@pytest.mark.parametrize("name", RUNS)
def test_run(name: str, tmp_path: Path) -> None:
    format_name, accelerator = RUNS[name]
    groups = {"group_size": 32}
    run = {
        "workload": {
            "model": "scribe_1m",
            "prefill_tokens": 16,
            "decode_tokens": 1,
            "evaluation_bytes": 0,
        },
        "quantization": {"format": format_name} | ({} if "fp4" in format_name else groups),
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
